import CanonicalJSON
import Cryptography
import Encodings
public import SignedDocuments
import Storage

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Which vault process has the keys that a node issues with, and the mint's.
public struct VaultPlace: Sendable, Hashable {
    /// The path of its socket.
    public var socket: String
    /// The DIDs of the keys it must have.
    public var node: DIDKey
    public var p256: DIDKey

    public init(socket: String, node: DIDKey, p256: DIDKey) {
        self.socket = socket
        self.node = node
        self.p256 = p256
    }
}

/// `vault.json`: the cost parameters of the passphrase and the sealed entropy of the recovery words.
///
/// The node's DID stands beside them in the clear, so that the file tells which node it belongs to, and so that an
/// opened vault can be held against it. In version 2 the entropy is not there: the issuer's and the mint's keys are with a
/// vault process, which the file names, and what is sealed are the keys of the rest.
struct VaultFile {
    static let name = "vault.json"
    private static let versions: [Int64: String] = [1: "sealedEntropy", 2: "sealedKeys"]

    var parameters: Sealing.PassphraseParameters
    var sealed: [UInt8]
    var node: String
    var createdAt: Timestamp
    /// Nil where the file itself has every key.
    var place: VaultPlace?

    private var version: Int64 { place == nil ? 1 : 2 }

    /// What the sealing is bound to.
    private static func context(_ node: String, _ place: VaultPlace?) -> [UInt8] {
        guard let place else { return Array("mintmark vault v1\(node)".utf8) }
        return Array("mintmark vault v2\n\(node)\n\(place.p256)\n\(place.socket)".utf8)
    }

    static func seal(
        _ secret: [UInt8],
        passphrase: [UInt8],
        parameters: Sealing.PassphraseParameters,
        node: DIDKey,
        createdAt: Timestamp,
        place: VaultPlace? = nil
    ) throws -> VaultFile {
        let key = try Sealing.key(passphrase: passphrase, parameters: parameters)
        let sealed = try Sealing.seal(secret, key: key, context: context(node.string, place))
        return VaultFile(
            parameters: parameters,
            sealed: sealed,
            node: node.string,
            createdAt: createdAt,
            place: place
        )
    }

    /// The entropy, or the keys of the rest.
    ///
    /// - Throws: `IdentityError` with `.wrongPassphrase`.
    func open(passphrase: [UInt8]) throws -> [UInt8] {
        let key = try Sealing.key(passphrase: passphrase, parameters: parameters)
        do {
            return try Sealing.open(sealed, key: key, context: Self.context(node, place))
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
        var json: JSONObject = [
            "version": .integer(version),
            "node": .string(node),
            "createdAt": .string(createdAt.rfc3339),
            "scrypt": [
                "salt": .string(Base64URL.encode(parameters.salt)),
                "n": .integer(Int64(parameters.n)),
                "r": .integer(Int64(parameters.r)),
                "p": .integer(Int64(parameters.p)),
            ],
        ]
        json[Self.versions[version] ?? "sealed"] = .string(Base64URL.encode(sealed))
        if let place {
            json["vault"] = ["socket": .string(place.socket), "p256": .string(place.p256.string)]
        }
        return .object(json)
    }

    private init(json: JSONValue) throws {
        let version = try json.int64("version")
        guard let name = Self.versions[version] else {
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
        sealed = try Base64URL.decode(try json.string(name))
        node = try json.string("node")
        if version == 2 {
            let vault = try json.object("vault")
            place = VaultPlace(
                socket: try vault.string("socket"),
                node: try DIDKey(parsing: node),
                p256: try DIDKey(parsing: try vault.string("p256"))
            )
        }
        createdAt = try Timestamp(rfc3339: try json.string("createdAt"))
    }

    private init(
        parameters: Sealing.PassphraseParameters,
        sealed: [UInt8],
        node: String,
        createdAt: Timestamp,
        place: VaultPlace?
    ) {
        self.parameters = parameters
        self.sealed = sealed
        self.node = node
        self.createdAt = createdAt
        self.place = place
    }
}
