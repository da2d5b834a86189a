// Hashed timelock contracts (NUT-14): a lock that a preimage opens, with a way back for the sender.
public import Cryptography
import Encodings

/// A hash lock, well-formed by construction.
///
/// The receiver's way (the preimage, and signatures where `keys` are named) is open at all times: it never expires. Past
/// the locktime the sender's way (`refundKeys`) is added; without a `refund` tag anyone can spend then.
public struct HTLCCondition: Hashable, Sendable {
    /// SHA-256 of the preimage, 32 bytes.
    public let hash: [UInt8]
    /// Keys of the `pubkeys` tag, unique by x coordinate; empty: the preimage alone spends.
    public let keys: [Secp256k1.Point]
    /// How many of `keys` must sign beside the preimage: 0 where there are none, else 1 … `keys.count`.
    public let requiredSignatures: Int
    /// Seconds since 1970 after which the refund way opens too; nil: never.
    public let locktime: UInt64?
    /// Keys of the `refund` tag; nil where there is no such tag.
    public let refundKeys: [Secp256k1.Point]?
    /// How many of `refundKeys` must sign after the locktime.
    public let requiredRefundSignatures: Int
    public let flag: SignatureFlag
    /// Whether the `n_sigs` tag was given (it may say 1).
    public let statesRequiredSignatures: Bool
    /// Tags whose names NUT-11 doesn't know; they don't affect spending.
    public let otherTags: [[String]]

    /// - Parameter hash: SHA-256 of a preimage of exactly 32 bytes, see ``hash(ofPreimage:)``.
    /// - Throws: ``CashuError/Code/spendingCondition`` for a hash that hasn't 32 bytes, a key twice on one path, or more
    ///   signatures required than there are keys.
    public init(
        hash: [UInt8],
        keys: [Secp256k1.Point] = [],
        requiredSignatures: Int? = nil,
        locktime: UInt64? = nil,
        refundKeys: [Secp256k1.Point]? = nil,
        requiredRefundSignatures: Int? = nil,
        flag: SignatureFlag = .inputs,
        otherTags: [[String]] = []
    ) throws(CashuError) {
        guard hash.count == 32 else {
            throw CashuError(.spendingCondition, "a hash lock is a SHA-256 of 32 bytes, not \(hash.count)")
        }
        if keys.isEmpty {
            guard requiredSignatures == nil else {
                throw CashuError(.spendingCondition, "n_sigs is given, but the hash lock names no keys")
            }
            try LockTags.check(refundKeys: refundKeys, requiredRefundSignatures: requiredRefundSignatures)
        } else {
            try LockTags.check(
                keys: keys,
                requiredSignatures: requiredSignatures ?? 1,
                refundKeys: refundKeys,
                requiredRefundSignatures: requiredRefundSignatures
            )
        }
        self.hash = hash
        self.keys = keys
        self.requiredSignatures = keys.isEmpty ? 0 : requiredSignatures ?? 1
        self.locktime = locktime
        self.refundKeys = refundKeys
        self.requiredRefundSignatures = requiredRefundSignatures ?? 1
        self.flag = flag
        self.otherTags = otherTags
        statesRequiredSignatures = requiredSignatures != nil
    }

    /// The condition in a secret of kind HTLC.
    ///
    /// Malformed, hence unspendable: what is so for P2PK, a hash that isn't 64 hex digits, and a `pubkeys` tag that names no
    /// key (read as absent, it would open the lock to whoever learns the preimage).
    public init(secret: SpendingSecret) throws(CashuError) {
        guard secret.kind == SpendingSecret.htlc else {
            throw CashuError(.spendingCondition, "a secret of kind \(secret.kind.prefix(20)) isn't an HTLC")
        }
        guard secret.data.utf8.count == 64, let hash = try? Hex.decode(secret.data) else {
            throw CashuError(.spendingCondition, "the hash of an HTLC must be 64 hex digits")
        }
        let tags = try LockTags(secret.tags)
        guard tags.keys.map({ !$0.isEmpty }) ?? true else {
            throw CashuError(.spendingCondition, "the tag `pubkeys` of an HTLC names no key")
        }
        try self.init(
            hash: hash,
            keys: tags.keys ?? [],
            requiredSignatures: tags.requiredSignatures,
            locktime: tags.locktime,
            refundKeys: tags.refundKeys,
            requiredRefundSignatures: tags.requiredRefundSignatures,
            flag: tags.flag,
            otherTags: tags.others
        )
    }

    /// The secret that locks a proof with this condition.
    ///
    /// - Parameter nonce: unique and random for each proof, such as 32 random bytes in hex.
    public func secret(nonce: String) -> SpendingSecret {
        let tags = LockTags(
            keys: keys.isEmpty ? nil : keys,
            requiredSignatures: statesRequiredSignatures ? requiredSignatures : nil,
            locktime: locktime,
            refundKeys: refundKeys,
            requiredRefundSignatures: requiredRefundSignatures > 1 ? requiredRefundSignatures : nil,
            flag: flag,
            others: otherTags
        )
        return SpendingSecret(kind: SpendingSecret.htlc, nonce: nonce, data: Hex.encode(hash), tags: tags.written)
    }

    /// What `data` of a lock holds for this preimage.
    /// - Throws: ``CashuError/Code/spendingCondition`` where the preimage hasn't 32 bytes: no mint would take it.
    public static func hash(ofPreimage preimage: [UInt8]) throws(CashuError) -> [UInt8] {
        guard preimage.count == 32 else {
            throw CashuError(.spendingCondition, "the preimage of a hash lock has 32 bytes, not \(preimage.count)")
        }
        return Hashing.sha256(preimage)
    }

    /// Whether `preimage` has 32 bytes that hash to the lock.
    public func isOpened(by preimage: [UInt8]?) -> Bool {
        guard let preimage, preimage.count == 32 else { return false }
        return Hashing.sha256(preimage) == hash
    }
}

/// A condition of a kind that this library knows.
public enum SpendingCondition: Hashable, Sendable {
    /// NUT-11
    case p2pk(P2PKCondition)
    /// NUT-14
    case htlc(HTLCCondition)

    /// - Throws: ``CashuError/Code/spendingCondition`` for a kind that isn't known and a malformed condition.
    public init(secret: SpendingSecret) throws(CashuError) {
        switch secret.kind {
        case SpendingSecret.p2pk: self = .p2pk(try P2PKCondition(secret: secret))
        case SpendingSecret.htlc: self = .htlc(try HTLCCondition(secret: secret))
        default:
            throw CashuError(.spendingCondition, "conditions of kind \"\(secret.kind.prefix(20))\" aren't known")
        }
    }

    /// The condition of a proof's secret; nil where it has none, or none that can be met.
    public init?(ofSecret secret: String) {
        guard case .conditional(let conditional) = SecretKind(of: secret) else { return nil }
        guard let condition = try? SpendingCondition(secret: conditional) else { return nil }
        self = condition
    }

    /// Who must sign on the main path; none where a preimage alone spends.
    public var keys: [Secp256k1.Point] {
        switch self {
        case .p2pk(let condition): condition.keys
        case .htlc(let condition): condition.keys
        }
    }

    /// How many of `keys` must sign.
    public var requiredSignatures: Int {
        switch self {
        case .p2pk(let condition): condition.requiredSignatures
        case .htlc(let condition): condition.requiredSignatures
        }
    }

    /// Seconds since 1970.
    public var locktime: UInt64? {
        switch self {
        case .p2pk(let condition): condition.locktime
        case .htlc(let condition): condition.locktime
        }
    }

    /// nil where there is no `refund` tag: past the locktime anyone can spend.
    public var refundKeys: [Secp256k1.Point]? {
        switch self {
        case .p2pk(let condition): condition.refundKeys
        case .htlc(let condition): condition.refundKeys
        }
    }

    public var requiredRefundSignatures: Int {
        switch self {
        case .p2pk(let condition): condition.requiredRefundSignatures
        case .htlc(let condition): condition.requiredRefundSignatures
        }
    }

    public var flag: SignatureFlag {
        switch self {
        case .p2pk(let condition): condition.flag
        case .htlc(let condition): condition.flag
        }
    }

    /// SHA-256 of the preimage that the main path asks for; nil where it asks for none.
    public var hash: [UInt8]? {
        switch self {
        case .p2pk: nil
        case .htlc(let condition): condition.hash
        }
    }

    /// The secret that locks a proof with this condition.
    public func secret(nonce: String) -> SpendingSecret {
        switch self {
        case .p2pk(let condition): condition.secret(nonce: nonce)
        case .htlc(let condition): condition.secret(nonce: nonce)
        }
    }

    /// True once the clock (seconds since 1970) is past the locktime; see ``P2PKCondition/hasExpired(now:)``.
    public func hasExpired(now: UInt64) -> Bool {
        locktime.map { now > $0 } ?? false
    }

    /// Whether the main path's hash lock, if there is one, is opened by `preimage`.
    public func isOpened(by preimage: [UInt8]?) -> Bool {
        switch self {
        case .p2pk: true
        case .htlc(let condition): condition.isOpened(by: preimage)
        }
    }
}
