internal import AsyncHTTPClient
internal import AuditLog
public import CanonicalJSON
internal import Cryptography
internal import Encodings
internal import Foundation
internal import Hummingbird
internal import Identity
internal import Logging
internal import NIOCore
internal import ServiceLifecycle
internal import SignedDocuments
internal import Storage
internal import Synchronization
internal import TransparencyLog
internal import UnixSignals
internal import WebClient
internal import WebServer

/// `mintmark witness`: a witness of other nodes' logs, with a folder, a vault and a database of its own.
public final class WitnessProcess: Sendable {
    static let databaseName = "witness.sqlite"
    private static let nameKey = "witness.name"

    private let directory: DataDirectory
    private let database: Database
    private let witness: Witness
    private let http: HTTPClient
    private let logger: Logger
    private let alarmed: AsyncStream<Void>
    private let hasAlarmed: Mutex<Bool>

    /// Whether a witness was made in the folder.
    public static func exists(in folder: String) -> Bool {
        FileManager.default.fileExists(atPath: folder + "/" + databaseName)
    }

    /// Makes a witness: a key of its own, sealed, and its name, which never changes.
    ///
    /// The key cannot be restored from words: without the database the witness would have forgotten what it cosigned, and
    /// could be made to cosign another history.
    /// - Parameter keepsPassphrase: whether the passphrase is kept in a file beside it.
    /// - Throws: an error whose text says what to do.
    /// - Returns: the key that its signatures are checked with.
    public static func make(
        in folder: String,
        name: String?,
        passphrase: [UInt8],
        keepsPassphrase: Bool
    ) async throws -> String {
        let directory = try DataDirectory(path: folder)
        guard !NodeKeys.exists(in: directory) else {
            throw ConfigurationError("\(folder) holds keys already: a witness has a folder of its own")
        }
        let words = Mnemonic()
        guard let key = try NodeKeys.of(words: words).witnessKey?.publicKey else { throw Self.keyless(folder) }
        let name = name ?? "mintmark-witness/" + Hex.encode(Array(key.bytes.prefix(8)))
        let verifierKey = try NoteKey(name: name, kind: .cosignature, key: key)
        if keepsPassphrase { try directory.replaceFile(NodeFiles.passphrase, with: passphrase + [0x0A]) }
        _ = try NodeKeys.create(in: directory, words: words, passphrase: passphrase, now: WallClock.system.now())
        let database = try Self.database(in: directory)
        _ = try await database.keep(name, forKey: nameKey)
        await database.close()
        return "\(verifierKey)"
    }

    /// Opens a witness's folder, which it holds until ``close()``.
    public static func open(in folder: String, passphrase: [UInt8]) async throws -> WitnessProcess {
        let directory = try DataDirectory(path: folder)
        let nodeKeys = try NodeKeys.open(in: directory, passphrase: passphrase)
        let database = try Self.database(in: directory)
        guard let name = try await database.fact(nameKey) else {
            await database.close()
            throw ConfigurationError("\(folder) holds no witness: make one with `mintmark witness init`")
        }
        guard let key = nodeKeys.witnessKey else {
            await database.close()
            throw Self.keyless(folder)
        }
        return try WitnessProcess(directory: directory, database: database, key: key, name: name)
    }

    private static func keyless(_ folder: String) -> ConfigurationError {
        ConfigurationError("\(folder) has no witness's key: make another witness with `mintmark witness init`")
    }

    private static func database(in directory: DataDirectory) throws -> Database {
        try Database(
            path: directory.file(databaseName),
            migrations: WitnessTables.migrations,
            logger: Logger(label: "mintmark.witness")
        )
    }

    private init(directory: DataDirectory, database: Database, key: Ed25519.PrivateKey, name: String) throws {
        self.directory = directory
        self.database = database
        logger = Logger(label: "mintmark.witness")
        let (alarmed, alarm) = AsyncStream.makeStream(of: Void.self)
        self.alarmed = alarmed
        hasAlarmed = Mutex(false)
        let logger = logger
        witness = try Witness(database: database, key: key, name: name, clock: .system, logger: logger) { found in
            Self.keepEvidence(found, in: directory, logger: logger)
            alarm.yield()
        }
        http = HTTPClient(eventLoopGroupProvider: .singleton)
    }

    /// A file that proves it to others, besides the row in the database.
    private static func keepEvidence(_ alarm: WitnessAlarm, in directory: DataDirectory, logger: Logger) {
        let log = FollowedLog.id(of: alarm.origin).prefix(16)
        let name = "evidence-\(alarm.kind.rawValue)-\(log)-\(alarm.at.millisecondsSince1970).txt"
        do {
            try directory.replaceFile(name, with: Array(alarm.evidence.utf8))
            logger.critical("the evidence is kept", metadata: ["file": "\(directory.file(name))"])
        } catch {
            logger.error("the evidence's file cannot be written", metadata: ["error": "\(error)"])
        }
    }

    // MARK: What it follows

    /// The key that its signatures are checked with.
    public var verifierKey: String { "\(witness.verifierKey)" }

    /// Follows a log from now on.
    ///
    /// - Parameters:
    ///   - url: where its tiles are; nil: it comes by itself.
    ///   - key: its key as `mintmark log show` prints it, or the node's did:key together with `url`.
    public func follow(url: String?, key: String) async throws {
        var url = url
        if let given = url {
            guard given.hasPrefix("https://") || given.hasPrefix("http://") else {
                throw ConfigurationError("a log's address begins with https:// or http://, not \(given)")
            }
            while url?.hasSuffix("/") == true { url?.removeLast() }
        }
        try await witness.follow(try await Self.noteKey(key, url: url, http: http), url: url)
    }

    /// A did:key signs under the log's own name, which its checkpoint tells.
    private static func noteKey(_ text: String, url: String?, http: HTTPClient) async throws -> NoteKey {
        guard text.hasPrefix("did:key:") else { return try NoteKey(vkey: text) }
        guard let key = try DIDKey(parsing: text).ed25519 else {
            throw ConfigurationError("a log is signed with an Ed25519 key")
        }
        guard let url else { throw ConfigurationError("a did:key names no log: give its address too, or its note key") }
        let bytes = try await fetch(url + "/checkpoint", http: http)
        let note = try SignedNote(String(decoding: bytes, as: UTF8.self))
        let log = try NoteKey(name: try Checkpoint(text: note.text).origin, key: key)
        _ = try Checkpoint.verify(note, log: log)
        return log
    }

    /// The logs, how far each was followed, and the alarms.
    public func report() async throws -> JSONValue {
        .object([
            "key": .string(verifierKey), "logs": .array(try await witness.logs().map(WitnessRoutes.shown)),
            "alarms": .array(try await witness.alarms().map(WitnessRoutes.shown)),
        ])
    }

    // MARK: Running

    /// Asks every log for its checkpoint once.
    ///
    /// - Returns: sentences for people, one a log, and whether all is well.
    public func poll(confirmSeconds: Double = 3) async throws -> (lines: [String], isWell: Bool) {
        var lines: [String] = []
        var isWell = true
        for log in try await witness.logs() {
            guard let url = log.url else { continue }
            do {
                let http = http
                let isFine = try await witness.poll(log.origin, confirmSeconds: confirmSeconds) { path in
                    try await Self.fetch("\(url)/\(path)", http: http)
                }
                isWell = isWell && isFine
                lines.append("\(log.origin): \(isFine ? "cosigned" : "REWRITTEN, see the evidence")")
            } catch {
                logger.warning("a log cannot be read", metadata: ["log": "\(log.origin)", "error": "\(error)"])
                lines.append("\(log.origin): cannot be read (\(error))")
            }
        }
        return (lines, isWell)
    }

    private static func fetch(_ url: String, http: HTTPClient) async throws -> [UInt8] {
        let (status, body) = try await HTTPExchange(http).send(url, limit: SignedNote.maximumBytes)
        guard status == 200 else { throw LogError(.missingTile, "\(url) answers \(status)") }
        return body
    }

    /// Serves and polls until it is told to stop.
    ///
    /// - Parameters:
    ///   - stopsOnAlarm: whether to end with the first fork or rewind.
    ///   - onReady: told the port when it listens.
    /// - Returns: whether it ended because of an alarm.
    public func run(
        host: String,
        port: Int,
        everySeconds: Int64,
        stopsOnAlarm: Bool,
        onReady: @escaping @Sendable (Int) async -> Void
    ) async throws -> Bool {
        let router = Router()
        WitnessRoutes(witness).add(to: router.group())
        let server = Application(
            router: router,
            server: .plain(),
            configuration: .init(address: .hostname(host, port: port), serverName: nil),
            onServerRunning: { channel in await onReady(channel.localAddress?.port ?? port) },
            logger: logger
        )
        let watch = AlarmWatch(alarms: alarmed, stops: stopsOnAlarm) { [self] in hasAlarmed.withLock { $0 = true } }
        let polls = Round("polls", everySeconds: everySeconds) { [self] in
            do {
                _ = try await poll()
            } catch {
                logger.error("the logs are not polled", metadata: ["error": "\(error)"])
            }
        }
        let services: [any Service] = [server, polls, watch]
        var group = ServiceGroupConfiguration(
            services: services.map { .init(service: $0, successTerminationBehavior: .gracefullyShutdownGroup) },
            gracefulShutdownSignals: [.sigterm, .sigint],
            logger: logger
        )
        group.maximumGracefulShutdownDuration = .seconds(10)
        try await ServiceGroup(configuration: group).run()
        return hasAlarmed.withLock { $0 }
    }

    public func close() async {
        try? await http.shutdown()
        await database.close()
    }
}

/// Ends the process with the first alarm, where that is wanted.
private struct AlarmWatch: Service {
    let alarms: AsyncStream<Void>
    let stops: Bool
    let note: @Sendable () -> Void

    func run() async throws {
        await cancelWhenGracefulShutdown {
            for await _ in alarms {
                guard stops else { continue }
                note()
                return
            }
        }
    }
}
