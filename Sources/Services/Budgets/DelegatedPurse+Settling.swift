internal import CanonicalJSON
internal import Delegation
internal import Encodings
internal import Logging
internal import SignedDocuments
internal import Storage

/// What became of payments on chains: each debit ends at what was paid in the end ([DLG-12]).
///
/// While change may still come back, the debit stays open and counts whole, so a budget never shows less than was paid. It
/// is settled once, when the change is in or will not come.
extension DelegatedPurse {
    /// How long change is waited for, in seconds: a day less than an open debit is kept at its account, and a day more than a
    /// seller's refund lasts.
    static let patienceSeconds: Int64 = 31 * 86_400

    private struct Use: Sendable {
        var payment: String
        var agent: String
        var call: [UInt8]
        /// Where it is accounted for; empty for this node.
        var node: String
        var debit: String?
        var amount: UInt64
        var at: Timestamp
    }

    /// Settles the debits of payments that have ended: to be called now and then.
    ///
    /// - Parameters:
    ///   - outcome: how a payment ended, by its id.
    ///   - receipt: the seller's receipt of it, as JSON.
    ///   - place: where the seller's word on the invocation is found.
    /// - Returns: how many were settled.
    @discardableResult
    public func settle(
        outcome: @Sendable (String) async throws -> DelegatedOutcome,
        receipt: @Sendable (String) async throws -> [UInt8]?,
        place: @Sendable (String) async throws -> InvocationReceiptPlace? = { _ in nil }
    ) async throws -> Int {
        var settled = 0
        var fetched = 0
        for use in try await due() {
            let age = clock.now().milliseconds(since: use.at) / 1000
            let end: (state: String, charged: UInt64)
            switch try await outcome(use.payment) {
            case .open:
                try await lookAgain(at: use, age: age)
                continue
            case .charged(_, isFinal: false) where age < Self.patienceSeconds:
                try await lookAgain(at: use, age: age)
                continue
            case .charged(let returned, _): end = ("charged", use.amount - min(returned, use.amount))
            case .free, .unknown: end = ("released", 0)
            }
            do {
                try await finish(use, as: end.state, charged: end.charged, receipt: try await receipt(use.payment))
                settled += 1
                // What is not fetched now is when somebody asks for it.
                if fetched < Self.fetchesARound, let place = try await place(use.payment) {
                    fetched += 1
                    _ = try? await invocationReceipt(place)
                }
            } catch {
                logger.warning(
                    "a delegation's debit is not settled",
                    metadata: ["payment": "\(use.payment)", "error": "\(error)"]
                )
                try await lookAgain(at: use, age: age)
            }
        }
        return settled
    }

    /// Those that are to be looked at by now: soon at first, later on less and less often, so that what stays open for long
    /// keeps nobody waiting.
    private func due() async throws -> [Use] {
        let now = clock.now()
        return try await office.database.read { connection in
            try connection.rows(
                """
                SELECT payment, agent, call, node, debit, amount, at FROM budget_uses
                WHERE state = 'open' AND look_at <= ? ORDER BY look_at LIMIT 500
                """,
                .integer(now.millisecondsSince1970)
            ).map { row in
                Use(
                    payment: try row.text(0),
                    agent: try row.text(1),
                    call: try row.blob(2),
                    node: try row.text(3),
                    debit: try row.optionalText(4),
                    amount: try row.uint64(5),
                    at: Timestamp(millisecondsSince1970: try row.int64(6))
                )
            }
        }
    }

    private func lookAgain(at use: Use, age: Int64) async throws {
        let next = clock.now().adding(seconds: min(max(5, age / 4), 3600))
        try await office.database.write { connection in
            try connection.execute(
                "UPDATE budget_uses SET look_at = ? WHERE payment = ? AND state = 'open'",
                .integer(next.millisecondsSince1970),
                .text(use.payment)
            )
        }
    }

    private func finish(_ use: Use, as state: String, charged: UInt64, receipt: [UInt8]?) async throws {
        var state = state
        if use.node.isEmpty {
            // A crash may have come between the debit and its ticket: then the account alone knows it.
            let own = try await office.debit(agent: use.agent, call: use.call)
            do {
                if let id = use.debit ?? own { _ = try await office.settle(debit: id, charged: charged) }
            } catch let error as BudgetError where error.code == .unknown {
                // It was open for so long that its account took it to be charged.
                state = "kept"
            }
        } else if charged < use.amount {
            // Elsewhere only the seller's word counts. Without it, or without a ticket, the debit stays.
            if let id = use.debit, let receipt, let document = try JSONValue.parse(receipt).objectValue {
                do {
                    _ = try await post("\(use.node)/delegations/debits/\(id)/settle", ["receipt": .object(document)])
                } catch let error as BudgetError where error.code == .refused {
                    state = "kept"
                }
            } else {
                state = "kept"
            }
        }
        let end = state
        try await office.database.write { connection in
            try connection.execute(
                "UPDATE budget_uses SET state = ? WHERE payment = ? AND state = 'open'",
                .text(end),
                .text(use.payment)
            )
        }
    }
}
