public import CanonicalJSON
public import Cryptography
internal import Encodings
public import SignedDocuments

/// A buyer takes a quote ([QUO-5]): this is what makes a job, and its digest is the job's name.
public struct Acceptance: TradeContent {
    public static let type = "MintmarkAcceptance"
    public static let known: Set<String> = [
        "buyer", "quote", "sequence", "request", "refundKey", "arbiter", "deliverBy", "locktime", "nonce", "time",
    ]

    public var buyer: DIDKey
    /// Digest of the quote.
    public var quote: [UInt8]
    /// Which of the quote's calls, from 0.
    public var sequence: UInt64
    /// SHA-256 of the request.
    public var request: [UInt8]
    /// Where the money goes back to; also the buyer's key among the three of mode `arbiter`.
    public var refundKey: Secp256k1.Point
    /// Which of the quote's arbiters.
    public var arbiter: DIDKey?
    /// Seconds since 1970 on the mint's clock.
    public var deliverBy: UInt64
    /// T: from then on the money can go back. Seconds since 1970 on the mint's clock.
    public var locktime: UInt64
    /// 16 random bytes.
    public var nonce: [UInt8]
    public var time: UInt64

    /// Of a quote, with its times counted from now.
    public init(
        of quote: Signed<Quote>,
        sequence: UInt64 = 0,
        request: [UInt8],
        refundKey: Secp256k1.Point,
        arbiter: DIDKey? = nil,
        nonce: [UInt8],
        time: UInt64
    ) {
        buyer = quote.content.buyer
        self.quote = quote.digest
        self.sequence = sequence
        self.request = request
        self.refundKey = refundKey
        self.arbiter = arbiter
        deliverBy = time + quote.content.deliverWithinSeconds
        locktime = time + quote.content.lockSeconds
        self.nonce = nonce
        self.time = time
    }

    public init(_ fields: TradeFields) throws(TradeRefusal) {
        buyer = try fields.did("buyer")
        quote = try fields.digest("quote")
        sequence = try fields.number("sequence", in: 0...(TradeBounds.calls.upperBound - 1))
        request = try fields.digest("request")
        refundKey = try fields.point("refundKey")
        if fields.has("arbiter") { arbiter = try fields.did("arbiter") }
        deliverBy = try fields.time("deliverBy")
        locktime = try fields.time("locktime")
        nonce = try fields.hex("nonce", bytes: 16)
        time = try fields.time("time")
    }

    public var signer: DIDKey { buyer }

    public var members: JSONObject {
        var members: JSONObject = [
            "buyer": .string(buyer.string), "quote": .string(MultihashDigest.encode(quote)),
            "sequence": JSONValue(sequence), "request": .string(MultihashDigest.encode(request)),
            "refundKey": .string(Hex.encode(refundKey.compressed)), "deliverBy": JSONValue(deliverBy),
            "locktime": JSONValue(locktime), "nonce": .string(Hex.encode(nonce)), "time": JSONValue(time),
        ]
        members["arbiter"] = arbiter.map { .string($0.string) }
        return members
    }

    /// Whether a provider may take it up now. Whether its place is still free is for ``QuoteUses``.
    ///
    /// - Parameter now: seconds since 1970 on the mint's clock.
    public func check(_ quote: Signed<Quote>, now: UInt64) throws(TradeRefusal) {
        guard now <= quote.content.validUntil else { throw TradeRefusal(.expired, "the quote is no longer valid") }
        try TradeTime.check(time, now: now)
    }
}

/// Which places of a provider's quotes were taken ([QUO-6]): a quote is good for so many jobs, and a place for one.
public struct QuoteUses: Sendable, Equatable {
    private var jobs: [[UInt8]: [UInt64: [UInt8]]] = [:]

    public init() {}

    /// - Returns: true where this makes a new job, false where it is the job that has the place already.
    /// - Throws: `TradeRefusal` with `.overCalls`, `.sequenceUsed`, `.mismatch`.
    public mutating func take(_ acceptance: Signed<Acceptance>, of quote: Signed<Quote>) throws(TradeRefusal) -> Bool {
        let said = acceptance.content
        guard said.quote == quote.digest else { throw TradeRefusal(.mismatch, "the acceptance is of another quote") }
        try Self.check(said.sequence, of: quote)
        if let other = jobs[quote.digest]?[said.sequence] {
            guard other == acceptance.digest else {
                throw TradeRefusal(.sequenceUsed, "call \(said.sequence) of the quote was accepted already")
            }
            return false
        }
        jobs[quote.digest, default: [:]][said.sequence] = acceptance.digest
        return true
    }

    public static func check(_ sequence: UInt64, of quote: Signed<Quote>) throws(TradeRefusal) {
        guard sequence < quote.content.calls else {
            throw TradeRefusal(.overCalls, "the quote is good for \(quote.content.calls) calls")
        }
    }
}
