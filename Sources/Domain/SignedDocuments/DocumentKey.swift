public import Cryptography

/// A private key that signs documents and tokens, with its DID worked out once.
public struct DocumentKey: Sendable {
    private let key: any SigningKey
    /// The algorithm of the tokens it signs.
    public let algorithm: JWSAlgorithm
    /// Its `did:key`.
    public let did: DIDKey
    /// The DID that documents are issued under: ``did``, or that of a document that lists the key.
    public let controller: String
    /// The DID URL of the key.
    public let verificationMethod: String

    public init(_ signer: DocumentSigner) {
        key = signer.key
        algorithm = .edDSA
        did = signer.did
        controller = signer.did.string
        verificationMethod = signer.verificationMethod
    }

    public init(_ key: Ed25519.PrivateKey) {
        self.init(DocumentSigner(key))
    }

    public init(_ key: P256.PrivateKey) {
        self.init(key, did: DIDKey(key.publicKey), algorithm: .es256)
    }

    /// With a key that is held elsewhere.
    /// - Throws: `DocumentError` `.unsupportedKey` for a key that signs no tokens.
    public init(heldBy key: any SigningKey) throws(DocumentError) {
        let did = key.did
        guard let algorithm = did.algorithm else {
            throw DocumentError(.unsupportedKey, "\(did) is of \(did.kind.rawValue), which signs no documents here")
        }
        self.init(key, did: did, algorithm: algorithm)
    }

    private init(_ key: any SigningKey, did: DIDKey, algorithm: JWSAlgorithm) {
        self.key = key
        self.did = did
        self.algorithm = algorithm
        controller = did.string
        verificationMethod = did.verificationMethod
    }

    /// The signature's 64 bytes.
    /// - Throws: as ``SigningKey/sign(_:)``.
    public func sign(_ input: SigningInput) throws -> [UInt8] { try key.sign(input) }

    func signature(_ input: SigningInput, of what: String) throws(DocumentError) -> [UInt8] {
        try key.signature(input, of: what)
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
