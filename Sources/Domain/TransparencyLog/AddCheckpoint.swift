import Encodings

/// What a log asks a witness to cosign: `POST add-checkpoint` (C2SP tlog-witness).
public struct AddCheckpoint: Hashable, Sendable {
    /// The longest body that is read, in bytes.
    public static let maximumBytes = SignedNote.maximumBytes + 8 * 1024

    /// The size up to which the witness has followed the log, as the log knows it.
    public var oldSize: UInt64
    /// The consistency proof from ``oldSize`` to the checkpoint's.
    public var proof: [[UInt8]]
    public var checkpoint: SignedNote

    public init(oldSize: UInt64, proof: [[UInt8]], checkpoint: SignedNote) {
        self.oldSize = oldSize
        self.proof = proof
        self.checkpoint = checkpoint
    }

    /// The body.
    public var string: String {
        "old \(oldSize)\n" + proof.map { Base64.encode($0) + "\n" }.joined() + "\n" + checkpoint.string
    }

    /// Reads a body.
    ///
    /// - Throws: `malformed`.
    public init(_ text: String) throws(LogError) {
        let refusal = LogError(.malformed, "the body is `old <size>`, hashes, an empty line and a checkpoint")
        guard text.utf8.count <= Self.maximumBytes else { throw refusal }
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)[...]
        guard let first = lines.popFirst(), first.hasPrefix("old "), let old = Checkpoint.decimal(first.dropFirst(4))
        else { throw refusal }
        var hashes: [[UInt8]] = []
        var hasEnded = false
        while let line = lines.popFirst() {
            if line.isEmpty {
                hasEnded = true
                break
            }
            guard hashes.count < MerkleTree.maximumProofLength, let hash = try? Base64.decode(String(line)),
                hash.count == MerkleTree.hashLength
            else { throw refusal }
            hashes.append(hash)
        }
        guard hasEnded else { throw refusal }
        self.init(oldSize: old, proof: hashes, checkpoint: try SignedNote(lines.joined(separator: "\n")))
    }
}

/// Why a witness does not cosign, with the HTTP status that says so (C2SP tlog-witness).
public struct WitnessRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: Hashable, Sendable {
        /// The request has the wrong form, or says that the old tree is the larger. 400
        case malformed
        /// Not signed by the log's key. 403
        case unsigned
        /// No log of this origin is followed here. 404
        case unknownLog
        /// The witness has followed the log up to another size than the request says, or has another tree of this size. 409
        case conflict(size: UInt64)
        /// The proof does not lead from the tree that the witness knows to the checkpoint's. 422
        case inconsistent
    }

    public var kind: Kind
    public var message: String
    /// Whether the request itself proves that the log was forked: two trees of one size, both signed by its key.
    public var isFork: Bool

    public init(_ kind: Kind, _ message: String, isFork: Bool = false) {
        self.kind = kind
        self.message = message
        self.isFork = isFork
    }

    public var status: Int {
        switch kind {
        case .malformed: 400
        case .unsigned: 403
        case .unknownLog: 404
        case .conflict: 409
        case .inconsistent: 422
        }
    }

    public var description: String { "\(message) (\(status))" }
}

/// How far a witness has followed one log, and what it says to a newer checkpoint.
public struct WitnessedLog: Hashable, Sendable {
    public var key: NoteKey
    /// The latest checkpoint that was cosigned; nil before the first.
    public var latest: Checkpoint?

    public init(key: NoteKey, latest: Checkpoint? = nil) {
        self.key = key
        self.latest = latest
    }

    public var size: UInt64 { latest?.size ?? 0 }
    var root: [UInt8] { latest?.root ?? MerkleTree.emptyRoot }

    /// Checks that a checkpoint may be cosigned after the latest one.
    ///
    /// What may be cosigned must be on the disk as the latest before it is: a witness that forgets can be made to cosign two
    /// trees of one log.
    /// - Throws: `WitnessRefusal`.
    /// - Returns: the checkpoint.
    public func check(_ request: AddCheckpoint) throws(WitnessRefusal) -> Checkpoint {
        let checkpoint: Checkpoint
        do {
            checkpoint = try Checkpoint.verify(request.checkpoint, log: key)
        } catch {
            let isUnsigned = error.code == .unsigned || error.code == .badSignature
            throw WitnessRefusal(isUnsigned ? .unsigned : .malformed, error.message)
        }
        guard request.oldSize <= checkpoint.size else {
            throw WitnessRefusal(.malformed, "the old size is larger than the checkpoint's")
        }
        if checkpoint.size == size, checkpoint.root != root {
            throw WitnessRefusal(
                .conflict(size: size),
                "the log has signed two different trees of \(size) entries",
                isFork: true
            )
        }
        guard request.oldSize == size else {
            throw WitnessRefusal(
                .conflict(size: size),
                "the log was followed up to \(size) entries, not to \(request.oldSize)"
            )
        }
        do {
            try MerkleTree.verifyConsistency(
                oldSize: size,
                oldRoot: root,
                size: checkpoint.size,
                root: checkpoint.root,
                proof: request.proof
            )
        } catch {
            throw WitnessRefusal(.inconsistent, error.message)
        }
        return checkpoint
    }
}
