package import Cashu
package import Encodings
internal import Ledger
internal import Storage

extension SQLiteMintStore {
    private static let mintQuoteColumns =
        "id, unit, amount, request, payment_hash, state, expiry, updated_at, public_key"

    package func add(_ quote: StoredMintQuote) async throws {
        try await database.write { try Self.insert(quote, in: $0) }
    }

    static func insert(_ quote: StoredMintQuote, in connection: Connection) throws {
        let arguments: [SQLValue] = [
            .text(quote.id), .text(quote.unit.name), try .amount(quote.amount), .text(quote.request),
            .blob(quote.paymentHash), .integer(quote.state.rawValue), .integer(quote.expiry.millisecondsSince1970),
            .integer(quote.updatedAt.millisecondsSince1970), .optional(quote.publicKey),
        ]
        try connection.execute(
            "INSERT INTO mint_mint_quotes (\(mintQuoteColumns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            arguments: arguments
        )
    }

    package func mintQuote(_ id: String) async throws -> StoredMintQuote? {
        try await database.read { try Self.mintQuote("id = ?", .text(id), in: $0) }
    }

    package func mintQuote(paymentHash: [UInt8]) async throws -> StoredMintQuote? {
        try await database.read { try Self.mintQuote("payment_hash = ?", .blob(paymentHash), in: $0) }
    }

    static func mintQuote(_ condition: String, _ value: SQLValue, in connection: Connection) throws -> StoredMintQuote?
    {
        try connection.first("SELECT \(mintQuoteColumns) FROM mint_mint_quotes WHERE \(condition)", value)
            .map(mintQuote)
    }

    static func mintQuotes(_ condition: String, order: String, in connection: Connection) throws -> [StoredMintQuote] {
        let sql = "SELECT \(mintQuoteColumns) FROM mint_mint_quotes WHERE \(condition) ORDER BY \(order)"
        return try connection.rows(sql).map(mintQuote)
    }

    private static func mintQuote(_ row: Row) throws -> StoredMintQuote {
        guard let state = StoredMintQuote.State(rawValue: try row.int64(5)) else {
            throw StorageError(.corrupt, "a mint quote has an unknown state")
        }
        return StoredMintQuote(
            id: try row.text(0),
            unit: try CurrencyUnit(row.text(1)),
            amount: try row.uint64(2),
            request: try row.text(3),
            paymentHash: try row.blob(4),
            state: state,
            expiry: Timestamp(millisecondsSince1970: try row.int64(6)),
            updatedAt: Timestamp(millisecondsSince1970: try row.int64(7)),
            publicKey: try row.optionalBlob(8)
        )
    }

    package func markPaid(mintQuote id: String, at: Timestamp) async throws {
        try await database.write { connection in
            guard let quote = try Self.mintQuote("id = ?", .text(id), in: connection), quote.state == .unpaid else {
                return
            }
            try Self.setMintQuote(id, to: .paid, from: .unpaid, at: at, in: connection)
            let plan = TransferPlan(unit: quote.unit.name, kind: "paid", reference: id, at: at)
            let transfers = try plan.transfers(
                debit: [.init(MintAccounts.lightning, quote.amount)],
                credit: [.init(MintAccounts.unissued, quote.amount)]
            )
            try LedgerStore.post(transfers, in: connection)
        }
    }

    /// - Throws: `StorageError` where the quote was not in the state `from`; the caller has looked before.
    static func setMintQuote(
        _ id: String,
        to state: StoredMintQuote.State,
        from former: StoredMintQuote.State,
        at: Timestamp,
        in connection: Connection
    ) throws {
        try connection.execute(
            "UPDATE mint_mint_quotes SET state = ?, updated_at = ? WHERE id = ? AND state = ?",
            .integer(state.rawValue),
            .integer(at.millisecondsSince1970),
            .text(id),
            .integer(former.rawValue)
        )
        guard connection.changes == 1 else {
            throw StorageError(.corrupt, "mint quote \(id) changed within a transaction")
        }
    }

    package func issue(
        _ promises: [IssuedPromise],
        for quotes: [String],
        answering request: RequestDigest?,
        at: Timestamp
    ) async throws {
        let outputs = try promises.map { try PromiseRow($0, keyset: entry(of: $0.keyset)) }
        let total = try Amounts.sum(promises.map(\.amount))
        try await database.write { connection in
            let stored = try quotes.map { try Self.issuable($0, in: connection) }
            guard let unit = stored.first?.unit, stored.allSatisfy({ $0.unit == unit }) else {
                throw MintError(.multipleUnits, "the quotes are of several units")
            }
            let owed = try Amounts.sum(stored.map(\.amount))
            guard total == owed else {
                throw MintError(
                    .transactionNotBalanced,
                    "the outputs are worth \(total), the quotes are for \(owed) \(unit)"
                )
            }
            for quote in quotes {
                try Self.setMintQuote(quote, to: .issued, from: .paid, at: at, in: connection)
                guard let request else { continue }
                try connection.execute(
                    "UPDATE mint_mint_quotes SET answered = ? WHERE id = ?",
                    .blob(request.bytes),
                    .text(quote)
                )
            }
            for output in outputs { try output.insert(in: connection) }
            try LedgerStore.post(Self.issueTransfers(stored, promises, at: at), in: connection)
        }
    }

    private static func issuable(_ quote: String, in connection: Connection) throws -> StoredMintQuote {
        guard let stored = try mintQuote("id = ?", .text(quote), in: connection) else {
            throw MintError.quoteUnknown
        }
        switch stored.state {
        case .paid: return stored
        case .unpaid: throw MintError(.quoteNotPaid, "the quote's invoice has not been paid")
        case .issued: throw MintError(.quoteAlreadyIssued, "ecash for this quote has been issued already")
        }
    }

    /// Each quote pays its share of the ecash under its own name, so that the ledger knows every quote.
    private static func issueTransfers(
        _ quotes: [StoredMintQuote],
        _ promises: [IssuedPromise],
        at: Timestamp
    ) throws -> [Transfer] {
        var ecash = ecashLegs(promises.map { ($0.keyset, $0.amount) })[...]
        return try quotes.flatMap { quote in
            var credit: [TransferPlan.Leg] = []
            var open = quote.amount
            while open > 0, var leg = ecash.popFirst() {
                let part = min(open, leg.amount)
                credit.append(TransferPlan.Leg(leg.account, part))
                open -= part
                leg.amount -= part
                if leg.amount > 0 { ecash.insert(leg, at: ecash.startIndex) }
            }
            let plan = TransferPlan(unit: quote.unit.name, kind: "issued", reference: quote.id, at: at)
            return try plan.transfers(debit: [.init(MintAccounts.unissued, quote.amount)], credit: credit)
        }
    }

    package func unpaidMintQuotes(expiredBefore limit: Timestamp, count: Int) async throws -> [StoredMintQuote] {
        try await database.read { connection in
            try connection.rows(
                """
                SELECT \(Self.mintQuoteColumns) FROM mint_mint_quotes
                WHERE state = 0 AND expiry < ? ORDER BY expiry LIMIT ?
                """,
                .integer(limit.millisecondsSince1970),
                .int(count)
            ).map(Self.mintQuote)
        }
    }

    package func removeUnpaid(mintQuote id: String) async throws {
        try await database.write { connection in
            try connection.execute("DELETE FROM mint_mint_quotes WHERE id = ? AND state = 0", .text(id))
        }
    }

    package func unpaidMintQuoteCount() async throws -> Int {
        try await database.read { connection in
            try connection.first("SELECT count(*) FROM mint_mint_quotes WHERE state = 0")?.int(0) ?? 0
        }
    }
}

extension MintError {
    /// A quote that is not there: never made, or expired and forgotten. The specification has no code of its own for it.
    package static let quoteUnknown = MintError(
        .quoteExpired,
        "the mint has no such quote: it was never made, or it expired unpaid and was removed"
    )
}
