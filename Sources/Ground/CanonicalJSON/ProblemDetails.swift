/// An error as an HTTP API tells it: RFC 9457 `application/problem+json`.
public struct ProblemDetails: Error, Sendable, Equatable {
    /// The media type of ``serialized()``.
    public static let mediaType = "application/problem+json"

    /// A URI that names the kind of problem (§3.1.1); ours are `urn:mintmark:problem:<code>`.
    public var type: String
    /// A short summary that does not change from occurrence to occurrence (§3.1.3).
    public var title: String
    /// The HTTP status code (§3.1.2).
    public var status: Int
    /// What happened this time and what to do about it (§3.1.4).
    public var detail: String?
    /// The short name of the kind, for programs.
    public var code: String
    /// Further members (§3.2), such as a price. A name of the members above is ignored here.
    public var extensions: JSONObject

    /// - Parameter type: nil stands for `urn:mintmark:problem:<code>`.
    public init(
        code: String,
        title: String,
        status: Int,
        detail: String? = nil,
        type: String? = nil,
        extensions: JSONObject = JSONObject()
    ) {
        self.type = type ?? "urn:mintmark:problem:\(code)"
        self.title = title
        self.status = status
        self.detail = detail
        self.code = code
        self.extensions = extensions
    }

    public var json: JSONObject {
        var object: JSONObject = ["type": .string(type), "title": .string(title), "status": JSONValue(status)]
        if let detail { object["detail"] = .string(detail) }
        object["code"] = .string(code)
        for (key, value) in extensions where key != "detail" && !object.contains(key) { object[key] = value }
        return object
    }

    /// The body of the response.
    public func serialized() -> [UInt8] { json.serialized() }

    /// Reads what another server sent. Members that are missing or of another type take the defaults of RFC 9457 §3.1:
    /// the type `about:blank`, the status of the response.
    ///
    /// - Parameters:
    ///   - json: the body.
    ///   - responseStatus: the HTTP status it came with.
    public init(json: JSONObject, responseStatus: Int) {
        let known = ["type", "title", "status", "detail", "code"]
        type = json["type"]?.stringValue ?? "about:blank"
        title = json["title"]?.stringValue ?? ""
        status = json["status"]?.int64Value.flatMap { (100...599).contains($0) ? Int($0) : nil } ?? responseStatus
        detail = json["detail"]?.stringValue
        code = json["code"]?.stringValue ?? ""
        extensions = JSONObject(json.lazy.filter { !known.contains($0.key) }.map { ($0.key, $0.value) })
    }
}
