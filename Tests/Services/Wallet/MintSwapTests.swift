import Cashu
import Lightning
import Testing

@testable import Wallet

@Suite("Many mints")
struct MintSwapTests {
    @Test("a mint that is not trusted is not taken from, nor bought from; a name stands for its address")
    func trust() async throws {
        let mints = try await TwoMints()
        let alice = try await mints.wallet("alice", trusts: [mints.otherURL], funded: 100)
        let bob = try await mints.wallet("bob", trusts: [mints.world.url])
        let token = try await alice.wallet.send(40, at: mints.otherURL).token
        #expect(await walletError { _ = try await bob.wallet.receive(token) } == .mintUnknown)
        #expect(try await bob.wallet.inbox(all: true).isEmpty)
        try await bob.wallet.addMint(mints.otherURL.string)
        try await bob.wallet.renameMint(mints.otherURL, to: "corner-shop")
        #expect(try await bob.wallet.mint(named: "corner-shop")?.url == mints.otherURL)
        #expect(
            await walletError { try await bob.wallet.renameMint(mints.world.url, to: "corner-shop") }
                == .invalidArgument
        )
        for bad in ["", "a b", "http://x", String(repeating: "a", count: 41)] {
            #expect(await walletError { try await bob.wallet.renameMint(mints.world.url, to: bad) } == .invalidArgument)
        }
        try await bob.wallet.distrustMint(mints.otherURL)
        #expect(await walletError { _ = try await bob.wallet.receive(token) } == .mintUntrusted)
        #expect(await walletError { _ = try await bob.wallet.fund(5, at: mints.otherURL) } == .mintUntrusted)
        // Asking for its terms again does not bring the trust back; the operator does.
        _ = try await bob.wallet.terms(of: mints.otherURL, maximumAgeSeconds: 0)
        #expect(await walletError { _ = try await bob.wallet.receive(token) } == .mintUntrusted)
        try await bob.wallet.addMint(mints.otherURL.string)
        _ = try await bob.wallet.receive(token)
        #expect(try await mints.available(bob, mints.otherURL) == 40)
    }

    @Test("ecash goes from one mint to the other over Lightning, and its fee is what was said at most")
    func swap() async throws {
        let mints = try await TwoMints(feePPK: 100)
        let alice = try await mints.wallet("alice", trusts: [mints.world.url, mints.otherURL], funded: 1000)
        let quoted = try await alice.wallet.quoteSwap(300, from: mints.world.url, to: mints.otherURL)
        #expect(quoted.state == .quoted && quoted.amount == 300)
        #expect(try await mints.available(alice, mints.world.url) == 1000)
        let done = try await alice.wallet.performSwap(quoted.id)
        #expect(done.state == .done)
        #expect(try await mints.available(alice, mints.otherURL) == 300)
        let left = try await mints.available(alice, mints.world.url)
        #expect(700 - left <= quoted.maximumFee && left < 700)
        // Again is once.
        _ = try await alice.wallet.performSwap(quoted.id)
        #expect(try await mints.available(alice, mints.otherURL) == 300)
        #expect(
            await walletError {
                _ = try await alice.wallet.quoteSwap(left, from: mints.world.url, to: mints.otherURL)
            } == .insufficientFunds
        )
        try await mints.requireSound(alice)
    }

    @Test("a payment that is not known to have happened is finished later, once")
    func unknownOutcome() async throws {
        let mints = try await TwoMints()
        let alice = try await mints.wallet("alice", trusts: [mints.world.url, mints.otherURL], funded: 500)
        let quoted = try await alice.wallet.quoteSwap(100, from: mints.world.url, to: mints.otherURL)
        mints.world.api.put(.lostAnswer, on: "melt", times: 1)
        mints.world.api.put(.lostRequest, on: "meltQuote", times: 1)
        #expect(await walletError { _ = try await alice.wallet.performSwap(quoted.id) } == .outcomeUnknown)
        await alice.close()
        let again = try await mints.wallet("alice")
        _ = try await again.wallet.recover()
        #expect(try await mints.available(again, mints.otherURL) == 100)
        #expect(try await again.wallet.swap(quoted.id).state == .done)
        #expect(mints.world.lightning.paymentCount == 2)
        try await mints.requireSound(again)
    }

    @Test("a payment under way does not let the other mint's invoice lapse")
    func slowPayment() async throws {
        let mints = try await TwoMints()
        let alice = try await mints.wallet("alice", trusts: [mints.world.url, mints.otherURL], funded: 500)
        let quoted = try await alice.wallet.quoteSwap(100, from: mints.world.url, to: mints.otherURL)
        mints.world.lightning.setOutcome(.pending)
        #expect(await walletError { _ = try await alice.wallet.performSwap(quoted.id) } == .outcomeUnknown)
        mints.world.time.advance(seconds: 3 * 3600)
        _ = try await alice.wallet.recover()
        #expect(try await alice.wallet.swap(quoted.id).state == .paying)
        mints.world.lightning.setOutcome(nil)
        let invoice = try #require(try await alice.wallet.fundings().first { $0.mint == mints.otherURL }).invoice
        _ = try await mints.world.lightning.pay(invoice: .init(decoding: invoice), maximumFeeMsat: 0)
        _ = try await alice.wallet.recover()
        _ = try await alice.wallet.recover()
        #expect(try await mints.available(alice, mints.otherURL) == 100)
        try await mints.requireSound(alice)
    }

    @Test("a payment that fails moves nothing, and the swap may be tried again")
    func failure() async throws {
        let mints = try await TwoMints()
        let alice = try await mints.wallet("alice", trusts: [mints.world.url, mints.otherURL], funded: 500)
        let quoted = try await alice.wallet.quoteSwap(100, from: mints.world.url, to: mints.otherURL)
        mints.world.lightning.setOutcome(.failed(.init(.noRoute, "no route")))
        #expect(await walletError { _ = try await alice.wallet.performSwap(quoted.id) } == .paymentFailed)
        #expect(try await mints.available(alice, mints.world.url) == 500)
        #expect(try await alice.wallet.swap(quoted.id).state == .quoted)
        mints.world.lightning.setOutcome(nil)
        let second = try await alice.wallet.quoteSwap(100, from: mints.world.url, to: mints.otherURL)
        #expect(try await alice.wallet.performSwap(second.id).state == .done)
        try await mints.requireSound(alice)
    }

    @Test("a token of a strange mint is swapped to a trusted one; too small a token stays untouched")
    func receiveAndSwap() async throws {
        let mints = try await TwoMints(otherFeePPK: 100)
        let alice = try await mints.wallet("alice", trusts: [mints.otherURL], funded: 500)
        let bob = try await mints.wallet("bob", trusts: [mints.world.url])
        let token = try await alice.wallet.send(200, at: mints.otherURL).token
        let got = try await bob.wallet.receive(token, swapTo: mints.world.url)
        #expect(got[0].mint == mints.world.url && got[0].amount > 150 && got[0].amount + got[0].fee == 200)
        #expect(try await mints.available(bob, mints.world.url) == got[0].amount)
        #expect(try await bob.wallet.knownMints().first { $0.url == mints.otherURL }?.isTrusted == false)
        let small = try await alice.wallet.send(1, at: mints.otherURL)
        #expect(
            await walletError { _ = try await bob.wallet.receive(small.token, swapTo: mints.world.url) } == .belowFee
        )
        _ = try await alice.wallet.reclaim(try await alice.wallet.send(64, at: mints.otherURL).id)
        #expect(try await bob.wallet.inbox().isEmpty)
        try await mints.requireSound(alice, bob)
    }

    @Test("a swap that waits for its mint is carried on by the sweep")
    func receiveAndSwapLater() async throws {
        let mints = try await TwoMints()
        let alice = try await mints.wallet("alice", trusts: [mints.otherURL], funded: 500)
        let bob = try await mints.wallet("bob", trusts: [mints.world.url])
        let token = try await alice.wallet.send(200, at: mints.otherURL).token
        mints.otherAPI.put(.lostAnswer, on: "swap", times: 1)
        #expect(
            await walletError { _ = try await bob.wallet.receive(token, swapTo: mints.world.url) } == .outcomeUnknown
        )
        #expect(try await bob.wallet.inbox().count == 1)
        await bob.close()
        let again = try await mints.wallet("bob")
        _ = try await again.wallet.recover()
        #expect(try await mints.available(again, mints.world.url) > 150)
        #expect(try await again.wallet.inbox().isEmpty)
        try await mints.requireSound(alice, again)
    }
}
