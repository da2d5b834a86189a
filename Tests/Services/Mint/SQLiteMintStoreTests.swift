import Cashu
import Encodings
import Ledger
import Mint
import Storage
import Synchronization
import TestSupport
import Testing

@Suite struct SQLiteMintStoreTests {
    /// Opens databases in a folder of its own; `reopen` closes the last one and opens it anew.
    private final class Databases: Sendable {
        private let folder: TemporaryFolder
        private let state = Mutex<(count: Int, open: Database?)>((0, nil))

        init() throws { folder = try TemporaryFolder() }

        func make() async throws -> any MintStore {
            await close()
            let count = state.withLock { state in
                state.count += 1
                return state.count
            }
            return try await open(count)
        }

        func reopen() async throws -> any MintStore {
            await close()
            return try await open(state.withLock { $0.count })
        }

        func close() async {
            await state.withLock { $0.open }?.close()
        }

        private func open(_ count: Int) async throws -> any MintStore {
            let database = try Database(
                path: folder.path + "/\(count).sqlite",
                migrations: SQLiteMintStore.migrations,
                logger: MintFixture.logger
            )
            state.withLock { $0.open = database }
            return try await SQLiteMintStore(database: database)
        }
    }

    @Test("The SQLite store keeps every clause of the port")
    func conformance() async throws {
        let databases = try Databases()
        try await MintStoreConformance(make: databases.make, reopen: databases.reopen).run()
        await databases.close()
    }

    @Test("The audit sees a promise, a proof or a quote that was changed behind the mint's back")
    func auditSees() async throws {
        let tamperings = [
            "UPDATE mint_promises SET amount = amount + 1",
            "UPDATE mint_proofs SET amount = amount + 1",
            "UPDATE mint_mint_quotes SET state = 1 WHERE state = 2",
            "UPDATE mint_melt_quotes SET amount = amount + 64 WHERE state = 2",
            "DELETE FROM mint_proofs",
            "UPDATE ledger_accounts SET credits = credits + 1 WHERE name = 'mint:fees'",
        ]
        for tampering in tamperings {
            let fixture = try await MintFixture()
            let proofs = try await fixture.issue([64])
            let (quote, _) = try await fixture.meltQuote(32)
            _ = try await fixture.melt(quote, proofs)
            try await fixture.requireSound()
            try await fixture.database.write { try $0.execute(tampering) }
            #expect(try await fixture.mint.audit().isSound == false, "\(tampering)")
        }
    }
}

@Suite struct TransferPlanTests {
    private let plan = TransferPlan(unit: "sat", kind: "test", reference: "r", at: MintFixture.start)
    private let accounts = (0..<5).map { Account("mint:\($0)", .external) }

    @Test("Whatever the legs, what each account gives and takes is what was asked, and ids are unique")
    func conservation() throws {
        var random = SeededRandom(seed: 3)
        for _ in 0..<500 {
            var debit: [TransferPlan.Leg] = []
            var credit: [TransferPlan.Leg] = []
            var total: UInt64 = 0
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let amount = UInt64.random(in: 0...100, using: &random)
                debit.append(.init(accounts[Int.random(in: 0..<5, using: &random)], amount))
                total += amount
            }
            while total > 0 {
                let amount = UInt64.random(in: 1...total, using: &random)
                credit.append(.init(accounts[Int.random(in: 0..<5, using: &random)], amount))
                total -= amount
            }
            let transfers = try plan.transfers(debit: debit, credit: credit)
            for account in accounts {
                func net(_ out: [UInt64], _ into: [UInt64]) -> Int { Int(out.reduce(0, +)) - Int(into.reduce(0, +)) }
                let asked = net(
                    debit.filter { $0.account == account }.map(\.amount),
                    credit.filter { $0.account == account }.map(\.amount)
                )
                let made = net(
                    transfers.filter { $0.debit == account }.map(\.amount),
                    transfers.filter { $0.credit == account }.map(\.amount)
                )
                #expect(asked == made)
            }
            #expect(Set(transfers.map(\.id)).count == transfers.count)
            for transfer in transfers { try transfer.validate() }
        }
    }

    @Test("Sides that do not add up to the same are refused")
    func unbalanced() {
        #expect(throws: LedgerError.self) {
            try plan.transfers(debit: [.init(accounts[0], 5)], credit: [.init(accounts[1], 4)])
        }
        #expect(throws: LedgerError.self) {
            try plan.transfers(
                debit: [.init(accounts[0], .max), .init(accounts[0], 1)],
                credit: [.init(accounts[1], .max), .init(accounts[2], 1)]
            )
        }
    }
}
