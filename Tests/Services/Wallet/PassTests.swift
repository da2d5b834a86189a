import Encodings
import Testing

@testable import Wallet

@Suite("Buyer: passes bought over L402")
struct PassTests {
    private func call(_ line: ForeignLine, _ buyer: Buyer, _ path: String = "/weather/today") async throws
        -> PaidResponse
    {
        let response = try await buyer.pay(line.request(path))
        _ = try await response.body.collect(upTo: 100)
        return response
    }

    @Test("a pass is used again, also after a restart, until it is forgotten; then one new payment is made")
    func usedAgain() async throws {
        try await ForeignLine.run(.aperture) { line in
            var alice = try await line.world.funded(1000)
            var buyer = line.buyer(alice)
            let payments = line.world.lightning.paymentCount
            let first = try await call(line, buyer)
            await alice.close()
            alice = try await line.world.wallet()
            buyer = line.buyer(alice)
            let second = try await call(line, buyer)
            let third = try await call(line, buyer, "/weather/tomorrow")
            #expect(first.payment?.amount == 10 && second.payment?.amount == 0 && third.payment?.amount == 0)
            #expect(second.outcome == .served && second.payment?.way == .l402)
            #expect(line.world.lightning.paymentCount == payments + 1 && line.seller.challenges == 1)
            #expect(Set(line.seller.shown).count == 1 && line.seller.charges == 3)
            let pass = try #require(try await alice.wallet.passes().first)
            #expect(pass.uses == 3 && pass.state == .good && pass.path == "/weather/today" && pass.amount == 10)
            try await alice.wallet.forgetPass(pass.id)
            #expect(try await alice.wallet.passes().isEmpty)
            #expect(await walletError { try await alice.wallet.forgetPass(pass.id) } == .notFound)
            #expect(try await call(line, buyer).payment?.amount == 10)
            #expect(line.world.lightning.paymentCount == payments + 2)
            try await line.world.requireSound(alice)
        }
    }

    @Test("a pass is good for its service and its agent alone")
    func scope() async throws {
        try await ForeignLine.run(.specification) { line in
            let alice = try await line.world.funded(1000)
            let buyer = line.buyer(alice)
            _ = try await call(line, buyer)
            #expect(try await call(line, buyer, "/other").payment?.amount == 10)
            var request = line.request()
            request.agent = "planner"
            #expect(try await buyer.pay(request).payment?.amount == 10)
            #expect(try await alice.wallet.passes().count == 3)
        }
    }

    @Test("a pass that its seller refuses is paid for anew, once, within the limits")
    func refused() async throws {
        try await ForeignLine.run(.aperture) { line in
            let alice = try await line.world.funded(1000)
            let buyer = line.buyer(alice)
            _ = try await call(line, buyer)
            line.seller.set { $0.sold = [:] }
            #expect(try await call(line, buyer).payment?.amount == 10)
            #expect(try await alice.wallet.passes().map(\.state.rawValue).sorted() == ["good", "refused"])
            line.seller.set { $0.sold = [:] }
            let payments = line.world.lightning.paymentCount
            try await alice.wallet.setLimit(20, on: .wallet)
            #expect(await walletError { _ = try await call(line, buyer) } == .limitExceeded)
            #expect(line.world.lightning.paymentCount == payments)
            #expect(try await alice.available == 980)
        }
    }

    @Test("a pass that says itself that it is over is not shown again")
    func overByItsOwnWord() async throws {
        try await ForeignLine.run(.aperture) { line in
            let alice = try await line.world.funded(1000)
            let buyer = line.buyer(alice)
            line.seller.set { $0.calls = 2 }
            for amount in [10, 0, 10] as [UInt64] { #expect(try await call(line, buyer).payment?.amount == amount) }
            #expect(line.seller.challenges == 2)
            #expect(try await alice.wallet.passes().map(\.state.rawValue).sorted() == ["good", "used-up"])
            let end = line.world.time.now.secondsSince1970 + 60
            line.seller.set { ($0.calls, $0.validUntil) = (nil, end) }
            for amount in [0, 10, 0] as [UInt64] { #expect(try await call(line, buyer).payment?.amount == amount) }
            line.world.time.advance(seconds: 61)
            line.seller.set { $0.validUntil = nil }
            #expect(try await call(line, buyer).payment?.amount == 10)
            let states = try await alice.wallet.passes().map(\.state.rawValue).sorted()
            #expect(states == ["expired", "good", "used-up", "used-up"])
        }
    }

    @Test("an answer of the service itself, whatever it is, spends no money and no pass")
    func notFound() async throws {
        try await ForeignLine.run(.aperture) { line in
            let alice = try await line.world.funded(1000)
            let buyer = line.buyer(alice)
            line.seller.script(.notFound, .serve)
            let response = try await call(line, buyer)
            #expect(response.status == 404 && response.outcome == .served)
            #expect(try await call(line, buyer).payment?.amount == 0)
        }
    }

    @Test("a call by a pass whose answer is lost is taken up with the same credential and key")
    func lostAnswer() async throws {
        try await ForeignLine.run(.aperture) { line in
            let alice = try await line.world.funded(1000)
            let buyer = line.buyer(alice, attempts: 1)
            _ = try await call(line, buyer)
            line.seller.script(.serveThenDrop)
            #expect(await walletError { _ = try await call(line, buyer) } == .outcomeUnknown)
            let open = try #require(try await buyer.openPayments().first)
            let pass = try #require(try await alice.wallet.passes().first)
            #expect(await walletError { try await alice.wallet.forgetPass(pass.id) } == .invalidArgument)
            #expect(try await buyer.resume(open.id).state == .served)
            #expect(line.seller.charges == 2 && Set(line.seller.shown).count == 1)
            #expect(try await alice.available == 990)
        }
    }
}
