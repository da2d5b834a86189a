internal import Budgets
internal import CanonicalJSON
internal import Cashu
internal import Delegation
internal import Gateway
internal import HTTPTypes
internal import Hummingbird
internal import Identity
internal import Libp2p
internal import Lightning
internal import Market
internal import Mint
internal import Peering
internal import Records
internal import SignedDocuments
internal import Storage
internal import Trading
internal import TransparencyLog
internal import Vault
internal import Wallet
internal import Workers

/// Turns what a service throws into the problem that the operator reads. One place decides the HTTP status.
enum OperatorProblem {
    static func of(_ error: any Error) -> ProblemDetails {
        switch error {
        case let problem as ProblemDetails: problem
        case let error as DelegationError: .of(error)
        case let error as BudgetError: make(error.code.rawValue, error.message, error.status)
        case let error as WalletError: make(error.code.rawValue, error.message, walletStatus(error.code))
        case let error as IdentityError: make(error.code.rawValue, error.message, identityStatus(error.code))
        case let error as GatewayError: make(error.code.rawValue, error.message, gatewayStatus(error.code))
        case let error as MintOperationError: make(error.code.rawValue, error.message, mintStatus(error.code))
        case let error as MintSetupError: make(error.code.rawValue, error.message, error.code == .busy ? 409 : 400)
        case let error as MintFailure: make("mint", error.error.detail, error.status)
        case let error as DocumentError where error.code == .keyUnavailable:
            make(error.code.rawValue, error.message, 503)
        case let error as VaultError: make("vault-\(error.code.rawValue)", error.message, 503)
        case let error as StorageError: make("storage-\(error.code.rawValue)", error.message, storageStatus(error.code))
        case let error as LogError: make("log-\(error.code.rawValue)", error.message, error.code == .halted ? 409 : 500)
        case let error as BackupError: make(error.code.rawValue, error.message, error.code == .exists ? 409 : 400)
        case let error as MarketError: make(error.code.rawValue, error.message, marketStatus(error.code))
        case let error as CallError: make(error.code.rawValue, error.message, callStatus(error.code))
        case let error as JobError: make(error.code.rawValue, error.message, jobStatus(error.code))
        case let error as TradeRefusal: make("trade-\(error.code.rawValue)", error.message, 400)
        case let error as PeeringError: make(error.code.rawValue, error.message, peeringStatus(error.code))
        case let error as RecordRefusal: make(error.code.rawValue, error.message, recordStatus(error.code))
        case let error as Libp2pError: make("peer-\(error.code.rawValue)", error.message, 502)
        case let error as LightningError: make("lightning-\(error.code.rawValue)", error.message, 502)
        case let error as CashuError: make("invalid-request", error.message, 400)
        case let error as JSONError: make("invalid-request", "the request's JSON: \(error.message)", 400)
        case is WorkerPoolError: make("overloaded", "the node is busy: try again shortly", 503)
        case let error as any HTTPResponseError: make("http-\(error.status.code)", "\(error)", error.status.code)
        default: make("internal", "the node failed: \(error)", 500)
        }
    }

    private static func recordStatus(_ code: RecordRefusal.Code) -> Int {
        switch code {
        case .tooLarge: 413
        case .unavailable: 503
        default: 422
        }
    }

    private static func make(_ code: String, _ message: String, _ status: Int) -> ProblemDetails {
        ProblemDetails(code: code, title: title(status), status: status, detail: message)
    }

    private static func title(_ status: Int) -> String {
        switch status {
        case 400: "The request cannot be carried out as it is"
        case 402: "The money is not enough"
        case 403: "Not allowed"
        case 404: "Not found"
        case 409: "Not in the present state"
        case 422: "Not what can be taken here"
        case 502: "Somebody else did not answer as he should"
        case 503: "Not now"
        default: "The node failed"
        }
    }

    private static func walletStatus(_ code: WalletError.Code) -> Int {
        switch code {
        case .insufficientFunds, .limitExceeded, .invoiceTooHigh: 402
        case .paymentRefused, .mintUntrusted, .assetUntrusted, .invoiceWrongNetwork, .invoiceWithoutAmount,
            .invoiceReused:
            403
        case .notFound, .mintUnknown: 404
        case .tokenSpent, .invoiceUnpaid, .invoiceExpired, .requestPaid: 409
        case .mintUnreachable, .mintDishonest, .mintRefused, .paymentFailed, .serviceUnreachable, .refundKept: 502
        case .outcomeUnknown, .inboxFull: 503
        case .corrupt, .seedMismatch: 500
        default: 400
        }
    }

    private static func identityStatus(_ code: IdentityError.Code) -> Int {
        switch code {
        case .agentNotFound, .passportNotFound: 404
        case .agentExists, .agentNotActive, .keyRevoked, .keyNotHeld: 409
        case .limitReached, .keyUnavailable: 503
        case .internalFailure: 500
        default: 400
        }
    }

    private static func gatewayStatus(_ code: GatewayError.Code) -> Int {
        switch code {
        case .serviceUnknown: 404
        case .serviceExists: 409
        default: 400
        }
    }

    /// What the evidence forbids is refused; the command exits with 2.
    private static func mintStatus(_ code: MintOperationError.Code) -> Int {
        switch code {
        case .quoteUnknown: 404
        case .notPending, .underWay: 409
        case .contradicted, .evidenceMissing, .preimageWrong: 403
        default: 400
        }
    }

    private static func marketStatus(_ code: MarketError.Code) -> Int {
        switch code {
        case .unknownListing: 404
        case .noLongerKept: 410
        case .notRunning: 503
        default: 400
        }
    }

    private static func jobStatus(_ code: JobError.Code) -> Int {
        switch code {
        case .overBudget: 402
        case .untrusted: 403
        case .notSold, .unknownJob, .unknownDispute, .unknownBond, .noArbiter: 404
        case .running, .notNow: 409
        case .noOffer, .unproven: 422
        case .failed, .sellerFailed: 502
        case .tooMany, .claimPending: 503
        case .corrupt: 500
        default: 400
        }
    }

    private static func callStatus(_ code: CallError.Code) -> Int {
        switch code {
        case .unknownCall, .unknownRule, .unknownBid, .notSold: 404
        case .callOver, .ruleExists, .bidOver: 409
        case .tooMany, .tooManyRules, .notRunning: 503
        case .corrupt: 500
        default: 400
        }
    }

    private static func peeringStatus(_ code: PeeringError.Code) -> Int {
        switch code {
        case .unknown: 404
        case .full: 409
        case .notRunning: 503
        default: 400
        }
    }

    private static func storageStatus(_ code: StorageError.Code) -> Int {
        code == .overloaded || code == .full || code == .ioFailure || code == .locked ? 503 : 500
    }
}
