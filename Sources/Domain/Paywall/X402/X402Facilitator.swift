public import CanonicalJSON

extension X402 {
    /// What is asked of a facilitator: the body of `POST /verify` and `POST /settle`.
    public struct FacilitatorRequest: Sendable, Equatable {
        public var payment: PaymentPayload
        public var requirements: Requirements

        public init(payment: PaymentPayload, requirements: Requirements) {
            self.payment = payment
            self.requirements = requirements
        }

        /// - Throws: ``X402Refusal`` `invalid_x402_version`, `invalid_payload` or `invalid_payment_requirements`.
        public init(json: JSONObject) throws(X402Refusal) {
            let version = try Version(of: json)
            let parts = try X402.reading(.invalidPayload, "The request can't be read") {
                (try json.object("paymentPayload"), try json.object("paymentRequirements"))
            }
            payment = try PaymentPayload(json: parts.0)
            guard payment.version == version else {
                throw X402Refusal(.invalidVersion, "`x402Version` is not that of the payment.")
            }
            requirements = try Requirements(json: parts.1, version: version)
        }

        public var json: JSONObject {
            [
                "x402Version": JSONValue(payment.version.rawValue), "paymentPayload": .object(payment.json),
                "paymentRequirements": .object(requirements.json(payment.version)),
            ]
        }
    }

    /// The answer of `POST /verify`.
    public struct VerifyResponse: Sendable, Equatable {
        public var isValid: Bool
        /// The code of ``X402Refusal``; nil where it is valid.
        public var invalidReason: String?
        public var invalidMessage: String?
        public var payer: String?

        public init(
            isValid: Bool,
            invalidReason: String? = nil,
            invalidMessage: String? = nil,
            payer: String? = nil
        ) {
            self.isValid = isValid
            self.invalidReason = invalidReason
            self.invalidMessage = invalidMessage
            self.payer = payer
        }

        public init(refusal: X402Refusal, payer: String? = nil) {
            self.init(
                isValid: false,
                invalidReason: refusal.code.rawValue,
                invalidMessage: refusal.message,
                payer: payer
            )
        }

        /// - Throws: ``X402Refusal`` `unexpected_verify_error`.
        public init(json: JSONObject) throws(X402Refusal) {
            self = try X402.reading(.unexpectedVerifyError, "The verification can't be read") {
                VerifyResponse(
                    isValid: try json.bool("isValid"),
                    invalidReason: try json.optionalString("invalidReason"),
                    invalidMessage: try json.optionalString("invalidMessage"),
                    payer: try json.optionalString("payer")
                )
            }
        }

        public var json: JSONObject {
            var json: JSONObject = ["isValid": .bool(isValid)]
            json["invalidReason"] = invalidReason.map(JSONValue.string)
            json["invalidMessage"] = invalidMessage.map(JSONValue.string)
            json["payer"] = payer.map(JSONValue.string)
            return json
        }
    }

    /// One kind of payment that a facilitator takes.
    public struct SupportedKind: Sendable, Equatable {
        public var version: Version
        public var scheme: String
        public var network: String
        public var extra: JSONObject?

        public init(version: Version, scheme: String, network: String, extra: JSONObject? = nil) {
            self.version = version
            self.scheme = scheme
            self.network = network
            self.extra = extra
        }

        public var json: JSONObject {
            var json: JSONObject = [
                "x402Version": JSONValue(version.rawValue), "scheme": .string(scheme), "network": .string(network),
            ]
            json["extra"] = extra.map(JSONValue.object)
            return json
        }
    }

    /// The answer of `GET /supported`.
    public struct Supported: Sendable, Equatable {
        public var kinds: [SupportedKind]
        /// Ids of extensions.
        public var extensions: [String]
        /// CAIP-2 pattern, such as `eip155:*`, → the addresses that settle there.
        public var signers: [String: [String]]

        public init(kinds: [SupportedKind], extensions: [String], signers: [String: [String]]) {
            self.kinds = kinds
            self.extensions = extensions
            self.signers = signers
        }

        /// Reads what a facilitator says of itself; a kind of a version that is not known is left aside.
        /// - Throws: ``X402Refusal`` `unexpected_verify_error`.
        public init(json: JSONObject) throws(X402Refusal) {
            self = try X402.reading(.unexpectedVerifyError, "The facilitator's kinds can't be read") {
                var kinds: [SupportedKind] = []
                for element in try json.array("kinds").prefix(1000) {
                    let kind = try element.requireObject("a kind")
                    guard let version = try? Version(of: kind) else { continue }
                    kinds.append(
                        SupportedKind(
                            version: version,
                            scheme: try X402.name(kind, "scheme"),
                            network: try X402.name(kind, "network"),
                            extra: try kind.optionalObject("extra")
                        )
                    )
                }
                var signers: [String: [String]] = [:]
                let named = try json.optionalObject("signers") ?? [:]
                for key in named.keys { signers[key] = try named.strings(key) }
                return Supported(
                    kinds: kinds,
                    extensions: try json.optionalStrings("extensions") ?? [],
                    signers: signers
                )
            }
        }

        public var json: JSONObject {
            [
                "kinds": .array(kinds.map { .object($0.json) }), "extensions": JSONValue(extensions),
                "signers": .object(
                    JSONObject(signers.sorted { $0.key < $1.key }.map { ($0.key, JSONValue($0.value)) })
                ),
            ]
        }
    }

    /// What a catalogue says of one resource: an item of `GET /discovery/resources`.
    public struct DiscoveredResource: Sendable, Equatable {
        public var resource: String
        /// `http`, or `mcp`.
        public var type: String
        public var version: Version
        public var accepts: [Requirements]
        /// Seconds since 1970.
        public var lastUpdated: Int64
        public var metadata: JSONObject?
        /// What the resource says in the extensions of its challenge, by their names.
        public var extensions = JSONObject()

        /// What stands in `metadata` by the specification, and beside it where the reference implementation looks for it.
        private static let shownBeside = ["serviceName", "description", "mimeType", "tags"]

        public init(
            resource: String,
            type: String = "http",
            version: Version = .v2,
            accepts: [Requirements],
            lastUpdated: Int64,
            metadata: JSONObject? = nil
        ) {
            self.resource = resource
            self.type = type
            self.version = version
            self.accepts = accepts
            self.lastUpdated = lastUpdated
            self.metadata = metadata
        }

        public var json: JSONObject {
            var json: JSONObject = [
                "resource": .string(resource), "type": .string(type), "x402Version": JSONValue(version.rawValue),
                "accepts": .array(accepts.map { .object($0.json(version)) }), "lastUpdated": .integer(lastUpdated),
            ]
            json["metadata"] = metadata.map(JSONValue.object)
            for name in Self.shownBeside { json[name] = metadata?[name] }
            if !extensions.isEmpty { json["extensions"] = .object(extensions) }
            return json
        }
    }

    /// Which resources of a catalogue are asked for; what is nil asks for nothing.
    public struct DiscoveryQuery: Sendable, Equatable {
        public var type: String?
        /// These three hold of one of the resource's ways to pay. An address is the same in whatever case.
        public var scheme: String?
        public var network: String?
        public var payTo: String?
        /// The name of an extension that the resource has.
        public var extensionName: String?

        public init(
            type: String? = nil,
            scheme: String? = nil,
            network: String? = nil,
            payTo: String? = nil,
            extensionName: String? = nil
        ) {
            self.type = type
            self.scheme = scheme
            self.network = network
            self.payTo = payTo
            self.extensionName = extensionName
        }

        func matches(_ resource: DiscoveredResource) -> Bool {
            guard type == nil || resource.type == type else { return false }
            if let extensionName, !resource.extensions.contains(extensionName) { return false }
            guard scheme != nil || network != nil || payTo != nil else { return true }
            return resource.accepts.contains { way in
                (scheme == nil || way.scheme == scheme) && (network == nil || way.network == network)
                    && (payTo == nil || way.payTo.lowercased() == payTo?.lowercased())
            }
        }
    }

    /// A page of a catalogue: the answer of `GET /discovery/resources`.
    public struct DiscoveryPage: Sendable, Equatable {
        /// 1 to 100 items a page, 20 where the asker says nothing.
        public static let limits = 1...100
        public static let usualLimit = 20

        public var items: [DiscoveredResource]
        public var limit: Int
        public var offset: Int
        public var total: Int

        /// The page of `all` that is asked for. A limit out of bounds is moved into them, a negative offset to 0.
        public init(
            of all: [DiscoveredResource],
            _ query: DiscoveryQuery = DiscoveryQuery(),
            limit: Int?,
            offset: Int?
        ) {
            let matching = all.filter(query.matches)
            self.limit = min(max(limit ?? Self.usualLimit, Self.limits.lowerBound), Self.limits.upperBound)
            self.offset = max(offset ?? 0, 0)
            total = matching.count
            items = Array(matching.dropFirst(self.offset).prefix(self.limit))
        }

        public var json: JSONObject {
            [
                "x402Version": 2, "items": .array(items.map { .object($0.json) }),
                "pagination": [
                    "limit": JSONValue(limit), "offset": JSONValue(offset), "total": JSONValue(total),
                ],
            ]
        }
    }
}
