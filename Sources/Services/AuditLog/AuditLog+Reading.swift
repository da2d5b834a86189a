internal import Encodings
internal import Storage
public import TransparencyLog

/// What the log's keeper can say of it.
public struct AuditLogStatus: Sendable, Hashable {
    public var origin: String
    /// The key in the form in which verifiers take it.
    public var verifierKey: String
    public var size: UInt64
    /// The root of the tree, 32 bytes.
    public var root: [UInt8]
    /// How many documents wait to be logged.
    public var waiting: Int
}

/// An entry that the log holds.
public struct LoggedEntry: Sendable, Hashable {
    public var index: UInt64
    /// `receipt`, `passport`, `status` and so on ([LOG-1]).
    public var kind: String
    /// SHA-256(salt ‖ JCS(document)).
    public var entry: [UInt8]
    public var salt: [UInt8]
    /// The document's JSON, where the log has its only copy: changes of status and rotations.
    public var document: [UInt8]?
}

extension AuditLog {
    /// The most entries of one reference that are told of.
    private static let referenceLimit = 100

    public func status() async throws -> AuditLogStatus {
        let head = current
        let waiting = try await waiting()
        return AuditLogStatus(
            origin: head.checkpoint.origin,
            verifierKey: "\(try verifierKey)",
            size: head.checkpoint.size,
            root: head.checkpoint.root,
            waiting: waiting
        )
    }

    /// A tile or bundle of entries of the tree as it was last signed.
    ///
    /// - Returns: nil where the tree has no such tile, or not of this width: what is not covered by a checkpoint is not told.
    public func tile(_ path: TilePath) async throws -> [UInt8]? {
        let size = current.checkpoint.size
        switch path.kind {
        case .hashes(let level):
            let hashes = size >> UInt64(8 * level)
            guard Self.has(path, of: hashes) else { return nil }
            let bytes = try await database.read { try AuditLogRows.tile(level, path.number, in: $0) }
            let length = path.width * MerkleTree.hashLength
            guard let bytes, bytes.count >= length else { return nil }
            return Array(bytes.prefix(length))
        case .entries:
            guard Self.has(path, of: size) else { return nil }
            let entries = try await database.read { connection in
                try connection.rows(
                    "SELECT entry FROM audit_entries WHERE position >= ? ORDER BY position LIMIT ?",
                    try .amount(path.number * UInt64(TilePath.fullWidth)),
                    .int(path.width)
                ).map { try $0.blob(0) }
            }
            return try EntryBundle.encode(entries)
        }
    }

    /// Whether a level of so many hashes has the tile.
    private static func has(_ path: TilePath, of hashes: UInt64) -> Bool {
        let start = path.number.multipliedReportingOverflow(by: UInt64(TilePath.fullWidth))
        guard !start.overflow, start.partialValue <= hashes else { return false }
        return hashes - start.partialValue >= UInt64(path.width)
    }

    /// The entries of a document's id, newest last, at most 100: of a passport also its changes of status.
    public func entries(of reference: String) async throws -> [LoggedEntry] {
        try await database.read { connection in
            try connection.rows(
                """
                SELECT position, kind, entry, salt, document FROM audit_entries WHERE reference = ?
                ORDER BY position LIMIT ?
                """,
                .text(reference),
                .int(Self.referenceLimit)
            ).map {
                LoggedEntry(
                    index: try $0.uint64(0),
                    kind: try $0.text(1),
                    entry: try $0.blob(2),
                    salt: try $0.blob(3),
                    document: try $0.optionalBlob(4)
                )
            }
        }
    }

    /// The proof that the tree as it was last signed holds an entry; the salt is its extra data ([LOG-4]).
    public func proof(of entry: LoggedEntry) async throws -> LogProof {
        let head = current
        let hashes = try await inclusionProof(of: entry.index, size: head.checkpoint.size)
        return LogProof(extra: entry.salt, index: entry.index, hashes: hashes, checkpoint: head.note)
    }

    /// The proof that the tree of `size` holds its entry `index`.
    func inclusionProof(of index: UInt64, size: UInt64) async throws -> [[UInt8]] {
        // Taken before the tiles are: another log's are never put among them.
        let known = current.tiles
        return try await database.read { connection in
            try TiledTree.inclusionProof(of: index, size: size, known: known) { level, number in
                try AuditLogRows.tile(level, number, in: connection)
            }
        }
    }

    /// The proof that the tree as it was last signed begins with the one of `oldSize`.
    public func consistencyProof(from oldSize: UInt64) async throws -> [[UInt8]] {
        try await consistencyProof(from: oldSize, to: current.checkpoint.size)
    }

    /// The proof that the tree of `size` begins with the one of `oldSize`.
    func consistencyProof(from oldSize: UInt64, to size: UInt64) async throws -> [[UInt8]] {
        let known = current.tiles
        return try await database.read { connection in
            try TiledTree.consistencyProof(from: oldSize, to: size, known: known) { level, number in
                try AuditLogRows.tile(level, number, in: connection)
            }
        }
    }

    /// The entries that documents of an id have or will have, newest last: what a promise names ([LOG-11]). Receipts that wait are
    /// not among them: they carry their promise themselves.
    public func promisable(_ reference: String) async throws -> [PromisedEntry] {
        let logged = try await entries(of: reference)
        let waiting = try await database.read { try Outbox.waiting(reference, in: $0) }
        return try logged.map { PromisedEntry(kind: $0.kind, entry: $0.entry, salt: $0.salt) }
            + waiting.map { entry in
                let salted = try Self.salted(entry.document, entry.salt)
                return PromisedEntry(kind: entry.kind, entry: salted.entry, salt: salted.salt)
            }
    }
}

/// An entry that the log has or will have.
public struct PromisedEntry: Sendable, Hashable {
    public var kind: String
    /// SHA-256(salt ‖ JCS(document)).
    public var entry: [UInt8]
    public var salt: [UInt8]
}
