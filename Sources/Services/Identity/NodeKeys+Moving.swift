public import Cryptography
public import Encodings
internal import SignedDocuments
public import Storage

extension NodeKeys {
    /// Moves the keys that a node issues with, and the mint's, into the folder of a vault. Afterwards the node's folder has
    /// neither them nor the recovery words.
    ///
    /// The vault's file is on the disk and was opened before the node's is replaced; a move that was interrupted is done
    /// again by doing it again.
    ///
    /// - Parameters:
    ///   - directory: the node's, which must not be running.
    ///   - vault: the vault's folder; empty, or with the keys of the same node.
    ///   - socket: where the vault will listen.
    ///   - vaultPassphrase: what the vault's file is sealed with; of one that is there already, what it was sealed with.
    /// - Throws: `IdentityError`: `.vaultElsewhere` where they were moved before, `.vaultForeign` where the vault has another
    ///   node's, and as ``open(in:passphrase:)`` and ``create(in:words:passphrase:parameters:now:)``.
    public static func move(
        from directory: DataDirectory,
        passphrase: [UInt8],
        into vault: DataDirectory,
        vaultPassphrase: [UInt8],
        socket: String,
        parameters: Sealing.PassphraseParameters = Sealing.PassphraseParameters(),
        nodeParameters: Sealing.PassphraseParameters = Sealing.PassphraseParameters(),
        now: Timestamp
    ) throws -> NodeKeys {
        let file = try VaultFile.read(in: directory)
        let words = try words(in: directory, passphrase: passphrase)
        let keys = try NodeKeys(words)
        if !VaultFile.exists(in: vault) {
            _ = try create(in: vault, words: words, passphrase: vaultPassphrase, parameters: parameters, now: now)
        }
        let kept = try open(in: vault, passphrase: vaultPassphrase)
        guard kept.mintSeed != nil, kept.node.did == keys.node.did, kept.p256.did == keys.p256.did else {
            throw IdentityError(
                .vaultForeign,
                "\(vault.path) holds the keys of \(kept.node.did) already: a vault holds one node's"
            )
        }
        let place = VaultPlace(socket: socket, node: keys.node.did, p256: keys.p256.did)
        let rest = try VaultFile.seal(
            keys.remainder,
            passphrase: passphrase,
            parameters: nodeParameters,
            node: keys.node.did,
            createdAt: file.createdAt,
            place: place
        )
        try rest.write(in: directory)
        return try open(in: directory, passphrase: passphrase)
    }
}
