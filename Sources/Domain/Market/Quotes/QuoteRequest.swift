public import CanonicalJSON
public import Cashu
internal import Encodings
public import SignedDocuments

/// A buyer asks what one call of a service costs ([QUO-2]).
public struct QuoteRequest: TradeContent {
    public static let type = "MintmarkQuoteRequest"
    public static let known: Set<String> = [
        "buyer", "service", "request", "maxPrice", "unit", "mints", "escrow", "deadline", "nonce", "time",
    ]

    public var buyer: DIDKey
    /// The service's name at the provider.
    public var service: String
    /// SHA-256 of the request, see ``JobRequest``.
    public var request: [UInt8]
    /// The most that the buyer pays, in whole parts of `unit`.
    public var maximumPrice: UInt64
    public var unit: CurrencyUnit
    /// Mints that the buyer can pay at, best first; 1 to 16.
    public var mints: [MintURL]
    /// Modes that the buyer takes, best first.
    public var escrow: [Listing.Escrow]
    /// By when it must be delivered, seconds since 1970.
    public var deadline: UInt64
    /// 16 random bytes.
    public var nonce: [UInt8]
    public var time: UInt64

    public init(
        buyer: DIDKey,
        service: String,
        request: [UInt8],
        maximumPrice: UInt64,
        unit: CurrencyUnit,
        mints: [MintURL],
        escrow: [Listing.Escrow],
        deadline: UInt64,
        nonce: [UInt8],
        time: UInt64
    ) {
        self.buyer = buyer
        self.service = service
        self.request = request
        self.maximumPrice = maximumPrice
        self.unit = unit
        self.mints = mints
        self.escrow = escrow
        self.deadline = deadline
        self.nonce = nonce
        self.time = time
    }

    public init(_ fields: TradeFields) throws(TradeRefusal) {
        buyer = try fields.did("buyer")
        service = try fields.service("service")
        request = try fields.digest("request")
        maximumPrice = try fields.amount("maxPrice")
        unit = try fields.unit("unit")
        mints = try fields.mints("mints")
        escrow = try fields.modes("escrow")
        deadline = try fields.time("deadline")
        nonce = try fields.hex("nonce", bytes: 16)
        time = try fields.time("time")
        guard deadline > time else { throw TradeFields.refuse("deadline", "is after `time`") }
    }

    public var signer: DIDKey { buyer }

    public var members: JSONObject {
        [
            "buyer": .string(buyer.string), "service": .string(service),
            "request": .string(MultihashDigest.encode(request)), "maxPrice": .string(String(maximumPrice)),
            "unit": .string(unit.name), "mints": JSONValue(mints.map(\.string)),
            "escrow": JSONValue(escrow.map(\.rawValue)), "deadline": JSONValue(deadline),
            "nonce": .string(Hex.encode(nonce)), "time": JSONValue(time),
        ]
    }

    /// Whether a provider may answer now: dated within 30 seconds, its deadline ahead.
    public func check(now: UInt64) throws(TradeRefusal) {
        try TradeTime.check(time, now: now)
        guard deadline > now else { throw TradeRefusal(.expired, "the deadline of the request is over") }
    }
}

enum TradeTime {
    /// A document that is acted on now is dated within 30 seconds of the clock.
    static func check(_ time: UInt64, now: UInt64) throws(TradeRefusal) {
        guard time <= now + TradeBounds.skewSeconds else {
            throw TradeRefusal(.fromFuture, "the document is dated more than 30 seconds ahead")
        }
        guard now <= time + TradeBounds.skewSeconds else {
            throw TradeRefusal(.expired, "the document is more than 30 seconds old")
        }
    }
}
