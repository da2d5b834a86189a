internal import Cryptography
internal import Encodings

/// The name of a peer: the multihash of its public key (libp2p peer-ids).
///
/// Keys of at most 42 bytes, which are all that this module speaks, stand in it as they are (identity multihash); the
/// SHA-256 form of longer keys can be named and compared, and its key is not in it.
public struct PeerID: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The multihash: 34 bytes for SHA-256, 38 or 39 with an Ed25519 or secp256k1 key.
    public let bytes: [UInt8]

    /// The most bytes that a peer id has: an identity multihash of 42.
    static let maximumBytes = 44

    public init(_ key: PeerPublicKey) {
        let protobuf = key.protobuf
        bytes = [0x00, UInt8(truncatingIfNeeded: protobuf.count)] + protobuf
    }

    /// Reads the multihash.
    /// - Throws: `Libp2pError` with `.malformed`, or what is wrong with the key that stands in it.
    public init(bytes: some Collection<UInt8>) throws(Libp2pError) {
        guard bytes.count <= Self.maximumBytes else {
            throw Libp2pError(.malformed, "a peer id has at most \(Self.maximumBytes) bytes")
        }
        let bytes = [UInt8](bytes)
        guard bytes.count >= 2, Int(bytes[1]) == bytes.count - 2 else {
            throw Libp2pError(.malformed, "a peer id is one multihash, whole")
        }
        switch bytes[0] {
        case 0x00: _ = try PeerPublicKey(protobuf: bytes.dropFirst(2))
        case 0x12 where bytes.count == 34: break
        default: throw Libp2pError(.malformed, "a peer id is an identity or a SHA-256 multihash")
        }
        self.bytes = bytes
    }

    /// Reads the text: base58 (`12D3Koo…`, `16Uiu2…`, `Qm…`), or a CIDv1 of codec `libp2p-key` in base32 (`b…`), base36
    /// (`k…`) or base58 (`z…`).
    /// - Throws: `Libp2pError` with `.malformed`.
    public init(parsing text: String) throws(Libp2pError) {
        guard text.utf8.count <= 128, let first = text.utf8.first else {
            throw Libp2pError(.malformed, "a peer id is written with 46 to 80 characters")
        }
        let bytes: [UInt8]
        do {
            switch first {
            case UInt8(ascii: "1"), UInt8(ascii: "Q"):
                bytes = try Base58.decode(text, maximumBytes: Self.maximumBytes)
            case UInt8(ascii: "k"):
                bytes = try Self.multihash(
                    inCID: Base36.decode(text.utf8.dropFirst(), maximumBytes: Self.maximumBytes + 2)
                )
            default:
                bytes = try Self.multihash(inCID: Multibase.decode(text, maximumBytes: Self.maximumBytes + 2))
            }
        } catch {
            throw Libp2pError(.malformed, "this is no peer id: \(error.message)")
        }
        try self.init(bytes: bytes)
    }

    private static func multihash(inCID cid: [UInt8]) throws(EncodingError) -> [UInt8] {
        guard cid.starts(with: [0x01, 0x72]) else {
            throw EncodingError(.unsupported, "the CID is not version 1 of codec libp2p-key")
        }
        return [UInt8](cid.dropFirst(2))
    }

    /// The key that stands in the id; nil for the SHA-256 form.
    public var publicKey: PeerPublicKey? {
        bytes[0] == 0x00 ? try? PeerPublicKey(protobuf: bytes.dropFirst(2)) : nil
    }

    /// Base58, the form that is shown.
    public var description: String { Base58.encode(bytes) }

    /// The CIDv1 in base36, as IPNS names and subdomains write it.
    public var base36: String { "k" + Base36.encode([0x01, 0x72] + bytes) }

    /// The CIDv1 in base32.
    public var base32: String { Multibase.encode([0x01, 0x72] + bytes, as: .base32) }

    public static func < (first: PeerID, second: PeerID) -> Bool {
        first.bytes.lexicographicallyPrecedes(second.bytes)
    }
}

/// Base36 in lower case (multibase `k`, without the prefix): leading zero bytes are leading `0`s, as in base58. Time is
/// quadratic in the length; only peer ids are written with it.
enum Base36 {
    private static let digits = [UInt8]("0123456789abcdefghijklmnopqrstuvwxyz".utf8)

    static func encode(_ bytes: [UInt8]) -> String {
        var rest = [UInt8](bytes.drop { $0 == 0 })
        var text: [UInt8] = []
        while !rest.isEmpty {
            var remainder = 0
            for index in rest.indices {
                let value = remainder << 8 | Int(rest[index])
                rest[index] = UInt8(truncatingIfNeeded: value / 36)
                remainder = value % 36
            }
            text.append(digits[remainder])
            rest = [UInt8](rest.drop { $0 == 0 })
        }
        text.append(contentsOf: repeatElement(digits[0], count: bytes.prefix { $0 == 0 }.count))
        return String(decoding: text.reversed(), as: UTF8.self)
    }

    static func decode(_ text: some Collection<UInt8>, maximumBytes: Int) throws(EncodingError) -> [UInt8] {
        // A byte takes 1.55 digits at most.
        guard text.count <= maximumBytes * 14 / 9 + 2 else { throw tooLarge(maximumBytes) }
        var bytes: [UInt8] = []  // least significant first
        for (index, digit) in text.enumerated() {
            var carry: Int
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): carry = Int(digit - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "z"): carry = Int(digit - UInt8(ascii: "a")) + 10
            default: throw EncodingError(.invalidCharacter, "character \(index + 1) is not a base36 digit")
            }
            for position in bytes.indices {
                carry += Int(bytes[position]) * 36
                bytes[position] = UInt8(truncatingIfNeeded: carry)
                carry >>= 8
            }
            if carry > 0 { bytes.append(UInt8(truncatingIfNeeded: carry)) }
        }
        bytes.append(contentsOf: repeatElement(0, count: text.prefix { $0 == UInt8(ascii: "0") }.count))
        guard bytes.count <= maximumBytes else { throw tooLarge(maximumBytes) }
        return bytes.reversed()
    }

    private static func tooLarge(_ maximumBytes: Int) -> EncodingError {
        EncodingError(.tooLarge, "base36 text holds more than the \(maximumBytes) bytes allowed here")
    }
}
