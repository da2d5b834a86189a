import Cashu
import Encodings
import Mint
import Testing

@testable import Wallet

/// A bond that a seller left with a keeper, and a buyer that is paid out of it, in three wallets.
@Suite("Wallet: bonds that are kept for others")
struct BondCoinsTests {
    private struct Three {
        let world: WalletWorld
        let seller: TestWallet
        let keeper: TestWallet
        let buyer: TestWallet
        let token: String
        let locktime: Int64

        init(_ amount: UInt64 = 100, feePPK: UInt64 = 0) async throws {
            world = try await WalletWorld(feePPK: feePPK)
            seller = try await world.funded(1000, "seller")
            keeper = try await world.funded(0, "keeper")
            buyer = try await world.funded(0, "buyer")
            locktime = world.time.now.secondsSince1970 + 3_600
            token = try await seller.wallet.send(
                amount,
                at: world.url,
                lock: TokenLock(
                    key: try keeper.wallet.bondKey(),
                    locktime: locktime,
                    refundKey: try seller.wallet.receivingKey()
                )
            ).token
        }

        func pay(_ amount: UInt64, of token: String, _ reference: String) async throws -> (paid: String, rest: String?)
        {
            try await keeper.wallet.payOut(amount, of: token, to: buyer.wallet.receivingKey(), reference: reference)
        }

        func sound() async throws { try await world.requireSound(seller, keeper, buyer) }
    }

    @Test(
        "[BND-6] [BND-7] Parts go out once each, the rest stays locked as it was, and is the seller's after its time",
        arguments: [0, 100] as [UInt64]
    )
    func parts(feePPK: UInt64) async throws {
        let three = try await Three(feePPK: feePPK)
        let whole = try await three.keeper.wallet.bondCoins(three.token)
        #expect(whole.locktime == three.locktime && whole.isSigned && whole.worth == (feePPK == 0 ? 100 : 99))
        let first = try await three.pay(30, of: three.token, "one")
        #expect(try await three.pay(30, of: three.token, "one") == first)
        let rest = try #require(first.rest)
        #expect(try await three.keeper.wallet.bondCoins(rest).locktime == three.locktime)
        let second = try await three.pay(7, of: rest, "two")
        for paid in [first.paid, second.paid] { _ = try await three.buyer.wallet.receive(paid) }
        #expect(try await three.buyer.available == (feePPK == 0 ? 37 : 35))
        // What was spent is not spent again, and the keeper's own wallet has nothing of it.
        #expect(await walletError { _ = try await three.pay(30, of: three.token, "three") } == .tokenSpent)
        #expect(try await three.keeper.available == 0)
        let left = try #require(second.rest)
        #expect(await walletError { _ = try await three.seller.wallet.receive(left) } != nil)
        three.world.time.advance(seconds: 3_700)
        _ = try await three.seller.wallet.receive(left)
        #expect(try await three.seller.available == (feePPK == 0 ? 963 : 959))
        try await three.sound()
    }

    @Test("[BND-6] All of it may go out, and no more; nothing that is not a bond's")
    func bounds() async throws {
        let three = try await Three(20)
        #expect(await walletError { _ = try await three.pay(21, of: three.token, "more") } == .invalidArgument)
        #expect(await walletError { _ = try await three.pay(0, of: three.token, "none") } == .invalidArgument)
        let all = try await three.pay(20, of: three.token, "all")
        #expect(all.rest == nil)
        _ = try await three.buyer.wallet.receive(all.paid)
        #expect(try await three.buyer.available == 20)
        let (seller, keeper) = (three.seller.wallet, three.keeper.wallet)
        var others = [try await seller.send(5, at: three.world.url).token]
        let locks: [TokenLock] = [
            // Of the wallet's other key, without a way back, with others, with a hash, blinded.
            TokenLock(key: try keeper.receivingKey(), locktime: three.locktime, refundKey: try seller.receivingKey()),
            TokenLock(key: try keeper.bondKey()),
            TokenLock(
                key: try keeper.bondKey(),
                hash: [UInt8](repeating: 1, count: 32),
                locktime: three.locktime,
                refundKey: try seller.receivingKey()
            ),
            TokenLock(
                key: try keeper.bondKey(),
                isBlinded: true,
                locktime: three.locktime,
                refundKey: try seller.receivingKey()
            ),
        ]
        for lock in locks { others.append(try await seller.send(5, at: three.world.url, lock: lock).token) }
        var shared = TokenLock(
            key: try keeper.bondKey(),
            locktime: three.locktime,
            refundKey: try seller.receivingKey()
        )
        shared.sharedWith = [try seller.receivingKey(), try three.buyer.wallet.receivingKey()]
        others.append(try await seller.send(5, at: three.world.url, lock: shared).token)
        for other in others {
            #expect(await walletError { _ = try await keeper.bondCoins(other) } == .invalidArgument)
            #expect(await walletError { _ = try await three.pay(1, of: other, other) } == .invalidArgument)
        }
        try await three.sound()
    }

    @Test("[BND-6] A mint's answer that is lost, and a wallet that is killed then: the part is paid once")
    func lost() async throws {
        let three = try await Three()
        three.world.api.put(.lostAnswer, on: "swap")
        #expect(await walletError { _ = try await three.pay(30, of: three.token, "one") } == .outcomeUnknown)
        let again = try await three.world.wallet("keeper")
        let key = try three.buyer.wallet.receivingKey()
        let paid = try await again.wallet.payOut(30, of: three.token, to: key, reference: "one")
        _ = try await three.buyer.wallet.receive(paid.paid)
        #expect(try await three.buyer.available == 30)
        #expect(try await again.wallet.bondCoins(#require(paid.rest)).worth == 70)
        try await three.world.requireSound(three.seller, again, three.buyer)
    }
}
