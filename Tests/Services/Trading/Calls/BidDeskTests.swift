import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Market
import Records
import SignedDocuments
import Storage
import Synchronization
import TestSupport
import Testing

@testable import Trading

/// What a seller sells: at 11 sat a call, in at most 20 seconds.
private final class Shop: BidServices {
    let names = Mutex<[String: Set<String>]>(["weather": ["weather", "today"], "chess": ["chess"]])

    func offer(_ service: String, method: String, target: String) async -> JobOffer? {
        guard names.withLock({ $0[service] }) != nil, target == "/today" else { return nil }
        return JobOffer(
            amount: 11,
            unit: "sat",
            seconds: 20,
            isIdempotent: false,
            modes: [.key],
            arbiters: []
        )
    }

    func words(of service: String) async -> Set<String>? { names.withLock { $0[service] } }
}

/// A node that bids, and buyers that call.
private final class Bidder: Sendable {
    static let buyer = Sample.signer(21)

    let folder: TemporaryFolder
    let hands: Hands
    let gossip = Crier()
    let shop = Shop()
    let database: Database
    let desk: BidDesk
    private let nonce = Mutex<UInt8>(0)

    /// - Parameter past: of the same node, before its restart.
    init(after past: Bidder? = nil, publicURL: String = "https://seller.example") throws {
        folder = try past?.folder ?? TemporaryFolder()
        hands = past?.hands ?? Hands()
        database = try CallSample.database(folder)
        desk = BidDesk(
            database: database,
            services: shop,
            signer: CallSample.own,
            publicURL: publicURL,
            acceptedMints: [try MintURL(CallSample.mint)],
            lockKey: { try CallSample.lockKey().compressed },
            clock: hands.clock,
            logger: Sample.logger
        )
    }

    func start(standing: [DIDKey: Int] = [:]) async {
        await desk.start(gossip.tell) { standing[$0] ?? 0 }
    }

    func rule(
        _ service: String = "weather",
        floor: UInt64 = 3,
        capacity: Int = 4,
        reputation: Int = 0
    ) throws -> BidRule {
        try #require(
            BidRule(service: service, floor: floor, unit: "sat", capacity: capacity, reputation: reputation)
        )
    }

    func call(
        by buyer: DocumentSigner = Bidder.buyer,
        _ change: (inout OpenCall) -> Void = { _ in }
    ) throws -> Signed<OpenCall> {
        let number = nonce.withLock { nonce in
            nonce += 1
            return nonce
        }
        var call = OpenCall(
            buyer: buyer.did,
            words: ["weather"],
            request: CallSample.request,
            maximumPrice: 20,
            unit: .sat,
            mints: [try MintURL("https://other.example"), try MintURL(CallSample.mint)],
            escrow: [.key],
            deliverWithinSeconds: 60,
            commitUntil: hands.seconds + 5,
            revealUntil: hands.seconds + 9,
            nonce: [UInt8](repeating: number, count: 16),
            time: hands.seconds
        )
        change(&call)
        return try .sign(call, by: buyer, now: hands.now)
    }

    func hear(_ call: Signed<OpenCall>, by buyer: DocumentSigner = Bidder.buyer, isOver: Bool = false) async throws {
        let body = isOver ? nil : call.document
        let news = CallNews(kind: OpenCall.kind, name: call.name, body: body, lifetimeSeconds: 600)
        await desk.hear(try Crier.record(news, by: buyer, at: hands.now))
    }

    /// What was told of a call: the commitment, and the bid once it is shown.
    func told(_ call: Signed<OpenCall>) throws -> (commitment: Signed<BidCommitment>?, bid: Signed<Bid>?) {
        var told: (commitment: Signed<BidCommitment>?, bid: Signed<Bid>?) = (nil, nil)
        for news in gossip.news where news.name.hasPrefix(call.name) {
            switch try BidNews(Crier.record(news, by: CallSample.own, at: hands.now)) {
            case .commitment(let said): told.commitment = said
            case .bid(let said): told.bid = said
            }
        }
        return told
    }

    /// Whether the node binds itself to a bid on a call.
    func binds(_ call: Signed<OpenCall>, by buyer: DocumentSigner = Bidder.buyer) async throws -> Bool {
        try await hear(call, by: buyer)
        return try told(call).commitment != nil
    }

    /// The body of a request for the quote.
    func ask(
        _ call: Signed<OpenCall>,
        by buyer: DocumentSigner = Bidder.buyer,
        request: JobRequest = CallSample.request,
        most: UInt64 = 20
    ) throws -> JSONObject {
        let wanted = Wanted(
            buyer: buyer.did,
            service: "weather",
            request: request.digest,
            maximumPrice: most,
            unit: .sat,
            mints: [try MintURL(CallSample.mint)],
            escrow: [.key],
            nonce: [UInt8](repeating: 1, count: 16),
            time: hands.seconds
        )
        let asked = QuoteRequest(wanted, deadline: hands.seconds + 200)
        let ask = try Signed<QuoteRequest>.sign(asked, by: buyer, now: hands.now)
        return [
            "ask": .object(ask.document), "call": .string(call.name), "method": .string(request.method),
            "target": .string(request.target),
        ]
    }

    func quote(_ body: JSONObject) async throws -> Signed<Quote> {
        try Signed(document: try await desk.quote(body).object("quote"))
    }
}

@Suite("Bids by rule") struct BidDeskTests {
    @Test("[QUO-12] [QUO-13] A call that a service fits is bid on by rule: bound at once, shown when all are in")
    func bids() async throws {
        let bidder = try Bidder()
        try await bidder.desk.add(bidder.rule())
        await bidder.start()
        let call = try bidder.call()
        try await bidder.hear(call)
        try await bidder.hear(call)
        await bidder.desk.advance()
        let bound = try #require(try bidder.told(call).commitment)
        #expect(bidder.gossip.news.count == 1)
        bidder.hands.pass(seconds: 5)
        await bidder.desk.advance()
        #expect(try bidder.told(call).bid == nil)
        bidder.hands.pass(seconds: 1)
        await bidder.desk.advance()
        let bid = try #require(try bidder.told(call).bid?.content)
        #expect(bid.commitment == bound.content.commitment)
        #expect(bid.price == 3 && bid.service == "weather" && bid.node.text == "https://seller.example")
        #expect(bid.deliverWithinSeconds == 25 && bid.mint.string == CallSample.mint)
        // The buyer's book takes it as it is.
        var book = BidBook(call)
        try book.commit(bound, now: call.content.commitUntil)
        try book.reveal(try #require(try bidder.told(call).bid), now: bidder.hands.seconds)
        await bidder.desk.advance()
        #expect(bidder.gossip.news.count == 2)
        #expect(try await bidder.desk.bids(limit: 5).map { $0["state"]?.stringValue } == ["shown"])
    }

    @Test("[QUO-12] What does not fit is not bid on: words, mint, unit, mode, price, request, time, own calls")
    func unfit() async throws {
        let bidder = try Bidder()
        try await bidder.desk.add(bidder.rule())
        await bidder.start()
        let mint = try MintURL("https://other.example")
        for change in [
            { (call: inout OpenCall) in call.words = ["weather", "tomorrow"] }, { $0.mints = [mint] },
            { $0.unit = .usd }, { $0.escrow = [.stream] }, { $0.maximumPrice = 2 }, { $0.target = "/tomorrow" },
            {
                $0.time += 31
                $0.commitUntil += 31
                $0.revealUntil += 31
            },
        ] {
            #expect(try await !bidder.binds(bidder.call(change)))
        }
        let late = try bidder.call()
        bidder.hands.pass(seconds: 5)
        #expect(try await !bidder.binds(late))
        #expect(try await !bidder.binds(bidder.call(by: CallSample.own), by: CallSample.own))
        #expect(try await bidder.binds(bidder.call()))
        // One with a signature of another's inside.
        let forged = try bidder.call()
        var document = forged.document
        document["proof"] = try bidder.call().document["proof"]
        await bidder.desk.hear(
            try Crier.record(
                CallNews(kind: OpenCall.kind, name: forged.name, body: document, lifetimeSeconds: 600),
                by: Bidder.buyer,
                at: bidder.hands.now
            )
        )
        #expect(try bidder.told(forged).commitment == nil)
    }

    @Test("[QUO-12] [QUO-16] Bids stay within the capacity, half of it for one buyer, and cost more the more is open")
    func capacity() async throws {
        let bidder = try Bidder()
        try await bidder.desk.add(bidder.rule(capacity: 4))
        await bidder.start()
        let (one, two) = (Sample.signer(21), Sample.signer(22))
        let calls = try [one, one, one, two, two, two].map { ($0, try bidder.call(by: $0)) }
        var bound: [Bool] = []
        for (buyer, call) in calls { bound.append(try await bidder.binds(call, by: buyer)) }
        #expect(bound == [true, true, false, true, true, false])
        bidder.hands.pass(seconds: 6)
        await bidder.desk.advance()
        let prices = try calls.compactMap { try bidder.told($0.1).bid?.content.price }
        #expect(prices == [3, 5, 7, 9])
        #expect(try await bidder.desk.rules().first?["openBids"] == 4)
        // A call that was taken back, and one whose bids hold no longer, leave room; only its own buyer takes a call back.
        try await bidder.hear(calls[0].1, by: two, isOver: true)
        #expect(try await bidder.desk.rules().first?["openBids"] == 4)
        try await bidder.hear(calls[0].1, by: one, isOver: true)
        #expect(try await bidder.desk.rules().first?["openBids"] == 3)
        #expect(try await bidder.binds(bidder.call(by: one), by: one))
        bidder.hands.pass(seconds: 200)
        #expect(try await bidder.desk.rules().first?["openBids"] == 0)
        // Open jobs of the service count as well.
        try await bidder.database.write { connection in
            for number in 0..<4 {
                try connection.execute(
                    """
                    INSERT INTO jobs (job, side, quote_digest, sequence, quote, acceptance, state, is_open, created_at, changed_at)
                    VALUES (?1, 'sold', ?1, 0, '{"service":"weather"}', '', '', 1, 0, 0)
                    """,
                    .blob([UInt8](repeating: UInt8(number), count: 32))
                )
            }
        }
        #expect(try await bidder.desk.rules().first?["openJobs"] == 4)
        #expect(try await !bidder.binds(bidder.call(by: one), by: one))
    }

    @Test("[QUO-12] A buyer that this node thinks less of than the rule asks for gets no bid")
    func reputation() async throws {
        let bidder = try Bidder()
        try await bidder.desk.add(bidder.rule(reputation: 20))
        let (good, bad) = (Sample.signer(21), Sample.signer(22))
        await bidder.start(standing: [good.did: 20, bad.did: 19])
        #expect(try await bidder.binds(bidder.call(by: good), by: good))
        #expect(try await !bidder.binds(bidder.call(by: bad), by: bad))
        #expect(try await !bidder.binds(bidder.call(by: Sample.signer(23)), by: Sample.signer(23)))
    }

    @Test(
        "[QUO-13] A bid is shown after a restart too, tried again where the network is away, and dropped where it is late"
    )
    func restarted() async throws {
        let before = try Bidder()
        try await before.desk.add(before.rule())
        await before.start()
        let (shown, late, lost) = (
            try before.call(),
            try before.call { ($0.commitUntil, $0.revealUntil) = ($0.commitUntil + 1, $0.revealUntil + 1) },
            try before.call(by: Sample.signer(22))
        )
        #expect(try await before.binds(shown))
        #expect(try await before.binds(late))
        before.gossip.goDown(true)
        #expect(try await !before.binds(lost, by: Sample.signer(22)))
        await before.desk.stop()
        let after = try Bidder(after: before)
        await after.start()
        // What nobody had heard of is bound now, and what was bound is shown in its time.
        await after.desk.advance()
        #expect(try after.told(lost).commitment != nil && after.told(shown).commitment == nil)
        after.hands.pass(seconds: 6)
        after.gossip.goDown(true)
        await after.desk.advance()
        after.gossip.goDown(false)
        await after.desk.advance()
        #expect(try after.told(shown).bid != nil && after.told(lost).bid != nil && after.told(late).bid == nil)
        after.hands.pass(seconds: 5)
        await after.desk.advance()
        #expect(try after.told(late).bid == nil)
        let states = try await after.desk.bids(limit: 5).map { $0["state"]?.stringValue }
        #expect(states.sorted { $0 ?? "" < $1 ?? "" } == ["dropped", "shown", "shown"])
    }

    @Test(
        "[QUO-14] A bid is honoured once, at its price, for its buyer and request, for a minute after it was to be shown"
    )
    func honoured() async throws {
        let bidder = try Bidder()
        try await bidder.desk.add(bidder.rule())
        await bidder.start()
        let (call, late) = (try bidder.call(), try bidder.call())
        #expect(try await bidder.binds(call))
        #expect(try await bidder.binds(late))
        let hasty = try bidder.ask(call)
        #expect(await callCode { _ = try await bidder.desk.quote(hasty) } == .unknownBid)
        bidder.hands.pass(seconds: 6)
        await bidder.desk.advance()
        for wrong in [
            try bidder.ask(call, by: Sample.signer(22)), try bidder.ask(call, most: 2),
            try bidder.ask(
                call,
                request: JobRequest(method: "GET", target: "/today", contentType: nil, body: [1])
            ), try bidder.ask(try bidder.call()),
        ] {
            #expect(await callCode { _ = try await bidder.desk.quote(wrong) } == .unknownBid)
        }
        let quote = try await bidder.quote(bidder.ask(call))
        #expect(quote.content.price == 3 && quote.content.calls == 1 && quote.content.deliverWithinSeconds == 25)
        #expect(quote.content.request == CallSample.request.digest && quote.content.buyer == Bidder.buyer.did)
        #expect(try await bidder.desk.isQuote(quote.digest))
        #expect(try await !bidder.desk.isQuote(call.digest))
        // The same while it can be accepted, also where the call is over, and then none.
        try await bidder.hear(call, isOver: true)
        bidder.hands.pass(seconds: 30)
        #expect(try await bidder.quote(bidder.ask(call)) == quote)
        #expect(try await bidder.desk.rules().first?["openBids"] == 2)
        bidder.hands.pass(seconds: 33)
        #expect(await callCode { _ = try await bidder.desk.quote(try bidder.ask(call)) } == .bidOver)
        // 6 + 30 + 33 are the 9 and 60 of the other one.
        #expect(try await bidder.quote(bidder.ask(late)).content.price == 5)
        let third = try bidder.call()
        #expect(try await bidder.binds(third))
        bidder.hands.pass(seconds: 6)
        await bidder.desk.advance()
        bidder.hands.pass(seconds: 64)
        #expect(await callCode { _ = try await bidder.desk.quote(try bidder.ask(third)) } == .bidOver)
    }

    @Test("[QUO-12] [QUO-16] Rules are one for a service that is sold by escrow, bounded, and kept over a restart")
    func rules() async throws {
        let bidder = try Bidder()
        try await bidder.desk.add(bidder.rule())
        #expect(await callCode { try await bidder.desk.add(bidder.rule(floor: 4)) } == .ruleExists)
        try await bidder.desk.add(bidder.rule(floor: 4), replaces: true)
        #expect(await callCode { try await bidder.desk.add(bidder.rule("poems")) } == .notSold)
        #expect(await callCode { try await bidder.desk.remove("chess") } == .unknownRule)
        let again = try Bidder(after: bidder)
        let kept = try await again.desk.rules()
        #expect(kept.map { $0["floor"]?.stringValue } == ["4"])
        try await again.desk.remove("weather")
        await again.start()
        #expect(try await !again.binds(again.call()))
        let names = (0..<BidDesk.maximumRules).map { "s\($0)" }
        again.shop.names.withLock { known in
            for name in names { known[name] = [] }
        }
        for name in names { try await again.desk.add(again.rule(name)) }
        #expect(await callCode { try await again.desk.add(again.rule("chess")) } == .tooManyRules)
        // A node that others can't be told of does not bid.
        let hidden = try Bidder(publicURL: "http://seller.example")
        #expect(await callCode { try await hidden.desk.add(hidden.rule()) } == .notSold)
    }
}
