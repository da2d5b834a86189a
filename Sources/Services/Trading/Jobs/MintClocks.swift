internal import Cashu
internal import Encodings
internal import Market
internal import Synchronization
internal import Wallet

/// The clocks of mints, each asked again after half a minute ([ESC-2]).
final class MintClocks: Sendable {
    private let wallet: Wallet
    /// Mints that the wallet is to know, where it has not met them.
    private let acceptedMints: [MintURL]
    private let clock: WallClock
    private let known = Mutex<[String: (clock: MintClock, at: Timestamp)]>([:])
    private static let keepSeconds: Int64 = 30

    init(wallet: Wallet, acceptedMints: [MintURL], clock: WallClock) {
        self.wallet = wallet
        self.acceptedMints = acceptedMints
        self.clock = clock
    }

    /// What the mint's clock shows, asked again where that is long ago; an accepted mint that the wallet has not met is added.
    func seconds(_ name: String) async throws -> UInt64 {
        let now = clock.now()
        if let (told, at) = known.withLock({ $0[name] }), now >= at, now < at.adding(seconds: Self.keepSeconds) {
            return told.seconds(at: now)
        }
        let mint = try MintURL(name)
        let snapshot: MintSnapshot
        do {
            snapshot = try await wallet.snapshot(of: mint)
        } catch let error as WalletError where error.code == .mintUnknown && acceptedMints.contains(mint) {
            _ = try await wallet.addMint(name)
            snapshot = try await wallet.snapshot(of: mint)
        }
        let told = try snapshot.mintClock
        known.withLock { known in
            if known.count >= 64 { known.removeAll() }
            known[name] = (told, clock.now())
        }
        return told.seconds(at: clock.now())
    }
}

extension MintSnapshot {
    /// - Throws: `TradeRefusal` with `.clockSkew`.
    var mintClock: MintClock {
        get throws(TradeRefusal) { try MintClock(told: info.time, sent: asked, received: answered) }
    }
}
