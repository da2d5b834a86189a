public import Cryptography

/// A private key that signs documents and tokens, with its DID worked out once.
public struct DocumentKey: Sendable {
    private enum Key: Sendable {
        case ed25519(Ed25519.PrivateKey)
        case p256(P256.PrivateKey)
    }

    private let key: Key
    /// Its `did:key`.
    public let did: DIDKey
    /// The DID that documents are issued under: ``did``, or that of a document that lists the key.
    public let controller: String
    /// The DID URL of the key.
    public let verificationMethod: String

    public init(_ signer: DocumentSigner) {
        key = .ed25519(signer.key)
        did = signer.did
        controller = signer.did.string
        verificationMethod = signer.verificationMethod
    }

    public init(_ key: Ed25519.PrivateKey) {
        self.init(DocumentSigner(key))
    }

    public init(_ key: P256.PrivateKey) {
        self.key = .p256(key)
        did = DIDKey(key.publicKey)
        controller = did.string
        verificationMethod = did.verificationMethod
    }

    /// The algorithm of the tokens it signs.
    public var algorithm: JWSAlgorithm {
        switch key {
        case .ed25519: .edDSA
        case .p256: .es256
        }
    }

    /// 64 bytes: an Ed25519 signature, or r‖s.
    public func sign(_ message: [UInt8]) throws(CryptographyError) -> [UInt8] {
        switch key {
        case .ed25519(let key): try key.sign(message)
        case .p256(let key): try key.sign(message)
        }
    }
}

extension DIDKey {
    /// Whether the 64 bytes are this key's signature of the message. A secp256k1 key verifies nothing here.
    public func isValid(signature: [UInt8], for message: [UInt8]) -> Bool {
        switch kind {
        case .ed25519: ed25519?.isValid(signature: signature, for: message) ?? false
        case .p256: p256?.isValid(signature: signature, for: message) ?? false
        case .secp256k1: false
        }
    }

    /// The algorithm of tokens that this key can have signed.
    public var algorithm: JWSAlgorithm? {
        switch kind {
        case .ed25519: .edDSA
        case .p256: .es256
        case .secp256k1: nil
        }
    }
}
