import Cryptography
import Encodings

/// A SHA-256 digest in the notation of VC Data Model 2.0 `digestMultibase`: multibase of the multihash
/// `12 20` ‖ 32 bytes. We write base64url (`u`); base58btc (`z`) is read as well.
public enum MultihashDigest {
    /// `digest` must have 32 bytes.
    public static func encode(_ digest: [UInt8]) -> String {
        Multibase.encode([0x12, 0x20] + digest, as: .base64url)
    }

    /// The digest of `bytes`, encoded.
    public static func ofBytes(_ bytes: [UInt8]) -> String {
        encode(Hashing.sha256(bytes))
    }

    /// - Returns: the 32 bytes of the digest.
    /// - Throws: `DocumentError` with `.malformedDigest`.
    public static func decode(_ text: String) throws(DocumentError) -> [UInt8] {
        let bytes: [UInt8]
        do {
            bytes = try Multibase.decode(text, maximumBytes: 64)
        } catch {
            throw DocumentError(.malformedDigest, "a digest is multibase of a SHA-256 multihash")
        }
        guard bytes.count == 34, bytes[0] == 0x12, bytes[1] == 0x20 else {
            throw DocumentError(.malformedDigest, "a digest is a SHA-256 multihash: bytes 12 20 and 32 more")
        }
        return [UInt8](bytes.dropFirst(2))
    }

    /// The commitment to a key that will come next (pre-rotation): the digest of its did:key in UTF-8.
    public static func commitment(to next: DIDKey) -> String {
        ofBytes([UInt8](next.string.utf8))
    }
}
