import CanonicalJSON
import Cashu
import Encodings
import Lightning
import Mint
import Storage
import Testing

@testable import Wallet

@Suite("Wallet: one invoice paid from several mints (NUT-15)")
struct PartsTests {
    /// 400 sat at one mint, 300 at the other, on a network that pays parts.
    private func world(feePPK: UInt64 = 0) async throws -> (TwoMints, TestWallet) {
        let mints = try await TwoMints(feePPK: feePPK, otherFeePPK: feePPK)
        mints.world.lightning.setPaysParts(true)
        let alice = try await mints.wallet("alice", trusts: [mints.world.url, mints.otherURL], funded: 400)
        _ = try await alice.wallet.fund(300, at: mints.otherURL)
        return (mints, alice)
    }

    private func pay(_ invoice: String, _ alice: TestWallet, maximumFee: UInt64 = 20) async throws -> InvoicePayment {
        try await alice.wallet.payInvoice(invoice, fromAnyOf: [], maximumFee: maximumFee)
    }

    private func holdings(_ alice: TestWallet) async throws -> UInt64 {
        try await alice.wallet.balances().reduce(0) { $0 + $1.available + $1.inFlight }
    }

    @Test("each mint pays a part, all of them at once, and the parts make the invoice")
    func parts() async throws {
        let (mints, alice) = try await world(feePPK: 100)
        let invoice = try mints.world.lightning.invoice(600_500)
        let before = try await holdings(alice)
        let paid = try await pay(invoice.text, alice)
        #expect(paid.state == .paid && paid.parts.count == 2)
        #expect(paid.parts.map(\.mint) == [mints.world.url, mints.otherURL])
        // A mint rounds its part up: half a sat is one.
        #expect(paid.amount == 601)
        #expect(mints.world.lightning.parts(of: invoice).reduce(0, +) == 600_500)
        #expect(paid.preimage?.count == 64)
        #expect(before - (try await holdings(alice)) >= paid.amount + paid.fee)
        #expect(try await alice.wallet.invoicePayment(invoice.text) == paid)
        // Again tells of it and pays nothing; nor does one mint alone.
        let left = try await holdings(alice)
        #expect(try await pay(invoice.text, alice) == paid)
        #expect(
            await walletError {
                _ = try await alice.wallet.payInvoice(invoice.text, from: mints.otherURL, maximumFee: 20)
            } == .paymentFailed
        )
        #expect(try await holdings(alice) == left)
        try await mints.requireSound(alice)
    }

    @Test("a mint that holds enough pays alone; one that is not named pays nothing")
    func alone() async throws {
        let (mints, alice) = try await world()
        let small = try mints.world.lightning.invoice(350_000)
        let paid = try await pay(small.text, alice)
        #expect(paid.parts.map(\.mint) == [mints.world.url] && paid.state == .paid)
        #expect(mints.world.lightning.parts(of: small).isEmpty)
        let large = try mints.world.lightning.invoice(301_000)
        #expect(
            await walletError {
                _ = try await alice.wallet.payInvoice(large.text, fromAnyOf: [mints.otherURL], maximumFee: 20)
            } == .insufficientFunds
        )
        #expect(await walletError { _ = try await pay("nonsense", alice) } == .invalidArgument)
        try await mints.requireSound(alice)
    }

    @Test("too little altogether, too dear, mints without NUT-15: refused, and nothing moved")
    func refused() async throws {
        let (mints, alice) = try await world()
        let before = try await holdings(alice)
        let large = try mints.world.lightning.invoice(699_000).text
        #expect(await walletError { _ = try await pay(large, alice) } == .insufficientFunds)
        let fair = try mints.world.lightning.invoice(600_000).text
        #expect(await walletError { _ = try await pay(fair, alice, maximumFee: 3) } == .limitExceeded)
        mints.otherAPI.setNUT("15", to: nil)
        _ = try await alice.wallet.terms(of: mints.otherURL, maximumAgeSeconds: -1)
        #expect(await walletError { _ = try await pay(fair, alice) } == .insufficientFunds)
        #expect(try await holdings(alice) == before)
        #expect(mints.world.api.count("melt") + mints.otherAPI.count("melt") == 0)
        #expect(try await alice.wallet.invoicePayment(fair) == nil)
    }

    @Test("a daily limit counts all the parts together, once")
    func limits() async throws {
        let (mints, alice) = try await world()
        try await alice.wallet.setLimit(550, on: .wallet)
        let invoice = try mints.world.lightning.invoice(600_000).text
        #expect(await walletError { _ = try await pay(invoice, alice) } == .limitExceeded)
        #expect(mints.world.api.count("melt") + mints.otherAPI.count("melt") == 0)
        #expect(try await alice.wallet.limits().first?.spentToday == 0)
        try await alice.wallet.setLimit(650, on: .wallet)
        let paid = try await pay(invoice, alice)
        #expect(try await alice.wallet.limits().first?.spentToday == paid.amount + paid.fee)
    }

    @Test("where every part fails, every coin is back, and the invoice can be tried again")
    func failing() async throws {
        let (mints, alice) = try await world()
        let before = try await holdings(alice)
        let invoice = try mints.world.lightning.invoice(600_000).text
        mints.world.lightning.setOutcome(.failed(.init(.noRoute, "no route")))
        #expect(await walletError { _ = try await pay(invoice, alice) } == .paymentFailed)
        #expect(try await holdings(alice) == before)
        #expect(try await alice.wallet.balances().allSatisfy { $0.inFlight == 0 })
        mints.world.lightning.setOutcome(nil)
        #expect(try await pay(invoice, alice).state == .paid)
        try await mints.requireSound(alice)
    }

    @Test("a part that fails gives its coins back while the other is pending, until that fails too")
    func oneFails() async throws {
        let (mints, alice) = try await world()
        let before = try await holdings(alice)
        let invoice = try mints.world.lightning.invoice(600_000).text
        mints.otherAPI.put(.notSent, on: "melt")
        mints.world.lightning.setOutcome(.pending)
        let payment = try await pay(invoice, alice)
        #expect(payment.state == .pending)
        #expect(payment.parts.map(\.state) == [.pending, .failed])
        #expect(try await mints.available(alice, mints.otherURL) == 300)
        #expect(
            await walletError { _ = try await alice.wallet.payInvoice(invoice, from: mints.otherURL, maximumFee: 20) }
                == .outcomeUnknown
        )
        // The same invoice again does not send the missing part after the fact.
        #expect(try await pay(invoice, alice).state == .pending)
        #expect(mints.otherAPI.count("melt") == 1)
        mints.world.lightning.setOutcome(.failed(.init(.rejected, "the other parts did not come")))
        await mints.world.mint.recoverPendingMelts()
        #expect(await walletError { _ = try await pay(invoice, alice) } == .paymentFailed)
        #expect(try await holdings(alice) == before)
        try await mints.requireSound(alice)
    }

    @Test("answers that are lost, and a restart in the middle: every part is paid once", arguments: FaultTests.breaks)
    func restart(fault: LocalMint.Fault) async throws {
        var (mints, alice) = try await world()
        let invoice = try mints.world.lightning.invoice(600_000)
        mints.world.api.put(fault, on: "melt")
        mints.otherAPI.put(fault, on: "melt")
        let first = try await pay(invoice.text, alice)
        #expect(first.state == .pending && first.parts.map(\.state) == [.pending, .pending])
        await alice.close()
        alice = try await mints.wallet("alice")
        #expect(try await alice.wallet.recover().unknownOperations == 0)
        let payment = try await pay(invoice.text, alice)
        #expect(payment.state == .paid && payment.amount == 600)
        #expect(mints.world.lightning.parts(of: invoice).count == 2)
        #expect(try await alice.wallet.history().filter { $0.kind == .paidInvoice }.count == 2)
        try await mints.requireSound(alice)
    }

    @Test("what each mint says is booked, also where they contradict each other")
    func contradiction() async throws {
        let (mints, alice) = try await world()
        let invoice = try mints.world.lightning.invoice(600_000).text
        mints.otherAPI.put(.refused(20004), on: "melt")
        mints.world.lightning.setLonePartsSettle(true)
        mints.world.api.setTamper { call, answer in
            guard call == "melt", case .object(var quote) = answer else { return answer }
            quote["payment_preimage"] = .null
            return .object(quote)
        }
        let payment = try await pay(invoice, alice)
        #expect(payment.state == .contradictory && payment.preimage == nil)
        #expect(payment.parts.map(\.state) == [.paid, .failed])
        #expect(try await mints.available(alice, mints.otherURL) == 300)
        try await mints.requireSound(alice)
    }

    @Test("many who pay the same invoice at once pay it once")
    func atOnce() async throws {
        let (mints, alice) = try await world()
        let invoice = try mints.world.lightning.invoice(600_000)
        let payments = try await withThrowingTaskGroup(of: InvoicePayment?.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    do {
                        return try await pay(invoice.text, alice)
                    } catch let error as WalletError where error.code == .insufficientFunds {
                        // The coins were taken by who was quicker.
                        return nil
                    }
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(payments.compactMap { $0 }.allSatisfy { $0.state == .paid && $0.amount == 600 })
        #expect(payments.contains { $0 != nil })
        #expect(mints.world.lightning.parts(of: invoice).reduce(0, +) == 600_000)
        #expect(try await alice.wallet.history().filter { $0.kind == .paidInvoice }.count == 2)
        try await mints.requireSound(alice)
    }
}
