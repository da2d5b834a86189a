public import CanonicalJSON
internal import Encodings
public import Records
public import SignedDocuments

/// What a seller says of a service that it sells: the body of a gossip record of the kind `listing` (`Specs/listing.md`). The
/// record's name is the service's, so that a seller has one listing of a name; two sellers may use the same one.
public struct Listing: Sendable, Equatable {
    /// The price of the calls to some paths.
    public struct Price: Sendable, Equatable {
        /// Upper-case; empty where any method is meant.
        public var methods: [String]
        /// Under the listing's URLs, as `/*` or `/today`.
        public var path: String
        /// The most that one ``per`` costs, in whole parts of `unit`; 0 is free.
        public var amount: UInt64
        /// The least that it costs, where the price goes by measure.
        public var from: UInt64?
        /// `sat`, `usd` (cents) …
        public var unit: String
        /// What the amount is for: `call`, `second` …
        public var per: String

        public init(
            methods: [String] = [],
            path: String = "/*",
            amount: UInt64,
            from: UInt64? = nil,
            unit: String = "sat",
            per: String = "call"
        ) {
            self.methods = methods
            self.path = path
            self.amount = amount
            self.from = from
            self.unit = unit
            self.per = per
        }
    }

    /// What the seller promises of a call.
    public struct Promise: Sendable, Equatable {
        /// So many of a hundred calls are answered within ``latencyMilliseconds``; both or neither.
        public var percentile: Int?
        public var latencyMilliseconds: Int64?
        /// Of a million seconds.
        public var uptimePPM: Int64?
        /// Of a million calls, those that fail at most.
        public var errorsPPM: Int64?
        /// After which a call has failed.
        public var deadlineMilliseconds: Int64?
        /// What the seller gives back by itself where a call breaks the promise; nil: nothing.
        public var refunds: SLARefunds?

        public init() {}

        var isEmpty: Bool { self == Promise() }
    }

    /// Whom the service serves.
    public struct Callers: Sendable, Equatable {
        /// Whose passports count.
        public var issuers: [DIDKey]
        /// What the passport must name.
        public var capability: String?

        public init(issuers: [DIDKey], capability: String? = nil) {
            self.issuers = issuers
            self.capability = capability
        }
    }

    /// What backs the promise ([BND-8]).
    public struct Bond: Sendable, Equatable {
        public var amount: UInt64
        public var unit: String
        public var mint: ListingURL
        /// Who has the money and pays out of it; nil where that is not said.
        public var keeper: Keeper?

        /// Whoever keeps a bond, and under which name.
        public struct Keeper: Sendable, Equatable {
            public var did: DIDKey
            /// Scheme, host and port of its node.
            public var at: ListingURL
            /// ``BondTerms/name(of:)``, 32 bytes.
            public var bond: [UInt8]

            public init(did: DIDKey, at: ListingURL, bond: [UInt8]) {
                self.did = did
                self.at = at
                self.bond = bond
            }
        }

        public init(amount: UInt64, unit: String, mint: ListingURL, keeper: Keeper? = nil) {
            self.amount = amount
            self.unit = unit
            self.mint = mint
            self.keeper = keeper
        }
    }

    /// How money can be held until a job is done.
    public enum Escrow: String, Sendable, CaseIterable {
        /// The answer's key against the ecash.
        case key
        /// Two of payer, provider and arbiter.
        case arbiter
        /// Piece by piece.
        case stream
    }

    /// For people, one line.
    public var title: String?
    public var description: String?
    public var tags: [String] = []
    /// Where it is sold: the bases that the prices' paths stand under.
    public var urls: [ListingURL]
    public var prices: [Price]
    /// The ways of paying that a 402 of the service offers, by the names of `Specs/listing.md`.
    public var dialects: [String] = []
    /// Whose ecash is taken.
    public var mints: [ListingURL] = []
    /// JSON Schemas of what a call is given and answers.
    public var input: JSONObject?
    public var output: JSONObject?
    public var promise: Promise?
    /// nil: anybody who pays.
    public var callers: Callers?
    /// A call may be repeated without harm.
    public var isIdempotent = false
    public var escrow: [Escrow] = []
    public var bond: Bond?
    public var arbiters: [DIDKey] = []

    public init(urls: [ListingURL], prices: [Price]) {
        self.urls = urls
        self.prices = prices
    }

    /// - Throws: `RecordRefusal` with `.malformed`, which names the field.
    public init(_ record: Record) throws(RecordRefusal) {
        guard record.key.kind == Self.kind.name, let body = record.body else {
            throw RecordRefusal(.malformed, "the record lists no service")
        }
        try self.init(body)
    }

    /// Whether some URL of it can be used from where such addresses are allowed ([LST-5]).
    /// - Parameter allowsLocal: whether addresses of the own machine and network may be used.
    public func urls(allowingLocal allowsLocal: Bool) -> [ListingURL] {
        allowsLocal ? urls : urls.filter { $0.reach == .internet }
    }
}

extension Listing {
    // The bounds of [LST-2].
    public static let maximumBodyBytes = 24 * 1_024
    public static let maximumLifetimeSeconds: Int64 = 7 * 86_400
    public static let maximumTitleBytes = 128
    public static let maximumDescriptionBytes = 4_096
    public static let maximumTags = 16
    public static let maximumURLs = 4
    public static let maximumPrices = 64
    public static let maximumMints = 16
    public static let maximumSchemaBytes = 8_192
    public static let maximumSchemaDepth = 12
    /// The largest amount that every JSON reader keeps.
    public static let maximumAmount: UInt64 = (1 << 53) - 1

    /// The kind of the records. What is sold at one node is at most so much ([CALL-1]).
    public static let kind = RecordKind(
        "listing",
        maximumBodyBytes: maximumBodyBytes,
        maximumLifetimeSeconds: maximumLifetimeSeconds,
        recordsPerAuthor: 1_024,
        totalBytes: 256 * 1_024 * 1_024,
        checkBody: { (body, record) throws(RecordRefusal) in
            guard Self.isName(record.key.name) else {
                throw ListingFields.refuse("name", "is 1 to 63 of a-z, 0-9 and -, and begins with a letter or digit")
            }
            _ = try Listing(body)
        }
    )

    /// Whether a text can name a listed service.
    public static func isName(_ text: String) -> Bool {
        let bytes = text.utf8
        return (1...63).contains(bytes.count) && bytes.first != 0x2D && bytes.allSatisfy(ListingFields.isWordByte)
    }
}
