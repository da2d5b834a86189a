internal import Encodings

/// The head of a log's tree, as its signed note says it (C2SP tlog-checkpoint).
public struct Checkpoint: Hashable, Sendable {
    /// The log's identity: its address without the scheme, such as `node.example/log`.
    public var origin: String
    /// How many entries there are: below 2⁶³.
    public var size: UInt64
    /// The root of the tree, 32 bytes.
    public var root: [UInt8]

    public init(origin: String, size: UInt64, root: [UInt8]) {
        self.origin = origin
        self.size = size
        self.root = root
    }

    /// The note's text: three lines. No extension lines are written.
    public var text: String { "\(origin)\n\(size)\n\(Base64.encode(root))\n" }

    /// Reads a note's text. Extension lines are allowed and passed over.
    ///
    /// - Throws: `malformed`.
    public init(text: String) throws(LogError) {
        let refusal = LogError(.malformed, "a checkpoint is the log's origin, the tree's size and its root")
        guard text.utf8.last == 0x0A else { throw refusal }
        let lines = text.dropLast().split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard lines.count >= 3, lines.allSatisfy({ !$0.isEmpty }), let size = Self.decimal(lines[1]),
            let root = try? Base64.decode(lines[2]), root.count == MerkleTree.hashLength,
            size > 0 || root == MerkleTree.emptyRoot
        else { throw refusal }
        self.init(origin: lines[0], size: size, root: root)
    }

    /// Signed by the log, whose key has the log's origin as its name.
    public func signed(by key: some NoteSigner) throws -> SignedNote {
        var note = try SignedNote(text: text)
        try note.sign(by: key, name: origin)
        return note
    }

    /// Reads a note and checks who signed it.
    ///
    /// - Parameters:
    ///   - log: the log's key; its name is the origin that is expected.
    ///   - witnesses: whose cosignatures count.
    ///   - quorum: how many of them must be there.
    /// - Throws: `malformed`, `wrongOrigin`, `unsigned`, `badSignature`, `tooFewWitnesses`.
    public static func verify(
        _ note: SignedNote,
        log: NoteKey,
        witnesses: [NoteKey] = [],
        quorum: Int = 0
    ) throws(LogError) -> Checkpoint {
        let checkpoint = try Checkpoint(text: note.text)
        guard checkpoint.origin == log.name else {
            throw LogError(.wrongOrigin, "the checkpoint is of \(checkpoint.origin), not of \(log.name)")
        }
        let signed = try note.verified(by: [log] + witnesses)
        guard signed.contains(where: { $0.key == log }) else {
            throw LogError(.unsigned, "the checkpoint is not signed by \(log.name)")
        }
        let found = signed.filter { $0.key != log }.count
        guard found >= quorum else {
            throw LogError(.tooFewWitnesses, "\(found) of the witnesses have signed, \(quorum) are needed")
        }
        return checkpoint
    }

    /// An integer in its one way to be written, below 2⁶³.
    static func decimal(_ text: some StringProtocol) -> UInt64? {
        guard (1...19).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }),
            text == "0" || text.utf8.first != UInt8(ascii: "0"), let value = Int64(text)
        else { return nil }
        return UInt64(value)
    }
}
