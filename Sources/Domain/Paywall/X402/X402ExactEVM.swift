public import CanonicalJSON
public import Encodings
public import Ethereum

extension X402 {
    /// The scheme `exact` on EVM chains by signed authorisation (EIP-3009): what can be said of a payment without asking the chain
    /// (`scheme_exact_evm.md`, phase 2, steps 1, 3 and 4). Permit2 and ERC-7710 are not spoken.
    public enum ExactEVM {
        public static let scheme = "exact"
        /// The seconds that must be left of an authorisation, as the reference implementation asks: time to settle it.
        public static let settlingSeconds: UInt64 = 6
        /// The longest signature read, in bytes: one of a contract's account can be long.
        public static let maximumSignatureBytes = 4096

        /// How an authorisation is signed.
        public enum Signature: Sendable, Equatable {
            /// By the payer's own key, checked.
            case account(EthereumSignature)
            /// Not by the payer's own key: only the payer's account, where it is a contract (EIP-1271), can say whether it
            /// holds. Ask the chain.
            case contract([UInt8])
        }

        /// What the payload of the scheme says, as it was read.
        public struct Payload: Sendable, Equatable {
            public var authorization: TransferAuthorization
            /// Not checked.
            public var signature: [UInt8]

            public init(authorization: TransferAuthorization, signature: [UInt8]) {
                self.authorization = authorization
                self.signature = signature
            }

            /// - Throws: ``X402Refusal`` `invalid_payload`.
            public init(json: JSONObject) throws(X402Refusal) {
                self = try X402.reading(.invalidPayload, "The payload of `exact` can't be read") {
                    guard json["permit2Authorization"] == nil else {
                        throw JSONError(.value, "only authorisations of EIP-3009 are taken here, no Permit2")
                    }
                    let fields = try json.object("authorization")
                    return Payload(
                        authorization: try TransferAuthorization(
                            from: Address(fields.string("from")),
                            to: Address(fields.string("to")),
                            value: UInt256(decimal: fields.string("value")),
                            validAfter: UInt256(decimal: fields.string("validAfter")),
                            validBefore: UInt256(decimal: fields.string("validBefore")),
                            nonce: EthereumHex.bytes(fields.string("nonce"), count: 32)
                        ),
                        signature: try EthereumHex.bytes(json.string("signature"), maximum: maximumSignatureBytes)
                    )
                }
            }

            public var json: JSONObject {
                [
                    "signature": .string(EthereumHex.text(signature)),
                    "authorization": [
                        "from": .string(authorization.from.description),
                        "to": .string(authorization.to.description),
                        "value": .string(authorization.value.description),
                        "validAfter": .string(authorization.validAfter.description),
                        "validBefore": .string(authorization.validBefore.description),
                        "nonce": .string(EthereumHex.text(authorization.nonce)),
                    ],
                ]
            }
        }

        /// A payment that has passed every check that needs no chain.
        public struct Checked: Sendable, Equatable {
            public var token: AuthorizedToken
            public var authorization: TransferAuthorization
            public var signature: Signature

            public var payer: Address { authorization.from }

            /// The one name of the payment: chain, contract, payer and nonce, which the contract takes once.
            public var id: String {
                "eip155:\(token.chainID)/\(EthereumHex.text(token.contract.bytes))"
                    + "/\(EthereumHex.text(payer.bytes))/\(EthereumHex.text(authorization.nonce))"
            }

            /// The call that carries the payment out.
            public var callData: [UInt8] {
                switch signature {
                case .account(let signature): authorization.callData(signature: signature)
                case .contract(let bytes): authorization.callData(signatureBytes: bytes)
                }
            }
        }

        /// Checks a payment against what is asked for, in the order of the reference implementation.
        /// - Parameters:
        ///   - payload: read from `payment.payload`.
        ///   - requirements: the seller's own, not those that the payment echoes.
        ///   - now: nil leaves the time aside, for a payment that is under way already.
        /// - Throws: ``X402Refusal`` with the code that the reference implementation gives.
        public static func check(
            _ payload: Payload,
            of payment: PaymentPayload,
            against requirements: Requirements,
            now: Timestamp?
        ) throws(X402Refusal) -> Checked {
            let token = try token(of: payment, requirements: requirements)
            let authorization = payload.authorization
            guard let payTo = try? Address(requirements.payTo) else {
                throw X402Refusal(
                    .invalidRequirements,
                    "`payTo` is no address; capitals must be its checksum (EIP-55)."
                )
            }
            guard authorization.to == payTo else {
                throw X402Refusal(.recipientMismatch, "The authorisation pays \(authorization.to), not \(payTo).")
            }
            guard authorization.value == requirements.amount else {
                throw X402Refusal(
                    .valueMismatch,
                    "The authorisation is for \(authorization.value); exactly \(requirements.amount) is asked for."
                )
            }
            if let now { try checkTime(of: authorization, now: now) }
            if let accepted = payment.accepted {
                guard accepted.amount == requirements.amount, accepted.asset == requirements.asset,
                    accepted.payTo == requirements.payTo
                else {
                    throw X402Refusal(.invalidRequirements, "`accepted` is not what the seller asks for.")
                }
            }
            return Checked(
                token: token,
                authorization: authorization,
                signature: try signature(payload, token: token)
            )
        }

        /// The token that is asked for.
        private static func token(
            of payment: PaymentPayload,
            requirements: Requirements
        ) throws(X402Refusal) -> AuthorizedToken {
            guard payment.scheme == scheme, requirements.scheme == scheme else {
                throw X402Refusal(.unsupportedScheme, "The scheme must be `exact`.")
            }
            guard payment.network == requirements.network else {
                throw X402Refusal(
                    .networkMismatch,
                    "The payment is on \(payment.network), asked for is \(requirements.network)."
                )
            }
            guard let chainID = Network.chainID(of: requirements.network, version: payment.version) else {
                throw X402Refusal(
                    .noNetworkConfiguration,
                    "\(requirements.network) is no EVM chain that is known here."
                )
            }
            guard let contract = try? Address(requirements.asset) else {
                throw X402Refusal(.invalidRequirements, "`asset` is no address of a token's contract.")
            }
            let method = requirements.extra?["assetTransferMethod"]
            guard method == nil || method == "eip3009" else {
                throw X402Refusal(.invalidRequirements, "Only the transfer method eip3009 is taken here.")
            }
            guard let name = requirements.extra?["name"]?.stringValue,
                let version = requirements.extra?["version"]?.stringValue
            else {
                throw X402Refusal(.missingDomain, "`extra` must name the token's `name` and `version` for EIP-712.")
            }
            return AuthorizedToken(contract: contract, chainID: chainID, name: name, version: version)
        }

        /// Whether there is time to settle an authorisation, and it has begun.
        /// - Throws: ``X402Refusal``.
        public static func checkTime(of authorization: TransferAuthorization, now: Timestamp) throws(X402Refusal) {
            let seconds = UInt64(max(0, now.secondsSince1970))
            guard authorization.validBefore >= UInt256(seconds + settlingSeconds) else {
                throw X402Refusal(
                    .validBefore,
                    "The authorisation ends at \(authorization.validBefore); it is \(seconds), and \(settlingSeconds) s are needed."
                )
            }
            guard authorization.validAfter <= UInt256(seconds) else {
                throw X402Refusal(
                    .validAfter,
                    "The authorisation begins at \(authorization.validAfter); it is \(seconds)."
                )
            }
        }

        private static func signature(_ payload: Payload, token: AuthorizedToken) throws(X402Refusal) -> Signature {
            if let signature = try? EthereumSignature(bytes: payload.signature),
                payload.authorization.isSigned(signature, for: token)
            {
                return .account(signature)
            }
            guard !payload.signature.isEmpty else {
                throw X402Refusal(.invalidSignature, "The authorisation is not signed.")
            }
            guard !payload.signature.isMarkedByERC6492 else {
                throw X402Refusal(.undeployedWallet, "Accounts that are not deployed yet (ERC-6492) can't pay here.")
            }
            return .contract(payload.signature)
        }
    }
}

extension [UInt8] {
    /// Whether a signature ends as ERC-6492 marks those of accounts that do not exist yet: `6492` sixteen times.
    fileprivate var isMarkedByERC6492: Bool {
        count >= 32 && suffix(32).elementsEqual((0..<32).map { $0.isMultiple(of: 2) ? 0x64 : 0x92 })
    }
}
