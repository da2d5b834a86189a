import Cashu
import Cryptography
import Encodings
import Testing

@testable import Wallet

@Suite("Token inbox")
struct InboxTests {
    @Test(
        "a token is on disk before the mint hears of it, and claimed at the next start",
        arguments: [
            LocalMint.Fault.notSent, .lostRequest, .lostAnswer,
        ]
    )
    func claimsOnStart(fault: LocalMint.Fault) async throws {
        let world = try await WalletWorld(feePPK: 100)
        let alice = try await world.funded(500)
        let bob = try await world.funded(0, "bob")
        let token = try await alice.wallet.send(100, at: world.url).token
        world.api.put(fault, on: "swap")
        #expect(await walletError { _ = try await bob.wallet.receive(token) } != nil)
        let entry = try #require(try await bob.wallet.inbox().first)
        #expect(entry.state == .waiting && entry.reason != nil && entry.amount == 100)
        await bob.close()
        let again = try await world.wallet("bob")
        _ = try await again.wallet.recover()
        #expect(try await again.available == 99)
        #expect(try await again.wallet.inbox().isEmpty)
        let claimed = try #require(try await again.wallet.inbox(all: true).first)
        #expect(claimed.state == .claimed && claimed.received == 99 && claimed.token.isEmpty)
        try await world.requireSound(alice, again)
    }

    @Test("a token of many coins that broke off half-way is claimed whole, none twice")
    func halfWay() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(1023)
        let token = try await alice.wallet.send(1023, at: world.url).token
        let bob = try await world.wallet("bob", maximumInputs: 3)
        try await bob.wallet.addMint(world.url.string)
        world.api.put(.lostRequest, on: "info")
        world.api.setChance { call in call == "swap" && world.api.count("swap") == 2 ? .lostAnswer : nil }
        #expect(await walletError { _ = try await bob.wallet.receive(token) } == .outcomeUnknown)
        world.api.setChance(nil)
        world.api.clearFaults()
        #expect(try await bob.available > 0)
        _ = try await bob.wallet.recover()
        #expect(try await bob.available == 1023)
        #expect(try await bob.wallet.inbox().isEmpty)
        try await world.requireSound(alice, bob)
    }

    @Test("what cannot be claimed is listed with the reason, and may be tried again")
    func unclaimable() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(500)
        let bob = try await world.funded(0, "bob")
        let carol = try await world.funded(0, "carol")
        let token = try await alice.wallet.send(100, at: world.url).token
        _ = try await bob.wallet.receive(token)
        #expect(await walletError { _ = try await carol.wallet.receive(token) } == .tokenSpent)
        let entry = try #require(try await carol.wallet.inbox().first)
        #expect(entry.state == .failed && entry.reason?.contains("spent") == true)
        #expect(await walletError { _ = try await carol.wallet.retryInbox(entry.id) } == .tokenSpent)
        #expect(try await carol.wallet.recover().claimedTokens == 0)
        #expect(try await carol.available == 0)
        // Twice to the same wallet is told as that.
        #expect(await walletError { _ = try await bob.wallet.receive(token) } == .tokenSpent)
        try await world.requireSound(alice, bob, carol)
    }

    @Test("32 callers with one token claim it once")
    func races() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(500)
        let bob = try await world.funded(0, "bob")
        let token = try await alice.wallet.send(100, at: world.url).token
        let wallet = bob.wallet
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<32 { group.addTask { _ = try? await wallet.receive(token) } }
        }
        #expect(try await bob.available == 100)
        #expect(try await bob.wallet.inbox(all: true).count == 1)
        try await world.requireSound(alice, bob)
    }

    @Test("a hash lock opens with its preimage, and comes back to the sender after its time")
    func hashLock() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(500)
        let bob = try await world.funded(0, "bob")
        let preimage = [UInt8](repeating: 0x11, count: 32)
        let hash = Hashing.sha256(preimage)
        let open = try await alice.wallet.send(50, at: world.url, lock: TokenLock(key: nil, hash: hash))
        #expect(await walletError { _ = try await bob.wallet.receive(open.token) } == .tokenLocked)
        #expect(
            await walletError {
                _ = try await bob.wallet.receive(open.token, preimage: [UInt8](repeating: 0x12, count: 32))
            } == .tokenLocked
        )
        _ = try await bob.wallet.receive(open.token, preimage: preimage)
        #expect(try await bob.available == 50)
        let until = world.time.now.secondsSince1970 + 600
        let lock = TokenLock(
            key: try bob.wallet.receivingKey(),
            hash: hash,
            locktime: until,
            refundKey: try alice.wallet.receivingKey()
        )
        let timed = try await alice.wallet.send(60, at: world.url, lock: lock)
        #expect(await walletError { _ = try await alice.wallet.reclaim(timed.id) } != nil)
        world.time.advance(seconds: 700)
        _ = try await alice.wallet.reclaim(timed.id)
        #expect(try await alice.available == 450)
        try await world.requireSound(alice, bob)
    }

    @Test("a blinded lock opens for its receiver alone, and the mint sees no key of his")
    func blindedLock() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(500)
        let bob = try await world.funded(0, "bob")
        let carol = try await world.funded(0, "carol")
        let key = try bob.wallet.receivingKey()
        let token = try await alice.wallet.send(37, at: world.url, lock: TokenLock(key: key, isBlinded: true))
        let secrets = try Token(token.token).groups.flatMap { $0.proofs.map(\.secret) }
        #expect(secrets.count == 3 && secrets.allSatisfy { !$0.contains(Hex.encode(key.dropFirst())) })
        #expect(await walletError { _ = try await carol.wallet.receive(token.token) } == .tokenLocked)
        _ = try await bob.wallet.receive(token.token)
        #expect(try await bob.available == 37)
        let until = world.time.now.secondsSince1970 + 600
        let lock = TokenLock(
            key: key,
            isBlinded: true,
            locktime: until,
            refundKey: try alice.wallet.receivingKey()
        )
        let timed = try await alice.wallet.send(60, at: world.url, lock: lock)
        world.time.advance(seconds: 700)
        _ = try await alice.wallet.reclaim(timed.id)
        try await world.requireSound(alice, bob, carol)
    }
}
