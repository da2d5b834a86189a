import CanonicalJSON
import Cryptography
import Encodings
import Gossip
import Market
import Passports
import Receipts
import Records
import SignedDocuments
import Storage
import Synchronization
import TestSupport
import Testing
import TransparencyLog

@testable import Trading

/// A node with an agent that buys.
struct BuyingNode {
    let node: DocumentSigner
    let agent: DocumentSigner

    /// - Parameter byte: of the node's key; the agent's is the next.
    init(_ byte: UInt8) {
        node = Sample.signer(byte)
        agent = Sample.signer(byte + 1)
    }

    static func uuid(_ number: Int) -> String {
        "0f4d2f6e-6f0f-4b8e-9a43-" + String(String(number + 1_000_000_000_000).suffix(12))
    }

    func receipt(
        _ number: Int,
        from seller: UInt8,
        buyer: DIDKey? = nil,
        status: Int = 200,
        amount: UInt64 = 2,
        at: Timestamp = Sample.now
    ) throws -> Receipt {
        let claims = ReceiptClaims(
            id: Self.uuid(number),
            seller: ReceiptParty(did: Sample.signer(seller).did),
            buyer: ReceiptParty(did: buyer ?? agent.did),
            service: "weather",
            method: "GET",
            target: "/today",
            requestDigest: Hashing.sha256([]),
            responseDigest: Hashing.sha256([1]),
            status: status,
            amount: amount,
            unit: "sat",
            paymentDigest: Hashing.sha256([2]),
            dialect: "nut24",
            requestedAt: at,
            respondedAt: at.adding(milliseconds: 100),
            outcome: .served
        )
        return try Receipt.issue(claims, by: Sample.signer(seller), now: at)
    }

    func passport(by issuer: DocumentSigner? = nil) throws -> Passport {
        let from = Sample.now.adding(seconds: -3_600)
        return try Passport.issue(
            PassportClaims(
                id: "urn:uuid:7f2c1c1e-8a6e-4a7e-9b1c-0a9d1d6a3f01",
                agentID: "urn:uuid:00000000-0000-4000-8000-000000000001",
                subject: agent.did,
                name: "planner",
                validFrom: from,
                validUntil: from.adding(seconds: 86_400),
                status: [StatusEntry(purpose: .revocation, listURL: "https://node.example/status/1", index: 7)]
            ),
            by: issuer ?? node,
            now: from
        )
    }

    func rated(
        _ number: Int,
        from seller: UInt8,
        _ outcome: CallOutcome = .good,
        amount: UInt64 = 2,
        passport: Passport? = nil
    ) throws -> RatedReceipt {
        try .sign(
            receipt(number, from: seller, amount: amount),
            outcome,
            passport: passport ?? self.passport(),
            by: agent,
            now: Sample.now
        )
    }
}

/// What a node publishes, made by hand: it may show what no honest node would.
final class Feed: Sendable {
    let buying: BuyingNode
    private let rows = Mutex<[JSONValue]>([])
    /// Of one page.
    let rowsPerPage: Int

    init(_ byte: UInt8, rowsPerPage: Int = 64) {
        buying = BuyingNode(byte)
        self.rowsPerPage = rowsPerPage
    }

    var did: DIDKey { buying.node.did }
    var all: [JSONValue] { rows.withLock { $0 } }

    func show(_ documents: [RatedReceipt]) { show(documents.map { .object($0.json) }) }
    func show(_ json: [JSONValue]) { rows.withLock { $0 += json } }

    /// Buys so many of a seller, numbered from where it is.
    func buy(_ count: Int, from seller: UInt8, _ outcome: CallOutcome = .good) throws {
        let start = all.count
        show(try (0..<count).map { try buying.rated(start + $0, from: seller, outcome) })
    }

    /// Takes back all after the first so many.
    func cut(to count: Int) { rows.withLock { $0 = Array($0.prefix(count)) } }

    func change(_ place: Int, to json: JSONValue) { rows.withLock { $0[place] = json } }

    private static func edge(_ rows: some Sequence<JSONValue>) -> MerkleFrontier {
        var edge = MerkleFrontier()
        for row in rows { edge.append(leaf: MerkleTree.leaf(RatedReceipt.entry(of: row) ?? [])) }
        return edge
    }

    var root: [UInt8] { Self.edge(all).root }

    /// What it tells by gossip now.
    func record(_ sequence: UInt64, at now: Timestamp) throws -> Record {
        let what = PublishedReceipts(
            count: UInt64(all.count),
            root: root,
            from: Sample.now,
            until: Sample.now,
            url: try Sample.url("https://\(did.string.suffix(20).lowercased()).example/market/receipts")
        )
        return try Record.sign(
            what.body,
            of: PublishedReceipts.kind,
            name: PublishedReceipts.name,
            sequence: sequence,
            created: now,
            by: buying.node
        )
    }

    var host: String { "https://\(did.string.suffix(20).lowercased()).example/" }

    func page(from: Int, edge: [JSONValue]? = nil) -> JSONObject {
        let rows = all
        let subtrees = edge ?? Self.edge(rows.prefix(from)).subtrees.map { .string(Hex.encode($0)) }
        return [
            "publisher": .string(did.string), "from": JSONValue(from), "count": JSONValue(rows.count),
            "subtrees": .array(subtrees), "receipts": .array(Array(rows.dropFirst(from).prefix(rowsPerPage))),
        ]
    }
}

/// A node that gathers, with the web that it asks.
final class GatheringNode: Sendable {
    let shelf: Shelf
    let folder: TemporaryFolder
    let node = Sample.signer(1)
    let book: CallBook
    let store: RatingStore
    let gatherer: RatingGatherer
    let web: Web

    /// What was asked, and what answers.
    final class Web: Sendable {
        typealias Answer = @Sendable (Int) async throws -> JSONObject
        private let feeds = Mutex<[String: Answer]>([:])
        private let log = Mutex<[String]>([])
        var asked: [String] { log.withLock { $0 } }
        func put(_ host: String, _ answer: @escaping Answer) { feeds.withLock { $0[host] = answer } }

        func get(_ url: String) async throws -> [UInt8] {
            log.withLock { $0.append(url) }
            let answer = feeds.withLock { feeds in feeds.first { url.hasPrefix($0.key) }?.value }
            let from = try #require(url.split(separator: "=").last.flatMap { Int($0) })
            guard let answer else { throw MarketError(.notRunning, "nobody is there") }
            return try await answer(from).serialized()
        }
    }

    init(
        seeds: [DIDKey],
        on given: (shelf: Shelf, folder: TemporaryFolder)? = nil,
        maximumRows: UInt64 = 2_000,
        store bounds: (perJudge: Int, all: Int) = (2_000, 100_000)
    ) throws {
        let shelf = try given?.shelf ?? Shelf(kinds: PublishedReceipts.kind)
        let folder = try given?.folder ?? TemporaryFolder()
        let store = RatingStore(database: shelf.database, maximumPerJudge: bounds.perJudge, maximumRatings: bounds.all)
        let web = Web()
        book = CallBook(
            database: try Database(
                path: folder.path + "/node.sqlite",
                migrations: CallBook.migrations,
                logger: Sample.logger
            ),
            viewer: node.did,
            seeds: Set(seeds),
            sources: .init(
                calls: { _, _, _, _ in [] },
                listing: { _, _ in nil },
                isOwn: { _ in false },
                gathered: { try await store.calls() }
            ),
            clock: shelf.clock
        )
        gatherer = RatingGatherer(
            store: store,
            calls: book,
            records: shelf.store,
            clock: shelf.clock,
            logger: Sample.logger,
            maximumRows: maximumRows
        ) { url, _ in try await web.get(url) }
        self.shelf = shelf
        self.folder = folder
        self.store = store
        self.web = web
    }

    /// Has a feed tell what it has, and answer for it.
    func hear(_ feed: Feed, _ sequence: UInt64 = 1) async throws {
        try await shelf.keep(feed.record(sequence, at: shelf.now))
        web.put(feed.host) { feed.page(from: $0) }
    }

    func score(_ seller: UInt8) async throws -> Reputation.Score {
        try #require(try await book.standings(of: [Sample.signer(seller).did]).first).score
    }
}
