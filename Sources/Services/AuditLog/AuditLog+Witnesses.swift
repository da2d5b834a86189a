public import Encodings
internal import Storage
internal import Synchronization
public import TransparencyLog

/// Why a log takes no more entries.
public struct LogHalt: Hashable, Sendable {
    /// A sentence for the operator.
    public var reason: String
    /// A later checkpoint of this very log with its own signature, as a witness shows it; nil where none was had.
    public var evidence: String?
    public var at: Timestamp
}

extension AuditLog {
    /// Why nothing is appended any more: the store is an older copy, or on another branch, of the log that witnesses have
    /// seen. nil while all is well.
    public var halted: LogHalt? { witnessed.withLock { $0.halt } }

    /// The latest checkpoint that a witness has cosigned, with its cosignatures; nil before the first.
    public var witnessedCheckpoint: SignedNote? { witnessed.withLock { $0.note } }

    /// What is kept of witnesses.
    struct Witnessed: Sendable {
        var note: SignedNote?
        var halt: LogHalt?

        static func read(in connection: Connection) throws -> Witnessed {
            var witnessed = Witnessed()
            if let row = try connection.first("SELECT note FROM audit_cosigned ORDER BY size DESC LIMIT 1") {
                witnessed.note = try SignedNote(row.text(0))
            }
            if let row = try connection.first("SELECT reason, evidence, at FROM audit_halt WHERE id = 1") {
                witnessed.halt = LogHalt(
                    reason: try row.text(0),
                    evidence: try row.optionalText(1),
                    at: Timestamp(millisecondsSince1970: try row.int64(2))
                )
            }
            return witnessed
        }
    }

    /// The proof that a tree which a witness cosigned holds an entry: who has it knows that the entry was there when the
    /// witness signed, whatever the log's own key signs later ([LOG-9]).
    ///
    /// - Returns: under the earliest of such trees that is kept, which proves the most; nil where none holds it yet.
    public func witnessedProof(of entry: LoggedEntry) async throws -> LogProof? {
        let note = try await database.read { connection in
            try connection.first(
                "SELECT note FROM audit_cosigned WHERE size > ? ORDER BY size LIMIT 1",
                try .amount(entry.index)
            )?.text(0)
        }
        guard let checkpoint = try note.map({ try SignedNote($0) }) else { return nil }
        let size = try Checkpoint(text: checkpoint.text).size
        let hashes = try await inclusionProof(of: entry.index, size: size)
        return LogProof(extra: entry.salt, index: entry.index, hashes: hashes, checkpoint: checkpoint)
    }

    /// Puts a witness's signatures under the checkpoint that they are of.
    ///
    /// The log may have grown since, and what was cosigned stays true; of a log that another has followed nothing is kept.
    func keep(_ cosignatures: [SignedNote.Signature], under note: SignedNote, of witness: NoteKey) async throws {
        let checkpoint = try Checkpoint(text: note.text)
        guard checkpoint.origin == origin else { return }
        let size = checkpoint.size
        let kept = try witnessed.withLock { witnessed in
            // Of the newest that was cosigned; another witness may have signed the same one.
            let known = try witnessed.note.map { try Checkpoint(text: $0.text).size } ?? 0
            if witnessed.note?.text != note.text {
                guard size >= known else { return SignedNote?.none }
                witnessed.note = note
            }
            for signature in cosignatures { witnessed.note?.add(signature) }
            return witnessed.note
        }
        addToHead(cosignatures, under: note.text)
        let now = clock.now()
        try await database.write { connection in
            try connection.execute(
                """
                INSERT INTO audit_witnesses (key, size, at) VALUES (?, ?, ?)
                ON CONFLICT (key) DO UPDATE SET size = excluded.size, at = excluded.at
                """,
                .text("\(witness)"),
                try .amount(size),
                .integer(now.millisecondsSince1970)
            )
            guard let kept else { return }
            try AuditLogRows.keepCosigned(kept, size: size, at: now, in: connection)
        }
    }

    /// How far a witness has followed the log, as far as the log knows.
    func sizeKnown(to witness: NoteKey) async throws -> UInt64 {
        try await database.read {
            try $0.first("SELECT size FROM audit_witnesses WHERE key = ?", .text("\(witness)"))?.uint64(0) ?? 0
        }
    }

    /// Takes no more entries, over restarts too. Waiting documents stay in their outboxes.
    func halt(_ reason: String, evidence: String?) async throws {
        let halt = LogHalt(reason: reason, evidence: evidence, at: clock.now())
        let isNew = witnessed.withLock { witnessed in
            guard witnessed.halt == nil else { return false }
            witnessed.halt = halt
            return true
        }
        guard isNew else { return }
        try await database.write { connection in
            try connection.execute(
                "INSERT INTO audit_halt (id, reason, evidence, at) VALUES (1, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                .text(reason),
                .optional(evidence),
                .integer(halt.at.millisecondsSince1970)
            )
        }
    }
}
