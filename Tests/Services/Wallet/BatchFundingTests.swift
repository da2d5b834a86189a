import CanonicalJSON
import Cashu
import Lightning
import Storage
import Testing

@testable import Wallet

@Suite("Wallet: many fundings at once (NUT-29)")
struct BatchFundingTests {
    private func fundings(_ amounts: [UInt64], of alice: TestWallet, in world: WalletWorld) async throws -> [Funding] {
        var fundings: [Funding] = []
        for amount in amounts {
            let funding = try await alice.wallet.requestInvoice(amount, at: world.url)
            _ = try await world.lightning.pay(invoice: .init(decoding: funding.invoice), maximumFeeMsat: 0)
            fundings.append(funding)
        }
        return fundings
    }

    @Test("paid invoices of one mint are asked about once and fetched once; the unpaid one waits")
    func together() async throws {
        let world = try await WalletWorld(feePPK: 100)
        let alice = try await world.funded(0)
        _ = try await fundings([3, 50, 700], of: alice, in: world)
        let open = try await alice.wallet.requestInvoice(9, at: world.url)
        #expect(try await alice.wallet.recover().collectedFundings == 3)
        #expect(world.api.count("mintQuotes") == 1 && world.api.count("mintBatch") == 1)
        #expect(world.api.count("mintQuote") == 0 && world.api.count("mint") == 0)
        #expect(try await alice.available == 753)
        let states = try await alice.wallet.fundings().map { ($0.amount, $0.state) }
        #expect(states.filter { $0.1 == .issued }.map(\.0).sorted() == [3, 50, 700])
        #expect(states.filter { $0.1 == .open }.map(\.0) == [open.amount])
        // Again is nothing.
        #expect(try await alice.wallet.recover().collectedFundings == 0)
        #expect(try await alice.available == 753)
        // An invoice that lapsed unpaid is closed.
        world.time.advance(seconds: 3 * 3600)
        _ = try await alice.wallet.requestInvoice(1, at: world.url)
        _ = try await alice.wallet.recover()
        #expect(try await alice.wallet.fundings().first { $0.quote == open.quote }?.state == .expired)
        try await world.requireSound(alice)
    }

    @Test("a batch that breaks is finished at the next start, once", arguments: FaultTests.breaks)
    func breaks(fault: LocalMint.Fault) async throws {
        let world = try await WalletWorld()
        var alice = try await world.funded(0)
        let fundings = try await fundings([5, 60], of: alice, in: world)
        world.api.put(fault, on: "mintBatch")
        #expect(try await alice.wallet.recover().collectedFundings == 0)
        #expect(try await alice.available == 0)
        // Who asks for one of them waits for the batch's own outcome.
        world.api.put(.lostRequest, on: "mintBatch")
        #expect(await walletError { _ = try await alice.wallet.collect(fundings[0]) } == .outcomeUnknown)
        #expect(world.api.count("mint") == 0)
        await alice.close()
        alice = try await world.wallet()
        let report = try await alice.wallet.recover()
        #expect(report.endedOperations == 1 && report.unknownOperations == 0)
        #expect(try await alice.available == 65)
        #expect(try await world.circulating() == 65)
        #expect(try await alice.wallet.fundings().map(\.state) == [.issued, .issued])
        try await world.requireSound(alice)
    }

    @Test("a mint that signed, and refuses the same request again, gives the signatures again (NUT-09)")
    func restored() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(0, attempts: 2)
        _ = try await fundings([5, 60], of: alice, in: world)
        world.api.put(.lostAnswer, on: "mintBatch")
        world.api.put(.refused(20002), on: "mintBatch")
        #expect(try await alice.wallet.recover().collectedFundings == 2)
        #expect(world.api.count("restore") == 1)
        #expect(try await alice.available == 65)
        try await world.requireSound(alice)
    }

    @Test(
        "where the batch, or the question, is refused, the coins are fetched one by one",
        arguments: ["mintBatch", "mintQuotes"]
    )
    func refused(call: String) async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(0)
        _ = try await fundings([5, 60, 700], of: alice, in: world)
        world.api.put(.refused(0), on: call)
        #expect(try await alice.wallet.recover().collectedFundings == 3)
        #expect(world.api.count("mint") == 3)
        #expect(try await alice.available == 765)
        try await world.requireSound(alice)
    }

    @Test("one bad quote does not keep the others back")
    func poisoned() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(0)
        let fundings = try await fundings([5, 60, 700], of: alice, in: world)
        // The wallet's key of one quote is not the one that the mint knows.
        try await alice.database.write { connection in
            try connection.execute(
                "UPDATE wallet_fundings SET key_nonce = ? WHERE quote = ?",
                .blob([UInt8](repeating: 1, count: 16)),
                .text(fundings[1].quote.string)
            )
        }
        #expect(try await alice.wallet.recover().collectedFundings == 2)
        #expect(try await alice.available == 705)
        try await world.requireSound(alice)
    }

    @Test("quotes with a key and without go together, in either form of the signature")
    func keys() async throws {
        let world = try await WalletWorld()
        world.api.setNUT("20", to: nil)
        let alice = try await world.funded(0)
        _ = try await fundings([5], of: alice, in: world)
        world.api.setTamper(nil)
        _ = try await alice.wallet.terms(of: world.url, maximumAgeSeconds: -1)
        let locked = try await fundings([60, 700], of: alice, in: world)
        #expect(locked.allSatisfy { $0.keyNonce != nil })
        world.api.put(.refused(MintErrorCode.mintSignatureInvalid.rawValue), on: "mintBatch")
        #expect(try await alice.wallet.recover().collectedFundings == 3)
        #expect(world.api.count("mintBatch") == 2 && world.api.count("mint") == 0)
        #expect(try await alice.available == 765)
    }

    @Test("the mint's limits are kept, and where it has no batches there are none")
    func limits() async throws {
        let world = try await WalletWorld()
        world.api.setNUT("29", to: ["max_batch_size": 3, "methods": ["bolt11"]])
        let alice = try await world.funded(0)
        _ = try await fundings([1, 2, 4, 8, 16, 32, 64], of: alice, in: world)
        #expect(try await alice.wallet.recover().collectedFundings == 7)
        #expect(world.api.count("mintBatch") == 2 && world.api.count("mint") == 1)
        #expect(try await alice.available == 127)
        for setting in [nil, ["max_batch_size": 1], ["methods": ["bolt12"]], true] as [JSONValue?] {
            world.api.setNUT("29", to: setting)
            _ = try await alice.wallet.terms(of: world.url, maximumAgeSeconds: -1)
            _ = try await fundings([1, 2], of: alice, in: world)
            #expect(try await alice.wallet.recover().collectedFundings == 2)
            #expect(world.api.count("mintBatch") == 2, "\(setting as Any)")
        }
        try await world.requireSound(alice)
    }

    @Test("coins that this wallet fetched while it asked about their quote are its own, and no quarrel with the mint")
    func meanwhile() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(0)
        let funding = try await fundings([8], of: alice, in: world)[0]
        world.api.setMeanwhile { _ = try? await alice.wallet.collect(funding) }
        #expect(try await alice.wallet.collect(funding) == 8)
        #expect(world.api.count("mint") == 1)
        #expect(try await alice.available == 8)
    }

    @Test("the node's round and many users at once: coins are issued once")
    func atOnce() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(0)
        let fundings = try await fundings([1, 2, 4, 8, 16], of: alice, in: world)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<10 {
                group.addTask {
                    if index % 2 == 0 {
                        let funding = fundings[index / 2]
                        #expect(try await alice.wallet.collect(funding) == funding.amount)
                    } else {
                        try await alice.wallet.recover()
                    }
                }
            }
            try await group.waitForAll()
        }
        try await alice.wallet.recover()
        #expect(try await alice.available == 31)
        #expect(try await world.circulating() == 31)
        try await world.requireSound(alice)
    }
}
