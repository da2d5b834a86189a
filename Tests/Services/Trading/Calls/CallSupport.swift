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

/// A clock that the test sets forward.
final class Hands: Sendable {
    private let time = Mutex(Sample.now)
    var now: Timestamp { time.withLock { $0 } }
    var seconds: UInt64 { UInt64(now.secondsSince1970) }
    var clock: WallClock { WallClock { self.now } }
    func pass(seconds: Int64) { time.withLock { $0 = $0.adding(seconds: seconds) } }
}

/// What desks have told, as records of their node's own.
final class Crier: Sendable {
    private let told = Mutex<[CallNews]>([])
    private let isDown = Mutex(false)

    var news: [CallNews] { told.withLock { $0 } }
    func goDown(_ isDown: Bool) { self.isDown.withLock { $0 = isDown } }

    var tell: CallNews.Tell {
        { [self] news in
            if isDown.withLock({ $0 }) { throw RecordRefusal(.unavailable, "nobody is there") }
            told.withLock { $0.append(news) }
        }
    }

    /// The latest of a kind and name's ending, as its author's record.
    func record(_ kind: RecordKind, _ ending: String = "", by signer: DocumentSigner, at now: Timestamp) throws
        -> Record
    {
        let news = try #require(news.last { $0.kind.name == kind.name && $0.name.hasSuffix(ending) })
        return try Self.record(news, by: signer, at: now)
    }

    static func record(_ news: CallNews, by signer: DocumentSigner, at now: Timestamp) throws -> Record {
        let sequence = UInt64(now.millisecondsSince1970)
        guard let body = news.body else {
            return try .tombstone(of: news.kind, name: news.name, sequence: sequence, created: now, by: signer)
        }
        return try .sign(
            body,
            of: news.kind,
            name: news.name,
            sequence: sequence,
            created: now,
            lifetimeSeconds: news.lifetimeSeconds,
            by: signer
        )
    }
}

enum CallSample {
    static let mint = "https://mint.example"
    static let request = JobRequest(method: "GET", target: "/today", contentType: nil, body: [])
    /// The node whose calls or bids are looked at.
    static let own = Sample.signer(1)

    static func database(_ folder: TemporaryFolder) throws -> Database {
        try Database(
            path: folder.path + "/node.sqlite",
            migrations: JobTables.migrations + CallTables.migrations,
            logger: Sample.logger
        )
    }

    static func bid(
        _ signer: DocumentSigner,
        on call: Signed<OpenCall>,
        price: UInt64,
        node: String = "https://seller.example"
    ) throws -> Signed<Bid> {
        let bid = Bid(
            bidder: signer.did,
            call: call.digest,
            service: "weather",
            node: try #require(ListingURL(node)),
            price: price,
            deliverWithinSeconds: 30,
            mint: try MintURL(mint),
            mode: .key,
            salt: [UInt8](repeating: 7, count: 32),
            time: call.content.time
        )
        return try .sign(bid, by: signer, now: Sample.now)
    }

    static func quote(_ bid: Bid, on call: OpenCall, by signer: DocumentSigner, now: UInt64) throws -> Signed<Quote> {
        var quote = Quote(
            provider: signer.did,
            buyer: call.buyer,
            service: bid.service,
            price: bid.price,
            unit: call.unit,
            mint: bid.mint,
            mode: .key,
            deliverWithinSeconds: bid.deliverWithinSeconds,
            lockSeconds: bid.deliverWithinSeconds + 900,
            lockKey: try lockKey(),
            validUntil: now + 60,
            nonce: [UInt8](repeating: 8, count: 16),
            time: now
        )
        quote.request = call.request
        return try .sign(quote, by: signer, now: Sample.now)
    }

    static func lockKey() throws -> Secp256k1.Point {
        Secp256k1.Point(multiplyingGeneratorBy: try Secp256k1.Scalar(bytes: [UInt8](repeating: 2, count: 32)))
    }
}

/// The code of what a body throws, or nil.
func callCode(_ body: () async throws -> Void) async -> CallError.Code? {
    do {
        try await body()
        return nil
    } catch let error as CallError {
        return error.code
    } catch {
        Issue.record("another error: \(error)")
        return nil
    }
}
