import Cashu
import Encodings
import Lightning
import Testing

@testable import Wallet

@Suite("Spending limits")
struct LimitTests {
    private func spent(_ wallet: TestWallet, _ subject: LimitSubject) async throws -> UInt64? {
        try await wallet.wallet.limits().first { $0.subject == subject }?.spentToday
    }

    @Test("a day's limit stops tokens and invoices before money moves; the next day begins anew")
    func walletLimit() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(1000)
        _ = try await alice.wallet.send(30, at: world.url)
        try await alice.wallet.setLimit(100, on: .wallet)
        #expect(try await spent(alice, .wallet) == 30)
        _ = try await alice.wallet.send(64, at: world.url)
        let swaps = world.api.count("swap")
        #expect(await walletError { _ = try await alice.wallet.send(7, at: world.url) } == .limitExceeded)
        let invoice = try world.lightning.invoice(7000).text
        #expect(
            await walletError {
                _ = try await alice.wallet.payInvoice(invoice, from: world.url, maximumFee: 10)
            } == .limitExceeded
        )
        #expect(world.api.count("swap") == swaps && world.api.count("melt") == 0)
        #expect(try await alice.available == 906)
        _ = try await alice.wallet.send(6, at: world.url)
        #expect(try await spent(alice, .wallet) == 100)
        world.time.advance(seconds: 86_400)
        #expect(try await spent(alice, .wallet) == 0)
        _ = try await alice.wallet.send(100, at: world.url)
        try await world.requireSound(alice)
    }

    @Test("a token that is taken back and an invoice that is not paid give back")
    func givingBack() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(1000)
        try await alice.wallet.setLimit(100, on: .wallet)
        let token = try await alice.wallet.send(60, at: world.url)
        _ = try await alice.wallet.reclaim(token.id)
        #expect(try await spent(alice, .wallet) == 0)
        world.lightning.setOutcome(.failed(.init(.noRoute, "no route")))
        let invoice = try world.lightning.invoice(50_000).text
        #expect(
            await walletError {
                _ = try await alice.wallet.payInvoice(invoice, from: world.url, maximumFee: 10)
            } == .paymentFailed
        )
        #expect(try await spent(alice, .wallet) == 0)
        world.lightning.setOutcome(nil)
        let paid = try await alice.wallet.payInvoice(
            world.lightning.invoice(50_000).text,
            from: world.url,
            maximumFee: 10
        )
        #expect(try await spent(alice, .wallet) == paid.amount + paid.fee)
        try await world.requireSound(alice)
    }

    @Test("a seller's refund is no spending")
    func refundsAreFree() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(100)
        try await alice.wallet.setLimit(1, on: .wallet)
        _ = try await alice.wallet.refundToken(33, at: world.url, reference: "claim-1")
        #expect(try await spent(alice, .wallet) == 0)
    }

    @Test("a limit in another unit lets nothing through in this one")
    func units() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(100)
        try await alice.wallet.setLimit(50, on: .wallet, unit: CurrencyUnit("usd"))
        #expect(await walletError { _ = try await alice.wallet.send(1, at: world.url) } == .limitExceeded)
        try await alice.wallet.setLimit(2, on: .wallet)
        _ = try await alice.wallet.send(1, at: world.url)
        try await alice.wallet.removeLimit(on: .wallet)
        try await alice.wallet.removeLimit(on: .wallet, unit: CurrencyUnit("usd"))
        #expect(await walletError { try await alice.wallet.removeLimit(on: .wallet) } == .notFound)
        _ = try await alice.wallet.send(60, at: world.url)
    }

    @Test("32 spends at once never pass a limit, nor does one after a restart")
    func races() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(2000)
        try await alice.wallet.setLimit(100, on: .agent("a1"))
        let url = world.url
        let wallet = alice.wallet
        let done = await withTaskGroup(of: UInt64.self) { group in
            for place in 0..<32 {
                group.addTask {
                    let amount = UInt64(5 + place % 7)
                    let token = try? await wallet.send(amount, at: url, account: SpendingAccount(agent: "a1"))
                    return token?.amount ?? 0
                }
            }
            return await group.reduce(0, +)
        }
        // Some find no coin free; none gets past the limit.
        #expect(done > 0 && done <= 100)
        #expect(try await spent(alice, .agent("a1")) == done)
        await alice.close()
        let again = try await world.wallet("alice")
        #expect(try await spent(again, .agent("a1")) == done)
        #expect(
            await walletError {
                _ = try await again.wallet.send(101 - done, at: url, account: SpendingAccount(agent: "a1"))
            } == .limitExceeded
        )
        if done < 100 { _ = try await again.wallet.send(100 - done, at: url, account: SpendingAccount(agent: "a1")) }
        #expect(
            await walletError {
                _ = try await again.wallet.send(1, at: url, account: SpendingAccount(agent: "a1"))
            } == .limitExceeded
        )
        // Others are not bound by it.
        _ = try await again.wallet.send(200, at: url)
        try await world.requireSound(again)
    }

    @Test("calls count for their agent, the seller's host, port and key; what is refused or refunded does not")
    func calls() async throws {
        try await BuyerWorld.run { line in
            let alice = try await line.world.funded(1000)
            let buyer = line.buyer(alice)
            var request = line.request()
            request.agent = "a1"
            for _ in 0..<2 { _ = try await buyer.pay(request).body.collect(upTo: 1000) }
            let port = try #require(WebAddress.hostAndPort(line.server.origin)?.port)
            let seller = try #require(try await buyer.payments().first).seller
            let subjects: [LimitSubject] = [
                .wallet, .agent("a1"), .host("127.0.0.1"), .host("127.0.0.1:\(port)"), .key(seller),
            ]
            let price = try #require(try await buyer.payments().first).amount
            for subject in subjects {
                // Set late: what was paid before counts.
                try await alice.wallet.setLimit(price * 3, on: subject)
                #expect(try await spent(alice, subject) == price * 2)
            }
            _ = try await buyer.pay(request).body.collect(upTo: 1000)
            for subject in subjects {
                #expect(try await spent(alice, subject) == price * 3)
                let charges = line.seller.charges
                #expect(await walletError { _ = try await buyer.pay(request) } == .limitExceeded)
                #expect(line.seller.charges == charges)
                try await alice.wallet.removeLimit(on: subject)
            }
            try await alice.wallet.setLimit(price * 3, on: .host("other.example"))
            try await alice.wallet.setLimit(price * 4, on: .wallet)
            line.seller.script(.refund)
            let failed = try await buyer.pay(line.request())
            #expect(failed.outcome == .refunded)
            #expect(try await spent(alice, .wallet) == price * 3)
            try await line.world.requireSound(alice)
        }
    }

    @Test("32 calls at once never pass a limit")
    func callRaces() async throws {
        try await BuyerWorld.run { line in
            let alice = try await line.world.funded(2000)
            let buyer = line.buyer(alice)
            _ = try await buyer.pay(line.request()).body.collect(upTo: 1000)
            let price = try #require(try await buyer.payments().first).amount
            try await alice.wallet.setLimit(price * 11, on: .host("127.0.0.1"))
            let request = line.request()
            let served = await withTaskGroup(of: Int.self) { group in
                for _ in 0..<32 {
                    group.addTask {
                        guard let answer = try? await buyer.pay(request) else { return 0 }
                        _ = try? await answer.body.collect(upTo: 1000)
                        return answer.outcome == .served ? 1 : 0
                    }
                }
                return await group.reduce(0, +)
            }
            #expect(served == 10)
            #expect(line.seller.charges == 11)
            #expect(try await spent(alice, .host("127.0.0.1")) == price * 11)
            try await line.world.requireSound(alice)
        }
    }
}
