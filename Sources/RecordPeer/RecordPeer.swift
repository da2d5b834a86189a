internal import CanonicalJSON
internal import Cryptography
internal import Encodings
internal import Foundation
internal import Gossip
internal import Libp2p
internal import Logging
internal import P2PTransport
internal import Peering
internal import Records
internal import SignedDocuments
internal import Storage
internal import Synchronization

/// A node's gossip without the rest of the node.
final class RecordPeer: GossipPart {
    private let number: UInt8
    private let kind: RecordKind
    private let signer: DocumentSigner
    private let cache: Database
    private let intake: RecordIntake
    private let repair: RepairService
    private let folder: String
    private let logger: Logger
    private let state = Mutex(State())
    private let published = Mutex(0)

    private struct State {
        var peering: Peering?
        var exchange: RecordExchange?
        var repairing: Task<Void, Never>?
    }

    init(_ number: UInt8, of count: UInt8, kind: RecordKind, folder: String, logger: Logger) async throws {
        (self.number, self.kind, self.folder, self.logger) = (number, kind, folder, logger)
        let authors = try (1...count).map { DocumentSigner(try Self.key("author", $0)) }
        signer = authors[Int(number) - 1]
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        cache = try Database(
            path: folder + "/cache.sqlite",
            migrations: PeerStore.migrations + RecordStore.migrations,
            logger: logger,
            isRebuildable: true
        )
        let kinds = RecordKinds([kind])
        intake = RecordIntake(
            store: RecordStore(database: cache, kinds: kinds, clock: .system),
            rules: RecordRules(kinds),
            policy: AdmissionPolicy(trustedIssuers: Set(authors.map(\.did))),
            clock: .system,
            statusLists: { _, _ in [:] }
        )
        repair = RepairService(intake: intake, logger: logger)
    }

    private static func key(_ use: String, _ number: UInt8) throws -> Ed25519.PrivateKey {
        try Ed25519.PrivateKey(seed: Hashing.sha256([UInt8]("mintmark record peer \(use) \(number)".utf8)))
    }

    func start(listening address: Multiaddr) async throws {
        var configuration = PeeringConfiguration()
        configuration.listen = [address]
        let peering = try await Peering(
            key: PeerKey(try Self.key("host", number)),
            configuration: configuration,
            store: PeerStore(cache),
            clock: .system,
            logger: logger
        )
        try await peering.start([self])
        state.withLock { $0.peering = peering }
    }

    /// Where it is reached, with its id.
    func address() async throws -> Multiaddr {
        let host = try await peering().running()
        guard let address = try await host.listenAddresses().first else {
            throw Libp2pError(.failed, "nothing is listened on")
        }
        return try address.naming(host.peerID)
    }

    private func peering() throws -> Peering {
        guard let peering = state.withLock({ $0.peering }) else { throw Libp2pError(.closed, "it does not run") }
        return peering
    }

    // MARK: Part of the network

    var protocols: [P2PProtocol] { [repair.servedProtocol] }

    func start(on host: P2PHost) async throws {
        let exchange = RecordExchange(intake: intake, host: host)
        try await exchange.start()
        let repairing = Task { [repair] in await repair.run(on: host) }
        state.withLock { state in
            state.exchange = exchange
            state.repairing = repairing
        }
    }

    func take(_ event: P2PEvent) {
        if case .connected(let connection) = event { repair.connected(connection) }
    }

    func stop() async {
        let (peering, repairing) = state.withLock { state in
            defer { state = State() }
            return (state.peering, state.repairing)
        }
        repairing?.cancel()
        await repairing?.value
        // The peering stops its parts, this one among them: the second time there is nothing left.
        await peering?.stop()
        if peering != nil { await cache.close() }
    }

    // MARK: Commands

    /// - Returns: the answer's line.
    func run(_ words: [String]) async throws -> String {
        switch (words.first, words.count) {
        case ("add", 2):
            // Where it is not reached now it is kept, and tried again.
            let isConnected = (try? await peering().add(try Multiaddr(parsing: words[1]))) ?? false
            return "added \(isConnected)"
        case ("publish", 2):
            let count = try await publish(Int(words[1]) ?? 0)
            return "published \(count)"
        case ("peers", 1): return "peers \(Set(try await peering().running().connections().map(\.peer)).count)"
        case ("count", 1):
            return "count \(try await intake.store.totals().reduce(0) { $0 + $1.records })"
        case ("set", 1):
            let items = try await intake.store.snapshot().items
            return "set \(items.count) \(Hex.encode(Hashing.sha256(items.flatMap(\.id.bytes))))"
        default: return "error usage: add ADDRESS | publish COUNT | peers | count | set"
        }
    }

    private func publish(_ count: Int) async throws -> Int {
        guard let exchange = state.withLock({ $0.exchange }) else { throw Libp2pError(.closed, "it does not run") }
        for _ in 0..<max(0, count) {
            let name = published.withLock { number in
                number += 1
                return "\(self.number)-\(number)"
            }
            let record = try Record.sign(
                ["text": .string(String(repeating: "x", count: 80))],
                of: kind,
                name: name,
                sequence: 1,
                created: WallClock.system.now(),
                by: signer
            )
            try await exchange.publish(record)
        }
        return count
    }
}
