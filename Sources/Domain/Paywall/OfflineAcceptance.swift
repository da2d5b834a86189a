public import Cashu
public import Encodings

/// Why a payment is not taken on its own word and must be redeemed at the mint before the call ([CALL-13]).
///
/// None of these is the buyer's loss: the call still goes through where the mint redeems the proofs.
public struct OfflineObstacle: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public var rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public var description: String { rawValue }

    /// The operator (or a failed redemption, or a restore) has turned offline acceptance off.
    public static let turnedOff = OfflineObstacle(rawValue: "turned-off")
    /// The mint's terms are older than an hour, or from the future.
    public static let termsStale = OfflineObstacle(rawValue: "terms-stale")
    /// The mint does not say that it keeps NUT-10 and NUT-11.
    public static let locksUnsupported = OfflineObstacle(rawValue: "locks-unsupported")
    /// The mint does not say that it gives NUT-12 proofs.
    public static let dleqUnsupported = OfflineObstacle(rawValue: "dleq-unsupported")
    /// A proof has no DLEQ, or one without `r`.
    public static let dleqMissing = OfflineObstacle(rawValue: "dleq-missing")
    /// A proof is not locked, or not by NUT-11.
    public static let notP2PK = OfflineObstacle(rawValue: "not-p2pk")
    /// A lock names further keys, which could spend it too.
    public static let otherKeys = OfflineObstacle(rawValue: "other-keys")
    /// A lock asks for a number of signatures other than one.
    public static let signatureCount = OfflineObstacle(rawValue: "signature-count")
    /// A lock binds the transaction's outputs (SIG_ALL), so that proofs can't be redeemed in batches.
    public static let signatureFlag = OfflineObstacle(rawValue: "signature-flag")
    /// A lock has tags that NUT-11 does not know, which this mint might give a meaning.
    public static let unknownTags = OfflineObstacle(rawValue: "unknown-tags")
    /// A lock opens for others less than an hour after the redeem-by time, on the mint's clock.
    public static let locktimeTooSoon = OfflineObstacle(rawValue: "locktime-too-soon")
    /// A lock has a locktime and the mint did not tell its time.
    public static let mintClockUnknown = OfflineObstacle(rawValue: "mint-clock-unknown")
    /// A proof's keyset expires before the redeem-by time.
    public static let keysetExpires = OfflineObstacle(rawValue: "keyset-expires")
    /// With this payment the proofs not yet redeemed at the mint would pass the operator's cap.
    public static let overCap = OfflineObstacle(rawValue: "over-cap")

    /// What does not matter where the mint is the seller's own and holds the proofs from the claim on.
    static let noneToHolding: Set<OfflineObstacle> = [
        .termsStale, .locksUnsupported, .dleqUnsupported, .dleqMissing, .notP2PK,
    ]
}

/// The conditions under which a seller takes ecash without asking the mint ([CALL-13]), and what it asks of any payment.
public struct OfflineAcceptance: Sendable {
    /// The seller's compressed secp256k1 key, 33 bytes, used by nothing but the claim table.
    public var sellerKey: [UInt8]
    /// How long after the call the proofs are redeemed at the latest, in seconds.
    public var redeemWithinSeconds: Int64
    /// How old the mint's terms may be, in seconds.
    public var termsMaximumAgeSeconds: Int64 = 3600
    /// How long after the redeem-by time a lock must still hold, in seconds.
    public var locktimeMarginSeconds: Int64 = 3600

    public init(sellerKey: [UInt8], redeemWithinSeconds: Int64) {
        self.sellerKey = sellerKey
        self.redeemWithinSeconds = redeemWithinSeconds
    }

    /// The obstacles to taking `proofs` offline, in a fixed order and each once; empty where there is none.
    ///
    /// Whether the Ys are new and the total is under the cap is decided by the claim store in its transaction.
    /// The DLEQ proofs themselves are checked by ``PaymentAssessment``, as a forged one is refused outright.
    /// - Parameters:
    ///   - locks: of each proof, in order.
    ///   - callSeconds: how long the call itself may take at most.
    public func obstacles(
        proofs: [Proof],
        locks: [ProofLock],
        terms: MintTerms,
        isTurnedOff: Bool,
        callSeconds: Int64,
        now: Timestamp
    ) -> [OfflineObstacle] {
        var found: [OfflineObstacle] = []
        func add(_ obstacle: OfflineObstacle, if condition: Bool) {
            if condition, !found.contains(obstacle) { found.append(obstacle) }
        }
        add(.turnedOff, if: isTurnedOff)
        let age = now.milliseconds(since: terms.fetchedAt)
        add(.termsStale, if: age < -60_000 || age > termsMaximumAgeSeconds * 1000)
        add(.locksUnsupported, if: !(terms.supportsSpendingConditions && terms.supportsP2PK))
        add(.dleqUnsupported, if: !terms.supportsDLEQ)
        add(.dleqMissing, if: proofs.contains { $0.dleq?.blindingFactor == nil })

        let redeemBy = now.adding(seconds: callSeconds).adding(seconds: redeemWithinSeconds)
            .adding(milliseconds: terms.clockOffsetMilliseconds ?? 0)
        let mustHoldUntil = redeemBy.adding(seconds: locktimeMarginSeconds)
        for lock in locks {
            guard case .p2pk(let condition) = lock else {
                add(.notP2PK, if: true)
                continue
            }
            add(.otherKeys, if: condition.hasFurtherKeys)
            add(.signatureCount, if: condition.requiredSignatures != 1)
            add(.signatureFlag, if: condition.bindsOutputs)
            add(.unknownTags, if: condition.hasUnknownTags)
            if let locktime = condition.locktimeSeconds {
                add(.mintClockUnknown, if: terms.clockOffsetMilliseconds == nil)
                // Compared as seconds in UInt64: a locktime may be any 64-bit number.
                let needed = UInt64(max(0, mustHoldUntil.secondsSince1970)) + 1
                add(.locktimeTooSoon, if: locktime < needed)
            }
        }
        for proof in proofs {
            if let expiry = terms.keysets[proof.keysetID]?.info.finalExpiry {
                add(.keysetExpires, if: expiry <= UInt64(max(0, mustHoldUntil.secondsSince1970)))
            }
        }
        return found
    }
}
