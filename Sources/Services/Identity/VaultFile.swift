import CanonicalJSON
import Cryptography
import Encodings
import SignedDocuments
import Storage

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// `vault.json`: the cost parameters of the passphrase and the sealed entropy of the recovery words.
///
/// The node's DID stands beside them in the clear, so that the file tells which node it belongs to, and so that an
/// opened vault can be held against it.
struct VaultFile {
    static let name = "vault.json"
    static let version: Int64 = 1
    private static let context = Array("mintmark vault v1".utf8)

    var parameters: Sealing.PassphraseParameters
    var sealedEntropy: [UInt8]
    var node: String
    var createdAt: Timestamp

    static func seal(
        _ entropy: [UInt8],
        passphrase: [UInt8],
        parameters: Sealing.PassphraseParameters,
        node: DIDKey,
        createdAt: Timestamp
    ) throws -> VaultFile {
        let key = try Sealing.key(passphrase: passphrase, parameters: parameters)
        let sealed = try Sealing.seal(entropy, key: key, context: context + Array(node.string.utf8))
        return VaultFile(parameters: parameters, sealedEntropy: sealed, node: node.string, createdAt: createdAt)
    }

    /// The entropy.
    ///
    /// - Throws: `IdentityError` with `.wrongPassphrase`.
    func open(passphrase: [UInt8]) throws -> [UInt8] {
        let key = try Sealing.key(passphrase: passphrase, parameters: parameters)
        do {
            return try Sealing.open(sealedEntropy, key: key, context: Self.context + Array(node.utf8))
        } catch {
            throw IdentityError(
                .wrongPassphrase,
                "the passphrase does not open the vault of \(node); it can be set anew with the recovery words",
                cause: error
            )
        }
    }

    // MARK: The file

    static func exists(in directory: DataDirectory) -> Bool {
        FileManager.default.fileExists(atPath: directory.file(name))
    }

    static func read(in directory: DataDirectory) throws -> VaultFile {
        let path = directory.file(name)
        guard exists(in: directory) else {
            throw IdentityError(.vaultMissing, "there is no vault at \(path): run `mintmark init` first")
        }
        do {
            return try VaultFile(bytes: [UInt8](try Data(contentsOf: URL(filePath: path))), path: path)
        } catch let error as IdentityError {
            throw error
        } catch {
            throw unreadable(path, error)
        }
    }

    /// - Parameter path: what to call it in an error.
    init(bytes: [UInt8], path: String) throws {
        do {
            let value = try JSONValue.parse(
                bytes,
                limits: JSONLimits(maximumBytes: 65_536, maximumDepth: 4, maximumValues: 64)
            )
            try self.init(json: value)
        } catch let error as IdentityError {
            throw error
        } catch {
            throw Self.unreadable(path, error)
        }
    }

    private static func unreadable(_ path: String, _ error: any Error) -> IdentityError {
        IdentityError(
            .vaultUnreadable,
            "\(path) cannot be read (\(error)): put it back from a backup, or restore with the recovery words",
            cause: error
        )
    }

    func write(in directory: DataDirectory) throws {
        let text = json.prettyPrinted() + "\n"
        try directory.replaceFile(Self.name, with: Array(text.utf8))
    }

    private var json: JSONValue {
        [
            "version": .integer(Self.version),
            "node": .string(node),
            "createdAt": .string(createdAt.rfc3339),
            "scrypt": [
                "salt": .string(Base64URL.encode(parameters.salt)),
                "n": .integer(Int64(parameters.n)),
                "r": .integer(Int64(parameters.r)),
                "p": .integer(Int64(parameters.p)),
            ],
            "sealedEntropy": .string(Base64URL.encode(sealedEntropy)),
        ]
    }

    private init(json: JSONValue) throws {
        let version = try json.int64("version")
        guard version == Self.version else {
            throw IdentityError(
                .vaultUnreadable,
                "the vault is of version \(version), made by a newer mintmark: update it"
            )
        }
        let scrypt = try json.object("scrypt")
        parameters = try Sealing.PassphraseParameters(
            salt: try Base64URL.decode(try scrypt.string("salt")),
            n: Int(try scrypt.int64("n")),
            r: Int(try scrypt.int64("r")),
            p: Int(try scrypt.int64("p"))
        )
        sealedEntropy = try Base64URL.decode(try json.string("sealedEntropy"))
        node = try json.string("node")
        createdAt = try Timestamp(rfc3339: try json.string("createdAt"))
    }

    private init(
        parameters: Sealing.PassphraseParameters,
        sealedEntropy: [UInt8],
        node: String,
        createdAt: Timestamp
    ) {
        self.parameters = parameters
        self.sealedEntropy = sealedEntropy
        self.node = node
        self.createdAt = createdAt
    }
}
