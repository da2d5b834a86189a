internal import CanonicalJSON
internal import Cashu
internal import Cryptography
public import Encodings
internal import Ledger
public import Paywall
public import Storage

/// The claim store on the node's SQLite database, in the ledger's own transactions.
public struct SQLiteClaimStore: ClaimStore {
    let database: Database
    let house: any HouseMint

    /// - Parameters:
    ///   - database: opened with ``GatewayTables/migrations``.
    ///   - house: the node's own mint, on the same database.
    public init(database: Database, house: any HouseMint = NoHouseMint()) {
        self.database = database
        self.house = house
    }

    // MARK: Claiming

    public func claim(_ claim: NewClaim, cap: UInt64) async throws -> ClaimOutcome {
        do {
            return try await database.write { connection in
                if case .grant = claim.payment { try Self.freeRestored(claim.scope, in: connection) }
                let decision = try Self.decide(
                    scope: claim.scope,
                    ys: claim.payment.ys,
                    exact: claim.payment.exactKey,
                    now: claim.at,
                    in: connection
                )
                guard decision == .proceed else { return .existing(decision) }
                if let refusal = try Self.refusal(ofName: claim, in: connection) { return .existing(.refuse(refusal)) }
                if let refusal = try Self.keepDelegation(of: claim, in: connection) {
                    return .existing(.refuse(refusal))
                }
                switch claim.payment {
                case .ecash(let payment):
                    try Self.insert(claim, in: connection)
                    if let quote = claim.quote { try Self.insert(quote, of: claim, in: connection) }
                    if claim.isHeldAtMint {
                        try house.hold(payment.proofs, ys: payment.ys, in: connection)
                        try LedgerStore.post([GatewayAccounts.taken(claim, payment)], in: connection)
                    } else if !claim.isOnline {
                        try Self.book(payment, of: claim, cap: cap, in: connection)
                    }
                case .grant(let use):
                    if let refusal = try Self.take(use, for: claim, in: connection) {
                        return .existing(.refuse(refusal))
                    }
                    try Self.insert(claim, in: connection)
                    if let quote = claim.quote { try Self.insert(quote, of: claim, in: connection) }
                case .exact(let payment):
                    if let refusal = try Self.take(exact: payment, for: claim, in: connection) {
                        return .existing(.refuse(refusal))
                    }
                    try Self.insert(claim, in: connection)
                }
                try Self.keep(nameOf: claim, in: connection)
                return .claimed
            }
        } catch let error as GatewayError where error.code == .overCap {
            return .overCap
        } catch let refusal as CallRefusal {
            // Of the house: thrown, so that the savepoint took everything back.
            return .existing(.refuse(refusal))
        }
    }

    private static func book(
        _ payment: AssessedPayment,
        of claim: NewClaim,
        cap: UInt64,
        in connection: Connection
    ) throws {
        try LedgerStore.post([GatewayAccounts.taken(claim, payment)], in: connection)
        let unredeemed = try LedgerStore.balance(
            of: GatewayAccounts.unredeemed(payment.mint),
            unit: payment.unit.name,
            in: connection
        )
        // Thrown, so that the savepoint takes everything back.
        guard unredeemed <= cap else {
            throw GatewayError(.overCap, "\(unredeemed) \(payment.unit) would be unredeemed")
        }
    }

    public func decide(scope: IdempotencyScope, ys: [[UInt8]], now: Timestamp) async throws -> CallDecision {
        try await database.read { try Self.decide(scope: scope, ys: ys, now: now, in: $0) }
    }

    static func decide(
        scope: IdempotencyScope,
        ys: [[UInt8]],
        exact key: [UInt8]? = nil,
        now: Timestamp,
        in connection: Connection
    ) throws -> CallDecision {
        let byScope = try connection.first(
            "SELECT \(ClaimRows.columns) FROM gateway_claims WHERE scope = ?",
            .blob(scope.id)
        ).map { try ClaimRows.record($0).call }
        var byPayment: StoredCall?
        if byScope == nil {
            for y in ys {
                guard let row = try connection.first("SELECT claim FROM gateway_proofs WHERE y = ?", .blob(y)) else {
                    continue
                }
                byPayment = try self.record(row.text(0), in: connection)?.call
                if byPayment != nil { break }
                throw GatewayError(.corrupt, "a proof belongs to a claim that does not exist")
            }
        }
        if byScope == nil, let key, let holder = try holder(ofExact: key, now: now, in: connection) {
            if holder.hasCredit { return .proceed }
            byPayment = holder.call
        }
        return CallDecision.decide(asked: scope, byScope: byScope, byPayment: byPayment, now: now)
    }

    private static func insert(_ claim: NewClaim, in connection: Connection) throws {
        let payment = claim.payment
        let mint: String
        let grantHash: [UInt8]?
        switch payment.source {
        case .ecash(let url): (mint, grantHash) = (url.string, nil)
        case .grant(let hash): (mint, grantHash) = ("", hash)
        case .exact(let asset): (mint, grantHash) = (asset, nil)
        }
        try connection.execute(
            """
            INSERT INTO gateway_claims (id, scope, request, payment, service, method, target, body, caller, agent, passport,
                mint, unit, total, fee, price, online, state, at, dialect, grant_hash)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            .text(claim.id),
            .blob(claim.scope.id),
            .blob(claim.scope.requestDigest),
            .blob(payment.digest.bytes),
            .text(claim.service),
            .text(claim.method),
            .text(claim.target),
            .optional(claim.bodyDigest),
            .optional(claim.caller?.did),
            .optional(claim.caller?.agentID),
            .optional(claim.caller?.passportID),
            .text(mint),
            .text(payment.unit.name),
            try .amount(payment.total),
            try .amount(payment.fee),
            try .amount(claim.price),
            .bool(claim.isOnline || grantHash != nil || payment.isCredit),
            .text(claim.isOnline ? CallState.redeeming.rawValue : CallState.running.rawValue),
            .integer(claim.at.millisecondsSince1970),
            .optional(claim.dialect == .cashu ? nil : claim.dialect.rawValue),
            .optional(grantHash)
        )
        for (proof, y) in zip(payment.proofs, payment.ys) {
            try connection.execute(
                """
                INSERT INTO gateway_proofs (y, claim, mint, unit, keyset, amount, secret, signature, dleq, state,
                    is_held_at_mint)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                .blob(y),
                .text(claim.id),
                .text(mint),
                .text(payment.unit.name),
                .blob(proof.keysetID.bytes),
                try .amount(proof.amount),
                .text(proof.secret),
                .blob(proof.signature.compressed),
                .optional(ClaimRows.dleqBytes(proof.dleq)),
                .text(claim.isOnline ? "online" : "held"),
                .bool(claim.isHeldAtMint)
            )
        }
    }

    // MARK: Moving on

    /// Moves a claim from one of `states` to `next`.
    /// - Returns: the claim as it was.
    /// - Throws: `stateChanged` where it is in another state or gone.
    @discardableResult
    static func move(
        _ claimID: String,
        from states: Set<CallState>,
        to next: CallState,
        in connection: Connection
    ) throws -> ClaimRecord {
        guard let record = try record(claimID, in: connection) else {
            throw GatewayError(.stateChanged, "the claim \(claimID) is gone")
        }
        guard states.contains(record.call.state), record.call.state.successors.contains(next) else {
            throw GatewayError(
                .stateChanged,
                "the claim \(claimID) is \(record.call.state.rawValue) and can't become \(next.rawValue)"
            )
        }
        try connection.execute(
            "UPDATE gateway_claims SET state = ? WHERE id = ?",
            .text(next.rawValue),
            .text(claimID)
        )
        return record
    }

    public func redeemed(claimID: String, worth: UInt64, at: Timestamp) async throws {
        try await database.write { connection in
            var record = try Self.move(claimID, from: [.redeeming], to: .running, in: connection)
            // The mint's fee is gone already: from here on the claim is worth what came in.
            record.total = worth
            record.fee = 0
            try connection.execute(
                "UPDATE gateway_claims SET total = ?, fee = 0 WHERE id = ?",
                try .amount(worth),
                .text(claimID)
            )
            try LedgerStore.post([GatewayAccounts.takenOnline(record, at: at)], in: connection)
        }
    }

    public func release(claimID: String) async throws {
        try await database.write { connection in
            guard let record = try Self.record(claimID, in: connection), record.call.state == .redeeming else {
                throw GatewayError(.stateChanged, "only a claim that is being redeemed can be released")
            }
            try connection.execute("DELETE FROM gateway_quotes WHERE claim = ?", .text(claimID))
            try Self.forget(exactOf: claimID, in: connection)
            try Self.forgetDelegation(of: claimID, in: connection)
            try connection.execute("DELETE FROM gateway_proofs WHERE claim = ?", .text(claimID))
            try connection.execute("DELETE FROM gateway_claims WHERE id = ?", .text(claimID))
        }
    }

    public func resume(claimID: String) async throws -> Bool {
        do {
            try await database.write { connection in
                _ = try Self.move(claimID, from: [.interrupted], to: .running, in: connection)
            }
            return true
        } catch let error as GatewayError where error.code == .stateChanged {
            return false
        }
    }

    public func interrupt(claimID: String) async throws {
        try await database.write { connection in
            _ = try Self.move(claimID, from: [.running], to: .interrupted, in: connection)
        }
    }

    public func settle(_ settlement: Settlement) async throws {
        try await database.write { connection in
            let claim = settlement.claimID
            let row = try connection.first(
                """
                UPDATE gateway_claims SET state = 'served', settled_at = ?, kept_until = ? WHERE id = ? AND state = 'running'
                RETURNING service, total, unit, online
                """,
                .integer(settlement.at.millisecondsSince1970),
                .optional(settlement.answer == nil ? nil : settlement.answerKeptUntil?.millisecondsSince1970),
                .text(claim)
            )
            guard let row else {
                throw GatewayError(.stateChanged, "the claim \(claim) is not running and can't become served")
            }
            if let answer = settlement.answer, let keptUntil = settlement.answerKeptUntil {
                try connection.execute(
                    "INSERT INTO gateway_answers (claim, status, headers, body, kept_until) VALUES (?, ?, ?, ?, ?)",
                    .text(claim),
                    .int(answer.status),
                    .blob(ClaimRows.headerBytes(answer.headers)),
                    .blob(answer.body),
                    .integer(keptUntil.millisecondsSince1970)
                )
            }
            if !(try row.bool(3)) {
                try connection.execute("INSERT INTO gateway_served (claim) VALUES (?)", .text(claim))
            }
            try Self.keep(settlement.receipt, of: claim, at: settlement.at, in: connection)
            var amount = try row.uint64(1)
            if let charge = settlement.charge {
                guard let record = try Self.record(claim, in: connection) else {
                    throw GatewayError(.stateChanged, "the claim \(claim) is gone")
                }
                amount = try Self.settle(charge, of: record, at: settlement.at, in: connection)
            }
            // A metered call may have cost nothing.
            guard amount > 0 else { return }
            let earned = GatewayAccounts.earned(
                amount,
                unit: try row.text(2),
                service: try row.text(0),
                claimID: claim,
                at: settlement.at
            )
            try LedgerStore.post([earned], in: connection)
        }
    }

    public func refund(_ refund: Refund) async throws {
        try await database.write { connection in
            guard let found = try Self.record(refund.claimID, in: connection) else {
                throw GatewayError(.stateChanged, "the claim \(refund.claimID) is gone")
            }
            let next: CallState =
                found.refundForm.startState == .refunded || refund.token != nil ? .refunded : .refunding
            let record = try Self.move(
                refund.claimID,
                from: [refund.decidedIn],
                to: next,
                in: connection
            )
            if case .grant(let hash) = record.source {
                try Self.restore(record, paymentHash: hash, at: refund.at, in: connection)
                if !refund.isUnattended { try Self.freeName(of: record, in: connection) }
            }
            if case .exact = record.source {
                try Self.giveBack(exact: record, at: refund.at, tells: !refund.isUnattended, in: connection)
            }
            try connection.execute(
                "UPDATE gateway_claims SET settled_at = ?, refund = ?, refund_reason = ? WHERE id = ?",
                .integer(refund.at.millisecondsSince1970),
                .optional(refund.token),
                .text(refund.reason.rawValue),
                .text(refund.claimID)
            )
            let held = try connection.rows(
                """
                UPDATE gateway_proofs SET state = 'returned' WHERE claim = ? AND state = 'held'
                RETURNING y, is_held_at_mint
                """,
                .text(refund.claimID)
            ).filter { try $0.bool(1) }
            if !held.isEmpty { try house.release(held.map { try $0.blob(0) }, in: connection) }
            try Self.keep(refund.receipt, of: refund.claimID, at: refund.at, in: connection)
            if next == .refunded {
                try LedgerStore.post([GatewayAccounts.returned(record, at: refund.at)], in: connection)
            }
        }
    }

    public func toldRestored(claimID: String) async throws {
        try await database.write { connection in
            guard let record = try Self.record(claimID, in: connection), record.call.state == .refunded,
                record.refundForm == .callRestored
            else { return }
            if case .exact = record.source { return try Self.freeExactName(of: record, in: connection) }
            try Self.freeName(of: record, in: connection)
        }
    }

    public func completeRefund(claimID: String, token: String, at: Timestamp) async throws {
        try await database.write { connection in
            let record = try Self.move(claimID, from: [.refunding], to: .refunded, in: connection)
            try connection.execute("UPDATE gateway_claims SET refund = ? WHERE id = ?", .text(token), .text(claimID))
            try LedgerStore.post([GatewayAccounts.returned(record, at: at)], in: connection)
        }
    }

    /// Puts a receipt on file and into the outbox that the log drains later.
    private static func keep(_ receipt: [UInt8], of claimID: String, at: Timestamp, in connection: Connection) throws {
        try connection.execute(
            "INSERT INTO gateway_receipts (id, document) VALUES (?, ?)",
            .text(claimID),
            .blob(receipt)
        )
        try connection.execute(
            "INSERT INTO gateway_outbox (kind, reference, at) VALUES ('receipt', ?, ?)",
            .text(claimID),
            .integer(at.millisecondsSince1970)
        )
    }
}
