public import Cryptography
import Encodings

/// A public key that signs notes, with the name it signs under (C2SP signed-note, "Verifier keys").
public struct NoteKey: Hashable, Sendable, CustomStringConvertible {
    /// What a signature says. One key should serve one kind only.
    public enum Kind: UInt8, Sendable {
        /// Ed25519 over the text: a log's own.
        case ed25519 = 0x01
        /// Ed25519 over a time and a checkpoint (C2SP tlog-cosignature): a witness's.
        case cosignature = 0x04
    }

    public let name: String
    public let kind: Kind
    public let key: Ed25519.PublicKey
    /// The first four bytes of SHA-256(name ‖ 0A ‖ kind ‖ key).
    public let id: [UInt8]

    /// - Parameter name: not empty, without spaces and `+`; a URL without its scheme.
    /// - Throws: `malformed` where the name is none.
    public init(name: String, kind: Kind = .ed25519, key: Ed25519.PublicKey) throws(LogError) {
        guard SignedNote.isKeyName(name) else {
            throw LogError(.malformed, "a key's name is 1 to 255 bytes without spaces, controls and `+`")
        }
        self.name = name
        self.kind = kind
        self.key = key
        id = Array(Hashing.sha256(Array(name.utf8) + [0x0A, kind.rawValue] + key.bytes).prefix(4))
    }

    /// Reads `<name>+<id in hex>+<base64 of kind and key>`.
    ///
    /// - Throws: `malformed`, also where the id is not the key's.
    public init(vkey text: String) throws(LogError) {
        let refusal = LogError(.malformed, "a log's key is written `name+id in hex+base64 of an Ed25519 key`")
        let parts = text.split(separator: "+", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        guard text.utf8.count <= 512, parts.count == 3, let id = try? Hex.decode(parts[1]),
            let material = try? Base64.decode(parts[2]), material.count == 33, let kind = Kind(rawValue: material[0]),
            let key = try? Ed25519.PublicKey(bytes: Array(material.dropFirst()))
        else { throw refusal }
        try self.init(name: parts[0], kind: kind, key: key)
        guard self.id == id else { throw LogError(.malformed, "the id in the log's key is not that of its key") }
    }

    /// The verifier key's text.
    public var description: String {
        "\(name)+\(Hex.encode(id))+\(Base64.encode([kind.rawValue] + key.bytes))"
    }
}

/// A text with signatures under it (C2SP signed-note).
public struct SignedNote: Hashable, Sendable {
    /// A line under the text. What it is worth is known only with the key.
    public struct Signature: Hashable, Sendable {
        public var name: String
        /// The key's id, 4 bytes.
        public var keyID: [UInt8]
        /// What follows the id.
        public var bytes: [UInt8]

        public init(name: String, keyID: [UInt8], bytes: [UInt8]) {
            self.name = name
            self.keyID = keyID
            self.bytes = bytes
        }

        /// The line, with its newline.
        public var line: String { "\u{2014} \(name) \(Base64.encode(keyID + bytes))\n" }

        /// Reads a line without its newline.
        /// - Throws: `malformed`.
        public init(line: Substring) throws(LogError) {
            let parts = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 3, parts[0] == "\u{2014}", SignedNote.isKeyName(parts[1]),
                let bytes = try? Base64.decode(parts[2]), bytes.count > 4
            else { throw LogError(.malformed, "a signature's line is an em dash, the key's name and base64") }
            self.init(name: parts[1], keyID: Array(bytes.prefix(4)), bytes: Array(bytes.dropFirst(4)))
        }
    }

    /// The longest note that is read, in bytes: room for a hundred signatures.
    public static let maximumBytes = 64 * 1024
    public static let maximumSignatures = 100

    /// Ends with a newline.
    public let text: String
    public private(set) var signatures: [Signature]

    /// - Parameter text: ends with a newline; no control characters but newlines.
    /// - Throws: `malformed`.
    public init(text: String, signatures: [Signature] = []) throws(LogError) {
        guard text.utf8.last == 0x0A, text.utf8.allSatisfy({ $0 >= 0x20 || $0 == 0x0A }) else {
            throw LogError(.malformed, "a note's text ends with a newline and has no other control characters")
        }
        self.text = text
        self.signatures = signatures
    }

    /// Reads a note with at least one signature.
    ///
    /// - Throws: `malformed`.
    public init(_ note: String) throws(LogError) {
        let refusal = LogError(.malformed, "a note is a text, an empty line, and lines with signatures")
        guard note.utf8.count <= Self.maximumBytes, note.utf8.last == 0x0A else { throw refusal }
        // The last empty line: a text may have some of its own.
        let bytes = Array(note.utf8)
        guard let gap = (1..<bytes.count).last(where: { bytes[$0] == 0x0A && bytes[$0 - 1] == 0x0A }) else {
            throw refusal
        }
        let lines = String(decoding: bytes[(gap + 1)...], as: UTF8.self)
            .split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        guard (1...Self.maximumSignatures).contains(lines.count) else { throw refusal }
        var signatures: [Signature] = []
        for line in lines { signatures.append(try Signature(line: line)) }
        try self.init(text: String(decoding: bytes[..<gap], as: UTF8.self), signatures: signatures)
    }

    /// The whole note.
    public var string: String { text + "\n" + signatures.map(\.line).joined() }

    /// Adds a signature of a log's own kind.
    public mutating func sign(by key: some NoteSigner, name: String) throws {
        let verifier = try NoteKey(name: name, key: key.publicKey)
        signatures.append(
            Signature(name: name, keyID: verifier.id, bytes: try key.sign(Array(text.utf8)))
        )
    }

    /// Adds a signature that was made elsewhere, unless it is there.
    public mutating func add(_ signature: Signature) {
        guard !signatures.contains(signature), signatures.count < Self.maximumSignatures else { return }
        signatures.append(signature)
    }

    /// A witness's signature at a time (C2SP tlog-cosignature, Ed25519).
    public func cosignature(
        by key: Ed25519.PrivateKey,
        name: String,
        secondsSince1970: UInt64
    ) throws -> Signature {
        let verifier = try NoteKey(name: name, kind: .cosignature, key: key.publicKey)
        let time = (0..<8).reversed().map { UInt8(truncatingIfNeeded: secondsSince1970 >> (8 * UInt64($0))) }
        let bytes = time + (try key.sign(cosigned(at: secondsSince1970)))
        return Signature(name: name, keyID: verifier.id, bytes: bytes)
    }

    private func cosigned(at secondsSince1970: UInt64) -> [UInt8] {
        Array("cosignature/v1\ntime \(secondsSince1970)\n\(text)".utf8)
    }

    /// A signature that holds.
    public struct Verified: Hashable, Sendable {
        public var key: NoteKey
        /// When a witness says that it signed.
        public var secondsSince1970: UInt64?
    }

    /// Those of `keys` that have signed.
    ///
    /// Signatures of other keys are passed over.
    /// - Throws: `badSignature` where a signature by the name and id of one of `keys` does not hold: such a note is not to
    ///   be used at all.
    public func verified(by keys: [NoteKey]) throws(LogError) -> [Verified] {
        var verified: [Verified] = []
        for signature in signatures {
            guard let key = keys.first(where: { $0.name == signature.name && $0.id == signature.keyID }) else {
                continue
            }
            var (message, bytes) = (Array(text.utf8), signature.bytes)
            var time: UInt64?
            if key.kind == .cosignature, bytes.count == 72 {
                let seconds = bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
                message = cosigned(at: seconds)
                bytes = Array(bytes.dropFirst(8))
                time = seconds
            }
            guard bytes.count == 64, time ?? 0 <= UInt64(Int64.max), key.key.isValid(signature: bytes, for: message)
            else {
                throw LogError(.badSignature, "the signature of \(key.name) under the note does not hold")
            }
            if !verified.contains(where: { $0.key == key }) {
                verified.append(Verified(key: key, secondsSince1970: time))
            }
        }
        return verified
    }

    static func isKeyName(_ name: String) -> Bool {
        (1...255).contains(name.utf8.count)
            && name.unicodeScalars.allSatisfy { $0.value > 0x20 && $0 != "+" && !$0.properties.isWhitespace }
    }
}
