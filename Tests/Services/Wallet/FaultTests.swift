import Cashu
import Cryptography
import Encodings
import Lightning
import Mint
import Storage
import Synchronization
import TestSupport
import Testing

@testable import Wallet

@Suite("Wallet: crashes, lost answers and lies")
struct FaultTests {
    /// Where an exchange with the mint can break: each is also the state a killed process leaves behind.
    static let breaks: [LocalMint.Fault] = [.lostRequest, .lostAnswer]

    @Test("a send that breaks at any point is finished at the next start, once", arguments: breaks)
    func send(fault: LocalMint.Fault) async throws {
        let world = try await WalletWorld(feePPK: 100)
        var alice = try await world.funded(1000)
        world.api.put(fault, on: "swap")
        let error = await walletError {
            _ = try await alice.wallet.send(137, at: world.url, reference: "order-1")
        }
        #expect(error == .outcomeUnknown)
        try await world.requireSound(alice)
        await alice.close()
        alice = try await world.wallet()
        let report = try await alice.wallet.recover()
        #expect(report.endedOperations == 1 && report.unknownOperations == 0)
        try await world.requireSound(alice)
        let tokens = try await alice.wallet.sentTokens()
        #expect(tokens.map(\.amount) == [137])
        // Asked again for the same purpose, the same token comes, and nothing more leaves.
        let again = try await alice.wallet.send(137, at: world.url, reference: "order-1")
        #expect(again.token == tokens.first?.token)
        let bob = try await world.funded(0, "bob")
        _ = try await bob.wallet.receive(again.token)
        #expect(try await world.circulating() == alice.available + bob.available)
    }

    @Test("a receive that breaks is finished at the next start, once", arguments: breaks)
    func receive(fault: LocalMint.Fault) async throws {
        let world = try await WalletWorld(feePPK: 100)
        let alice = try await world.funded(500)
        var bob = try await world.funded(0, "bob")
        let token = try await alice.wallet.send(77, at: world.url)
        world.api.put(fault, on: "swap")
        #expect(await walletError { _ = try await bob.wallet.receive(token.token) } == .outcomeUnknown)
        await bob.close()
        bob = try await world.wallet("bob")
        try await bob.wallet.recover()
        #expect(try await bob.available == 76)
        #expect(try await world.circulating() == alice.available + bob.available)
        try await world.requireSound(alice, bob)
    }

    @Test("coins of a paid invoice are issued once, whatever breaks", arguments: breaks)
    func funding(fault: LocalMint.Fault) async throws {
        let world = try await WalletWorld()
        var alice = try await world.funded(0)
        world.api.put(fault, on: "mint")
        #expect(await walletError { _ = try await alice.wallet.fund(300, at: world.url) } == .outcomeUnknown)
        await alice.close()
        alice = try await world.wallet()
        try await alice.wallet.recover()
        try await alice.wallet.recover()
        #expect(try await alice.available == 300)
        #expect(try await world.circulating() == 300)
        #expect(try await alice.wallet.fundings().map(\.state) == [.issued])
        try await world.requireSound(alice)
    }

    @Test("an invoice is paid once, whatever breaks", arguments: breaks)
    func melting(fault: LocalMint.Fault) async throws {
        let world = try await WalletWorld(feePPK: 100)
        var alice = try await world.funded(1000)
        let invoice = try world.lightning.invoice(200_000).text
        let payments = world.lightning.paymentCount
        world.api.put(fault, on: "melt")
        #expect(
            await walletError { _ = try await alice.wallet.payInvoice(invoice, from: world.url, maximumFee: 20) }
                == .outcomeUnknown
        )
        await alice.close()
        alice = try await world.wallet()
        try await alice.wallet.recover()
        #expect(world.lightning.paymentCount == payments + 1)
        #expect(try await world.circulating() == alice.holdings)
        #expect(try await alice.balance()?.inFlight == 0)
        #expect(try await alice.available < 801)
        try await world.requireSound(alice)
    }

    @Test("an invoice that the mint is still paying stays open until it is known")
    func slowMelt() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(1000)
        let invoice = try world.lightning.invoice(100_000).text
        world.lightning.setOutcome(.pending)
        #expect(
            await walletError { _ = try await alice.wallet.payInvoice(invoice, from: world.url, maximumFee: 20) }
                == .outcomeUnknown
        )
        #expect(try await alice.wallet.recover().unknownOperations == 1)
        #expect(try await alice.holdings == 1000)
        world.lightning.setOutcome(.failed(.init(.noRoute, "no route")))
        await world.mint.recoverPendingMelts()
        try await alice.wallet.recover()
        #expect(try await alice.available == 1000)
        try await world.requireSound(alice)
    }

    @Test("where no connection comes about, nothing is held back")
    func notSent() async throws {
        let world = try await WalletWorld(feePPK: 100)
        let alice = try await world.funded(1000)
        world.api.put(.notSent, on: "swap")
        #expect(await walletError { _ = try await alice.wallet.send(137, at: world.url) } == .mintUnreachable)
        #expect(try await alice.available == 1000)
        #expect(
            try await alice.wallet.recover()
                == RecoveryReport(
                    endedOperations: 0,
                    unknownOperations: 0,
                    collectedFundings: 0,
                    returnedCoins: 0
                )
        )
        try await world.requireSound(alice)
    }

    @Test("a lost answer is asked for again at once where attempts are left")
    func retries() async throws {
        let world = try await WalletWorld(feePPK: 100)
        let alice = try await world.funded(1000, attempts: 3)
        world.api.put(.lostAnswer, on: "swap")
        #expect(try await alice.wallet.send(137, at: world.url).amount == 137)
        // The mint keeps its answers (NUT-19): the same request again is enough.
        #expect(world.api.count("swap") == 2 && world.api.count("restore") == 0)
        try await world.requireSound(alice)
    }

    @Test("the node's round and the user ask at once: coins are issued once and nobody is told otherwise")
    func fundingAtOnce() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(0)
        let funding = try await alice.wallet.requestInvoice(64, at: world.url)
        _ = try await world.lightning.pay(invoice: .init(decoding: funding.invoice), maximumFeeMsat: 0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<8 {
                group.addTask {
                    if index % 2 == 0 {
                        #expect(try await alice.wallet.collect(funding) == 64)
                    } else {
                        try await alice.wallet.recover()
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(try await alice.available == 64)
        try await world.requireSound(alice)
    }

    @Test("a refusal that the mint takes back later does not lose coins")
    func refusal() async throws {
        let world = try await WalletWorld(feePPK: 100)
        let alice = try await world.funded(1000)
        world.api.put(.refused(11005), on: "swap")
        #expect(await walletError { _ = try await alice.wallet.send(137, at: world.url) } == .mintRefused)
        #expect(try await alice.available == 1000)
        // Refused, and then the question what it means finds no answer: the coins stay held until it is known.
        world.api.put(.refused(11005), on: "swap")
        world.api.put(.lostRequest, on: "checkState")
        #expect(await walletError { _ = try await alice.wallet.send(137, at: world.url) } == .outcomeUnknown)
        #expect(try await alice.holdings == 1000)
        try await world.requireSound(alice)
    }

    @Test("a signature that does not verify is never counted as money")
    func forgery() async throws {
        let world = try await WalletWorld(feePPK: 100)
        let alice = try await world.funded(1000)
        world.api.put(.forgedAnswer, on: "swap")
        #expect(await walletError { _ = try await alice.wallet.send(137, at: world.url) } == .mintDishonest)
        try await world.requireSound(alice)
        #expect(try await alice.wallet.history().first?.kind == .lost)
    }

    @Test("coins that another copy of the wallet spent are found and written off")
    func spentElsewhere() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(100)
        let twin = try await world.wallet("alice", file: "twin")
        try await twin.wallet.addMint(world.url.string)
        _ = try await twin.wallet.restore(from: world.url)
        let token = try await twin.wallet.send(100, at: world.url)
        let bob = try await world.funded(0, "bob")
        _ = try await bob.wallet.receive(token.token)
        let report = try await alice.wallet.check()
        #expect(report.lostAmount == 100)
        #expect(try await alice.available == 0)
        try await world.requireSound(alice, bob)
    }

    @Test(
        "any sequence of operations with breaks and restarts conserves value",
        arguments: 1...12 as ClosedRange<UInt64>
    )
    func anySequence(seed: UInt64) async throws {
        let world = try await WalletWorld(feePPK: [0, 100, 700][Int(seed % 3)])
        let random = Mutex(SeededRandom(seed: seed))
        var alice = try await world.funded(2000)
        var bob = try await world.funded(500, "bob")
        world.api.setChance { call in
            guard ["swap", "mint", "checkState", "restore"].contains(call) else { return nil }
            return random.withLock { random in
                switch Int.random(in: 0..<10, using: &random) {
                case 0: .lostAnswer
                case 1: .lostRequest
                case 2: .notSent
                default: nil
                }
            }
        }
        var tokens: [String] = []
        for step in 0..<25 {
            let choice = random.withLock { Int.random(in: 0..<6, using: &$0) }
            let amount = random.withLock { UInt64.random(in: 1...200, using: &$0) }
            do {
                switch choice {
                case 0, 1: tokens.append(try await alice.wallet.send(amount, at: world.url).token)
                case 2: if let token = tokens.popLast() { _ = try await bob.wallet.receive(token) }
                case 3: tokens.append(try await bob.wallet.send(amount, at: world.url, reference: "step-\(step)").token)
                case 4: if let token = tokens.popLast() { _ = try await alice.wallet.receive(token) }
                default: _ = try await alice.wallet.fund(amount, at: world.url)
                }
            } catch is WalletError {
                // Whatever it says, value must be where it was or on its way.
            }
            if step % 5 == 4 {
                await alice.close()
                await bob.close()
                alice = try await world.wallet()
                bob = try await world.wallet("bob")
                try await alice.wallet.recover()
                try await bob.wallet.recover()
            }
            try await world.requireSound(alice, bob)
        }
        world.api.setChance(nil)
        for _ in 0..<2 {
            try await alice.wallet.recover()
            try await bob.wallet.recover()
        }
        _ = try await alice.wallet.check()
        _ = try await bob.wallet.check()
        let unclaimed = try await alice.wallet.sentTokens() + bob.wallet.sentTokens()
        let outside = unclaimed.map(\.amount).reduce(0, +)
        #expect(try await world.circulating() == alice.holdings + bob.holdings + outside)
        #expect(try await alice.balance()?.inFlight == 0)
        try await world.requireSound(alice, bob)
    }
}

@Suite("Wallet: the seller's side")
struct RedeemingTests {
    private let key: Secp256k1.Scalar
    private var lock: TokenLock {
        TokenLock(key: Secp256k1.Point(multiplyingGeneratorBy: key).compressed)
    }

    init() throws { key = try Secp256k1.Scalar(bytes: Array(repeating: 7, count: 32)) }

    private func locked(_ amounts: [UInt64], by wallet: TestWallet, in world: WalletWorld) async throws -> [Proof] {
        var proofs: [Proof] = []
        for amount in amounts {
            let token = try Token(try await wallet.wallet.send(amount, at: world.url, lock: lock).token)
            proofs += try token.proofs(knownKeysets: world.mint.allKeysets.map(\.id))
        }
        return proofs
    }

    @Test("a batch is redeemed in one exchange, and again it is found redeemed")
    func batch() async throws {
        let world = try await WalletWorld(feePPK: 100)
        let alice = try await world.funded(1000)
        let shop = try await world.funded(0, "shop")
        let proofs = try await locked([2, 4, 8, 16, 1], by: alice, in: world)
        let swaps = world.api.count("swap")
        let report = try await shop.wallet.redeem(lockedProofs: proofs, at: world.url, key: key)
        #expect(world.api.count("swap") == swaps + 1)
        #expect(report.redeemed.count == 5 && report.failed.isEmpty && report.pending.isEmpty)
        #expect(report.amount == 30 && report.fee == 1)
        let again = try await shop.wallet.redeem(lockedProofs: proofs, at: world.url, key: key)
        #expect(again.redeemed.count == 5 && again.amount == 0)
        #expect(world.api.count("swap") == swaps + 1)
        #expect(try await shop.available == 30)
        try await world.requireSound(alice, shop)
    }

    @Test("a redemption that breaks is finished by the next call", arguments: FaultTests.breaks)
    func breaks(fault: LocalMint.Fault) async throws {
        let world = try await WalletWorld(feePPK: 100)
        let alice = try await world.funded(1000)
        var shop = try await world.funded(0, "shop")
        let proofs = try await locked([2, 4, 8], by: alice, in: world)
        world.api.put(fault, on: "swap")
        let report = try await shop.wallet.redeem(lockedProofs: proofs, at: world.url, key: key)
        #expect(report.pending.count == 3)
        await shop.close()
        shop = try await world.wallet("shop")
        let again = try await shop.wallet.redeem(lockedProofs: proofs, at: world.url, key: key)
        #expect(again.redeemed.count == 3 && again.amount == 13)
        #expect(try await shop.available == 13)
        try await world.requireSound(alice, shop)
    }

    @Test("a spent coin, a forged coin and one locked to another sink only themselves")
    func poisoned() async throws {
        let world = try await WalletWorld(feePPK: 100)
        let alice = try await world.funded(1000)
        let shop = try await world.funded(0, "shop")
        var proofs = try await locked([2, 2, 4, 8, 16, 32, 64, 2], by: alice, in: world)
        // One is spent before, one has a signature of another coin, one is locked to somebody else.
        _ = try await shop.wallet.redeem(lockedProofs: [proofs[3]], at: world.url, key: key)
        let other = try await world.funded(0, "other")
        _ = try await other.wallet.redeem(lockedProofs: [proofs[4]], at: world.url, key: key)
        proofs[1].signature = proofs[2].signature
        let stranger = TokenLock(key: try other.wallet.receivingKey())
        let foreign = try Token(try await alice.wallet.send(128, at: world.url, lock: stranger).token)
        proofs += try foreign.proofs(knownKeysets: world.mint.allKeysets.map(\.id))
        let report = try await shop.wallet.redeem(lockedProofs: proofs, at: world.url, key: key)
        let bad = try [proofs[1], proofs[4], proofs[8]].map { try $0.hashedSecret().compressed }
        #expect(Set(report.failed.map(\.y)) == Set(bad))
        #expect(report.redeemed.count == 6 && report.pending.isEmpty)
        let again = try await shop.wallet.redeem(lockedProofs: proofs, at: world.url, key: key)
        #expect(Set(again.failed.map(\.y)) == Set(bad) && again.redeemed.count == 6)
        try await world.requireSound(alice, shop, other)
    }

    @Test("coins that the fee would eat wait for company")
    func belowFee() async throws {
        let world = try await WalletWorld(feePPK: 1000)
        let alice = try await world.funded(100)
        let shop = try await world.funded(0, "shop")
        let proofs = try await locked([1], by: alice, in: world)
        let report = try await shop.wallet.redeem(lockedProofs: proofs, at: world.url, key: key)
        #expect(report.pending.count == 1 && report.failed.isEmpty)
        try await world.requireSound(alice, shop)
    }
}
