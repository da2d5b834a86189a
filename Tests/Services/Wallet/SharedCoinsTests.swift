import Cashu
import Encodings
import Mint
import Testing

@testable import Wallet

/// A lock of three keys, as escrow makes them: the seller's, the buyer's, the arbiter's, in three wallets.
@Suite("Wallet: coins that two of three keys spend together")
struct SharedCoinsTests {
    private struct Three {
        let world: WalletWorld
        let buyer: TestWallet
        let seller: TestWallet
        let arbiter: TestWallet
        let token: String
        let locktime: Int64

        init(_ amount: UInt64 = 21, feePPK: UInt64 = 0) async throws {
            world = try await WalletWorld(feePPK: feePPK)
            buyer = try await world.funded(1000, "buyer")
            seller = try await world.funded(0, "seller")
            arbiter = try await world.funded(0, "arbiter")
            locktime = world.time.now.secondsSince1970 + 3_600
            var lock = TokenLock(
                key: try seller.wallet.receivingKey(),
                locktime: locktime,
                refundKey: try buyer.wallet.receivingKey()
            )
            lock.sharedWith = [try buyer.wallet.receivingKey(), try arbiter.wallet.arbiterKey()]
            let sent = try await buyer.wallet.send(amount, at: world.url, lock: lock, reference: "job")
            token = sent.token
            for coin in try await buyer.wallet.coins(of: token) {
                let condition = try #require(SpendingCondition(ofSecret: coin.secret))
                #expect(condition.keys.count == 3 && condition.requiredSignatures == 2 && condition.flag == .all)
                #expect(condition.locktime == UInt64(locktime) && condition.refundKeys?.count == 1)
            }
        }

        func sound() async throws {
            try await world.requireSound(buyer, seller, arbiter)
        }
    }

    @Test("[ESC-16] What a seller planned is paid with the buyer's signature, once, and not with one on other outputs")
    func released() async throws {
        let three = try await Three(feePPK: 100)
        let worth = try await three.seller.wallet.worth(of: three.token)
        let outputs = try await three.seller.wallet.planShare(worth, of: three.token, reference: "sold")
        #expect(try await three.seller.wallet.planShare(worth, of: three.token, reference: "sold") == outputs)
        let other = try await three.seller.wallet.planShare(worth - 1, of: three.token, reference: "sold")
        let wrong = try await three.buyer.wallet.cosign(three.token, to: other)
        #expect(
            await walletError {
                try await three.seller.wallet.takeShare(worth, reference: "sold", outputs: outputs, signature: wrong)
            } == .mintRefused
        )
        let signature = try await three.buyer.wallet.cosign(three.token, to: outputs)
        let key = try three.buyer.wallet.receivingKey()
        #expect(try await three.seller.wallet.isCosigned(three.token, to: outputs, by: key, signature))
        #expect(try await !three.seller.wallet.isCosigned(three.token, to: other, by: key, signature))
        #expect(try await three.seller.wallet.collectShares(reference: "sold") == 0)
        for _ in 0..<2 {
            #expect(
                try await three.seller.wallet.takeShare(
                    worth,
                    reference: "sold",
                    outputs: outputs,
                    signature: signature
                ) == worth
            )
        }
        #expect(try await three.seller.available == worth)
        #expect(try await three.seller.wallet.collectShares(reference: "sold") == worth)
        // The buyer planned nothing, and cannot take back what is gone.
        #expect(try await three.buyer.wallet.collectShares(reference: "bought") == 0)
        three.world.time.advance(seconds: 3_700)
        #expect(await walletError { _ = try await three.buyer.wallet.receive(three.token) } == .tokenSpent)
        try await three.sound()
    }

    @Test("[ESC-16] [ESC-17] A ruling splits the lock: one sends the swap, the other finds its part at the mint")
    func split() async throws {
        let three = try await Three()
        let theirs = try await three.seller.wallet.planShare(8, of: three.token, reference: "sold")
        let mine = try await three.buyer.wallet.planShare(13, of: three.token, reference: "bought")
        let all = theirs + mine
        let signature = try await three.arbiter.wallet.cosign(three.token, to: all, asArbiter: true)
        three.world.api.put(.lostAnswer, on: "swap")
        #expect(
            await walletError {
                try await three.buyer.wallet.takeShare(13, reference: "bought", outputs: all, signature: signature)
            } == .outcomeUnknown
        )
        // Killed there, it goes on by itself; the other side needs no signature for what is its own.
        let again = try await three.world.wallet("buyer")
        #expect(try await again.wallet.recover().endedOperations == 1)
        #expect(try await again.available == 1000 - 21 + 13)
        #expect(try await three.seller.wallet.collectShares(reference: "sold") == 8)
        #expect(try await three.seller.available == 8)
        #expect(try await three.world.circulating() == 1000)
        try await three.sound()
    }

    @Test("[ESC-4] After the locktime the buyer takes it back alone; no key signs what another lock holds")
    func refunded() async throws {
        let three = try await Three()
        #expect(await walletError { _ = try await three.seller.wallet.receive(three.token) } == .mintRefused)
        three.world.time.advance(seconds: 3_700)
        _ = try await three.buyer.wallet.receive(three.token)
        #expect(try await three.buyer.available == 1000)
        #expect(try await three.buyer.wallet.received(of: three.token) == 21)
        let plain = try await three.buyer.wallet.send(
            5,
            at: three.world.url,
            lock: TokenLock(key: try three.seller.wallet.receivingKey())
        )
        #expect(await walletError { _ = try await three.seller.wallet.cosign(plain.token, to: []) } == .invalidArgument)
        #expect(
            await walletError {
                _ = try await three.seller.wallet.planShare(22, of: three.token, reference: "sold")
            } == .invalidArgument
        )
        try await three.sound()
    }
}
