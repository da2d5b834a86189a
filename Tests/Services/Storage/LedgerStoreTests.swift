import Encodings
import Ledger
import Logging
import Storage
import TestSupport
import Testing

@Suite struct LedgerStoreTests {
    private let folder: TemporaryFolder
    private let database: Storage.Database

    init() throws {
        folder = try TemporaryFolder()
        database = try Database(
            path: folder.path + "/ledger.sqlite",
            migrations: [],
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    private static let world = Account("world", .external)

    private static func transfer(_ id: String, _ debit: Account, _ credit: Account, _ amount: UInt64) -> Transfer {
        Transfer(
            id: id,
            debit: debit,
            credit: credit,
            amount: amount,
            unit: "sat",
            kind: "test",
            at: Timestamp(millisecondsSince1970: 1)
        )
    }

    @Test("A replayed id does nothing; the same id for another movement is a conflict")
    func replay() async throws {
        let cash = Account("cash", .asset)
        let transfer = Self.transfer("a", cash, Self.world, 10)
        let first = try await database.write { try LedgerStore.post([transfer], in: $0) }
        let second = try await database.write { try LedgerStore.post([transfer], in: $0) }
        #expect(first == 1 && second == 0)
        let other = Self.transfer("a", cash, Self.world, 11)
        let error = await #expect(throws: LedgerError.self) {
            _ = try await database.write { try LedgerStore.post([other], in: $0) }
        }
        #expect(error?.code == .conflict)
        #expect(try await database.read { try LedgerStore.balance(of: cash, unit: "sat", in: $0) } == 10)
    }

    @Test("A list of transfers is posted whole or not at all, and no account goes below zero")
    func insufficient() async throws {
        let cash = Account("cash", .asset)
        let owed = Account("owed", .liability)
        _ = try await database.write { try LedgerStore.post([Self.transfer("in", cash, owed, 5)], in: $0) }
        let error = await #expect(throws: LedgerError.self) {
            try await database.write { connection in
                try LedgerStore.post(
                    [Self.transfer("x", Self.world, cash, 4), Self.transfer("y", Self.world, cash, 2)],
                    in: connection
                )
            }
        }
        #expect(error?.code == .insufficient)
        #expect(try await database.read { try LedgerStore.balance(of: cash, unit: "sat", in: $0) } == 5)
    }

    @Test("An account keeps its kind")
    func kinds() async throws {
        _ = try await database.write {
            try LedgerStore.post([Self.transfer("a", Account("c", .asset), Self.world, 1)], in: $0)
        }
        let error = await #expect(throws: LedgerError.self) {
            _ = try await database.write {
                try LedgerStore.post([Self.transfer("b", Self.world, Account("c", .liability), 1)], in: $0)
            }
        }
        #expect(error?.code == .kindMismatch)
    }

    @Test("After random transfers the debits equal the credits, nothing is below zero, and the audit finds any change")
    func conservation() async throws {
        var random = SeededRandom(seed: 7)
        let accounts = (0..<6).map { Account("asset:\($0)", .asset) } + [Account("owed", .liability), Self.world]
        for step in 0..<400 {
            let debit = accounts.randomElement(using: &random) ?? Self.world
            let credit = accounts.randomElement(using: &random) ?? Self.world
            guard debit != credit else { continue }
            let transfer = Self.transfer("t\(step)", debit, credit, UInt64.random(in: 1...50, using: &random))
            _ = try? await database.write { try LedgerStore.post([transfer], in: $0) }
        }
        let balances = try await database.read { try LedgerStore.accounts(in: $0) }
        #expect(balances.reduce(0) { $0 + $1.debits } == balances.reduce(0) { $0 + $1.credits })
        #expect(balances.contains { $0.balance > 0 })
        #expect(try await database.read { try LedgerStore.audit(in: $0) }.isEmpty)

        try await database.write {
            try $0.execute("UPDATE ledger_transfers SET amount = amount + 1 WHERE sequence = 3")
        }
        #expect(try await database.read { try LedgerStore.audit(in: $0) }.isEmpty == false)
    }
}
