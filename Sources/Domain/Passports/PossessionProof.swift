public import Cryptography
import Encodings
public import SignedDocuments

/// How an agent that brings its own key shows that it holds it: an Ed25519 signature over a challenge of the node.
///
/// The text signed names its use, the node and the key, so that no signature made elsewhere can serve here.
public enum PossessionProof {
    /// What the signature is for.
    public enum Use: String, Sendable, CaseIterable {
        /// A new agent registers its first key.
        case registration
        /// A known agent moves to the key it committed to.
        case rotation
    }

    /// The UTF-8 bytes to sign.
    ///
    /// - Parameters:
    ///   - challenge: base64url as the node sent it.
    ///   - node: the DID of the node that asked.
    ///   - key: the DID of the key that signs.
    public static func message(_ use: Use, challenge: String, node: DIDKey, key: DIDKey) -> [UInt8] {
        Array("mintmark key possession v1\n\(use.rawValue)\n\(challenge)\n\(node.string)\n\(key.string)".utf8)
    }

    /// Signs a challenge: base64url of 64 bytes.
    public static func sign(
        _ use: Use,
        challenge: String,
        node: DIDKey,
        key: Ed25519.PrivateKey
    ) throws -> String {
        let message = message(use, challenge: challenge, node: node, key: DIDKey(key.publicKey))
        return Base64URL.encode(try key.sign(message))
    }

    /// Whether `signature` (base64url) is `key`'s over the challenge.
    public static func isValid(
        _ signature: String,
        _ use: Use,
        challenge: String,
        node: DIDKey,
        key: DIDKey
    ) -> Bool {
        guard signature.utf8.count <= 100, let bytes = try? Base64URL.decode(signature), let publicKey = key.ed25519
        else { return false }
        return publicKey.isValid(signature: bytes, for: message(use, challenge: challenge, node: node, key: key))
    }
}
