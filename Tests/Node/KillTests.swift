import Foundation
import Testing

/// Real processes killed at every step of a payment, as a power cut would end them. `SOAK=1` makes the long run;
/// `KILL_SEED` replays a run's choices.
@Suite("kill -9 at each of the payment's steps", .serialized)
struct KillTests {
    private static let isSoak = ProcessInfo.processInfo.environment["SOAK"] == "1"
    private static let seed = ProcessInfo.processInfo.environment["KILL_SEED"].flatMap { UInt64($0) } ?? 20_261_121

    @Test("Value is conserved, a key is charged once, the upstream called once, and a retry gets the same answer")
    func kills() async throws {
        let rounds = Self.isSoak ? 7 : 1
        let seed = Self.seed
        try await World.with { world in
            let run = try await KillRun(world, seed: seed)
            for round in 0..<rounds {
                for moment in KillMoment.allCases {
                    let problems = try await run.kill(at: moment)
                    guard problems.isEmpty else {
                        Issue.record(
                            """
                            KILL_SEED=\(seed), round \(round), \(moment.rawValue):
                            \(problems.joined(separator: "\n"))
                            \(run.report())
                            seller's log: \(world.seller.process.log().suffix(3000))
                            buyer's log: \(world.buyer.process.log().suffix(3000))
                            """
                        )
                        return
                    }
                }
            }
            let problems = try await run.end()
            #expect(problems == [], "KILL_SEED=\(seed)\n\(run.report())")
            print(run.report())
        }
    }

    @Test("A mint under the load of 16 wallets: issued less redeemed is held, no proof and no quote counts twice")
    func mintKills() async throws {
        let kills = Self.isSoak ? 500 : 10
        let seed = Self.seed
        try await World.with(starts: false) { world in
            try await world.seller.start()
            let run = try await MintKillRun(world, clients: 16, seed: seed)
            let problems = try await run.run(kills: kills)
            #expect(
                problems == [],
                "KILL_SEED=\(seed)\n\(run.report())\nthe node's log: \(world.seller.process.log().suffix(3000))"
            )
            print("\(kills) kills of the mint: \(run.report())")
            await run.end()
        }
    }
}
