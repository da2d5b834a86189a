internal import CanonicalJSON
internal import Cryptography
internal import Encodings
internal import Foundation
internal import Gossip
internal import Libp2p
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import P2PTransport
internal import Records
internal import SignedDocuments
internal import Storage

/// How long two nodes take until they have the same records, over loopback, both in this process: after a day in which one
/// missed 1,000 of 100,000, and after a partition in which each had 10,000 new ones.
struct RepairBenchmark {
    var records = 100_000
    var missed = 1_000
    var partition = 10_000

    private static let kind = RecordKind(
        "note",
        maximumBodyBytes: 2_000,
        maximumLifetimeSeconds: 30 * 86_400,
        recordsPerAuthor: 1_000_000,
        totalBytes: 1 << 32
    )
    private static let author = DocumentSigner(Ed25519.PrivateKey())
    private static let logger = Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() }

    private struct Node {
        let store: RecordStore
        let repair: RepairService

        init(_ path: String) throws {
            let kinds = RecordKinds([kind])
            store = try RecordStore(path: path, kinds: kinds, clock: .system, logger: logger)
            let intake = RecordIntake(
                store: store,
                rules: RecordRules(kinds),
                policy: AdmissionPolicy(trustedIssuers: [author.did]),
                clock: .system,
                statusLists: { _, _ in [:] }
            )
            repair = RepairService(intake: intake, logger: logger)
        }

        func fill(_ records: ArraySlice<Record>) async throws {
            for start in stride(from: records.startIndex, to: records.endIndex, by: 1_000) {
                let share = records[start..<min(start + 1_000, records.endIndex)]
                _ = try await store.insert(share.map { RecordStore.Arrival(RecordEnvelope(record: $0), .issuer) })
            }
        }
    }

    func run() async throws -> [Measure] {
        let count = records + missed + 2 * partition
        let now = WallClock.system.now()
        let body = String(repeating: "x", count: 80)
        let all = try (0..<count).map { number in
            try Record.sign(
                ["text": .string(body)],
                of: Self.kind,
                name: "n\(number)",
                sequence: 1,
                created: now.adding(milliseconds: Int64((number - count) * 800)),
                by: Self.author
            )
        }
        let shared = all[0..<records]
        let away = all[records..<(records + missed)]
        let sides = (all[(records + missed)..<(records + missed + partition)], all[(records + missed + partition)...])
        let day = try await measure(shared + away, shared)
        let healed = try await measure(shared.prefix(1_000) + sides.0, shared.prefix(1_000) + sides.1)
        let bytes = away.reduce(0) { $0 + $1.bytes.count }
        return try [
            Measure(name: "repair-day", value: day.seconds, unit: "s", yardstick: 10),
            Measure(
                name: "repair-day-bytes",
                value: Double(day.outcome.bytesRead + day.outcome.bytesWritten),
                unit: "bytes",
                yardstick: Double(2 * bytes + 50_000),
                note: "\(missed) records of \(bytes) bytes missed, \(day.outcome.rounds) round trips"
            ),
            Measure(name: "repair-partition", value: healed.seconds, unit: "s", yardstick: 5),
        ] + million()
    }

    /// The engine alone: a million ids, of which the other side lacks 100.
    private func million() throws -> [Measure] {
        var generator = SystemRandomNumberGenerator()
        let items = (0..<1_000_000).compactMap { number in
            RecordID(bytes: (0..<32).map { _ in UInt8.random(in: .min ... .max, using: &generator) })
                .map { ReconciliationItem(timestamp: UInt64(number * 80), id: $0) }
        }
        var sets: [ReconciliationSet] = []
        let building = Timing.seconds { sets = [ReconciliationSet(items)] }
        let lacking = ReconciliationSet(items.enumerated().filter { $0.offset % 10_000 != 7 }.map(\.element))
        var (engine, other) = (
            Negentropy(lacking, isInitiator: true), Negentropy(sets[0], isInitiator: false)
        )
        var bytes = 0
        let seconds = try Timing.seconds {
            var message: [UInt8]? = engine.start()
            while let query = message, let answer = try other.receive(query) {
                bytes += query.count + answer.count
                message = try engine.receive(answer)
            }
        }
        guard engine.takeDifferences().need.count == 100 else { throw BenchmarkError("the difference was not found") }
        return [
            Measure(name: "negentropy-million-set", value: building, unit: "s"),
            Measure(
                name: "negentropy-million",
                value: seconds,
                unit: "s",
                note: "\(bytes) bytes, \(engine.rounds) round trips"
            ),
        ]
    }

    /// - Returns: the seconds from the second's dial until both have the same.
    private func measure(
        _ here: ArraySlice<Record>,
        _ there: ArraySlice<Record>
    ) async throws -> (seconds: Double, outcome: RepairOutcome) {
        let folder = FileManager.default.temporaryDirectory.appending(path: "repair-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let nodes = (try Node(folder.path + "/1.sqlite"), try Node(folder.path + "/2.sqlite"))
        try await nodes.0.fill(here)
        try await nodes.1.fill(there)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let server = try await Self.host(nodes.0, group)
        let client = try await Self.host(nodes.1, group)
        let address = try await server.listen(on: try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/0"))
        let start = ContinuousClock.now
        let outcome = try await nodes.1.repair.repair(with: client.dial(address))
        let duration = ContinuousClock.now - start
        // Snapshots serve for two seconds.
        try await Task.sleep(for: .seconds(3))
        guard try await nodes.0.store.snapshot().items == nodes.1.store.snapshot().items else {
            throw BenchmarkError("the two nodes don't have the same records")
        }
        await client.close()
        await server.close()
        try await group.shutdownGracefully()
        await nodes.0.store.close()
        await nodes.1.store.close()
        return (Timing.inSeconds(duration), outcome)
    }

    private static func host(_ node: Node, _ group: MultiThreadedEventLoopGroup) async throws -> P2PHost {
        try await P2PHost.start(
            key: PeerKey(Ed25519.PrivateKey()),
            protocols: [node.repair.servedProtocol],
            loop: group.next(),
            logger: logger
        )
    }
}
