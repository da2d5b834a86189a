public import Cashu
internal import Cryptography
internal import Encodings
internal import SignedDocuments

/// The buyer's side of a job: a value without I/O that a store keeps as JSON ([ESC-6], [ESC-11]).
///
/// Its owner saves it after each event, before it does what ``actions(at:)`` says; that is worked out of the state alone, so that after
/// a crash it says the same. Each action may be done twice: its owner keeps what it sent the mint, and sends the same again.
public struct EscrowBuyer: Codable, Sendable, Equatable {
    public enum Phase: String, Codable, Sendable {
        /// Waits for a delivery (`key`, `stream`).
        case awaiting
        /// Money is to be locked.
        case funding
        /// Money is locked; in mode `arbiter` the delivery is not there yet.
        case funded
        /// Mode `arbiter`: the answer is there, and is to be judged.
        case judging
        /// Mode `arbiter`: the answer is good, and the provider's swap is signed.
        case releasing
        /// Mode `arbiter`: the arbiter has it.
        case disputed
        /// The locktime is over: the money goes back.
        case refunding
        case ended
    }

    public enum Event: Sendable {
        /// With what came beside it: the sealed answer, or the open one.
        case delivered(Signed<Delivery>, beside: [UInt8])
        /// The lock was made; the mint signed it.
        case locked([LockedCoin])
        /// No lock was made, and none will be.
        case lockFailed
        /// The provider showed its key.
        case key([UInt8], beside: [UInt8])
        /// What the mint says of the coins (NUT-07).
        case states([ProofState], beside: [UInt8])
        /// What the mint gave for the party's own outputs, 0 where nothing.
        case restored(UInt64)
        /// Mode `arbiter`: the answer is good, or not.
        case judged(isGood: Bool, reason: String)
        /// Mode `arbiter`.
        case ruled(Signed<Ruling>)
        /// Mode `stream`: no more pieces.
        case stop
        case tick
    }

    public enum Action: Sendable, Equatable {
        /// Asks the provider for the delivery of this chunk.
        case askDelivery(chunk: UInt64)
        /// Locks the money; where that was done, finds it again.
        case lock(chunk: UInt64)
        /// Finds a lock that was made before; makes none.
        case findLock(chunk: UInt64)
        /// Sends the lock to the provider, and asks it for its key.
        case sendLock(chunk: UInt64)
        /// Asks the mint for the state of the coins.
        case askMint
        /// Swaps the coins back by the refund path.
        case refund
        /// Looks at the mint for the party's own outputs.
        case restore
        /// Mode `arbiter`: the answer is to be judged by its schema, or by a person.
        case judge
        /// Mode `arbiter`: signs the provider's swap, for whoever is the provider.
        case release
        case escalate(reason: String)
        /// Mode `arbiter`: plans outputs of so much, and swaps with the arbiter's signature.
        case claimRuling(amount: UInt64)
    }

    public let terms: EscrowTerms
    public private(set) var phase: Phase
    /// The piece that is at hand.
    public private(set) var chunk: UInt64 = 0
    /// H(response), h and H(ct) of that piece's delivery, in hex.
    public private(set) var responseDigest: String?
    public private(set) var lock: String?
    public private(set) var sealed: String?
    /// The coins of that piece.
    public private(set) var coins: [LockedCoin] = []
    /// k, in hex, once it is known.
    public private(set) var key: String?
    /// The answer is not the one that was signed: see ``FraudProof``.
    public private(set) var isFraud = false
    /// Pieces whose money the provider took.
    public private(set) var paidChunks: UInt64 = 0
    /// Locked money that the provider took, and that came back, of all pieces so far.
    public private(set) var paid: UInt64 = 0
    public private(set) var returned: UInt64 = 0
    public private(set) var complaint: String?
    public private(set) var ruling: Ruling.Outcome?
    public private(set) var ruledAmount: UInt64 = 0
    public private(set) var ending: EscrowEnding?
    private var isStopped = false

    public init(_ terms: EscrowTerms) {
        self.terms = terms
        phase = terms.mode == .arbiter ? .funding : .awaiting
    }

    /// What was locked so far, wherever it is now.
    public var locked: UInt64 { coins.reduce(paid + returned) { $0 + $1.amount } }

    /// It is over, and no money was locked for it: the buyer may turn to another.
    public var endedUnfunded: Bool { ending != nil && locked == 0 }

    // MARK: Events

    /// Takes an event in; one that does not fit the phase changes nothing.
    ///
    /// - Parameter now: the mint's clock, seconds since 1970.
    /// - Returns: what is to be done now, once the state is saved.
    /// - Throws: `TradeRefusal` for a delivery, key or ruling that is none; the state is then as before.
    public mutating func take(_ event: Event, at now: UInt64) throws(TradeRefusal) -> [Action] {
        switch event {
        case .delivered(let delivery, let beside): try take(delivery, beside, now)
        case .locked(let made): if phase == .funding { fund(made) }
        case .lockFailed: if phase == .funding { finish() }
        case .key(let shown, let beside):
            if isFundedWithKey { try open(shown, beside) }
        case .states(let states, let beside): try take(states, beside, now)
        case .restored(let amount): restored(amount)
        case .judged(let isGood, let reason): judged(isGood, reason)
        case .ruled(let ruling): try take(ruling)
        case .stop: isStopped = true
        case .tick: break
        }
        tick(now)
        return actions(at: now)
    }

    private var isFundedWithKey: Bool {
        terms.mode != .arbiter && (phase == .funded || phase == .refunding)
    }

    private mutating func take(_ delivery: Signed<Delivery>, _ beside: [UInt8], _ now: UInt64) throws(TradeRefusal) {
        let expected: Phase = terms.mode == .arbiter ? .funded : .awaiting
        guard phase == expected else { return }
        guard now <= terms.deliverBy + TradeBounds.skewSeconds else {
            throw TradeRefusal(.expired, "the delivery came too late")
        }
        try delivery.content.check(terms, index: chunk, beside: beside)
        responseDigest = Hex.encode(delivery.content.response)
        lock = delivery.content.lock.map { Hex.encode($0) }
        sealed = delivery.content.sealed.map { Hex.encode($0) }
        phase = terms.mode == .arbiter ? .judging : .funding
    }

    private mutating func fund(_ made: [LockedCoin]) {
        coins = made
        phase = .funded
    }

    private mutating func open(_ shown: [UInt8], _ beside: [UInt8]) throws(TradeRefusal) {
        guard key == nil else { return }
        guard shown.count == 32, Hex.encode(Hashing.sha256(shown)) == lock else {
            throw TradeRefusal(.mismatch, "the key is not the one of the lock")
        }
        guard Hex.encode(Hashing.sha256(beside)) == sealed else {
            throw TradeRefusal(.mismatch, "the sealed answer is another than the delivery's")
        }
        key = Hex.encode(shown)
        isFraud = answer(beside) == nil
    }

    /// The answer, once it can be read and where it is the one that was signed.
    ///
    /// - Parameter beside: the sealed answer; the open one in mode `arbiter`.
    public func answer(_ beside: [UInt8]) -> [UInt8]? {
        if terms.mode == .arbiter { return Hex.encode(Hashing.sha256(beside)) == responseDigest ? beside : nil }
        guard let key, let bytes = try? Hex.decode(key), let job = try? Hex.decode(terms.job),
            let answer = try? DeliverySeal.open(beside, key: bytes, job: job, index: chunk),
            Hex.encode(Hashing.sha256(answer)) == responseDigest
        else { return nil }
        return answer
    }

    private mutating func take(_ states: [ProofState], _ beside: [UInt8], _ now: UInt64) throws(TradeRefusal) {
        guard !coins.isEmpty, phase != .ended else { return }
        let hash = lock.flatMap { try? Hex.decode($0) }
        let known = Set(coins.map(\.y))
        if key == nil, let hash {
            for state in states where known.contains(Hex.encode(state.hashedSecret)) {
                guard let shown = [LockedCoin].preimage(state, hash: hash) else { continue }
                try open(shown, beside)
                break
            }
        }
        coins.take(states, hash: hash)
        settle()
    }

    private mutating func restored(_ amount: UInt64) {
        guard coins.hasUnknown else { return }
        if terms.mode == .arbiter {
            let total = coins.total(of: .unknown)
            coins = []
            switch (ruling, amount > 0) {
            case (.split?, true) where phase != .refunding || amount == ruledAmount:
                (paid, returned) = (total - min(total, amount), min(total, amount))
            case (_, true): returned = total
            case (_, false): paid = total
            }
            finish()
        } else {
            coins.settle(unknownTo: amount > 0 ? .buyer : .provider)
            settle()
        }
    }

    /// Once every coin has its taker, the piece is over.
    private mutating func settle() {
        guard !coins.isEmpty, coins.isSpent, !coins.hasUnknown else { return }
        let gone = coins.total(of: .provider)
        let back = coins.total(of: .buyer)
        paid += gone
        returned += back
        if gone > 0 { paidChunks = chunk + 1 }
        coins = []
        guard back == 0, key != nil, !isFraud, chunk + 1 < terms.chunks, !isStopped else { return finish() }
        chunk += 1
        (responseDigest, lock, sealed, key) = (nil, nil, nil, nil)
        phase = .awaiting
    }

    private mutating func judged(_ isGood: Bool, _ reason: String) {
        guard phase == .judging || (phase == .funded && terms.mode == .arbiter && !isGood) else { return }
        if isGood {
            phase = .releasing
        } else {
            complaint = reason
            phase = .disputed
        }
    }

    private mutating func take(_ ruling: Signed<Ruling>) throws(TradeRefusal) {
        guard terms.mode == .arbiter, phase != .ended, self.ruling == nil else { return }
        guard ruling.content.arbiter.string == terms.arbiter, Hex.encode(ruling.content.job) == terms.job else {
            throw TradeRefusal(.mismatch, "the ruling is of another arbiter or job")
        }
        self.ruling = ruling.content.outcome
        ruledAmount = ruling.content.buyer
        if phase != .refunding { phase = .disputed }
    }

    private mutating func tick(_ now: UInt64) {
        switch phase {
        case .awaiting where now > terms.deliverBy + TradeBounds.skewSeconds || isStopped: finish()
        case .funded where now > terms.locktime, .judging where now > terms.locktime,
            .releasing where now > terms.locktime, .disputed where now > terms.locktime:
            phase = .refunding
        default: break
        }
    }

    private mutating func finish() {
        guard ending == nil else { return }
        phase = .ended
        let isWhole = terms.mode != .stream || paidChunks == terms.chunks
        ending = EscrowEnding(provider: paid, buyer: returned, isWhole: isWhole)
    }

    // MARK: Actions

    /// What is to be done in this state. Nothing of it harms where it was done before.
    public func actions(at now: UInt64) -> [Action] {
        switch phase {
        case .awaiting: return [.askDelivery(chunk: chunk)]
        case .funding:
            let last = terms.mode == .arbiter ? terms.deliverBy : terms.fundUntil
            return [now <= last ? .lock(chunk: chunk) : .findLock(chunk: chunk)]
        case .funded:
            let asks: [Action] = terms.mode == .arbiter ? [.askDelivery(chunk: chunk)] : []
            return (key == nil ? [.sendLock(chunk: chunk)] : []) + asks + watching
        case .judging: return [.judge] + watching
        case .releasing: return [.release] + watching
        case .disputed:
            switch ruling {
            case nil: return [.escalate(reason: complaint ?? "")] + watching
            case .paid?: return watching
            case .refunded?, .split?: return [.claimRuling(amount: ruledAmount)] + watching
            }
        case .refunding: return coins.hasUnknown ? [.restore] : [.refund, .askMint]
        case .ended: return []
        }
    }

    private var watching: [Action] { coins.hasUnknown ? [.restore] : [.askMint] }
}
