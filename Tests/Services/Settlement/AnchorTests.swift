import Cryptography
import Encodings
import Ethereum
import Logging
import Storage
import Synchronization
import TestSupport
import Testing

@testable import Settlement

/// A chain with an ERC-8004 identity registry and nothing else, in memory. Blocks are made when a test says so, or at once.
private final class RegistryChain: EVMChain {
    static let registry = (try? Address("0x8004A169FB4a3325136EB29fA0ceB6D2e539a432")) ?? .zero
    static let key = "mintmark.passport"

    struct Entry: Sendable {
        var owner: Address
        var uri: [UInt8] = []
        var metadata: [UInt8] = []
    }

    struct State: Sendable {
        var block: UInt64 = 100
        var count: UInt64 = 0
        var pool: [UInt64: SignedTransaction] = [:]
        var received: [SignedTransaction] = []
        var receipts: [[UInt8]: TransactionReceipt] = [:]
        var tokens: [UInt256: Entry] = [:]
        var minesAtOnce = true
        var takesWhatComes = true
        var baseFee = UInt256(1_000)
        var balance = UInt256(1_000_000_000_000_000)
        var undoes = false
        var saysNothing = false
    }

    let state = Mutex(State())
    let chainID = UInt256(84_532)

    func change(_ body: (inout State) -> Void) { state.withLock { body(&$0) } }
    func look<T: Sendable>(_ body: (State) -> T) -> T { state.withLock { body($0) } }

    func checkChain() async throws(SettlementError) {}

    func call(_ call: EVMCall) async throws(SettlementError) -> [UInt8] {
        let token = (try? UInt256(bigEndian: Array(call.data[4..<36]))) ?? .zero
        let entry = look { $0.tokens[token] }
        guard let entry else { throw SettlementError(.reverted, "no such token") }
        if call.data == IdentityRegistryCalls.owner(of: token) { return entry.owner.word }
        guard call.data == IdentityRegistryCalls.metadata(of: token, key: Self.key) else {
            throw SettlementError(.reverted, "unknown call")
        }
        return ABI.encode([.bytes(entry.metadata)])
    }

    func estimateGas(_ call: EVMCall) async throws(SettlementError) -> UInt64 { 200_000 }
    func code(at address: Address) async throws(SettlementError) -> [UInt8] { address == Self.registry ? [0x60] : [] }
    func balance(of address: Address) async throws(SettlementError) -> UInt256 { look { $0.balance } }
    func fees() async throws(SettlementError) -> GasFees { GasFees(baseFee: look { $0.baseFee }, tip: UInt256(100)) }
    func blockNumber() async throws(SettlementError) -> UInt64 { look { $0.block } }
    func receipt(of hash: [UInt8]) async throws(SettlementError) -> TransactionReceipt? { look { $0.receipts[hash] } }

    func transactionCount(of address: Address, pending: Bool) async throws(SettlementError) -> UInt64 {
        look { state in
            var count = state.count
            while pending, state.pool[count] != nil { count += 1 }
            return count
        }
    }

    func events(of contract: Address, topics: [[UInt8]], since: UInt64) async throws(SettlementError) -> [EventPlace] {
        []
    }

    func send(_ raw: [UInt8]) async throws(SettlementError) {
        guard let signed = try? SignedTransaction(raw: raw) else { throw SettlementError(.refused, "invalid") }
        let isTaken = state.withLock { state in
            state.received.append(signed)
            guard state.takesWhatComes, signed.transaction.nonce >= state.count else { return false }
            state.pool[signed.transaction.nonce] = signed
            return true
        }
        guard isTaken else { throw SettlementError(.noAnswer, "nobody there") }
        if look({ $0.minesAtOnce }) { mine() }
    }

    /// Another transaction of the account, such as a settlement, takes the next nonce.
    func takeNonce() {
        change {
            $0.pool[$0.count] = nil; $0.count += 1
        }
    }

    func mine() {
        change { state in
            state.block += 1
            while let signed = state.pool[state.count], signed.transaction.maximumFeePerGas >= state.baseFee {
                state.pool[state.count] = nil
                state.count += 1
                Self.carryOut(signed, &state)
            }
        }
    }

    private static func carryOut(_ signed: SignedTransaction, _ state: inout State) {
        let data = signed.transaction.data
        var receipt = TransactionReceipt(hash: signed.hash, block: state.block, succeeded: !state.undoes, logs: [])
        defer { state.receipts[signed.hash] = receipt }
        guard !state.undoes else { return }
        func log(_ topics: [[UInt8]]) { receipt.logs.append(ReceiptLog(contract: registry, topics: topics)) }
        let set = IdentityRegistryCalls.metadataSetTopic
        if data.starts(with: ABI.selector("setMetadata(uint256,string,bytes)")),
            let token = try? UInt256(bigEndian: Array(data[4..<36])), state.tokens[token]?.owner == signed.sender
        {
            state.tokens[token]?.metadata = Array(data.suffix(32))
            if !state.saysNothing { log([set, token.word, IdentityRegistryCalls.topic(key)]) }
        } else if data.starts(with: ABI.selector("register(string,(string,bytes)[])")) {
            let token = UInt256(UInt64(state.tokens.count))
            state.tokens[token] = Entry(owner: signed.sender, metadata: Array(data.suffix(32)))
            guard !state.saysNothing else { return }
            log([IdentityRegistryCalls.registeredTopic, token.word, signed.sender.word])
            log([set, token.word, IdentityRegistryCalls.topic("agentWallet")])
            log([set, token.word, IdentityRegistryCalls.topic(key)])
        }
    }
}

@Suite("Anchors")
struct AnchorTests {
    private let chain = RegistryChain()
    private let clock = SetClock()
    private let folder: TemporaryFolder
    private let key: EthereumKey
    private let uri = "https://node.example/agents/1/registration.json"

    init() throws {
        folder = try TemporaryFolder()
        key = try EthereumKey(bytes: [UInt8](repeating: 0x21, count: 32))
    }

    private func database() throws -> Database {
        try Database(
            path: folder.path + "/node.sqlite",
            migrations: SettlementTables.migrations,
            logger: SettlementFixture.logger
        )
    }

    private func anchorer(_ database: Database, waits: Int64 = 0, confirmations: UInt64 = 1) -> ChainAnchor {
        ChainAnchor(
            chain: chain,
            key: key,
            metadataKey: RegistryChain.key,
            configuration: ChainAnchor.Configuration(
                registry: RegistryChain.registry,
                maximumFeePerGas: UInt256(100_000),
                confirmations: confirmations,
                waitMilliseconds: waits,
                pollMilliseconds: 1
            ),
            database: database,
            clock: clock.wall,
            logger: SettlementFixture.logger,
            sleep: { _ in await Task.yield() }
        )
    }

    private func digest(_ byte: UInt8) -> [UInt8] { [UInt8](repeating: byte, count: 32) }

    private func code(_ body: () async throws -> Void) async -> SettlementError.Code? {
        do {
            try await body()
            return nil
        } catch {
            return (error as? SettlementError)?.code
        }
    }

    @Test("[ANC-4] the first anchor registers, the next replaces what stands there, the same again sends nothing")
    func life() async throws {
        let database = try database()
        let anchorer = anchorer(database)
        let first = try await anchorer.anchor("a", uri: uri, digest: digest(1))
        #expect(first.token == .zero && first.state.name == "confirmed")
        let second = try await anchorer.anchor("a", uri: uri, digest: digest(2))
        #expect(second.token == .zero && second.id != first.id)
        #expect(chain.look { $0.tokens[.zero]?.metadata } == digest(2))
        #expect(try await anchorer.anchor("a", uri: uri, digest: digest(2)).id == second.id)
        #expect(chain.look { $0.received.count } == 2)
        let other = try await anchorer.anchor("b", uri: uri, digest: digest(3))
        #expect(other.token == UInt256(1))
        #expect(try await anchorer.confirmed().map(\.digest) == [digest(2), digest(3)])
        #expect(
            try await anchorer.confirmed(agent: "b").map(\.registryName) == ["eip155:84532:\(RegistryChain.registry)"]
        )
        await database.close()
    }

    @Test(
        "[ANC-5] a stop between signing and sending: the same transaction goes out after the restart, once registered"
    )
    func restart() async throws {
        let before = try database()
        chain.change { $0.takesWhatComes = false }
        let open = try await anchorer(before).anchor("a", uri: uri, digest: digest(1))
        #expect(open.state == .open && open.token == nil)
        await before.close()
        let after = try database()
        chain.change { $0.takesWhatComes = true }
        let anchorer = anchorer(after)
        await anchorer.maintain()
        await anchorer.maintain()
        #expect(try await anchorer.confirmed(agent: "a").map(\.token) == [.zero])
        #expect(Set(chain.look { $0.received }.map(\.hash)).count == 1)
        #expect(chain.look { $0.tokens.count } == 1)
        await after.close()
    }

    @Test("[ANC-5] asked for twice at once, and again while it is open: one registration")
    func race() async throws {
        let database = try database()
        chain.change { $0.minesAtOnce = false }
        let anchorer = anchorer(database)
        let outcomes = try await withThrowingTaskGroup(of: Anchor.self) { group in
            for byte in UInt8(1)...8 {
                group.addTask { try await anchorer.anchor("a", uri: uri, digest: digest(byte)) }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(Set(outcomes.map(\.id)).count == 1)
        chain.mine()
        await anchorer.maintain()
        #expect(chain.look { $0.tokens.count } == 1)
        #expect(try await anchorer.confirmed().count == 1)
        await database.close()
    }

    @Test(
        "[ANC-5] it counts when it is deep enough, at a higher fee where gas got dearer, at a new nonce where its own was taken"
    )
    func stubborn() async throws {
        let database = try database()
        chain.change { $0.minesAtOnce = false }
        let anchorer = anchorer(database, confirmations: 3)
        _ = try await anchorer.anchor("a", uri: uri, digest: digest(1))
        chain.change { $0.baseFee = UInt256(3_000) }
        chain.mine()
        await anchorer.maintain()
        #expect(chain.look { $0.tokens.isEmpty })
        clock.advance(31)
        await anchorer.maintain()
        let raised = chain.look { $0.received }
        #expect(raised.last.map { $0.transaction.maximumFeePerGas > UInt256(3_000) } == true)
        #expect(Set(raised.map(\.transaction.nonce)) == [0])
        // Another transaction of the account gets in first.
        chain.takeNonce()
        clock.advance(31)
        await anchorer.maintain()
        chain.mine()
        await anchorer.maintain()
        #expect(try await anchorer.confirmed().isEmpty)
        chain.mine()
        chain.mine()
        await anchorer.maintain()
        #expect(try await anchorer.confirmed().map(\.token) == [.zero])
        #expect(chain.look { $0.tokens.count == 1 && $0.received.last?.transaction.nonce == 1 })
        await database.close()
    }

    @Test(
        "[ANC-4] what the registry undid, or does not tell of, is no anchor; another's entry, or none, is not written to"
    )
    func refused() async throws {
        let database = try database()
        let anchorer = anchorer(database)
        chain.change { $0.undoes = true }
        #expect(try await anchorer.anchor("a", uri: uri, digest: digest(1)).state.name == "failed")
        chain.change {
            $0.undoes = false
            $0.saysNothing = true
        }
        #expect(try await anchorer.anchor("a", uri: uri, digest: digest(1)).state.name == "failed")
        #expect(try await anchorer.confirmed().isEmpty)
        let other = try EthereumKey(bytes: digest(0x44)).address
        chain.change { $0.tokens[UInt256(7)] = RegistryChain.Entry(owner: other) }
        #expect(
            await code { _ = try await anchorer.anchor("a", uri: uri, digest: digest(1), token: UInt256(7)) }
                == .refused
        )
        #expect(
            await code { _ = try await anchorer.anchor("a", uri: uri, digest: digest(1), token: UInt256(8)) }
                == .refused
        )
        chain.change {
            $0.saysNothing = false
            $0.tokens[UInt256(7)]?.owner = anchorer.account
        }
        #expect(try await anchorer.anchor("a", uri: uri, digest: digest(1), token: UInt256(7)).token == UInt256(7))
        await database.close()
    }

    @Test("too dear, or an empty account: nothing is signed and nothing sent")
    func limits() async throws {
        let database = try database()
        let anchorer = anchorer(database)
        chain.change { $0.baseFee = UInt256(1_000_000) }
        #expect(await code { _ = try await anchorer.anchor("a", uri: uri, digest: digest(1)) } == .tooExpensive)
        chain.change {
            $0.baseFee = UInt256(1_000)
            $0.balance = UInt256(10)
        }
        #expect(await code { _ = try await anchorer.anchor("a", uri: uri, digest: digest(1)) } == .tooExpensive)
        #expect(chain.look { $0.received.isEmpty })
        await database.close()
    }
}
