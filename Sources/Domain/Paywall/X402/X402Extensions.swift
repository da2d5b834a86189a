public import CanonicalJSON

extension X402 {
    /// The extension `payment-identifier`: the client names its payment, so that a repeated one is answered, not taken twice.
    public enum PaymentIdentifier {
        public static let id = "payment-identifier"
        /// The lengths that an identifier may have, in characters.
        public static let lengths = 16...128

        /// What a challenge says of the extension.
        public static func declaration(isRequired: Bool) -> JSONObject {
            [
                "info": ["required": .bool(isRequired)],
                "schema": [
                    "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
                    "properties": [
                        "required": ["type": "boolean"],
                        "id": ["type": "string", "minLength": 16, "maxLength": 128, "pattern": "^[a-zA-Z0-9_-]+$"],
                    ],
                    "required": ["required"],
                ],
            ]
        }

        /// Whether an identifier is of its form: 16 to 128 letters, digits, hyphens and underscores.
        public static func isWellFormed(_ identifier: String) -> Bool {
            lengths.contains(identifier.utf8.count)
                && identifier.utf8.allSatisfy { byte in
                    (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                        || byte == 0x2D || byte == 0x5F
                }
        }

        /// The identifier of a payment; nil where it has none.
        /// - Parameter isRequired: whether the challenge demands one.
        /// - Throws: ``X402Refusal`` `invalid_payload` for one that is malformed, `payment_identifier_required` where it is missing
        ///   (both 400).
        public static func identifier(of payment: PaymentPayload, isRequired: Bool) throws(X402Refusal) -> String? {
            guard let value = payment.extensions?[id]?["info"]?["id"], !value.isNull else {
                if isRequired {
                    throw X402Refusal(.identifierRequired, "The payment must carry an identifier of its own (\(id)).")
                }
                return nil
            }
            guard let identifier = value.stringValue, isWellFormed(identifier) else {
                throw X402Refusal(
                    .invalidPayload,
                    "A payment identifier is 16 to 128 letters, digits, hyphens and underscores."
                )
            }
            return identifier
        }

        /// The extensions of a payment: what the challenge said, with the identifier added.
        public static func adding(_ identifier: String, to extensions: JSONObject?) -> JSONObject {
            var extensions = extensions ?? [:]
            var declared = extensions[id]?.objectValue ?? declaration(isRequired: false)
            var info = declared["info"]?.objectValue ?? ["required": false]
            info["id"] = .string(identifier)
            declared["info"] = .object(info)
            extensions[id] = .object(declared)
            return extensions
        }
    }

    /// Whether a payment's extensions hold all that the challenge said: adding is allowed, leaving out and changing are not
    /// (x402 specification v2, 5.1.2). Extensions that the client does not speak may be left out as a whole.
    public static func echoes(_ extensions: JSONObject?, challenge: JSONObject?) -> Bool {
        guard let extensions, let challenge else { return true }
        return challenge.allSatisfy { name, declared in
            guard let echoed = extensions[name] else { return true }
            return contains(echoed["info"] ?? .null, declared["info"] ?? .null)
        }
    }

    private static func contains(_ value: JSONValue, _ part: JSONValue) -> Bool {
        guard let members = part.objectValue else { return value == part }
        return members.allSatisfy { name, member in value[name].map { contains($0, member) } ?? false }
    }

    /// The extension `bazaar`: how a resource is called, for catalogues.
    public struct Bazaar: Sendable, Equatable {
        public static let id = "bazaar"

        /// How the resource is called.
        public enum Input: Sendable, Equatable {
            /// GET, HEAD or DELETE: the query's examples.
            case query(method: String, parameters: JSONObject?)
            /// POST, PUT or PATCH: an example of the body, `bodyType` is `json`, `form-data` or `text`.
            case body(method: String, bodyType: String, body: JSONValue)
            /// A tool of the Model Context Protocol.
            case tool(name: String, description: String?, inputSchema: JSONObject)
        }

        public var input: Input
        /// `{type, format?, example?}`.
        public var output: JSONObject?

        public init(input: Input, output: JSONObject? = nil) {
            self.input = input
            self.output = output
        }

        private static let queryMethods = ["GET", "HEAD", "DELETE"]
        private static let bodyMethods = ["POST", "PUT", "PATCH"]
        private static let bodyTypes = ["json", "form-data", "text"]

        /// Reads the extension of a challenge by the shapes that its specification fixes; the schema that comes with it is not
        /// run.
        /// - Throws: ``X402Refusal`` `invalid_payload`.
        public init(json: JSONObject) throws(X402Refusal) {
            self = try X402.reading(.invalidPayload, "The extension bazaar can't be read") {
                let info = try json.object("info")
                _ = try json.object("schema")
                let output = try info.optionalObject("output")
                _ = try output?.string("type")
                return Bazaar(input: try Self.input(info.object("input")), output: output)
            }
        }

        private static func input(_ json: JSONObject) throws -> Input {
            switch try json.string("type") {
            case "mcp":
                return .tool(
                    name: try json.string("tool"),
                    description: try json.optionalString("description"),
                    inputSchema: try json.object("inputSchema")
                )
            case "http":
                let method = try json.string("method")
                if queryMethods.contains(method) {
                    return .query(method: method, parameters: try json.optionalObject("queryParams"))
                }
                let bodyType = try json.string("bodyType")
                guard bodyMethods.contains(method), bodyTypes.contains(bodyType) else {
                    throw JSONError(.value, "`method` or `bodyType` is none that the extension knows")
                }
                return .body(method: method, bodyType: bodyType, body: try json.value("body"))
            default:
                throw JSONError(.value, "`type` must be http or mcp")
            }
        }

        /// The extension as a challenge carries it: the information, and a schema that it satisfies.
        public var json: JSONObject {
            var input: JSONObject
            let properties: JSONObject
            let required: [String]
            switch self.input {
            case .query(let method, let parameters):
                input = ["type": "http", "method": .string(method)]
                input["queryParams"] = parameters.map(JSONValue.object)
                properties = [
                    "type": ["type": "string", "const": "http"],
                    "method": ["type": "string", "enum": JSONValue(Self.queryMethods)],
                    "queryParams": ["type": "object"],
                ]
                required = ["type", "method"]
            case .body(let method, let bodyType, let body):
                input = ["type": "http", "method": .string(method), "bodyType": .string(bodyType), "body": body]
                properties = [
                    "type": ["type": "string", "const": "http"],
                    "method": ["type": "string", "enum": JSONValue(Self.bodyMethods)],
                    "bodyType": ["type": "string", "enum": JSONValue(Self.bodyTypes)], "body": [:],
                ]
                required = ["type", "method", "bodyType", "body"]
            case .tool(let name, let description, let inputSchema):
                input = ["type": "mcp", "tool": .string(name), "inputSchema": .object(inputSchema)]
                input["description"] = description.map(JSONValue.string)
                properties = [
                    "type": ["type": "string", "const": "mcp"], "tool": ["type": "string"],
                    "description": ["type": "string"], "inputSchema": ["type": "object"],
                ]
                required = ["type", "tool", "inputSchema"]
            }
            var info: JSONObject = ["input": .object(input)]
            info["output"] = output.map(JSONValue.object)
            return [
                "info": .object(info),
                "schema": [
                    "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
                    "properties": [
                        "input": [
                            "type": "object", "properties": .object(properties), "required": JSONValue(required),
                            "additionalProperties": false,
                        ],
                        "output": [
                            "type": "object", "properties": ["type": ["type": "string"]], "required": ["type"],
                        ],
                    ],
                    "required": ["input"],
                ],
            ]
        }
    }
}
