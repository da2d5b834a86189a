import CanonicalJSON
import Cryptography
import Encodings
import Libp2p
import Logging
import NIOPosix
import P2PTransport
import Passports
import Records
import SignedDocuments
import Storage
import Synchronization
import TestSupport
import Testing

@testable import Gossip

enum Sample {
    static let now = Timestamp(secondsSince1970: 1_795_219_200)
    static let issuer = DocumentSigner(key(200))
    static let entry = DocumentSigner(key(201))
    static let listURL = "https://node.example/status/1"
    static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// A seed of 32 bytes always makes a key.
    static func key(_ byte: UInt8) -> Ed25519.PrivateKey {
        (try? Ed25519.PrivateKey(seed: [UInt8](repeating: byte, count: 32))) ?? Ed25519.PrivateKey()
    }

    static func author(_ number: UInt8 = 1) -> DocumentSigner { DocumentSigner(key(number)) }

    static func kind(
        _ name: String = "note",
        authors: RecordKind.Authors = .admitted,
        perAuthor: Int = 100_000,
        bytes: Int = 1 << 30
    ) -> RecordKind {
        RecordKind(
            name,
            maximumBodyBytes: 2_000,
            maximumLifetimeSeconds: 86_400,
            authors: authors,
            recordsPerAuthor: perAuthor,
            totalBytes: bytes
        )
    }

    static func record(
        _ text: String = "hello",
        kind: RecordKind = kind(),
        name: String = "a",
        sequence: UInt64 = 1,
        created: Timestamp = now,
        by signer: DocumentSigner = author()
    ) throws -> Record {
        try .sign(["text": .string(text)], of: kind, name: name, sequence: sequence, created: created, by: signer)
    }

    static func tombstone(
        kind: RecordKind = kind(),
        name: String = "a",
        sequence: UInt64 = 2,
        created: Timestamp = now,
        by signer: DocumentSigner = author()
    ) throws -> Record {
        try .tombstone(of: kind, name: name, sequence: sequence, created: created, by: signer)
    }

    static func passport(
        of signer: DocumentSigner = author(),
        by issuer: DocumentSigner = issuer,
        from: Timestamp = now
    ) throws -> Passport {
        try Passport.issue(
            PassportClaims(
                id: "urn:uuid:7f2c1c1e-8a6e-4a7e-9b1c-0a9d1d6a3f01",
                agentID: "urn:uuid:00000000-0000-4000-8000-000000000001",
                subject: signer.did,
                name: "planner",
                validFrom: from,
                validUntil: from.adding(seconds: 86_400),
                status: [StatusEntry(purpose: .revocation, listURL: listURL, index: Int(signer.did.publicKey[0]))]
            ),
            by: issuer,
            now: from
        )
    }
}

/// Whom the issuer revoked, as every node of a test sees it at once, and what the time is.
final class Reality: Sendable {
    private let state = Mutex((revoked: Set<Int>(), isStale: false, now: Sample.now))

    var clock: WallClock { WallClock { [self] in state.withLock { $0.now } } }

    func revoke(_ signer: DocumentSigner) { _ = state.withLock { $0.revoked.insert(Int(signer.did.publicKey[0])) } }
    func setStale(_ isStale: Bool) { state.withLock { $0.isStale = isStale } }
    func pass(seconds: Int64) { state.withLock { $0.now = $0.now.adding(seconds: seconds) } }

    func lists(_ passport: Passport, _ now: Timestamp) -> [String: StatusListState] {
        state.withLock { state in
            guard !state.isStale else { return [:] }
            var bitmap = StatusBitmap()
            for index in state.revoked { bitmap.set(index) }
            let list = VerifiedStatusList(
                url: Sample.listURL,
                issuer: Sample.issuer.did,
                purpose: .revocation,
                sequence: 1,
                validFrom: state.now,
                validUntil: state.now.adding(seconds: 60),
                ttlMilliseconds: 60_000,
                bitmap: bitmap
            )
            return [Sample.listURL: .list(list)]
        }
    }
}

/// A node's gossip: store, intake and repair, and a host where the test asks for one.
final class TestNode: Sendable {
    let folder: TemporaryFolder
    let store: RecordStore
    let intake: RecordIntake
    let repair: RepairService
    private let faults = Faults()

    init(
        kinds: [RecordKind] = [Sample.kind()],
        reality: Reality = Reality(),
        policy: AdmissionPolicy = AdmissionPolicy(
            trustedIssuers: [Sample.issuer.did],
            entryNodes: [Sample.entry.did]
        ),
        limits: RepairService.Limits = RepairService.Limits(),
        clock: WallClock? = nil,
        storeLimits: RecordStore.Limits? = nil,
        folder: TemporaryFolder? = nil
    ) throws {
        self.folder = try folder ?? TemporaryFolder()
        var bounds = storeLimits ?? RecordStore.Limits()
        if storeLimits == nil { bounds.snapshotMilliseconds = 0 }
        let clock = clock ?? reality.clock
        store = try RecordStore(
            path: self.folder.path + "/cache.sqlite",
            kinds: RecordKinds(kinds),
            limits: bounds,
            clock: clock,
            logger: Sample.logger
        )
        intake = RecordIntake(
            store: store,
            rules: RecordRules(RecordKinds(kinds)),
            policy: policy,
            clock: clock,
            statusLists: { reality.lists($0, $1) }
        )
        repair = RepairService(intake: intake, limits: limits, logger: Sample.logger) { [faults] in faults.add($1.code)
        }
    }

    /// What peers were told to be answerable for.
    var faultCodes: [RecordRefusal.Code] { faults.codes }

    /// Takes records as if they had come, with the author's passport.
    @discardableResult
    func take(
        _ records: [Record],
        passport: Passport? = nil,
        stamp: Stamp? = nil
    ) async -> [RecordRefusal.Code?] {
        await intake.take(records.map { RecordEnvelope(record: $0, passport: passport, stamp: stamp).bytes }).map {
            if case .failure(let refusal) = $0 { refusal.code } else { nil }
        }
    }

    /// What it has, as it is compared.
    func ids() async throws -> [RecordID] { try await store.snapshot().items.map(\.id) }
}

private final class Faults: Sendable {
    private let state = Mutex<[RecordRefusal.Code]>([])
    var codes: [RecordRefusal.Code] { state.withLock { $0 } }
    func add(_ code: RecordRefusal.Code) { state.withLock { $0.append(code) } }
}

/// Hosts on loopback that are closed when the test ends.
final class Hosts: Sendable {
    private let started = Mutex<[P2PHost]>([])

    static var quick: GossipParameters {
        var parameters = GossipParameters()
        parameters.heartbeatMilliseconds = 100
        parameters.historyLength = 300
        parameters.historyGossip = 300
        return parameters
    }

    func start(
        _ number: UInt8,
        _ protocols: [P2PProtocol] = [],
        gossip: GossipParameters? = nil,
        onEvent: @escaping @Sendable (P2PEvent) -> Void = { _ in }
    ) async throws -> (host: P2PHost, address: Multiaddr) {
        let host = try await P2PHost.start(
            key: PeerKey(Sample.key(number)),
            protocols: protocols,
            gossip: gossip,
            loop: MultiThreadedEventLoopGroup.singleton.next(),
            logger: Sample.logger,
            onEvent: onEvent
        )
        started.withLock { $0.append(host) }
        return (host, try await host.listen(on: try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/0")))
    }

    /// Waits until the condition holds; the test's own time limit ends a wait for nothing.
    func until(_ condition: () async throws -> Bool) async throws {
        while try await !condition() { try await Task.sleep(for: .milliseconds(5)) }
    }

    static func with(_ body: (Hosts) async throws -> Void) async throws {
        let hosts = Hosts()
        do {
            try await body(hosts)
        } catch {
            await hosts.close()
            throw error
        }
        await hosts.close()
    }

    private func close() async {
        for host in started.withLock({ $0 }) { await host.close() }
    }
}
