/// Why a payment of x402 is not taken. The code travels as `errorReason` or `invalidReason` and is spelt as the specification
/// (section 9) and the reference implementation (PyPI `x402` 2.25.0) spell it, so that clients know what to do.
public struct X402Refusal: Error, Sendable, Equatable, CustomStringConvertible {
    /// The name of a refusal; new ones may appear.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public var rawValue: String

        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        // The message.
        public static let invalidVersion = Code(rawValue: "invalid_x402_version")
        public static let invalidPayload = Code(rawValue: "invalid_payload")
        public static let invalidRequirements = Code(rawValue: "invalid_payment_requirements")
        public static let unsupportedScheme = Code(rawValue: "unsupported_scheme")
        public static let invalidNetwork = Code(rawValue: "invalid_network")
        public static let networkMismatch = Code(rawValue: "network_mismatch")

        // `exact` on EVM: what the payload says.
        public static let noNetworkConfiguration = Code(rawValue: "invalid_exact_evm_failed_to_get_network_config")
        public static let missingDomain = Code(rawValue: "missing_eip712_domain")
        public static let recipientMismatch = Code(rawValue: "invalid_exact_evm_payload_recipient_mismatch")
        public static let valueMismatch = Code(
            rawValue: "invalid_exact_evm_payload_authorization_value_mismatch"
        )
        public static let validAfter = Code(rawValue: "invalid_exact_evm_payload_authorization_valid_after")
        public static let validBefore = Code(rawValue: "invalid_exact_evm_payload_authorization_valid_before")
        public static let invalidSignature = Code(rawValue: "invalid_exact_evm_payload_signature")
        public static let undeployedWallet = Code(rawValue: "invalid_exact_evm_payload_undeployed_smart_wallet")

        // `exact` on EVM: what the chain says.
        public static let nonceUsed = Code(rawValue: "invalid_exact_evm_nonce_already_used")
        public static let insufficientBalance = Code(rawValue: "invalid_exact_evm_insufficient_balance")
        public static let tokenNameMismatch = Code(rawValue: "invalid_exact_evm_token_name_mismatch")
        public static let tokenVersionMismatch = Code(rawValue: "invalid_exact_evm_token_version_mismatch")
        public static let authorizationUnsupported = Code(rawValue: "invalid_exact_evm_eip3009_not_supported")
        public static let simulationFailed = Code(rawValue: "invalid_exact_evm_transaction_simulation_failed")
        public static let assetNotDeployed = Code(rawValue: "asset_not_deployed_contract")

        // Settling.
        public static let transactionFailed = Code(rawValue: "transaction_failed")
        /// The outcome is not known yet: never a failure. Ask again with the same payment.
        public static let settlementPending = Code(rawValue: "settlement_pending")
        public static let unexpectedVerifyError = Code(rawValue: "unexpected_verify_error")
        public static let unexpectedSettleError = Code(rawValue: "unexpected_settle_error")

        // Our own two schemes: see `Specs/x402-cashu.md` and `Specs/x402-lightning.md`.
        public static let invalidToken = Code(rawValue: "invalid_cashu_payload_token")
        public static let mintMismatch = Code(rawValue: "invalid_cashu_payload_mint_mismatch")
        public static let unitMismatch = Code(rawValue: "invalid_cashu_payload_unit_mismatch")
        public static let tokenValueMismatch = Code(rawValue: "invalid_cashu_payload_value_mismatch")
        public static let invalidPreimage = Code(rawValue: "invalid_lightning_payload_preimage")
        public static let invalidInvoice = Code(rawValue: "invalid_lightning_invoice")
        public static let invoiceExpired = Code(rawValue: "invalid_lightning_invoice_expired")

        // `payment-identifier`.
        public static let identifierRequired = Code(rawValue: "payment_identifier_required")
        public static let identifierConflict = Code(rawValue: "payment_identifier_conflict")
    }

    public var code: Code
    /// What happened and what to do about it; holds no secret. Travels as `errorMessage` or `invalidMessage`.
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(code.rawValue): \(message)" }
}
