internal import Cryptography
internal import Identity
internal import Logging
internal import Mint
internal import SignedDocuments
internal import Storage
internal import TransparencyLog
internal import Vault
internal import Workers

extension Node {
    /// The node's keys; those that it issues with from its vault, where it has one.
    ///
    /// - Throws: `ConfigurationError` where the settings and the key file disagree; `VaultError` where no vault answers.
    static func keys(
        _ configuration: NodeConfiguration,
        in directory: DataDirectory,
        passphrase: [UInt8],
        logger: Logger
    ) async throws -> NodeKeys {
        guard !NodeFiles.isVault(in: configuration.dataDirectory) else {
            throw ConfigurationError("\(directory.path) is a vault's folder: the node has another (--data)")
        }
        let keys = try NodeKeys.open(in: directory, passphrase: passphrase)
        guard let place = keys.place else {
            guard configuration.vaultSocket == nil else {
                throw ConfigurationError(
                    "keys.vault is set, but \(directory.file(NodeFiles.vault)) holds all keys itself: move those of the issuer"
                        + " and the mint with `mintmark vault adopt`"
                )
            }
            return keys
        }
        let vault = try await SocketVault.open(path: configuration.vaultSocket ?? place.socket, logger: logger)
        do {
            return try keys.issuing(from: vault)
        } catch {
            await vault.close()
            throw error
        }
    }
}

extension NodeKeys {
    /// Whoever signs ecash.
    func signatory(workers: WorkerPool) throws -> any Signatory {
        if let vault = vault as? SocketVault { return SocketSignatory(vault, workers: workers) }
        guard let mintSeed else { throw ConfigurationError("the mint's keys are in a vault that was not reached") }
        return InProcessSignatory(seed: mintSeed, workers: workers)
    }

    /// Ends the connection to the vault, where there is one.
    func close() async { await (vault as? SocketVault)?.close() }
}

/// The node's key as its log signs checkpoints with it.
struct CheckpointKey: NoteSigner {
    let publicKey: Ed25519.PublicKey
    private let key: any SigningKey

    /// - Throws: never for a node's own key, which is of Ed25519.
    init(_ signer: DocumentSigner) throws {
        guard let publicKey = signer.did.ed25519 else {
            throw ConfigurationError("\(signer.did) cannot sign a log's checkpoints")
        }
        self.publicKey = publicKey
        key = signer.key
    }

    func sign(_ text: [UInt8]) throws -> [UInt8] { try key.sign(.note(text)) }
}
