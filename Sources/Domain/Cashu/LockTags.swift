// The tags that P2PK and hash locks have in common (NUT-11, NUT-14), read strictly and written canonically.
import Cryptography
import Encodings

/// What the tags of a lock say; nil where a tag is absent.
struct LockTags {
    /// `pubkeys`, which may be there and name no key.
    var keys: [Secp256k1.Point]?
    /// `n_sigs`
    var requiredSignatures: Int?
    /// Seconds since 1970. One that is no unix time reads as nil: it leaves the lock permanent.
    var locktime: UInt64?
    /// `refund`
    var refundKeys: [Secp256k1.Point]?
    /// `n_sigs_refund`
    var requiredRefundSignatures: Int?
    /// `sigflag`
    var flag = SignatureFlag.inputs
    /// Tags that neither NUT knows.
    var others: [[String]] = []

    private static let known: Set<String> = ["sigflag", "pubkeys", "n_sigs", "locktime", "refund", "n_sigs_refund"]

    /// - Throws: ``CashuError/Code/spendingCondition`` for a known tag twice, a key that is no compressed point, a count
    ///   that is no positive integer, an unknown `sigflag`.
    init(_ tags: [[String]]) throws(CashuError) {
        var found: [String: ArraySlice<String>] = [:]
        for tag in tags {
            guard let name = tag.first, LockTags.known.contains(name) else {
                others.append(tag)
                continue
            }
            guard found.updateValue(tag.dropFirst(), forKey: name) == nil else {
                throw CashuError(.spendingCondition, "the tag `\(name)` appears twice")
            }
        }
        keys = try LockTags.keys(found["pubkeys"])
        refundKeys = try LockTags.keys(found["refund"])
        if let given = found["sigflag"] {
            guard given.count == 1, let text = given.first, let known = SignatureFlag(rawValue: text) else {
                throw CashuError(.spendingCondition, "the tag `sigflag` must be SIG_INPUTS or SIG_ALL")
            }
            flag = known
        }
        locktime = found["locktime"].flatMap { $0.count == 1 ? $0.first.flatMap(Decimal.uint64) : nil }
        requiredSignatures = try LockTags.count(found["n_sigs"], "n_sigs")
        requiredRefundSignatures = try LockTags.count(found["n_sigs_refund"], "n_sigs_refund")
    }

    init(
        keys: [Secp256k1.Point]?,
        requiredSignatures: Int?,
        locktime: UInt64?,
        refundKeys: [Secp256k1.Point]?,
        requiredRefundSignatures: Int?,
        flag: SignatureFlag,
        others: [[String]]
    ) {
        self.keys = keys
        self.requiredSignatures = requiredSignatures
        self.locktime = locktime
        self.refundKeys = refundKeys
        self.requiredRefundSignatures = requiredRefundSignatures
        self.flag = flag
        self.others = others
    }

    /// As they stand in a secret.
    var written: [[String]] {
        var tags: [[String]] = []
        if flag != .inputs { tags.append(["sigflag", flag.rawValue]) }
        if let requiredSignatures { tags.append(["n_sigs", String(requiredSignatures)]) }
        if let locktime { tags.append(["locktime", String(locktime)]) }
        if let refundKeys { tags.append(["refund"] + refundKeys.map { Hex.encode($0.compressed) }) }
        if let requiredRefundSignatures { tags.append(["n_sigs_refund", String(requiredRefundSignatures)]) }
        if let keys { tags.append(["pubkeys"] + keys.map { Hex.encode($0.compressed) }) }
        return tags + others
    }

    /// - Throws: ``CashuError/Code/spendingCondition`` for what NUT-11 calls malformed: a key twice on one path (by its x
    ///   coordinate), or more signatures required than there are keys.
    static func check(
        keys: [Secp256k1.Point],
        requiredSignatures: Int,
        refundKeys: [Secp256k1.Point]?,
        requiredRefundSignatures: Int?
    ) throws(CashuError) {
        try checkUnique(keys, path: "main")
        guard requiredSignatures >= 1, requiredSignatures <= keys.count else {
            throw CashuError(.spendingCondition, "n_sigs is \(requiredSignatures), but the lock has \(keys.count) keys")
        }
        try check(refundKeys: refundKeys, requiredRefundSignatures: requiredRefundSignatures)
    }

    /// The same for the refund path alone.
    static func check(refundKeys: [Secp256k1.Point]?, requiredRefundSignatures: Int?) throws(CashuError) {
        try checkUnique(refundKeys ?? [], path: "refund")
        guard let refundNeeded = requiredRefundSignatures else { return }
        let count = refundKeys?.count ?? 0
        guard refundNeeded >= 1, refundNeeded <= count else {
            throw CashuError(
                .spendingCondition,
                "n_sigs_refund is \(refundNeeded), but there are \(count) refund keys"
            )
        }
    }

    /// A compressed point in hex of either case.
    static func key(_ text: String) throws(CashuError) -> Secp256k1.Point {
        do {
            return try Points.parse(hex: text, as: "a key of the lock")
        } catch {
            throw CashuError(.spendingCondition, error.message, cause: error)
        }
    }

    private static func keys(_ texts: ArraySlice<String>?) throws(CashuError) -> [Secp256k1.Point]? {
        guard let texts else { return nil }
        var keys: [Secp256k1.Point] = []
        for text in texts { keys.append(try key(text)) }
        return keys
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
