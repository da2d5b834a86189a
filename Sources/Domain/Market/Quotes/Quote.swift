public import CanonicalJSON
public import Cashu
public import Cryptography
internal import Encodings
public import SignedDocuments

/// A provider's firm offer ([QUO-3]): whoever it names may accept it ``calls`` times until ``validUntil``.
public struct Quote: TradeContent {
    /// Who decides a dispute, and how fast.
    public struct Arbiter: Sendable, Equatable {
        public var did: DIDKey
        /// One of the three keys of the lock.
        public var key: Secp256k1.Point
        /// Its stated time from an escalation to a ruling.
        public var withinSeconds: UInt64

        public init(did: DIDKey, key: Secp256k1.Point, withinSeconds: UInt64) {
            self.did = did
            self.key = key
            self.withinSeconds = withinSeconds
        }
    }

    public static let type = "MintmarkQuote"
    public static let known: Set<String> = [
        "provider", "buyer", "service", "request", "price", "unit", "mint", "escrow", "chunks", "deliverWithin",
        "lockFor",
        "lockKey", "sla", "arbiters", "calls", "validUntil", "nonce", "time",
    ]

    public var provider: DIDKey
    public var buyer: DIDKey
    public var service: String
    /// SHA-256 of the one request that it is for; nil: any request of this service.
    public var request: [UInt8]?
    /// What the provider gets for a call, after the mint's fees; in mode `stream` for each chunk.
    public var price: UInt64
    public var unit: CurrencyUnit
    public var mint: MintURL
    public var mode: Listing.Escrow
    /// The most pieces of a stream; 1 in the other modes.
    public var chunks: UInt64 = 1
    /// Seconds from the acceptance to the delivery.
    public var deliverWithinSeconds: UInt64
    /// Seconds from the acceptance to the locktime.
    public var lockSeconds: UInt64
    public var lockKey: Secp256k1.Point
    /// SHA-256 of the promise that holds, where there is one.
    public var sla: [UInt8]?
    /// In mode `arbiter`, 1 to 8; else none.
    public var arbiters: [Arbiter] = []
    /// How many acceptances it is good for.
    public var calls: UInt64 = 1
    /// Seconds since 1970.
    public var validUntil: UInt64
    /// 16 random bytes.
    public var nonce: [UInt8]
    public var time: UInt64

    public init(
        provider: DIDKey,
        buyer: DIDKey,
        service: String,
        price: UInt64,
        unit: CurrencyUnit,
        mint: MintURL,
        mode: Listing.Escrow,
        deliverWithinSeconds: UInt64,
        lockSeconds: UInt64,
        lockKey: Secp256k1.Point,
        validUntil: UInt64,
        nonce: [UInt8],
        time: UInt64
    ) {
        self.provider = provider
        self.buyer = buyer
        self.service = service
        self.price = price
        self.unit = unit
        self.mint = mint
        self.mode = mode
        self.deliverWithinSeconds = deliverWithinSeconds
        self.lockSeconds = lockSeconds
        self.lockKey = lockKey
        self.validUntil = validUntil
        self.nonce = nonce
        self.time = time
    }

    public init(_ fields: TradeFields) throws(TradeRefusal) {
        provider = try fields.did("provider")
        buyer = try fields.did("buyer")
        service = try fields.service("service")
        if fields.has("request") { request = try fields.digest("request") }
        price = try fields.amount("price")
        unit = try fields.unit("unit")
        mint = try fields.mint("mint")
        mode = try fields.mode("escrow")
        if fields.has("chunks") { chunks = try fields.number("chunks", in: TradeBounds.chunks) }
        deliverWithinSeconds = try fields.number("deliverWithin", in: TradeBounds.deliverSeconds)
        lockSeconds = try fields.number("lockFor", in: TradeBounds.lockSeconds)
        lockKey = try fields.point("lockKey")
        if fields.has("sla") { sla = try fields.digest("sla") }
        if fields.has("arbiters") {
            for entry in try fields.objects("arbiters", atMost: 8, known: ["id", "key", "within"]) {
                arbiters.append(
                    Arbiter(
                        did: try entry.did("id"),
                        key: try entry.point("key"),
                        withinSeconds: try entry.number("within", in: TradeBounds.deliverSeconds)
                    )
                )
            }
        }
        calls = try fields.number("calls", in: TradeBounds.calls)
        validUntil = try fields.time("validUntil")
        nonce = try fields.hex("nonce", bytes: 16)
        time = try fields.time("time")
        try checkShape()
    }

    private func checkShape() throws(TradeRefusal) {
        guard (mode == .arbiter) == !arbiters.isEmpty else {
            throw TradeFields.refuse("arbiters", "stands in mode `arbiter`, and in no other")
        }
        guard Set(arbiters.map(\.did)).count == arbiters.count,
            arbiters.allSatisfy({ $0.did != provider && $0.did != buyer && $0.key.xOnly != lockKey.xOnly })
        else { throw TradeFields.refuse("arbiters", "are others than the parties, each once") }
        guard mode == .stream || chunks == 1 else {
            throw TradeFields.refuse("chunks", "stands in mode `stream` alone")
        }
        guard provider != buyer else { throw TradeFields.refuse("buyer", "is another than the provider") }
        guard validUntil > time, validUntil - time <= TradeBounds.quoteSeconds else {
            throw TradeFields.refuse("validUntil", "is after `time`, by a month at most")
        }
        let margin = arbiters.map(\.withinSeconds).max().map(EscrowMargins.rulingSeconds) ?? EscrowMargins.claimSeconds
        guard lockSeconds >= deliverWithinSeconds + margin else {
            throw TradeRefusal(.margin, "`lockFor` is at least `deliverWithin` and \(margin) seconds")
        }
    }

    public var signer: DIDKey { provider }

    public var members: JSONObject {
        var members: JSONObject = [
            "provider": .string(provider.string), "buyer": .string(buyer.string), "service": .string(service),
            "price": .string(String(price)), "unit": .string(unit.name), "mint": .string(mint.string),
            "escrow": .string(mode.rawValue), "deliverWithin": JSONValue(deliverWithinSeconds),
            "lockFor": JSONValue(lockSeconds), "lockKey": .string(Hex.encode(lockKey.compressed)),
            "calls": JSONValue(calls), "validUntil": JSONValue(validUntil), "nonce": .string(Hex.encode(nonce)),
            "time": JSONValue(time),
        ]
        members["request"] = request.map { .string(MultihashDigest.encode($0)) }
        members["sla"] = sla.map { .string(MultihashDigest.encode($0)) }
        if chunks > 1 { members["chunks"] = JSONValue(chunks) }
        if !arbiters.isEmpty {
            members["arbiters"] = .array(
                arbiters.map {
                    [
                        "id": .string($0.did.string), "key": .string(Hex.encode($0.key.compressed)),
                        "within": JSONValue($0.withinSeconds),
                    ]
                }
            )
        }
        return members
    }

    /// Whether it answers what was asked: same parties and service, within price, unit, mints, modes and deadline ([QUO-4]).
    public func check(answering asked: QuoteRequest, from provider: DIDKey, now: UInt64) throws(TradeRefusal) {
        guard self.provider == provider, buyer == asked.buyer, service == asked.service,
            request == nil || request == asked.request
        else { throw TradeRefusal(.mismatch, "the quote is of another provider, or for another request") }
        let total = price.multipliedReportingOverflow(by: chunks)
        guard !total.overflow, total.partialValue <= asked.maximumPrice, unit == asked.unit,
            asked.mints.contains(mint), asked.escrow.contains(mode)
        else { throw TradeRefusal(.unsuitable, "the quote's price, unit, mint or mode is none that was asked for") }
        guard now + deliverWithinSeconds <= asked.deadline else {
            throw TradeRefusal(.unsuitable, "the quote promises the delivery after the deadline")
        }
        guard time <= now + TradeBounds.skewSeconds else {
            throw TradeRefusal(.fromFuture, "the quote is dated more than 30 seconds ahead")
        }
        guard now <= validUntil else { throw TradeRefusal(.expired, "the quote is no longer valid") }
    }
}
