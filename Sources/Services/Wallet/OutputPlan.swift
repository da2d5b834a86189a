internal import CanonicalJSON
internal import Cashu
internal import Encodings

/// A lock that new coins get (NUT-11, NUT-14): to `key` until `locktime`, then also to `refundKey`.
struct CoinLock: Sendable, Equatable {
    /// 33 bytes, compressed; empty for a hash lock that the preimage alone opens.
    var key: [UInt8]
    /// SHA-256 of the preimage that the receiver must show, 32 bytes; nil: none.
    var hash: [UInt8]?
    /// Whether the keys are blinded, so that the mint does not learn them (NUT-28).
    var isBlinded = false
    var refundKey: [UInt8]?
    /// Seconds since 1970.
    var locktime: Int64?
    /// Two of `key` and these spend it, by signatures over the whole swap.
    var sharedWith: [[UInt8]] = []

    var json: JSONValue {
        var object: JSONObject = [
            "key": .string(Hex.encode(key)),
            "refundKey": refundKey.map { .string(Hex.encode($0)) } ?? .null,
            "locktime": locktime.map { .integer($0) } ?? .null,
        ]
        object["hash"] = hash.map { .string(Hex.encode($0)) }
        if isBlinded { object["blinded"] = true }
        if !sharedWith.isEmpty { object["sharedWith"] = JSONValue(sharedWith.map { Hex.encode($0) }) }
        return .object(object)
    }

    init(
        key: [UInt8],
        hash: [UInt8]? = nil,
        isBlinded: Bool = false,
        refundKey: [UInt8]? = nil,
        locktime: Int64? = nil,
        sharedWith: [[UInt8]] = []
    ) {
        self.key = key
        self.hash = hash
        self.isBlinded = isBlinded
        self.refundKey = refundKey
        self.locktime = locktime
        self.sharedWith = sharedWith
    }

    init(json: JSONValue) throws {
        key = try Hex.decode(json.string("key"))
        hash = try json.optionalString("hash").map { try Hex.decode($0) }
        isBlinded = try json.optionalBool("blinded") ?? false
        refundKey = try json.optionalString("refundKey").map { try Hex.decode($0) }
        locktime = try json.optionalInt64("locktime")
        sharedWith = try json.optionalStrings("sharedWith")?.map { try Hex.decode($0) } ?? []
    }
}

/// What becomes of an operation's new coins.
enum CoinUse: String, Sendable {
    /// They are ours to spend.
    case keep
    /// They leave in a token.
    case send
    /// They wait in the pool of a seller.
    case pool
    /// Blank outputs for what a melt does not need (NUT-08); the mint fills in the amounts.
    case change
}

/// New coins of one use.
struct OutputGroup: Sendable, Equatable {
    var use: CoinUse
    var amounts: [UInt64]
    var lock: CoinLock?
}

/// All the outputs of an operation, told so briefly that they can be made again, bit by bit, from the seed: this is
/// what stands on disk before anything leaves.
struct OutputPlan: Sendable, Equatable {
    var keyset: KeysetID
    /// The NUT-13 counter of the first output without a lock; the others follow.
    var firstCounter: UInt64
    var groups: [OutputGroup]
    /// Outputs of others that go to the mint in the same swap, before and after these.
    var othersBefore: [BlindedMessage] = []
    var othersAfter: [BlindedMessage] = []

    /// How many counters the plan takes.
    static func counters(of groups: [OutputGroup]) -> UInt64 {
        UInt64(groups.filter { $0.lock == nil }.reduce(0) { $0 + $1.amounts.count })
    }

    /// The counters that it takes.
    var counters: Range<UInt64> { firstCounter..<firstCounter + Self.counters(of: groups) }

    static func sum(of groups: [OutputGroup]) throws -> UInt64 {
        try Amounts.sum(groups.flatMap(\.amounts))
    }

    /// The sum of the outputs of one use.
    func sum(_ use: CoinUse) throws -> UInt64 {
        try Amounts.sum(groups.filter { $0.use == use }.flatMap(\.amounts))
    }

    var json: JSONValue {
        var object: JSONObject = [
            "keyset": .string(keyset.hex),
            "firstCounter": .integer(Int64(firstCounter)),
            "groups": .array(
                groups.map { group in
                    .object([
                        "use": .string(group.use.rawValue),
                        "amounts": .array(group.amounts.map { .string(String($0)) }),
                        "lock": group.lock?.json ?? .null,
                    ])
                }
            ),
        ]
        if !othersBefore.isEmpty { object["othersBefore"] = .array(othersBefore.map(\.json)) }
        if !othersAfter.isEmpty { object["othersAfter"] = .array(othersAfter.map(\.json)) }
        return .object(object)
    }

    init(keyset: KeysetID, firstCounter: UInt64, groups: [OutputGroup]) {
        self.keyset = keyset
        self.firstCounter = firstCounter
        self.groups = groups
    }

    init(json: JSONValue) throws {
        keyset = try KeysetID(hex: json.string("keyset"))
        firstCounter = try json.uint64("firstCounter")
        groups = try json.array("groups").map { entry in
            guard let use = CoinUse(rawValue: try entry.string("use")) else {
                throw WalletError(.corrupt, "an operation of the wallet has outputs of an unknown use")
            }
            let amounts = try entry.array("amounts").map { value in
                guard let text = value.stringValue, let amount = UInt64(text) else {
                    throw WalletError(.corrupt, "an operation of the wallet has an output without an amount")
                }
                return amount
            }
            let lock: CoinLock? =
                switch entry["lock"] {
                case nil, .null?: nil
                case let value?: try CoinLock(json: value)
                }
            return OutputGroup(use: use, amounts: amounts, lock: lock)
        }
        othersBefore = try json["othersBefore"]?.arrayValue?.map(BlindedMessage.init(json:)) ?? []
        othersAfter = try json["othersAfter"]?.arrayValue?.map(BlindedMessage.init(json:)) ?? []
    }
}
