internal import Foundation
internal import Passports

/// How soon five nodes refuse an agent whose passport was revoked at one of them, while another agent pays for calls at all of
/// them. Each node sells; the first has issued the passports; the others hear of it by gossip and fetch its status list.
struct RevocationBenchmark {
    var nodes = 5
    var revocations = 40
    /// Paid calls a second, of all nodes together.
    var callsPerSecond = 50.0
    /// The most that one revocation may take.
    private static let patienceSeconds = 10.0
    private static let pause = Duration.milliseconds(250)

    /// Seconds from the command's start: to its return, and to the first refusal at the last node.
    private struct Revocation: Sendable {
        var returned: Double
        var refused: Double
    }

    func run() async throws -> [Measure] {
        try await TradingNodes.measures("revocation", "ms", with: nodes) { market in try await measure(market) }
    }

    private func measure(_ market: TradingNodes) async throws -> [Measure] {
        var thieves: [CallingAgent] = []
        for number in 0..<revocations { thieves.append(try await CallingAgent("thief-\(number)", at: market.issuer)) }
        let load = try await PaidLoad(market, callsPerSecond: callsPerSecond, seconds: Double(revocations) * 2 + 10)
        let loading = Task { try await load.run() }
        // Until connections and caches are warm.
        try await Task.sleep(for: .seconds(2))
        var found: [Revocation] = []
        for thief in thieves {
            for node in market.nodes {
                let status = try await node.visit(try thief.headers(node.serviceURL)).status
                guard status == 402 else { throw BenchmarkError("before it is revoked an agent gets \(status)") }
            }
            found.append(try await revoke(thief, market))
            try await Task.sleep(for: Self.pause)
        }
        load.stop()
        let outcome = try await loading.value
        return measures(found, outcome)
    }

    private func revoke(_ thief: CallingAgent, _ market: TradingNodes) async throws -> Revocation {
        let began = ContinuousClock.now
        return try await withThrowingTaskGroup(of: (isCommand: Bool, seconds: Double).self) { group in
            group.addTask {
                try await market.command([
                    "passport", "revoke", thief.passport.id, "--reason", "keyCompromise", "--yes",
                ])
                return (true, Timing.inSeconds(ContinuousClock.now - began))
            }
            for node in market.nodes {
                group.addTask {
                    while true {
                        let answer = try await node.visit(try thief.headers(node.serviceURL))
                        let seconds = Timing.inSeconds(ContinuousClock.now - began)
                        if answer.status == 403, answer.code == "revoked" { return (false, seconds) }
                        guard seconds < Self.patienceSeconds else {
                            throw BenchmarkError("after \(Self.patienceSeconds) s \(node.name) says \(answer)")
                        }
                        try await Task.sleep(for: .milliseconds(10))
                    }
                }
            }
            return try await group.reduce(into: Revocation(returned: 0, refused: 0)) { sum, part in
                if part.isCommand { sum.returned = part.seconds } else { sum.refused = max(sum.refused, part.seconds) }
            }
        }
    }

    private func measures(_ found: [Revocation], _ load: PaidLoad.Outcome) -> [Measure] {
        func percentile(_ values: [Double], _ share: Double) -> Double {
            let sorted = values.sorted()
            return sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))] * 1_000
        }
        let after = found.map { max(0, $0.refused - $0.returned) }
        let whole = found.map(\.refused)
        let note = "\(found.count) revocations, \(nodes) nodes"
        return [
            Measure(
                name: "revocation-p50",
                value: percentile(after, 0.5),
                unit: "ms",
                yardstick: 200,
                note: "from the command's return to the last node's first refusal; " + note
            ),
            Measure(name: "revocation-p99", value: percentile(after, 0.99), unit: "ms", yardstick: 2_000),
            Measure(
                name: "revocation-from-start-p50",
                value: percentile(whole, 0.5),
                unit: "ms",
                yardstick: 200,
                note: "the command is a process; it returned after \(Int(percentile(found.map(\.returned), 0.5))) ms"
            ),
            Measure(name: "revocation-from-start-p99", value: percentile(whole, 0.99), unit: "ms", yardstick: 2_000),
            Measure(
                name: "revocation-load",
                value: load.perSecond,
                unit: "1/s",
                yardstick: callsPerSecond,
                note: "paid calls meanwhile, \(load.failures) failed"
            ),
            Measure(name: "revocation-load-p99", value: load.percentile(0.99), unit: "ms"),
        ]
    }
}
