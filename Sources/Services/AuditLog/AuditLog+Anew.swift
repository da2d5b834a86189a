internal import Encodings
internal import Storage
internal import Synchronization
internal import TransparencyLog

extension AuditLog {
    /// Begins another log, of another name, after this one was halted: the store that held the rest of it is lost.
    ///
    /// The old log stays what it is, with its last witnessed checkpoint; its entries that are here are put aside. What waits
    /// is logged in the new one, which witnesses have to be told of ([LOG-10]).
    /// - Returns: the new log's origin.
    /// - Throws: `LogError` `halted` where the log is not halted; `inconsistent` where somebody else has written here.
    @discardableResult
    public func beginAnew() async throws -> String {
        guard let halt = halted else {
            throw LogError(.halted, "the log is not halted: it goes on as it is")
        }
        let old = current
        let checkpoint = Checkpoint(
            origin: Self.successor(of: old.checkpoint.origin),
            size: 0,
            root: MerkleTree.emptyRoot
        )
        let fresh = Head(checkpoint: checkpoint, note: try checkpoint.signed(by: key), at: clock.now())
        try await database.write { connection in
            let origin = SQLValue.text(old.checkpoint.origin)
            try connection.execute(
                "INSERT INTO audit_past_logs (origin, note, reason, evidence, at) VALUES (?, ?, ?, ?, ?)",
                origin,
                .text(old.note.string),
                .text(halt.reason),
                .optional(halt.evidence),
                .integer(fresh.at.millisecondsSince1970)
            )
            try connection.execute(
                """
                INSERT INTO audit_past_entries
                SELECT ?, position, entry, salt, kind, reference, document FROM audit_entries
                """,
                origin
            )
            for table in ["audit_entries", "audit_tiles", "audit_witnesses", "audit_cosigned", "audit_halt"] {
                try connection.execute("DELETE FROM \(table)")
            }
            try connection.execute(
                "UPDATE audit_head SET origin = ?, size = 0, note = ?, at = ? WHERE id = 1 AND size = ? AND origin = ?",
                .text(checkpoint.origin),
                .text(fresh.note.string),
                .integer(fresh.at.millisecondsSince1970),
                try .amount(old.checkpoint.size),
                origin
            )
            guard connection.changes == 1 else {
                throw LogError(.inconsistent, "the log on the disk is not the one that was read")
            }
        }
        replaceHead(fresh)
        witnessed.withLock { $0 = Witnessed() }
        return checkpoint.origin
    }

    /// `node.example/log` is followed by `node.example/log/2`, that by `…/3`.
    static func successor(of origin: String) -> String {
        let parts = origin.split(separator: "/", omittingEmptySubsequences: false)
        guard let last = parts.last, let number = UInt32(last), number > 1, number < UInt32.max else {
            return origin + "/2"
        }
        return parts.dropLast().joined(separator: "/") + "/\(number + 1)"
    }
}
