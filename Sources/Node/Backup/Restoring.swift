public import Cryptography
public import Encodings
internal import Foundation
internal import Identity
internal import SignedDocuments
internal import Storage

/// How the operator shows that a backup is his.
public enum RestoreKeys: Sendable {
    /// The passphrase that the node's keys were sealed with when the backup was made; it stays theirs.
    case passphrase([UInt8])
    /// The recovery words, and the passphrase to seal the keys with from now on.
    /// - keepsPassphrase: whether it was made for the operator, and is to stand in the file `passphrase`.
    case words(Mnemonic, newPassphrase: [UInt8], keepsPassphrase: Bool)
}

/// What was put back.
public struct RestoredNode: Sendable {
    /// The node's did:key.
    public let node: String
    public let createdAt: Timestamp
    public let databaseBytes: UInt64
}

/// Puts a backup back into a new data directory.
public enum BackupRestore {
    /// What stands in the clear, to ask for the right keys.
    public static func header(of file: String) throws -> BackupHeader { try BackupReader(path: file).header }

    /// Checks every byte of the backup, then makes the directory under another name and gives it its own only when all
    /// of it is on the disk ([BAK-5]). The node that starts there has its fence up ([BAK-6]).
    ///
    /// - Parameters:
    ///   - directory: must be missing or empty.
    ///   - progress: bytes done, of twice the database's size: once to check, once to write.
    /// - Throws: `BackupError`, `IdentityError` (`wrongPassphrase`), `StorageError`; nothing is left of it then.
    public static func restore(
        _ file: String,
        into directory: String,
        keys: RestoreKeys,
        progress: (UInt64, UInt64) -> Void
    ) throws -> RestoredNode {
        let reader = try BackupReader(path: file)
        let nodeKeys: NodeKeys =
            switch keys {
            case .passphrase(let passphrase): try NodeKeys.open(file: reader.header.vault, passphrase: passphrase)
            case .words(let words, _, _): try NodeKeys.of(words: words)
            }
        guard nodeKeys.node.did.string == reader.header.node else {
            throw BackupError(
                .otherNode,
                "the backup is of the node \(reader.header.node), and these are the words of \(nodeKeys.node.did)"
            )
        }
        try requireFree(directory)
        let manifest = try reader.read(backupKey: nodeKeys.backupKey, take: { _ in }) { progress($0, 2 * $1) }
        let temporary = directory + ".restoring-" + Hex.encode(SecureRandom.bytes(4))
        do {
            let folder = try DataDirectory(path: temporary)
            let database = try SequentialFile.creating(folder.file(NodeFiles.database))
            let again = try reader.read(
                backupKey: nodeKeys.backupKey,
                take: { try database.write($0) },
                progress: { progress($1 + $0, 2 * $1) }
            )
            try database.finish()
            guard again.databaseBytes == manifest.databaseBytes else {
                throw BackupError(.damaged, "\(file) was changed while it was read")
            }
            try writeRest(reader.header, manifest, keys: keys, in: folder)
            try SequentialFile.syncFolder(of: folder.file(NodeFiles.vault))
            // Over an empty folder too; never over one that holds anything.
            guard rename(temporary, directory) == 0 else { throw SequentialFile.failure("make", directory) }
            try SequentialFile.syncFolder(of: directory)
        } catch {
            try? FileManager.default.removeItem(atPath: temporary)
            throw error
        }
        return RestoredNode(
            node: reader.header.node,
            createdAt: reader.header.createdAt,
            databaseBytes: manifest.databaseBytes
        )
    }

    private static func requireFree(_ directory: String) throws {
        guard NodeFiles.socketPath(in: directory).utf8.count <= NodeFiles.maximumSocketPathBytes else {
            throw BackupError(
                .notPermitted,
                "the path \(directory) is too long for the node's socket: choose a shorter one"
            )
        }
        var facts = stat()
        guard lstat(directory, &facts) == 0 else { return }
        let content = try? FileManager.default.contentsOfDirectory(atPath: directory)
        guard content == [] else {
            throw BackupError(.exists, "\(directory) is not empty; a restore overwrites nothing: choose a new folder")
        }
    }

    /// Everything but the database; the vault last, because it is what makes a folder a node's.
    private static func writeRest(
        _ header: BackupHeader,
        _ manifest: BackupManifest,
        keys: RestoreKeys,
        in folder: DataDirectory
    ) throws {
        try folder.replaceFile(EpochFence.fileName, with: EpochFile.restored(copyAt: header.createdAt).bytes)
        if let configuration = manifest.configuration { try folder.replaceFile("config.json", with: configuration) }
        let token = Base64URL.encode(SecureRandom.bytes(32))
        try folder.replaceFile(NodeFiles.operatorToken, with: Array((token + "\n").utf8))
        switch keys {
        case .passphrase:
            try folder.replaceFile(NodeFiles.vault, with: header.vault)
        case .words(let words, let passphrase, let keeps):
            if keeps { try folder.replaceFile(NodeFiles.passphrase, with: passphrase + [UInt8(ascii: "\n")]) }
            _ = try NodeKeys.create(in: folder, words: words, passphrase: passphrase, now: WallClock.system.now())
        }
    }
}
