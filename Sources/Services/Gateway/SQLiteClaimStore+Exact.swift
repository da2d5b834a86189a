internal import Cashu
internal import Cryptography
public import Encodings
internal import Ledger
public import Paywall
internal import Storage

/// Payments of x402's `exact` ([XEX-4] to [XEX-9]).
extension SQLiteClaimStore: ExactStore {
    private static let exactColumns = """
        key, claim, payer, unit, amount, request, state, settlement, credit_until
        """

    private static func exact(_ row: Row) throws -> StoredExact {
        guard let state = StoredExact.State(rawValue: try row.text(6)) else {
            throw GatewayError(.corrupt, "an x402 payment has an unknown state")
        }
        return StoredExact(
            key: try row.blob(0),
            claimID: try row.text(1),
            payer: try row.text(2),
            unit: try row.text(3),
            amount: try row.uint64(4),
            request: try row.blob(5),
            state: state,
            transaction: try row.optionalText(7),
            creditUntil: try row.optionalInt64(8).map { Timestamp(millisecondsSince1970: $0) }
        )
    }

    private static func exact(key: [UInt8], in connection: Connection) throws -> StoredExact? {
        try connection.first("SELECT \(exactColumns) FROM gateway_x402 WHERE key = ?", .blob(key)).map(exact)
    }

    public func exact(key: [UInt8]) async throws -> StoredExact? {
        try await database.read { try Self.exact(key: key, in: $0) }
    }

    public func exact(claimID: String) async throws -> StoredExact? {
        try await database.read { try Self.exact(claimID: claimID, in: $0) }
    }

    private static func exact(claimID: String, in connection: Connection) throws -> StoredExact? {
        try connection.first("SELECT \(exactColumns) FROM gateway_x402 WHERE claim = ?", .text(claimID)).map(exact)
    }

    public func decide(scope: IdempotencyScope, exact key: [UInt8], now: Timestamp) async throws -> CallDecision {
        try await database.read { try Self.decide(scope: scope, ys: [], exact: key, now: now, in: $0) }
    }

    // MARK: Claiming

    /// The claim that an earlier call made of the payment; nil where none did, or its call was given back and this is the
    /// same service, method and target.
    static func holder(
        ofExact key: [UInt8],
        now: Timestamp,
        in connection: Connection
    ) throws -> (call: StoredCall, hasCredit: Bool)? {
        guard let found = try exact(key: key, in: connection) else { return nil }
        guard let record = try record(found.claimID, in: connection) else {
            throw GatewayError(.corrupt, "an x402 payment belongs to a claim that does not exist")
        }
        return (record.call, found.creditUntil.map { now < $0 } ?? false)
    }

    /// Takes a payment for a claim. Runs inside the claim's transaction, after the decision that nothing like it was claimed.
    /// - Returns: why not, where it can't be taken.
    static func take(exact payment: ExactPayment, for claim: NewClaim, in connection: Connection) throws -> CallRefusal?
    {
        switch payment.way {
        case .credit: return try takeCredit(payment, for: claim, in: connection)
        case .settleFirst: try insert(payment, for: claim, state: .settling, in: connection)
        case .reserve(let cap):
            try insert(payment, for: claim, state: .reserved, in: connection)
            try LedgerStore.post([GatewayAccounts.reserved(claim, payment)], in: connection)
            let open = try LedgerStore.balance(
                of: GatewayAccounts.exactReserved,
                unit: payment.unit.name,
                in: connection
            )
            let lost = try connection.first(
                "SELECT coalesce(sum(amount), 0) FROM gateway_x402 WHERE state = 'lost' AND forgiven = 0 AND unit = ?",
                .text(payment.unit.name)
            )?.uint64(0)
            // Thrown, so that the savepoint takes everything back.
            guard open + (lost ?? 0) <= cap else {
                throw GatewayError(.overCap, "\(open) \(payment.unit) would be reserved, \(lost ?? 0) were lost")
            }
        }
        return nil
    }

    private static func insert(
        _ payment: ExactPayment,
        for claim: NewClaim,
        state: StoredExact.State,
        in connection: Connection
    ) throws {
        guard try exact(key: payment.key, in: connection) == nil else {
            throw GatewayError(.stateChanged, "the payment was claimed meanwhile")
        }
        try connection.execute(
            """
            INSERT INTO gateway_x402 (key, claim, payer, unit, amount, request, valid_before, state, reserved)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            .blob(payment.key),
            .text(claim.id),
            .text(payment.payer),
            .text(payment.unit.name),
            try .amount(payment.amount),
            .blob(payment.request),
            .integer(payment.validBefore),
            .text(state.rawValue),
            .bool(state == .reserved)
        )
    }

    private static func takeCredit(
        _ payment: ExactPayment,
        for claim: NewClaim,
        in connection: Connection
    ) throws -> CallRefusal? {
        let gone = CallRefusal(
            .callRunning,
            "The call that was given back is being made by another request.",
            retryAfterSeconds: CallDecision.runningRetrySeconds
        )
        guard let found = try exact(key: payment.key, in: connection), let end = found.creditUntil, claim.at < end,
            let earlier = try record(found.claimID, in: connection)
        else { return gone }
        // What was paid for one call does not pay for another.
        guard earlier.service == claim.service, earlier.method == claim.method, earlier.target == claim.target,
            found.amount == payment.amount, earlier.call.payment == payment.digest
        else {
            return CallRefusal(
                .paymentReused,
                "This payment is good once more for the call that failed, and for no other.",
                receiptID: found.claimID
            )
        }
        try connection.execute(
            "UPDATE gateway_x402 SET claim = ?, credit_until = NULL WHERE key = ?",
            .text(claim.id),
            .blob(payment.key)
        )
        try LedgerStore.post([GatewayAccounts.takenAgain(claim, payment)], in: connection)
        return nil
    }

    // MARK: Names

    private static func digest(ofName identifier: String) -> [UInt8] {
        Hashing.sha256(Array("mintmark-payment-identifier-1".utf8) + [0] + Array(identifier.utf8))
    }

    /// Holds the client's name for its payment against what it named before ([XEX-10]).
    static func refusal(ofName claim: NewClaim, in connection: Connection) throws -> CallRefusal? {
        guard let identifier = claim.paymentIdentifier,
            let row = try connection.first(
                "SELECT scope FROM gateway_payment_names WHERE name = ?",
                .blob(digest(ofName: identifier))
            ), try row.blob(0) != claim.payment.digest.bytes
        else { return nil }
        return CallRefusal(
            X402Refusal(
                .identifierConflict,
                "This payment identifier named another payment; use a new one for a new payment. Nothing was taken."
            )
        )
    }

    static func keep(nameOf claim: NewClaim, in connection: Connection) throws {
        guard let identifier = claim.paymentIdentifier else { return }
        try connection.execute(
            "INSERT INTO gateway_payment_names (name, scope, kept_until) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING",
            .blob(digest(ofName: identifier)),
            .blob(claim.payment.digest.bytes),
            .integer(claim.at.adding(seconds: RefundTable.lifetimeSeconds).millisecondsSince1970)
        )
    }

    // MARK: Moving on

    public func exactSettled(claimID: String, transaction: String, at: Timestamp) async throws {
        try await database.write { connection in
            let record = try Self.move(claimID, from: [.redeeming], to: .running, in: connection)
            try connection.execute(
                "UPDATE gateway_x402 SET state = 'settled', settlement = ? WHERE claim = ? AND state = 'settling'",
                .text(transaction),
                .text(claimID)
            )
            guard connection.changes == 1 else {
                throw GatewayError(.corrupt, "the x402 payment of the claim \(claimID) is gone")
            }
            try LedgerStore.post([GatewayAccounts.settledFirst(record, at: at)], in: connection)
        }
    }

    /// Gives the payment of a call back that is not charged: settled ones are good for it once more, reserved ones are dropped.
    static func giveBack(exact record: ClaimRecord, at: Timestamp, tells isTold: Bool, in connection: Connection) throws
    {
        if record.isOnline {
            try connection.execute(
                "UPDATE gateway_x402 SET credit_until = ? WHERE claim = ? AND state = 'settled'",
                .integer(at.adding(seconds: RefundTable.lifetimeSeconds).millisecondsSince1970),
                .text(record.call.id)
            )
        } else {
            try connection.execute(
                "UPDATE gateway_x402 SET state = 'dropped' WHERE claim = ? AND state = 'reserved'",
                .text(record.call.id)
            )
        }
        guard connection.changes == 1 else {
            throw GatewayError(.corrupt, "the x402 payment of the claim \(record.call.id) is gone")
        }
        if record.isOnline, isTold { try freeExactName(of: record, in: connection) }
    }

    /// Lets the same request, with its key or without, be made anew: the payment is good for it once more.
    static func freeExactName(of record: ClaimRecord, in connection: Connection) throws {
        try connection.execute(
            "UPDATE gateway_claims SET scope = ? WHERE id = ?",
            .blob(PaymentDigest(paymentHash: record.call.payment.bytes, callID: record.call.id).bytes),
            .text(record.call.id)
        )
    }

    static func forget(exactOf claimID: String, in connection: Connection) throws {
        try connection.execute(
            """
            DELETE FROM gateway_payment_names WHERE scope IN (
                SELECT payment FROM gateway_claims WHERE id = ?)
            """,
            .text(claimID)
        )
        try connection.execute("DELETE FROM gateway_x402 WHERE claim = ? AND state = 'settling'", .text(claimID))
    }

    // MARK: Reserved payments

    public func exactDue(limit: Int) async throws -> [StoredExact] {
        try await database.read { connection in
            try connection.rows(
                """
                SELECT \(Self.exactColumns) FROM gateway_x402 AS paid WHERE state = 'reserved'
                    AND EXISTS (SELECT 1 FROM gateway_claims WHERE id = paid.claim AND state = 'served')
                ORDER BY sequence LIMIT ?
                """,
                .int(limit)
            ).map(Self.exact)
        }
    }

    public func exactFinished(key: [UInt8], transaction: String?, at: Timestamp) async throws {
        try await database.write { connection in
            guard let found = try Self.exact(key: key, in: connection), found.state == .reserved else { return }
            try connection.execute(
                "UPDATE gateway_x402 SET state = ?, settlement = ? WHERE key = ?",
                .text((transaction == nil ? StoredExact.State.lost : .settled).rawValue),
                .optional(transaction),
                .blob(key)
            )
            let transfer =
                transaction == nil
                ? GatewayAccounts.lost(exact: found, at: at) : GatewayAccounts.settledAfter(found, at: at)
            try LedgerStore.post([transfer], in: connection)
        }
    }

    public func hasLostExact(of payer: String) async throws -> Bool {
        try await database.read { connection in
            try connection.first(
                "SELECT 1 FROM gateway_x402 WHERE state = 'lost' AND payer = ? LIMIT 1",
                .text(payer)
            ) != nil
        }
    }

    public func forgiveLostExact() async throws -> Int {
        try await database.write { connection in
            try connection.execute("UPDATE gateway_x402 SET forgiven = 1 WHERE state = 'lost' AND forgiven = 0")
            return connection.changes
        }
    }

    public func exactTotals() async throws -> [ExactTotal] {
        try await database.read { connection in
            try connection.rows(
                """
                SELECT unit, sum(reserved), sum(lost) FROM (
                    SELECT unit, amount AS reserved, 0 AS lost FROM gateway_x402 WHERE state = 'reserved'
                    UNION ALL
                    SELECT unit, 0, amount FROM gateway_x402 WHERE state = 'lost' AND forgiven = 0
                ) GROUP BY unit ORDER BY unit
                """
            ).map { ExactTotal(unit: try $0.text(0), reserved: try $0.uint64(1), lost: try $0.uint64(2)) }
        }
    }

    public func endExactCredits(now: Timestamp, limit: Int) async throws -> Int {
        try await database.write { connection in
            let rows = try connection.rows(
                "SELECT \(Self.exactColumns) FROM gateway_x402 WHERE credit_until <= ? LIMIT ?",
                .integer(now.millisecondsSince1970),
                .int(limit)
            ).map(Self.exact)
            for found in rows {
                guard let record = try Self.record(found.claimID, in: connection) else { continue }
                try connection.execute("UPDATE gateway_x402 SET credit_until = NULL WHERE key = ?", .blob(found.key))
                try LedgerStore.post([GatewayAccounts.lapsed(record, at: now)], in: connection)
            }
            try connection.execute(
                "DELETE FROM gateway_payment_names WHERE kept_until <= ?",
                .integer(now.millisecondsSince1970)
            )
            return rows.count
        }
    }
}
