import Cashu
import Foundation
import TestSupport
import Testing

@testable import Market

/// Jobs with random crashes of buyer, provider, mint and arbiter at every state. `SOAK=1` makes ten thousand of them.
@Suite struct EscrowConservationTests {
    private static let jobs: UInt64 = ProcessInfo.processInfo.environment["SOAK"] == "1" ? 10_000 : 300
    private static let slices: UInt64 = 6

    @Test(
        "[ESC-6] [ESC-11] [ESC-12] In = out + fees, and each job one ending, the same for both",
        arguments: 0..<slices
    )
    func conserves(_ slice: UInt64) throws {
        var kinds: [EscrowEnding.Kind: Int] = [:]
        for seed in stride(from: slice, to: Self.jobs, by: Int(Self.slices)) {
            let mode = Listing.Escrow.allCases[Int(seed % 3)]
            // Half of the jobs are honest.
            let mischief: Mischief = seed % 2 == 0 ? .none : Mischief.allCases[Int(seed / 6) % Mischief.allCases.count]
            var run = try JobRun(seed: seed, mode: mode, mischief: mischief)
            try run.run()
            let what = "seed \(seed), \(mode), \(mischief)"
            #expect(try run.unspent() == 0, "\(what)")
            #expect(run.mint.issued == run.buyerGot + run.providerGot + run.mint.fees, "\(what)")
            let buyer = try #require(run.buyer.engine?.ending, "\(what): the buyer never ended")
            let provider = try #require(run.provider.engine?.ending, "\(what): the provider never ended")
            #expect(run.endings[.buyer] == [buyer], "\(what)")
            #expect(run.endings[.provider] == [provider], "\(what)")
            #expect(buyer.kind == provider.kind, "\(what)")
            #expect((run.providerGot > 0) == (provider.kind != .refunded), "\(what)")
            #expect((run.buyerGot > 0) == (buyer.buyer > 0), "\(what)")
            if mode != .arbiter { #expect(buyer.provider == provider.provider, "\(what)") }
            // Whoever paid in the modes with a key can read what it paid for, or prove the fraud.
            if mode == .key, buyer.kind == .claimed {
                #expect(run.buyer.engine?.isFraud == (mischief == .garbage), "\(what)")
            }
            kinds[buyer.kind, default: 0] += 1
        }
        // Every ending is reached, so that the run shows something.
        #expect(kinds[.claimed, default: 0] > 0 && kinds[.refunded, default: 0] > 0, "\(kinds)")
    }
}
