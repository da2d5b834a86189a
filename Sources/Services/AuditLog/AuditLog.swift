internal import CanonicalJSON
internal import Cryptography
public import Encodings
public import Logging
public import Storage
internal import Synchronization
public import TransparencyLog

/// The node's transparency log: everything that it signs and that moves money goes in, as salted hashes, and nothing ever
/// comes out again or changes. `Specs/log.md` says what is logged and how it is proven.
///
/// Documents wait in outboxes that were filled in the transactions that made them; ``drain()`` takes them from there. What
/// takes time (hashing, the tree, the signature) is done beside the store's writer, which only puts rows in: a payment never
/// waits for the log.
public final class AuditLog: Sendable {
    /// How many entries are logged in one transaction, so that the store's writer is not held up.
    static let batchLimit = 256
    /// The longest document, in bytes. Receipts have a few thousand at most, passports up to 16 thousand.
    static let maximumDocumentBytes = 256 * 1024

    let database: Database
    let key: any NoteSigner
    private let sources: [any OutboxSource]
    let clock: WallClock
    private let logger: Logger
    private let head: Mutex<Head>
    let witnessed: Mutex<Witnessed>
    /// One drain at a time, so that the head that a batch is built upon is the one it is put on.
    private let isDraining = Mutex(false)

    /// The tree as it was last signed.
    struct Head: Sendable {
        var checkpoint: Checkpoint
        var note: SignedNote
        var at: Timestamp
        /// Tiles that proofs of this log share; another log begins with none.
        var tiles = TileCache()
    }

    /// Opens the log, or begins an empty one.
    ///
    /// - Parameters:
    ///   - database: with ``AuditLogTables/migrations``.
    ///   - key: signs the checkpoints; the node's own.
    ///   - origin: the name of a log that is new. One that is there keeps its own, whatever the node's address is now.
    /// - Throws: `LogError` where the head on the disk is not signed by this key: the log is another node's.
    public init(
        database: Database,
        key: any NoteSigner,
        origin: String,
        sources: [any OutboxSource],
        clock: WallClock,
        logger: Logger
    ) async throws {
        self.database = database
        self.key = key
        self.sources = sources
        self.clock = clock
        self.logger = logger
        witnessed = Mutex(try await database.read { try Witnessed.read(in: $0) })
        let row = try await database.read { try $0.first("SELECT origin, note, at FROM audit_head WHERE id = 1") }
        if let row {
            let note = try SignedNote(row.text(1))
            let log = try NoteKey(name: row.text(0), key: key.publicKey)
            head = Mutex(
                Head(
                    checkpoint: try Checkpoint.verify(note, log: log),
                    note: note,
                    at: Timestamp(millisecondsSince1970: try row.int64(2))
                )
            )
            return
        }
        let checkpoint = Checkpoint(origin: origin, size: 0, root: MerkleTree.emptyRoot)
        let note = try checkpoint.signed(by: key)
        let now = clock.now()
        head = Mutex(Head(checkpoint: checkpoint, note: note, at: now))
        try await database.write { connection in
            try connection.execute(
                "INSERT INTO audit_head (id, origin, size, note, at) VALUES (1, ?, 0, ?, ?)",
                .text(origin),
                .text(note.string),
                .integer(now.millisecondsSince1970)
            )
        }
    }

    /// The key that checkpoints are checked with.
    public var verifierKey: NoteKey {
        get throws { try NoteKey(name: current.checkpoint.origin, key: key.publicKey) }
    }

    /// The log's name: its address without the scheme, as it was when the log began.
    public var origin: String { current.checkpoint.origin }

    /// The latest checkpoint, signed.
    public var checkpoint: SignedNote { current.note }

    var current: Head { head.withLock { $0 } }

    func replaceHead(_ fresh: Head) { head.withLock { $0 = fresh } }

    /// Shows signatures under the latest checkpoint, where it is the one that they are of.
    func addToHead(_ signatures: [SignedNote.Signature], under text: String) {
        head.withLock { head in
            guard head.note.text == text else { return }
            for signature in signatures { head.note.add(signature) }
        }
    }

    // MARK: Appending

    /// Logs all that waits.
    ///
    /// - Returns: how many entries were added.
    /// - Throws: what the store throws; what is logged by then stays so. `LogError` `halted` where the log takes nothing any
    ///   more: what waits goes on waiting.
    @discardableResult
    public func drain() async throws -> Int {
        if let halted { throw LogError(.halted, "the log takes no more entries: \(halted.reason)") }
        guard isDraining.withLock({ begin(&$0) }) else { return 0 }
        defer { isDraining.withLock { $0 = false } }
        var added = 0
        for source in sources {
            while true {
                let entries = try await database.read { try source.pending(limit: Self.batchLimit, in: $0) }
                guard !entries.isEmpty else { break }
                try await log(entries, of: source)
                added += entries.count
                try Task.checkCancellation()
            }
        }
        return added
    }

    func waiting() async throws -> Int {
        try await database.read { [sources] connection in
            try sources.reduce(0) { try $0 + $1.count(in: connection) }
        }
    }

    private func begin(_ isOn: inout Bool) -> Bool {
        defer { isOn = true }
        return !isOn
    }

    private func log(_ entries: [OutboxEntry], of source: any OutboxSource) async throws {
        let old = current
        let salted = try entries.map { try Self.salted($0.document, $0.salt) }
        let size = old.checkpoint.size
        let edge = try await database.read { try AuditLogRows.edge(size: size, in: $0) }
        let change = try TiledTree.append(salted.map { MerkleTree.leaf($0.entry) }, to: size) { level, _ in edge[level]
        }
        // The new tree's right edge: the last tile of each level, whether it changed or not.
        var last = edge
        for tile in change.tiles { last[tile.level] = tile.hashes }
        let root = try TiledTree.root(size: change.size) { level, _ in last[level] }
        let checkpoint = Checkpoint(origin: old.checkpoint.origin, size: change.size, root: root)
        let fresh = Head(
            checkpoint: checkpoint,
            note: try checkpoint.signed(by: key),
            at: clock.now(),
            tiles: old.tiles
        )
        if let halted { throw LogError(.halted, "the log takes no more entries: \(halted.reason)") }
        try await database.write { connection in
            try source.remove(entries, in: connection)
            for (offset, (entry, salted)) in zip(entries, salted).enumerated() {
                try AuditLogRows.insert(entry, salted, at: size + UInt64(offset), in: connection)
            }
            for tile in change.tiles { try AuditLogRows.keep(tile, in: connection) }
            try AuditLogRows.setHead(fresh, over: old, in: connection)
        }
        head.withLock { $0 = fresh }
    }

    /// SHA-256(salt ‖ JCS(document)) with a new salt, or the one that the document promises ([LOG-2]).
    static func salted(_ document: [UInt8], _ salt: [UInt8]?) throws -> SaltedEntry {
        let limits = JSONLimits(maximumBytes: maximumDocumentBytes, maximumDepth: 32, maximumValues: 100_000)
        return try SaltedEntry(
            salt: salt ?? SecureRandom.bytes(SaltedEntry.saltLength),
            document: JSONValue.parse(document, limits: limits).canonicalized()
        )
    }
}
