internal import Cryptography
internal import Encodings

/// The name of a DAG-CBOR block by its content: CIDv1, codec `dag-cbor`, SHA-256. No other is read.
///
/// Two are equal when the digests are; the text may be base58btc (`zdpu…`) or base32 (`bafy…`).
public struct CID: Hashable, Sendable, CustomStringConvertible {
    /// Version 1, codec 0x71, hash 0x12 of 0x20 bytes.
    static let prefix: [UInt8] = [0x01, 0x71, 0x12, 0x20]
    public static let byteCount = 36

    /// SHA-256 of the block, 32 bytes.
    public let digest: [UInt8]

    /// The name of a block.
    public init(of block: [UInt8]) {
        digest = Hashing.sha256(block)
    }

    /// Reads the 36 bytes.
    /// - Throws: `DelegationError` with `.malformedCID`.
    public init(bytes: [UInt8]) throws(DelegationError) {
        guard bytes.count == Self.byteCount, bytes.starts(with: Self.prefix) else {
            throw DelegationError(.malformedCID, "a CID here is version 1, dag-cbor, SHA-256: 36 bytes")
        }
        digest = [UInt8](bytes.dropFirst(4))
    }

    /// Reads the text form: multibase base58btc or base32.
    /// - Throws: `DelegationError` with `.malformedCID`.
    public init(parsing text: String) throws(DelegationError) {
        guard text.utf8.count <= 80, let first = text.utf8.first,
            first == UInt8(ascii: "b") || first == UInt8(ascii: "z"),
            let bytes = try? Multibase.decode(text, maximumBytes: Self.byteCount)
        else {
            throw DelegationError(.malformedCID, "a CID is written in base32 (b…) or base58btc (z…)")
        }
        try self.init(bytes: bytes)
    }

    public var bytes: [UInt8] { Self.prefix + digest }

    /// The base32 form, as UCAN's fixtures and most tools write it.
    public var description: String { Multibase.encode(bytes, as: .base32) }

    /// The base58btc form, as the text of UCAN writes it.
    public var base58btc: String { Multibase.encode(bytes, as: .base58btc) }
}

extension CBOR {
    /// A link: tag 42 around the CID's bytes behind a zero.
    static func link(_ cid: CID) -> CBOR { .tagged(42, .bytes([0] + cid.bytes)) }

    /// The CID of a link; nil where this is none that is read here.
    var linkValue: CID? {
        guard case .tagged(42, .bytes(let bytes)) = self, bytes.first == 0 else { return nil }
        return try? CID(bytes: [UInt8](bytes.dropFirst()))
    }
}
