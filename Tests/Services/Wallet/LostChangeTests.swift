import CanonicalJSON
import Cashu
import Lightning
import Testing

@testable import Wallet

/// NUT-08 from the wallet's side: a melt of 200 sat with 1000 sat set aside, of which 100 are used. Of the ten blank
/// outputs four are needed: 900 comes back as 4, 128, 256 and 512.
@Suite("Wallet: change of a melt whose answer was lost (NUT-08)")
struct LostChangeTests {
    /// How the wallet gets at the change in the end.
    enum Way: CaseIterable, Sendable {
        /// The same request gets the same answer (NUT-19).
        case request
        /// The request is refused, and the quote has the change.
        case quote
        /// Neither of them tells of the change; the outputs' signatures are given again (NUT-09).
        case outputs
        /// As before, by a mint that says there is no change.
        case outputsThoughNone
    }

    private func world() async throws -> (WalletWorld, TestWallet) {
        let world = try await WalletWorld(feePPK: 100, reserveMsat: 1_000_000)
        world.lightning.setFee(100_000)
        return (world, try await world.funded(4096))
    }

    /// Puts what stands in the way of all other ways.
    private func leaveOnly(_ way: Way, in world: WalletWorld) {
        if way == .quote { world.api.put(.refused(20006), on: "melt") }
        guard way == .outputs || way == .outputsThoughNone else { return }
        world.api.setTamper { call, answer in
            guard call == "melt" || call == "meltQuote", case .object(var quote) = answer else { return answer }
            quote["change"] = way == .outputs ? nil : []
            return .object(quote)
        }
    }

    private func requireChange(_ world: WalletWorld, _ alice: TestWallet) async throws {
        // The input fees are 1 sat of the swap for fitting coins and 1 of the melt.
        #expect(try await alice.available == 4096 - 200 - 100 - 2)
        #expect(try await alice.balance()?.inFlight == 0)
        #expect(try await world.circulating() == alice.holdings)
        let paid = try await alice.wallet.history().first { $0.kind == .paidInvoice }
        #expect(paid?.change == -301 && paid?.fee == 101)
        try await world.requireSound(alice)
    }

    @Test("it comes back in whichever way is left, after a restart", arguments: Way.allCases)
    func afterRestart(way: Way) async throws {
        var (world, alice) = try await world()
        let invoice = try world.lightning.invoice(200_000).text
        let payments = world.lightning.paymentCount
        let (url, wallet) = (world.url, alice.wallet)
        world.api.put(.lostAnswer, on: "melt")
        #expect(
            await walletError { _ = try await wallet.payInvoice(invoice, from: url, maximumFee: 1000) }
                == .outcomeUnknown
        )
        #expect(try await alice.holdings > 4000)
        leaveOnly(way, in: world)
        await alice.close()
        alice = try await world.wallet()
        #expect(try await alice.wallet.recover().unknownOperations == 0)
        #expect(world.lightning.paymentCount == payments + 1)
        #expect((world.api.count("restore") > 0) == (way == .outputs || way == .outputsThoughNone))
        #expect((world.api.count("meltQuote") > 0) == (way == .quote))
        try await requireChange(world, alice)
    }

    @Test("it comes back in whichever way is left, in the same call", arguments: Way.allCases)
    func atOnce(way: Way) async throws {
        let (world, funded) = try await world()
        await funded.close()
        let alice = try await world.wallet(attempts: 2)
        let invoice = try world.lightning.invoice(200_000).text
        world.api.put(.lostAnswer, on: "melt")
        leaveOnly(way, in: world)
        let paid = try await alice.wallet.payInvoice(invoice, from: world.url, maximumFee: 1000)
        #expect(paid.amount == 200 && paid.fee == 101 && paid.preimage?.count == 64)
        try await requireChange(world, alice)
    }

    @Test("every answer is lost for a while, and two restarts lie between")
    func longWay() async throws {
        var (world, alice) = try await world()
        let invoice = try world.lightning.invoice(200_000).text
        let (url, wallet) = (world.url, alice.wallet)
        world.api.put(.lostAnswer, on: "melt", times: 2)
        world.api.put(.refused(20006), on: "melt", times: 2)
        world.api.put(.lostAnswer, on: "meltQuote")
        #expect(
            await walletError { _ = try await wallet.payInvoice(invoice, from: url, maximumFee: 1000) }
                == .outcomeUnknown
        )
        for unknown in [1, 1, 0] {
            await alice.close()
            alice = try await world.wallet()
            #expect(try await alice.wallet.recover().unknownOperations == unknown)
        }
        try await requireChange(world, alice)
    }

    @Test("a mint that tells of no change and gives no signatures again holds up nothing: the invoice is paid")
    func withoutRestore() async throws {
        let (world, alice) = try await world()
        let invoice = try world.lightning.invoice(200_000).text
        leaveOnly(.outputs, in: world)
        world.api.put(.refused(0), on: "restore")
        let paid = try await alice.wallet.payInvoice(invoice, from: world.url, maximumFee: 1000)
        #expect(paid.fee == 1001)
        #expect(try await alice.wallet.recover().unknownOperations == 0)
        // What it keeps is found from the words, once it gives signatures again.
        _ = try await alice.wallet.restore(from: world.url)
        #expect(try await alice.available == 4096 - 200 - 100 - 2)
        try await world.requireSound(alice)
    }

    @Test("a mint's answer with more change than there were outputs brings no more than was asked for")
    func tooMuch() async throws {
        let (world, alice) = try await world()
        let invoice = try world.lightning.invoice(200_000).text
        world.api.setTamper { call, answer in
            guard call == "melt", case .object(var quote) = answer, let change = quote["change"]?.arrayValue else {
                return answer
            }
            quote["change"] = .array(change + change + change)
            return .object(quote)
        }
        _ = try await alice.wallet.payInvoice(invoice, from: world.url, maximumFee: 1000)
        try await requireChange(world, alice)
    }
}
