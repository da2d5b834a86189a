public import Cryptography
public import Encodings
public import Logging
public import Storage
public import TransparencyLog

/// Follows other nodes' logs and cosigns their checkpoints, each only where its tree begins with the one that was cosigned
/// before (C2SP tlog-witness; [LOG-7], [LOG-8]).
///
/// Whoever asks for cosignatures of a witness can be shown no other history than everybody else: a log that forks has to
/// leave one of its branches without.
public final class Witness: Sendable {
    /// The most logs that one witness follows.
    public static let maximumLogs = 1_000
    /// The most alarms that are kept; beyond it each is still told.
    static let maximumAlarms = 1_000

    private let database: Database
    private let key: Ed25519.PrivateKey
    private let clock: WallClock
    private let logger: Logger
    private let onAlarm: @Sendable (WitnessAlarm) async -> Void
    /// What its signatures are checked with.
    public let verifierKey: NoteKey

    /// - Parameters:
    ///   - database: with ``WitnessTables/migrations``.
    ///   - key: of this witness alone: no log's and no node's.
    ///   - name: a key's name, such as `witness.example/w1`.
    ///   - onAlarm: told of each fork and rewind once, when it is on the disk.
    /// - Throws: `LogError` `malformed` where the name is none.
    public init(
        database: Database,
        key: Ed25519.PrivateKey,
        name: String,
        clock: WallClock,
        logger: Logger,
        onAlarm: @escaping @Sendable (WitnessAlarm) async -> Void = { _ in }
    ) throws(LogError) {
        self.database = database
        self.key = key
        self.clock = clock
        self.logger = logger
        self.onAlarm = onAlarm
        verifierKey = try NoteKey(name: name, kind: .cosignature, key: key.publicKey)
    }

    // MARK: Logs

    /// Follows a log from now on, or changes where it is polled.
    ///
    /// - Parameter url: nil: it is not polled, and comes by itself.
    /// - Throws: `LogError` `wrongOrigin` where a log of this origin with another key is followed, `outOfRange` where there
    ///   are too many.
    public func follow(_ log: NoteKey, url: String?) async throws {
        let now = clock.now()
        try await database.write { connection in
            if var known = try WitnessRows.log(log.name, in: connection) {
                guard known.key == log else {
                    throw LogError(.wrongOrigin, "\(log.name) is followed already, with another key")
                }
                known.url = url
                return try WitnessRows.keep(known, in: connection)
            }
            guard try WitnessRows.all(in: connection).count < Self.maximumLogs else {
                throw LogError(.outOfRange, "a witness follows at most \(Self.maximumLogs) logs")
            }
            try WitnessRows.keep(FollowedLog(key: log, url: url, changedAt: now), in: connection)
        }
    }

    public func logs() async throws -> [FollowedLog] { try await database.read { try WitnessRows.all(in: $0) } }

    public func alarms() async throws -> [WitnessAlarm] { try await database.read { try WitnessRows.alarms(in: $0) } }

    // MARK: Cosigning

    /// Cosigns a checkpoint that continues what was cosigned before.
    ///
    /// It is on the disk as the latest of its log before it is signed.
    /// - Throws: `WitnessRefusal`; what the store throws. Nothing was signed then.
    public func add(_ request: AddCheckpoint) async throws -> SignedNote.Signature {
        guard let origin = request.checkpoint.text.split(separator: "\n").first.map(String.init) else {
            throw WitnessRefusal(.malformed, "the checkpoint names no log")
        }
        let now = clock.now()
        do {
            try await database.write { connection in
                guard var log = try WitnessRows.log(origin, in: connection) else {
                    throw WitnessRefusal(.unknownLog, "no log \(origin.prefix(200)) is followed here")
                }
                _ = try log.witnessed().check(request)
                guard log.note?.text != request.checkpoint.text else { return }
                log.note = try request.checkpoint.keeping(log.key)
                log.cosigned = nil
                log.changedAt = now
                try WitnessRows.keep(log, in: connection)
            }
        } catch let refusal as WitnessRefusal where refusal.isFork {
            try await shout(origin: origin, .fork, refusal.message, shown: request.checkpoint)
            throw refusal
        }
        let signature = try request.checkpoint.cosignature(
            by: key,
            name: verifierKey.name,
            secondsSince1970: UInt64(max(now.secondsSince1970, 0))
        )
        try await database.write { connection in
            guard var log = try WitnessRows.log(origin, in: connection), var note = log.note,
                note.text == request.checkpoint.text
            else { return }
            note.add(signature)
            log.cosigned = note
            try WitnessRows.keep(log, in: connection)
        }
        return signature
    }

    // MARK: Polling

    /// Fetches a log's checkpoint and, where it is newer, the tiles that prove it, and cosigns it.
    ///
    /// - Parameter fetch: gets a path below the log's address.
    /// - Returns: whether all is well; false where the log was found forked or rewound.
    /// - Throws: `LogError` where the log cannot be read or is not signed by its key; what `fetch` throws.
    @discardableResult
    public func poll(
        _ origin: String,
        confirmSeconds: Double = 3,
        fetching fetch: @Sendable (_ path: String) async throws -> [UInt8]
    ) async throws -> Bool {
        // Read first: what was cosigned before the log was asked, it must know.
        guard let log = try await database.read({ try WitnessRows.log(origin, in: $0) }) else {
            throw WitnessRefusal(.unknownLog, "no log \(origin) is followed here")
        }
        let known = try log.witnessed()
        var (note, checkpoint) = try await Self.checkpoint(of: log, fetch)
        if checkpoint.size < known.size {
            // A cache in front of the log may be a second behind.
            try await Task.sleep(for: .seconds(confirmSeconds))
            (note, checkpoint) = try await Self.checkpoint(of: log, fetch)
        }
        guard checkpoint.size >= known.size else {
            let words = "the log had \(known.size) entries before, and has \(checkpoint.size) now"
            try await shout(origin: origin, .rewind, words, shown: note)
            return false
        }
        if note.text == log.note?.text, log.cosigned != nil { return true }
        let isFork = checkpoint.size == known.size && known.latest.map { $0.root != checkpoint.root } ?? false
        let proof =
            isFork
            ? []
            : try await TiledTree.consistencyProof(from: known.size, to: checkpoint.size) { path in
                try await fetch("\(path)")
            }
        do {
            _ = try await add(AddCheckpoint(oldSize: known.size, proof: proof, checkpoint: note))
        } catch let refusal as WitnessRefusal {
            switch refusal.kind {
            case .conflict where refusal.isFork: return false
            // The log came by itself meanwhile.
            case .conflict: return true
            case .inconsistent:
                try await shout(origin: origin, .fork, refusal.message, shown: note)
                return false
            default: throw refusal
            }
        }
        return true
    }

    private static func checkpoint(
        of log: FollowedLog,
        _ fetch: @Sendable (String) async throws -> [UInt8]
    ) async throws -> (SignedNote, Checkpoint) {
        let bytes = try await fetch("checkpoint")
        guard bytes.count <= SignedNote.maximumBytes else { throw LogError(.malformed, "the checkpoint is too long") }
        let note = try SignedNote(String(decoding: bytes, as: UTF8.self))
        return (note, try Checkpoint.verify(note, log: log.key))
    }

    private func shout(origin: String, _ kind: WitnessAlarm.Kind, _ message: String, shown: SignedNote) async throws {
        let now = clock.now()
        let (alarm, isNew) = try await database.write { connection in
            let alarm = WitnessAlarm(
                origin: origin,
                kind: kind,
                message: message,
                known: try WitnessRows.log(origin, in: connection)?.note?.string ?? "",
                shown: shown.string,
                at: now
            )
            return (alarm, try WitnessRows.keep(alarm, limit: Self.maximumAlarms, in: connection))
        }
        logger.critical(
            "a log was rewritten",
            metadata: ["log": "\(origin)", "kind": "\(kind.rawValue)", "why": "\(message)"]
        )
        if isNew { await onAlarm(alarm) }
    }
}

extension SignedNote {
    /// The note with the log's own signature alone: what others put under it is not the witness's to pass on.
    fileprivate func keeping(_ key: NoteKey) throws(LogError) -> SignedNote {
        var kept = try SignedNote(text: text)
        for signature in signatures where signature.name == key.name && signature.keyID == key.id {
            kept.add(signature)
        }
        return kept
    }
}
