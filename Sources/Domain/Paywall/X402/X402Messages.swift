public import CanonicalJSON

extension X402 {
    /// A challenge: `PaymentRequired`, the object of the header `PAYMENT-REQUIRED` (version 2) or of the 402's body (version 1).
    public struct PaymentRequired: Sendable, Equatable {
        public var version: Version
        /// For people: why payment is asked for.
        public var error: String?
        /// Version 2 only.
        public var resource: Resource?
        public var accepts: [Requirements]
        /// Version 2 only: extension id → `{info, schema}`.
        public var extensions: JSONObject?

        public init(
            version: Version,
            error: String? = nil,
            resource: Resource? = nil,
            accepts: [Requirements],
            extensions: JSONObject? = nil
        ) {
            self.version = version
            self.error = error
            self.resource = resource
            self.accepts = accepts
            self.extensions = extensions?.isEmpty == true ? nil : extensions
        }

        /// Reads a challenge, as a buyer does. A way to pay that can't be read is left aside, as nobody need understand all.
        /// - Throws: ``X402Refusal`` `invalid_x402_version`, or `invalid_payment_requirements` where no way is left.
        public init(json: JSONObject) throws(X402Refusal) {
            let version = try Version(of: json)
            self = try X402.reading(.invalidRequirements, "The challenge can't be read") {
                let offered = try json.array("accepts")
                guard offered.count <= X402.maximumAccepts else {
                    throw JSONError(.value, "`accepts` has at most \(X402.maximumAccepts) elements")
                }
                let accepts = offered.compactMap { element in
                    element.objectValue.flatMap { try? Requirements(json: $0, version: version) }
                }
                guard !accepts.isEmpty else {
                    throw JSONError(.value, "`accepts` holds no way to pay that can be read")
                }
                return PaymentRequired(
                    version: version,
                    error: try json.optionalString("error"),
                    resource: version == .v2 ? try json.optionalObject("resource").map(Resource.init(json:)) : nil,
                    accepts: accepts,
                    extensions: version == .v2 ? try json.optionalObject("extensions") : nil
                )
            }
        }

        public var json: JSONObject {
            var json: JSONObject = ["x402Version": JSONValue(version.rawValue)]
            json["error"] = error.map(JSONValue.string)
            if version == .v2 { json["resource"] = (resource?.json).map(JSONValue.object) }
            json["accepts"] = .array(accepts.map { .object($0.json(version)) })
            if version == .v2 { json["extensions"] = extensions.map(JSONValue.object) }
            return json
        }
    }

    /// A payment: `PaymentPayload`, the object of `PAYMENT-SIGNATURE` (version 2) or `X-PAYMENT` (version 1).
    public struct PaymentPayload: Sendable, Equatable {
        public var version: Version
        /// Version 2 only.
        public var resource: Resource?
        /// The way to pay that was chosen, echoed: version 2 only.
        public var accepted: Requirements?
        public var scheme: String
        /// As it stands on the wire.
        public var network: String
        /// What the scheme says.
        public var payload: JSONObject
        /// Version 2 only: what the challenge said, and more.
        public var extensions: JSONObject?

        /// A payment of version 2.
        public init(
            accepted: Requirements,
            payload: JSONObject,
            resource: Resource? = nil,
            extensions: JSONObject? = nil
        ) {
            version = .v2
            self.resource = resource
            self.accepted = accepted
            scheme = accepted.scheme
            network = accepted.network
            self.payload = payload
            self.extensions = extensions?.isEmpty == true ? nil : extensions
        }

        /// A payment of version 1.
        public init(scheme: String, network: String, payload: JSONObject) {
            version = .v1
            self.scheme = scheme
            self.network = network
            self.payload = payload
        }

        /// - Throws: ``X402Refusal`` `invalid_x402_version` or `invalid_payload`.
        public init(json: JSONObject) throws(X402Refusal) {
            let version = try Version(of: json)
            self = try X402.reading(.invalidPayload, "The payment can't be read") {
                let payload = try json.object("payload")
                switch version {
                case .v1:
                    return PaymentPayload(
                        scheme: try X402.name(json, "scheme"),
                        network: try X402.name(json, "network"),
                        payload: payload
                    )
                case .v2:
                    let accepted: Requirements
                    do {
                        accepted = try Requirements(json: json.object("accepted"), version: .v2)
                    } catch let refusal as X402Refusal {
                        throw X402Refusal(.invalidPayload, "`accepted`: \(refusal.message)")
                    }
                    return PaymentPayload(
                        accepted: accepted,
                        payload: payload,
                        resource: try json.optionalObject("resource").map(Resource.init(json:)),
                        extensions: try json.optionalObject("extensions")
                    )
                }
            }
        }

        /// Reads the payment of a request.
        /// - Parameter values: every value of the version's header.
        /// - Returns: nil where there is none.
        /// - Throws: ``X402Refusal`` `invalid_payload` where there are several, or it can't be read.
        public static func payment(headerValues values: [String]) throws(X402Refusal) -> PaymentPayload? {
            guard let value = values.first else { return nil }
            guard values.count == 1 else {
                throw X402Refusal(.invalidPayload, "The request has several payments; send one in one header.")
            }
            return try PaymentPayload(json: X402.object(header: value))
        }

        public var json: JSONObject {
            var json: JSONObject = ["x402Version": JSONValue(version.rawValue)]
            switch version {
            case .v1:
                json["scheme"] = .string(scheme)
                json["network"] = .string(network)
                json["payload"] = .object(payload)
            case .v2:
                json["resource"] = (resource?.json).map(JSONValue.object)
                json["accepted"] = (accepted?.json(.v2)).map(JSONValue.object)
                json["payload"] = .object(payload)
                json["extensions"] = extensions.map(JSONValue.object)
            }
            return json
        }

        /// The way to pay of a challenge that this payment answers: in version 2 the one that is echoed to the letter, in
        /// version 1 the first of its scheme and network. Nil where it answers none: then it is no payment for this.
        public func chosen(of accepts: [Requirements]) -> Requirements? {
            switch version {
            case .v1: accepts.first { $0.scheme == scheme && $0.network == network }
            case .v2: accepts.first { $0 == accepted }
            }
        }
    }

    /// How a payment was settled: `SettlementResponse`, and the answer of a facilitator's `/settle`.
    public struct SettleResponse: Sendable, Equatable {
        public var success: Bool
        /// The code of ``X402Refusal``; nil on success.
        public var errorReason: String?
        public var errorMessage: String?
        /// The chain's name of the transaction. Empty where there is none; there also without success where one was sent and
        /// its outcome is not known.
        public var transaction: String
        public var network: String
        public var payer: String?
        /// What was moved, in the asset's smallest unit, as decimal digits.
        public var amount: String?
        public var extensions: JSONObject?

        public init(
            success: Bool,
            errorReason: String? = nil,
            errorMessage: String? = nil,
            transaction: String,
            network: String,
            payer: String? = nil,
            amount: String? = nil,
            extensions: JSONObject? = nil
        ) {
            self.success = success
            self.errorReason = errorReason
            self.errorMessage = errorMessage
            self.transaction = transaction
            self.network = network
            self.payer = payer
            self.amount = amount
            self.extensions = extensions
        }

        /// The answer for a payment that was refused before anything moved.
        public init(refusal: X402Refusal, network: String, payer: String? = nil, transaction: String = "") {
            self.init(
                success: false,
                errorReason: refusal.code.rawValue,
                errorMessage: refusal.message,
                transaction: transaction,
                network: network,
                payer: payer
            )
        }

        /// - Throws: ``X402Refusal`` `unexpected_settle_error`.
        public init(json: JSONObject) throws(X402Refusal) {
            self = try X402.reading(.unexpectedSettleError, "The settlement can't be read") {
                let success = try json.bool("success")
                let transaction = try X402.bounded(json.string("transaction"), "transaction", X402.maximumNameBytes)
                guard !success || !transaction.isEmpty else {
                    throw JSONError(.value, "a settlement that succeeded must name its transaction")
                }
                return SettleResponse(
                    success: success,
                    errorReason: try json.optionalString("errorReason"),
                    errorMessage: try json.optionalString("errorMessage"),
                    transaction: transaction,
                    network: try X402.bounded(json.string("network"), "network", X402.maximumNameBytes),
                    payer: try json.optionalString("payer"),
                    amount: try json.optionalString("amount"),
                    extensions: try json.optionalObject("extensions")
                )
            }
        }

        public var json: JSONObject {
            var json: JSONObject = ["success": .bool(success)]
            json["errorReason"] = errorReason.map(JSONValue.string)
            json["errorMessage"] = errorMessage.map(JSONValue.string)
            json["payer"] = payer.map(JSONValue.string)
            json["transaction"] = .string(transaction)
            json["network"] = .string(network)
            json["amount"] = amount.map(JSONValue.string)
            json["extensions"] = extensions.map(JSONValue.object)
            return json
        }
    }
}
