public import Cryptography
public import Encodings
public import SignedDocuments
public import Storage

/// All secrets of a node, from one source: the entropy of its twelve recovery words, sealed on disk under a passphrase
/// (scrypt and ChaCha20-Poly1305). Restoring the words restores every key.
///
/// An opened vault holds derived keys only; its description shows none of them.
public struct KeyVault: Sendable, CustomStringConvertible, CustomReflectable {
    /// The file in the data directory.
    public static let fileName = VaultFile.name
    /// The shortest passphrase taken for a new vault, in bytes of UTF-8.
    public static let minimumPassphraseBytes = 8

    /// The node's identity: signs passports, status lists and receipts.
    public let node: DocumentSigner
    /// Signs the forms of passports that need P-256, and their status lists.
    public let p256: DocumentKey
    /// The keys that may update the node's did:webvh derive from it: 32 bytes.
    private let didSeed: [UInt8]
    /// Seals the agents' keys that the node keeps: 32 bytes.
    public let agentSealingKey: [UInt8]
    /// The mint's keys derive from it: 32 bytes.
    public let mintSeed: [UInt8]
    /// The wallet's seed, the BIP-39 seed of the recovery words as NUT-13 wants it: 64 bytes.
    public let walletSeed: [UInt8]
    /// The key that buyers lock ecash to. Used by nothing but the claim table.
    public let sellerKey: Secp256k1.Scalar
    /// The account that pays the gas of x402 settlements.
    public let settlementKey: Secp256k1.Scalar
    /// Seals the secrets that a seller's credentials are made with: 32 bytes.
    public let paywallKey: [UInt8]
    /// Seals the node's backups: 32 bytes.
    public let backupKey: [UInt8]
    /// Cosigns other nodes' logs, where a witness runs on this vault. Never the node's own key ([LOG-7]).
    public let witnessKey: Ed25519.PrivateKey

    init(_ words: Mnemonic) throws {
        func derived(_ purpose: String) -> [UInt8] {
            Sealing.deriveKey(from: words.entropy, label: "mintmark v1 \(purpose)")
        }
        node = DocumentSigner(try Ed25519.PrivateKey(seed: derived("node identity")))
        p256 = DocumentKey(try Self.scalar { derived("node identity p256 \($0)") })
        didSeed = derived("did:webvh")
        agentSealingKey = derived("agent keys")
        mintSeed = derived("mint")
        walletSeed = words.seed()
        paywallKey = derived("paywall keys")
        backupKey = derived("backup")
        witnessKey = try Ed25519.PrivateKey(seed: derived("log witness"))
        sellerKey = try Secp256k1.Scalar(reducing: derived("seller ecash"))
        settlementKey = try Secp256k1.Scalar(reducing: derived("x402 settlement"))
    }

    /// The key that signs entry `number` of the node's did:webvh.
    func didKey(_ number: Int) throws -> DocumentSigner {
        DocumentSigner(try Ed25519.PrivateKey(seed: Sealing.deriveKey(from: didSeed, label: "entry \(number)")))
    }

    /// The first of the derived numbers that is a private key of P-256: one in 2^32 is none.
    private static func scalar(_ derived: (Int) -> [UInt8]) throws -> P256.PrivateKey {
        for attempt in 0..<8 {
            if let key = try? P256.PrivateKey(bytes: derived(attempt)) { return key }
        }
        throw IdentityError(.internalFailure, "no P-256 key could be derived")
    }

    // MARK: Making and opening

    /// Makes a vault and writes it to the data directory.
    ///
    /// - Parameters:
    ///   - words: new random words, or those of a node to restore. Show them to the operator once.
    ///   - passphrase: at least ``minimumPassphraseBytes`` bytes.
    ///   - parameters: the cost of guessing the passphrase.
    /// - Throws: `IdentityError` with `.vaultExists` where there is one already, `.invalidRequest` where the passphrase
    ///   is too short; `StorageError` where the file can't be written, and then nothing is.
    public static func create(
        in directory: DataDirectory,
        words: Mnemonic,
        passphrase: [UInt8],
        parameters: Sealing.PassphraseParameters = Sealing.PassphraseParameters(),
        now: Timestamp
    ) throws -> KeyVault {
        guard !VaultFile.exists(in: directory) else {
            throw IdentityError(
                .vaultExists,
                "\(directory.file(VaultFile.name)) is there already: a node's keys are never overwritten"
            )
        }
        try requireLongEnough(passphrase)
        let vault = try KeyVault(words)
        let file = try VaultFile.seal(
            words.entropy,
            passphrase: passphrase,
            parameters: parameters,
            node: vault.node.did,
            createdAt: now
        )
        try file.write(in: directory)
        return vault
    }

    /// Opens the vault of a data directory. Takes about a quarter of a second, by design of scrypt.
    ///
    /// - Throws: `IdentityError` with `.vaultMissing`, `.vaultUnreadable` or `.wrongPassphrase`.
    public static func open(in directory: DataDirectory, passphrase: [UInt8]) throws -> KeyVault {
        try KeyVault(words(in: directory, passphrase: passphrase))
    }

    /// The keys that recovery words stand for, without a file.
    public static func of(words: Mnemonic) throws -> KeyVault { try KeyVault(words) }

    /// Opens a vault from the bytes of its file, such as a backup holds.
    ///
    /// - Throws: as ``open(in:passphrase:)``.
    public static func open(file bytes: [UInt8], passphrase: [UInt8]) throws -> KeyVault {
        try KeyVault(try Mnemonic(entropy: try VaultFile(bytes: bytes, path: "the vault").open(passphrase: passphrase)))
    }

    /// Whether the data directory has a vault.
    public static func exists(in directory: DataDirectory) -> Bool {
        VaultFile.exists(in: directory)
    }

    /// The recovery words, for the operator's eyes.
    ///
    /// - Throws: as ``open(in:passphrase:)``.
    public static func words(in directory: DataDirectory, passphrase: [UInt8]) throws -> Mnemonic {
        let file = try VaultFile.read(in: directory)
        let words = try Mnemonic(entropy: try file.open(passphrase: passphrase))
        return words
    }

    /// Seals the same keys under another passphrase. The old file stands until the new one is on the disk.
    ///
    /// - Throws: as ``open(in:passphrase:)``; `.invalidRequest` where the new passphrase is too short.
    public static func changePassphrase(
        in directory: DataDirectory,
        from old: [UInt8],
        to new: [UInt8],
        parameters: Sealing.PassphraseParameters = Sealing.PassphraseParameters()
    ) throws {
        try requireLongEnough(new)
        let file = try VaultFile.read(in: directory)
        let entropy = try file.open(passphrase: old)
        let vault = try KeyVault(try Mnemonic(entropy: entropy))
        let changed = try VaultFile.seal(
            entropy,
            passphrase: new,
            parameters: parameters,
            node: vault.node.did,
            createdAt: file.createdAt
        )
        try changed.write(in: directory)
    }

    private static func requireLongEnough(_ passphrase: [UInt8]) throws {
        guard passphrase.count >= minimumPassphraseBytes, passphrase.count <= 1024 else {
            throw IdentityError(
                .invalidRequest,
                "a passphrase has \(minimumPassphraseBytes) to 1024 bytes; this one has \(passphrase.count)"
            )
        }
    }

    // MARK: Agents' keys

    /// Seals an agent's key for the database.
    func seal(_ key: Ed25519.PrivateKey, agent: String, did: DIDKey) throws -> [UInt8] {
        try Sealing.seal(key.seed, key: agentSealingKey, context: Self.context(agent, did))
    }

    /// Opens a sealed agent's key, bound to its agent and its DID.
    func open(_ sealed: [UInt8], agent: String, did: DIDKey) throws -> Ed25519.PrivateKey {
        do {
            let seed = try Sealing.open(sealed, key: agentSealingKey, context: Self.context(agent, did))
            return try Ed25519.PrivateKey(seed: seed)
        } catch {
            throw IdentityError(
                .internalFailure,
                "the sealed key of agent \(agent) does not open: the database belongs to another node's vault",
                cause: error
            )
        }
    }

    private static func context(_ agent: String, _ did: DIDKey) -> [UInt8] {
        Array("mintmark agent key v1\n\(agent)\n\(did.string)".utf8)
    }

    public var description: String { "KeyVault(\(node.did), redacted)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
