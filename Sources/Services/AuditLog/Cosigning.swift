internal import Encodings
public import Logging
public import TransparencyLog

/// A witness that a log asks for cosignatures.
public struct LogWitness: Hashable, Sendable {
    public var key: NoteKey
    /// Where `add-checkpoint` stands, without a slash at the end.
    public var url: String

    public init(key: NoteKey, url: String) {
        self.key = key
        self.url = url
    }
}

/// Takes a log's checkpoints to its witnesses and puts their cosignatures under them.
///
/// A witness that has followed the log further than the log itself goes, or along another branch, proves that the store is
/// an older copy: then the log takes no more entries ([LOG-8]).
public struct Cosigning: Sendable {
    /// Sends a GET, or a POST where there is a body; answers the status and at most `limit` bytes, within some seconds.
    public typealias Exchange =
        @Sendable (_ url: String, _ post: [UInt8]?, _ limit: Int) async throws -> (status: Int, body: [UInt8])

    private let log: AuditLog
    public let witnesses: [LogWitness]
    private let exchange: Exchange
    private let logger: Logger

    public init(log: AuditLog, witnesses: [LogWitness], exchange: @escaping Exchange, logger: Logger) {
        self.log = log
        self.witnesses = witnesses
        self.exchange = exchange
        self.logger = logger
    }

    /// Has every witness that is behind cosign the latest checkpoint. A witness that cannot be reached is asked in the next
    /// round.
    ///
    /// - Parameter beforeHalt: what must be on the disk before the log is halted for good, such as that no money moves.
    public func collect(beforeHalt: @escaping @Sendable () async throws -> Void = {}) async {
        await withTaskGroup(of: Void.self) { group in
            for witness in witnesses {
                group.addTask {
                    do {
                        try await collect(from: witness, beforeHalt)
                    } catch {
                        logger.warning(
                            "a witness has not cosigned",
                            metadata: ["witness": "\(witness.key.name)", "error": "\(error)"]
                        )
                    }
                }
            }
        }
    }

    private func collect(from witness: LogWitness, _ beforeHalt: @Sendable () async throws -> Void) async throws {
        guard log.halted == nil else { return }
        var old = try await log.sizeKnown(to: witness.key)
        // Once with what is known, once with what the witness says, and once where the log grew meanwhile.
        for _ in 0..<3 {
            let head = log.current
            let hasSigned = try head.note.verified(by: [witness.key]).isEmpty == false
            if hasSigned { return }
            if old > head.checkpoint.size {
                return try await halt(
                    by: witness,
                    "it has followed the log up to \(old) entries, and the log has \(head.checkpoint.size)",
                    after: beforeHalt
                )
            }
            let request = AddCheckpoint(
                oldSize: old,
                proof: try await log.consistencyProof(from: old, to: head.checkpoint.size),
                checkpoint: head.note
            )
            let (status, body) = try await send(request, to: witness)
            switch status {
            case 200:
                return try await keep(body, of: witness, under: head)
            case 409:
                guard let size = UInt64(body.trimmingCharacters), size <= UInt64(Int64.max) else {
                    throw LogError(.malformed, "the witness answers 409 without a size")
                }
                if size > log.current.checkpoint.size {
                    return try await halt(
                        by: witness,
                        "it has followed the log up to \(size) entries, and the log has \(log.current.checkpoint.size)",
                        after: beforeHalt
                    )
                }
                if size == old, size == head.checkpoint.size {
                    return try await halt(
                        by: witness,
                        "it has cosigned another tree of \(size) entries",
                        after: beforeHalt
                    )
                }
                old = size
            case 422:
                return try await halt(
                    by: witness,
                    "the log does not begin with the \(old) entries that it cosigned",
                    after: beforeHalt
                )
            default:
                throw LogError(.malformed, "the witness answers \(status): \(body.prefix(200))")
            }
        }
    }

    private func send(_ request: AddCheckpoint, to witness: LogWitness) async throws -> (Int, String) {
        let (status, body) = try await exchange(
            witness.url + "/add-checkpoint",
            Array(request.string.utf8),
            SignedNote.maximumBytes
        )
        return (status, String(decoding: body, as: UTF8.self))
    }

    private func keep(_ body: String, of witness: LogWitness, under head: AuditLog.Head) async throws {
        var note = try SignedNote(text: head.note.text)
        var found: [SignedNote.Signature] = []
        for line in body.split(separator: "\n") {
            let signature = try SignedNote.Signature(line: line)
            guard signature.name == witness.key.name, signature.keyID == witness.key.id else { continue }
            note.add(signature)
            found.append(signature)
        }
        guard try !note.verified(by: [witness.key]).isEmpty else {
            throw LogError(.unsigned, "the witness's answer holds no signature of its key")
        }
        try await log.keep(found, under: head.note, of: witness.key)
    }

    private func halt(
        by witness: LogWitness,
        _ reason: String,
        after beforeHalt: @Sendable () async throws -> Void
    ) async throws {
        // Whatever comes of it, the log must not go on.
        var failure: (any Error)?
        do {
            try await beforeHalt()
        } catch {
            failure = error
        }
        let evidence = try? await laterCheckpoint(of: witness)
        try await log.halt("the witness \(witness.key.name) says that \(reason)", evidence: evidence)
        logger.critical(
            "the log takes no more entries: this is not the history that was witnessed",
            metadata: ["witness": "\(witness.key.name)", "why": "\(reason)", "proven": "\(evidence != nil)"]
        )
        if let failure { throw failure }
    }

    /// What the witness cosigned last, where it is signed by this log's own key too: the proof that it says the truth.
    private func laterCheckpoint(of witness: LogWitness) async throws -> String {
        let url = "\(witness.url)/checkpoint/\(FollowedLog.id(of: log.origin))"
        let (status, body) = try await exchange(url, nil, SignedNote.maximumBytes)
        guard status == 200 else { throw LogError(.malformed, "\(url) answers \(status)") }
        let note = try SignedNote(String(decoding: body, as: UTF8.self))
        _ = try Checkpoint.verify(note, log: try log.verifierKey)
        return note.string
    }
}

extension String {
    /// Without the newline at the end.
    fileprivate var trimmingCharacters: String { hasSuffix("\n") ? String(dropLast()) : self }
}
