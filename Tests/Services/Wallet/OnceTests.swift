import Cashu
import Encodings
import Lightning
import Mint
import Storage
import Testing

@testable import Wallet

/// Each interleaving is forced: a call is held at a gate while something else ends.
@Suite("Wallet: what ends elsewhere meanwhile is not done again")
struct OnceTests {
    private func planned(_ alice: TestWallet) async throws -> [Operation] {
        try await alice.database.read { connection in try Operation.planned(in: connection) }
    }

    // MARK: Operations

    @Test("a melt that was refused while recovery was on its way to it is not sent again")
    func staleMelt() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(1000)
        world.api.put(.lostRequest, on: "swap")
        #expect(
            await walletError { _ = try await alice.wallet.send(37, at: world.url, reference: "first") }
                == .outcomeUnknown
        )
        world.time.advance(seconds: 1)
        let invoice = try world.lightning.invoice(100_000).text
        world.api.put(.lostRequest, on: "melt")
        #expect(
            await walletError { _ = try await alice.wallet.payInvoice(invoice, from: world.url, maximumFee: 20) }
                == .outcomeUnknown
        )
        let gate = world.api.holdNext("swap")
        let round = Task { try await alice.wallet.recover() }
        await gate.reached()
        // The round has both in its list and stands at the first. The mint refuses the second to somebody else.
        let melt = try #require(try await planned(alice).last)
        #expect(melt.kind == .melt)
        world.api.put(.refused(20004), on: "melt")
        #expect(try await alice.wallet.runner.takeUp(melt))
        let (melts, payments) = (world.api.count("melt"), world.lightning.paymentCount)
        gate.open()
        _ = try await round.value
        #expect(world.api.count("melt") == melts && world.lightning.paymentCount == payments)
        #expect(try await alice.available == 963)
        #expect(try await world.circulating() == 1000)
        try await world.requireSound(alice)
    }

    @Test("who comes to an operation after its end gets what came of it, and sends nothing")
    func endedOperation() async throws {
        let world = try await WalletWorld(feePPK: 100)
        let alice = try await world.funded(1000)
        let plan: @Sendable (OperationPlanner, Connection) throws -> Operation = { planner, connection in
            let group = OutputGroup(use: .keep, amounts: [64, 32])
            return try planner.spend(.swap, groups: [group], reference: nil, in: connection)
        }
        let runner = alice.wallet.runner
        let operation = try await alice.wallet.planned(at: world.url, unit: .sat, plan: plan)
        let first = try await runner.run(operation, isFresh: true)
        let swaps = world.api.count("swap")
        let second = try await runner.run(operation, isFresh: true)
        #expect(Set(second.coins.map(\.y)) == Set(first.coins.map(\.y)))
        #expect(second.operation.inputSum == first.operation.inputSum)
        // One that was refused says that nothing moved.
        let other = try await alice.wallet.planned(at: world.url, unit: .sat, plan: plan)
        world.api.put(.notSent, on: "swap")
        #expect(await walletError { _ = try await runner.run(other, isFresh: true) } == .mintUnreachable)
        #expect(await walletError { _ = try await runner.run(other, isFresh: true) } == .mintRefused)
        #expect(world.api.count("swap") == swaps + 1)
        try await world.requireSound(alice)
    }

    @Test("what the round has sent is not new to whoever planned it: no connection is no refusal then")
    func sentBefore() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(1000)
        let runner = alice.wallet.runner
        let operation = try await alice.wallet.planned(at: world.url, unit: .sat) { planner, connection in
            let group = OutputGroup(use: .keep, amounts: [64, 32])
            return try planner.spend(.swap, groups: [group], reference: nil, in: connection)
        }
        world.api.put(.lostAnswer, on: "swap")
        #expect(try await runner.takeUp(operation) == false)
        world.api.put(.notSent, on: "swap")
        #expect(await walletError { _ = try await runner.run(operation, isFresh: true) } == .outcomeUnknown)
        #expect(try await alice.wallet.recover().endedOperations == 1)
        #expect(try await alice.available == 1000)
        #expect(try await world.circulating() == 1000)
        try await world.requireSound(alice)
    }

    // MARK: Fundings

    @Test("coins that another caller has asked for, and whose answer was lost, are not given up for want of a line")
    func mintingElsewhere() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(0)
        let funding = try await alice.wallet.requestInvoice(64, at: world.url)
        _ = try await world.lightning.pay(invoice: .init(decoding: funding.invoice), maximumFeeMsat: 0)
        let gate = world.api.holdAnswer("mintQuote")
        let second = Task { await walletError { _ = try await alice.wallet.collect(funding) } }
        await gate.reached()
        world.api.put(.lostAnswer, on: "mint")
        #expect(await walletError { _ = try await alice.wallet.collect(funding) } == .outcomeUnknown)
        world.api.put(.notSent, on: "mint")
        gate.open()
        #expect(await second.value == .outcomeUnknown)
        try await alice.wallet.recover()
        #expect(try await alice.available == 64)
        try await world.requireSound(alice)
    }

    // MARK: Restores

    @Test("a restore leaves the coins of an operation under way to that operation")
    func restoreBesideOperation() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(1000)
        world.api.put(.lostAnswer, on: "swap")
        #expect(
            await walletError { _ = try await alice.wallet.send(37, at: world.url, reference: "order") }
                == .outcomeUnknown
        )
        #expect(try await alice.wallet.restore(from: world.url).isEmpty)
        #expect(try await alice.wallet.recover().endedOperations == 1)
        #expect(try await alice.wallet.sentTokens().map(\.amount) == [37])
        #expect(try await alice.available == 963)
        #expect(try await world.circulating() == 1000)
        try await world.requireSound(alice)
    }

    @Test("coins that an earlier version's restore took from an operation go back to it", arguments: [false, true])
    func restoredBefore(isGivenOut: Bool) async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(64)
        world.api.put(.lostAnswer, on: "swap")
        #expect(
            await walletError { _ = try await alice.wallet.send(37, at: world.url, reference: "order") }
                == .outcomeUnknown
        )
        // What the restore did then: it took the operation's coins, those to be sent too, for coins of ours.
        let operation = try #require(try await planned(alice).first)
        try await alice.database.write { connection in
            try connection.execute("UPDATE wallet_operations SET state = 'done' WHERE id = ?", .text(operation.id))
        }
        #expect(try await alice.wallet.restore(from: world.url).map(\.amount) == [64])
        try await alice.database.write { connection in
            try connection.execute("UPDATE wallet_operations SET state = 'planned' WHERE id = ?", .text(operation.id))
        }
        let bob = try await world.funded(0, "bob")
        if isGivenOut {
            let token = try await alice.wallet.send(32, at: world.url)
            _ = try await bob.wallet.receive(token.token)
        }
        let funding = try await alice.wallet.requestInvoice(100, at: world.url)
        _ = try await world.lightning.pay(invoice: .init(decoding: funding.invoice), maximumFeeMsat: 0)
        let report = try await alice.wallet.recover()
        #expect(report.endedOperations == 1 && report.collectedFundings == 1)
        #expect(try await alice.wallet.sentTokens().contains { $0.amount == 37 })
        #expect(try await alice.available == 127)
        #expect(try await alice.balance()?.inFlight == 0)
        try await world.requireSound(alice, bob)
    }

    // MARK: Invoices

    private func pay(_ invoice: String, _ alice: TestWallet) async throws -> InvoicePayment {
        try await alice.wallet.payInvoice(invoice, fromAnyOf: [], maximumFee: 20)
    }

    /// 400 sat at one mint, 300 at the other.
    private func twoMints() async throws -> (TwoMints, TestWallet) {
        let mints = try await TwoMints()
        let alice = try await mints.wallet("alice", trusts: [mints.world.url, mints.otherURL], funded: 400)
        _ = try await alice.wallet.fund(300, at: mints.otherURL)
        return (mints, alice)
    }

    @Test("an invoice whose payment is not known to have failed is not paid again at another mint")
    func otherMint() async throws {
        let (mints, alice) = try await twoMints()
        let invoice = try mints.world.lightning.invoice(250_000).text
        let payments = mints.world.lightning.paymentCount
        mints.world.api.put(.lostAnswer, on: "melt")
        #expect(await walletError { _ = try await pay(invoice, alice) } == .outcomeUnknown)
        #expect(
            await walletError { _ = try await alice.wallet.payInvoice(invoice, from: mints.otherURL, maximumFee: 20) }
                == .outcomeUnknown
        )
        let again = try await pay(invoice, alice)
        #expect(again.state == .paid && again.parts.map(\.mint) == [mints.world.url])
        #expect(try await alice.wallet.invoicePayment(invoice) == again)
        #expect(
            await walletError { _ = try await alice.wallet.payInvoice(invoice, from: mints.otherURL, maximumFee: 20) }
                == .paymentFailed
        )
        #expect(mints.world.lightning.paymentCount == payments + 1)
        #expect(mints.otherAPI.count("melt") == 0)
        try await mints.requireSound(alice)
    }

    @Test("two that pay one invoice out of one mint each pay it once", arguments: [false, true])
    func invoiceAtOnce(byAny: Bool) async throws {
        let (mints, alice) = try await twoMints()
        let invoice = try mints.world.lightning.invoice(250_000).text
        let payments = mints.world.lightning.paymentCount
        let gate = mints.world.api.holdAnswer("requestMeltQuote")
        let first = Task {
            if byAny { return try await pay(invoice, alice).parts.map(\.mint) }
            let code = await walletError {
                _ = try await alice.wallet.payInvoice(invoice, from: mints.world.url, maximumFee: 20)
            }
            #expect(code == .paymentFailed)
            return [mints.otherURL]
        }
        await gate.reached()
        _ = try await alice.wallet.payInvoice(invoice, from: mints.otherURL, maximumFee: 20)
        gate.open()
        #expect(try await first.value == [mints.otherURL])
        #expect(mints.world.lightning.paymentCount == payments + 1)
        try await mints.requireSound(alice)
    }

    // MARK: Swaps between mints

    @Test("a swap that is quoted anew while it begins pays nothing on the old terms")
    func quotedAnew() async throws {
        let mints = try await TwoMints()
        let alice = try await mints.wallet("alice", trusts: [mints.world.url, mints.otherURL], funded: 1000)
        let quoted = try await alice.wallet.quoteSwap(300, from: mints.world.url, to: mints.otherURL)
        let gate = mints.world.api.holdNext("swap")
        let first = Task { await walletError { _ = try await alice.wallet.performSwap(quoted.id) } }
        await gate.reached()
        _ = try await alice.wallet.quoteSwap(
            290,
            from: mints.world.url,
            to: mints.otherURL,
            unit: .sat,
            id: quoted.id
        )
        gate.open()
        #expect(await first.value == .invalidArgument)
        #expect(mints.world.api.count("melt") == 0)
        #expect(try await alice.wallet.performSwap(quoted.id).state == .done)
        #expect(try await mints.available(alice, mints.otherURL) == 290)
        try await mints.requireSound(alice)
    }

    @Test("a token's value that is sent on by two at once is sent on once, and nothing else is written down")
    func sentOnAtOnce() async throws {
        let mints = try await TwoMints()
        let alice = try await mints.wallet("alice", trusts: [mints.otherURL], funded: 500)
        let bob = try await mints.wallet("bob", trusts: [mints.world.url])
        let token = try await alice.wallet.send(200, at: mints.otherURL).token
        let gate = mints.otherAPI.holdNext("melt")
        let receiving = Task { try await bob.wallet.receive(token, swapTo: mints.world.url) }
        await gate.reached()
        let round = Task { try await bob.wallet.recover() }
        let entry = try #require(try await bob.wallet.inbox(all: true).first)
        #expect(entry.swapTo == mints.world.url)
        let second = Task { try await bob.wallet.sendOn(entry) }
        gate.open()
        #expect(try await receiving.value.first?.mint == mints.world.url)
        #expect(try await second.value.state == .done)
        _ = try await round.value
        #expect(try await bob.wallet.inbox(all: true).first?.reason == nil)
        #expect(try await mints.available(bob, mints.world.url) > 150)
        try await mints.requireSound(alice, bob)
    }
}
