public import Cryptography

/// What is to be signed, in the form that says what it is, so that whoever holds the key can see what it puts its name to.
public enum SigningInput: Sendable, Hashable {
    /// A Data Integrity proof: the canonical bytes of the proof without its value, and of the document without its proof.
    case document(Cryptosuite, proof: [UInt8], document: [UInt8])
    /// A JWS (RFC 7515): header and payload in base64url, with a point between.
    case token([UInt8])
    /// The text of a signed note (C2SP signed-note), such as a log's checkpoint.
    case note([UInt8])
    /// What the signature of a UCAN covers: its header and payload in DAG-CBOR.
    case delegation([UInt8])
    /// A signature base (RFC 9421, 2.5).
    case request([UInt8])

    /// The bytes that the signature covers.
    public var message: [UInt8] {
        switch self {
        case .document(_, let proof, let document): Hashing.sha256(proof) + Hashing.sha256(document)
        case .token(let bytes), .note(let bytes), .delegation(let bytes), .request(let bytes): bytes
        }
    }
}

/// A private key that signs what is told to it by its kind. It may be held by another process.
///
/// `sign` is called where documents are put together, also inside a transaction, so that it has to come back soon: a key
/// held elsewhere gives up within a few seconds.
public protocol SigningKey: Sendable {
    /// The DID of its public key.
    var did: DIDKey { get }

    /// False while it is known that nothing can be signed, so that no work is begun that would need it.
    var isAvailable: Bool { get }

    /// The 64 bytes of the signature over ``SigningInput/message``: of Ed25519, or r‖s.
    /// - Throws: `DocumentError` `.keyUnavailable` where the key cannot be reached now, `.notSignable` where its holder
    ///   refuses.
    func sign(_ input: SigningInput) throws -> [UInt8]
}

extension Ed25519.PrivateKey: SigningKey {
    public var did: DIDKey { DIDKey(publicKey) }

    public func sign(_ input: SigningInput) throws -> [UInt8] { try sign(input.message) }
}

extension P256.PrivateKey: SigningKey {
    public var did: DIDKey { DIDKey(publicKey) }

    public func sign(_ input: SigningInput) throws -> [UInt8] { try sign(input.message) }
}

extension SigningKey {
    public var isAvailable: Bool { true }

    /// As ``sign(_:)``, with every failure told as a `DocumentError`.
    func signature(_ input: SigningInput, of what: String) throws(DocumentError) -> [UInt8] {
        do {
            return try sign(input)
        } catch let error as DocumentError {
            throw error
        } catch {
            throw DocumentError(.notSignable, "the \(what) cannot be signed: \(error)")
        }
    }
}
