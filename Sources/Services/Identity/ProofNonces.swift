import Cryptography
import Encodings
import SignedDocuments

/// Nonces for proofs of possession (`c_nonce`), known again by a code under a key of this process: however many are asked
/// for, only those that were used take room.
final class ProofNonces: Sendable {
    private let key = SecureRandom.bytes(32)
    private let used = NonceStore(limit: 100_000)

    /// base64url of the end in milliseconds (8 bytes), 16 random bytes and the first 16 bytes of the code.
    func make(now: Timestamp) -> String {
        let end = now.adding(seconds: PassportOffers.nonceSeconds).millisecondsSince1970
        let body = withUnsafeBytes(of: end.bigEndian, Array.init) + SecureRandom.bytes(16)
        return Base64URL.encode(body + code(body))
    }

    /// Takes a nonce up, once for each key.
    func use(_ text: String, by holder: DIDKey, now: Timestamp) -> Bool {
        guard text.utf8.count <= 64, let bytes = try? Base64URL.decode(text), bytes.count == 40 else { return false }
        let body = Array(bytes.prefix(24))
        guard ConstantTime.equal(code(body), Array(bytes.suffix(16))) else { return false }
        let end = Timestamp(millisecondsSince1970: body.prefix(8).reduce(0) { $0 << 8 | Int64($1) })
        // By what it says, not by its text: base64url may write the same bytes in more than one way.
        return now < end && used.use(Hex.encode(body), of: holder, expires: end, now: now) == .fresh
    }

    private func code(_ body: [UInt8]) -> [UInt8] { Array(Hashing.hmacSHA256(key: key, body).prefix(16)) }
}
