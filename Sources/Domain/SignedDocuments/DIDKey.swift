public import Cryptography
import Encodings

/// A decentralized identifier that is its own public key (`did:key`, W3C CCG draft v0.9):
/// `did:key:z` followed by base58btc of the key's multicodec prefix and its bytes.
///
/// Two values are equal when kind and key bytes are; the text form is unique for each.
public struct DIDKey: Hashable, Sendable, CustomStringConvertible {
    /// The kinds of key that a passport may name. Ed25519 and P-256 sign documents here; secp256k1 verifies others' tokens.
    public enum Kind: String, Sendable, CaseIterable {
        case ed25519
        case p256
        case secp256k1

        /// The multicodec code as an unsigned varint.
        var prefix: [UInt8] {
            switch self {
            case .ed25519: [0xed, 0x01]
            case .p256: [0x80, 0x24]
            case .secp256k1: [0xe7, 0x01]
            }
        }

        fileprivate init?(prefixOf bytes: [UInt8]) {
            guard bytes.count > 1 else { return nil }
            switch (bytes[0], bytes[1]) {
            case (0xed, 0x01): self = .ed25519
            case (0x80, 0x24): self = .p256
            case (0xe7, 0x01): self = .secp256k1
            default: return nil
            }
        }

        /// How many bytes a key of this kind has: 32, or 33 for a compressed curve point.
        var keyLength: Int { self == .ed25519 ? 32 : 33 }
    }

    /// The longest text accepted, in bytes; real ones have 56 or 57.
    public static let maximumLength = 128

    public let kind: Kind
    /// The raw public key: 32 bytes of Ed25519, or a 33-byte compressed point.
    public let publicKey: [UInt8]
    /// The DID itself, `did:key:z…`.
    public let string: String
    /// The key as it verifies, where reading it made one: to work a point out again costs half a signature's check.
    private let verifier: Verifier

    private enum Verifier: Sendable {
        case ed25519(Ed25519.PublicKey)
        case p256(P256.PublicKey)
        case none
    }

    /// The DID of an Ed25519 key.
    public init(_ key: Ed25519.PublicKey) {
        self.init(kind: .ed25519, publicKey: key.bytes, verifier: .ed25519(key))
    }

    /// The DID of a P-256 key.
    public init(_ key: P256.PublicKey) {
        self.init(kind: .p256, publicKey: key.compressed, verifier: .p256(key))
    }

    /// Reads `did:key:z…`, without a fragment.
    ///
    /// - Throws: `DocumentError` with `.malformedDID` where the text is no did:key or its key is no valid point,
    ///   `.unsupportedKey` where the key is of a kind not listed in ``Kind``.
    public init(parsing text: String) throws(DocumentError) {
        guard text.utf8.count <= Self.maximumLength, text.utf8.starts(with: "did:key:z".utf8) else {
            throw DocumentError(.malformedDID, "a did:key starts with `did:key:z` and has at most 128 characters")
        }
        let decoded: [UInt8]
        do {
            decoded = try Base58.decode([UInt8](text.utf8).dropFirst(9), maximumBytes: 80)
        } catch {
            throw DocumentError(.malformedDID, "the key in `\(text)` is not base58btc")
        }
        guard let kind = Kind(prefixOf: decoded) else {
            throw DocumentError(.unsupportedKey, "`\(text)` is not an Ed25519, P-256 or secp256k1 key")
        }
        let key = [UInt8](decoded[2...])
        guard key.count == kind.keyLength else {
            throw DocumentError(.malformedDID, "`\(text)` holds \(key.count) key bytes where \(kind.keyLength) belong")
        }
        do {
            switch kind {
            case .ed25519: verifier = .ed25519(try Ed25519.PublicKey(bytes: key))
            case .p256: verifier = .p256(try P256.PublicKey(compressed: key))
            case .secp256k1:
                _ = try Secp256k1.Point(compressed: key)
                verifier = .none
            }
        } catch {
            throw DocumentError(.malformedDID, "`\(text)` holds no valid \(kind.rawValue) key")
        }
        self.kind = kind
        self.publicKey = key
        self.string = text
    }

    /// `publicKey` must be a valid key of this kind.
    init(kind: Kind, publicKey: [UInt8]) {
        self.init(kind: kind, publicKey: publicKey, verifier: .none)
    }

    private init(kind: Kind, publicKey: [UInt8], verifier: Verifier) {
        self.kind = kind
        self.publicKey = publicKey
        self.verifier = verifier
        self.string = "did:key:" + Multibase.encode(kind.prefix + publicKey, as: .base58btc)
    }

    /// The part after `did:key:`, which is also the fragment of the one verification method.
    public var multibaseKey: String { String(string.dropFirst(8)) }

    /// The DID URL of the key: the DID, `#`, and the multibase key once more.
    public var verificationMethod: String { "\(string)#\(multibaseKey)" }

    /// The key, where it is an Ed25519 key.
    public var ed25519: Ed25519.PublicKey? {
        guard kind == .ed25519 else { return nil }
        if case .ed25519(let key) = verifier { return key }
        return try? Ed25519.PublicKey(bytes: publicKey)
    }

    /// The key, where it is a P-256 key.
    var p256: P256.PublicKey? {
        guard kind == .p256 else { return nil }
        if case .p256(let key) = verifier { return key }
        return try? P256.PublicKey(compressed: publicKey)
    }

    /// Reads a verification method URL: a did:key, `#`, and that DID's own multibase key.
    public init(verificationMethod text: String) throws(DocumentError) {
        guard let mark = text.utf8.firstIndex(of: UInt8(ascii: "#")), text.utf8.count <= 2 * Self.maximumLength else {
            throw DocumentError(.malformedDID, "a verification method is a did:key, `#` and its key")
        }
        let did = try DIDKey(parsing: String(text[..<mark]))
        guard String(text[text.utf8.index(after: mark)...]).hasSameCodeUnits(as: did.multibaseKey) else {
            throw DocumentError(.malformedDID, "the fragment of `\(text)` is not the key of its DID")
        }
        self = did
    }

    public static func == (left: DIDKey, right: DIDKey) -> Bool {
        left.kind == right.kind && left.publicKey == right.publicKey
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(kind)
        publicKey.withUnsafeBytes { hasher.combine(bytes: $0) }
    }

    public var description: String { string }
}
