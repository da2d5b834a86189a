internal import Market
public import SignedDocuments

/// What is looked for. All that is said must hold.
public struct ListingQuery: Sendable, Hashable {
    public static let maximumTextBytes = 256
    public static let maximumWords = 12
    public static let maximumCount = 100
    public static let maximumTags = 8
    /// Of one author, the latest, unless one is asked for: a flood of one seller's listings leaves room for others.
    public static let maximumPerAuthor = 10
    /// Of those that fit, so many are ranked, the latest; of so many that were looked at. What very many listings say is no word
    /// to choose by, and its search costs no more than another.
    static let maximumRanked = 500
    static let maximumLooked = 10_000

    /// Words, in any order. Nothing in it has a meaning to the index: quotation marks, operators and the like part words.
    public var text: String
    /// The most that the cheapest call may cost, and in what.
    public var maximumPrice: (amount: UInt64, unit: String)? {
        get { maximumAmount.map { ($0, unit) } }
        set { (maximumAmount, unit) = (newValue?.amount, newValue?.unit ?? "") }
    }
    private var maximumAmount: UInt64?
    private var unit = ""
    /// A way of paying that it must offer.
    public var dialect: String?
    /// A mint whose ecash it must take.
    public var mint: String?
    public var tags: [String] = []
    /// What it must ask of passports.
    public var capability: String?
    /// What it must promise: to answer within that time, the percentile that it names for itself.
    public var maximumLatencyMilliseconds: Int64?
    /// Of a million.
    public var minimumUptimePPM: Int64?
    public var author: DIDKey?
    public var count = 20

    public init(_ text: String = "") {
        self.text = text
    }

    /// - Throws: ``MarketError`` `invalid-query`.
    func validate() throws(MarketError) {
        func refuse(_ what: String) -> MarketError { MarketError(.invalidQuery, what) }
        guard text.utf8.count <= Self.maximumTextBytes else {
            throw refuse("A search has at most \(Self.maximumTextBytes) bytes.")
        }
        guard words.count <= Self.maximumWords else {
            throw refuse("A search has at most \(Self.maximumWords) words.")
        }
        guard words.isEmpty == text.allSatisfy(\.isWhitespace) else {
            throw refuse("The search has no letter or digit to look for.")
        }
        guard (1...Self.maximumCount).contains(count) else {
            throw refuse("A search answers 1 to \(Self.maximumCount) listings.")
        }
        guard tags.count <= Self.maximumTags else { throw refuse("A search names at most \(Self.maximumTags) tags.") }
        let texts = tags + [dialect, mint, capability, maximumAmount == nil ? nil : unit].compactMap { $0 }
        guard texts.allSatisfy({ (1...512).contains($0.utf8.count) }) else {
            throw refuse("What a search filters by has 1 to 512 bytes.")
        }
        guard maximumAmount ?? 0 <= UInt64(Int64.max), maximumLatencyMilliseconds ?? 1 >= 1,
            (0...1_000_000).contains(minimumUptimePPM ?? 0)
        else { throw refuse("A number in the search is out of its bounds.") }
    }

    /// What is looked for, each once.
    var words: [String] { MarketWords.of(text) }

    /// As FTS5 reads it: strings alone, so that no word is an operator, a column or a prefix. Empty where nothing is asked.
    func expression(any: Bool) -> String {
        words.map { "\"\($0)\"" }.joined(separator: any ? " OR " : " AND ")
    }
}

/// Why the market did not do what was asked.
public struct MarketError: Error, Sendable, Hashable, CustomStringConvertible {
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        /// The search is out of its bounds.
        public static let invalidQuery = Code(rawValue: "invalid-query")
        /// No listing is known by that name that counts.
        public static let unknownListing = Code(rawValue: "unknown-listing")
        /// It was told once, and is no longer kept.
        public static let noLongerKept = Code(rawValue: "no-longer-kept")
        /// The node has no gossip, so nothing is listed.
        public static let notRunning = Code(rawValue: "not-running")
    }

    public let code: Code
    public let message: String
    public var description: String { message }

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}
