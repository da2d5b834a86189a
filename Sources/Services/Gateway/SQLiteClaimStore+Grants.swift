internal import Encodings
internal import Ledger
internal import Paywall
internal import Storage

/// Claims of a grant's calls ([GRA-2] to [GRA-6]).
extension SQLiteClaimStore {
    /// Counts one call of a grant, or says why not. Runs inside the claim's transaction, after the decision that nothing
    /// like it was claimed.
    static func take(_ use: GrantUse, for claim: NewClaim, in connection: Connection) throws -> CallRefusal? {
        let hash = use.allowed.identifier.paymentHash
        guard var grant = try SQLiteGrantStore.grant(hash, in: connection), grant.callMsat == use.callMsat else {
            return Self.unknownGrant
        }
        if use.isSession {
            let service = use.request.service
            if let refusal = try SQLiteSessionStore.refusal(of: hash, service: service, at: claim.at, in: connection) {
                return refusal
            }
            // At once, so that what may be missing is told in the session's words.
            guard grant.prepaid >= use.msat else { return tooLittle(grant, for: use) }
        }
        var terms = grant.terms
        if grant.restored > 0, let until = grant.restoredUntil, claim.at < until {
            terms.validUntil = terms.validUntil.map { max($0, until) }
        } else if let lateness = use.lateness {
            return lateness
        }
        var request = use.request
        if use.keepsPrice { request.price = terms.price }
        if let refusal = terms.refusal(use.allowed, request: request, used: grant.used, now: claim.at) {
            return refusal
        }
        var transfers: [Transfer] = []
        if grant.paidAt == nil {
            grant.paidAt = claim.at
            grant.prepaid = grant.msat
            transfers.append(GatewayAccounts.paid(grant, at: claim.at))
        }
        // What was lapsed is earned already: a call that is restored afterwards brings its own back.
        guard use.units >= 1, grant.prepaid >= use.msat else { return Self.usedUp }
        // Of a bundle a call takes as many units as it may cost; a holder may have narrowed it to fewer.
        let most = min(terms.calls, use.allowed.calls ?? terms.calls)
        guard most >= use.units, grant.used <= most - use.units else { return Self.usedUp }
        transfers.append(GatewayAccounts.taken(claim, of: grant))
        try connection.execute(
            """
            UPDATE gateway_grants SET used = used + ?, prepaid = ?, paid_at = ?, restored = max(restored - 1, 0),
                restored_until = CASE WHEN restored > 1 THEN restored_until END
            WHERE payment_hash = ?
            """,
            try .amount(use.units),
            try .amount(grant.prepaid - use.msat),
            .optional(grant.paidAt?.millisecondsSince1970),
            .blob(hash)
        )
        try LedgerStore.post(transfers, in: connection)
        return nil
    }

    static let unknownGrant = CallRefusal(
        .credentialInvalid,
        "Nothing is sold here for this payment any more, or never was; pay anew."
    )

    private static func tooLittle(_ grant: StoredGrant, for use: GrantUse) -> CallRefusal {
        CallRefusal(
            .credentialInsufficient,
            "The session has \(grant.prepaid) msat left and this call may cost \(use.msat): top it up."
        )
    }

    static let usedUp = CallRefusal(.credentialUsedUp, "The calls that were paid for are used up; pay anew.")

    /// Counts a call back. The credential is good for it again, for as long as refunds can be fetched.
    static func restore(_ record: ClaimRecord, paymentHash: [UInt8], at: Timestamp, in connection: Connection) throws {
        try connection.execute(
            """
            UPDATE gateway_grants SET used = used - ? / call_msat, prepaid = prepaid + ?, restored = restored + 1, restored_until = ?
            WHERE payment_hash = ?
            """,
            try .amount(record.total),
            try .amount(record.total),
            .integer(at.adding(seconds: RefundTable.lifetimeSeconds).millisecondsSince1970),
            .blob(paymentHash)
        )
        guard connection.changes == 1 else {
            throw GatewayError(.corrupt, "the grant of the claim \(record.call.id) is gone")
        }
    }

    /// A call that was given back does not stand in the way of another request with the same payment, told or not.
    static func freeRestored(_ scope: IdempotencyScope, in connection: Connection) throws {
        let row = try connection.first(
            "SELECT \(ClaimRows.columns) FROM gateway_claims WHERE scope = ? AND state = 'refunded'",
            .blob(scope.id)
        )
        guard let record = try row.map(ClaimRows.record), record.refundForm == .callRestored,
            record.call.requestDigest != scope.requestDigest
        else { return }
        try freeName(of: record, in: connection)
    }

    /// Lets the same request, without a key, be a new call: the claim gives up the name that the payment gave it. A name that
    /// a client's key gave stays, since the same key means the same call.
    static func freeName(of record: ClaimRecord, in connection: Connection) throws {
        let payment = record.call.payment
        let plain = IdempotencyScope(
            owner: record.caller.map { .caller($0.did) } ?? .payment(payment),
            key: nil,
            payment: payment,
            service: record.service,
            method: record.method,
            target: record.target,
            body: .unread(length: nil)
        )
        guard let plain, plain.id == record.call.scopeID else { return }
        try connection.execute(
            "UPDATE gateway_claims SET scope = ? WHERE id = ?",
            .blob(PaymentDigest(paymentHash: payment.bytes, callID: record.call.id).bytes),
            .text(record.call.id)
        )
    }
}
