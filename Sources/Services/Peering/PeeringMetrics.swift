internal import Foundation
internal import Libp2p
internal import Metrics
internal import P2PTransport
internal import Synchronization

/// What `/metrics` shows of the gossip network.
final class PeeringMetrics: Sendable {
    /// What the counters were set to last.
    private let before = Mutex(P2PStatistics())
    private let latency = Timer(label: "mintmark_gossip_latency_seconds")

    /// mintmark and go number their messages by nanoseconds since 1970, so the number tells when one was published, where both
    /// clocks are right. What is not plausible is left out.
    func passed(_ passage: GossipPassage) {
        guard passage.from != nil else { return }
        let sent = passage.message.sequence.reduce(into: UInt64(0)) { $0 = $0 << 8 | UInt64($1) }
        let now = Date().timeIntervalSince1970 * 1e9
        let passed = now - Double(sent)
        guard passed >= 0, passed < 60e9 else { return }
        latency.recordNanoseconds(Int64(passed))
    }

    func connected(_ connection: P2PConnection) {
        Counter(
            label: "mintmark_gossip_connected_total",
            dimensions: [("direction", connection.isInbound ? "inbound" : "outbound")]
        ).increment()
    }

    func set(_ now: P2PStatistics, known: Int, banned: Int) {
        Gauge(label: "mintmark_gossip_connections", dimensions: [("direction", "inbound")]).record(now.inbound)
        Gauge(label: "mintmark_gossip_connections", dimensions: [("direction", "outbound")]).record(now.outbound)
        Gauge(label: "mintmark_gossip_connections_pending").record(now.pending)
        Gauge(label: "mintmark_gossip_known_peers").record(known)
        Gauge(label: "mintmark_gossip_bans").record(banned)
        let before = before.withLock { before in
            defer { before = now }
            return before
        }
        // A topic that was left is shown with an empty mesh.
        for topic in Set(now.meshSizes.keys).union(before.meshSizes.keys) {
            Gauge(label: "mintmark_gossip_mesh_peers", dimensions: [("topic", topic)]).record(now.meshSizes[topic] ?? 0)
        }
        add("mintmark_gossip_bytes_total", [("direction", "in")], now.bytesIn, before.bytesIn)
        add("mintmark_gossip_bytes_total", [("direction", "out")], now.bytesOut, before.bytesOut)
        add("mintmark_gossip_handshakes_failed_total", [], now.handshakesFailed, before.handshakesFailed)
        add("mintmark_gossip_connections_refused_total", [], now.refused, before.refused)
        guard let gossip = now.gossip else { return }
        let last = before.gossip ?? GossipCounts()
        add("mintmark_gossip_messages_received_total", [], gossip.received, last.received)
        add("mintmark_gossip_messages_sent_total", [], gossip.sent, last.sent)
        add("mintmark_gossip_messages_published_total", [], gossip.published, last.published)
        for (outcome, value, old) in [
            ("accepted", gossip.accepted, last.accepted), ("rejected", gossip.rejected, last.rejected),
            ("ignored", gossip.ignored, last.ignored), ("duplicate", gossip.duplicates, last.duplicates),
            ("malformed", gossip.malformed, last.malformed), ("overflowed", gossip.overflowed, last.overflowed),
        ] {
            add("mintmark_gossip_messages_total", [("outcome", outcome)], value, old)
        }
    }

    private func add(_ label: String, _ dimensions: [(String, String)], _ now: UInt64, _ before: UInt64) {
        // Shown also where it is nothing yet; a host that was started anew begins at nothing.
        Counter(label: label, dimensions: dimensions).increment(by: now >= before ? now - before : now)
    }
}
