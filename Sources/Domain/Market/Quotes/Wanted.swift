internal import CanonicalJSON
public import Cashu
internal import Encodings
public import SignedDocuments

/// What a buyer wants of one provider's service ([QUO-2]).
public struct Wanted: Sendable, Equatable {
    static let known: Set<String> = [
        "buyer", "service", "request", "maxPrice", "unit", "mints", "escrow", "nonce", "time",
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
        self.nonce = nonce
        self.time = time
    }

    init(_ fields: TradeFields) throws(TradeRefusal) {
        buyer = try fields.did("buyer")
        service = try fields.service("service")
        request = try fields.digest("request")
        maximumPrice = try fields.amount("maxPrice")
        unit = try fields.unit("unit")
        mints = try fields.mints("mints")
        escrow = try fields.modes("escrow")
        nonce = try fields.hex("nonce", bytes: 16)
        time = try fields.time("time")
    }

    var members: JSONObject {
        [
            "buyer": .string(buyer.string), "service": .string(service),
            "request": .string(MultihashDigest.encode(request)), "maxPrice": .string(String(maximumPrice)),
            "unit": .string(unit.name), "mints": JSONValue(mints.map(\.string)),
            "escrow": JSONValue(escrow.map(\.rawValue)), "nonce": .string(Hex.encode(nonce)), "time": JSONValue(time),
        ]
    }
}
