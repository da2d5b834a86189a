import Testing

@testable import Wallet

/// How a restore walks the counters, with and without set-backs in the wallet's life ([BAK-12]).
@Suite struct CounterGenerationTests {
    private static let length = CounterGenerations.length

    /// The batches asked about where the mint knows outputs at these counters.
    private func walk(_ used: [Range<UInt64>]) -> (asked: Int, found: Set<Int>) {
        var walk = CounterWalk(size: 100, emptyBatches: 3)
        var asked = 0
        var found: Set<Int> = []
        while let first = walk.next, asked < 10_000 {
            asked += 1
            let batch = first..<first + 100
            let hits = used.indices.filter { used[$0].overlaps(batch) }
            found.formUnion(hits)
            walk.ended(found: !hits.isEmpty)
        }
        return (asked, found)
    }

    @Test("A wallet that was never set back costs three questions more; each later generation is found")
    func generations() {
        #expect(walk([]).asked == 3 + 3)
        #expect(walk([0..<950]).asked == 10 + 3 + 3)
        let second = 2 * Self.length
        let third = CounterGenerations.start(after: second + 150)
        #expect(third == 4 * Self.length)
        let all = walk([0..<50, second..<second + 150, third..<third + 1])
        #expect(all.found == [0, 1, 2])
        // A wallet that came into being after the set-back has nothing at the beginning.
        #expect(walk([second..<second + 1]).found == [0])
    }

    @Test("The walk ends where the counters do")
    func end() {
        let last: UInt64 = (1 << 31) - 1
        let all = stride(from: 0, to: last, by: UInt64.Stride(Self.length)).map { $0..<$0 + 1 }
        let walked = walk(all)
        #expect(walked.found.count == all.count && walked.asked < 10_000)
    }
}
