public import Cashu
internal import Encodings
internal import SignedDocuments

/// The provider's side of a job: a value without I/O that a store keeps as JSON ([ESC-6], [ESC-12]). As ``EscrowBuyer``, it says
/// what is to be done out of its state alone.
public struct EscrowProvider: Codable, Sendable, Equatable {
    public enum Phase: String, Codable, Sendable {
        /// Mode `arbiter`: waits for the lock.
        case awaitingLock
        /// The service is at it.
        case working
        /// Delivered: waits for the lock (`key`, `stream`), or for the buyer's signature (`arbiter`).
        case delivered
        /// Mode `arbiter`: the arbiter has it.
        case escalated
        /// The money is being taken.
        case claiming
        /// The time to show the key is over, and nobody knows whether it was shown: what the mint says, goes.
        case abandoned
        case ended
    }

    public enum Event: Sendable {
        case served(Signed<Delivery>)
        /// The service failed: there will be no delivery.
        case failed
        /// A lock that ``LockCheck`` passed and that the mint says is unspent.
        case locked([LockedCoin])
        /// The mint signed the provider's outputs of this claim.
        case claimed
        case states([ProofState])
        /// What the mint gave for the party's own outputs, 0 where nothing.
        case restored(UInt64)
        /// Mode `arbiter`: the buyer signed the provider's swap.
        case released
        /// Mode `arbiter`: the buyer went to the arbiter.
        case disputed
        case ruled(Signed<Ruling>)
        case tick
    }

    public enum Action: Sendable, Equatable {
        /// Calls the service, and signs its delivery.
        case serve(chunk: UInt64)
        /// Swaps the lock, which shows the key to the mint.
        case claim(chunk: UInt64)
        case askMint
        case restore
        /// Mode `arbiter`: plans outputs of the whole price and asks the buyer to sign.
        case askRelease
        case escalate
        /// Mode `arbiter`: swaps to outputs of so much with the buyer's or the arbiter's signature.
        case claimSigned(amount: UInt64?)
    }

    public let terms: EscrowTerms
    public private(set) var phase: Phase
    /// The piece that is at hand.
    public private(set) var chunk: UInt64 = 0
    /// h of that piece's delivery, in hex.
    public private(set) var lock: String?
    public private(set) var coins: [LockedCoin] = []
    /// Pieces whose money was taken.
    public private(set) var claimedChunks: UInt64 = 0
    public private(set) var earned: UInt64 = 0
    public private(set) var lost: UInt64 = 0
    public private(set) var ruling: Ruling.Outcome?
    public private(set) var ruledAmount: UInt64 = 0
    public private(set) var ending: EscrowEnding?

    public init(_ terms: EscrowTerms) {
        self.terms = terms
        phase = terms.mode == .arbiter ? .awaitingLock : .working
    }

    // MARK: Events

    /// Takes an event in; one that does not fit the phase changes nothing.
    ///
    /// - Parameter now: the mint's clock, seconds since 1970.
    /// - Returns: what is to be done now, once the state is saved.
    /// - Throws: `TradeRefusal` for a ruling that is none; the state is then as before.
    public mutating func take(_ event: Event, at now: UInt64) throws(TradeRefusal) -> [Action] {
        switch event {
        case .served(let delivery): served(delivery)
        case .failed: if phase == .working { finish() }
        case .locked(let taken): locked(taken, now)
        case .claimed: if terms.mode != .arbiter { coinsWent(to: .provider) }
        case .states(let states): take(states)
        case .restored(let amount): restored(amount)
        case .released: if phase == .delivered || phase == .escalated { phase = .claiming }
        case .disputed: if phase == .delivered { phase = .escalated }
        case .ruled(let ruling): try take(ruling)
        case .tick: break
        }
        tick(now)
        return actions(at: now)
    }

    private mutating func served(_ delivery: Signed<Delivery>) {
        guard phase == .working, delivery.content.index == chunk else { return }
        lock = delivery.content.lock.map { Hex.encode($0) }
        phase = .delivered
    }

    private mutating func locked(_ taken: [LockedCoin], _ now: UInt64) {
        guard !taken.isEmpty else { return }
        if phase == .awaitingLock, now <= terms.deliverBy {
            coins = taken
            phase = .working
        } else if phase == .delivered, terms.mode != .arbiter, now <= terms.revealUntil {
            coins = taken
            phase = .claiming
        }
    }

    private mutating func coinsWent(to taker: LockedCoin.Taker) {
        guard phase == .claiming || phase == .abandoned else { return }
        for place in coins.indices where coins[place].taker != .provider { coins[place].taker = taker }
        settle()
    }

    private mutating func take(_ states: [ProofState]) {
        guard !coins.isEmpty, phase != .ended else { return }
        coins.take(states, hash: lock.flatMap { try? Hex.decode($0) })
        settle()
    }

    private mutating func restored(_ amount: UInt64) {
        guard coins.hasUnknown else { return }
        if terms.mode == .arbiter {
            let total = coins.total(of: .unknown)
            coins = []
            switch (ruling, amount > 0) {
            case (.split?, true) where amount <= ruledAmount:
                (earned, lost) = (min(total, amount), total - min(total, amount))
            case (_, true): earned = total
            case (_, false): lost = total
            }
            finish()
        } else {
            coins.settle(unknownTo: amount > 0 ? .provider : .buyer)
            settle()
        }
    }

    private mutating func settle() {
        guard terms.mode != .arbiter, !coins.isEmpty, coins.isSpent, !coins.hasUnknown else { return }
        earned += coins.total(of: .provider)
        lost += coins.total(of: .buyer)
        if coins.total(of: .provider) > 0 { claimedChunks = chunk + 1 }
        coins = []
        guard lost == 0, chunk + 1 < terms.chunks else { return finish() }
        chunk += 1
        lock = nil
        phase = .working
    }

    private mutating func take(_ ruling: Signed<Ruling>) throws(TradeRefusal) {
        guard terms.mode == .arbiter, phase != .ended, self.ruling == nil else { return }
        guard ruling.content.arbiter.string == terms.arbiter, Hex.encode(ruling.content.job) == terms.job else {
            throw TradeRefusal(.mismatch, "the ruling is of another arbiter or job")
        }
        self.ruling = ruling.content.outcome
        ruledAmount = ruling.content.provider
        switch (ruling.content.outcome, phase) {
        // By the buyer's release the money may be here already: the mint says who has it.
        case (.refunded, .claiming): phase = .abandoned
        case (.refunded, _):
            // Nobody signs for the provider any more.
            lost = coins.reduce(0) { $0 + $1.amount }
            finish()
        default: phase = .claiming
        }
    }

    private mutating func tick(_ now: UInt64) {
        switch phase {
        case .awaitingLock where now > terms.deliverBy: finish()
        case .working where now > terms.deliverBy:
            lost += coins.reduce(0) { $0 + $1.amount }
            finish()
        // In the modes with a key, nothing was shown to anybody.
        case .delivered where terms.mode != .arbiter && now > terms.revealUntil: finish()
        case .delivered where terms.mode == .arbiter && now >= escalateFrom: phase = .escalated
        case .claiming where terms.mode != .arbiter && now > terms.revealUntil: phase = .abandoned
        default: break
        }
    }

    /// Two minutes before T−W, so that the arbiter has its whole time.
    private var escalateFrom: UInt64 {
        terms.escalateBefore - min(terms.escalateBefore, EscrowMargins.revealSeconds)
    }

    private mutating func finish() {
        guard ending == nil else { return }
        phase = .ended
        let isWhole = terms.mode != .stream || claimedChunks == terms.chunks
        ending = EscrowEnding(provider: earned, buyer: lost, isWhole: isWhole)
    }

    // MARK: Actions

    /// Whether this piece's key may be shown to the buyer: its money was taken ([ESC-9]).
    public func isKeyFree(chunk: UInt64) -> Bool { chunk < claimedChunks }

    /// What is to be done in this state. Nothing of it harms where it was done before.
    public func actions(at now: UInt64) -> [Action] {
        let watching: [Action] = coins.hasUnknown ? [.restore] : [.askMint]
        switch phase {
        case .awaitingLock, .ended: return []
        case .working: return [.serve(chunk: chunk)]
        case .delivered: return terms.mode == .arbiter ? [.askRelease] + watching : []
        case .escalated: return [.askRelease, .escalate] + watching
        case .claiming:
            if coins.hasUnknown { return [.restore] }
            guard terms.mode == .arbiter else { return [.claim(chunk: chunk)] + watching }
            return [.claimSigned(amount: ruling == nil ? nil : ruledAmount)] + watching
        case .abandoned: return watching
        }
    }
}
