public import CanonicalJSON
public import Cashu
internal import Cryptography
internal import Encodings
internal import Ethereum

extension X402 {
    /// Ecash over x402 (`Specs/x402-cashu.md`): each mint is a network of its own, its unit the asset, the seller's key the payee.
    /// What the token is worth and whether it can be taken is decided where all ecash is: ``OfflineAcceptance``.
    public enum CashuScheme {
        public static let scheme = "cashu"

        /// The CAIP-2 name of a mint ([XCASH-1]): `cashu:` and the first 32 hex digits of SHA-256 over its address.
        public static func network(of mint: MintURL) -> String {
            "cashu:" + Hex.encode(Hashing.sha256(Array(mint.string.utf8)).prefix(16))
        }

        /// The ways to pay at these mints ([XCASH-2], [XCASH-3]).
        /// - Parameters:
        ///   - amount: the price with the fees of its own split, see `Fees.grossedUp`.
        ///   - sellerKey: the compressed key that proofs should be locked to, 33 bytes.
        public static func requirements(
            amount: UInt64,
            unit: CurrencyUnit,
            mint: MintURL,
            sellerKey: [UInt8],
            maxTimeoutSeconds: Int64
        ) -> Requirements {
            Requirements(
                scheme: scheme,
                network: network(of: mint),
                amount: UInt256(amount),
                asset: unit.name,
                payTo: Hex.encode(sellerKey),
                maxTimeoutSeconds: maxTimeoutSeconds,
                extra: ["mint": .string(mint.string), "lock": .string(SpendingSecret.p2pk)]
            )
        }

        /// What a way to pay asks of a buyer.
        public struct Terms: Sendable, Equatable {
            public var mint: MintURL
            public var unit: CurrencyUnit
            public var amount: UInt64
            /// The compressed key that the proofs are to be locked to, 33 bytes.
            public var sellerKey: [UInt8]

            public init(mint: MintURL, unit: CurrencyUnit, amount: UInt64, sellerKey: [UInt8]) {
                self.mint = mint
                self.unit = unit
                self.amount = amount
                self.sellerKey = sellerKey
            }
        }

        /// Reads a way to pay, as a buyer does ([XCASH-1] to [XCASH-3]).
        /// - Throws: ``X402Refusal`` `unsupported_scheme`, or `invalid_payment_requirements`.
        public static func terms(of requirements: Requirements) throws(X402Refusal) -> Terms {
            guard requirements.scheme == scheme else {
                throw X402Refusal(.unsupportedScheme, "The scheme must be `\(scheme)`.")
            }
            return try X402.reading(.invalidRequirements, "The way to pay with ecash can't be read") {
                guard let extra = requirements.extra, let amount = requirements.amount.uint64Value, amount > 0 else {
                    throw JSONError(.value, "it needs `extra` and an amount of 1 to 64 bits")
                }
                let mint = try MintURL(extra.string("mint"))
                guard requirements.network == network(of: mint) else {
                    throw JSONError(.value, "`network` is not the name of `extra.mint`")
                }
                guard try extra.string("lock") == SpendingSecret.p2pk else {
                    throw JSONError(.value, "`extra.lock` must be P2PK")
                }
                let key = try Hex.decode(requirements.payTo)
                _ = try Secp256k1.Point(compressed: key)
                return Terms(mint: mint, unit: try CurrencyUnit(requirements.asset), amount: amount, sellerKey: key)
            }
        }

        /// A payment with this token ([XCASH-4]).
        public static func payment(
            _ token: Token,
            accepted: Requirements,
            resource: Resource? = nil,
            extensions: JSONObject? = nil
        ) -> PaymentPayload {
            PaymentPayload(
                accepted: accepted,
                payload: ["token": .string(token.serialized())],
                resource: resource,
                extensions: extensions
            )
        }

        /// Checks a payment against what is asked for, and reads its token ([XCASH-4] to [XCASH-6]). What remains to be checked
        /// (lock, signatures, fees, spent or not) is the same as for a token that comes by NUT-24.
        /// - Throws: ``X402Refusal``; the buyer's proofs are untouched.
        public static func token(
            of payment: PaymentPayload,
            against requirements: Requirements
        ) throws(X402Refusal) -> Token {
            let terms = try terms(of: requirements)
            guard payment.scheme == scheme else {
                throw X402Refusal(.unsupportedScheme, "The scheme must be `\(scheme)`.")
            }
            guard payment.network == requirements.network else {
                throw X402Refusal(.networkMismatch, "The payment names another mint than the one that is asked for.")
            }
            guard payment.accepted == requirements else {
                throw X402Refusal(.invalidRequirements, "`accepted` is not what the seller asks for.")
            }
            guard let text = payment.payload["token"]?.stringValue, text.utf8.count <= NUT24.maximumTokenBytes,
                let token = try? Token(text)
            else {
                throw X402Refusal(
                    .invalidToken,
                    "`token` must be a Cashu token of at most \(NUT24.maximumTokenBytes) bytes. Nothing was taken."
                )
            }
            guard token.mint == terms.mint else {
                throw X402Refusal(.mintMismatch, "The token is of another mint than \(terms.mint). Nothing was taken.")
            }
            guard token.unit == terms.unit else {
                throw X402Refusal(.unitMismatch, "The token is in \(token.unit), not \(terms.unit). Nothing was taken.")
            }
            guard let amount = try? token.amount(), amount == terms.amount else {
                throw X402Refusal(
                    .tokenValueMismatch,
                    "The token is not worth exactly \(terms.amount) \(terms.unit). Nothing was taken."
                )
            }
            return token
        }

        /// The settlement of a payment that was taken ([XCASH-7]).
        /// - Parameter digest: of the payment, which names it without spending it.
        public static func settled(_ requirements: Requirements, digest: PaymentDigest) -> SettleResponse {
            SettleResponse(
                success: true,
                transaction: digest.description,
                network: requirements.network,
                amount: requirements.amount.description
            )
        }
    }
}
