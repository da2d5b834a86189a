internal import Cashu
package import Encodings
internal import Ledger
internal import Storage

extension SQLiteMintStore {
    private static let meltQuoteColumns = """
        number, id, unit, amount, fee_reserve, request, payment_hash, state, expiry, updated_at, started_at,
        input_total, input_fee, preimage, msat_per_unit, part_msat
        """

    /// A melt quote and the number its rows in other tables name it by.
    typealias Numbered = (number: Int64, quote: StoredMeltQuote)

    package func add(_ quote: StoredMeltQuote) async throws {
        let arguments: [SQLValue] = [
            .text(quote.id), .text(quote.unit.name), try .amount(quote.amount), try .amount(quote.feeReserve),
            .text(quote.request), .blob(quote.paymentHash), .integer(quote.expiry.millisecondsSince1970),
            .integer(quote.updatedAt.millisecondsSince1970), try quote.msatPerUnit.map { try .amount($0) } ?? .null,
            try quote.partMsat.map { try .amount($0) } ?? .null,
        ]
        try await database.write { connection in
            try connection.execute(
                """
                INSERT INTO mint_melt_quotes
                (id, unit, amount, fee_reserve, request, payment_hash, state, expiry, updated_at, msat_per_unit,
                 part_msat)
                VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?)
                """,
                arguments: arguments
            )
        }
    }

    static func meltQuotes(_ condition: String, order: String, in connection: Connection) throws -> [StoredMeltQuote] {
        let sql = "SELECT \(meltQuoteColumns) FROM mint_melt_quotes WHERE \(condition) ORDER BY \(order)"
        return try connection.rows(sql).map { try numbered($0).quote }
    }

    package func meltQuote(_ id: String) async throws -> StoredMeltQuote? {
        try await database.read { try Self.numbered(id, in: $0)?.quote }
    }

    private static func numbered(_ id: String, in connection: Connection) throws -> Numbered? {
        try connection.first("SELECT \(meltQuoteColumns) FROM mint_melt_quotes WHERE id = ?", .text(id))
            .map(numbered)
    }

    private static func numbered(_ row: Row) throws -> Numbered {
        guard let state = StoredMeltQuote.State(rawValue: try row.int64(7)) else {
            throw StorageError(.corrupt, "a melt quote has an unknown state")
        }
        let quote = StoredMeltQuote(
            id: try row.text(1),
            unit: try CurrencyUnit(row.text(2)),
            amount: try row.uint64(3),
            feeReserve: try row.uint64(4),
            request: try row.text(5),
            paymentHash: try row.blob(6),
            state: state,
            expiry: Timestamp(millisecondsSince1970: try row.int64(8)),
            updatedAt: Timestamp(millisecondsSince1970: try row.int64(9)),
            startedAt: try row.optionalInt64(10).map { Timestamp(millisecondsSince1970: $0) },
            inputTotal: try row.uint64(11),
            inputFee: try row.uint64(12),
            preimage: try row.optionalBlob(13),
            msatPerUnit: try row.optionalUInt64(14),
            partMsat: try row.optionalUInt64(15)
        )
        return (try row.int64(0), quote)
    }

    // MARK: Begin

    package func beginMelt(
        _ quote: String,
        holding proofs: [SpentProof],
        fee: UInt64,
        blanks: [BlankOutput],
        changeInside: [IssuedPromise],
        answering request: RequestDigest?,
        at: Timestamp
    ) async throws -> MeltStart {
        let entries = try proofs.map { try entry(of: $0.keyset) }
        let changeEntries = try changeInside.map { try entry(of: $0.keyset) }
        let blankEntries = try blanks.map { try entry(of: $0.keyset) }
        let total = try Amounts.sum(proofs.map(\.amount))
        return try await database.write { connection in
            let (number, stored) = try Self.payable(quote, total: total, fee: fee, at: at, in: connection)
            let own = try Self.ownUnpaidQuote(paidBy: stored, in: connection)
            try connection.execute(
                "UPDATE mint_melt_quotes SET answered = ? WHERE number = ?",
                .optional(request?.bytes),
                .integer(number)
            )
            for (proof, entry) in zip(proofs, entries) {
                try ProofRow(proof, keyset: entry, melt: number, isPending: own == nil).insert(in: connection)
            }
            guard let own else {
                for (position, (blank, entry)) in zip(blanks, blankEntries).enumerated() {
                    try PromiseRow(blank, keyset: entry, melt: number, position: position).insert(in: connection)
                }
                try Self.mark(number, .pending, total: total, fee: fee, at: at, in: connection)
                return .pay(try Self.requireNumbered(quote, in: connection).quote)
            }
            try Self.mark(number, .paid, total: total, fee: fee, at: at, in: connection)
            try Self.setMintQuote(own.id, to: .paid, from: .unpaid, at: at, in: connection)
            for (position, (promise, entry)) in zip(changeInside, changeEntries).enumerated() {
                try PromiseRow(promise, keyset: entry, melt: number, position: position).insert(in: connection)
            }
            let transfers = try Self.insideTransfers(stored, own, proofs: proofs, change: changeInside, at: at)
            try Self.post(transfers, in: connection)
            return .settledInside(try Self.requireNumbered(quote, in: connection).quote)
        }
    }

    /// The inputs pay the mint's own quote; the change goes back; the rest is the mint's.
    private static func insideTransfers(
        _ melt: StoredMeltQuote,
        _ own: StoredMintQuote,
        proofs: [SpentProof],
        change: [IssuedPromise],
        at: Timestamp
    ) throws -> [Transfer] {
        let given = try Amounts.sum(proofs.map(\.amount))
        let spent = try Amounts.adding(own.amount, Amounts.sum(change.map(\.amount)))
        guard given >= spent else {
            throw StorageError(.statement, "melt \(melt.id) would give back more than it took")
        }
        let plan = TransferPlan(unit: melt.unit.name, kind: "inside", reference: melt.id, at: at)
        return try plan.transfers(
            debit: ecashLegs(proofs.map { ($0.keyset, $0.amount) }),
            credit: [.init(MintAccounts.unissued, own.amount)] + ecashLegs(change.map { ($0.keyset, $0.amount) })
                + [.init(MintAccounts.fees, given - spent)]
        )
    }

    /// The quote, where it can be paid now with these inputs.
    private static func payable(
        _ id: String,
        total: UInt64,
        fee: UInt64,
        at: Timestamp,
        in connection: Connection
    ) throws -> Numbered {
        let found = try requireNumbered(id, in: connection)
        let quote = found.quote
        switch quote.state {
        case .unpaid: break
        case .pending: throw MintError(.quotePending, "the quote is being paid already")
        case .paid: throw MintError(.invoiceAlreadyPaid, "the quote has been paid already")
        }
        guard at < quote.expiry else {
            throw MintError(.quoteExpired, "the quote has expired; ask for a new one")
        }
        let needed = try Amounts.sum([quote.amount, quote.feeReserve, fee])
        guard total >= needed else {
            throw MintError(
                .transactionNotBalanced,
                "the inputs are worth \(total) \(quote.unit); \(needed) are needed: \(quote.amount) to pay,"
                    + " \(quote.feeReserve) fee reserve, \(fee) input fees"
            )
        }
        // One invoice is paid once, whichever quote asks for it.
        let sql = "SELECT state FROM mint_melt_quotes WHERE payment_hash = ? AND state > 0"
        if let other = try connection.first(sql, .blob(quote.paymentHash)) {
            if try other.int64(0) == StoredMeltQuote.State.pending.rawValue {
                throw MintError(.quotePending, "this invoice is being paid for another quote")
            }
            throw MintError(.invoiceAlreadyPaid, "this invoice has been paid for another quote")
        }
        return found
    }

    /// The mint's own quote that this melt would pay.
    private static func ownUnpaidQuote(
        paidBy melt: StoredMeltQuote,
        in connection: Connection
    ) throws -> StoredMintQuote? {
        guard let own = try mintQuote("payment_hash = ?", .blob(melt.paymentHash), in: connection) else { return nil }
        guard own.state == .unpaid else {
            throw MintError(.invoiceAlreadyPaid, "the invoice has been paid already")
        }
        guard own.unit == melt.unit else {
            throw MintError(
                .unitNotSupported,
                "the invoice is this mint's own, for \(own.unit); it can be paid inside the mint in that unit only"
            )
        }
        guard own.amount <= melt.amount else {
            throw MintError(.amountDiffersFromInvoice, "the invoice is for \(own.amount) \(own.unit)")
        }
        return own
    }

    static func requireNumbered(_ id: String, in connection: Connection) throws -> Numbered {
        guard let found = try numbered(id, in: connection) else { throw MintError.quoteUnknown }
        return found
    }

    private static func mark(
        _ number: Int64,
        _ state: StoredMeltQuote.State,
        total: UInt64,
        fee: UInt64,
        at: Timestamp,
        in connection: Connection
    ) throws {
        try connection.execute(
            """
            UPDATE mint_melt_quotes
            SET state = ?, input_total = ?, input_fee = ?, started_at = ?, updated_at = ? WHERE number = ? AND state = 0
            """,
            .integer(state.rawValue),
            try .amount(total),
            try .amount(fee),
            .integer(at.millisecondsSince1970),
            .integer(at.millisecondsSince1970),
            .integer(number)
        )
        guard connection.changes == 1 else {
            throw StorageError(.corrupt, "a melt quote changed within a transaction")
        }
    }

    // MARK: End

    package func settleMelt(
        _ quote: String,
        preimage: [UInt8]?,
        lightningFee: UInt64,
        change: [IssuedPromise],
        at: Timestamp
    ) async throws -> StoredMeltQuote {
        let changeEntries = try change.map { try entry(of: $0.keyset) }
        return try await database.write { [self] connection in
            let (number, stored) = try Self.requireNumbered(quote, in: connection)
            guard stored.state != .paid else { return stored }
            guard stored.state == .pending else {
                throw StorageError(.statement, "melt quote \(quote) was settled but is not pending")
            }
            let inputs = try heldAmounts(melt: number, in: connection)
            try connection.execute(
                "UPDATE mint_proofs SET pending = 0, epoch = ? WHERE melt = ?",
                .integer(openEpoch.number),
                .integer(number)
            )
            for (promise, entry) in zip(change, changeEntries) {
                try fill(promise, keyset: entry, melt: number, in: connection)
            }
            try connection.execute("DELETE FROM mint_promises WHERE melt = ? AND c IS NULL", .integer(number))
            try connection.execute(
                "UPDATE mint_melt_quotes SET state = 2, preimage = ?, updated_at = ? WHERE number = ?",
                .optional(preimage),
                .integer(at.millisecondsSince1970),
                .integer(number)
            )
            let transfers = try Self.meltTransfers(
                stored,
                inputs: inputs,
                lightningFee: lightningFee,
                change: change,
                at: at
            )
            try Self.post(transfers, in: connection)
            return try Self.requireNumbered(quote, in: connection).quote
        }
    }

    private func heldAmounts(melt: Int64, in connection: Connection) throws -> [(keyset: KeysetID, amount: UInt64)] {
        let sql = "SELECT keyset, sum(amount) FROM mint_proofs WHERE melt = ? GROUP BY keyset ORDER BY keyset"
        return try connection.rows(sql, .integer(melt)).map { row in
            (try entry(number: row.int64(0)).id, try row.uint64(1))
        }
    }

    private func fill(
        _ promise: IssuedPromise,
        keyset: KeysetNumbers.Entry,
        melt: Int64,
        in connection: Connection
    ) throws {
        try connection.execute(
            """
            UPDATE mint_promises SET amount = ?, c = ?, e = ?, s = ?, epoch = ?
            WHERE b = ? AND melt = ? AND keyset = ? AND c IS NULL
            """,
            try .amount(promise.amount),
            .blob(promise.signature),
            .blob(promise.challenge),
            .blob(promise.response),
            .integer(openEpoch.number),
            .blob(promise.blinded),
            .integer(melt),
            .integer(keyset.number)
        )
        guard connection.changes == 1 else {
            throw StorageError(.statement, "change was made for an output that the melt does not hold")
        }
    }

    /// The inputs pay the amount and what routing cost; the change goes back; the rest is the mint's. Routing that
    /// cost more than the reserve is the operator's loss, never the user's.
    static func meltTransfers(
        _ quote: StoredMeltQuote,
        inputs: [(keyset: KeysetID, amount: UInt64)],
        lightningFee: UInt64,
        change: [IssuedPromise],
        at: Timestamp
    ) throws -> [Transfer] {
        let covered = min(lightningFee, quote.feeReserve)
        let paid = try Amounts.adding(quote.amount, covered)
        let returned = try Amounts.sum(change.map(\.amount))
        let given = try Amounts.sum(inputs.map(\.amount))
        let spent = try Amounts.adding(paid, returned)
        guard given >= spent else {
            throw StorageError(.statement, "melt \(quote.id) would give back more than it took")
        }
        let plan = TransferPlan(unit: quote.unit.name, kind: "melt", reference: quote.id, at: at)
        var transfers = try plan.transfers(
            debit: ecashLegs(inputs),
            credit: [.init(MintAccounts.lightning, paid)] + ecashLegs(change.map { ($0.keyset, $0.amount) })
                + [.init(MintAccounts.fees, given - spent)]
        )
        if lightningFee > covered {
            let loss = TransferPlan(unit: quote.unit.name, kind: "loss", reference: quote.id, at: at)
            transfers += try loss.transfers(
                debit: [.init(MintAccounts.losses, lightningFee - covered)],
                credit: [.init(MintAccounts.operatorFunds, lightningFee - covered)]
            )
        }
        return transfers
    }

    package func releaseMelt(_ quote: String, at: Timestamp) async throws {
        try await database.write { connection in
            let (number, stored) = try Self.requireNumbered(quote, in: connection)
            guard stored.state == .pending else { return }
            try connection.execute("DELETE FROM mint_proofs WHERE melt = ? AND pending = 1", .integer(number))
            try connection.execute("DELETE FROM mint_promises WHERE melt = ? AND c IS NULL", .integer(number))
            try Self.watchFreed(quote, at: at, in: connection)
            try connection.execute(
                """
                UPDATE mint_melt_quotes
                SET state = 0, input_total = 0, input_fee = 0, started_at = NULL, updated_at = ? WHERE number = ?
                """,
                .integer(at.millisecondsSince1970),
                .integer(number)
            )
        }
    }

    // MARK: Look

    package func pendingMelts(after id: String, count: Int) async throws -> [StoredMeltQuote] {
        try await database.read { connection in
            try connection.rows(
                """
                SELECT \(Self.meltQuoteColumns) FROM mint_melt_quotes
                WHERE state = 1 AND id > ? ORDER BY id LIMIT ?
                """,
                .text(id),
                .int(count)
            ).map { try Self.numbered($0).quote }
        }
    }

    package func blanks(ofMelt quote: String) async throws -> [BlankOutput] {
        try await database.read { [self] connection in
            guard let (number, _) = try Self.numbered(quote, in: connection) else { return [] }
            return try connection.rows(
                "SELECT b, keyset FROM mint_promises WHERE melt = ? AND c IS NULL ORDER BY position",
                .integer(number)
            ).map { BlankOutput(blinded: try $0.blob(0), keyset: try entry(number: $0.int64(1)).id) }
        }
    }

    package func change(ofMelt quote: String) async throws -> [IssuedPromise] {
        try await database.read { [self] connection in
            guard let (number, _) = try Self.numbered(quote, in: connection) else { return [] }
            return try connection.rows(
                """
                SELECT \(PromiseRow.columns) FROM mint_promises
                WHERE melt = ? AND c IS NOT NULL ORDER BY position
                """,
                .integer(number)
            ).map(promise)
        }
    }

    package func removeUnpaidMeltQuotes(expiredBefore limit: Timestamp, count: Int) async throws -> Int {
        try await database.write { connection in
            try connection.execute(
                """
                DELETE FROM mint_melt_quotes WHERE number IN
                (SELECT number FROM mint_melt_quotes WHERE state = 0 AND expiry < ?
                 AND id NOT IN (SELECT quote FROM mint_melt_watch) LIMIT ?)
                """,
                .integer(limit.millisecondsSince1970),
                .int(count)
            )
            return connection.changes
        }
    }

    package func unpaidMeltQuoteCount() async throws -> Int {
        try await database.read { connection in
            try connection.first("SELECT count(*) FROM mint_melt_quotes WHERE state = 0")?.int(0) ?? 0
        }
    }
}
