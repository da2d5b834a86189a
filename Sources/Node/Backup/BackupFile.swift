internal import CanonicalJSON
internal import Cryptography
public import Encodings

/// A backup that cannot be made, read or put back, in a sentence that says what to do.
public struct BackupError: Error, Sendable, CustomStringConvertible {
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        /// The target is there already: nothing is overwritten.
        public static let exists = Code(rawValue: "backup-exists")
        /// The file or folder cannot be read or written.
        public static let notPermitted = Code(rawValue: "backup-not-permitted")
        /// The file is no backup, is cut short, or was changed.
        public static let damaged = Code(rawValue: "backup-damaged")
        /// The file was made by a newer version of this program.
        public static let newer = Code(rawValue: "backup-newer")
        /// The words or the passphrase are another node's.
        public static let otherNode = Code(rawValue: "backup-other-node")
        /// Another backup is being made.
        public static let busy = Code(rawValue: "backup-busy")
    }

    public let code: Code
    public let message: String
    public var description: String { message }

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}

/// The form of a backup file ([BAK-2]): what stands in it in the clear, and how its frames are sealed.
enum BackupFormat {
    static let magic = Array("MMBACKUP".utf8)
    static let version: Int64 = 1
    /// Bytes of the database in a frame; both sides hold one at a time.
    static let chunkBytes = 1 << 20
    static let maximumHeaderBytes = 65_536
    static let maximumManifestBytes = 262_144

    enum Kind: UInt8 { case manifest = 1, data = 2, end = 3 }

    /// Seals or opens frames: each is bound to the file's header, its place and its kind, so that none can be left out,
    /// moved or taken from another file ([BAK-3]).
    struct FrameKey {
        private let key: [UInt8]
        private let headerDigest: [UInt8]

        init(backupKey: [UInt8], salt: [UInt8], header: [UInt8]) {
            key = Sealing.deriveKey(from: backupKey, label: "mintmark backup v1 \(Hex.encode(salt))")
            headerDigest = Hashing.sha256(header)
        }

        private func context(_ kind: Kind, _ index: UInt64) -> [UInt8] {
            let place = (0..<8).reversed().map { UInt8(truncatingIfNeeded: index >> (8 * UInt64($0))) }
            return Array("mintmark backup frame v1".utf8) + headerDigest + place + [kind.rawValue]
        }

        func seal(_ bytes: [UInt8], _ kind: Kind, _ index: UInt64) throws -> [UInt8] {
            try Sealing.seal(bytes, key: key, context: context(kind, index))
        }

        func open(_ bytes: [UInt8], _ kind: Kind, _ index: UInt64) throws -> [UInt8] {
            do {
                return try Sealing.open(bytes, key: key, context: context(kind, index))
            } catch {
                throw BackupError(
                    .damaged,
                    index == 0
                        ? "the backup does not open with these keys, or its beginning was changed"
                        : "the backup was changed or cut at frame \(index): use another copy of it"
                )
            }
        }
    }
}

/// What a backup says of itself in the clear.
public struct BackupHeader: Sendable {
    /// The node's did:key.
    public let node: String
    public let createdAt: Timestamp
    let salt: [UInt8]
    /// `vault.json` as it stood in the data directory: the recovery words, sealed under the passphrase.
    let vault: [UInt8]

    var bytes: [UInt8] {
        let json: JSONValue = [
            "version": .integer(BackupFormat.version), "node": .string(node), "createdAt": .string(createdAt.rfc3339),
            "salt": .string(Base64URL.encode(salt)), "vault": .string(String(decoding: vault, as: UTF8.self)),
        ]
        return json.serialized()
    }

    init(node: String, createdAt: Timestamp, salt: [UInt8], vault: [UInt8]) {
        self.node = node
        self.createdAt = createdAt
        self.salt = salt
        self.vault = vault
    }

    init(bytes: [UInt8]) throws {
        do {
            let limits = JSONLimits(maximumBytes: BackupFormat.maximumHeaderBytes, maximumDepth: 2, maximumValues: 16)
            let json = try JSONValue.parse(bytes, limits: limits)
            let version = try json.int64("version")
            guard version == BackupFormat.version else {
                throw BackupError(
                    .newer,
                    "the backup is of version \(version): use the mintmark that made it, or a newer one"
                )
            }
            node = try json.string("node")
            createdAt = try Timestamp(rfc3339: try json.string("createdAt"))
            salt = try Base64URL.decode(try json.string("salt"))
            vault = Array(try json.string("vault").utf8)
        } catch let error as BackupError {
            throw error
        } catch {
            throw BackupError(.damaged, "the backup's header cannot be read: \(error)")
        }
    }
}

/// What a backup holds besides the database, sealed.
struct BackupManifest {
    /// `config.json`, where the node has one.
    var configuration: [UInt8]?
    var databaseBytes: UInt64

    var bytes: [UInt8] {
        var json: JSONObject = ["databaseBytes": .string(String(databaseBytes))]
        json["configuration"] = configuration.map { .string(Base64URL.encode($0)) }
        return JSONValue.object(json).serialized()
    }

    init(configuration: [UInt8]?, databaseBytes: UInt64) {
        self.configuration = configuration
        self.databaseBytes = databaseBytes
    }

    init(bytes: [UInt8]) throws {
        do {
            let limits = JSONLimits(maximumBytes: BackupFormat.maximumManifestBytes, maximumDepth: 2, maximumValues: 16)
            let json = try JSONValue.parse(bytes, limits: limits)
            guard let count = UInt64(try json.string("databaseBytes")), count > 0, count <= 1 << 50 else {
                throw BackupError(.damaged, "the backup says nothing of its database")
            }
            databaseBytes = count
            configuration = try json["configuration"]?.stringValue.map { try Base64URL.decode($0) }
        } catch let error as BackupError {
            throw error
        } catch {
            throw BackupError(.damaged, "the backup's list of contents cannot be read: \(error)")
        }
    }
}
