public import Cashu
internal import Cryptography
public import Encodings
internal import Logging
internal import Storage
internal import Synchronization

/// A token that came in: on disk before it is claimed, and until it is known what became of it.
public struct InboxEntry: Sendable {
    public enum State: String, Sendable {
        /// To be claimed, at start and again and again until the mint answers.
        case waiting
        /// Its coins are in the wallet.
        case claimed
        /// It will not be claimed by itself; `reason` says why.
        case failed
    }

    public var id: String
    public var mint: MintURL
    public var unit: CurrencyUnit
    /// What the token says it is worth.
    public var amount: UInt64
    public var state: State
    /// What it brought, after fees.
    public var received: UInt64
    public var fee: UInt64
    /// Why it is not claimed (yet).
    public var reason: String?
    /// The payment request it answers.
    public var request: String?
    /// The mint that its value is to go on to.
    public var swapTo: MintURL?
    public var receivedAt: Timestamp

    /// `cashuB…`; empty once claimed.
    var token: String
    /// Opens its hash lock (NUT-14).
    var preimage: [UInt8]?
}

/// The tables `wallet_inbox` and `wallet_inbox_coins`.
enum InboxStore {
    /// The most tokens that may wait.
    static let maximumWaiting: Int64 = 10_000
    static let referencePrefix = "inbox:"

    private static let columns = """
        id, mint, unit, amount, state, received, fee, reason, request, swap_to, received_at, token, preimage
        """

    /// The id of a token: the same coins always have the same.
    static func id(of token: Token) -> String {
        let secrets = token.groups.flatMap { $0.proofs.map(\.secret) }.sorted {
            $0.utf8.lexicographicallyPrecedes($1.utf8)
        }
        return Hex.encode(Hashing.sha256(Array(secrets.joined(separator: "\n").utf8)))
    }

    /// Puts a token in. One that failed before is tried anew.
    /// - Returns: the entry that stands there now.
    static func put(
        _ token: Token,
        at mint: MintURL,
        preimage: [UInt8]?,
        request: String?,
        swapTo: MintURL?,
        now: Timestamp,
        in connection: Connection
    ) throws -> InboxEntry {
        let id = id(of: token)
        if let earlier = try find(id, in: connection) {
            guard earlier.state == .failed, earlier.received == 0 else { return earlier }
            try connection.execute(
                """
                UPDATE wallet_inbox SET state = 'waiting', reason = NULL, token = ?, preimage = coalesce(?, preimage),
                    request = coalesce(?, request), swap_to = ? WHERE id = ?
                """,
                .text(token.serialized()),
                .optional(preimage),
                .optional(request),
                .optional(swapTo?.string),
                .text(id)
            )
        } else {
            let waiting =
                try connection.first("SELECT count(*) FROM wallet_inbox WHERE state = 'waiting'")?.int64(0) ?? 0
            guard waiting < maximumWaiting else {
                throw WalletError(.inboxFull, "\(waiting) tokens wait to be claimed: no more are taken for now")
            }
            try connection.execute(
                """
                INSERT INTO wallet_inbox (id, mint, unit, amount, coins, token, preimage, request, swap_to, state, received_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?)
                """,
                .text(id),
                .text(mint.string),
                .text(token.unit.name),
                try .amount(token.amount()),
                .int(token.count),
                .text(token.serialized()),
                .optional(preimage),
                .optional(request),
                .optional(swapTo?.string),
                .integer(now.millisecondsSince1970)
            )
        }
        guard let entry = try find(id, in: connection) else {
            throw WalletError(.corrupt, "a token that was just stored is gone")
        }
        return entry
    }

    static func find(_ id: String, in connection: Connection) throws -> InboxEntry? {
        try connection.first("SELECT \(columns) FROM wallet_inbox WHERE id = ?", .text(id)).map(entry(row:))
    }

    static func waiting(limit: Int, in connection: Connection) throws -> [InboxEntry] {
        try connection.rows(
            "SELECT \(columns) FROM wallet_inbox WHERE state = 'waiting' ORDER BY received_at LIMIT ?",
            .int(limit)
        ).map(entry(row:))
    }

    /// Claimed ones whose value is to go on to another mint.
    static func toSwap(limit: Int, in connection: Connection) throws -> [InboxEntry] {
        try connection.rows(
            """
            SELECT \(columns) FROM wallet_inbox WHERE state = 'claimed' AND swap_to IS NOT NULL
            ORDER BY received_at LIMIT ?
            """,
            .int(limit)
        ).map(entry(row:))
    }

    static func list(all: Bool, limit: Int, in connection: Connection) throws -> [InboxEntry] {
        try connection.rows(
            "SELECT \(columns) FROM wallet_inbox WHERE ? OR state <> 'claimed' ORDER BY received_at DESC LIMIT ?",
            .bool(all),
            .int(limit)
        ).map(entry(row:))
    }

    private static func entry(row: Row) throws -> InboxEntry {
        guard let state = InboxEntry.State(rawValue: try row.text(4)) else {
            throw WalletError(.corrupt, "a token of the inbox is in an unknown state")
        }
        return InboxEntry(
            id: try row.text(0),
            mint: try MintURL(stored: row.text(1)),
            unit: try CurrencyUnit(row.text(2)),
            amount: try row.uint64(3),
            state: state,
            received: try row.uint64(5),
            fee: try row.uint64(6),
            reason: try row.optionalText(7),
            request: try row.optionalText(8),
            swapTo: try row.optionalText(9).map { try MintURL(stored: $0) },
            receivedAt: Timestamp(millisecondsSince1970: try row.int64(10)),
            token: try row.text(11),
            preimage: try row.optionalBlob(12)
        )
    }

    // MARK: Claiming

    /// Coins of a token that are in the wallet already, by `Y`.
    static func claimed(_ id: String, in connection: Connection) throws -> Set<[UInt8]> {
        Set(
            try connection.rows("SELECT y FROM wallet_inbox_coins WHERE inbox = ? AND claimed", .text(id))
                .map { try $0.blob(0) }
        )
    }

    /// Operations that claim a part of it and are not over.
    static func open(_ id: String, in connection: Connection) throws -> [Operation] {
        try connection.rows(
            "SELECT DISTINCT operation FROM wallet_inbox_coins WHERE inbox = ? AND NOT claimed",
            .text(id)
        ).compactMap { try Operation.find($0.text(0), in: connection) }.filter { $0.state == .planned }
    }

    /// Notes which operation claims which coins, in its own transaction.
    static func note(_ proofs: [Proof], of id: String, operation: String, in connection: Connection) throws {
        for proof in proofs {
            try connection.execute(
                """
                INSERT INTO wallet_inbox_coins (y, inbox, operation, claimed) VALUES (?, ?, ?, 0)
                ON CONFLICT (y) DO UPDATE SET operation = excluded.operation, inbox = excluded.inbox WHERE NOT claimed
                """,
                .blob(try proof.hashedSecret().compressed),
                .text(id),
                .text(operation)
            )
        }
    }

    /// An operation brought a token's coins, or a part of them.
    static func arrived(_ operation: Operation, gain: UInt64, fee: UInt64, at now: Timestamp, in connection: Connection)
        throws
    {
        guard let reference = operation.reference, reference.hasPrefix(referencePrefix) else { return }
        let id = String(reference.dropFirst(referencePrefix.count))
        try connection.execute("UPDATE wallet_inbox_coins SET claimed = 1 WHERE operation = ?", .text(operation.id))
        let claimed =
            try connection.first("SELECT count(*) FROM wallet_inbox_coins WHERE inbox = ? AND claimed", .text(id))?
            .int64(0) ?? 0
        // The last coins in, the secrets are of no use any more.
        try connection.execute(
            """
            UPDATE wallet_inbox SET received = received + ?, fee = fee + ?, changed_at = ?,
                state = CASE WHEN coins <= ? THEN 'claimed' ELSE state END,
                reason = CASE WHEN coins <= ? THEN NULL ELSE reason END,
                token = CASE WHEN coins <= ? THEN '' ELSE token END WHERE id = ?
            """,
            try .amount(gain),
            try .amount(fee),
            .integer(now.millisecondsSince1970),
            .integer(claimed),
            .integer(claimed),
            .integer(claimed),
            .text(id)
        )
        try RequestStore.arrived(inbox: id, gain: gain, in: connection)
    }

    /// Says why a token is not claimed, for now or for good.
    static func excuse(_ id: String, isFinal: Bool, reason: String, at now: Timestamp, in connection: Connection) throws
    {
        try connection.execute(
            """
            UPDATE wallet_inbox SET state = CASE WHEN ? THEN 'failed' ELSE state END, reason = ?, changed_at = ?,
                attempts = attempts + 1 WHERE id = ? AND state = 'waiting'
            """,
            .bool(isFinal),
            .text(String(reason.prefix(1000))),
            .integer(now.millisecondsSince1970),
            .text(id)
        )
        if isFinal { try RequestStore.failed(inbox: id, in: connection) }
    }

    /// Its value went on to the other mint, or will not by itself.
    static func endSwap(_ id: String, reason: String?, in connection: Connection) throws {
        try connection.execute(
            "UPDATE wallet_inbox SET swap_to = NULL, reason = ? WHERE id = ?",
            .optional(reason.map { String($0.prefix(1000)) }),
            .text(id)
        )
    }
}

extension Wallet {
    /// What came in: tokens that wait and those that could not be claimed, newest first.
    /// - Parameter all: those that were claimed too.
    public func inbox(all: Bool = false, limit: Int = 200) async throws -> [InboxEntry] {
        let bounded = min(max(1, limit), 1000)
        return try await database.read { connection in
            try InboxStore.list(all: all, limit: bounded, in: connection)
        }
    }

    /// Claims one token of the inbox. Callers at the same time share one attempt.
    func claimEntry(_ id: String) async throws -> InboxEntry {
        let task = claiming.withLock { claiming in
            if let task = claiming[id] { return task }
            let task = Task {
                defer { _ = self.claiming.withLock { $0.removeValue(forKey: id) } }
                return try await self.claimOnce(id)
            }
            claiming[id] = task
            return task
        }
        return try await task.value
    }

    private func claimOnce(_ id: String) async throws -> InboxEntry {
        do {
            try await claimCoins(of: id)
        } catch {
            let failure = error as? WalletError
            let isFinal = failure.map { Self.isFinal($0.code) } ?? (error is CashuError)
            let reason = failure?.message ?? "\(error)"
            let now = clock.now()
            try await database.write { connection in
                try InboxStore.excuse(id, isFinal: isFinal, reason: reason, at: now, in: connection)
            }
            throw error
        }
        guard let entry = try await database.read({ connection in try InboxStore.find(id, in: connection) }) else {
            throw WalletError(.notFound, "there is no token \(id.prefix(80)) in the inbox")
        }
        return entry
    }

    /// Whether trying again by itself could not help.
    private static func isFinal(_ code: WalletError.Code) -> Bool {
        [
            .tokenSpent, .invalidToken, .tokenLocked, .belowFee, .mintRefused, .mintDishonest, .mintUnsuitable,
            .mintUntrusted, .mintUnknown,
        ].contains(code)
    }

    private func claimCoins(of id: String) async throws {
        let found = try await database.read { connection in
            (try InboxStore.find(id, in: connection), try InboxStore.open(id, in: connection))
        }
        guard let entry = found.0, entry.state == .waiting else { return }
        // What an earlier attempt left open is settled first: its coins must not be asked for twice.
        for operation in found.1 {
            do {
                _ = try await runner.run(operation, isFresh: false)
            } catch let error as WalletError where error.code != .outcomeUnknown && error.code != .mintUnreachable {
                logger.notice("an earlier claim did not go through", metadata: ["why": "\(error.message)"])
            }
        }
        let token = try Token(entry.token)
        let claimed = try await database.read { connection in try InboxStore.claimed(id, in: connection) }
        let proofs = try await verified(token, at: entry.mint).filter {
            try !claimed.contains($0.hashedSecret().compressed)
        }
        let signed = try sign(proofs, keys: [], preimage: entry.preimage)
        for batch in signed.chunks(of: configuration.maximumInputs) {
            _ = try await perform(at: entry.mint, unit: entry.unit) { planner, connection in
                try Self.refuseOwn(batch, in: connection)
                let operation = try planner.claim(
                    .receive,
                    inputs: batch,
                    reference: InboxStore.referencePrefix + id,
                    in: connection
                )
                try InboxStore.note(batch, of: id, operation: operation.id, in: connection)
                return operation
            }
        }
    }

    /// Tries every token that waits, and sends on the value of those that are to be swapped.
    /// - Returns: how many were claimed.
    @discardableResult
    public func claimInbox() async throws -> Int {
        let waiting = try await database.read { connection in try InboxStore.waiting(limit: 500, in: connection) }
        var claimed = 0
        for entry in waiting {
            do {
                _ = try await claimEntry(entry.id)
                claimed += 1
            } catch {
                logger.debug("a token of the inbox waits", metadata: ["token": "\(entry.id)", "why": "\(error)"])
            }
        }
        for entry in try await database.read({ connection in try InboxStore.toSwap(limit: 100, in: connection) }) {
            do {
                _ = try await sendOn(entry)
            } catch {
                logger.notice(
                    "a token's value stays at its mint",
                    metadata: ["token": "\(entry.id)", "why": "\(error)"]
                )
            }
        }
        return claimed
    }

    /// Tries a token again that could not be claimed.
    public func retryInbox(_ id: String) async throws -> InboxEntry {
        try await database.write { connection in
            try connection.execute(
                "UPDATE wallet_inbox SET state = 'waiting' WHERE id = ? AND state = 'failed'",
                .text(id)
            )
        }
        return try await claimEntry(id)
    }

    /// Swaps what a claimed token brought to the mint it is meant for. Callers at the same time share one attempt.
    /// - Throws: `outcomeUnknown` while that is under way; any other code says that the value stays where it is.
    func sendOn(_ entry: InboxEntry) async throws -> MintSwap {
        let task = sendingOn.withLock { sendingOn in
            if let task = sendingOn[entry.id] { return task }
            let task = Task {
                defer { _ = self.sendingOn.withLock { $0.removeValue(forKey: entry.id) } }
                return try await self.sendOnce(entry)
            }
            sendingOn[entry.id] = task
            return task
        }
        return try await task.value
    }

    private func sendOnce(_ entry: InboxEntry) async throws -> MintSwap {
        guard let target = entry.swapTo else { throw WalletError(.invalidArgument, "this token stays at its mint") }
        let id = InboxStore.referencePrefix + entry.id
        do {
            let swap: MintSwap
            do {
                swap = try await performSwap(id)
            } catch let error as WalletError
                where [.mintRefused, .paymentFailed, .invalidArgument].contains(error.code)
            {
                // The terms may have lapsed while the token waited: asked for anew, once.
                _ = try await quoteLargestSwap(
                    budget: entry.received,
                    from: entry.mint,
                    to: target,
                    unit: entry.unit,
                    id: id
                )
                swap = try await performSwap(id)
            }
            try await database.write { connection in try InboxStore.endSwap(entry.id, reason: nil, in: connection) }
            return swap
        } catch let error as WalletError where error.code != .outcomeUnknown && error.code != .mintUnreachable {
            try await database.write { connection in
                try InboxStore.endSwap(entry.id, reason: "not swapped: \(error.message)", in: connection)
            }
            throw error
        }
    }
}
