internal import Foundation

/// Hosts of GossipSub as processes of their own on this machine: how long a message takes to all of them, and at what cost.
/// The sizes and rates are those at which go-libp2p 0.32 was measured, whose figures are the yardsticks.
struct GossipBenchmark {
    struct Setting {
        var nodes: Int
        var perSecond: Double
        /// What go took: the last node's p99 in ms, CPU a delivery in ms, bytes for each byte of payload, resident MB.
        var go: (lastNode: Double, cpu: Double, bytes: Double, resident: Double)
    }

    static let settings = [
        Setting(nodes: 10, perSecond: 20, go: (4.1, 0.58, 7.6, 65)),
        Setting(nodes: 50, perSecond: 10, go: (184, 0.92, 12.2, 68)),
        Setting(nodes: 100, perSecond: 5, go: (164, 1.24, 12.2, 68)),
    ]

    var settings = Self.settings
    var seconds = 20.0
    private static let payload = 512
    private static let topic = "timed"
    /// Peers that each node dials.
    private static let dials = 6

    func run() async throws -> [Measure] {
        guard let executable = GossipProcess.executable else { return [GossipProcess.missing("gossip")] }
        var measures = try await flood(executable)
        for setting in settings { measures += try await spread(setting, executable) }
        return measures
    }

    // MARK: Two nodes

    private func flood(_ executable: URL) async throws -> [Measure] {
        let peers = try await GossipProcess.started(2, executable)
        defer { for peer in peers { peer.stop() } }
        let address = try await peers[0].ask("listen /ip4/127.0.0.1/tcp/0", "listening")
        _ = try await peers[1].ask("dial \(address)", "dialed")
        for peer in peers { _ = try await peer.ask("subscribe flood", "subscribed") }
        try await Task.sleep(for: .seconds(2))
        let count = 30_000
        let began = ContinuousClock.now
        peers[0].tell("flood flood \(count) 256")
        let told = try await peers[1].line("flooded", timeoutSeconds: 60)
        let seconds = Timing.inSeconds(ContinuousClock.now - began)
        let arrived = Double(told.split(separator: " ").last ?? "") ?? 0
        return [
            Measure(
                name: "gossip-two-nodes-256-bytes",
                value: arrived / seconds,
                unit: "1/s",
                yardstick: 4_000,
                note: "\(Int(arrived)) of \(count) arrived; go: 4,000"
            )
        ]
    }

    // MARK: Many

    private func spread(_ setting: Setting, _ executable: URL) async throws -> [Measure] {
        let peers = try await GossipProcess.started(setting.nodes, executable)
        defer { for peer in peers { peer.stop() } }
        try await Self.connect(peers)
        for peer in peers { _ = try await peer.ask("subscribe \(Self.topic)", "subscribed") }
        // Until the meshes have their size.
        try await Task.sleep(for: .seconds(10))
        let before = try await Self.cost(of: peers)
        let count = Int(seconds * setting.perSecond)
        for number in 0..<count {
            peers[number * 7 % peers.count].tell("timed \(Self.topic) \(number) \(Self.payload)")
            try await Task.sleep(for: .seconds(1 / setting.perSecond))
        }
        try await Task.sleep(for: .seconds(3))
        let after = try await Self.cost(of: peers)
        var arrivals: [[Double]] = Array(repeating: [], count: count)
        for peer in peers {
            let text = try await peer.ask("timings", "timings")
            for entry in text.split(separator: ",") {
                let parts = entry.split(separator: ":").compactMap { Int($0) }
                if parts.count == 2, arrivals.indices.contains(parts[0]) {
                    arrivals[parts[0]].append(Double(parts[1]) / 1_000)
                }
            }
        }
        return Self.measures(setting, arrivals, cpu: after.cpu - before.cpu, bytes: after.bytes - before.bytes, peers)
    }

    private static func measures(
        _ setting: Setting,
        _ arrivals: [[Double]],
        cpu: Double,
        bytes: Double,
        _ peers: [GossipProcess]
    ) -> [Measure] {
        let all = arrivals.flatMap { $0 }.sorted()
        let last = arrivals.compactMap { $0.max() }.sorted()
        func percentile(_ values: [Double], _ share: Double) -> Double? {
            values.isEmpty ? nil : values[min(values.count - 1, Int(Double(values.count) * share))]
        }
        let expected = arrivals.count * (setting.nodes - 1)
        let deliveries = Double(max(1, all.count))
        let name = "gossip-\(setting.nodes)"
        return [
            Measure(name: "\(name)-delivered", value: Double(all.count), unit: "", yardstick: Double(expected)),
            Measure(name: "\(name)-p50", value: percentile(all, 0.5), unit: "ms"),
            Measure(name: "\(name)-p99", value: percentile(all, 0.99), unit: "ms"),
            Measure(name: "\(name)-last-node-p50", value: percentile(last, 0.5), unit: "ms"),
            Measure(
                name: "\(name)-last-node-p99",
                value: percentile(last, 0.99),
                unit: "ms",
                yardstick: setting.go.lastNode
            ),
            Measure(
                name: "\(name)-cpu-per-delivery",
                value: cpu * 1_000 / deliveries,
                unit: "ms",
                yardstick: setting.go.cpu
            ),
            Measure(
                name: "\(name)-bytes-per-payload",
                value: bytes / deliveries / Double(payload),
                unit: "",
                yardstick: setting.go.bytes
            ),
            Measure(
                name: "\(name)-resident",
                value: peers.compactMap(\.residentMegabytes).max(),
                unit: "MB",
                yardstick: setting.go.resident
            ),
        ]
    }

    /// Each dials a few others, chosen by a fixed seed.
    private static func connect(_ peers: [GossipProcess]) async throws {
        var addresses: [String] = []
        for peer in peers { addresses.append(try await peer.ask("listen /ip4/127.0.0.1/tcp/0", "listening")) }
        var state: UInt64 = 7
        for (number, peer) in peers.enumerated() {
            var chosen: Set<Int> = [number]
            while chosen.count <= min(dials, peers.count - 1) {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                chosen.insert(Int(state >> 33) % peers.count)
            }
            for other in chosen.sorted() where other != number {
                _ = try await peer.ask("dial \(addresses[other])", "dialed")
            }
        }
    }

    /// Seconds of CPU and bytes read by all of them so far.
    private static func cost(of peers: [GossipProcess]) async throws -> (cpu: Double, bytes: Double) {
        var total = (cpu: 0.0, bytes: 0.0)
        for peer in peers {
            total.cpu += peer.cpuSeconds
            let told = try await peer.ask("statistics", "statistics")
            total.bytes += Double(told.split(separator: " ").first ?? "") ?? 0
        }
        return total
    }
}
