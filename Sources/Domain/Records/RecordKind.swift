public import CanonicalJSON

/// What records of one kind may be like. A name stands for its rules: other rules take another name, so that all nodes
/// that know the kind judge a record alike.
public struct RecordKind: Sendable {
    /// Whose records of the kind count.
    public enum Authors: Sendable, Hashable {
        /// All that ``AdmissionPolicy`` admits.
        case admitted
        /// Only issuers that the receiver trusts.
        case issuers
    }

    /// 1 to 32 lower-case letters, digits, `-` and `.`, such as `listing`.
    public let name: String
    /// The most bytes of the canonical body.
    public let maximumBodyBytes: Int
    /// From `created` to `expires`, at most.
    public let maximumLifetimeSeconds: Int64
    public let authors: Authors
    /// Records of one author that are kept, the newest; of tombstones ``Record/tombstonesPerRecord`` times as many.
    public let recordsPerAuthor: Int
    /// The bytes of all records of the kind that a node keeps. Every kind has its own, so that a flood of one displaces
    /// nothing of another.
    public let totalBytes: Int
    let checkBody: @Sendable (JSONObject, Record) throws(RecordRefusal) -> Void

    /// - Parameter checkBody: throws `.malformed` for a body that breaks the kind's rules. It is asked before the
    ///   signature is checked and sees nothing but the record. Members that it does not know it should leave alone.
    public init(
        _ name: String,
        maximumBodyBytes: Int,
        maximumLifetimeSeconds: Int64,
        authors: Authors = .admitted,
        recordsPerAuthor: Int,
        totalBytes: Int,
        checkBody: @escaping @Sendable (JSONObject, Record) throws(RecordRefusal) -> Void = {
            (_, _) throws(RecordRefusal) in
        }
    ) {
        self.name = name
        self.maximumBodyBytes = min(maximumBodyBytes, Record.maximumBodyBytes)
        self.maximumLifetimeSeconds = min(maximumLifetimeSeconds, Record.maximumLifetimeSeconds)
        self.authors = authors
        self.recordsPerAuthor = recordsPerAuthor
        self.totalBytes = totalBytes
        self.checkBody = checkBody
    }

    /// How long a tombstone of the kind lives: past all that it deletes.
    public var tombstoneSeconds: Int64 { maximumLifetimeSeconds + Record.tombstoneMarginSeconds }

    /// The gossip topic of the kind.
    public var topic: String { "mintmark/records/1/\(name)" }
}

/// The kinds that a node knows. Records of others are neither kept nor passed on.
public struct RecordKinds: Sendable {
    private let kinds: [String: RecordKind]

    /// Of two of one name the later counts.
    public init(_ kinds: [RecordKind]) {
        self.kinds = Dictionary(kinds.map { ($0.name, $0) }, uniquingKeysWith: { $1 })
    }

    public subscript(name: String) -> RecordKind? { kinds[name] }

    /// By name.
    public var all: [RecordKind] { kinds.values.sorted { $0.name < $1.name } }
}
