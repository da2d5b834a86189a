public import Cashu
public import Cryptography
public import Encodings

/// A payment that has passed every check a seller can make by itself.
public struct AssessedPayment: Sendable {
    public var mint: MintURL
    public var unit: CurrencyUnit
    /// With full keyset ids, without witnesses.
    public var proofs: [Proof]
    /// Y of each proof, compressed, in the proofs' order.
    public var ys: [[UInt8]]
    /// What the proofs are worth by themselves.
    public var total: UInt64
    /// What the mint takes for redeeming them.
    public var fee: UInt64
    public var digest: PaymentDigest
    /// What was paid beyond what was asked: it is given back ([CHG-1]).
    public var overpaid: UInt64

    public init(
        mint: MintURL,
        unit: CurrencyUnit,
        proofs: [Proof],
        ys: [[UInt8]],
        total: UInt64,
        fee: UInt64,
        digest: PaymentDigest,
        overpaid: UInt64 = 0
    ) {
        self.mint = mint
        self.unit = unit
        self.proofs = proofs
        self.ys = ys
        self.total = total
        self.fee = fee
        self.digest = digest
        self.overpaid = overpaid
    }
}

/// Which payment a token is, whatever it is worth: the same proofs are the same payment.
public struct PaymentIdentity: Sendable {
    /// Y of each proof, in the token's order.
    public let points: [Secp256k1.Point]
    /// The same, compressed.
    public let ys: [[UInt8]]
    public let digest: PaymentDigest

    init(points: [Secp256k1.Point]) {
        self.points = points
        ys = points.map(\.compressed)
        digest = PaymentDigest(ys: ys)
    }
}

/// Whether a payment may be taken on its own word.
public enum PaymentAssessment: Sendable {
    /// Every condition for taking it without asking the mint holds; the claim store has the last word on its own two.
    case acceptOffline(AssessedPayment)
    /// The seller's own mint holds it in the claim's transaction, if it signed it and it is not spent ([CALL-24]).
    case holdAtMint(AssessedPayment)
    /// Good as far as one can see, but the mint must redeem it before the call.
    case redeemFirst(AssessedPayment, obstacles: [OfflineObstacle])

    public var payment: AssessedPayment {
        switch self {
        case .acceptOffline(let payment), .holdAtMint(let payment), .redeemFirst(let payment, _): payment
        }
    }
}

/// What a seller demands of a payment for one call ([CALL-5], [CALL-6]).
public struct PaymentTerms: Sendable {
    public var price: UInt64
    public var unit: CurrencyUnit
    /// What the challenge asked for: the price with the fees of its own split. What a token is worth above it is given back.
    public var askedAmount: UInt64
    /// How long the call may take at most, in seconds.
    public var callSeconds: Int64

    public init(price: UInt64, unit: CurrencyUnit, askedAmount: UInt64, callSeconds: Int64) {
        self.price = price
        self.unit = unit
        self.askedAmount = askedAmount
        self.callSeconds = callSeconds
    }
}

extension OfflineAcceptance {
    /// The most proofs one call is paid with.
    public static let maximumProofs = 64

    /// Reads the Ys of a token, so that an earlier claim of the same payment can be found even where the payment would no
    /// longer be taken. Costs about 10 µs a proof.
    public static func identity(of token: Token) throws(CallRefusal) -> PaymentIdentity {
        guard token.count <= maximumProofs else {
            throw CallRefusal(
                .paymentMalformed,
                "A payment has at most \(maximumProofs) proofs; this one has \(token.count)."
            )
        }
        var points: [Secp256k1.Point] = []
        for group in token.groups {
            for proof in group.proofs {
                do {
                    points.append(try BlindDH.hashToCurve(secret: proof.secret))
                } catch {
                    throw CallRefusal(.invalidProof, "A proof's secret can't be hashed to the curve.")
                }
            }
        }
        let identity = PaymentIdentity(points: points)
        guard Set(identity.ys).count == points.count else {
            throw CallRefusal(.paymentMalformed, "The token holds the same proof twice.")
        }
        return identity
    }

    /// Checks a payment. Pure, and up to 200 µs of curve arithmetic a proof: run it where that hurts nobody.
    /// - Parameters:
    ///   - terms: of the token's mint, which stands on the seller's list.
    ///   - isOwnMint: whether the mint is on the seller's own database, where it looks at the signatures itself.
    ///   - isTurnedOff: whether offline acceptance is off.
    ///   - table: the multiples of a mint's key, where they are at hand.
    /// - Throws: ``CallRefusal`` (400) where the payment can't be taken at all; the buyer's proofs are untouched.
    public func assess(
        _ token: Token,
        identity: PaymentIdentity,
        for asked: PaymentTerms,
        terms: MintTerms,
        isOwnMint: Bool = false,
        isTurnedOff: Bool,
        now: Timestamp,
        table: (Secp256k1.Point) -> Secp256k1.PointTable? = { _ in nil }
    ) throws(CallRefusal) -> PaymentAssessment {
        guard token.mint == terms.mint else {
            throw CallRefusal(.mintNotAccepted, "Ecash of \(token.mint) is not taken here.")
        }
        guard token.unit == asked.unit else {
            throw CallRefusal(.wrongUnit, "The price is in \(asked.unit); the token is in \(token.unit).")
        }
        let proofs = try resolvedProofs(of: token, unit: asked.unit, terms: terms, now: now)
        let (total, fee) = try worth(of: proofs, for: asked, terms: terms)
        var locks: [ProofLock] = []
        for proof in proofs {
            let lock = ProofLock(secret: proof.secret)
            try requireRedeemable(lock)
            locks.append(lock)
        }
        if !isOwnMint { try requireValidSignatures(proofs, of: identity, terms: terms, table: table) }
        let payment = AssessedPayment(
            mint: token.mint,
            unit: asked.unit,
            proofs: proofs,
            ys: identity.ys,
            total: total,
            fee: fee,
            digest: identity.digest,
            overpaid: total > asked.askedAmount ? total - asked.askedAmount : 0
        )
        let found = obstacles(
            proofs: proofs,
            locks: locks,
            terms: terms,
            isTurnedOff: isTurnedOff,
            callSeconds: asked.callSeconds,
            now: now
        )
        if isOwnMint, OfflineObstacle.noneToHolding.isSuperset(of: found) { return .holdAtMint(payment) }
        return found.isEmpty ? .acceptOffline(payment) : .redeemFirst(payment, obstacles: found)
    }

    private func resolvedProofs(
        of token: Token,
        unit: CurrencyUnit,
        terms: MintTerms,
        now: Timestamp
    ) throws(CallRefusal) -> [Proof] {
        var proofs: [Proof]
        do {
            proofs = try token.proofs(knownKeysets: terms.keysets.keys)
        } catch {
            throw CallRefusal(
                .unknownKeyset,
                "The token names a keyset that its mint does not publish: \(error.message)"
            )
        }
        for index in proofs.indices {
            // A witness on arrival is worth nothing to us, and would be sent on.
            proofs[index].witness = nil
            guard let keyset = terms.keysets[proofs[index].keysetID] else {
                throw CallRefusal(.unknownKeyset, "The token names a keyset that its mint does not publish.")
            }
            guard keyset.unit == unit else {
                throw CallRefusal(.wrongUnit, "A proof is of a keyset in \(keyset.unit), not \(unit).")
            }
            guard !keyset.info.hasExpired(now: UInt64(max(0, now.secondsSince1970))) else {
                throw CallRefusal(.unknownKeyset, "A proof is of a keyset that has expired.")
            }
            guard keyset.keys[proofs[index].amount] != nil else {
                throw CallRefusal(.invalidProof, "A proof is of an amount for which its keyset has no key.")
            }
        }
        return proofs
    }

    private func worth(
        of proofs: [Proof],
        for asked: PaymentTerms,
        terms: MintTerms
    ) throws(CallRefusal) -> (total: UInt64, fee: UInt64) {
        let total: UInt64
        let fee: UInt64
        do {
            total = try Amounts.sum(proofs.map(\.amount))
            fee = try Fees.total(inputFeesPPK: proofs.map { terms.keysets[$0.keysetID]?.info.inputFeePPK ?? 0 })
        } catch {
            throw CallRefusal(.paymentMalformed, "The proofs' amounts add up to more than 64 bits.")
        }
        guard total >= fee, total - fee >= asked.price else {
            throw CallRefusal(
                .amountTooLow,
                "The token is worth \(total) \(asked.unit), \(total >= fee ? total - fee : 0) after the mint's fee of \(fee);"
                    + " the price is \(asked.price). Nothing was taken."
            )
        }
        guard total <= Price.maximumAmount else {
            throw CallRefusal(
                .amountTooHigh,
                "The token is worth \(total) \(asked.unit), more than any call costs. Nothing was taken."
            )
        }
        return (total, fee)
    }

    /// Refuses what this node could not redeem even by asking the mint.
    private func requireRedeemable(_ lock: ProofLock) throws(CallRefusal) {
        switch lock {
        case .open: return
        case .malformed(let reason):
            throw CallRefusal(.wrongLock, "A proof's lock is malformed, so that nobody can spend it: \(reason)")
        case .foreign(let kind):
            throw CallRefusal(.wrongLock, "A proof has a lock of kind \(kind.prefix(32)), which is not taken here.")
        case .p2pk(let condition):
            // x-coordinates name a key in NUT-11; the parity byte does not matter.
            guard condition.key.count == 33, condition.key.dropFirst().elementsEqual(sellerKey.dropFirst()) else {
                throw CallRefusal(
                    .wrongLock,
                    "A proof is locked to another key than this seller's \(Hex.encode(sellerKey))."
                )
            }
            guard condition.requiredSignatures == 1, !condition.bindsOutputs else {
                throw CallRefusal(
                    .wrongLock,
                    "A proof's lock asks for more than this seller's one signature over the input (n_sigs or SIG_ALL)."
                )
            }
        }
    }

    /// A DLEQ that is there must be right (NUT-12); one that is missing is an obstacle, not a fault.
    private func requireValidSignatures(
        _ proofs: [Proof],
        of identity: PaymentIdentity,
        terms: MintTerms,
        table: (Secp256k1.Point) -> Secp256k1.PointTable?
    ) throws(CallRefusal) {
        for (proof, hashedSecret) in zip(proofs, identity.points) {
            guard let dleq = proof.dleq, dleq.blindingFactor != nil else { continue }
            guard let key = terms.keysets[proof.keysetID]?.keys[proof.amount],
                dleq.isValid(
                    mintKey: key,
                    hashedSecret: hashedSecret,
                    signature: proof.signature,
                    table: table(key)
                )
            else {
                throw CallRefusal(.invalidProof, "A proof's DLEQ does not verify: the mint did not sign this proof.")
            }
        }
    }
}
