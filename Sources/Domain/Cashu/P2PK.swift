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
        try P2PKCondition.checkUnique(keys, path: "main")
        try P2PKCondition.checkUnique(refundKeys ?? [], path: "refund")
        let needed = requiredSignatures ?? 1
        guard (1...keys.count).contains(needed) else {
            throw CashuError(.spendingCondition, "n_sigs is \(needed), but the lock has \(keys.count) keys")
        }
        if let refundNeeded = requiredRefundSignatures {
            let count = refundKeys?.count ?? 0
            guard refundNeeded >= 1, refundNeeded <= count else {
                throw CashuError(
                    .spendingCondition,
                    "n_sigs_refund is \(refundNeeded), but there are \(count) refund keys"
                )
            }
        }
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
        var tags: [String: ArraySlice<String>] = [:]
        var others: [[String]] = []
        for tag in secret.tags {
            guard let name = tag.first, P2PKCondition.knownTags.contains(name) else {
                others.append(tag)
                continue
            }
            guard tags.updateValue(tag.dropFirst(), forKey: name) == nil else {
                throw CashuError(.spendingCondition, "the tag `\(name)` appears twice")
            }
        }
        var keys = [try P2PKCondition.key(secret.data)]
        for text in tags["pubkeys"] ?? [] { keys.append(try P2PKCondition.key(text)) }
        var refundKeys: [Secp256k1.Point]?
        if let given = tags["refund"] {
            var parsed: [Secp256k1.Point] = []
            for text in given { parsed.append(try P2PKCondition.key(text)) }
            refundKeys = parsed
        }
        var flag = SignatureFlag.inputs
        if let given = tags["sigflag"] {
            guard given.count == 1, let text = given.first, let known = SignatureFlag(rawValue: text) else {
                throw CashuError(.spendingCondition, "the tag `sigflag` must be SIG_INPUTS or SIG_ALL")
            }
            flag = known
        }
        let locktime = tags["locktime"].flatMap { $0.count == 1 ? $0.first.flatMap(Decimal.uint64) : nil }
        try self.init(
            keys: keys,
            requiredSignatures: P2PKCondition.count(tags["n_sigs"], "n_sigs"),
            locktime: locktime,
            refundKeys: refundKeys,
            requiredRefundSignatures: P2PKCondition.count(tags["n_sigs_refund"], "n_sigs_refund"),
            flag: flag,
            otherTags: others
        )
    }

    /// The secret that locks a proof with this condition.
    ///
    /// - Parameter nonce: unique and random for each proof, such as 32 random bytes in hex.
    public func secret(nonce: String) -> SpendingSecret {
        var tags: [[String]] = []
        if flag != .inputs { tags.append(["sigflag", flag.rawValue]) }
        if statesRequiredSignatures { tags.append(["n_sigs", String(requiredSignatures)]) }
        if let locktime { tags.append(["locktime", String(locktime)]) }
        if let refundKeys { tags.append(["refund"] + refundKeys.map { Hex.encode($0.compressed) }) }
        if requiredRefundSignatures > 1 { tags.append(["n_sigs_refund", String(requiredRefundSignatures)]) }
        if keys.count > 1 { tags.append(["pubkeys"] + keys.dropFirst().map { Hex.encode($0.compressed) }) }
        return SpendingSecret(
            kind: SpendingSecret.p2pk,
            nonce: nonce,
            data: Hex.encode(mainKey.compressed),
            tags: tags + otherTags
        )
    }

    /// True once the clock (seconds since 1970) is past the locktime. At the very second of the locktime the lock still
    /// holds: NUT-11 calls it active below and expired above, and the stricter reading keeps the refund shut.
    public func hasExpired(now: UInt64) -> Bool {
        locktime.map { now > $0 } ?? false
    }

    private static let knownTags: Set<String> = ["sigflag", "pubkeys", "n_sigs", "locktime", "refund", "n_sigs_refund"]

    private static func key(_ text: String) throws(CashuError) -> Secp256k1.Point {
        do {
            return try Points.parse(hex: text, as: "a key of the lock")
        } catch {
            throw CashuError(.spendingCondition, error.message, cause: error)
        }
    }

    /// A positive integer in decimal digits; nil where the tag is absent.
    private static func count(_ values: ArraySlice<String>?, _ name: String) throws(CashuError) -> Int? {
        guard let values else { return nil }
        guard values.count == 1, let text = values.first, let number = Decimal.uint64(text), number > 0 else {
            throw CashuError(.spendingCondition, "the tag `\(name)` must be one positive integer")
        }
        return Int(clamping: number)
    }

    private static func checkUnique(_ keys: [Secp256k1.Point], path: String) throws(CashuError) {
        guard Set(keys.map(\.xOnly)).count == keys.count else {
            throw CashuError(.spendingCondition, "a key appears twice on the \(path) path of the lock")
        }
    }
}
