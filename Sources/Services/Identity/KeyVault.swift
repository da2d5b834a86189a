internal import Cryptography
public import SignedDocuments

/// Holds the keys that a node issues with, in this process or in another. What is signed is told by its kind, never as bare
/// bytes, so that a vault can refuse what no node has to sign.
public protocol KeyVault: Sendable {
    /// The node's identity: signs passports, status lists, receipts and the log's checkpoints.
    var node: DocumentSigner { get }
    /// Signs the forms of passports that need P-256, and their status lists.
    var p256: DocumentKey { get }

    /// The key that signs entry `number` of the node's did:webvh.
    /// - Parameter number: 1 to 2³¹ − 1.
    /// - Throws: `DocumentError` `.keyUnavailable` where the vault cannot be reached now.
    func didKey(_ number: Int) throws -> DocumentSigner
}

/// The issuer's keys in this process, derived from the recovery words that lie sealed in a file.
public struct SealedFileVault: KeyVault, CustomStringConvertible, CustomReflectable {
    public let node: DocumentSigner
    public let p256: DocumentKey
    /// The mint's keys derive from it: 32 bytes.
    public let mintSeed: [UInt8]
    /// The keys that may update the node's did:webvh derive from it: 32 bytes.
    private let didSeed: [UInt8]

    init(_ words: Mnemonic) throws {
        node = DocumentSigner(try Ed25519.PrivateKey(seed: NodeKeys.derived("node identity", from: words)))
        p256 = DocumentKey(try Self.scalar { NodeKeys.derived("node identity p256 \($0)", from: words) })
        didSeed = NodeKeys.derived("did:webvh", from: words)
        mintSeed = NodeKeys.derived("mint", from: words)
    }

    public func didKey(_ number: Int) throws -> DocumentSigner {
        DocumentSigner(try Ed25519.PrivateKey(seed: Sealing.deriveKey(from: didSeed, label: "entry \(number)")))
    }

    /// The first of the derived numbers that is a private key of P-256: one in 2^32 is none.
    private static func scalar(_ derived: (Int) -> [UInt8]) throws -> P256.PrivateKey {
        for attempt in 0..<8 {
            if let key = try? P256.PrivateKey(bytes: derived(attempt)) { return key }
        }
        throw IdentityError(.internalFailure, "no P-256 key could be derived")
    }

    public var description: String { "SealedFileVault(\(node.did), redacted)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// Stands for a vault that nobody has asked yet: tells who the issuer is, and signs nothing.
struct UnaskedVault: KeyVault {
    let node: DocumentSigner
    let p256: DocumentKey

    init(node: DIDKey, p256: DIDKey) throws {
        self.node = try DocumentSigner(heldBy: Key(did: node))
        self.p256 = try DocumentKey(heldBy: Key(did: p256))
    }

    func didKey(_ number: Int) throws -> DocumentSigner { throw Key.away }

    private struct Key: SigningKey {
        let did: DIDKey
        var isAvailable: Bool { false }
        static let away = DocumentError(.keyUnavailable, "the node's keys are in a vault, which was not asked")

        func sign(_ input: SigningInput) throws -> [UInt8] { throw Self.away }
    }
}
