import AsyncHTTPClient
import Cashu
import Encodings
import Mint
import Storage
import Synchronization
import Testing

@testable import Wallet

/// Each interleaving is forced: a call is held at a gate while something else ends.
@Suite("Buyer: what goes on beside it does not pay twice, nor lose what is out")
struct OnceBuyerTests {
    // MARK: Payment requests

    /// A payee that holds the first post at the gate.
    private func withPayee(
        _ world: WalletWorld,
        gate: Gate?,
        _ replies: [RawReply],
        _ body: (String, Posts, Buyer, TestWallet) async throws -> Void
    ) async throws {
        let posts = Posts(replies, gate: gate)
        let server = try await RawServer { await posts.next($0) }
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: HTTPMint.clientConfiguration)
        let alice = try await world.funded(500)
        let bob = try await world.funded(0, "bob")
        do {
            let post: @Sendable (String) -> String = { "\(server.origin)/requests/\($0)" }
            let own = try await bob.wallet.createRequest(RequestTerms(amount: 40), post: post)
            let configuration = BuyerConfiguration(pause: { _ in })
            let buyer = Buyer(wallet: alice.wallet, client: client, configuration: configuration)
            try await body(own.text, posts, buyer, alice)
        } catch {
            await server.stop()
            try? await client.shutdown()
            throw error
        }
        await server.stop()
        try? await client.shutdown()
    }

    @Test("a payment whose token is being made is not taken for one that was never made: it is delivered again")
    func roundBeforeToken() async throws {
        let world = try await WalletWorld()
        try await withPayee(world, gate: nil, [.drop, .answer(status: 200)]) { text, posts, buyer, alice in
            // The mint's terms are old, so that the payment stands at asking for them, its record written.
            world.time.advance(seconds: 3601)
            let gate = world.api.holdNext("info")
            let paying = Task { await walletError { _ = try await buyer.payRequest(text) } }
            await gate.reached()
            #expect(try await buyer.resumeRequestPayments() == 0)
            gate.open()
            #expect(await paying.value == .outcomeUnknown)
            #expect(try await buyer.resumeRequestPayments() == 1)
            #expect(posts.count == 2)
            #expect(try await alice.available == 460)
            try await world.requireSound(alice)
        }
    }

    @Test("a payment that a slow payee is looking at is not delivered beside itself")
    func slowPayee() async throws {
        let world = try await WalletWorld()
        let gate = Gate()
        let replies: [RawReply] = [.answer(status: 200), .answer(status: 400)]
        try await withPayee(world, gate: gate, replies) { text, posts, buyer, alice in
            let paying = Task { try await buyer.payRequest(text).state }
            await gate.reached()
            #expect(try await buyer.resumeRequestPayments() == 0)
            #expect(posts.count == 1)
            gate.open()
            #expect(try await paying.value == .paid)
            #expect(try await alice.available == 460)
            try await world.requireSound(alice)
        }
    }

    @Test("a payment that was refused, and whose coins came home by another way, is not paid")
    func reclaimedMeanwhile() async throws {
        let world = try await WalletWorld()
        let gate = Gate()
        try await withPayee(world, gate: gate, [.answer(status: 400)]) { text, _, buyer, alice in
            let paying = Task { await walletError { _ = try await buyer.payRequest(text) } }
            await gate.reached()
            let token = try #require(try await alice.wallet.sentTokens().first)
            _ = try await alice.wallet.reclaim(token.id)
            gate.open()
            #expect(await paying.value == .paymentRefused)
            #expect(try await alice.available == 500)
            #expect(try await buyer.resumeRequestPayments() == 0)
            try await world.requireSound(alice)
        }
    }

    // MARK: Tokens

    @Test("who asks for a token's coins while they come home does not make it claimed by another")
    func claimedOrReclaimed() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(500)
        let token = try await alice.wallet.send(40, at: world.url)
        let gate = world.api.holdAnswer("swap")
        let home = Task { try await alice.wallet.reclaim(token.id).amount }
        await gate.reached()
        #expect(try await alice.wallet.isClaimed(token))
        gate.open()
        #expect(try await home.value == 40)
        let state = try await alice.database.read { connection in try TokenStore.find(token.id, in: connection)?.state }
        #expect(state == .reclaimed)
        #expect(try await alice.available == 500)
        try await world.requireSound(alice)
    }

    @Test("a refund whose coins a mint took for nothing is made anew, a few times and not forever")
    func disputedRefund() async throws {
        let world = try await WalletWorld()
        let shop = try await world.funded(1000)
        func refund(_ reference: String) async throws -> String {
            try await shop.wallet.refundToken(137, at: world.url, reference: reference)
        }
        world.api.put(.forgedAnswer, on: "swap")
        #expect(await walletError { _ = try await refund("call-1") } == .mintDishonest)
        let token = try await refund("call-1")
        #expect(try await refund("call-1") == token)
        #expect(try await shop.wallet.sentTokens().map(\.amount) == [137])
        let wide = try await world.funded(8000, "wide")
        world.api.put(.forgedAnswer, on: "swap", times: 10)
        let swaps = world.api.count("swap")
        for _ in 0..<5 {
            #expect(
                await walletError {
                    _ = try await wide.wallet.refundToken(37, at: world.url, reference: "call-2")
                } == .mintDishonest
            )
        }
        #expect(world.api.count("swap") == swaps + 3)
        try await world.requireSound(shop, wide)
    }

    // MARK: Refunds of calls

    @Test("a refund that the seller spent itself ends, also after a restart")
    func spentRefund() async throws {
        try await BuyerWorld.run { line in
            var alice = try await line.world.funded(1000)
            line.seller.script(.refund)
            // One exchange locks the coins. The refund is written down, and no exchange for it goes out.
            let swaps = line.world.api.count("swap")
            line.world.api.setChance { [api = line.world.api] call in
                call == "swap" && api.count("swap") == swaps + 2 ? .notSent : nil
            }
            #expect(await walletError { _ = try await line.buyer(alice).pay(line.request()) } == .mintUnreachable)
            let payment = try #require(try await line.buyer(alice).openPayments().first)
            #expect(payment.state == .refunding)
            await alice.close()
            let seller = try await line.world.funded(0, "seller")
            _ = try await seller.wallet.receive(try #require(payment.refund))
            alice = try await line.world.wallet()
            let buyer = line.buyer(alice)
            #expect(try await buyer.resumeAll().map(\.state) == [.served])
            #expect(try await buyer.payment(payment.id)?.code == "spent-at-mint")
            #expect(try await buyer.openPayments().isEmpty)
            try await line.world.requireSound(alice, seller)
        }
    }

    @Test("a refund of more coins than one exchange takes is claimed to its end, also where it breaks in the middle")
    func largeRefund() async throws {
        try await BuyerWorld.run { line in
            let alice = try await line.world.wallet(maximumInputs: 2)
            try await alice.wallet.addMint(line.world.url.string)
            _ = try await alice.wallet.fund(1000, at: line.world.url)
            line.seller.state.withLock { $0.price = 7 }
            line.seller.script(.refund)
            // One exchange locks the coins, the refund's three take two more: the last of them breaks.
            let swaps = line.world.api.count("swap")
            line.world.api.setChance { [api = line.world.api] call in
                call == "swap" && api.count("swap") == swaps + 3 ? .notSent : nil
            }
            let request = PaidRequest(url: line.server.origin + "/s/weather/today", maximum: 10)
            #expect(await walletError { _ = try await line.buyer(alice).pay(request) } == .mintUnreachable)
            let buyer = line.buyer(alice)
            #expect(try await buyer.openPayments().map(\.state) == [.refunding])
            #expect(try await buyer.resumeAll().map(\.state) == [.refunded])
            #expect(try await buyer.payments().first?.returned == 7)
            #expect(try await alice.holdings == 1000)
            try await line.world.requireSound(alice)
        }
    }

    // MARK: Calls

    @Test("two calls with one key at once are one payment, and both get its answer")
    func sameKey() async throws {
        try await BuyerWorld.run { line in
            let alice = try await line.world.funded(1000)
            let buyer = line.buyer(alice)
            let gate = Gate()
            let isFirst = Mutex(true)
            let seller = line.seller
            let server = try await RawServer { request in
                if isFirst.withLock({ $0.exchange(false) }) { await gate.pass() }
                return seller.respond(request)
            }
            let request = PaidRequest(url: server.origin + "/s/weather/today", maximum: 5, idempotencyKey: "key-1")
            let slow = Task {
                let response = try await buyer.pay(request)
                return try await response.body.collect(upTo: 100)
            }
            await gate.reached()
            let quick = try await buyer.pay(request).body.collect(upTo: 100)
            gate.open()
            #expect(try await slow.value == quick)
            #expect(seller.charges == 1)
            #expect(try await buyer.payments().count == 1)
            await server.stop()
            try await line.world.requireSound(alice)
        }
    }

    @Test("first calls that come at once buy one pass between them")
    func onePass() async throws {
        try await ForeignLine.run(.aperture) { line in
            let alice = try await line.world.funded(1000)
            let buyer = line.buyer(alice)
            let payments = line.world.lightning.paymentCount
            let gate = line.world.api.holdNext("requestMeltQuote")
            let calls = (0..<4).map { number in
                Task {
                    let response = try await buyer.pay(line.request("/weather/\(number)"))
                    _ = try await response.body.collect(upTo: 100)
                    return response.payment?.amount
                }
            }
            await gate.reached()
            // All of them have seen what a call costs before the first has paid.
            while line.seller.challenges < 4 { await Task.yield() }
            gate.open()
            var amounts: [UInt64?] = []
            for call in calls { amounts.append(try await call.value) }
            #expect(amounts.compactMap { $0 }.sorted() == [0, 0, 0, 10])
            #expect(line.world.lightning.paymentCount == payments + 1)
            #expect(try await alice.wallet.passes().count == 1)
            #expect(line.seller.charges == 4)
            try await line.world.requireSound(alice)
        }
    }

    @Test("that another call's coins are not there says nothing of a cheaper call")
    func cheaperCall() async throws {
        try await BuyerWorld.run { line in
            let alice = try await line.world.funded(20)
            let buyer = line.buyer(alice)
            let key = SellerPool.Key(seller: line.seller.publicKey, mint: line.world.url, unit: .sat)
            line.world.time.advance(seconds: 3601)
            let gate = line.world.api.holdNext("info")
            let dear = Task { await walletError { try await buyer.pool.fill(key, amount: 64, budget: nil) } }
            await gate.reached()
            let cheap = Task { try await buyer.pool.fill(key, amount: 2, budget: nil) }
            while await buyer.pool.waiting == 0 { await Task.yield() }
            gate.open()
            #expect(await dear.value == .insufficientFunds)
            try await cheap.value
            #expect(try await alice.balance()?.locked ?? 0 >= 2)
            try await line.world.requireSound(alice)
        }
    }
}

extension Bool {
    fileprivate mutating func exchange(_ value: Bool) -> Bool {
        defer { self = value }
        return self
    }
}

/// Replies in order; the first post waits at the gate.
private final class Posts: Sendable {
    private let replies: Mutex<[RawReply]>
    private let seen = Mutex(0)
    private let gate: Gate?

    init(_ replies: [RawReply], gate: Gate?) {
        self.replies = Mutex(replies)
        self.gate = gate
    }

    var count: Int { seen.withLock { $0 } }

    func next(_ request: SeenRequest) async -> RawReply {
        let place = seen.withLock { seen in
            seen += 1
            return seen
        }
        let reply = replies.withLock { $0.isEmpty ? .answer(status: 404) : $0.removeFirst() }
        if place == 1 { await gate?.pass() }
        return reply
    }
}
