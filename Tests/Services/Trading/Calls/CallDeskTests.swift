import CanonicalJSON
import Cashu
import Encodings
import Market
import Records
import SignedDocuments
import Storage
import Synchronization
import TestSupport
import Testing

@testable import Trading

/// Sellers that do as they are told.
private final class Sellers: CallMarket {
    enum Conduct: Sendable {
        case serves
        /// It gives no quote.
        case refuses
        /// The job ends without anything.
        case deliversNothing
        /// The job goes on until somebody stops it.
        case hangs
    }

    struct State {
        var conduct: [DIDKey: Conduct] = [:]
        var asked: [DIDKey] = []
        /// Jobs by their quotes.
        var jobs: [[UInt8]: String] = [:]
        var begun: [DIDKey] = []
        /// The disk fails once, right after the next job was made.
        var failsAfterBeginning = false
    }

    let state = Mutex(State())
    private let hands: Hands
    private let signers: [DIDKey: DocumentSigner]

    init(_ hands: Hands, _ signers: [DocumentSigner]) {
        self.hands = hands
        self.signers = Dictionary(signers.map { ($0.did, $0) }, uniquingKeysWith: { $1 })
    }

    func mints(in unit: CurrencyUnit) async throws -> [MintURL] { [try MintURL(CallSample.mint)] }

    func quote(for bid: Bid, on call: Signed<OpenCall>) async throws -> Signed<Quote> {
        let conduct = state.withLock { state in
            state.asked.append(bid.bidder)
            return state.conduct[bid.bidder] ?? .serves
        }
        guard conduct != .refuses, let signer = signers[bid.bidder] else {
            throw JobError(.sellerFailed, "it does not stand to its bid")
        }
        return try CallSample.quote(bid, on: call.content, by: signer, now: hands.seconds)
    }

    func job(of quote: Signed<Quote>) async throws -> String? { state.withLock { $0.jobs[quote.digest] } }

    func begin(_ order: JobOrder, _ quote: Signed<Quote>) async throws -> String {
        let name = Hex.encode(quote.digest)
        let fails = state.withLock { state in
            state.begun.append(quote.content.provider)
            state.jobs[quote.digest] = name
            defer { state.failsAfterBeginning = false }
            return state.failsAfterBeginning
        }
        if fails { throw StorageError(.ioFailure, "the disk failed") }
        return name
    }

    func pursue(_ job: String) async throws -> AwardedJob {
        let conduct = state.withLock { state in state.begun.last.flatMap { state.conduct[$0] } ?? .serves }
        switch conduct {
        case .deliversNothing: return .deliveredNothing(why: "it delivered nothing")
        case .hangs: try await Task.sleep(for: .seconds(3_600))
        case .serves, .refuses: break
        }
        return .bound
    }
}

/// A node that calls for bids, with three others that may bid.
private final class Caller: Sendable {
    static let bidders = [Sample.signer(11), Sample.signer(12), Sample.signer(13)]

    let folder: TemporaryFolder
    let hands: Hands
    let sellers: Sellers
    let gossip = Crier()
    let desk: CallDesk
    private let blamed: Blamed

    final class Blamed: Sendable {
        let all = Mutex<[WithheldBid]>([])
    }

    var blames: [DIDKey] { blamed.all.withLock { $0.map(\.commitment.content.bidder) } }

    /// - Parameter past: of the same node, before its restart.
    init(after past: Caller? = nil, allowsLocal: Bool = false, trust: [DIDKey: UInt64] = [:]) throws {
        folder = try past?.folder ?? TemporaryFolder()
        let hands = past?.hands ?? Hands()
        self.hands = hands
        sellers = past?.sellers ?? Sellers(hands, Self.bidders)
        let blamed = Blamed()
        self.blamed = blamed
        desk = CallDesk(
            database: try CallSample.database(folder),
            market: sellers,
            signer: CallSample.own,
            clock: hands.clock,
            allowsLocal: allowsLocal,
            logger: Sample.logger,
            trustPPM: { bidders in
                Dictionary(bidders.map { ($0, trust[$0] ?? 100_000) }, uniquingKeysWith: { $1 })
            },
            blame: { withheld in blamed.all.withLock { $0 += withheld } }
        )
    }

    func start() async throws { try await desk.start(gossip.tell) }

    func order(_ change: (inout CallOrder) -> Void = { _ in }) -> CallOrder {
        var order = CallOrder(words: ["weather"], request: CallSample.request, budget: 20, unit: .sat)
        change(&order)
        return order
    }

    /// Calls, and gives what was told.
    func open() async throws -> Signed<OpenCall> {
        _ = try await desk.open(order())
        return try Signed(gossip.record(OpenCall.kind, by: CallSample.own, at: hands.now))
    }

    func commit(_ bid: Signed<Bid>, by signer: DocumentSigner) async throws {
        let commitment = try Signed<BidCommitment>.sign(
            BidCommitment(to: bid.content, time: hands.seconds),
            by: signer,
            now: hands.now
        )
        try await hear(.commitment(commitment), by: signer)
    }

    func show(_ bid: Signed<Bid>, by signer: DocumentSigner) async throws { try await hear(.bid(bid), by: signer) }

    private func hear(_ news: BidNews, by signer: DocumentSigner) async throws {
        let told = CallNews(kind: BidNews.kind, name: news.name, body: news.body, lifetimeSeconds: 600)
        await desk.hear(try Crier.record(told, by: signer, at: hands.now))
    }

    /// All bid and show, at those prices.
    func bids(_ prices: [UInt64], on call: Signed<OpenCall>) async throws {
        let bids = try zip(Self.bidders, prices).map { ($0, try CallSample.bid($0, on: call, price: $1)) }
        for (signer, bid) in bids { try await commit(bid, by: signer) }
        hands.pass(seconds: 6)
        for (signer, bid) in bids { try await show(bid, by: signer) }
    }

    /// Goes on until the call is over.
    func ended(_ name: String) async throws -> JSONObject {
        for _ in 0..<10_000 {
            await desk.advance()
            let shown = try await desk.shown(name)
            if !["open", "awarding"].contains(shown["state"]?.stringValue) { return shown }
            try await Task.sleep(for: .milliseconds(1))
        }
        throw CallError(.corrupt, "the call does not end")
    }

    static func field(_ name: String, _ shown: JSONObject) -> [String?] {
        (shown["bids"]?.arrayValue ?? []).map { $0[name]?.stringValue }
    }
}

@Suite("Calls for bids") struct CallDeskTests {
    private func bid(of signer: DocumentSigner, in shown: JSONObject) throws -> JSONValue {
        try #require(shown["bids"]?.arrayValue?.first { $0["bidder"]?.stringValue == signer.did.string })
    }

    @Test("[QUO-15] The best is taken, and the next where one does not stand to its bid or delivers nothing: one job")
    func awarded() async throws {
        let caller = try Caller()
        try await caller.start()
        let (first, second, third) = (Caller.bidders[0], Caller.bidders[1], Caller.bidders[2])
        caller.sellers.state.withLock { $0.conduct = [first.did: .refuses, second.did: .deliversNothing] }
        let call = try await caller.open()
        #expect(call.content.words == ["weather"] && call.content.maximumPrice == 20)
        try await caller.bids([10, 12, 19], on: call)
        await caller.desk.advance()
        #expect(caller.sellers.state.withLock { $0.asked }.isEmpty)
        caller.hands.pass(seconds: 4)
        let shown = try await caller.ended(call.name)
        #expect(shown["state"] == "awarded", "\(shown)")
        #expect(caller.sellers.state.withLock { $0.asked } == [first.did, second.did, third.did])
        #expect(caller.sellers.state.withLock { $0.begun } == [second.did, third.did])
        #expect(try bid(of: first, in: shown)["why"]?.stringValue?.contains("stand") == true)
        #expect(try bid(of: second, in: shown)["why"] == "it delivered nothing")
        #expect(try bid(of: third, in: shown)["job"] == shown["job"])
        #expect(caller.blames.isEmpty)
        // Bidders hear that it is over.
        #expect(caller.gossip.news.last?.body == nil && caller.gossip.news.last?.name == call.name)
        let listed = try await caller.desk.list(limit: 10)
        #expect(listed.map { $0["call"]?.stringValue } == [call.name])
    }

    @Test(
        "[QUO-15] [QUO-9] A trusted bidder goes before a cheaper one that is not, and whoever has no trust gets nothing"
    )
    func trusted() async throws {
        let (known, stranger, bad) = (Caller.bidders[0], Caller.bidders[1], Caller.bidders[2])
        let caller = try Caller(trust: [known.did: 1_000_000, bad.did: 0])
        try await caller.start()
        let call = try await caller.open()
        try await caller.bids([18, 2, 1], on: call)
        caller.hands.pass(seconds: 4)
        let shown = try await caller.ended(call.name)
        // 18 ÷ 1 is less than 2 ÷ 0.1.
        #expect(caller.sellers.state.withLock { $0.begun } == [known.did], "\(shown)")
        #expect(try bid(of: known, in: shown)["trust"] == 1_000_000)
        #expect(try bid(of: stranger, in: shown)["job"] == nil)
    }

    @Test("[QUO-15] [REP-16] Who bound itself and shows nothing is told, and nobody where the call was cancelled")
    func withheld() async throws {
        let caller = try Caller()
        try await caller.start()
        let call = try await caller.open()
        let silent = Caller.bidders[0]
        try await caller.commit(try CallSample.bid(silent, on: call, price: 5), by: silent)
        caller.hands.pass(seconds: 10)
        let shown = try await caller.ended(call.name)
        #expect(shown["state"] == "failed" && Caller.field("state", shown) == ["withheld"], "\(shown)")
        #expect(caller.blames == [silent.did])
        let other = try await caller.open()
        try await caller.commit(try CallSample.bid(silent, on: other, price: 5), by: silent)
        try await caller.desk.cancel(other.name)
        caller.hands.pass(seconds: 10)
        #expect(try await caller.ended(other.name)["state"] == "cancelled")
        #expect(caller.blames == [silent.did])
        #expect(await callCode { try await caller.desk.cancel(other.name) } == .callOver)
        #expect(await callCode { try await caller.desk.cancel(String(repeating: "0", count: 64)) } == .unknownCall)
        // One that nobody bid on ends too.
        let alone = try await caller.open()
        caller.hands.pass(seconds: 10)
        #expect(try await caller.ended(alone.name)["note"] == "nobody bid")
    }

    @Test("[QUO-15] A restart while bids are bound or shown loses none, and blames nobody for what it did not hear")
    func restarted() async throws {
        let before = try Caller()
        try await before.start()
        let call = try await before.open()
        let (one, two) = (Caller.bidders[0], Caller.bidders[1])
        let bids = [try CallSample.bid(one, on: call, price: 5), try CallSample.bid(two, on: call, price: 4)]
        try await before.commit(bids[0], by: one)
        try await before.commit(bids[1], by: two)
        await before.desk.stop()
        before.hands.pass(seconds: 6)
        let after = try Caller(after: before)
        try await after.start()
        try await after.show(bids[0], by: one)
        after.hands.pass(seconds: 4)
        let shown = try await after.ended(call.name)
        #expect(shown["state"] == "awarded", "\(shown)")
        #expect(after.sellers.state.withLock { $0.begun } == [one.did])
        #expect(after.blames.isEmpty)
        // A call whose bids hold no longer ends.
        let late = try await after.open()
        try await after.bids([3, 3, 3], on: late)
        await after.desk.stop()
        after.hands.pass(seconds: 1_000)
        let much = try Caller(after: after)
        try await much.start()
        let ended = try await much.ended(late.name)
        #expect(ended["state"] == "failed", "\(ended)")
        #expect(ended["note"]?.stringValue?.contains("holds no longer") == true)
        #expect(much.sellers.state.withLock { $0.begun } == [one.did])
    }

    @Test(
        "[QUO-15] A crash after the quote was accepted makes no second job, and one that is under way is gone on with"
    )
    func once() async throws {
        let caller = try Caller()
        try await caller.start()
        let call = try await caller.open()
        try await caller.bids([5, 6, 7], on: call)
        caller.hands.pass(seconds: 4)
        // The job is made, and the disk fails before the call knows of it.
        caller.sellers.state.withLock { state in
            state.failsAfterBeginning = true
            state.conduct = [Caller.bidders[0].did: .hangs]
        }
        await caller.desk.advance()
        for _ in 0..<10_000 where caller.sellers.state.withLock({ $0.failsAfterBeginning }) {
            try await Task.sleep(for: .milliseconds(1))
        }
        caller.hands.pass(seconds: 6)
        await caller.desk.advance()
        await caller.desk.advance()
        // Two restarts with the job under way.
        await caller.desk.stop()
        var after = try Caller(after: caller)
        try await after.start()
        await after.desk.advance()
        await after.desk.stop()
        after = try Caller(after: after)
        after.sellers.state.withLock { $0.conduct = [:] }
        try await after.start()
        let shown = try await after.ended(call.name)
        #expect(shown["state"] == "awarded", "\(shown)")
        #expect(after.sellers.state.withLock { $0.begun } == [Caller.bidders[0].did])
        #expect(after.sellers.state.withLock { $0.asked } == [Caller.bidders[0].did])
    }

    @Test(
        "[QUO-8] [QUO-15] A bid that comes too early is taken up in its time; copies, strangers' and far-off ones are not"
    )
    func heard() async throws {
        let caller = try Caller()
        try await caller.start()
        let call = try await caller.open()
        let (one, two, three) = (Caller.bidders[0], Caller.bidders[1], Caller.bidders[2])
        let early = try CallSample.bid(one, on: call, price: 5)
        let local = try CallSample.bid(two, on: call, price: 4, node: "http://127.0.0.1:8402")
        try await caller.commit(early, by: one)
        try await caller.commit(local, by: two)
        try await caller.show(early, by: one)
        // Never bound.
        try await caller.show(try CallSample.bid(three, on: call, price: 1), by: three)
        #expect(Caller.field("price", try await caller.desk.shown(call.name)) == [nil, nil])
        caller.hands.pass(seconds: 6)
        try await caller.show(local, by: two)
        try await caller.show(try CallSample.bid(three, on: call, price: 1), by: three)
        await caller.desk.advance()
        let shown = try await caller.desk.shown(call.name)
        #expect(Caller.field("price", shown).compactMap(\.self) == ["5"], "\(shown)")
        #expect(try bid(of: one, in: shown)["price"] == "5")
    }

    @Test("[QUO-16] Calls are bounded, refused where they are none, and forgotten where nobody could be told")
    func bounds() async throws {
        let caller = try Caller()
        #expect(await callCode { _ = try await caller.desk.open(caller.order()) } == .notRunning)
        try await caller.start()
        for change in [
            { (order: inout CallOrder) in order.words = [] }, { $0.words = ["Weather"] }, { $0.bidSeconds = 0 },
            { $0.bidSeconds = 3_601 }, { $0.revealSeconds = 3 }, { $0.deliverWithinSeconds = 0 }, { $0.budget = 0 },
            { $0.request.target = "today" },
        ] {
            #expect(await callCode { _ = try await caller.desk.open(caller.order(change)) } == .invalid)
        }
        caller.gossip.goDown(true)
        await #expect(throws: RecordRefusal.self) { try await caller.desk.open(caller.order()) }
        caller.gossip.goDown(false)
        for _ in 0..<CallDesk.maximumOpen { _ = try await caller.desk.open(caller.order()) }
        #expect(await callCode { _ = try await caller.desk.open(caller.order()) } == .tooMany)
        #expect(try await caller.desk.list(limit: 100).filter { $0["state"] == "failed" }.count == 1)
    }
}
