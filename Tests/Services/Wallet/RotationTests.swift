import Cashu
import Encodings
import Lightning
import Mint
import Storage
import TestSupport
import Testing

@testable import Wallet

@Suite("Wallet: coin selection and rotation")
struct RotationTests {
    /// The lowest fee by trying everything.
    private func lowestFee(_ coins: [Coin], _ target: UInt64) throws -> UInt64? {
        var best: UInt64?
        for mask in 1..<(1 << coins.count) {
            let some = coins.indices.filter { mask >> $0 & 1 == 1 }.map { coins[$0] }
            let fee = try Fees.total(inputFeesPPK: some.map(\.feePPK))
            let sum = some.reduce(0) { $0 + $1.amount }
            if sum >= fee, sum - fee >= target { best = min(best ?? .max, fee) }
        }
        return best
    }

    @Test("no other choice of coins has a lower fee", arguments: 1...24 as ClosedRange<UInt64>)
    func lowestFees(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let fees: [UInt64] = [[0], [100], [100, 900], [0, 300, 1000], [250, 400, 700]][Int(seed % 5)]
        let coins = (0..<9).map { place in
            Coin(
                y: [UInt8(place)],
                amount: 1 << UInt64.random(in: 0..<7, using: &random),
                feePPK: fees[Int.random(in: 0..<fees.count, using: &random)],
                isRetiring: Bool.random(using: &random)
            )
        }
        let all = coins.reduce(0) { $0 + $1.amount }
        for target in stride(from: UInt64(1), through: all + 1, by: 2) {
            let chosen = try CoinSelection.covering(coins, target: target, maximumInputs: 100)
            let lowest = try lowestFee(coins, target)
            #expect((chosen == nil) == (lowest == nil), "\(coins.map(\.amount)) \(target)")
            guard let chosen else { continue }
            #expect(try Fees.total(inputFeesPPK: chosen.map(\.feePPK)) == lowest)
            #expect(try CoinSelection.netWorth(chosen) >= target)
            #expect(Set(chosen.map(\.y)).count == chosen.count)
        }
    }

    @Test("coins of a retiring keyset go first where that costs no more, and large coins stay whole")
    func preference() throws {
        func coin(_ y: UInt8, _ amount: UInt64, _ ppk: UInt64 = 100, retiring: Bool = false) -> Coin {
            Coin(y: [y], amount: amount, feePPK: ppk, isRetiring: retiring)
        }
        let coins = [coin(1, 64), coin(2, 16), coin(3, 32, retiring: true), coin(4, 16, retiring: true)]
        #expect(try CoinSelection.covering(coins, target: 10, maximumInputs: 9)?.map(\.y) == [[4]])
        #expect(try CoinSelection.covering(coins, target: 20, maximumInputs: 9)?.map(\.y) == [[3]])
        #expect(try CoinSelection.covering(coins, target: 40, maximumInputs: 9)?.map(\.y) == [[1]])
        let fresh = [coin(1, 64), coin(2, 16), coin(3, 32)]
        #expect(try CoinSelection.covering(fresh, target: 10, maximumInputs: 9)?.map(\.y) == [[2]])
        // Five thousand coins are chosen from in no time that shows.
        let many = (0..<5000).map {
            Coin(y: [UInt8($0 & 255), UInt8($0 >> 8)], amount: 1, feePPK: UInt64($0 % 7) * 100)
        }
        #expect(try CoinSelection.covering(many, target: 95, maximumInputs: 100)?.count == 95)
        #expect(try CoinSelection.covering(many, target: 101, maximumInputs: 100) == nil)
    }

    @Test("a rotation in the middle of everything breaks nothing, and the old coins move")
    func rotation() async throws {
        let world = try await WalletWorld(feePPK: 100)
        let alice = try await world.funded(1000)
        let bob = try await world.funded(0, "bob")
        let token = try await alice.wallet.send(100, at: world.url)
        let old = try #require(world.mint.allKeysets.first { $0.info.isActive }).id
        _ = try await world.mint.rotate(.sat)
        // Neither wallet has heard of it.
        _ = try await bob.wallet.receive(token.token)
        _ = try await alice.wallet.send(37, at: world.url)
        _ = try await alice.wallet.payInvoice(world.lightning.invoice(50_000).text, from: world.url, maximumFee: 10)
        _ = try await alice.wallet.fund(10, at: world.url)
        let before = try await alice.available
        world.time.advance(seconds: 3601)
        let report = try await alice.wallet.recover()
        #expect(report.movedCoins > 0)
        let left = try await alice.database.read { connection in
            try connection.first(
                "SELECT count(*) FROM wallet_proofs WHERE keyset = ? AND state = 'unspent'",
                .blob(old.bytes)
            )?.int64(0)
        }
        #expect(left == 0)
        let after = try await alice.available
        #expect(after <= before && after > before - 10)
        #expect(try await alice.wallet.recover().movedCoins == 0)
        try await world.requireSound(alice, bob)
    }

    @Test("the words bring back coins of every keyset, those rotated away too")
    func restore() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(300)
        _ = try await world.mint.rotate(.sat)
        world.time.advance(seconds: 3601)
        _ = try await alice.wallet.fund(44, at: world.url)
        await alice.close()
        let again = try await world.wallet("alice", file: "alice-again")
        let restored = try await again.wallet.restore(from: world.url)
        #expect(restored.count == 2 && restored.reduce(0) { $0 + $1.amount } == 344)
        #expect(try await again.available == 344)
        _ = try await again.wallet.send(333, at: world.url)
        try await world.requireSound(again)
    }
}
