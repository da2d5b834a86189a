// Pay to public key (NUT-11): the condition itself, read strictly and written canonically.
public import Cryptography
import Encodings

/// What signatures must cover (NUT-11 "Signature flag").
public enum SignatureFlag: String, Hashable, Sendable {
    /// Each input is signed by itself.
    case inputs = "SIG_INPUTS"
    /// One witness, on the first input, covers all inputs and outputs.
    case all = "SIG_ALL"
}

/// A P2PK condition, well-formed by construction.
public struct P2PKCondition: Hashable, Sendable {
    /// `data` first, then the keys of the `pubkeys` tag; unique by x coordinate.
    public let keys: [Secp256k1.Point]
    /// How many of `keys` must sign (`n_sigs`): 1 … `keys.count`.
    public let requiredSignatures: Int
    /// Seconds since 1970 from which the refund path opens too; nil: the lock is permanent.
    public let locktime: UInt64?
    /// Keys of the `refund` tag, unique by x coordinate; nil where there is no such tag, so that after the locktime
    /// anyone can spend.
    public let refundKeys: [Secp256k1.Point]?
    /// How many of `refundKeys` must sign after the locktime (`n_sigs_refund`).
    public let requiredRefundSignatures: Int
    public let flag: SignatureFlag
    /// Whether the `n_sigs` tag was given (it may say 1).
    public let statesRequiredSignatures: Bool
    /// Tags whose names NUT-11 doesn't know; they don't affect spending.
    public let otherTags: [[String]]

    /// The key in `data`.
    public var mainKey: Secp256k1.Point { keys[0] }

    /// - Throws: ``CashuError/Code/spendingCondition`` for what NUT-11 calls malformed: a key twice on one path, or
    ///   more signatures required than there are keys.
    public init(
        keys: [Secp256k1.Point],
        requiredSignatures: Int? = nil,
        locktime: UInt64? = nil,
        refundKeys: [Secp256k1.Point]? = nil,
        requiredRefundSignatures: Int? = nil,
        flag: SignatureFlag = .inputs,
        otherTags: [[String]] = []
    ) throws(CashuError) {
        guard !keys.isEmpty else {
            throw CashuError(.spendingCondition, "a P2PK condition needs a key")
        }
        let needed = requiredSignatures ?? 1
        try LockTags.check(
            keys: keys,
            requiredSignatures: needed,
            refundKeys: refundKeys,
            requiredRefundSignatures: requiredRefundSignatures
        )
        self.keys = keys
        self.requiredSignatures = needed
        self.locktime = locktime
        self.refundKeys = refundKeys
        self.requiredRefundSignatures = requiredRefundSignatures ?? 1
        self.flag = flag
        self.otherTags = otherTags
        statesRequiredSignatures = requiredSignatures != nil
    }

    /// The condition in a secret of kind P2PK.
    ///
    /// Malformed, hence unspendable (NUT-11): a known tag twice, a key that is no compressed point, a key twice on
    /// one path whatever its case or parity byte, `n_sigs` or `n_sigs_refund` that is no positive integer or exceeds
    /// its keys, an unknown `sigflag`. A `locktime` that is no unix time leaves the lock permanent.
    public init(secret: SpendingSecret) throws(CashuError) {
        guard secret.kind == SpendingSecret.p2pk else {
            throw CashuError(.spendingCondition, "a secret of kind \(secret.kind.prefix(20)) isn't P2PK")
        }
        let tags = try LockTags(secret.tags)
        try self.init(
            keys: [try LockTags.key(secret.data)] + (tags.keys ?? []),
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
            keys: keys.count > 1 ? Array(keys.dropFirst()) : nil,
            requiredSignatures: statesRequiredSignatures ? requiredSignatures : nil,
            locktime: locktime,
            refundKeys: refundKeys,
            requiredRefundSignatures: requiredRefundSignatures > 1 ? requiredRefundSignatures : nil,
            flag: flag,
            others: otherTags
        )
        return SpendingSecret(
            kind: SpendingSecret.p2pk,
            nonce: nonce,
            data: Hex.encode(mainKey.compressed),
            tags: tags.written
        )
    }

    /// True once the clock (seconds since 1970) is past the locktime. At the very second of the locktime the lock still
    /// holds: NUT-11 calls it active below and expired above, and the stricter reading keeps the refund shut.
    public func hasExpired(now: UInt64) -> Bool {
        locktime.map { now > $0 } ?? false
    }
}
