import Cryptography
import Encodings

/// A proof that a log holds an entry, to be checked offline with nothing but the log's key (C2SP tlog-proof).
public struct LogProof: Hashable, Sendable {
    private static let heading = "c2sp.org/tlog-proof@v1"

    /// What the application needs to know the entry by: not authenticated by itself. Ours is the salt of the document.
    public var extra: [UInt8]?
    public var index: UInt64
    /// The siblings' hashes, from the leaf's upwards.
    public var hashes: [[UInt8]]
    /// The checkpoint's note, with the log's signature and those of witnesses.
    public var checkpoint: SignedNote

    public init(extra: [UInt8]? = nil, index: UInt64, hashes: [[UInt8]], checkpoint: SignedNote) {
        self.extra = extra
        self.index = index
        self.hashes = hashes
        self.checkpoint = checkpoint
    }

    /// The proof's text.
    public var string: String {
        var text = Self.heading + "\n"
        if let extra { text += "extra \(Base64.encode(extra))\n" }
        text += "index \(index)\n"
        for hash in hashes { text += Base64.encode(hash) + "\n" }
        return text + "\n" + checkpoint.string
    }

    /// - Throws: `malformed`.
    public init(_ text: String) throws(LogError) {
        let refusal = LogError(.malformed, "a proof is `\(Self.heading)`, `index`, hashes and a checkpoint")
        guard text.utf8.count <= 2 * SignedNote.maximumBytes else { throw refusal }
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)[...]
        guard lines.popFirst() == Self.heading[...] else { throw refusal }
        var extra: [UInt8]?
        if let line = lines.first, line.hasPrefix("extra ") {
            guard let bytes = try? Base64.decode(String(line.dropFirst(6))) else { throw refusal }
            extra = bytes
            lines = lines.dropFirst()
        }
        guard let line = lines.popFirst(), line.hasPrefix("index "), let index = Checkpoint.decimal(line.dropFirst(6))
        else { throw refusal }
        var hashes: [[UInt8]] = []
        while let line = lines.popFirst(), !line.isEmpty {
            guard hashes.count < MerkleTree.maximumProofLength, let hash = try? Base64.decode(String(line)),
                hash.count == MerkleTree.hashLength
            else { throw refusal }
            hashes.append(hash)
        }
        self.init(
            extra: extra,
            index: index,
            hashes: hashes,
            checkpoint: try SignedNote(lines.joined(separator: "\n"))
        )
    }

    /// Checks that the log holds `entry`.
    ///
    /// - Parameter instant: where given, only witnesses that signed before it count, in seconds since 1970. A thief of a
    ///   key can backdate what he signs, but not what a witness saw ([LOG-9]).
    /// - Throws: what ``Checkpoint/verify(_:log:witnesses:quorum:)`` throws; `outOfRange`, `notIncluded`, `witnessedTooLate`.
    /// - Returns: the checkpoint.
    @discardableResult
    public func verify(
        entry: [UInt8],
        log: NoteKey,
        witnesses: [NoteKey] = [],
        quorum: Int = 0,
        before instant: UInt64? = nil
    ) throws(LogError) -> Checkpoint {
        let head = try Checkpoint.verify(checkpoint, log: log, witnesses: witnesses, quorum: quorum)
        if let instant {
            let early = try checkpoint.verified(by: witnesses).count {
                $0.secondsSince1970.map { $0 < instant } ?? false
            }
            guard early >= max(quorum, 1) else {
                throw LogError(
                    .witnessedTooLate,
                    "\(early) of the witnesses had signed before that instant, \(max(quorum, 1)) are needed"
                )
            }
        }
        try MerkleTree.verifyInclusion(
            leaf: MerkleTree.leaf(entry),
            index: index,
            size: head.size,
            proof: hashes,
            root: head.root
        )
        return head
    }
}

/// What our log holds of a document: SHA-256(salt ‖ document), so that neither its kind nor its amount nor its time can be
/// told from the log. Whoever holds the document gets the salt with the proof.
public struct SaltedEntry: Hashable, Sendable {
    public static let saltLength = 16

    /// 16 random bytes, of this document alone.
    public var salt: [UInt8]
    /// The entry, 32 bytes.
    public var entry: [UInt8]

    /// - Parameters:
    ///   - document: its bytes as they are kept and served.
    /// - Throws: `malformed` where the salt has another length.
    public init(salt: [UInt8], document: [UInt8]) throws(LogError) {
        guard salt.count == Self.saltLength else {
            throw LogError(.malformed, "the salt of a log's entry has \(Self.saltLength) bytes")
        }
        self.salt = salt
        entry = Hashing.sha256(salt + document)
    }
}
