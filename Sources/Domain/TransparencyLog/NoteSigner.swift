public import Cryptography

/// Whoever signs the notes of a log: a key in this process, or one that another holds.
public protocol NoteSigner: Sendable {
    /// What the signatures are checked with.
    var publicKey: Ed25519.PublicKey { get }

    /// The signature of a note's text: 64 bytes.
    func sign(_ text: [UInt8]) throws -> [UInt8]
}

extension Ed25519.PrivateKey: NoteSigner {}
