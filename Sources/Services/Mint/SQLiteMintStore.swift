package import Cashu
package import Encodings
internal import Ledger
package import Storage
internal import Synchronization

/// `MintStore` on the node's SQLite database. One `Database.write` is one domain transaction; what must be unique is
/// the primary key of its table, so that the insert itself is the check.
package final class SQLiteMintStore: MintStore {
    let database: Database
    /// Keysets stand in the big tables as small numbers; this maps them both ways.
    private let numbers = Mutex(KeysetNumbers())
    /// Rows of `mint_answers`, once they were counted.
    let answerCount = Mutex<Int?>(nil)
    let openEpoch: OpenEpoch

    /// The database must have been opened with `SQLiteMintStore.migrations`.
    package init(database: Database) async throws {
        self.database = database
        let last = try await database.read { try $0.first("SELECT max(epoch) FROM mint_epochs")?.optionalInt64(0) }
        let epoch = OpenEpoch((last ?? 0) + 1)
        openEpoch = epoch
        let rows = try await database.read { connection in
            try connection.rows("SELECT number, id, unit FROM mint_keysets").map { row in
                KeysetNumbers.Entry(
                    number: try row.int64(0),
                    id: try KeysetID(bytes: row.blob(1)),
                    unit: try CurrencyUnit(row.text(2)),
                    epoch: epoch
                )
            }
        }
        numbers.withLock { numbers in
            for entry in rows { numbers.add(entry) }
        }
    }

    // MARK: Keysets

    package func keysets() async throws -> [KeysetRecord] {
        try await database.read { connection in
            try connection.rows(
                """
                SELECT id, unit, counter, active, input_fee_ppk, final_expiry, created_at
                FROM mint_keysets ORDER BY number
                """
            ).map { row in
                guard let counter = UInt32(exactly: try row.int64(2)) else {
                    throw StorageError(.corrupt, "a keyset of the mint has a counter beyond 2^32-1")
                }
                let info = KeysetInfo(
                    id: try KeysetID(bytes: row.blob(0)),
                    unit: try CurrencyUnit(row.text(1)),
                    isActive: try row.bool(3),
                    inputFeePPK: try row.uint64(4),
                    finalExpiry: try row.optionalUInt64(5)
                )
                let createdAt = try row.optionalInt64(6).map { Timestamp(millisecondsSince1970: $0) }
                return KeysetRecord(info: info, counter: counter, createdAt: createdAt)
            }
        }
    }

    package func add(_ keyset: KeysetRecord) async throws {
        let info = keyset.info
        let number = try await database.write { connection in
            if info.isActive {
                try connection.execute(
                    "UPDATE mint_keysets SET active = 0 WHERE unit = ? AND active = 1",
                    .text(info.unit.name)
                )
            }
            try connection.execute(
                """
                INSERT INTO mint_keysets (id, unit, counter, active, input_fee_ppk, final_expiry, created_at)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                """,
                .blob(info.id.bytes),
                .text(info.unit.name),
                .integer(Int64(keyset.counter)),
                .bool(info.isActive),
                try .amount(info.inputFeePPK),
                try info.finalExpiry.map { try SQLValue.amount($0) } ?? .null,
                .optional(keyset.createdAt?.millisecondsSince1970)
            )
            return connection.lastInsertedRowID
        }
        numbers.withLock { $0.add(KeysetNumbers.Entry(number: number, id: info.id, unit: info.unit, epoch: openEpoch)) }
    }

    func entry(of keyset: KeysetID) throws -> KeysetNumbers.Entry {
        guard let entry = numbers.withLock({ $0.byID[keyset] }) else {
            throw MintError(.keysetUnknown, "this mint has no keyset \(keyset)")
        }
        return entry
    }

    func entry(number: Int64) throws -> KeysetNumbers.Entry {
        guard let entry = numbers.withLock({ $0.byNumber[number] }) else {
            throw StorageError(.corrupt, "a row of the mint names keyset number \(number), which is not there")
        }
        return entry
    }

    var allKeysets: [KeysetNumbers.Entry] {
        numbers.withLock { $0.byNumber.values.sorted { $0.number < $1.number } }
    }

    // MARK: Swaps

    package func spend(
        _ proofs: [SpentProof],
        issuing promises: [IssuedPromise],
        unit: CurrencyUnit,
        answering request: RequestDigest?,
        at: Timestamp
    ) async throws {
        let inputs = try proofs.map { try ProofRow($0, keyset: entry(of: $0.keyset), melt: nil, isPending: false) }
        let outputs = try promises.map { try PromiseRow($0, keyset: entry(of: $0.keyset)) }
        let transfers = try Self.swapTransfers(proofs, promises, unit: unit, at: at)
        try await database.write { connection in
            for input in inputs { try input.insert(in: connection) }
            for output in outputs { try output.insert(in: connection) }
            try Self.post(transfers, in: connection)
            if let request { try Self.remember(swap: request, at: at, in: connection) }
        }
        if request != nil { answerCount.withLock { $0? += 1 } }
    }

    private static func swapTransfers(
        _ proofs: [SpentProof],
        _ promises: [IssuedPromise],
        unit: CurrencyUnit,
        at: Timestamp
    ) throws -> [Transfer] {
        let given = try Amounts.sum(proofs.map(\.amount))
        let taken = try Amounts.sum(promises.map(\.amount))
        guard given >= taken, let first = proofs.first else {
            throw MintError(.transactionNotBalanced, "the outputs are worth \(taken) \(unit), the inputs \(given)")
        }
        // The everyday swap inside one keyset without a fee moves nothing between accounts.
        if given == taken, proofs.allSatisfy({ $0.keyset == first.keyset }),
            promises.allSatisfy({ $0.keyset == first.keyset })
        {
            return []
        }
        let plan = TransferPlan(unit: unit.name, kind: "swap", reference: Hex.encode(first.y), at: at)
        return try plan.transfers(
            debit: ecashLegs(proofs.map { ($0.keyset, $0.amount) }),
            credit: ecashLegs(promises.map { ($0.keyset, $0.amount) }) + [.init(MintAccounts.fees, given - taken)]
        )
    }

    static func ecashLegs(_ amounts: [(keyset: KeysetID, amount: UInt64)]) -> [TransferPlan.Leg] {
        amounts.map { TransferPlan.Leg(MintAccounts.ecash($0.keyset), $0.amount) }
    }

    /// Books the transfers; a keyset that would redeem more than it issued is a forgery, not a fault of the store.
    static func post(_ transfers: [Transfer], in connection: Connection) throws {
        do {
            try LedgerStore.post(transfers, in: connection)
        } catch let error as LedgerError where error.code == .insufficient {
            throw MintError(
                .proofVerificationFailed,
                "refused: a keyset would redeem more than it ever issued (\(error.message))"
            )
        }
    }

    // MARK: State and restore

    package func states(of ys: [[UInt8]]) async throws -> [StoredProofState] {
        try await database.read { connection in
            try ys.map { y in
                let sql = "SELECT pending, witness FROM mint_proofs WHERE y = ?"
                guard let row = try connection.first(sql, .blob(y)) else {
                    return StoredProofState(state: .unspent, witness: nil)
                }
                return StoredProofState(state: try row.bool(0) ? .pending : .spent, witness: try row.optionalText(1))
            }
        }
    }

    package func promises(on blinded: [[UInt8]]) async throws -> [IssuedPromise?] {
        try await database.read { [self] connection in
            try blinded.map { message in
                let sql = "SELECT \(PromiseRow.columns) FROM mint_promises WHERE b = ? AND c IS NOT NULL"
                guard let row = try connection.first(sql, .blob(message)) else { return nil }
                return try promise(row)
            }
        }
    }

    func promise(_ row: Row) throws -> IssuedPromise {
        IssuedPromise(
            blinded: try row.blob(0),
            keyset: try entry(number: row.int64(1)).id,
            amount: try row.uint64(2),
            signature: try row.blob(3),
            challenge: try row.blob(4),
            response: try row.blob(5)
        )
    }
}

/// The small numbers that stand for keysets in the tables.
struct KeysetNumbers {
    struct Entry: Sendable {
        var number: Int64
        var id: KeysetID
        var unit: CurrencyUnit
        /// What rows of any keyset are marked with when they are written.
        let epoch: OpenEpoch
    }

    private(set) var byID: [KeysetID: Entry] = [:]
    private(set) var byNumber: [Int64: Entry] = [:]

    mutating func add(_ entry: Entry) {
        byID[entry.id] = entry
        byNumber[entry.number] = entry
    }
}
