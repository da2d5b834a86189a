public import CanonicalJSON
internal import Encodings
public import Ethereum

extension X402 {
    /// The extension `offer-receipt`: terms that the seller signed beforehand, and a signed statement of what was paid and served
    /// (`extension-offer-and-receipt.md`, version 1).
    public enum OfferReceipt {
        public static let id = "offer-receipt"

        /// The terms of one way to pay.
        public struct Offer: Sendable, Equatable {
            public var resourceURL: String
            public var scheme: String
            /// CAIP-2, in version 1 of x402 too.
            public var network: String
            public var asset: String
            public var payTo: String
            public var amount: String
            /// Seconds since 1970; nil and 0 mean that nothing was said.
            public var validUntil: UInt64?

            public init(requirements: Requirements, resourceURL: String, validUntil: UInt64? = nil) {
                self.resourceURL = resourceURL
                scheme = requirements.scheme
                network = requirements.network
                asset = requirements.asset
                payTo = requirements.payTo
                amount = requirements.amount.description
                self.validUntil = validUntil
            }

            /// - Throws: ``X402Refusal`` `invalid_payload`.
            public init(json: JSONObject) throws(X402Refusal) {
                self = try X402.reading(.invalidPayload, "The offer can't be read") { try Offer(reading: json) }
            }

            private init(reading json: JSONObject) throws {
                try OfferReceipt.checkVersion(json)
                resourceURL = try json.string("resourceUrl")
                scheme = try json.string("scheme")
                network = try json.string("network")
                asset = try json.string("asset")
                payTo = try json.string("payTo")
                amount = try json.string("amount")
                validUntil = try json.optionalUInt64("validUntil")
            }

            public var json: JSONObject {
                var json: JSONObject = [
                    "version": 1, "resourceUrl": .string(resourceURL), "scheme": .string(scheme),
                    "network": .string(network), "asset": .string(asset), "payTo": .string(payTo),
                    "amount": .string(amount),
                ]
                json["validUntil"] = validUntil.map { JSONValue($0) }
                return json
            }

            /// What is signed in the format `eip712`: 32 bytes.
            public var digest: [UInt8] {
                TypedDataDomain(name: "x402 offer", version: "1", chainID: UInt256(1)).digest(
                    of: TypedStruct(
                        "Offer",
                        [
                            .init("version", .uint256(UInt256(1))), .init("resourceUrl", .string(resourceURL)),
                            .init("scheme", .string(scheme)), .init("network", .string(network)),
                            .init("asset", .string(asset)), .init("payTo", .string(payTo)),
                            .init("amount", .string(amount)), .init("validUntil", .uint256(UInt256(validUntil ?? 0))),
                        ]
                    )
                )
            }

            /// Whether these are the terms of a way to pay: what counts, whatever `acceptIndex` says.
            public func matches(_ requirements: Requirements) -> Bool {
                scheme == requirements.scheme && network == requirements.network && asset == requirements.asset
                    && payTo == requirements.payTo && amount == requirements.amount.description
            }
        }

        /// That a payment came in and the service was rendered.
        public struct Receipt: Sendable, Equatable {
            /// CAIP-2.
            public var network: String
            public var resourceURL: String
            public var payer: String
            /// Seconds since 1970.
            public var issuedAt: UInt64
            /// Empty where the seller keeps it to itself.
            public var transaction: String

            public init(
                network: String,
                resourceURL: String,
                payer: String,
                issuedAt: UInt64,
                transaction: String = ""
            ) {
                self.network = network
                self.resourceURL = resourceURL
                self.payer = payer
                self.issuedAt = issuedAt
                self.transaction = transaction
            }

            /// - Throws: ``X402Refusal`` `invalid_payload`.
            public init(json: JSONObject) throws(X402Refusal) {
                self = try X402.reading(.invalidPayload, "The receipt can't be read") {
                    try OfferReceipt.checkVersion(json)
                    return Receipt(
                        network: try json.string("network"),
                        resourceURL: try json.string("resourceUrl"),
                        payer: try json.string("payer"),
                        issuedAt: try json.uint64("issuedAt"),
                        transaction: try json.optionalString("transaction") ?? ""
                    )
                }
            }

            public var json: JSONObject {
                [
                    "version": 1, "network": .string(network), "resourceUrl": .string(resourceURL),
                    "payer": .string(payer), "issuedAt": JSONValue(issuedAt), "transaction": .string(transaction),
                ]
            }

            /// What is signed in the format `eip712`: 32 bytes.
            public var digest: [UInt8] {
                TypedDataDomain(name: "x402 receipt", version: "1", chainID: UInt256(1)).digest(
                    of: TypedStruct(
                        "Receipt",
                        [
                            .init("version", .uint256(UInt256(1))), .init("network", .string(network)),
                            .init("resourceUrl", .string(resourceURL)), .init("payer", .string(payer)),
                            .init("issuedAt", .uint256(UInt256(issuedAt))),
                            .init("transaction", .string(transaction)),
                        ]
                    )
                )
            }
        }

        /// An offer or a receipt with its signature.
        public enum Artifact: Sendable, Equatable {
            /// The payload as it was sent, and the signature over its digest.
            case eip712(payload: JSONObject, signature: EthereumSignature)
            /// A compact JWS, which holds the payload; whoever reads it checks it with the key that its `kid` names.
            case jws(String)

            /// - Throws: ``X402Refusal`` `invalid_payload`.
            public init(json: JSONObject) throws(X402Refusal) {
                self = try X402.reading(.invalidPayload, "The signed offer or receipt can't be read") {
                    let signature = try json.string("signature")
                    switch try json.string("format") {
                    case "eip712":
                        return .eip712(
                            payload: try json.object("payload"),
                            signature: try EthereumSignature(bytes: EthereumHex.bytes(signature, count: 65))
                        )
                    case "jws":
                        guard json["payload"] == nil, signature.split(separator: ".").count == 3 else {
                            throw JSONError(.value, "a JWS has three parts, and no payload beside it")
                        }
                        return .jws(signature)
                    default:
                        throw JSONError(.value, "`format` must be eip712 or jws")
                    }
                }
            }

            /// - Parameter acceptIndex: where the offer's way to pay stands in `accepts`: a hint that nobody may trust.
            public func json(acceptIndex: Int? = nil) -> JSONObject {
                var json: JSONObject
                switch self {
                case .eip712(let payload, let signature):
                    json = [
                        "format": "eip712", "payload": .object(payload), "signature": .string(signature.description),
                    ]
                case .jws(let compact):
                    json = ["format": "jws", "signature": .string(compact)]
                }
                json["acceptIndex"] = acceptIndex.map { JSONValue($0) }
                return json
            }

            /// The payload: of a JWS as it stands in it, not checked.
            /// - Throws: ``X402Refusal`` `invalid_payload`.
            public func payload() throws(X402Refusal) -> JSONObject {
                switch self {
                case .eip712(let payload, _): return payload
                case .jws(let compact):
                    return try X402.reading(.invalidPayload, "The payload of the JWS can't be read") {
                        let parts = compact.split(separator: ".", omittingEmptySubsequences: false)
                        guard parts.count == 3 else { throw JSONError(.value, "it has not three parts") }
                        return try JSONValue.parse(Base64URL.decode(String(parts[1])), limits: X402.limits)
                            .requireObject("the payload")
                    }
                }
            }
        }

        /// Signs an offer in the format `eip712`.
        public static func sign(_ offer: Offer, key: EthereumKey) -> Artifact {
            .eip712(payload: offer.json, signature: key.sign(digest: offer.digest))
        }

        /// Signs a receipt in the format `eip712`.
        public static func sign(_ receipt: Receipt, key: EthereumKey) -> Artifact {
            .eip712(payload: receipt.json, signature: key.sign(digest: receipt.digest))
        }

        /// The account that signed an offer in the format `eip712`. Whether it may speak for the resource is the caller's to
        /// decide; the plain way is that it is `payTo`.
        /// - Throws: ``X402Refusal`` `invalid_payload`.
        public static func signer(ofOffer artifact: Artifact) throws(X402Refusal) -> Address {
            try signer(of: artifact) { payload throws(X402Refusal) in try Offer(json: payload).digest }
        }

        /// The account that signed a receipt in the format `eip712`; see ``signer(ofOffer:)``.
        public static func signer(ofReceipt artifact: Artifact) throws(X402Refusal) -> Address {
            try signer(of: artifact) { payload throws(X402Refusal) in try Receipt(json: payload).digest }
        }

        private static func signer(
            of artifact: Artifact,
            digest: (JSONObject) throws(X402Refusal) -> [UInt8]
        ) throws(X402Refusal) -> Address {
            guard case .eip712(let payload, let signature) = artifact else {
                throw X402Refusal(.invalidPayload, "A JWS names its key; no account can be recovered from it.")
            }
            let digest = try digest(payload)
            return try X402.reading(.invalidPayload, "The signature can't be checked") {
                try signature.signer(digest: digest)
            }
        }

        fileprivate static func checkVersion(_ json: JSONObject) throws {
            guard try json.uint64("version") == 1 else { throw JSONError(.value, "`version` must be 1") }
        }
    }
}

extension X402.OfferReceipt {
    /// What a challenge says of the extension: the signed offers, each with the place of its way to pay in `accepts`.
    public static func challenge(_ offers: [(offer: Artifact, acceptIndex: Int)]) -> JSONObject {
        [
            "info": ["offers": .array(offers.map { .object($0.offer.json(acceptIndex: $0.acceptIndex)) })],
            "schema": [
                "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
                "properties": ["offers": ["type": "array", "items": ["type": "object"]]], "required": ["offers"],
            ],
        ]
    }

    /// What a settlement says of the extension: the signed receipt.
    public static func settlement(_ receipt: Artifact) -> JSONObject {
        ["info": ["receipt": .object(receipt.json())]]
    }
}
