import Cashu
import Cryptography
import Encodings
import Paywall
import Synchronization

/// A claimed payment while its call is being made.
struct ActiveClaim: Sendable {
    var id: String
    var service: String
    var method: String
    var target: String
    var bodyDigest: [UInt8]?
    var caller: CallerIdentity?
    var source: PaymentSource
    var dialect: PaymentDialect
    var unit: CurrencyUnit
    var proofs: [Proof]
    var total: UInt64
    var price: UInt64
    var payment: PaymentDigest
    var isOnline: Bool
    var fee: UInt64
    /// nil where the price is fixed and exactly paid.
    var quote: ClaimQuote?
    var at: Timestamp

    init(_ claim: NewClaim) {
        id = claim.id
        service = claim.service
        method = claim.method
        target = claim.target
        bodyDigest = claim.bodyDigest
        caller = claim.caller
        source = claim.payment.source
        dialect = claim.dialect
        unit = claim.payment.unit
        proofs = claim.payment.proofs
        total = claim.payment.total
        price = claim.price
        payment = claim.payment.digest
        isOnline = claim.isOnline
        fee = claim.payment.fee
        quote = claim.quote
        at = claim.at
    }

    init(_ open: OpenClaim) {
        let record = open.record
        id = record.call.id
        service = record.service
        method = record.method
        target = record.target
        bodyDigest = record.bodyDigest
        caller = record.caller
        source = record.source
        dialect = record.dialect
        unit = record.unit
        proofs = open.proofs
        total = record.total
        price = record.price
        payment = record.call.payment
        isOnline = record.isOnline
        fee = record.fee
        quote = open.quote
        at = record.at
    }

    /// How the payment goes back where the call is not charged ([CALL-14]).
    var refundForm: RefundTable.Form { source.refundForm(redeemedOnline: isOnline) }

    /// The mint whose ecash it is.
    /// - Throws: ``GatewayError`` `corrupt` where it was not paid with ecash.
    var mint: MintURL {
        get throws(GatewayError) {
            guard case .ecash(let mint) = source else {
                throw GatewayError(.corrupt, "the claim \(id) was not paid with ecash")
            }
            return mint
        }
    }

    /// The claim's proofs as a batch of their own, to be redeemed before the call.
    func batch() throws -> RedemptionBatch {
        RedemptionBatch(
            id: id,
            mint: try mint,
            unit: unit,
            proofs: proofs,
            ys: try proofs.map { try $0.hashedSecret().compressed }
        )
    }
}

/// Holds a running claim for the task that serves it. Where that task goes away without an end (its connection was gone
/// before the body was asked for), the claim is handed to the housekeeping, so that no payment is left hanging.
final class CallLease: Sendable {
    private let claimID: String
    private let isClosed = Mutex(false)
    private let onAbandon: @Sendable (String) -> Void

    init(claimID: String, onAbandon: @escaping @Sendable (String) -> Void) {
        self.claimID = claimID
        self.onAbandon = onAbandon
    }

    /// The claim has reached an end on disk.
    func close() {
        isClosed.withLock { $0 = true }
    }

    deinit {
        if !isClosed.withLock({ $0 }) { onAbandon(claimID) }
    }
}

/// One of a bounded number of calls at a time; given back when it goes away.
final class CallSlot: Sendable {
    private let count: CallCount

    init?(_ count: CallCount) {
        guard count.take() else { return nil }
        self.count = count
    }

    deinit { count.giveBack() }
}

/// How many calls are being made, against a limit.
final class CallCount: Sendable {
    private let running = Mutex(0)
    private let limit: Int

    init(limit: Int) {
        self.limit = limit
    }

    var value: Int { running.withLock { $0 } }

    func take() -> Bool {
        running.withLock { count in
            guard count < limit else { return false }
            count += 1
            return true
        }
    }

    func giveBack() {
        running.withLock { $0 -= 1 }
    }
}
