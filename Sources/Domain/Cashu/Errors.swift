// Error codes of the protocol (error_codes.md of cashubtc/nuts, NUT-00 "Errors") and the errors of this room.
public import CanonicalJSON

/// The number a mint puts in the `code` member of an error (error_codes.md). New codes can be added by extension.
public struct MintErrorCode: RawRepresentable, Hashable, Sendable {
    public let rawValue: Int

    public init(rawValue: Int) {
        self.rawValue = rawValue
    }

    /// The request can't be understood at all. The specs reserve no number for it; this one is ours.
    public static let malformedRequest = MintErrorCode(rawValue: 10000)
    /// A proof's signature, or the witness its spending condition asks for, doesn't verify.
    public static let proofVerificationFailed = MintErrorCode(rawValue: 10001)
    public static let proofsAlreadySpent = MintErrorCode(rawValue: 11001)
    public static let proofsPending = MintErrorCode(rawValue: 11002)
    public static let outputsAlreadySigned = MintErrorCode(rawValue: 11003)
    public static let outputsPending = MintErrorCode(rawValue: 11004)
    /// Inputs minus fees don't equal outputs.
    public static let transactionNotBalanced = MintErrorCode(rawValue: 11005)
    public static let amountOutsideLimits = MintErrorCode(rawValue: 11006)
    public static let duplicateInputs = MintErrorCode(rawValue: 11007)
    public static let duplicateOutputs = MintErrorCode(rawValue: 11008)
    /// The inputs alone, or the outputs alone, are of several units.
    public static let multipleUnits = MintErrorCode(rawValue: 11009)
    public static let unitMismatch = MintErrorCode(rawValue: 11010)
    public static let amountlessInvoiceNotSupported = MintErrorCode(rawValue: 11011)
    public static let amountDiffersFromInvoice = MintErrorCode(rawValue: 11012)
    public static let unitNotSupported = MintErrorCode(rawValue: 11013)
    public static let maximumInputsExceeded = MintErrorCode(rawValue: 11014)
    public static let maximumOutputsExceeded = MintErrorCode(rawValue: 11015)
    public static let duplicateQuotes = MintErrorCode(rawValue: 11016)
    public static let maximumBatchExceeded = MintErrorCode(rawValue: 11017)
    public static let keysetUnknown = MintErrorCode(rawValue: 12001)
    public static let keysetInactive = MintErrorCode(rawValue: 12002)
    public static let keysetExpired = MintErrorCode(rawValue: 12003)
    public static let quoteNotPaid = MintErrorCode(rawValue: 20001)
    public static let quoteAlreadyIssued = MintErrorCode(rawValue: 20002)
    public static let mintingDisabled = MintErrorCode(rawValue: 20003)
    public static let lightningPaymentFailed = MintErrorCode(rawValue: 20004)
    public static let quotePending = MintErrorCode(rawValue: 20005)
    public static let invoiceAlreadyPaid = MintErrorCode(rawValue: 20006)
    public static let quoteExpired = MintErrorCode(rawValue: 20007)
    public static let mintSignatureInvalid = MintErrorCode(rawValue: 20008)
    public static let mintPublicKeyRequired = MintErrorCode(rawValue: 20009)
    public static let clearAuthRequired = MintErrorCode(rawValue: 30001)
    public static let clearAuthFailed = MintErrorCode(rawValue: 30002)
    public static let blindAuthRequired = MintErrorCode(rawValue: 31001)
    public static let blindAuthFailed = MintErrorCode(rawValue: 31002)
    public static let blindAuthAmountExceeded = MintErrorCode(rawValue: 31003)
    public static let blindAuthRateExceeded = MintErrorCode(rawValue: 31004)
}

/// What a mint answers, with HTTP status 400, when it refuses a request (NUT-00 "Errors").
public struct MintError: Error, Hashable, Sendable, CustomStringConvertible {
    public var code: MintErrorCode
    /// A sentence for the user, without secrets.
    public var detail: String

    public init(_ code: MintErrorCode, _ detail: String) {
        self.code = code
        self.detail = detail
    }

    /// Reads `{"detail": …, "code": …}`. Mints differ in what they send, so an absent code reads as
    /// ``MintErrorCode/malformedRequest`` and an absent detail as a plain sentence.
    public init(json: JSONValue) {
        let number = json["code"]?.int64Value ?? Int64(MintErrorCode.malformedRequest.rawValue)
        code = MintErrorCode(rawValue: Int(clamping: number))
        let text = json["detail"]?.stringValue ?? "the mint refused without giving a reason"
        detail = String(text.prefix(500))
    }

    /// The answer to a request that threw `error` while it was decoded: a ``MintError`` as it is, anything else as
    /// ``MintErrorCode/malformedRequest``.
    public init(decoding error: any Error) {
        if let refusal = error as? MintError {
            self = refusal
        } else {
            self.init(.malformedRequest, "the request can't be read: \(error)")
        }
    }

    public var json: JSONValue {
        .object(["detail": .string(detail), "code": .integer(Int64(code.rawValue))])
    }

    public var description: String { "\(detail) (code \(code.rawValue))" }
}

/// Why something of Cashu can't be read, built or trusted.
public struct CashuError: Error, Sendable, CustomStringConvertible {
    /// The kind of failure; more can be added by extension.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String

        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// Doesn't have the form its NUT prescribes.
        public static let malformed = Code(rawValue: "malformed")
        /// Larger than the bound in ``CashuLimits``.
        public static let tooLarge = Code(rawValue: "too-large")
        /// A sum or product leaves 64 bits.
        public static let amountOverflow = Code(rawValue: "amount-overflow")
        /// The keyset has no key for this amount.
        public static let amountWithoutKey = Code(rawValue: "amount-without-key")
        /// No keyset that we know has this id.
        public static let keysetUnknown = Code(rawValue: "keyset-unknown")
        /// A short keyset id stands for several keysets that we know.
        public static let keysetAmbiguous = Code(rawValue: "keyset-ambiguous")
        /// The keys that a mint sent don't hash to the keyset id it claims.
        public static let keysetMismatch = Code(rawValue: "keyset-mismatch")
        /// A version of a format that this library doesn't speak.
        public static let unsupportedVersion = Code(rawValue: "unsupported-version")
        /// A DLEQ proof is absent or doesn't verify.
        public static let invalidDLEQ = Code(rawValue: "invalid-dleq")
        /// A spending condition can't be built or satisfied like this.
        public static let spendingCondition = Code(rawValue: "spending-condition")
        /// The mint's answer doesn't fit the request.
        public static let answerMismatch = Code(rawValue: "answer-mismatch")
        /// An operation on the curve failed.
        public static let cryptography = Code(rawValue: "cryptography")
    }

    public var code: Code
    public var message: String
    public var cause: (any Error)?

    public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    public var description: String { message }
}

/// Bounds on everything that comes from outside. A mint may set tighter ones.
public enum CashuLimits {
    /// Proofs in a token and entries in any array of a request; advertised as `max_array_length`.
    public static let arrayLength = 1000
    /// Quotes in one batch (NUT-29).
    public static let batchQuotes = 100
    /// UTF-8 bytes of a secret.
    public static let secretBytes = 1024
    /// UTF-8 bytes of a witness.
    public static let witnessBytes = 1024
    /// Signature checks for the conditions of one transaction: some 0.3 s of one core, and enough for a thousand
    /// inputs that each need several signatures.
    public static let signatureChecks = 10_000
    /// Keys in a keyset.
    public static let keysPerKeyset = 256
    /// Characters of a serialized token.
    public static let tokenCharacters = 4 << 20
    /// Characters of a serialized payment request.
    public static let paymentRequestCharacters = 64 << 10
    /// UTF-8 bytes of a memo or description.
    public static let memoBytes = 4096
    /// UTF-8 bytes of a URL.
    public static let urlBytes = 2048
    /// Characters of a quote id.
    public static let quoteIDCharacters = 128
    /// UTF-8 bytes of a Lightning invoice.
    public static let invoiceBytes = 8192
}
