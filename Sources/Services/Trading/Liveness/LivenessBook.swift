public import Encodings
public import Gossip
public import Market
public import Records
public import SignedDocuments
public import Storage

/// What this node knows of the liveness of listings: its own probes and paid calls, and what others tell ([LIV-5] to [LIV-9]).
public actor LivenessBook {
    /// What is known of one listing, with the latest probes.
    public struct Account: Sendable {
        public var standing: LivenessStanding
        public var probes: [Probe]
    }

    /// One probe that was answered, or was not.
    public struct Probe: Sendable, Hashable {
        public var at: Timestamp
        public var why: ProbeTarget.Why
        public var milliseconds: Int64?
    }

    /// This node's own paid calls of a listing within a time.
    public typealias Calls = @Sendable ([RecordKey], Timestamp) async throws -> [RecordKey: [LivenessResult]]

    /// What others say is read from the records at most that often.
    static let hearingMilliseconds: Int64 = 10_000
    /// Listings that are looked at for what is told to others.
    private static let maximumTold = 500

    private let probes: ProbeStore
    private let records: RecordStore
    private let own: DIDKey
    private let calls: Calls
    private let clock: WallClock
    private var heard: (voices: LivenessVoices, at: Timestamp)?

    public init(cache: Database, records: RecordStore, own: DIDKey, clock: WallClock, calls: @escaping Calls) {
        probes = ProbeStore(database: cache)
        self.records = records
        self.own = own
        self.clock = clock
        self.calls = calls
    }

    /// - Throws: `StorageError`.
    public func standings(of listings: [RecordKey]) async throws -> [RecordKey: LivenessStanding] {
        try await accounts(of: listings).mapValues(\.standing)
    }

    public func accounts(of listings: [RecordKey]) async throws -> [RecordKey: Account] {
        let entries = try await probes.entries(of: listings)
        let now = clock.now()
        let calls = try await calls(listings, now.adding(seconds: -LivenessVerdict.windowSeconds))
        let voices = try await voices(now: now)
        var accounts: [RecordKey: Account] = [:]
        for listing in listings {
            let own = entries[listing] ?? []
            let verdict = LivenessVerdict(own.compactMap(\.result) + (calls[listing] ?? []), now: now)
            accounts[listing] = Account(
                standing: LivenessStanding(own: verdict, others: voices.tally(of: listing, now: now)),
                probes: own.compactMap { entry in
                    entry.why.map { Probe(at: entry.at, why: $0, milliseconds: entry.milliseconds) }
                }
            )
        }
        return accounts
    }

    /// What others say, of the records that count now: those of issuers that are no longer trusted are gone from there.
    private func voices(now: Timestamp) async throws -> LivenessVoices {
        if let heard, (0..<Self.hearingMilliseconds).contains(now.milliseconds(since: heard.at)) { return heard.voices }
        var voices = LivenessVoices(own: own)
        var query = RecordQuery(kind: LivenessReport.kind.name)
        query.count = LivenessVoices.maximumRaters
        while true {
            let page = try await records.records(query)
            for record in page {
                guard let report = try? LivenessReport(record) else { continue }
                voices.hear(report, by: record.author, created: record.created)
            }
            guard page.count == query.count, let last = page.last else { break }
            query.after = ReconciliationItem(
                timestamp: UInt64(clamping: last.created.millisecondsSince1970),
                id: last.id
            )
        }
        heard = (voices, now)
        return voices
    }

    /// What this node's probes showed of late, to be told ([LIV-8]): not what its paid calls did, since where it buys is nobody's
    /// business.
    /// - Returns: nil where nothing is to be told.
    public func report() async throws -> LivenessReport? {
        let now = clock.now()
        let from = now.adding(seconds: -LivenessReport.lifetimeSeconds)
        let listings = try await probes.probed(since: from, most: Self.maximumTold).filter { $0.author != own }
        let entries = try await probes.entries(of: listings)
        let told = listings.compactMap { listing -> LivenessReport.Entry? in
            let verdict = LivenessVerdict((entries[listing] ?? []).compactMap(\.result), now: now)
            guard let last = verdict.last, last > from, last <= now else { return nil }
            return LivenessReport.Entry(
                seller: listing.author,
                service: listing.name,
                state: verdict.state,
                good: verdict.good,
                failed: verdict.failed,
                latencyMilliseconds: verdict.latency.milliseconds(atPercentile: 50),
                last: last
            )
        }
        return LivenessReport(telling: told)
    }
}
