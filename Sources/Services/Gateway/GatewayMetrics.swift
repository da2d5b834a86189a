import Metrics
import NIOCore
import Paywall
import Synchronization

/// What the gateway tells the metrics system. Labels come from the service list and the codes, never from callers.
final class GatewayMetrics: Sendable {
    private let counters = Mutex<[String: Counter]>([:])
    private let timers = Mutex<[String: Timer]>([:])
    private let redeemedProofs = Counter(label: "mintmark_gateway_redeemed_proofs_total")
    private let failedProofs = Counter(label: "mintmark_gateway_failed_proofs_total")

    func record(service: String, outcome: String, began: NIODeadline) {
        let nanoseconds = (NIODeadline.now() - began).nanoseconds
        let counter = counters.withLock { table in
            let key = "calls \(service) \(outcome)"
            if let counter = table[key] { return counter }
            let counter = Counter(
                label: "mintmark_gateway_calls_total",
                dimensions: [("service", service), ("outcome", outcome)]
            )
            table[key] = counter
            return counter
        }
        counter.increment()
        let timer = timers.withLock { table in
            if let timer = table[service] { return timer }
            let timer = Timer(label: "mintmark_gateway_call_seconds", dimensions: [("service", service)])
            table[service] = timer
            return timer
        }
        timer.recordNanoseconds(nanoseconds)
    }

    func redeemedFirst(_ obstacles: [OfflineObstacle]) {
        for obstacle in obstacles { count("mintmark_gateway_redeemed_first_total", "reason", obstacle.rawValue) }
    }

    func refunded(_ reason: CallRefusal.Code) {
        count("mintmark_gateway_refunds_total", "reason", reason.rawValue)
    }

    /// A call broke its promise, and something goes back for it.
    func breached(_ rule: String) {
        count("mintmark_gateway_breaches_total", "rule", rule)
    }

    func redeemed(_ count: Int) {
        redeemedProofs.increment(by: count)
    }

    func redemptionFailed(_ count: Int) {
        failedProofs.increment(by: count)
    }

    private func count(_ label: String, _ dimension: String, _ value: String) {
        counters.withLock { table in
            let key = "\(label) \(value)"
            if let counter = table[key] { return counter }
            let counter = Counter(label: label, dimensions: [(dimension, value)])
            table[key] = counter
            return counter
        }.increment()
    }
}
