import Foundation
import Testing

/// Buyers who choose by the engine, among nodes of which many are bad. `SOAK=1` runs every row with six seeds.
@Suite struct ReputationSimulationTests {
    private static let isSoak = ProcessInfo.processInfo.environment["SOAK"] == "1"
    private static let seeds: [UInt64] = isSoak ? [1, 2, 3, 4, 5, 6] : [1]
    /// Those that take a second without optimization.
    private static let rows = ReputationSimulation.rows.filter { row in
        isSoak || row.badNodes == 70 || row.attack == .traitors
    }

    @Test(
        "[REP-11] Honest buyers fare under every attack no worse than is known of the hybrid with decay, by more than a tenth",
        arguments: rows
    )
    func row(_ row: ReputationSimulation.Row) {
        var shares: [Double] = []
        for seed in Self.seeds {
            var simulation = ReputationSimulation(row, seed: seed)
            shares.append(simulation.run())
        }
        let mean = shares.reduce(0, +) / Double(shares.count)
        #expect(mean <= row.known * 1.1, "\(row): \(mean) % of \(shares)")
    }
}
