public import Cryptography

/// An Ed25519 key with its DID worked out once, for whoever signs many documents.
public struct DocumentSigner: Sendable {
    public let key: any SigningKey
    public let did: DIDKey
    let verificationMethod: String

    public init(_ key: Ed25519.PrivateKey) {
        self.init(key, did: DIDKey(key.publicKey))
    }

    /// With a key that is held elsewhere.
    /// - Throws: `DocumentError` `.unsupportedKey` for another kind of key than Ed25519.
    public init(heldBy key: any SigningKey) throws(DocumentError) {
        let did = key.did
        guard did.kind == .ed25519 else {
            throw DocumentError(.unsupportedKey, "\(did) is of \(did.kind.rawValue); an Ed25519 key is needed")
        }
        self.init(key, did: did)
    }

    private init(_ key: any SigningKey, did: DIDKey) {
        self.key = key
        self.did = did
        verificationMethod = did.verificationMethod
    }
}
