public import CanonicalJSON
public import Cashu
public import Cryptography
internal import Encodings
public import SignedDocuments

/// A provider leaves money with a keeper ([BND-2]).
public struct BondDeposit: TradeContent {
    public static let type = "MintmarkBondDeposit"
    public static let known: Set<String> = ["provider", "keeper", "bond", "until", "time"]

    public var provider: DIDKey
    public var keeper: DIDKey
    /// The bond: ``BondTerms/name(of:)`` of its coins.
    public var bond: [UInt8]
    /// Calls that were agreed on before are backed; seconds since 1970.
    public var until: UInt64
    public var time: UInt64

    public init(provider: DIDKey, keeper: DIDKey, bond: [UInt8], until: UInt64, time: UInt64) {
        self.provider = provider
        self.keeper = keeper
        self.bond = bond
        self.until = until
        self.time = time
    }

    public init(_ fields: TradeFields) throws(TradeRefusal) {
        provider = try fields.did("provider")
        keeper = try fields.did("keeper")
        bond = try fields.digest("bond")
        until = try fields.time("until")
        time = try fields.time("time")
    }

    public var signer: DIDKey { provider }

    public var members: JSONObject {
        [
            "provider": .string(provider.string), "keeper": .string(keeper.string),
            "bond": .string(MultihashDigest.encode(bond)), "until": JSONValue(until), "time": JSONValue(time),
        ]
    }
}

/// The keeper has the money ([BND-3]).
public struct Bond: TradeContent {
    public static let type = "MintmarkBond"
    public static let known: Set<String> = ["keeper", "provider", "bond", "amount", "unit", "mint", "until", "time"]

    public var keeper: DIDKey
    public var provider: DIDKey
    public var bond: [UInt8]
    /// What it was worth when it came.
    public var amount: UInt64
    public var unit: CurrencyUnit
    public var mint: MintURL
    public var until: UInt64
    public var time: UInt64

    public init(
        _ deposit: BondDeposit,
        amount: UInt64,
        unit: CurrencyUnit,
        mint: MintURL,
        time: UInt64
    ) {
        keeper = deposit.keeper
        provider = deposit.provider
        bond = deposit.bond
        until = deposit.until
        self.amount = amount
        self.unit = unit
        self.mint = mint
        self.time = time
    }

    public init(_ fields: TradeFields) throws(TradeRefusal) {
        keeper = try fields.did("keeper")
        provider = try fields.did("provider")
        bond = try fields.digest("bond")
        amount = try fields.amount("amount")
        unit = try fields.unit("unit")
        mint = try fields.mint("mint")
        until = try fields.time("until")
        time = try fields.time("time")
    }

    public var signer: DIDKey { keeper }

    public var members: JSONObject {
        [
            "keeper": .string(keeper.string), "provider": .string(provider.string),
            "bond": .string(MultihashDigest.encode(bond)), "amount": .string(String(amount)),
            "unit": .string(unit.name), "mint": .string(mint.string), "until": JSONValue(until),
            "time": JSONValue(time),
        ]
    }
}

/// A buyer asks for what it is owed out of a bond ([BND-4]).
public struct BondClaim: TradeContent {
    public static let type = "MintmarkBondClaim"
    public static let known: Set<String> = ["claimant", "bond", "subject", "key", "time"]

    /// Whom the evidence names as the buyer.
    public var claimant: DIDKey
    public var bond: [UInt8]
    /// The job's name.
    public var subject: [UInt8]
    /// What is paid is locked to it.
    public var key: Secp256k1.Point
    public var time: UInt64

    public init(claimant: DIDKey, bond: [UInt8], subject: [UInt8], key: Secp256k1.Point, time: UInt64) {
        self.claimant = claimant
        self.bond = bond
        self.subject = subject
        self.key = key
        self.time = time
    }

    public init(_ fields: TradeFields) throws(TradeRefusal) {
        claimant = try fields.did("claimant")
        bond = try fields.digest("bond")
        subject = try fields.digest("subject")
        key = try fields.point("key")
        time = try fields.time("time")
    }

    public var signer: DIDKey { claimant }

    public var members: JSONObject {
        [
            "claimant": .string(claimant.string), "bond": .string(MultihashDigest.encode(bond)),
            "subject": .string(MultihashDigest.encode(subject)), "key": .string(Hex.encode(key.compressed)),
            "time": JSONValue(time),
        ]
    }
}

/// What the keeper paid for a breach that was proven to it ([BND-6]): there is one for a job.
public struct BondRuling: TradeContent {
    public static let type = "MintmarkBondRuling"
    public static let known: Set<String> = ["keeper", "bond", "subject", "claimant", "rule", "owed", "paid", "time"]

    public var keeper: DIDKey
    public var bond: [UInt8]
    public var subject: [UInt8]
    public var claimant: DIDKey
    public var rule: SLABreach.Rule
    /// What the breach gives back, and what of it the bond had.
    public var owed: UInt64
    public var paid: UInt64
    public var time: UInt64

    public init(
        keeper: DIDKey,
        bond: [UInt8],
        of breach: ProvenBreach,
        paid: UInt64,
        time: UInt64
    ) {
        self.keeper = keeper
        self.bond = bond
        subject = breach.subject
        claimant = breach.buyer
        rule = breach.rule
        owed = breach.owed
        self.paid = paid
        self.time = time
    }

    public init(_ fields: TradeFields) throws(TradeRefusal) {
        keeper = try fields.did("keeper")
        bond = try fields.digest("bond")
        subject = try fields.digest("subject")
        claimant = try fields.did("claimant")
        guard let name = fields.object["rule"]?.stringValue, let read = SLABreach.Rule(rawValue: name) else {
            throw TradeFields.refuse("rule", "is a rule of a promise")
        }
        rule = read
        owed = try fields.amount("owed")
        paid = try fields.amount("paid")
        time = try fields.time("time")
        guard paid <= owed else { throw TradeFields.refuse("paid", "is not above `owed`") }
    }

    public var signer: DIDKey { keeper }

    public var members: JSONObject {
        [
            "keeper": .string(keeper.string), "bond": .string(MultihashDigest.encode(bond)),
            "subject": .string(MultihashDigest.encode(subject)), "claimant": .string(claimant.string),
            "rule": .string(rule.rawValue), "owed": .string(String(owed)), "paid": .string(String(paid)),
            "time": JSONValue(time),
        ]
    }
}

/// What all sides of a bond go by.
public enum BondTerms {
    /// A day: for so long after `until` claims are heard, before the money is the provider's again.
    public static let claimSeconds: UInt64 = 86_400
    /// The keeper begins no payment later than this before the locktime.
    public static let marginSeconds: UInt64 = 600
    /// From an hour to a year.
    public static let backedSeconds: ClosedRange<UInt64> = 3_600...31_622_400
    /// The most coins of one bond.
    public static let maximumCoins = 64

    /// The name of a bond: SHA-256 over the Y values of its coins, sorted.
    ///
    /// - Parameter ys: compressed points, as NUT-07 knows the coins.
    public static func name(of ys: [[UInt8]]) -> [UInt8] {
        Hashing.sha256(ys.sorted { $0.lexicographicallyPrecedes($1) }.flatMap { $0 })
    }
}
