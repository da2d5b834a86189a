public import Encodings

/// One thing that was learned about a melt's payment, kept as evidence.
public struct MeltNote: Sendable, Hashable {
    /// What happened; more can be added by extension.
    public struct Kind: RawRepresentable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        /// What the backend said when it was asked; noted where it differs from what it said before.
        public static let asked = Kind(rawValue: "asked")
        /// The payment failed and its inputs were freed.
        public static let failed = Kind(rawValue: "failed")
        /// It settled after it had been reported failed: the operator's loss.
        public static let settledLate = Kind(rawValue: "settled-late")
        /// The operator ended it on evidence.
        public static let resolved = Kind(rawValue: "resolved")
        /// The operator ended it without evidence, on his word.
        public static let forced = Kind(rawValue: "forced")
    }

    public var at: Timestamp
    public var kind: Kind
    /// A sentence.
    public var text: String

    public init(at: Timestamp, kind: Kind, text: String) {
        self.at = at
        self.kind = kind
        self.text = text
    }
}

/// A melt that was freed as failed and is looked at again for a while.
package struct WatchedMelt: Sendable, Equatable {
    package var quote: String
    package var nextAt: Timestamp
    package var waitSeconds: Int64

    package init(quote: String, nextAt: Timestamp, waitSeconds: Int64) {
        self.quote = quote
        self.nextAt = nextAt
        self.waitSeconds = waitSeconds
    }
}

/// What a store keeps for the operator: evidence on melts, and lists.
package protocol MeltEvidenceStore: Sendable {
    /// Adds a note to a melt; at most 1,000 are kept of one.
    func add(_ note: MeltNote, toMelt quote: String) async throws
    /// Oldest first.
    func notes(ofMelt quote: String) async throws -> [MeltNote]
    /// How many proofs a melt holds, and what they are worth.
    func held(byMelt quote: String) async throws -> (count: Int, amount: UInt64)
    /// Freed melts whose turn has come, soonest first.
    func watchedMelts(dueBy now: Timestamp, count: Int) async throws -> [WatchedMelt]
    /// Looks again later; nil: no more.
    func watch(_ melt: WatchedMelt?, quote: String) async throws
    /// Writes down that a freed melt's payment settled after all: the quote is paid, the amount and fee are the operator's
    /// loss. Does nothing where the quote is not unpaid any more.
    /// - Returns: whether it was written.
    func settleLate(_ quote: String, preimage: [UInt8], lightningFee: UInt64, at: Timestamp) async throws -> Bool
    /// The latest quotes in a state, newest first; all states where nil.
    func mintQuotes(in state: StoredMintQuote.State?, count: Int) async throws -> [StoredMintQuote]
    func meltQuotes(in state: StoredMeltQuote.State?, count: Int) async throws -> [StoredMeltQuote]
}
