internal import Foundation
internal import Synchronization

/// Paid calls at an even rate: an agent with a passport of its own, and ecash locked to each seller beforehand.
final class PaidLoad: Sendable {
    struct Outcome: Sendable {
        var milliseconds: [Double] = []
        var failures = 0
        var seconds = 0.0

        var perSecond: Double { seconds > 0 ? Double(milliseconds.count) / seconds : 0 }

        func percentile(_ share: Double) -> Double? {
            let sorted = milliseconds.sorted()
            return sorted.isEmpty ? nil : sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
        }
    }

    /// Calls of one node that are under way at once.
    private static let clients = 4

    private let agent: CallingAgent
    private let nodes: [TradingNode]
    /// Of each node, those that are left.
    private let tokens: Mutex<[[String]]>
    private let interval: Duration
    private let isStopped = Mutex(false)
    private let outcome = Mutex(Outcome())

    /// - Parameter seconds: the longest that it may go on.
    init(_ market: TradingNodes, callsPerSecond: Double, seconds: Double) async throws {
        agent = try await CallingAgent("payer", at: market.issuer)
        nodes = market.nodes
        let count = Int(callsPerSecond * seconds) / market.nodes.count + Self.clients
        var tokens: [[String]] = []
        for node in market.nodes { tokens.append(try await node.tokens(count, paidBy: market.payer)) }
        self.tokens = Mutex(tokens)
        interval = .seconds(Double(market.nodes.count * Self.clients) / callsPerSecond)
    }

    func stop() { isStopped.withLock { $0 = true } }

    /// Goes on until it is stopped, or has no money left.
    func run() async throws -> Outcome {
        let began = ContinuousClock.now
        await withDiscardingTaskGroup { group in
            for number in nodes.indices {
                for client in 0..<Self.clients {
                    group.addTask { await self.call(number, first: began + self.interval * client / Self.clients) }
                }
            }
        }
        return outcome.withLock { outcome in
            outcome.seconds = Timing.inSeconds(ContinuousClock.now - began)
            return outcome
        }
    }

    private func call(_ number: Int, first: ContinuousClock.Instant) async {
        let node = nodes[number]
        var next = first
        while !isStopped.withLock({ $0 }), let token = tokens.withLock({ $0[number].popLast() }) {
            try? await Task.sleep(until: next, clock: .continuous)
            // One that was late does not make up for it.
            next = max(next + interval, .now)
            let began = ContinuousClock.now
            let status = try? await node.visit(try agent.headers(node.serviceURL, more: [("X-Cashu", token)])).status
            let milliseconds = Timing.inSeconds(ContinuousClock.now - began) * 1_000
            outcome.withLock { outcome in
                if status == 200 { outcome.milliseconds.append(milliseconds) } else { outcome.failures += 1 }
            }
        }
    }
}
