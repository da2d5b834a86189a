internal import Cryptography
internal import Encodings
internal import Foundation
internal import Libp2p
internal import Logging
internal import NIOPosix
internal import P2PTransport
internal import Synchronization

/// A `GossipPeer` process between two others that is flooded with invalid messages, framed well and at full speed, by peers of
/// this process: how soon each is cut off, what the victim's memory does, and what becomes of the others' messages meanwhile.
struct FloodBenchmark {
    var seconds = 15.0
    /// Attackers at once; each comes again under a new key when it was cut off.
    var attackers = 4
    private static let topic = "timed"
    private static let heartbeatSeconds = Double(GossipParameters().heartbeatMilliseconds) / 1_000

    /// What one attacker came to.
    private struct Attack: Sendable {
        var messages = 0
        var seconds = 0.0
        var wasCutOff = false
    }

    func run() async throws -> [Measure] {
        guard let executable = GossipProcess.executable else { return [GossipProcess.missing("gossip-flood")] }
        let peers = try await GossipProcess.started(3, executable)
        defer { for peer in peers { peer.stop() } }
        let victim = peers[0]
        let address = try Multiaddr(parsing: try await victim.ask("listen /ip4/127.0.0.1/tcp/0", "listening"))
        for peer in peers.dropFirst() { _ = try await peer.ask("dial \(address)", "dialed") }
        for peer in peers { _ = try await peer.ask("subscribe \(Self.topic)", "subscribed") }
        try await Task.sleep(for: .seconds(3))
        // The others' messages alone, so that there is something to hold the rest against.
        let calm = try await deliver(peers, numbers: 0..<150)
        let first = try await attack(address)
        let before = victim.residentMegabytes ?? 0
        let peak = Mutex(before)
        let watching = Task { [identifier = victim.identifier] in
            while !Task.isCancelled {
                if let now = GossipProcess.residentMegabytes(of: identifier) { peak.withLock { $0 = max($0, now) } }
                try await Task.sleep(for: .milliseconds(50))
            }
        }
        async let attacks = self.attacks(address)
        let stormy = try await deliver(peers, numbers: 1_000..<(1_000 + Int(seconds * 50)))
        let all = try await attacks
        watching.cancel()
        try await Task.sleep(for: .seconds(2))
        return measures(first, all, calm: calm, stormy: stormy)
            + [
                Measure(name: "gossip-flood-resident-peak", value: peak.withLock { $0 }, unit: "MB", yardstick: before),
                Measure(
                    name: "gossip-flood-resident-after",
                    value: victim.residentMegabytes,
                    unit: "MB",
                    yardstick: before,
                    note: "the yardstick is the same process before the attackers came"
                ),
            ]
    }

    private func measures(
        _ first: Attack,
        _ all: [Attack],
        calm: (sent: Int, milliseconds: [Double]),
        stormy: (sent: Int, milliseconds: [Double])
    ) -> [Measure] {
        func percentile(_ values: [Double], _ share: Double) -> Double? {
            values.isEmpty ? nil : values[min(values.count - 1, Int(Double(values.count) * share))]
        }
        let times = all.filter(\.wasCutOff).map { $0.seconds / Self.heartbeatSeconds }.sorted()
        let messages = all.reduce(0) { $0 + $1.messages }
        let sending = all.reduce(0) { $0 + $1.seconds }
        return [
            Measure(
                name: "gossip-flood-one-attacker",
                value: first.wasCutOff ? first.seconds / Self.heartbeatSeconds : nil,
                unit: "heartbeats",
                yardstick: 2,
                note: "\(first.messages) messages, \(Int(Double(first.messages) / first.seconds)) a second"
            ),
            Measure(
                name: "gossip-flood-messages",
                value: Double(messages) / seconds,
                unit: "1/s",
                yardstick: 10_000,
                note: "\(all.count) keys, \(attackers) at once, each \(Int(Double(messages) / sending)) a second"
            ),
            Measure(
                name: "gossip-flood-cut-off",
                value: times.last,
                unit: "heartbeats",
                yardstick: 2,
                note: "the longest; median \(percentile(times, 0.5) ?? 0); \(times.count) of \(all.count) were cut off"
            ),
            Measure(
                name: "gossip-flood-delivered",
                value: Double(stormy.milliseconds.count),
                unit: "",
                yardstick: Double(stormy.sent)
            ),
            Measure(
                name: "gossip-flood-delivery-p50",
                value: percentile(stormy.milliseconds, 0.5),
                unit: "ms",
                yardstick: percentile(calm.milliseconds, 0.5)
            ),
            Measure(
                name: "gossip-flood-delivery-p99",
                value: percentile(stormy.milliseconds, 0.99),
                unit: "ms",
                yardstick: percentile(calm.milliseconds, 0.99)
            ),
        ]
    }

    // MARK: The honest

    /// The second peer publishes fifty a second, which reach the third through the victim alone.
    private func deliver(
        _ peers: [GossipProcess],
        numbers: Range<Int>
    ) async throws -> (sent: Int, milliseconds: [Double]) {
        for number in numbers {
            peers[1].tell("timed \(Self.topic) \(number) 512")
            try await Task.sleep(for: .milliseconds(20))
        }
        try await Task.sleep(for: .seconds(2))
        let text = try await peers[2].ask("timings", "timings")
        let times = text.split(separator: ",").compactMap { entry -> Double? in
            let parts = entry.split(separator: ":").compactMap { Int($0) }
            guard parts.count == 2, numbers.contains(parts[0]) else { return nil }
            return Double(parts[1]) / 1_000
        }
        return (numbers.count, times.sorted())
    }

    // MARK: The others

    private func attacks(_ address: Multiaddr) async throws -> [Attack] {
        let end = ContinuousClock.now + .seconds(seconds)
        return try await withThrowingTaskGroup(of: [Attack].self) { group in
            for _ in 0..<attackers {
                group.addTask {
                    var attacks: [Attack] = []
                    while ContinuousClock.now < end { attacks.append(try await attack(address)) }
                    return attacks
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
    }

    /// Joins as any peer does, then sends what is invalid until it is thrown out.
    private func attack(_ address: Multiaddr) async throws -> Attack {
        let key = PeerKey(Ed25519.PrivateKey())
        let host = try await P2PHost.start(
            key: key,
            gossip: GossipParameters(),
            loop: MultiThreadedEventLoopGroup.singleton.next(),
            logger: Logger(label: "attacker") { _ in SwiftLogNoOpLogHandler() }
        )
        var attack = Attack()
        do {
            try await host.subscribe(Self.topic) { _, _ in .ignore }
            let connection = try await host.dial(address)
            for _ in 0..<500 where try await host.meshPeers(of: Self.topic).isEmpty {
                try await Task.sleep(for: .milliseconds(2))
            }
            let frames = (0..<20).map { Self.frame($0, from: key.peerID) }
            let began = ContinuousClock.now
            attack.wasCutOff = await flood(frames, connection, &attack)
            attack.seconds = Timing.inSeconds(ContinuousClock.now - began)
        } catch {
            await host.close()
            throw error
        }
        await host.close()
        return attack
    }

    /// - Returns: whether it was cut off, rather than that ten seconds passed.
    private func flood(_ frames: [[UInt8]], _ connection: P2PConnection, _ attack: inout Attack) async -> Bool {
        let sent = Mutex(0)
        do {
            try await connection.withStream(GossipSub.protocolNames, deadlineSeconds: 10) { stream in
                while true {
                    try await stream.write(frames[sent.withLock { $0 } % frames.count])
                    sent.withLock { $0 += 1 }
                }
            }
            return false
        } catch {
            attack.messages = sent.withLock { $0 } * Self.messagesPerFrame
            return (error as? Libp2pError)?.code == .closed
        }
    }

    private static let messagesPerFrame = 100

    /// An RPC of messages of 200 bytes: half are signed by nobody, half have no publisher.
    private static func frame(_ number: UInt64, from peer: PeerID) -> [UInt8] {
        var rpc = GossipRPC()
        rpc.messages = (0..<messagesPerFrame).map { index in
            let sequence = number &* UInt64(messagesPerFrame) &+ UInt64(index)
            var writer = ProtobufWriter()
            if index.isMultiple(of: 2) { writer.bytes(1, peer.bytes) }
            writer.bytes(2, [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 200))
            writer.bytes(3, (0..<8).map { UInt8(truncatingIfNeeded: sequence >> (56 - 8 * UInt64($0))) })
            writer.text(4, topic)
            writer.bytes(5, [UInt8](repeating: 0x2A, count: 64))
            return writer.bytes[...]
        }
        return rpc.delimited
    }
}
