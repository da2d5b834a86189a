internal import Foundation

@main
enum Main {
    static func main() async throws {
        for measure in try PassportBenchmark().run() { print(measure.line) }
        for benchmark in [SwapBenchmark(), SwapBenchmark(width: 8, swaps: 2_000)] {
            for measure in try await benchmark.run() { print(measure.line) }
        }
    }
}
