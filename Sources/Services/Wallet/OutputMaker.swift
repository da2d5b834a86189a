internal import Cashu
internal import Cryptography
internal import Encodings
internal import Ethereum

/// An output of an operation, made from the seed.
struct MadeOutput: Sendable {
    var secret: BlindingSecret
    var use: CoinUse
    var lock: CoinLock?
    /// Goes into the coin, so that the keys of its lock can be found (NUT-28).
    var ephemeralKey: Secp256k1.Point?
}

/// Makes an operation's outputs from its plan. The same plan gives the same outputs, in the same order, always.
struct OutputMaker: Sendable {
    private let secrets: DeterministicSecrets
    private let lockSeed: [UInt8]

    /// - Parameter seed: the 64 bytes of BIP-39.
    init(seed: [UInt8]) throws {
        secrets = try DeterministicSecrets(seed: seed)
        lockSeed = Sealing.deriveKey(from: seed, label: "mintmark/wallet/locked-outputs/1")
    }

    /// The operation's outputs, in the order in which they go to the mint: by amount, so that it can't tell payment
    /// from change (NUT-03).
    func outputs(of operation: Operation) throws -> [MadeOutput] {
        try outputs(operation.plan, operation: operation.id)
    }

    /// - Parameter operation: its id, which locked outputs come from.
    func outputs(_ plan: OutputPlan, operation: String) throws -> [MadeOutput] {
        var made: [MadeOutput] = []
        var counter = plan.firstCounter
        for group in plan.groups {
            for amount in group.amounts {
                let secret: BlindingSecret
                var ephemeral: Secp256k1.Scalar?
                if let lock = group.lock {
                    if lock.isBlinded { ephemeral = try ephemeralKey(operation: operation, index: made.count) }
                    secret = try lockedSecret(
                        amount,
                        lock: lock,
                        plan: plan,
                        operation: operation,
                        index: made.count,
                        ephemeral: ephemeral
                    )
                } else {
                    let derived = try secrets.derive(keyset: plan.keyset, counter: counter)
                    secret = BlindingSecret(
                        amount: amount,
                        keysetID: plan.keyset,
                        secret: derived.secret,
                        blindingFactor: derived.blindingFactor
                    )
                    counter += 1
                }
                let point = ephemeral.map { Secp256k1.Point(multiplyingGeneratorBy: $0) }
                made.append(MadeOutput(secret: secret, use: group.use, lock: group.lock, ephemeralKey: point))
            }
        }
        return made.enumerated()
            .sorted { ($0.element.secret.amount, $0.offset) < ($1.element.secret.amount, $1.offset) }
            .map(\.element)
    }

    /// The seed's secrets for consecutive counters, for a restore; the mint fills the amounts in (NUT-09).
    func plainSecrets(keyset: KeysetID, from counter: UInt64, count: UInt64) throws -> [BlindingSecret] {
        try secrets.outputs(amounts: Array(repeating: 0, count: Int(count)), keyset: keyset, counter: counter)
    }

    /// A locked coin's nonce and blinding factor come from the operation's id: they need no counter, so that a pool
    /// leaves no gap in the counters that a restore walks (NUT-13).
    private func lockedSecret(
        _ amount: UInt64,
        lock: CoinLock,
        plan: OutputPlan,
        operation: String,
        index: Int,
        ephemeral: Secp256k1.Scalar?
    ) throws -> BlindingSecret {
        let place = Array("\(operation)/\(index)".utf8)
        let nonce = Hashing.hmacSHA256(key: lockSeed, Array("nonce/".utf8) + place)
        let factor = Hashing.hmacSHA256(key: lockSeed, Array("factor/".utf8) + place)
        return BlindingSecret(
            amount: amount,
            keysetID: plan.keyset,
            secret: try Self.secretText(lock, nonce: nonce, ephemeral: ephemeral),
            blindingFactor: try Secp256k1.Scalar(reducing: factor)
        )
    }

    /// As the nonce: the same again for the same plan.
    private func ephemeralKey(operation: String, index: Int) throws -> Secp256k1.Scalar {
        let place = Array("ephemeral/\(operation)/\(index)".utf8)
        return try Secp256k1.Scalar(reducing: Hashing.hmacSHA256(key: lockSeed, place))
    }

    /// The NUT-10 secret of a lock.
    static func secretText(_ lock: CoinLock, nonce: [UInt8], ephemeral: Secp256k1.Scalar? = nil) throws -> String {
        let keys = lock.key.isEmpty ? [] : [try Secp256k1.Point(compressed: lock.key)]
        let locktime = lock.locktime.flatMap { UInt64(exactly: $0) }
        let refundKeys = try lock.refundKey.map { [try Secp256k1.Point(compressed: $0)] }
        var condition: SpendingCondition =
            if let hash = lock.hash {
                .htlc(try HTLCCondition(hash: hash, keys: keys, locktime: locktime, refundKeys: refundKeys))
            } else {
                .p2pk(
                    try P2PKCondition(
                        keys: keys + lock.sharedWith.map { try Secp256k1.Point(compressed: $0) },
                        requiredSignatures: lock.sharedWith.isEmpty ? nil : 2,
                        locktime: locktime,
                        refundKeys: refundKeys,
                        flag: lock.sharedWith.isEmpty ? .inputs : .all
                    )
                )
            }
        if let ephemeral { condition = try P2BK.blind(condition, ephemeral: ephemeral) }
        return try condition.secret(nonce: Hex.encode(nonce)).serialized()
    }
}

/// The wallet's own keys, from the seed.
struct WalletKeys: Sendable {
    private let seed: [UInt8]

    init(seed: [UInt8]) { self.seed = seed }

    /// The key that people may lock tokens for us to.
    func receiving() throws -> Secp256k1.Scalar {
        try key("mintmark/wallet/receiving-key/1")
    }

    /// The key that this node signs with where it is the arbiter of others.
    func arbiter() throws -> Secp256k1.Scalar {
        try key("mintmark/wallet/arbiter-key/1")
    }

    /// The key that bonds of others are locked to for this node.
    func bond() throws -> Secp256k1.Scalar {
        try key("mintmark/wallet/bond-key/1")
    }

    /// The key that gets leftovers back from a seller's pool. One a seller, so that two sellers can't tell that they
    /// have the same customer.
    func refund(seller: [UInt8]) throws -> Secp256k1.Scalar {
        try key("mintmark/wallet/refund-key/1/\(Hex.encode(seller))")
    }

    /// The key of one mint quote (NUT-20): a fresh one each, so that the mint cannot link them.
    func quote(nonce: [UInt8]) throws -> Secp256k1.Scalar {
        try key("mintmark/wallet/quote-key/1/\(Hex.encode(nonce))")
    }

    /// The account on EVM chains: the first of any wallet that has the same recovery words (BIP-44,
    /// m/44'/60'/0'/0/0), so that what it holds can be moved with any of those.
    func evmAccount() throws -> EthereumKey {
        var key = try ExtendedKey(seed: seed)
        for index: UInt32 in [44, 60, 0] { key = try key.child(index | ExtendedKey.hardened) }
        return EthereumKey(try key.child(0).child(0).key)
    }

    private func key(_ label: String) throws -> Secp256k1.Scalar {
        try Secp256k1.Scalar(reducing: Sealing.deriveKey(from: seed, label: label))
    }

    /// Tells seeds apart without telling anything of them.
    var fingerprint: [UInt8] { Sealing.deriveKey(from: seed, label: "mintmark/wallet/fingerprint/1", count: 16) }
}
