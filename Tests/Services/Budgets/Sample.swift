import Budgets
import Cryptography
import Delegation
import Encodings
import Foundation
import Identity
import Logging
import SignedDocuments
import Storage
import Synchronization
import TestSupport

/// A clock that a test sets.
final class TestClock: Sendable {
    private let time = Mutex(Timestamp(secondsSince1970: 1_800_000_000))
    var now: Timestamp { time.withLock { $0 } }
    func advance(_ seconds: Int64) { time.withLock { $0 = $0.adding(seconds: seconds) } }
    var wall: WallClock { WallClock { self.now } }
}

/// An accounting node with keys of a root (0) and agents (1 …).
final class Bank: Sendable {
    let folder: TemporaryFolder
    let database: Database
    let office: BudgetOffice
    let clock: TestClock
    let keys: [Ed25519.PrivateKey]
    let limits = Mutex<[DIDKey: RootAuthority]>([:])

    static let target = "http://127.0.0.1:8402/s/weather/today"

    var dids: [DIDKey] { keys.map { DIDKey($0.publicKey) } }

    init(
        keys count: Int = 8,
        folder: TemporaryFolder? = nil,
        clock: TestClock = TestClock(),
        limits: BudgetLimits = BudgetLimits()
    ) throws {
        let folder = try folder ?? TemporaryFolder()
        self.folder = folder
        self.clock = clock
        keys = try (0..<count).map { index in
            try Ed25519.PrivateKey(seed: [UInt8(index & 0xFF), UInt8(index >> 8)] + [UInt8](repeating: 3, count: 30))
        }
        database = try Bank.open(folder.path + "/node.sqlite")
        let root = DIDKey(keys[0].publicKey)
        let table = TableBox()
        office = BudgetOffice(
            database: database,
            signer: DocumentSigner(keys[0]),
            clock: clock.wall,
            limits: limits
        ) { did in
            if did == root { return RootAuthority() }
            return table.value.withLock { $0[did] }
        }
        self.table = table
    }

    private let table: TableBox

    final class TableBox: Sendable {
        let value = Mutex<[DIDKey: RootAuthority]>([:])
    }

    func admit(_ index: Int, _ authority: RootAuthority) {
        let did = dids[index]
        table.value.withLock { $0[did] = authority }
    }

    static func open(_ path: String) throws -> Database {
        try Database(
            path: path,
            migrations: IdentitySchema.migrations + BudgetTables.migrations,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    func link(
        _ from: Int,
        _ to: Int,
        root: Int = 0,
        budget: UInt64? = nil,
        period: Int64? = nil,
        accounting: DIDKey? = nil
    ) throws -> Delegation {
        try Delegation.issue(
            by: keys[from],
            to: dids[to],
            subject: dids[root],
            command: Command("/pay"),
            policy: PaymentLimits(perCall: 100, unit: "sat", depth: 5).policy(),
            expires: clock.now.adding(seconds: 1_000_000),
            terms: ProfileTerms(
                budget: try budget.map { try Budget($0, unit: "sat", periodSeconds: period) },
                accounting: from == root
                    ? try AccountingNode(did: accounting ?? dids[0], url: "http://127.0.0.1:8402") : nil
            )
        )
    }

    func invocation(
        _ actor: Int,
        _ links: [Delegation],
        amount: UInt64,
        call: UInt64,
        root: Int = 0,
        recipient: DIDKey? = nil,
        change: (inout CallArguments) -> Void = { _ in }
    ) throws -> Invocation {
        var arguments = CallArguments(
            amount: amount,
            unit: "sat",
            depth: links.count,
            method: "GET",
            target: Self.target,
            digest: Hashing.sha256([]),
            call: Hashing.sha256(Array("\(call)".utf8))
        )
        change(&arguments)
        return try Invocation.issue(
            by: keys[actor],
            subject: dids[root],
            recipient: recipient,
            command: .paidCall,
            arguments: arguments.pairs,
            proofs: links.map(\.cid),
            expires: clock.now.adding(seconds: 300)
        )
    }

    @discardableResult
    func spend(_ actor: Int, _ links: [Delegation], amount: UInt64, call: UInt64, root: Int = 0) async throws
        -> DelegationTicket
    {
        try await office.ticket(
            invocation(actor, links, amount: amount, call: call, root: root),
            chain: DelegationChain(links)
        )
    }

    func code(_ body: () async throws -> some Any) async -> String? {
        do {
            _ = try await body()
            return nil
        } catch let error as DelegationError {
            return error.code.rawValue
        } catch let error as BudgetError {
            return error.code.rawValue
        } catch {
            return "\(error)"
        }
    }

    /// How many debits are kept.
    func kept() async throws -> Int {
        try await database.read { try $0.first("SELECT count(*) FROM budget_debits")?.int(0) ?? -1 }
    }

    func spent(_ link: Delegation) async throws -> UInt64 { try await office.delegation(link.cid)?.spent ?? 0 }
}
