internal import AsyncHTTPClient
internal import Foundation
internal import NIOCore
internal import NIOHTTP1
internal import Synchronization

/// A node that is asked for more swaps than it can do: how soon `/health` answers meanwhile, what memory it takes, and
/// what became of the swaps over its capacity.
struct OverloadBenchmark {
    var connections = 512
    var swaps = 10_000

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
            let (port, connections) = (node.port, connections)
            let load = Task {
                defer { done.raise() }
                return try await LoadGenerator(port: port, connections: connections).run(requests)
            }
            let busy = try await health(node, until: done)
            return (try await load.value, idle, busy)
        }
        guard let (load, idle, busy) = measured else {
            return [Measure(name: "overload", value: nil, unit: "ms", note: RunningNode.missing)]
        }
        let timedOut = load.failures - load.overloaded
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
            Measure(name: "overload-swaps-done", value: load.perSecond * share(load), unit: "1/s"),
            Measure(name: "overload-swap-p99", value: load.percentile(0.99), unit: "ms"),
            Measure(name: "overload-answers-503", value: Double(load.overloaded), unit: "of \(swaps)"),
            Measure(name: "overload-answers-other-errors", value: Double(timedOut), unit: "of \(swaps)"),
        ]
    }

    private func share(_ load: LoadGenerator.Result) -> Double {
        1 - Double(load.failures) / Double(max(load.latencies.count, 1))
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
