public import Cashu
internal import Cryptography
internal import Encodings

/// What a provider knows of the mint that a lock is at.
public struct EscrowMint: Sendable {
    public var url: MintURL
    /// The operator takes this mint's money.
    public var isTrusted: Bool
    /// What the mint says of itself now (NUT-06).
    public var info: MintInfo
    /// Its keysets, with keys that were checked against their ids.
    public var keysets: [KeysetID: Keyset]

    public init(url: MintURL, isTrusted: Bool, info: MintInfo, keysets: [KeysetID: Keyset]) {
        self.url = url
        self.isTrusted = isTrusted
        self.info = info
        self.keysets = keysets
    }
}

/// Why a lock is not taken ([ESC-5]).
public struct LockObstacle: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: String

    public init(rawValue: String) {
        self.rawValue = rawValue
    }

    public var description: String { rawValue }

    /// The token is of another mint or unit than was agreed.
    public static let otherMint = LockObstacle(rawValue: "other-mint")
    public static let untrustedMint = LockObstacle(rawValue: "untrusted-mint")
    /// The mint does not say that it has NUT-07, 10, 11, 12 and 14: it may take locks for nothing.
    public static let unsupported = LockObstacle(rawValue: "unsupported-by-mint")
    public static let unknownKeyset = LockObstacle(rawValue: "unknown-keyset")
    /// The mint owes nothing for the keyset soon after the locktime.
    public static let keysetExpires = LockObstacle(rawValue: "keyset-expires")
    public static let badDLEQ = LockObstacle(rawValue: "bad-dleq")
    public static let wrongAmount = LockObstacle(rawValue: "wrong-amount")
    /// No lock, or of another kind or hash.
    public static let wrongKind = LockObstacle(rawValue: "wrong-kind")
    public static let wrongHash = LockObstacle(rawValue: "wrong-hash")
    public static let wrongKeys = LockObstacle(rawValue: "wrong-keys")
    public static let wrongSignatureCount = LockObstacle(rawValue: "wrong-signature-count")
    public static let wrongSignatureFlag = LockObstacle(rawValue: "wrong-signature-flag")
    public static let wrongLocktime = LockObstacle(rawValue: "wrong-locktime")
    /// No way back, which after the locktime is everybody's, or another's.
    public static let wrongRefund = LockObstacle(rawValue: "wrong-refund")
    public static let unknownTags = LockObstacle(rawValue: "unknown-tags")
    public static let tooLate = LockObstacle(rawValue: "too-late")
    public static let notUnspent = LockObstacle(rawValue: "not-unspent")
}

/// Whether a provider takes a lock ([ESC-5]): exactly what was agreed, at a mint that keeps to it.
public enum LockCheck {
    /// The most coins of one lock.
    public static let maximumCoins = 64
    /// How long past the locktime the keyset must live: a day.
    private static let keysetMarginSeconds: UInt64 = 86_400

    /// All that speaks against the lock, before the mint is asked for its state.
    ///
    /// - Parameters:
    ///   - hash: that of the delivery's key; nil in mode `arbiter`.
    ///   - now: the mint's clock, seconds since 1970.
    public static func obstacles(
        _ token: Token,
        terms: EscrowTerms,
        hash: [UInt8]?,
        mint: EscrowMint,
        now: UInt64
    ) -> [LockObstacle] {
        var found: [LockObstacle] = []
        if token.mint.string != terms.mint || mint.url.string != terms.mint || token.unit.name != terms.unit {
            found.append(.otherMint)
        }
        if !mint.isTrusted { found.append(.untrustedMint) }
        if ![7, 10, 11, 12, 14].allSatisfy(mint.info.supports) { found.append(.unsupported) }
        if now > (terms.mode == .arbiter ? terms.deliverBy : terms.revealUntil) { found.append(.tooLate) }
        guard token.count <= maximumCoins else { return found + [.wrongAmount] }
        guard let proofs = try? token.proofs(knownKeysets: mint.keysets.keys),
            Set(proofs.map(\.secret)).count == proofs.count, let first = proofs.first,
            let keyset = mint.keysets[first.keysetID], proofs.allSatisfy({ $0.keysetID == keyset.id }),
            keyset.unit.name == terms.unit
        else { return found + [.unknownKeyset] }
        if let expiry = keyset.info.finalExpiry, expiry < terms.locktime + keysetMarginSeconds {
            found.append(.keysetExpires)
        }
        if !isAgreedAmount(proofs, terms: terms, keyset: keyset) { found.append(.wrongAmount) }
        for proof in proofs {
            if !hasValidDLEQ(proof, keyset) { found.append(.badDLEQ) }
            found += obstacles(proof, terms: terms, hash: hash)
        }
        var seen = Set<LockObstacle>()
        return found.filter { seen.insert($0).inserted }
    }

    /// Whether the mint says that every coin is unspent (NUT-07).
    public static func isUnspent(_ states: [ProofState], of coins: [LockedCoin]) -> Bool {
        states.count == coins.count
            && zip(states, coins).allSatisfy { Hex.encode($0.hashedSecret) == $1.y && $0.state == .unspent }
    }

    private static func hasValidDLEQ(_ proof: Proof, _ keyset: Keyset) -> Bool {
        guard let key = keyset.keys[proof.amount] else { return false }
        return proof.hasValidDLEQ(mintKey: key)
    }

    private static func isAgreedAmount(_ proofs: [Proof], terms: EscrowTerms, keyset: Keyset) -> Bool {
        guard let total = try? Amounts.sum(proofs.map(\.amount)),
            let fee = try? Fees.total(inputs: proofs.count, feePPK: keyset.info.inputFeePPK),
            let agreed = try? terms.lockAmount(inputFeePPK: keyset.info.inputFeePPK)
        else { return false }
        return total == agreed && total >= fee && total - fee >= terms.price
    }

    private static func obstacles(_ proof: Proof, terms: EscrowTerms, hash: [UInt8]?) -> [LockObstacle] {
        guard proof.ephemeralKey == nil, let agreed = try? terms.condition(hash: hash),
            let given = SpendingCondition(ofSecret: proof.secret)
        else { return [.wrongKind] }
        var found: [LockObstacle] = []
        let others: [[String]]
        switch (agreed, given) {
        case (.p2pk, .p2pk(let lock)): others = lock.otherTags
        case (.htlc, .htlc(let lock)): others = lock.otherTags
        default: return [.wrongKind]
        }
        if given.hash != agreed.hash { found.append(.wrongHash) }
        if given.keys != agreed.keys { found.append(.wrongKeys) }
        if given.requiredSignatures != agreed.requiredSignatures { found.append(.wrongSignatureCount) }
        if given.flag != agreed.flag { found.append(.wrongSignatureFlag) }
        if given.locktime != agreed.locktime { found.append(.wrongLocktime) }
        if given.refundKeys != agreed.refundKeys || given.requiredRefundSignatures != 1 { found.append(.wrongRefund) }
        if !others.isEmpty { found.append(.unknownTags) }
        return found
    }
}
