import Cashu
import Cryptography
import Encodings
import Lightning
import Mint
import Paywall
import Testing

@testable import Wallet

@Suite("Wallet")
struct WalletTests {
    @Test("funding brings exactly the amount, and the mint's books agree")
    func funding() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(1000)
        #expect(try await alice.available == 1000)
        #expect(try await world.circulating() == 1000)
        let entry = try #require(try await alice.wallet.history().first)
        #expect(entry.kind == .funded && entry.change == 1000 && entry.fee == 0)
        try await world.requireSound(alice)
    }

    @Test("a quote belongs to the wallet that asked for it: its id alone brings nobody coins")
    func lockedQuote() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(0)
        let funding = try await alice.wallet.requestInvoice(50, at: world.url)
        _ = try await world.lightning.pay(invoice: .init(decoding: funding.invoice), maximumFeeMsat: 0)
        let keyset = try #require(world.mint.allKeysets.first { $0.info.isActive })
        let outputs = try DeterministicSecrets(seed: Array(repeating: 1, count: 64))
            .outputs(amounts: [2, 16, 32], keyset: keyset.id, counter: 0).map { try $0.output() }
        await #expect(throws: MintAPIError.self) {
            _ = try await world.api.mint(MintRequest(quote: funding.quote, outputs: outputs))
        }
        await alice.close()
        let again = try await world.wallet("alice")
        _ = try await again.wallet.recover()
        #expect(try await again.available == 50)
        try await world.requireSound(again)
    }

    @Test("an invoice that is not paid brings nothing, and lapses an hour after its expiry")
    func unpaidInvoice() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(0)
        let funding = try await alice.wallet.requestInvoice(50, at: world.url)
        #expect(await walletError { _ = try await alice.wallet.collect(funding) } == .invoiceUnpaid)
        world.time.advance(seconds: 3600 + 3601)
        #expect(await walletError { _ = try await alice.wallet.collect(funding) } == .invoiceExpired)
        #expect(try await alice.available == 0)
    }

    @Test("a failed Lightning payment funds nothing; a pending one funds when it settles")
    func fundingFailures() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(0)
        world.lightning.setOutcome(.failed(.init(.noRoute, "no route")))
        #expect(await walletError { _ = try await alice.wallet.fund(70, at: world.url) } == .paymentFailed)
        world.lightning.setOutcome(.pending)
        #expect(await walletError { _ = try await alice.wallet.fund(80, at: world.url) } == .outcomeUnknown)
        world.lightning.setOutcome(nil)
        let pending = try #require(try await alice.wallet.fundings().first { $0.state == .paying })
        _ = try await world.lightning.pay(invoice: .init(decoding: pending.invoice), maximumFeeMsat: 0)
        _ = try await alice.wallet.recover()
        #expect(try await alice.available == 80)
        try await world.requireSound(alice)
    }

    @Test("sending and receiving moves value, with fees", arguments: [0, 100, 1000] as [UInt64])
    func sendReceive(feePPK: UInt64) async throws {
        let world = try await WalletWorld(feePPK: feePPK)
        let alice = try await world.funded(1000)
        let bob = try await world.funded(0, "bob")
        let token = try await alice.wallet.send(137, at: world.url)
        #expect(token.amount == 137)
        let received = try await bob.wallet.receive(token.token)
        #expect(try await bob.available == received[0].amount)
        #expect(received[0].amount + received[0].fee == 137)
        #expect(try await world.circulating() == alice.available + bob.available)
        #expect(await walletError { _ = try await bob.wallet.receive(token.token) } != nil)
        let carol = try await world.funded(0, "carol")
        #expect(await walletError { _ = try await carol.wallet.receive(token.token) } == .tokenSpent)
        #expect(try await alice.wallet.check().claimedTokens == 1)
        try await world.requireSound(alice, bob, carol)
    }

    @Test("the same reference sends once")
    func sendReference() async throws {
        let world = try await WalletWorld(feePPK: 100)
        let alice = try await world.funded(500)
        let first = try await alice.wallet.refundToken(33, at: world.url, reference: "claim-1")
        let again = try await alice.wallet.refundToken(33, at: world.url, reference: "claim-1")
        #expect(first == again)
        #expect(try await alice.wallet.sentTokens().count == 1)
        try await world.requireSound(alice)
    }

    @Test("the same reference sends once, also to sixteen that ask at once", arguments: [33, 256 as UInt64])
    func sendReferenceRace(amount: UInt64) async throws {
        let world = try await WalletWorld(feePPK: 100)
        let alice = try await world.funded(500)
        for round in 0..<4 {
            let tokens = try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<16 {
                    group.addTask { try await alice.wallet.refundToken(amount, at: world.url, reference: "\(round)") }
                }
                return try await group.reduce(into: Set()) { $0.insert($1) }
            }
            #expect(tokens.count == 1)
            let sent = try await alice.wallet.sentTokens()
            #expect(sent.count == 1)
            for token in sent { _ = try await alice.wallet.reclaim(token.id) }
        }
        try await world.requireSound(alice)
    }

    @Test("a token that nobody claims comes back")
    func reclaim() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(100)
        let token = try await alice.wallet.send(37, at: world.url)
        #expect(try await alice.available == 63)
        _ = try await alice.wallet.reclaim(token.id)
        #expect(try await alice.available == 100)
        #expect(try await alice.wallet.sentTokens().isEmpty)
        try await world.requireSound(alice)
    }

    @Test("a token locked to a key opens for that key only")
    func lockedToken() async throws {
        let world = try await WalletWorld(feePPK: 100)
        let alice = try await world.funded(300)
        let bob = try await world.funded(0, "bob")
        let carol = try await world.funded(0, "carol")
        let lock = TokenLock(key: try bob.wallet.receivingKey())
        let token = try await alice.wallet.send(64, at: world.url, lock: lock)
        #expect(await walletError { _ = try await carol.wallet.receive(token.token) } == .tokenLocked)
        _ = try await bob.wallet.receive(token.token)
        #expect(try await bob.available == 63)
        try await world.requireSound(alice, bob, carol)
    }

    @Test("a lock with a time and no refund key is refused")
    func careless() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(100)
        let lock = TokenLock(key: try alice.wallet.receivingKey(), locktime: 5)
        #expect(await walletError { _ = try await alice.wallet.send(1, at: world.url, lock: lock) } == .invalidArgument)
        #expect(try await alice.available == 100)
    }

    @Test("more than there is cannot be sent, and nothing moves")
    func insufficient() async throws {
        let world = try await WalletWorld(feePPK: 100)
        let alice = try await world.funded(100)
        #expect(await walletError { _ = try await alice.wallet.send(101, at: world.url) } == .insufficientFunds)
        #expect(await walletError { _ = try await alice.wallet.send(0, at: world.url) } == .invalidArgument)
        #expect(await walletError { _ = try await alice.wallet.send(.max, at: world.url) } == .invalidArgument)
        #expect(try await alice.available == 100)
        try await world.requireSound(alice)
    }

    @Test(
        "hostile tokens are refused before anything is sent",
        arguments: [
            "", "cashu", "cashuB", "cashuBnonsense", "cashuA{}", "lnbc1", "cashuC" + String(repeating: "a", count: 100),
        ]
    )
    func hostileTokens(text: String) async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(10)
        let swaps = world.api.count("swap")
        #expect(await walletError { _ = try await alice.wallet.receive(text) } == .invalidToken)
        #expect(world.api.count("swap") == swaps)
    }

    @Test("a token with a forged DLEQ proof, a wrong unit or a coin twice is refused before anything is sent")
    func forgedTokens() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(64)
        let bob = try await world.funded(0, "bob")
        let token = try Token(try await alice.wallet.send(3, at: world.url).token)
        let ids = try await alice.wallet.terms(of: world.url).keysets.keys
        var proofs = try token.proofs(knownKeysets: ids)
        proofs[0].dleq = proofs[1].dleq
        let forged = try Token(mint: world.url, unit: .sat, proofs: proofs)
        #expect(await walletError { _ = try await bob.wallet.receive(forged.serialized()) } == .invalidToken)
        let good = try token.proofs(knownKeysets: ids)
        let twice = try Token(mint: world.url, unit: .sat, proofs: good + good)
        #expect(await walletError { _ = try await bob.wallet.receive(twice.serialized()) } == .invalidToken)
        let unit = try Token(mint: world.url, unit: .usd, proofs: good)
        #expect(await walletError { _ = try await bob.wallet.receive(unit.serialized()) } == .invalidToken)
        let elsewhere = try Token(mint: MintURL("https://elsewhere.example"), unit: .sat, proofs: good)
        #expect(await walletError { _ = try await bob.wallet.receive(elsewhere.serialized()) } == .mintUnknown)
        _ = try await bob.wallet.receive(token.serialized())
        #expect(try await bob.available == 3)
    }

    @Test("paying an invoice takes what the quote says, and change comes back")
    func payInvoice() async throws {
        let world = try await WalletWorld(feePPK: 100)
        let alice = try await world.funded(1000)
        // An invoice of somebody outside of this mint.
        let invoice = try world.lightning.invoice(200_000)
        let paid = try await alice.wallet.payInvoice(invoice.text, from: world.url, maximumFee: 20)
        #expect(paid.amount == 200)
        let left = try await alice.available
        #expect(left + 200 <= 1000 && left >= 1000 - 200 - 20 - 3)
        #expect(try await world.circulating() == left)
        try await world.requireSound(alice)
        let preimage = try #require(paid.preimage)
        #expect(Hashing.sha256(try Hex.decode(preimage)) == invoice.paymentHash)
        let dear = try world.lightning.invoice(200_000).text
        #expect(
            await walletError { _ = try await alice.wallet.payInvoice(dear, from: world.url, maximumFee: 0) }
                == .limitExceeded
        )
        #expect(try await alice.available == left)
    }

    @Test("a Lightning payment that fails leaves the coins")
    func payInvoiceFails() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(1000)
        world.lightning.setOutcome(.failed(.init(.noRoute, "no route")))
        let invoice = try world.lightning.invoice(100_000).text
        #expect(
            await walletError { _ = try await alice.wallet.payInvoice(invoice, from: world.url, maximumFee: 50) }
                == .paymentFailed
        )
        #expect(try await alice.available == 1000)
        try await world.requireSound(alice)
    }

    @Test("twelve words bring everything back that was not locked")
    func restore() async throws {
        let world = try await WalletWorld(feePPK: 100)
        let alice = try await world.funded(1000)
        let bob = try await world.funded(0, "bob")
        let token = try await alice.wallet.send(300, at: world.url)
        _ = try await bob.wallet.receive(token.token)
        let before = try await alice.available
        await alice.close()
        let again = try await world.wallet("alice", file: "alice-again")
        try await again.wallet.addMint(world.url.string)
        #expect(try await again.available == 0)
        let found = try await again.wallet.restore(from: world.url)
        #expect(found.map(\.amount).reduce(0, +) == before)
        #expect(try await again.available == before)
        #expect(try await again.wallet.restore(from: world.url).isEmpty)
        // The counters went on, so that new outputs are new to the mint.
        _ = try await again.wallet.send(5, at: world.url)
        _ = try await again.wallet.fund(10, at: world.url)
        try await world.requireSound(again, bob)
    }

    @Test("a database is bound to its recovery words")
    func seedMismatch() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(10)
        let error = await walletError {
            _ = try await Wallet(
                database: alice.database,
                seed: Array(repeating: 1, count: 64),
                mints: world.connector,
                clock: world.time.clock,
                logger: WalletWorld.logger
            )
        }
        #expect(error == .seedMismatch)
    }

    @Test("a rotation of the mint's keys is followed")
    func rotation() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(100)
        _ = try await world.mint.rotate(.sat)
        let token = try await alice.wallet.send(37, at: world.url)
        #expect(token.amount == 37)
        _ = try await alice.wallet.fund(20, at: world.url)
        #expect(try await alice.available == 83)
        try await world.requireSound(alice)
    }
}
