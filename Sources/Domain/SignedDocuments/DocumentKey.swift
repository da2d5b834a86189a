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
        guard did.kind != .secp256k1 else {
            throw DocumentError(.unsupportedKey, "\(did) is of secp256k1, which signs no documents here")
        }
        self.init(key, did: did, algorithm: did.algorithm)
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
    /// Whether the 64 bytes are this key's signature of the message, of whose SHA-256 a curve's key signs.
    public func isValid(signature: [UInt8], for message: [UInt8]) -> Bool {
        switch kind {
        case .ed25519: ed25519?.isValid(signature: signature, for: message) ?? false
        case .p256: p256?.isValid(signature: signature, for: message) ?? false
        case .secp256k1: isValidSecp256k1(signature, message)
        }
    }

    /// JOSE asks for no low s (RFC 8812 §3.2), and others' signers make both.
    private func isValidSecp256k1(_ signature: [UInt8], _ message: [UInt8]) -> Bool {
        guard let point = try? Secp256k1.Point(compressed: publicKey),
            let low = try? Secp256k1.ECDSA.lowS(signature: signature)
        else { return false }
        return Secp256k1.ECDSA.isValid(signature: low, digest: Hashing.sha256(message), publicKey: point)
    }

    /// The algorithm of tokens that this key can have signed.
    public var algorithm: JWSAlgorithm {
        switch kind {
        case .ed25519: .edDSA
        case .p256: .es256
        case .secp256k1: .es256K
        }
    }
}
