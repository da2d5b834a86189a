internal import CanonicalJSON
internal import Foundation
internal import Gossip
internal import Identity
internal import Libp2p
internal import Logging
internal import P2PTransport
internal import Peering
internal import ServiceLifecycle
internal import Storage
internal import Synchronization
internal import Trading

/// The node on the gossip network: its key there, whom it knows, and the host while the node serves.
///
/// Whatever else of the node publishes, subscribes or has a protocol of its own joins with ``join(_:)`` before the host
/// starts, and keeps its tables in ``cache``.
final class GossipNode: Sendable {
    /// What can be built anew, apart from the money: `cache.sqlite`.
    let cache: Database
    let peering: Peering
    private let parts = Mutex<[any GossipPart]>([])

    /// Of everything that is kept in `cache.sqlite`; each part's own list is added here.
    private static let migrations =
        PeerStore.migrations + RecordStore.migrations + ListingIndex.migrations + Prober.migrations
        + RatingStore.migrations

    private init(cache: Database, peering: Peering) {
        self.cache = cache
        self.peering = peering
    }

    /// - Returns: nil where gossip is turned off.
    static func open(
        _ configuration: NodeConfiguration,
        in directory: DataDirectory,
        nodeKeys: NodeKeys,
        logger: Logger
    ) async throws -> GossipNode? {
        guard let settings = configuration.gossip else { return nil }
        let cache = try openCache(
            directory.file(NodeFiles.cache),
            maximumBytes: settings.cacheMaximumBytes,
            logger: logger
        )
        do {
            let peering = try await Peering(
                key: PeerKey(try nodeKeys.peerKey()),
                configuration: settings.peering,
                store: PeerStore(cache),
                clock: .system,
                logger: logger
            )
            return GossipNode(cache: cache, peering: peering)
        } catch {
            await cache.close()
            throw error
        }
    }

    /// A damaged file is put aside: what was in it is learnt again. The bans that the operator made are lost with it, so it is
    /// said.
    private static func openCache(_ path: String, maximumBytes: Int64, logger: Logger) throws -> Database {
        let found: StorageError
        do throws(StorageError) {
            return try open(path, maximumBytes, logger)
        } catch {
            found = error
        }
        guard found.code == .corrupt || found.code == .foreign else { throw found }
        let aside = path + ".damaged"
        logger.warning(
            "the cache was damaged and is begun anew: peers are found again, bans that you made are to be made again",
            metadata: ["aside": "\(aside)"]
        )
        try? FileManager.default.removeItem(atPath: aside)
        try FileManager.default.moveItem(atPath: path, toPath: aside)
        for suffix in ["-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) }
        return try open(path, maximumBytes, logger)
    }

    private static func open(_ path: String, _ maximumBytes: Int64, _ logger: Logger) throws(StorageError) -> Database {
        try Database(
            path: path,
            migrations: migrations,
            logger: logger,
            readers: 2,
            isRebuildable: true,
            maximumBytes: maximumBytes
        )
    }

    /// Before the host starts.
    func join(_ part: any GossipPart) { parts.withLock { $0.append(part) } }

    /// Runs the host for as long as the node serves.
    func service(onListening: @escaping @Sendable () async -> Void) -> any Service {
        GossipService(node: self, onListening: onListening)
    }

    fileprivate func start() async throws {
        do {
            try await peering.start(parts.withLock { $0 })
        } catch let error as PeeringError {
            throw ConfigurationError("\(error.message): choose another with gossip.listen, or set gossip.enabled=false")
        }
    }

    func close() async {
        await peering.stop()
        await peering.save()
        await cache.close()
    }

    /// What is told of it in `mintmark status` and at `/api/node`.
    func facts() async -> JSONObject {
        var facts: JSONObject = [
            "peer": .string(peering.peerID.description), "reachability": .string(await peering.reachability.rawValue),
        ]
        let peer = peering.peerID
        let addresses = await peering.addresses.compactMap { try? $0.naming(peer) }
        facts["addresses"] = .array(addresses.map { .string($0.description) })
        if let statistics = try? await peering.running().statistics() {
            facts["connections"] = .integer(Int64(statistics.inbound + statistics.outbound))
            // Of each topic that is subscribed to, the peers that its messages go to.
            facts["meshes"] = .object(
                JSONObject(statistics.meshSizes.sorted { $0.key < $1.key }.map { ($0.key, .integer(Int64($0.value))) })
            )
        }
        return facts
    }
}

private struct GossipService: Service {
    let node: GossipNode
    let onListening: @Sendable () async -> Void

    func run() async throws {
        try await node.start()
        await onListening()
        try? await gracefulShutdown()
        await node.peering.stop()
    }
}
