// Pay to blinded key (NUT-28): locks whose keys nobody but their owners can recognise.
public import Cryptography
import Encodings

/// Blinds the keys of a lock with what only the sender's ephemeral key and a receiver's key make together, so that the
/// mint can't link two locks to the same receiver.
///
/// The slots are `[data, …pubkeys, …refund]`. A hash lock's `data` is no key, so its keys begin with slot 1.
public enum P2BK {
    /// Slots of a lock, `data` included.
    public static let maximumSlots = 11

    private static let domain = Array("Cashu_P2BK_v1".utf8)

    /// The x coordinate that `secret` and `other` share, 32 bytes.
    public static func sharedX(
        _ secret: Secp256k1.Scalar,
        _ other: Secp256k1.Point
    ) throws(CashuError) -> [UInt8] {
        do {
            return try other.multiplied(bySecret: secret).xOnly
        } catch {
            throw CashuError(.cryptography, "the keys of a blinded lock share no point", cause: error)
        }
    }

    /// `r_i`, for one slot.
    ///
    /// - Parameter sharedX: see ``sharedX(_:_:)``.
    /// - Throws: ``CashuError/Code/cryptography`` where neither try gives a scalar (chance 2^−255): take another ephemeral
    ///   key.
    public static func blindingScalar(sharedX: [UInt8], slot: UInt8) throws(CashuError) -> Secp256k1.Scalar {
        let message = domain + sharedX + [slot]
        // Out of range is retried, never reduced.
        if let scalar = try? Secp256k1.Scalar(bytes: Hashing.sha256(message)) { return scalar }
        do {
            return try Secp256k1.Scalar(bytes: Hashing.sha256(message + [0xFF]))
        } catch {
            throw CashuError(.cryptography, "the ephemeral key gives no blinding scalar; take another", cause: error)
        }
    }

    /// The same lock with every key blinded.
    ///
    /// - Parameter ephemeral: fresh and random for each proof; with SIG_ALL one for all proofs of the lock, as their secrets
    ///   must agree. Its public key goes into ``Proof/ephemeralKey``.
    /// - Throws: ``CashuError/Code/spendingCondition`` beyond ``maximumSlots``; ``CashuError/Code/cryptography`` where the
    ///   ephemeral key doesn't serve.
    public static func blind(
        _ condition: SpendingCondition,
        ephemeral: Secp256k1.Scalar
    ) throws(CashuError) -> SpendingCondition {
        let refunds = condition.refundKeys ?? []
        let first = condition.hash == nil ? 0 : 1
        let all = condition.keys + refunds
        guard first + all.count <= maximumSlots else {
            throw CashuError(
                .spendingCondition,
                "a blinded lock has at most \(maximumSlots) places for keys, not \(first + all.count)"
            )
        }
        var blinded: [Secp256k1.Point] = []
        for (offset, key) in all.enumerated() {
            let scalar = try blindingScalar(sharedX: sharedX(ephemeral, key), slot: UInt8(first + offset))
            blinded.append(try adding(key, scalar))
        }
        let keys = Array(blinded.prefix(condition.keys.count))
        let refundKeys = condition.refundKeys.map { _ in Array(blinded.suffix(refunds.count)) }
        return try replacing(condition, keys: keys, refundKeys: refundKeys)
    }

    /// The private keys that sign for those of the lock's blinded keys that belong to `key`; none where none does.
    ///
    /// A hash lock is also read with its keys counted from slot 0, as older wallets wrote it.
    public static func keys(
        of key: Secp256k1.Scalar,
        for condition: SpendingCondition,
        ephemeralKey: Secp256k1.Point
    ) throws(CashuError) -> [Secp256k1.Scalar] {
        let shared = try sharedX(key, ephemeralKey)
        let all = (condition.keys + (condition.refundKeys ?? [])).prefix(maximumSlots)
        let found = try keys(of: key, among: all, sharedX: shared, firstSlot: condition.hash == nil ? 0 : 1)
        guard found.isEmpty, condition.hash != nil else { return found }
        return try keys(of: key, among: all, sharedX: shared, firstSlot: 0)
    }

    private static func keys(
        of key: Secp256k1.Scalar,
        among blinded: ArraySlice<Secp256k1.Point>,
        sharedX: [UInt8],
        firstSlot: Int
    ) throws(CashuError) -> [Secp256k1.Scalar] {
        let own = Secp256k1.Point(multiplyingGeneratorBy: key)
        var found: [Secp256k1.Scalar] = []
        for (offset, point) in blinded.enumerated() {
            let scalar = try blindingScalar(sharedX: sharedX, slot: UInt8(clamping: firstSlot + offset))
            let blinding = Secp256k1.Point(multiplyingGeneratorBy: scalar)
            // Equal points would leave infinity: then the key isn't ours either.
            guard let unblinded = try? point.subtracting(blinding), unblinded.xOnly == own.xOnly else { continue }
            // BIP-340 lifts a public key to even y, so the key may be known by the negative of its natural point.
            let natural = unblinded == own ? key : key.negated()
            do {
                found.append(try natural.adding(scalar))
            } catch {
                throw CashuError(.cryptography, "the blinded key's private key would be zero", cause: error)
            }
        }
        return found
    }

    private static func adding(
        _ key: Secp256k1.Point,
        _ scalar: Secp256k1.Scalar
    ) throws(CashuError) -> Secp256k1.Point {
        do {
            return try key.adding(Secp256k1.Point(multiplyingGeneratorBy: scalar))
        } catch {
            throw CashuError(
                .cryptography,
                "a blinded key would be at infinity; take another ephemeral key",
                cause: error
            )
        }
    }

    private static func replacing(
        _ condition: SpendingCondition,
        keys: [Secp256k1.Point],
        refundKeys: [Secp256k1.Point]?
    ) throws(CashuError) -> SpendingCondition {
        let refundsNeeded = condition.requiredRefundSignatures > 1 ? condition.requiredRefundSignatures : nil
        switch condition {
        case .p2pk(let lock):
            return .p2pk(
                try P2PKCondition(
                    keys: keys,
                    requiredSignatures: lock.statesRequiredSignatures ? lock.requiredSignatures : nil,
                    locktime: lock.locktime,
                    refundKeys: refundKeys,
                    requiredRefundSignatures: refundsNeeded,
                    flag: lock.flag,
                    otherTags: lock.otherTags
                )
            )
        case .htlc(let lock):
            return .htlc(
                try HTLCCondition(
                    hash: lock.hash,
                    keys: keys,
                    requiredSignatures: lock.statesRequiredSignatures ? lock.requiredSignatures : nil,
                    locktime: lock.locktime,
                    refundKeys: refundKeys,
                    requiredRefundSignatures: refundsNeeded,
                    flag: lock.flag,
                    otherTags: lock.otherTags
                )
            )
        }
    }
}
