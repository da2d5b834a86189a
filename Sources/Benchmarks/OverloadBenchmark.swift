internal import AsyncHTTPClient
internal import Foundation
internal import NIOCore
internal import NIOHTTP1
internal import Synchronization

/// A node that is asked for more swaps than it can do, by more clients than it lets in: how soon `/health` answers
/// meanwhile, what memory it takes, and what became of the swaps. Those that are put off with 503 and `Retry-After` are
/// sent again after that time, as a wallet does, until all are done.
struct OverloadBenchmark {
    /// Half as many again as a node lets in at most; as far as this process may open them.
    var connections = 3_000
    var swaps = 40_000

    func run() async throws -> [Measure] {
        let measured = try await RunningNode.with { node in
            let requests = try await node.mint.swaps(swaps, path: "/mint/v1/swap")
            let pause = Flag()
            let waiting = Task {
                try await Task.sleep(for: .seconds(1))
                pause.raise()
            }
            let idle = try await health(node, until: pause)
            try await waiting.value
            let done = Flag()
            let generator = LoadGenerator(
                port: node.port,
                connections: min(connections, Self.openFiles - 256),
                heedsRetryAfter: true
            )
            let load = Task {
                defer { done.raise() }
                return try await generator.run(requests)
            }
            let busy = try await health(node, until: done)
            return (try await load.value, idle, busy)
        }
        guard let (load, idle, busy) = measured else {
            return [Measure(name: "overload", value: nil, unit: "ms", note: RunningNode.missing)]
        }
        return [
            Measure(
                name: "overload-health-p99",
                value: busy.percentile(0.99),
                unit: "ms",
                yardstick: idle.percentile(0.99)
            ),
            Measure(
                name: "overload-health-p50",
                value: busy.percentile(0.5),
                unit: "ms",
                yardstick: idle.percentile(0.5)
            ),
            Measure(name: "overload-resident-most", value: busy.megabytes, unit: "MB", yardstick: idle.megabytes),
            Measure(name: "overload-swaps", value: load.perSecond, unit: "1/s"),
            Measure(name: "overload-swap-p99", value: load.percentile(0.99), unit: "ms"),
            Measure(name: "overload-swaps-done", value: Double(load.latencies.count), unit: "of \(swaps)"),
            Measure(name: "overload-put-off", value: Double(load.putOff), unit: "503s"),
            Measure(name: "overload-refused", value: Double(load.refused), unit: "of \(swaps)"),
            Measure(name: "overload-unanswered", value: Double(load.unanswered), unit: "of \(swaps)"),
        ]
    }

    /// What this process may open.
    private static var openFiles: Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        return Int(clamping: limit.rlim_cur)
    }

    private struct Health {
        var milliseconds: [Double] = []
        var megabytes = 0.0

        func percentile(_ share: Double) -> Double {
            let sorted = milliseconds.sorted()
            return sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
        }
    }

    private final class Flag: Sendable {
        private let state = Mutex(false)
        var isRaised: Bool { state.withLock { $0 } }
        func raise() { state.withLock { $0 = true } }
    }

    /// Asks every 5 ms for `/health` until the flag is raised. Anything but 200 is an error.
    private func health(_ node: RunningNode, until flag: Flag) async throws -> Health {
        let clock = ContinuousClock()
        var found = Health()
        while !flag.isRaised {
            let began = clock.now
            let answer = try await node.http.execute(
                HTTPClientRequest(url: node.url + "/health"),
                timeout: .seconds(10)
            )
            _ = try await answer.body.collect(upTo: 65_536)
            guard answer.status == .ok else { throw BenchmarkError("/health answered \(answer.status.code)") }
            found.milliseconds.append(Timing.inSeconds(clock.now - began) * 1000)
            found.megabytes = max(found.megabytes, try node.process.residentMegabytes())
            try await Task.sleep(for: .milliseconds(5))
        }
        return found
    }
}
