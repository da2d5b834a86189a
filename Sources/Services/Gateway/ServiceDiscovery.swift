public import CanonicalJSON
internal import Paywall

/// How a service is called, for catalogues: examples, in the words of x402's extension `bazaar` ([XEX-11]).
public struct ServiceDiscovery: Sendable, Equatable {
    /// An example of the query's parameters, for calls without body.
    public var query: JSONObject?
    /// An example of the body, for calls with one.
    public var body: JSONValue?
    /// `json`, `form-data` or `text`.
    public var bodyType: String
    /// `{type, format?, example?}`.
    public var output: JSONObject?
    /// Of the answer, such as `application/json`.
    public var mimeType: String?

    public static let maximumBytes = 2048
    private static let bodyTypes: Set<String> = ["json", "form-data", "text"]

    public init(
        query: JSONObject? = nil,
        body: JSONValue? = nil,
        bodyType: String = "json",
        output: JSONObject? = nil,
        mimeType: String? = nil
    ) {
        self.query = query
        self.body = body
        self.bodyType = bodyType
        self.output = output
        self.mimeType = mimeType
    }

    /// - Throws: ``GatewayError`` `invalid-service`, or a `JSONError`.
    init(json: JSONObject) throws {
        try ServiceDefinition.refuseUnknown(
            json,
            known: ["query", "body", "bodyType", "output", "mimeType"],
            in: "a service's discovery"
        )
        self.init(
            query: try json.optionalObject("query"),
            body: json["body"],
            bodyType: try json.optionalString("bodyType") ?? "json",
            output: try json.optionalObject("output"),
            mimeType: try json.optionalString("mimeType")
        )
    }

    var json: JSONObject {
        var object: JSONObject = ["bodyType": .string(bodyType)]
        object["query"] = query.map(JSONValue.object)
        object["body"] = body
        object["output"] = output.map(JSONValue.object)
        object["mimeType"] = mimeType.map(JSONValue.string)
        return object
    }

    func validate() throws(GatewayError) {
        guard Self.bodyTypes.contains(bodyType) else {
            throw GatewayError(.invalidService, "\"bodyType\" is json, form-data or text.")
        }
        guard output.map({ $0["type"]?.stringValue != nil }) ?? true else {
            throw GatewayError(.invalidService, "\"output\" of a service's discovery needs a \"type\", such as json.")
        }
        guard json.serialized().count <= Self.maximumBytes, (mimeType ?? "").utf8.count <= 128 else {
            throw GatewayError(.invalidService, "A service's discovery has at most \(Self.maximumBytes) bytes.")
        }
    }
}

extension ServiceDefinition {
    /// How a call with this method is made.
    func bazaar(method: String) -> X402.Bazaar {
        let input: X402.Bazaar.Input =
            switch method {
            case "POST", "PUT", "PATCH":
                .body(method: method, bodyType: discovery?.bodyType ?? "json", body: discovery?.body ?? .object([:]))
            case "DELETE", "HEAD": .query(method: method, parameters: discovery?.query)
            default: .query(method: "GET", parameters: discovery?.query)
            }
        return X402.Bazaar(input: input, output: discovery?.output)
    }
}
