import Cryptography
import Encodings
import Foundation
import HTTPSignatures
import Identity
import Logging
import Passports
import SignedDocuments
import Storage
import Synchronization
import TestSupport

/// A clock that the test moves.
final class ManualClock: Sendable {
    private let time: Mutex<Timestamp>

    init(_ start: Timestamp = Timestamp(secondsSince1970: 1_795_219_200)) {
        time = Mutex(start)
    }

    var now: Timestamp { time.withLock { $0 } }

    func advance(seconds: Int64) {
        time.withLock { $0 = $0.adding(seconds: seconds) }
    }

    var clock: WallClock { WallClock(now: { self.now }) }
}

/// Answers lists from memory, as the test says.
final class ScriptedLists: StatusListFetching {
    enum Answer: Sendable {
        case document([UInt8], etag: String?)
        case notModified
        case failure
    }

    private struct State {
        var answers: [String: Answer] = [:]
        var requests: [(url: String, etag: String?)] = []
        var waiting: [CheckedContinuation<Void, Never>] = []
        var isHeld = false
    }

    private let state = Mutex(State())

    var requests: [(url: String, etag: String?)] { state.withLock { $0.requests } }

    func answer(_ url: String, _ answer: Answer) {
        state.withLock { $0.answers[url] = answer }
    }

    /// Lets fetches wait until `release()`.
    func hold() { state.withLock { $0.isHeld = true } }

    func release() {
        let waiting = state.withLock { state in
            state.isHeld = false
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    func fetch(_ url: String, etag: String?) async throws -> StatusListAnswer {
        let isHeld = state.withLock { state in
            state.requests.append((url, etag))
            return state.isHeld
        }
        if isHeld {
            await withCheckedContinuation { continuation in
                let goesOn = state.withLock { state in
                    if state.isHeld { state.waiting.append(continuation) }
                    return !state.isHeld
                }
                if goesOn { continuation.resume() }
            }
        }
        switch state.withLock({ $0.answers[url] }) ?? .failure {
        case .document(let bytes, let etag): return .document(bytes: bytes, etag: etag)
        case .notModified: return .notModified
        case .failure: throw CancellationError()
        }
    }
}

/// One node's identity service on a database of its own, with a clock of the test's.
final class IdentityBench: Sendable {
    let folder: TemporaryFolder
    let clock: ManualClock
    let database: Database
    let service: IdentityService
    let lists: ScriptedLists

    var registry: AgentRegistry { service.registry }
    var office: PassportOffice { service.office }
    var gate: PassportGate { service.gate }

    /// - Parameters:
    ///   - seed: of the node's recovery words.
    ///   - folder: of a bench before, to start again on its data.
    init(
        seed: UInt8 = 1,
        folder: TemporaryFolder? = nil,
        clock: ManualClock = ManualClock(),
        publicURL: String = "https://node.example",
        keys: (any KeySetFetching)? = nil,
        _ change: (inout IdentityConfiguration) -> Void = { _ in }
    ) async throws {
        let folder = try folder ?? TemporaryFolder()
        self.folder = folder
        self.clock = clock
        lists = ScriptedLists()
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        database = try Database(
            path: folder.path + "/node.sqlite",
            migrations: IdentitySchema.migrations,
            logger: logger
        )
        var configuration = IdentityConfiguration(publicURL: publicURL)
        change(&configuration)
        service = try await IdentityService(
            database: database,
            nodeKeys: try Self.nodeKeys(seed: seed, now: clock.now),
            configuration: configuration,
            clock: clock.clock,
            logger: logger,
            fetcher: lists,
            keyFetcher: keys
        )
    }

    /// The vault of certain words, sealed at the least cost.
    static func nodeKeys(seed: UInt8, now: Timestamp) throws -> NodeKeys {
        let folder = try TemporaryFolder()
        return try NodeKeys.create(
            in: try DataDirectory(path: folder.path),
            words: try Mnemonic(entropy: [UInt8](repeating: seed, count: 16)),
            passphrase: Array("correct horse".utf8),
            parameters: try cheap(),
            now: now
        )
    }

    static func cheap() throws -> Sealing.PassphraseParameters {
        try Sealing.PassphraseParameters(salt: [UInt8](repeating: 9, count: 16), n: 1024, r: 1, p: 1)
    }

    /// Starts again on the same data, as after a crash.
    func restarted(publicURL: String = "https://node.example") async throws -> IdentityBench {
        await database.close()
        return try await IdentityBench(folder: folder, clock: clock, publicURL: publicURL)
    }

    func register(_ name: String = "planner", capabilities: [String] = ["pay", "invoke"]) async throws -> (
        agent: Agent, passport: Passport
    ) {
        try await registry.register(AgentDescription(name: name, capabilities: capabilities))
    }

    /// A key of the agent's own, with its proof for this node.
    func ownKey(_ key: Ed25519.PrivateKey, _ use: PossessionProof.Use = .registration, next: Ed25519.PrivateKey? = nil)
        throws -> OwnKey
    {
        let challenge = try registry.challenge().challenge
        return OwnKey(
            did: DIDKey(key.publicKey),
            challenge: challenge,
            signature: try PossessionProof.sign(use, challenge: challenge, node: office.issuer, key: key),
            nextKeyDigest: next.map { MultihashDigest.commitment(to: DIDKey($0.publicKey)) }
        )
    }

    /// The check of a passport with its status, as this node's operator would do it.
    func reasons(_ passport: Passport) async -> [PassportReason.Code] {
        await gate.verify(passport, trustedIssuers: [office.issuer], checksStatus: true).reasons.map(\.code)
    }
}

/// The code an identity call throws, or nil.
func identityCode(_ body: () async throws -> Void) async -> IdentityError.Code? {
    do {
        try await body()
        return nil
    } catch let error as IdentityError {
        return error.code
    } catch {
        return IdentityError.Code(rawValue: "another: \(error)")
    }
}
