public import CanonicalJSON
public import Ethereum

extension X402 {
    /// One way to pay: `PaymentRequirements`, an element of `accepts`. Version 1 writes the amount as `maxAmountRequired` and
    /// describes the resource here.
    public struct Requirements: Sendable, Equatable {
        /// What version 1 says of the resource inside each way to pay.
        public struct Details: Sendable, Equatable {
            public var resource: String
            public var description: String?
            public var mimeType: String?
            public var outputSchema: JSONObject?

            public init(
                resource: String,
                description: String? = nil,
                mimeType: String? = nil,
                outputSchema: JSONObject? = nil
            ) {
                self.resource = resource
                self.description = description
                self.mimeType = mimeType
                self.outputSchema = outputSchema
            }
        }

        public var scheme: String
        /// As it stands on the wire: CAIP-2 in version 2, a word in version 1.
        public var network: String
        /// In the asset's smallest unit.
        public var amount: UInt256
        public var asset: String
        public var payTo: String
        public var maxTimeoutSeconds: Int64
        /// What the scheme adds; an empty object counts as absent.
        public var extra: JSONObject?
        /// Version 1 only.
        public var details: Details?

        public init(
            scheme: String,
            network: String,
            amount: UInt256,
            asset: String,
            payTo: String,
            maxTimeoutSeconds: Int64,
            extra: JSONObject? = nil,
            details: Details? = nil
        ) {
            self.scheme = scheme
            self.network = network
            self.amount = amount
            self.asset = asset
            self.payTo = payTo
            self.maxTimeoutSeconds = maxTimeoutSeconds
            self.extra = extra?.isEmpty == true ? nil : extra
            self.details = details
        }

        /// - Throws: ``X402Refusal`` `invalid_payment_requirements`.
        public init(json: JSONObject, version: Version) throws(X402Refusal) {
            self = try X402.reading(.invalidRequirements, "The payment requirements can't be read") {
                let timeout = try json.int64("maxTimeoutSeconds")
                guard (0...Self.longestTimeoutSeconds).contains(timeout) else {
                    throw JSONError(.value, "`maxTimeoutSeconds` must be 0 to \(Self.longestTimeoutSeconds)")
                }
                let network = try X402.name(json, "network")
                guard version == .v1 || X402.Network.isCAIP2(network) else {
                    throw JSONError(.value, "`network` must be a CAIP-2 chain id such as eip155:8453")
                }
                return Requirements(
                    scheme: try X402.name(json, "scheme"),
                    network: network,
                    amount: try UInt256(decimal: json.string(Self.amountKey(version))),
                    asset: try X402.name(json, "asset"),
                    payTo: try X402.name(json, "payTo"),
                    maxTimeoutSeconds: timeout,
                    extra: try json.optionalObject("extra"),
                    details: version == .v1 ? try Details(json: json) : nil
                )
            }
        }

        /// A year: more is a mistake, and would overflow times.
        private static let longestTimeoutSeconds: Int64 = 31_622_400

        private static func amountKey(_ version: Version) -> String {
            version == .v1 ? "maxAmountRequired" : "amount"
        }

        public func json(_ version: Version) -> JSONObject {
            var json: JSONObject = [
                "scheme": .string(scheme), "network": .string(network),
                Self.amountKey(version): .string(amount.description), "asset": .string(asset),
                "payTo": .string(payTo), "maxTimeoutSeconds": .integer(maxTimeoutSeconds),
            ]
            if version == .v1 {
                json["resource"] = .string(details?.resource ?? "")
                json["description"] = .string(details?.description ?? "")
                json["mimeType"] = details?.mimeType.map(JSONValue.string)
                json["outputSchema"] = details?.outputSchema.map(JSONValue.object)
            }
            json["extra"] = extra.map(JSONValue.object)
            return json
        }
    }

    /// What is sold: `ResourceInfo` of version 2.
    public struct Resource: Sendable, Equatable {
        public var url: String
        public var description: String?
        public var mimeType: String?
        /// At most 32 characters; for a catalogue.
        public var serviceName: String?
        /// At most 5 of at most 32 characters; for a catalogue.
        public var tags: [String]?
        public var iconURL: String?

        public init(
            url: String,
            description: String? = nil,
            mimeType: String? = nil,
            serviceName: String? = nil,
            tags: [String]? = nil,
            iconURL: String? = nil
        ) {
            self.url = url
            self.description = description
            self.mimeType = mimeType
            self.serviceName = serviceName
            self.tags = tags
            self.iconURL = iconURL
        }

        init(json: JSONObject) throws {
            self.init(
                url: try X402.bounded(json.string("url"), "url", 2048),
                description: try json.optionalString("description"),
                mimeType: try json.optionalString("mimeType"),
                serviceName: try json.optionalString("serviceName"),
                tags: try json.optionalStrings("tags"),
                iconURL: try json.optionalString("iconUrl")
            )
        }

        public var json: JSONObject {
            var json: JSONObject = ["url": .string(url)]
            json["description"] = description.map(JSONValue.string)
            json["mimeType"] = mimeType.map(JSONValue.string)
            json["serviceName"] = serviceName.map(JSONValue.string)
            json["tags"] = tags.map { JSONValue($0) }
            json["iconUrl"] = iconURL.map(JSONValue.string)
            return json
        }
    }

    static func bounded(_ text: String, _ key: String, _ maximum: Int) throws(JSONError) -> String {
        guard text.utf8.count <= maximum else {
            throw JSONError(.value, "`\(key)` has at most \(maximum) bytes")
        }
        return text
    }
}

extension X402.Requirements.Details {
    fileprivate init(json: JSONObject) throws {
        self.init(
            resource: try X402.bounded(json.string("resource"), "resource", 2048),
            description: try json.optionalString("description"),
            mimeType: try json.optionalString("mimeType"),
            outputSchema: try json.optionalObject("outputSchema")
        )
    }
}
