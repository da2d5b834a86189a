public import Cryptography
public import Encodings
public import SignedDocuments
public import Storage

/// All secrets of a node as its parts use them. They come from one source, the entropy of twelve recovery words, sealed on
/// disk under a passphrase (scrypt and ChaCha20-Poly1305); restoring the words restores every key.
///
/// The keys that it issues with can be held by another process (``KeyVault``): then the file has neither them nor the
/// mint's seed nor the words, only what is derived for the rest. Its description shows no key.
public struct NodeKeys: Sendable, CustomStringConvertible, CustomReflectable {
    /// The file in the data directory.
    public static let fileName = VaultFile.name
    /// The shortest passphrase taken for a new vault, in bytes of UTF-8.
    public static let minimumPassphraseBytes = 8

    /// Where the issuer's keys are.
    public let vault: any KeyVault
    /// The vault process that has them and the mint's, where one has; nil: this process.
    public let place: VaultPlace?
    /// The mint's keys derive from it: 32 bytes; nil where a vault process has it.
    public let mintSeed: [UInt8]?
    /// Seals the agents' keys that the node keeps: 32 bytes.
    public let agentSealingKey: [UInt8]
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
    /// Cosigns other nodes' logs, where a witness runs on these words; nil where they are in a vault. Never the node's own
    /// key ([LOG-7]).
    public let witnessKey: Ed25519.PrivateKey?

    /// The node's identity: signs passports, status lists and receipts.
    public var node: DocumentSigner { vault.node }
    /// Signs the forms of passports that need P-256, and their status lists.
    public var p256: DocumentKey { vault.p256 }

    /// What the node is known by on the gossip network: the same as long as the words are, also where the issuer's keys are
    /// in a vault. It tells nothing of the node's DID.
    public func peerKey() throws -> Ed25519.PrivateKey {
        try Ed25519.PrivateKey(seed: Sealing.deriveKey(from: agentSealingKey, label: "mintmark v1 gossip peer"))
    }

    /// Makes the codes that the addresses end with where postage for records is sold: 32 bytes.
    public var postageSecret: [UInt8] { Sealing.deriveKey(from: agentSealingKey, label: "mintmark v1 record postage") }

    init(_ words: Mnemonic) throws {
        let vault = try SealedFileVault(words)
        self.vault = vault
        place = nil
        mintSeed = vault.mintSeed
        agentSealingKey = Self.derived("agent keys", from: words)
        walletSeed = words.seed()
        paywallKey = Self.derived("paywall keys", from: words)
        backupKey = Self.derived("backup", from: words)
        witnessKey = try Ed25519.PrivateKey(seed: Self.derived("log witness", from: words))
        sellerKey = try Secp256k1.Scalar(reducing: Self.derived("seller ecash", from: words))
        settlementKey = try Secp256k1.Scalar(reducing: Self.derived("x402 settlement", from: words))
    }

    static func derived(_ purpose: String, from words: Mnemonic) -> [UInt8] {
        Sealing.deriveKey(from: words.entropy, label: "mintmark v1 \(purpose)")
    }

    // MARK: Without the issuer's keys

    /// How many bytes ``remainder`` has.
    private static let remainderLength = 224

    /// The secrets that stay with a node whose issuer's and mint's keys are in a vault: none of those can be worked out
    /// from them.
    var remainder: [UInt8] {
        agentSealingKey + walletSeed + paywallKey + backupKey + sellerKey.bytes + settlementKey.bytes
    }

    init(remainder: [UInt8], vault: any KeyVault, place: VaultPlace) throws {
        guard remainder.count == Self.remainderLength else {
            throw IdentityError(.vaultUnreadable, "the sealed keys have \(remainder.count) bytes")
        }
        var reader = ByteReader(remainder)
        self.vault = vault
        self.place = place
        mintSeed = nil
        witnessKey = nil
        agentSealingKey = try reader.bytes(32)
        walletSeed = try reader.bytes(64)
        paywallKey = try reader.bytes(32)
        backupKey = try reader.bytes(32)
        sellerKey = try Secp256k1.Scalar(bytes: reader.bytes(32))
        settlementKey = try Secp256k1.Scalar(bytes: reader.bytes(32))
    }

    /// The same keys, with those of the issuer from a vault that was reached.
    /// - Throws: `IdentityError` `.vaultForeign` where the vault holds another node's.
    public func issuing(from vault: any KeyVault) throws -> NodeKeys {
        guard let place, vault.node.did == place.node, vault.p256.did == place.p256 else {
            throw IdentityError(
                .vaultForeign,
                "the vault holds the keys of \(vault.node.did), but this is the node \(node.did)"
            )
        }
        return try NodeKeys(remainder: remainder, vault: vault, place: place)
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
    ) throws -> NodeKeys {
        guard !VaultFile.exists(in: directory) else {
            throw IdentityError(
                .vaultExists,
                "\(directory.file(VaultFile.name)) is there already: a node's keys are never overwritten"
            )
        }
        try requireLongEnough(passphrase)
        let keys = try NodeKeys(words)
        let file = try VaultFile.seal(
            words.entropy,
            passphrase: passphrase,
            parameters: parameters,
            node: keys.node.did,
            createdAt: now
        )
        try file.write(in: directory)
        return keys
    }

    /// Opens the vault of a data directory. Takes about a quarter of a second, by design of scrypt.
    ///
    /// - Throws: `IdentityError` with `.vaultMissing`, `.vaultUnreadable` or `.wrongPassphrase`.
    public static func open(in directory: DataDirectory, passphrase: [UInt8]) throws -> NodeKeys {
        try keys(in: try VaultFile.read(in: directory), passphrase: passphrase)
    }

    private static func keys(in file: VaultFile, passphrase: [UInt8]) throws -> NodeKeys {
        let secret = try file.open(passphrase: passphrase)
        guard let place = file.place else { return try NodeKeys(try Mnemonic(entropy: secret)) }
        let vault = try UnaskedVault(node: place.node, p256: place.p256)
        return try NodeKeys(remainder: secret, vault: vault, place: place)
    }

    /// Which vault process has the issuer's keys, as the file says in the clear; nil: the file has them itself.
    ///
    /// - Throws: `IdentityError` with `.vaultMissing` or `.vaultUnreadable`.
    public static func place(in directory: DataDirectory) throws -> VaultPlace? {
        try VaultFile.read(in: directory).place
    }

    /// The keys that recovery words stand for, without a file.
    public static func of(words: Mnemonic) throws -> NodeKeys { try NodeKeys(words) }

    /// Opens a vault from the bytes of its file, such as a backup holds.
    ///
    /// - Throws: as ``open(in:passphrase:)``.
    public static func open(file bytes: [UInt8], passphrase: [UInt8]) throws -> NodeKeys {
        try keys(in: try VaultFile(bytes: bytes, path: "the vault"), passphrase: passphrase)
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
        guard file.place == nil else {
            throw IdentityError(.vaultElsewhere, "the recovery words are with the vault, not in \(directory.path)")
        }
        return try Mnemonic(entropy: try file.open(passphrase: passphrase))
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
        let changed = try VaultFile.seal(
            try file.open(passphrase: old),
            passphrase: new,
            parameters: parameters,
            node: try DIDKey(parsing: file.node),
            createdAt: file.createdAt,
            place: file.place
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

    public var description: String { "NodeKeys(\(node.did), redacted)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
