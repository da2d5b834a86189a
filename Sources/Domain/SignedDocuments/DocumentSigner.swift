public import Cryptography

/// An Ed25519 key with its DID worked out once, for whoever signs many documents.
public struct DocumentSigner: Sendable {
    public let key: Ed25519.PrivateKey
    public let did: DIDKey
    let verificationMethod: String

    public init(_ key: Ed25519.PrivateKey) {
        self.key = key
        did = DIDKey(key.publicKey)
        verificationMethod = did.verificationMethod
    }
}
