import Cryptography

/// The `Content-Digest` header (RFC 9530) with SHA-256.
public enum ContentDigest {
    /// The header's value for this body: `sha-256=:…:`.
    public static func header(for body: [UInt8]) -> String {
        header(sha256: Hashing.sha256(body))
    }

    /// The header's value for a digest of 32 bytes.
    public static func header(sha256 digest: [UInt8]) -> String {
        "sha-256=\(BareItem.bytes(digest).serialized)"
    }

    /// The 32 bytes of SHA-256 that a header value names. Other algorithms beside it are passed over.
    ///
    /// - Throws: `HTTPSignatureError` with `.digestMalformed`.
    public static func sha256(in header: String) throws(HTTPSignatureError) -> [UInt8] {
        let members: [(key: String, value: FieldMember)]
        do {
            members = try StructuredFieldParser.dictionary(header, maximumBytes: 1024)
        } catch {
            throw HTTPSignatureError(.digestMalformed, "`Content-Digest` is malformed: \(error.message)")
        }
        guard case .item(let item)? = members.first(where: { $0.key == "sha-256" })?.value,
            let digest = item.value.bytes, digest.count == 32
        else {
            throw HTTPSignatureError(.digestMalformed, "`Content-Digest` must have `sha-256=:…:` with 32 bytes")
        }
        return digest
    }

    /// Checks a digest that was worked out from the body against the header.
    ///
    /// - Throws: `HTTPSignatureError` with `.digestMalformed` or `.digestMismatch`.
    public static func check(_ header: String, sha256 digest: [UInt8]) throws(HTTPSignatureError) {
        guard ConstantTime.equal(try sha256(in: header), digest) else {
            throw HTTPSignatureError(.digestMismatch, "the body is not the one that `Content-Digest` names")
        }
    }
}
