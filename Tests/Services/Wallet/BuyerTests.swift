import AsyncHTTPClient
import Cashu
import Cryptography
import Encodings
import Mint
import NIOCore
import Synchronization
import TestSupport
import Testing

@testable import Wallet

/// A wallet, a seller and the line between them.
final class BuyerWorld: Sendable {
    let world: WalletWorld
    let seller: TestSeller
    let server: RawServer
    let client: HTTPClient
    let configuration: BuyerConfiguration

    init(feePPK: UInt64 = 0, configuration: BuyerConfiguration? = nil) async throws {
        world = try await WalletWorld(feePPK: feePPK)
        let seller = try TestSeller(world: world)
        self.seller = seller
        server = try await RawServer { seller.respond($0) }
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: HTTPMint.clientConfiguration)
        self.configuration = configuration ?? BuyerConfiguration(attempts: 3, pause: { _ in })
    }

    func buyer(_ wallet: TestWallet) -> Buyer {
        Buyer(wallet: wallet.wallet, client: client, configuration: configuration)
    }

    func request(_ path: String = "/s/weather/today", maximum: UInt64 = 5) -> PaidRequest {
        PaidRequest(url: server.origin + path, maximum: maximum)
    }

    /// Requests that came with a payment.
    var paidRequests: Int { seller.requests.count { $0.header("X-Cashu") != nil } }

    func stop() async {
        await server.stop()
        try? await client.shutdown()
    }

    /// Runs a test and cleans up after it.
    static func run(
        feePPK: UInt64 = 0,
        configuration: BuyerConfiguration? = nil,
        _ body: (BuyerWorld) async throws -> Void
    ) async throws {
        let world = try await BuyerWorld(feePPK: feePPK, configuration: configuration)
        do {
            try await body(world)
        } catch {
            await world.stop()
            throw error
        }
        await world.stop()
    }
}

@Suite("Buyer")
struct BuyerTests {
    /// What stands in the wallet's tables about the payment of an answer.
    private func record(of response: PaidResponse, _ buyer: Buyer) async throws -> PaymentRecord {
        let id = try #require(response.payment).id
        let record = try await buyer.payment(id)
        return try #require(record)
    }

    @Test("a call is paid out of the pool; the second needs neither a refusal nor the mint")
    func pool() async throws {
        try await BuyerWorld.run(feePPK: 100) { line in
            let alice = try await line.world.funded(1000)
            let buyer = line.buyer(alice)
            let first = try await buyer.pay(line.request())
            #expect(first.outcome == .served && first.status == 200)
            #expect(
                String(decoding: try await first.body.collect(upTo: 1000), as: UTF8.self) == "served /s/weather/today"
            )
            let swaps = line.world.api.count("swap")
            let requests = line.seller.requests.count
            let second = try await buyer.pay(line.request())
            _ = try await second.body.collect(upTo: 1000)
            #expect(line.world.api.count("swap") == swaps)
            #expect(line.seller.requests.count == requests + 1)
            #expect(line.seller.charges == 2)
            let payment = try await record(of: second, buyer)
            #expect(payment.state == .served && payment.receiptState == "verified" && payment.receipt != nil)
            try await line.world.requireSound(alice)
            #expect(try await alice.wallet.history().filter { $0.kind == .paidCall }.count == 2)
        }
    }

    @Test("a receipt that is not in the head is fetched when the answer is read")
    func receiptFetched() async throws {
        try await BuyerWorld.run { line in
            let alice = try await line.world.funded(100)
            let buyer = line.buyer(alice)
            let response = try await buyer.pay(line.request("/s/weather/long"))
            let id = try #require(response.payment).id
            #expect(try await buyer.payment(id)?.state == .sent)
            _ = try await response.body.collect(upTo: 1000)
            let payment = try #require(try await buyer.payment(id))
            #expect(payment.state == .served && payment.receiptState == "verified")
            try await line.world.requireSound(alice)
        }
    }

    @Test("a receipt that does not fit the answer is kept with what is wrong")
    func forgedReceipt() async throws {
        try await BuyerWorld.run { line in
            let alice = try await line.world.funded(100)
            let buyer = line.buyer(alice)
            line.seller.script(.serveWithForgedReceipt)
            let response = try await buyer.pay(line.request())
            _ = try await response.body.collect(upTo: 1000)
            let payment = try await record(of: response, buyer)
            #expect(payment.state == .served && payment.receiptState != "verified" && payment.receipt != nil)
        }
    }

    @Test("a free call costs nothing, and an answer of another paywall is good too")
    func freeAndBare() async throws {
        try await BuyerWorld.run { line in
            let alice = try await line.world.funded(100)
            let buyer = line.buyer(alice)
            line.seller.script(.serveBare)
            let bare = try await buyer.pay(line.request())
            _ = try await bare.body.collect(upTo: 100)
            #expect(try await record(of: bare, buyer).state == .served)
            line.seller.state.withLock { $0.isFree = true }
            let free = try await buyer.pay(line.request("/free"))
            #expect(free.outcome == .free && free.payment == nil)
            try await line.world.requireSound(alice)
        }
    }

    @Test("limits are kept before a coin moves")
    func limits() async throws {
        try await BuyerWorld.run { line in
            let alice = try await line.world.funded(100)
            let buyer = line.buyer(alice)
            #expect(await walletError { _ = try await buyer.pay(line.request(maximum: 1)) } == .limitExceeded)
            var request = line.request()
            request.agent = "planner"
            request.spendingLimit = SpendingLimit(4, windowSeconds: 3600)
            for _ in 0..<2 { _ = try await buyer.pay(request).body.collect(upTo: 100) }
            #expect(await walletError { _ = try await buyer.pay(request) } == .limitExceeded)
            line.world.time.advance(seconds: 3601)
            _ = try await buyer.pay(request).body.collect(upTo: 100)
            #expect(line.seller.charges == 3)
            // What is debited on the limit elsewhere leaves less of it.
            line.world.time.advance(seconds: 3601)
            request.spendingLimit = SpendingLimit(4, windowSeconds: 3600) { _, _ in 3 }
            #expect(await walletError { _ = try await buyer.pay(request) } == .limitExceeded)
            request.spendingLimit = SpendingLimit(4, windowSeconds: 3600) { _, _ in .max }
            #expect(await walletError { _ = try await buyer.pay(request) } == .limitExceeded)
            request.spendingLimit = SpendingLimit(4, windowSeconds: 3600) { _, _ in 2 }
            _ = try await buyer.pay(request).body.collect(upTo: 100)
            #expect(line.seller.charges == 4)
            try await line.world.requireSound(alice)
        }
    }

    @Test("a seller of mints that are not ours is not paid")
    func unknownMint() async throws {
        try await BuyerWorld.run { line in
            let alice = try await line.world.wallet()
            #expect(await walletError { _ = try await line.buyer(alice).pay(line.request()) } == .mintUnknown)
            #expect(line.seller.charges == 0)
        }
    }

    @Test("plain http to another machine, foreign headers and odd addresses are refused")
    func hostileRequests() async throws {
        try await BuyerWorld.run { line in
            let buyer = line.buyer(try await line.world.funded(10))
            for url in [
                "http://example.com/x", "ftp://127.0.0.1/x", "http://u:p@127.0.0.1/", "http://127.0.0.1/#f", "x",
            ] {
                let request = PaidRequest(url: url, maximum: 5)
                #expect(await walletError { _ = try await buyer.pay(request) } == .invalidArgument)
            }
            for header in [("X-Cashu", "a"), ("Host", "b"), ("A b", "c"), ("A", "b\r\nC: d"), ("Signature", "x")] {
                var request = line.request()
                request.headers = [header]
                #expect(await walletError { _ = try await buyer.pay(request) } == .invalidArgument)
            }
            #expect(line.seller.requests.isEmpty)
        }
    }

    @Test("a lost answer is asked for again with the same coins: one charge, the same answer")
    func lostAnswer() async throws {
        try await BuyerWorld.run(feePPK: 100) { line in
            let alice = try await line.world.funded(1000)
            let buyer = line.buyer(alice)
            line.seller.script(.drop, .serveThenDrop)
            let response = try await buyer.pay(line.request())
            #expect(response.outcome == .served)
            _ = try await response.body.collect(upTo: 100)
            #expect(line.seller.charges == 1)
            let paid = line.seller.requests.compactMap { $0.header("X-Cashu") }
            #expect(paid.count == 3 && Set(paid).count == 1)
            #expect(Set(line.seller.requests.compactMap { $0.header("Idempotency-Key") }).count == 1)
            try await line.world.requireSound(alice)
        }
    }

    @Test("a seller that does not know gets no second payment; the call is taken up after a restart")
    func pending() async throws {
        try await BuyerWorld.run(feePPK: 100) { line in
            var alice = try await line.world.funded(1000)
            line.seller.script(.pending, .pending, .pending, .serveThenDrop)
            #expect(await walletError { _ = try await line.buyer(alice).pay(line.request()) } == .outcomeUnknown)
            #expect(try await line.buyer(alice).openPayments().map(\.state) == [.pending])
            #expect(try await alice.balance()?.inFlight == 2)
            await alice.close()
            alice = try await line.world.wallet()
            // The first time the seller charges, and its answer is lost; the second brings it.
            #expect(try await line.buyer(alice).resumeAll().map(\.state) == [.pending])
            #expect(try await line.buyer(alice).resumeAll().map(\.state) == [.served])
            #expect(line.seller.charges == 1)
            #expect(try await alice.balance()?.inFlight == 0)
            try await line.world.requireSound(alice)
        }
    }

    @Test("the same idempotency key never pays twice")
    func sameKey() async throws {
        try await BuyerWorld.run { line in
            let alice = try await line.world.funded(100)
            let buyer = line.buyer(alice)
            var request = line.request()
            request.idempotencyKey = "order-7"
            _ = try await buyer.pay(request).body.collect(upTo: 100)
            let again = try await buyer.pay(request)
            #expect(
                String(decoding: try await again.body.collect(upTo: 100), as: UTF8.self) == "served /s/weather/today"
            )
            #expect(line.seller.charges == 1)
            request.url = line.server.origin + "/s/weather/tomorrow"
            #expect(await walletError { _ = try await buyer.pay(request) } == .invalidArgument)
            try await line.world.requireSound(alice)
        }
    }

    @Test("a refusal puts the coins back, and they pay the next call", arguments: ["wrong-lock", "invalid-proof"])
    func refusal(code: String) async throws {
        try await BuyerWorld.run { line in
            let alice = try await line.world.funded(100)
            let buyer = line.buyer(alice)
            line.seller.script(.refuse(code))
            #expect(await walletError { _ = try await buyer.pay(line.request()) } == .paymentRefused)
            let locked = try await alice.balance()?.locked
            #expect(try await alice.holdings == 100)
            _ = try await buyer.pay(line.request()).body.collect(upTo: 100)
            #expect(try await alice.balance()?.locked == (locked ?? 0) - 2)
            try await line.world.requireSound(alice)
        }
    }

    @Test("a price that rose is learned anew, within the limit, and paid once")
    func newPrice() async throws {
        try await BuyerWorld.run { line in
            let alice = try await line.world.funded(100)
            let buyer = line.buyer(alice)
            _ = try await buyer.pay(line.request()).body.collect(upTo: 100)
            line.seller.state.withLock { $0.price = 5 }
            _ = try await buyer.pay(line.request()).body.collect(upTo: 100)
            #expect(line.seller.accepted.reduce(0) { $0 + $1.amount } == 7)
            line.seller.state.withLock { $0.price = 6 }
            #expect(await walletError { _ = try await buyer.pay(line.request()) } == .limitExceeded)
            #expect(line.seller.charges == 2)
            #expect(try await alice.holdings == 93)
            try await line.world.requireSound(alice)
        }
    }

    @Test("a seller that challenges again after the payment is not paid a second time")
    func challengedAgain() async throws {
        try await BuyerWorld.run { line in
            let alice = try await line.world.funded(100)
            line.seller.script(.challengeAgain)
            #expect(await walletError { _ = try await line.buyer(alice).pay(line.request()) } == .paymentRefused)
            #expect(line.seller.requests.filter { $0.header("X-Cashu") != nil }.count == 1)
            #expect(try await alice.holdings == 100)
        }
    }

    @Test(
        "a refusal after a lost answer does not free the coins: the seller may have them",
        arguments: [
            TestSeller.Step.challengeAgain, .refuse("passport-expired"),
        ]
    )
    func refusalAfterLoss(step: TestSeller.Step) async throws {
        try await BuyerWorld.run { line in
            let alice = try await line.world.funded(100)
            let buyer = line.buyer(alice)
            line.seller.script(.drop, step)
            #expect(await walletError { _ = try await buyer.pay(line.request()) } == .paymentRefused)
            #expect(try await buyer.openPayments().map(\.state) == [.pending])
            #expect(try await alice.balance()?.inFlight == 2)
            // Another call is paid with other coins.
            _ = try await buyer.pay(line.request()).body.collect(upTo: 100)
            #expect(line.seller.charges == 1)
            // The seller comes round, and the open call is settled with the coins it was made with.
            #expect(try await buyer.resumeAll().map(\.state) == [.served])
            #expect(line.seller.charges == 2)
            try await line.world.requireSound(alice)
        }
    }

    @Test("a seller that turns callers away at the door has taken nothing")
    func rateLimited() async throws {
        try await BuyerWorld.run { line in
            let alice = try await line.world.funded(100)
            line.seller.script(.turnAway, .turnAway, .turnAway)
            #expect(await walletError { _ = try await line.buyer(alice).pay(line.request()) } == .paymentRefused)
            #expect(try await alice.balance()?.inFlight == 0)
            #expect(try await alice.holdings == 100)
        }
    }

    @Test("a seller without a key is paid in coins without a lock; refused, they are swapped for new ones")
    func withoutLock() async throws {
        try await BuyerWorld.run { line in
            let alice = try await line.world.funded(100)
            let buyer = line.buyer(alice)
            line.seller.state.withLock { $0.wantsNoLock = true }
            _ = try await buyer.pay(line.request()).body.collect(upTo: 100)
            #expect(line.seller.charges == 1)
            line.seller.script(.refuse("payment-malformed"))
            #expect(await walletError { _ = try await buyer.pay(line.request()) } == .paymentRefused)
            #expect(try await alice.available == 98)
            let seen = try Token(try #require(line.seller.requests.last?.header("X-Cashu")))
            let proofs = try seen.proofs(knownKeysets: line.world.mint.allKeysets.map(\.id))
            let states = try await line.world.api.checkState(proofs.map { try $0.hashedSecret().compressed })
            #expect(states.allSatisfy { $0.state == .spent })
            try await line.world.requireSound(alice)
        }
    }

    @Test("a payment under way is not taken up by the node's round")
    func roundMeanwhile() async throws {
        try await BuyerWorld.run { line in
            let alice = try await line.world.funded(100)
            let buyer = line.buyer(alice)
            let response = try await buyer.pay(line.request("/s/weather/long"))
            let before = line.seller.requests.count
            let resumed = try await buyer.resumeAll()
            #expect(resumed.map(\.state) == [.sent])
            #expect(line.seller.requests.count == before)
            _ = try await response.body.collect(upTo: 100)
            #expect(try await buyer.resumeAll().isEmpty)
            try await line.world.requireSound(alice)
        }
    }

    @Test("a refund is claimed on the spot", arguments: [0, 100] as [UInt64])
    func refund(feePPK: UInt64) async throws {
        try await BuyerWorld.run(feePPK: feePPK) { line in
            let alice = try await line.world.funded(1000)
            let buyer = line.buyer(alice)
            line.seller.state.withLock { $0.price = 4 }
            line.seller.script(.refund)
            let response = try await buyer.pay(line.request())
            #expect(response.outcome == .refunded && response.status == 502)
            let payment = try await record(of: response, buyer)
            #expect(payment.state == .refunded && payment.returned == 4 - (feePPK == 0 ? 0 : 1))
            #expect(line.seller.charges == 0)
            #expect(try await line.world.circulating() == alice.holdings)
            try await line.world.requireSound(alice)
        }
    }

    @Test(
        "CHG-2: change that comes with an answer, or is asked for after it, is taken in; the call stays served, the limit is given back",
        arguments: [TestSeller.Step.change, .lateChange],
        ["/s/weather/today", "/s/weather/long"]
    )
    func change(step: TestSeller.Step, path: String) async throws {
        try await BuyerWorld.run { line in
            let alice = try await line.world.funded(1000)
            let buyer = line.buyer(alice)
            // 5 is paid as 1 and 4.
            line.seller.state.withLock { $0.price = 5 }
            line.seller.script(step)
            let response = try await buyer.pay(line.request(path))
            #expect(response.outcome == .served)
            _ = try await response.body.collect(upTo: 1000)
            let payment = try await record(of: response, buyer)
            #expect(payment.state == .served && payment.returned == 4)
            #expect(payment.receiptState == "verified")
            #expect(line.seller.charges == 1)
            #expect(try await alice.holdings == 999)
            // Taken in once, however often it is looked at.
            _ = try await buyer.resumeAll()
            #expect(try await alice.holdings == 999)
            try await line.world.requireSound(alice)
        }
    }

    @Test(
        "[SLA-15] CHG-2: what a seller owes by its receipt is asked for by and by, also after a restart, and taken in once",
        arguments: [false, true]
    )
    func owed(withBody: Bool) async throws {
        try await BuyerWorld.run { line in
            var alice = try await line.world.funded(1000)
            line.seller.state.withLock { $0.price = 5 }
            // Three times it is asked right after the answer, and once more in vain.
            line.seller.script(.owedChange(4))
            var request = line.request()
            if withBody {
                request.method = "POST"
                request.body = .bytes([1, 2, 3])
            }
            let response = try await line.buyer(alice).pay(request)
            _ = try await response.body.collect(upTo: 1000)
            #expect(line.paidRequests == 4)
            await alice.close()
            alice = try await line.world.wallet()
            let buyer = line.buyer(alice)
            // Not at once, and the further apart the more often it was in vain.
            await buyer.collectChange(signer: Self.nobody)
            #expect(line.paidRequests == 4)
            line.world.time.advance(seconds: 4)
            await buyer.collectChange(signer: Self.nobody)
            #expect(line.paidRequests == 5)
            #expect(try await alice.holdings == 995)
            await buyer.collectChange(signer: Self.nobody)
            #expect(line.paidRequests == 5)
            line.world.time.advance(seconds: 4)
            for _ in 0..<3 { await buyer.collectChange(signer: Self.nobody) }
            #expect(try await alice.holdings == 999)
            let payment = try await record(of: response, buyer)
            #expect(payment.state == .served && payment.returned == 4)
            line.world.time.advance(seconds: 86_400)
            await buyer.collectChange(signer: Self.nobody)
            #expect(line.paidRequests == 6)
            #expect(line.seller.charges == 1)
            #expect(Set(line.seller.requests.map(\.body)).count == 1)
            try await line.world.requireSound(alice)
        }
    }

    private static let nobody: @Sendable (PaymentRecord) async -> (any RequestSigning)? = { _ in nil }

    @Test("CHG-2: change whose claim breaks is kept, and taken in at the next start", arguments: FaultTests.breaks)
    func changeBreaks(fault: LocalMint.Fault) async throws {
        try await BuyerWorld.run { line in
            var alice = try await line.world.funded(1000)
            line.seller.state.withLock { $0.price = 5 }
            // The pool is there, so that the next swap is the change's.
            _ = try await line.buyer(alice).pay(line.request()).body.collect(upTo: 100)
            line.seller.script(.change)
            line.world.api.put(fault, on: "swap")
            let response = try await line.buyer(alice).pay(line.request())
            #expect(response.outcome == .served)
            _ = try await response.body.collect(upTo: 1000)
            await alice.close()
            alice = try await line.world.wallet()
            try await alice.wallet.recover()
            _ = try await line.buyer(alice).resumeAll()
            #expect(try await alice.holdings == 1000 - 5 - 1)
            try await line.world.requireSound(alice)
        }
    }

    @Test("a refund whose claim breaks is claimed at the next start", arguments: FaultTests.breaks)
    func refundBreaks(fault: LocalMint.Fault) async throws {
        try await BuyerWorld.run(feePPK: 100) { line in
            var alice = try await line.world.funded(1000)
            line.seller.state.withLock { $0.price = 4 }
            // The pool is there, so that the next swap is the refund's.
            _ = try await line.buyer(alice).pay(line.request()).body.collect(upTo: 100)
            line.seller.script(.refund)
            line.world.api.put(fault, on: "swap")
            #expect(await walletError { _ = try await line.buyer(alice).pay(line.request()) } == .outcomeUnknown)
            try await line.world.requireSound(alice)
            await alice.close()
            alice = try await line.world.wallet()
            try await alice.wallet.recover()
            let resumed = try await line.buyer(alice).resumeAll()
            #expect(resumed.allSatisfy { $0.state == .refunded })
            #expect(try await line.buyer(alice).payments().map(\.state).contains(.refunded))
            #expect(try await line.world.circulating() == alice.holdings + 4)
            try await line.world.requireSound(alice)
        }
    }

    @Test("an answer that breaks off is not paid")
    func breakOff() async throws {
        try await BuyerWorld.run { line in
            let alice = try await line.world.funded(100)
            let buyer = line.buyer(alice)
            line.seller.script(.breakOff)
            let response = try await buyer.pay(line.request())
            #expect(await walletError { _ = try await response.body.collect(upTo: 10_000) } == .answerUnusable)
            #expect(try await record(of: response, buyer).state == .refunded)
            #expect(try await alice.holdings == 100)
            try await line.world.requireSound(alice)
        }
    }

    @Test("coins that were not used come home after their lock, and a payment nobody settles too")
    func lapsed() async throws {
        try await BuyerWorld.run(feePPK: 100) { line in
            let alice = try await line.world.funded(1000)
            let buyer = line.buyer(alice)
            line.seller.script(.serve, .drop, .drop, .drop)
            _ = try await buyer.pay(line.request()).body.collect(upTo: 100)
            #expect(await walletError { _ = try await buyer.pay(line.request()) } == .outcomeUnknown)
            await line.server.stop()
            let before = try #require(try await alice.balance())
            #expect(before.locked > 0 && before.inFlight == 2)
            line.world.time.advance(seconds: 6 * 3600 + 120)
            try await alice.wallet.recover()
            let resumed = try await buyer.resumeAll()
            #expect(resumed.map(\.state) == [.refunded])
            let after = try #require(try await alice.balance())
            #expect(after.locked == 0 && after.inFlight == 0)
            #expect(try await line.world.circulating() == after.available + 2)
            try await line.world.requireSound(alice)
        }
    }

    @Test("where the seller cannot be reached, nothing is held back")
    func unreachable() async throws {
        try await BuyerWorld.run { line in
            let alice = try await line.world.funded(100)
            let buyer = line.buyer(alice)
            _ = try await buyer.pay(line.request()).body.collect(upTo: 100)
            await line.server.stop()
            let held = try await alice.holdings
            let fresh = HTTPClient(eventLoopGroupProvider: .singleton, configuration: HTTPMint.clientConfiguration)
            let again = Buyer(wallet: alice.wallet, client: fresh, configuration: line.configuration)
            // One whose price is known, and so begins with the payment, and one that begins with a question.
            #expect(await walletError { _ = try await again.pay(line.request()) } == .serviceUnreachable)
            #expect(await walletError { _ = try await again.pay(line.request("/other")) } == .serviceUnreachable)
            try await fresh.shutdown()
            #expect(try await alice.holdings == held)
            #expect(try await alice.balance()?.inFlight == 0)
        }
    }

    @Test("bodies go out whole, as bytes and as a stream, with their digest")
    func bodies() async throws {
        try await BuyerWorld.run { line in
            let buyer = line.buyer(try await line.world.funded(100))
            var request = line.request("/s/weather/ask")
            request.method = "POST"
            request.body = .bytes(Array("question".utf8))
            _ = try await buyer.pay(request).body.collect(upTo: 100)
            let pieces = (0..<50).map { Array(repeating: UInt8($0), count: 10_000) }
            request.body = .stream(length: nil, digest: nil) {
                let left = Mutex(pieces[...])
                return AsyncThrowingStream { left.withLock { $0.popFirst() }.map { ByteBuffer(bytes: $0) } }
            }
            _ = try await buyer.pay(request).body.collect(upTo: 100)
            let bodies = line.seller.requests.filter { $0.header("X-Cashu") != nil }.map(\.body)
            #expect(bodies == [Array("question".utf8), Array(pieces.joined())])
            #expect(line.seller.requests.last { $0.body.count == 8 }?.header("content-digest") != nil)
        }
    }

    @Test("many calls at once are each paid once, out of one pool", arguments: [32])
    func parallel(count: Int) async throws {
        try await BuyerWorld.run(feePPK: 100) { line in
            let alice = try await line.world.funded(1000)
            let buyer = line.buyer(alice)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<count {
                    group.addTask {
                        let response = try await buyer.pay(line.request("/s/weather/\(index % 4)"))
                        #expect(response.outcome == .served)
                        _ = try await response.body.collect(upTo: 1000)
                    }
                }
                try await group.waitForAll()
            }
            #expect(line.seller.charges == count)
            #expect(try await buyer.openPayments().isEmpty)
            try await line.world.requireSound(alice)
            // The seller gets all of it.
            let shop = try await line.world.funded(0, "shop")
            let report = try await shop.wallet.redeem(
                lockedProofs: line.seller.accepted,
                at: line.world.url,
                key: line.seller.key
            )
            #expect(report.redeemed.count == line.seller.accepted.count && report.failed.isEmpty)
            #expect(try await line.world.circulating() == alice.holdings + shop.holdings)
        }
    }
}
