import Cashu
import Cryptography
import Encodings
import Paywall
import Receipts
import SignedDocuments

/// Signs receipts in the node's name ([CALL-15]).
struct ReceiptDesk: Sendable {
    let signer: DocumentSigner
    /// The origin of the node's transparency log, which receipts promise to be in ([RCPT-10]); nil without a log.
    var logOrigin: String?
    /// A dialect as receipts name it.
    static func name(_ dialect: PaymentDialect) -> String { dialect == .cashu ? "nut24" : dialect.rawValue }

    /// A receipt of a call, served or refunded.
    /// - Parameters:
    ///   - responseDigest: SHA-256 of the body; nil where no whole answer was given.
    ///   - charged: what the call cost, where that is not the claim's price.
    ///   - settlement: what was measured and given back.
    func receipt(
        of claim: ActiveClaim,
        status: Int,
        responseDigest: [UInt8]?,
        outcome: ReceiptOutcome,
        charged: UInt64? = nil,
        settlement: ReceiptSettlement? = nil,
        at now: Timestamp
    ) throws -> Receipt {
        let buyer = try claim.caller.map { caller in
            ReceiptParty(
                did: try DIDKey(parsing: caller.did),
                agentID: caller.agentID,
                passportID: caller.passportID
            )
        }
        let claims = ReceiptClaims(
            id: claim.id,
            seller: ReceiptParty(did: signer.did),
            buyer: buyer,
            service: claim.service,
            method: claim.method,
            target: claim.target,
            requestDigest: claim.bodyDigest ?? IntakeBody.emptyDigest,
            responseDigest: responseDigest,
            status: status,
            amount: charged ?? claim.price,
            unit: claim.unit.name,
            paymentDigest: claim.payment.bytes,
            dialect: Self.name(claim.dialect),
            requestedAt: claim.at,
            respondedAt: max(now, claim.at),
            outcome: outcome,
            settlement: settlement,
            promise: logOrigin.map { promise(in: $0, since: max(now, claim.at)) }
        )
        return try Receipt.issue(claims, by: signer, now: now)
    }

    private func promise(in log: String, since answered: Timestamp) -> InclusionPromise {
        InclusionPromise(
            log: log,
            salt: SecureRandom.bytes(InclusionPromise.saltLength),
            by: answered.adding(seconds: InclusionPromise.withinSeconds)
        )
    }
}
