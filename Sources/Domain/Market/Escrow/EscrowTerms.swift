public import Cashu
internal import Cryptography
internal import Encodings
internal import SignedDocuments

extension Listing.Escrow: Codable {}

/// What two parties agreed on, out of a quote and its acceptance ([ESC-1]): plain numbers and texts that a store keeps.
public struct EscrowTerms: Codable, Sendable, Equatable {
    /// The acceptance's digest in hex: the job's name.
    public let job: String
    public let buyer: String
    public let provider: String
    public let service: String
    /// SHA-256 of the request in hex.
    public let request: String
    public let mode: Listing.Escrow
    public let mint: String
    public let unit: String
    /// Of one chunk in mode `stream`, else of the job; the provider gets it whole, after the mint's fees.
    public let price: UInt64
    public let chunks: UInt64
    /// Seconds since 1970 on the mint's clock.
    public let deliverBy: UInt64
    public let locktime: UInt64
    /// Compressed points in hex.
    public let providerKey: String
    public let refundKey: String
    public let arbiter: String?
    public let arbiterKey: String?
    public let arbiterSeconds: UInt64

    /// - Throws: `TradeRefusal` where the acceptance is not of this quote, or not within it.
    public init(quote: Signed<Quote>, acceptance: Signed<Acceptance>) throws(TradeRefusal) {
        let offer = quote.content
        let taken = acceptance.content
        guard taken.quote == quote.digest, taken.buyer == offer.buyer,
            offer.request == nil || offer.request == taken.request
        else { throw TradeRefusal(.mismatch, "the acceptance is of another quote, buyer or request") }
        try QuoteUses.check(taken.sequence, of: quote)
        guard taken.deliverBy == taken.time + offer.deliverWithinSeconds,
            taken.locktime == taken.time + offer.lockSeconds
        else { throw TradeRefusal(.mismatch, "the acceptance's times are not the quote's") }
        let chosen = offer.arbiters.first { $0.did == taken.arbiter }
        guard (offer.mode == .arbiter) == (chosen != nil), offer.mode == .arbiter || taken.arbiter == nil else {
            throw TradeRefusal(.mismatch, "the acceptance names no arbiter of the quote")
        }
        guard taken.refundKey.xOnly != offer.lockKey.xOnly, taken.refundKey.xOnly != chosen?.key.xOnly else {
            throw TradeRefusal(.mismatch, "the buyer's key is another party's")
        }
        job = Hex.encode(acceptance.digest)
        buyer = taken.buyer.string
        provider = offer.provider.string
        service = offer.service
        request = Hex.encode(taken.request)
        mode = offer.mode
        mint = offer.mint.string
        unit = offer.unit.name
        price = offer.price
        chunks = offer.chunks
        deliverBy = taken.deliverBy
        locktime = taken.locktime
        providerKey = Hex.encode(offer.lockKey.compressed)
        refundKey = Hex.encode(taken.refundKey.compressed)
        arbiter = chosen?.did.string
        arbiterKey = chosen.map { Hex.encode($0.key.compressed) }
        arbiterSeconds = chosen?.withinSeconds ?? 0
    }

    /// From here on no key is shown: T−δ.
    public var revealUntil: UInt64 { locktime - EscrowMargins.revealSeconds }
    /// A buyer locks no money later than this, so that the provider has time to claim: T−2δ.
    public var fundUntil: UInt64 { locktime - 2 * EscrowMargins.revealSeconds }
    /// T−W: a provider that was not paid goes to the arbiter before this.
    public var escalateBefore: UInt64 { locktime - EscrowMargins.rulingSeconds(arbiterSeconds) }

    /// What the buyer's money is locked with ([ESC-5]).
    ///
    /// - Parameter hash: that of the delivery's key; nil in mode `arbiter`.
    /// - Throws: `CashuError` where the hash has no 32 bytes.
    public func condition(hash: [UInt8]?) throws -> SpendingCondition {
        let provider = try Secp256k1.Point(compressed: Hex.decode(providerKey))
        let refund = try Secp256k1.Point(compressed: Hex.decode(refundKey))
        if let arbiterKey {
            return .p2pk(
                try P2PKCondition(
                    keys: [provider, refund, Secp256k1.Point(compressed: Hex.decode(arbiterKey))],
                    requiredSignatures: 2,
                    locktime: locktime,
                    refundKeys: [refund],
                    flag: .all
                )
            )
        }
        return .htlc(
            try HTLCCondition(hash: hash ?? [], keys: [provider], locktime: locktime, refundKeys: [refund])
        )
    }

    /// What the buyer locks so that the provider gets the price, in the pieces of its powers of two ([ESC-5]).
    /// - Parameter inputFeePPK: the fee of the keyset of the locked coins.
    public func lockAmount(inputFeePPK: UInt64) throws(CashuError) -> UInt64 {
        try Fees.grossedUp(price: price, feePPK: inputFeePPK)
    }
}

/// How a job ended: exactly one of three ([ESC-6]).
public struct EscrowEnding: Codable, Sendable, Equatable {
    public enum Kind: String, Codable, Sendable {
        /// The provider has all that was agreed.
        case claimed
        /// The buyer has all that it put in, which may be nothing.
        case refunded
        /// Each has a part.
        case split
    }

    public let kind: Kind
    /// Of the locked coins, what went to the provider, the mint's fees included.
    public let provider: UInt64
    /// Of the locked coins, what went back to the buyer, the mint's fees included.
    public let buyer: UInt64

    public init(_ kind: Kind, provider: UInt64, buyer: UInt64) {
        self.kind = kind
        self.provider = provider
        self.buyer = buyer
    }

    /// - Parameter isWhole: whether the provider has all that was agreed, where it has anything.
    init(provider: UInt64, buyer: UInt64, isWhole: Bool) {
        let kind: Kind =
            switch (provider > 0, buyer > 0) {
            case (true, false): isWhole ? .claimed : .split
            case (false, _): .refunded
            case (true, true): .split
            }
        self.init(kind, provider: provider, buyer: buyer)
    }
}

/// One locked coin, and who took it.
public struct LockedCoin: Codable, Sendable, Equatable {
    public enum Taker: String, Codable, Sendable {
        case provider
        case buyer
        /// It is spent, and the mint does not show by whom: the party looks for its own outputs.
        case unknown
    }

    /// Y in hex, by which the mint knows it.
    public let y: String
    public let amount: UInt64
    /// nil while it is unspent.
    public internal(set) var taker: Taker?

    public init(y: String, amount: UInt64) {
        self.y = y
        self.amount = amount
    }

    /// - Throws: `CashuError` where the secret leads to no point.
    public init(_ proof: Proof) throws {
        self.init(y: Hex.encode(try proof.hashedSecret().compressed), amount: proof.amount)
    }
}

extension [LockedCoin] {
    /// Takes over what the mint says of them (NUT-07): spent with the preimage is spent by the provider ([ESC-9]).
    mutating func take(_ states: [ProofState], hash: [UInt8]?) {
        for state in states where state.state == .spent {
            guard let place = firstIndex(where: { $0.y == Hex.encode(state.hashedSecret) }), self[place].taker == nil
            else { continue }
            self[place].taker = hash != nil && Self.preimage(state, hash: hash) != nil ? .provider : .unknown
        }
    }

    /// The preimage in the witness that a coin was spent with.
    static func preimage(_ state: ProofState, hash: [UInt8]?) -> [UInt8]? {
        guard let hash, let text = state.witness, let witness = try? P2PKWitness(text), let found = witness.preimage,
            found.count == 32, Hashing.sha256(found) == hash
        else { return nil }
        return found
    }

    /// What nobody could tell is the party's own where its outputs were found at the mint, else the other's.
    mutating func settle(unknownTo taker: LockedCoin.Taker) {
        for place in indices where self[place].taker == .unknown { self[place].taker = taker }
    }

    var isSpent: Bool { allSatisfy { $0.taker != nil } }
    var hasUnknown: Bool { contains { $0.taker == .unknown } }
    func total(of taker: LockedCoin.Taker) -> UInt64 {
        reduce(0) { $0 + ($1.taker == taker ? $1.amount : 0) }
    }
}
