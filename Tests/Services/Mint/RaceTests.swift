import Cashu
import Foundation
import Mint
import TestSupport
import Testing

/// Clients that want the same coin at the same time, over HTTP. `SOAK=1` makes ten thousand rounds of it.
@Suite("Races for one proof", .serialized) struct RaceTests {
    private static let rounds = ProcessInfo.processInfo.environment["SOAK"] == "1" ? 10_000 : 200
    private static let clients = 32

    @Test("32 clients race for one proof, again and again: exactly one wins each time, the others get 11001")
    func swaps() async throws {
        let fixture = try await MintFixture()
        var left = Self.rounds
        while left > 0 {
            let count = min(left, 200)
            left -= count
            let coins = try await fixture.issue(Array(repeating: 1, count: count))
            try await fixture.serve { client in
                for coin in coins {
                    let bodies = try (0..<Self.clients).map { _ in try fixture.swapBody([coin]) }
                    let answers = try await all(bodies, to: "swap", client)
                    #expect(answers.filter { $0.status == 200 }.count == 1)
                    #expect(answers.filter { $0.code == 11001 }.count == Self.clients - 1)
                }
            }
        }
        let audit = try await fixture.mint.audit()
        #expect(audit.findings == [])
        #expect(audit.keysets.map(\.redeemed) == [UInt64(Self.rounds)])
    }

    @Test("swaps and melts race for one proof: it is spent once, by either, and nothing is paid for nothing")
    func swapsAndMelts() async throws {
        let fixture = try await MintFixture(MintConfiguration(feeReserve: .init(permille: 0, minimumMsat: 0)))
        for _ in 0..<max(10, Self.rounds / 20) {
            let coin = try await fixture.issue([8])
            var requests: [(String, [UInt8])] = []
            for _ in 0..<8 {
                requests.append(("swap", try fixture.swapBody(coin)))
                requests.append(("melt/bolt11", try await fixture.meltBody(fixture.meltQuote(8).quote, coin)))
            }
            let before = fixture.lightning.payCount
            let wins = Collected<String>()
            let shuffled = requests
            try await fixture.serve { client in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for (path, body) in shuffled {
                        group.addTask {
                            let answer = try await client.post(path, body)
                            if answer.status == 200 {
                                await wins.append(path)
                            } else {
                                #expect([11001, 11002].contains(answer.code ?? 0), "\(answer.detail ?? "")")
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
            let won = await wins.values
            #expect(won.count == 1)
            #expect(fixture.lightning.payCount - before == (won == ["melt/bolt11"] ? 1 : 0))
        }
        try await fixture.requireSound()
    }

    @Test("one paid quote, different outputs at once, over HTTP: issued once")
    func quotes() async throws {
        let fixture = try await MintFixture()
        for _ in 0..<max(5, Self.rounds / 40) {
            let quote = try await fixture.paidQuote(64)
            let bodies = try (0..<Self.clients).map { _ in try fixture.mintBody(quote, fixture.secrets([64])) }
            try await fixture.serve { client in
                let answers = try await all(bodies, to: "mint/bolt11", client)
                #expect(answers.filter { $0.status == 200 }.count == 1)
                #expect(answers.filter { $0.code == 20002 }.count == Self.clients - 1)
            }
        }
        try await fixture.requireSound()
    }

    @Test("overlapping sets in opposite order, and the same outputs for different inputs: whole or not at all")
    func overlaps() async throws {
        let fixture = try await MintFixture()
        for _ in 0..<max(5, Self.rounds / 40) {
            let coins = try await fixture.issue(Array(repeating: 1, count: 6))
            var sets: [[Proof]] = []
            for first in 0..<6 {
                let pair = [coins[first], coins[(first + 1) % 6]]
                sets += [pair, pair.reversed()]
            }
            let spare = try await fixture.issue(Array(repeating: 2, count: 8))
            let secrets = try fixture.secrets([2])
            let bodies = try sets.map { try fixture.swapBody($0) }
            let shared = try spare.map { try fixture.swapBody([$0], secrets) }
            try await fixture.serve { client in
                async let first = all(bodies, to: "swap", client)
                async let second = all(shared, to: "swap", client)
                let (swaps, outputs) = try await (first, second)
                // A matching of the ring: two or three pairs.
                #expect((2...3).contains(swaps.filter { $0.status == 200 }.count))
                #expect(swaps.allSatisfy { $0.status == 200 || $0.code == 11001 })
                #expect(outputs.filter { $0.status == 200 }.count == 1)
                #expect(outputs.filter { $0.code == 11003 }.count == 7)
            }
            let spent = try await fixture.states(coins).filter { $0 == .spent }.count
            #expect(spent.isMultiple(of: 2))
            #expect(try await fixture.states(spare).filter { $0 == .spent }.count == 1)
        }
        try await fixture.requireSound()
    }
}
