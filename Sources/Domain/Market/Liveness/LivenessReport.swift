public import CanonicalJSON
public import Encodings
public import Records
public import SignedDocuments

/// What a node's own probes and calls showed of listings, told to others: the body of a gossip record of the kind `liveness`
/// ([LIV-8]). A node has one record of it, in the place of the one before.
public struct LivenessReport: Sendable, Hashable {
    /// What is told of one listing.
    public struct Entry: Sendable, Hashable {
        public var seller: DIDKey
        /// The listing's name.
        public var service: String
        /// `alive` or `dead`: what is not known is not told.
        public var state: LivenessState
        public var good: Int
        public var failed: Int
        /// The median of the good ones.
        public var latencyMilliseconds: Int64?
        public var last: Timestamp

        public init(
            seller: DIDKey,
            service: String,
            state: LivenessState,
            good: Int,
            failed: Int,
            latencyMilliseconds: Int64? = nil,
            last: Timestamp
        ) {
            self.seller = seller
            self.service = service
            self.state = state
            self.good = good
            self.failed = failed
            self.latencyMilliseconds = latencyMilliseconds
            self.last = last
        }
    }

    public static let maximumEntries = 96
    public static let maximumBodyBytes = 24 * 1_024
    public static let lifetimeSeconds: Int64 = 6 * 3_600
    static let maximumCount: Int64 = 1_000

    /// The name of each node's one record.
    public static let name = "results"

    /// Only issuers that the receiver trusts have a voice: a passport is cheap to have many of.
    public static let kind = RecordKind(
        "liveness",
        maximumBodyBytes: maximumBodyBytes,
        maximumLifetimeSeconds: lifetimeSeconds,
        authors: .issuers,
        recordsPerAuthor: 1,
        totalBytes: 8 * 1_024 * 1_024,
        checkBody: { (body, record) throws(RecordRefusal) in
            guard record.key.name == Self.name else {
                throw ListingFields.refuse("name", "is \(Self.name) in a record of results")
            }
            let report = try LivenessReport(body)
            for entry in report.entries {
                guard entry.last <= record.created else {
                    throw ListingFields.refuse("last", "is not after the record was made")
                }
                guard entry.seller != record.author else {
                    throw ListingFields.refuse("seller", "is another than who tells of it")
                }
            }
        }
    )

    public private(set) var entries: [Entry]

    /// The latest that fit.
    /// - Returns: nil where nothing is to be told.
    public init?(telling entries: [Entry]) {
        var seen: Set<Place> = []
        let told = entries.filter { $0.state != .unknown }.sorted { $0.last > $1.last }
            .filter { seen.insert(Place($0.seller, $0.service)).inserted }
        guard !told.isEmpty else { return nil }
        self.entries = told.prefix(Self.maximumEntries).map { entry in
            var entry = entry
            entry.good = min(max(0, entry.good), Int(Self.maximumCount))
            entry.failed = min(max(0, entry.failed), Int(Self.maximumCount))
            // As it is written: whole seconds.
            entry.last = Timestamp(secondsSince1970: entry.last.secondsSince1970)
            return entry
        }
    }

    /// What it says of each listing, without figures: where that is another, others should hear of it soon.
    public var states: [RecordKey: LivenessState] {
        Dictionary(
            entries.map {
                (RecordKey(author: $0.seller, kind: Listing.kind.name, name: $0.service), $0.state)
            },
            uniquingKeysWith: { $1 }
        )
    }

    /// - Throws: `RecordRefusal` with `.malformed`.
    public init(_ record: Record) throws(RecordRefusal) {
        guard record.key.kind == Self.kind.name, let body = record.body else {
            throw RecordRefusal(.malformed, "the record tells no results")
        }
        try self.init(body)
    }

    /// Reads a body strictly. Members of it that are not known are left alone; entries have no others than those known.
    public init(_ body: JSONObject) throws(RecordRefusal) {
        let fields = try ListingFields(body)
        var entries: [Entry] = []
        for entry in try fields.objects("results", atMost: Self.maximumEntries, known: Self.members) {
            entries.append(try Self.entry(entry))
        }
        guard !entries.isEmpty else { throw ListingFields.refuse("results", "is missing") }
        guard Set(entries.map { Place($0.seller, $0.service) }).count == entries.count else {
            throw ListingFields.refuse("results", "tells of a listing twice")
        }
        self.entries = entries
    }

    private static let members: Set<String> = [
        "seller", "service", "state", "ok", "failed", "latencyMilliseconds", "last",
    ]

    private struct Place: Hashable {
        let seller: DIDKey
        let service: String

        init(_ seller: DIDKey, _ service: String) {
            self.seller = seller
            self.service = service
        }
    }

    private static func entry(_ fields: ListingFields) throws(RecordRefusal) -> Entry {
        func refuse(_ name: String, _ what: String) -> RecordRefusal { ListingFields.refuse(fields.path + name, what) }
        guard let seller = try fields.did("seller") else { throw refuse("seller", "is missing") }
        guard let service = fields.object["service"]?.stringValue, Listing.isName(service) else {
            throw refuse("service", "is the name of a listing")
        }
        guard let state = fields.object["state"]?.stringValue.flatMap({ LivenessState(rawValue: $0) }),
            state != .unknown
        else { throw refuse("state", "is alive or dead") }
        let good = try fields.required(try fields.number("ok", in: 0...maximumCount), "ok")
        let failed = try fields.required(try fields.number("failed", in: 0...maximumCount), "failed")
        guard state == .alive ? good > 0 : failed > 0 else {
            throw refuse("state", "is what the results show")
        }
        let last = try fields.second("last")
        return Entry(
            seller: seller,
            service: service,
            state: state,
            good: Int(good),
            failed: Int(failed),
            latencyMilliseconds: try fields.number(
                "latencyMilliseconds",
                in: 0...LatencyHistogram.maximumMilliseconds
            ),
            last: last
        )
    }

    public var body: JSONObject {
        [
            "results": .array(
                entries.map { entry in
                    var json: JSONObject = [
                        "seller": .string(entry.seller.string), "service": .string(entry.service),
                        "state": .string(entry.state.rawValue), "ok": JSONValue(entry.good),
                        "failed": JSONValue(entry.failed), "last": .string(entry.last.rfc3339),
                    ]
                    json["latencyMilliseconds"] = entry.latencyMilliseconds.map { .integer($0) }
                    return .object(json)
                }
            )
        ]
    }
}
