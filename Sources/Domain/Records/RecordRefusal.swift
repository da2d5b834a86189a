/// Why a record is not taken.
public struct RecordRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    /// A stable, machine-readable reason. New codes may be added.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String

        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        // What every node sees alike, so that whoever passes it on is answerable.
        /// Longer than a record, or a record of its kind, may be.
        public static let tooLarge = Code(rawValue: "too-large")
        /// Not of the form of a record, or of its kind.
        public static let malformed = Code(rawValue: "malformed")
        /// Sent on the topic of another kind.
        public static let wrongKind = Code(rawValue: "wrong-kind")
        /// It is to live longer than its kind may; a tombstone shorter than it has to.
        public static let wrongLifetime = Code(rawValue: "wrong-lifetime")
        /// Its author did not sign it.
        public static let badSignature = Code(rawValue: "bad-signature")

        /// Sent by repair, though it was not asked for.
        public static let notAsked = Code(rawValue: "not-asked")

        // What depends on the clock, on what a node knows, and on whom it trusts: nobody is blamed.
        /// Of a kind that is not known here.
        public static let unknownKind = Code(rawValue: "unknown-kind")
        public static let expired = Code(rawValue: "expired")
        /// From further ahead than clocks may differ.
        public static let fromFuture = Code(rawValue: "from-future")
        /// It is here already.
        public static let duplicate = Code(rawValue: "duplicate")
        /// A record of the same key that goes before it is here.
        public static let superseded = Code(rawValue: "superseded")
        /// Its author shows nothing by which it would count here.
        public static let notAdmitted = Code(rawValue: "not-admitted")
        /// Its author's passport is revoked or suspended.
        public static let revoked = Code(rawValue: "revoked")
        /// Its author, its kind or the store has as many records as it may.
        public static let overQuota = Code(rawValue: "over-quota")
        /// Its author publishes faster than is passed on.
        public static let tooFast = Code(rawValue: "too-fast")
        /// The store takes nothing now.
        public static let unavailable = Code(rawValue: "unavailable")
    }

    public let code: Code
    /// Which rule was broken; it holds no text of a stranger's.
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// Whether who passed the record on could have seen it as well ([REC-10]).
    public var isSendersFault: Bool { Self.sendersFaults.contains(code) }

    private static let sendersFaults: Set<Code> = [
        .tooLarge, .malformed, .wrongKind, .wrongLifetime, .badSignature, .notAsked,
    ]

    public var description: String { "\(message) [\(code.rawValue)]" }
}
