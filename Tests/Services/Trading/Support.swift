import CanonicalJSON
import Cryptography
import Encodings
import Gossip
import Logging
import Market
import Passports
import Records
import SignedDocuments
import Storage
import Synchronization
import TestSupport
import Testing

@testable import Trading

enum Sample {
    static let now = Timestamp(secondsSince1970: 1_795_219_200)
    static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    static let issuer = signer(200)

    /// A seed of 32 bytes always makes a key.
    static func signer(_ byte: UInt8) -> DocumentSigner {
        DocumentSigner((try? Ed25519.PrivateKey(seed: [UInt8](repeating: byte, count: 32))) ?? Ed25519.PrivateKey())
    }

    static func url(_ text: String = "https://node.example/s/weather") throws -> ListingURL {
        try #require(ListingURL(text))
    }

    static func listing(
        _ description: String = "Weather of today",
        amount: UInt64 = 2,
        url text: String = "https://node.example/s/weather",
        _ change: (inout Listing) -> Void = { _ in }
    ) throws -> Listing {
        var listing = Listing(urls: [try url(text)], prices: [Listing.Price(amount: amount)])
        listing.description = description
        listing.dialects = ["cashu"]
        change(&listing)
        return listing
    }

    static func record(
        _ listing: Listing,
        name: String = "weather",
        sequence: UInt64 = 1,
        created: Timestamp = now,
        lifetimeSeconds: Int64 = 86_400,
        by signer: DocumentSigner = signer(1)
    ) throws -> Record {
        try .sign(
            listing.body,
            of: Listing.kind,
            name: name,
            sequence: sequence,
            created: created,
            lifetimeSeconds: lifetimeSeconds,
            by: signer
        )
    }

    static func tombstone(
        name: String = "weather",
        sequence: UInt64,
        created: Timestamp = now,
        by signer: DocumentSigner = signer(1)
    ) throws -> Record {
        try .tombstone(of: Listing.kind, name: name, sequence: sequence, created: created, by: signer)
    }

    static func passport(of signer: DocumentSigner, from: Timestamp = now) throws -> Passport {
        try Passport.issue(
            PassportClaims(
                id: "urn:uuid:7f2c1c1e-8a6e-4a7e-9b1c-0a9d1d6a3f01",
                agentID: "urn:uuid:00000000-0000-4000-8000-000000000001",
                subject: signer.did,
                name: "planner",
                validFrom: from,
                validUntil: from.adding(seconds: 86_400),
                status: [StatusEntry(purpose: .revocation, listURL: "https://node.example/status/1", index: 7)]
            ),
            by: issuer,
            now: from
        )
    }
}

/// A store of records and the index over it, as a node has them, with a clock of the test's own.
final class Shelf: Sendable {
    let folder: TemporaryFolder
    let database: Database
    let store: RecordStore
    let index: ListingIndex
    let clock: WallClock

    init(
        kinds: RecordKind...,
        allowsLocal: Bool = false,
        folder given: TemporaryFolder? = nil
    ) throws {
        let folder = try given ?? TemporaryFolder()
        self.folder = folder
        database = try Database(
            path: folder.path + "/cache.sqlite",
            migrations: RecordStore.migrations + ListingIndex.migrations + Prober.migrations
                + RatingStore.migrations,
            logger: Sample.logger,
            readers: 2,
            isRebuildable: true
        )
        let hands = Hands()
        clock = WallClock { hands.now }
        self.hands = hands
        store = RecordStore(
            database: database,
            kinds: RecordKinds(kinds.isEmpty ? [Listing.kind] : kinds),
            clock: clock
        )
        index = ListingIndex(database: database, clock: clock, allowsLocal: allowsLocal)
    }

    private let hands: Hands

    var now: Timestamp { hands.now }

    func pass(seconds: Int64) { hands.pass(seconds: seconds) }

    /// Keeps records of issuers that are trusted.
    @discardableResult
    func keep(_ records: Record...) async throws -> [RecordRefusal.Code?] {
        try await store.insert(records.map { .init(RecordEnvelope(record: $0), .issuer) }).map { $0?.code }
    }

    /// What a search finds, as author and name.
    func found(_ text: String = "", _ change: (inout ListingQuery) -> Void = { _ in }) async throws -> [RecordKey] {
        var query = ListingQuery(text)
        query.count = 100
        change(&query)
        return try await index.search(query).listings.map(\.record.key)
    }

    /// The names that a search finds.
    func names(_ text: String = "", _ change: (inout ListingQuery) -> Void = { _ in }) async throws -> [String] {
        try await found(text, change).map(\.name)
    }

    private final class Hands: Sendable {
        private let time = Mutex(Sample.now)
        var now: Timestamp { time.withLock { $0 } }
        func pass(seconds: Int64) { time.withLock { $0 = $0.adding(seconds: seconds) } }
    }
}

/// The code of what a body throws, or nil.
func code(_ body: () async throws -> Void) async -> MarketError.Code? {
    do {
        try await body()
        return nil
    } catch let error as MarketError {
        return error.code
    } catch {
        Issue.record("another error: \(error)")
        return nil
    }
}
