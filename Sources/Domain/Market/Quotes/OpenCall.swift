public import CanonicalJSON
public import Cashu
internal import Encodings
public import SignedDocuments

/// A buyer calls for bids on one job, from whoever hears it ([QUO-7]).
public struct OpenCall: TradeContent {
    public static let type = "MintmarkOpenCall"
    public static let known: Set<String> = [
        "buyer", "words", "method", "target", "request", "maxPrice", "unit", "mints", "escrow", "deliverWithin",
        "commitUntil", "revealUntil", "nonce", "time",
    ]
    public static let maximumWords = 12
    /// The shortest time to reveal: twice the time that gossip takes across the network.
    public static let minimumRevealSeconds: UInt64 = 4
    /// A day: the longest from ``time`` to ``revealUntil``.
    public static let maximumSeconds: UInt64 = 86_400
    /// How long a bid binds its bidder after ``revealUntil`` ([QUO-14]).
    public static let holdSeconds: UInt64 = 60

    public var buyer: DIDKey
    /// All of them are among the words of a service that fits, see ``MarketWords``; 1 to 12.
    public var words: [String]
    /// What is asked of the service, so that bidders can price it.
    public var method: String
    /// Path and query below the service.
    public var target: String
    /// SHA-256 of the request, see ``JobRequest``.
    public var request: [UInt8]
    /// The most that the buyer pays, in whole parts of `unit`.
    public var maximumPrice: UInt64
    public var unit: CurrencyUnit
    /// Mints that the buyer can pay at, best first; 1 to 16.
    public var mints: [MintURL]
    /// Modes that the buyer takes, best first.
    public var escrow: [Listing.Escrow]
    public var deliverWithinSeconds: UInt64
    /// Until then commitments are taken, and no bid is shown.
    public var commitUntil: UInt64
    /// From `commitUntil` until then bids are shown.
    public var revealUntil: UInt64
    /// 16 random bytes.
    public var nonce: [UInt8]
    public var time: UInt64

    public init(
        buyer: DIDKey,
        words: [String],
        request: JobRequest,
        maximumPrice: UInt64,
        unit: CurrencyUnit,
        mints: [MintURL],
        escrow: [Listing.Escrow],
        deliverWithinSeconds: UInt64,
        commitUntil: UInt64,
        revealUntil: UInt64,
        nonce: [UInt8],
        time: UInt64
    ) {
        self.buyer = buyer
        self.words = words
        method = request.method
        target = request.target
        self.request = request.digest
        self.maximumPrice = maximumPrice
        self.unit = unit
        self.mints = mints
        self.escrow = escrow
        self.deliverWithinSeconds = deliverWithinSeconds
        self.commitUntil = commitUntil
        self.revealUntil = revealUntil
        self.nonce = nonce
        self.time = time
    }

    public init(_ fields: TradeFields) throws(TradeRefusal) {
        buyer = try fields.did("buyer")
        words = try fields.words("words", atMost: Self.maximumWords)
        method = try fields.method("method")
        target = try fields.target("target")
        request = try fields.digest("request")
        maximumPrice = try fields.amount("maxPrice")
        unit = try fields.unit("unit")
        mints = try fields.mints("mints")
        escrow = try fields.modes("escrow")
        deliverWithinSeconds = try fields.number("deliverWithin", in: TradeBounds.deliverSeconds)
        commitUntil = try fields.time("commitUntil")
        revealUntil = try fields.time("revealUntil")
        nonce = try fields.hex("nonce", bytes: 16)
        time = try fields.time("time")
        guard commitUntil > time, revealUntil >= commitUntil + Self.minimumRevealSeconds,
            revealUntil - time <= Self.maximumSeconds
        else { throw TradeFields.refuse("revealUntil", "is 4 seconds or more after `commitUntil`, a day at most") }
    }

    public var signer: DIDKey { buyer }

    public var members: JSONObject {
        [
            "buyer": .string(buyer.string), "words": JSONValue(words), "method": .string(method),
            "target": .string(target), "request": .string(MultihashDigest.encode(request)),
            "maxPrice": .string(String(maximumPrice)), "unit": .string(unit.name),
            "mints": JSONValue(mints.map(\.string)), "escrow": JSONValue(escrow.map(\.rawValue)),
            "deliverWithin": JSONValue(deliverWithinSeconds), "commitUntil": JSONValue(commitUntil),
            "revealUntil": JSONValue(revealUntil), "nonce": .string(Hex.encode(nonce)), "time": JSONValue(time),
        ]
    }

    /// Until then a bid binds its bidder ([QUO-14]).
    public var holdsUntil: UInt64 { revealUntil + Self.holdSeconds }
}
