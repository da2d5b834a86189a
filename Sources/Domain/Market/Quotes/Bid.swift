public import CanonicalJSON
public import Cashu
internal import Cryptography
internal import Encodings
public import SignedDocuments

/// A bidder binds itself to a bid that nobody can read yet ([QUO-8]).
public struct BidCommitment: TradeContent {
    public static let type = "MintmarkBidCommitment"
    public static let known: Set<String> = ["bidder", "call", "commitment", "time"]

    public var bidder: DIDKey
    /// Digest of the call.
    public var call: [UInt8]
    /// See ``Bid/commitment``.
    public var commitment: [UInt8]
    public var time: UInt64

    public init(to bid: Bid, time: UInt64) {
        bidder = bid.bidder
        call = bid.call
        commitment = bid.commitment
        self.time = time
    }

    public init(_ fields: TradeFields) throws(TradeRefusal) {
        bidder = try fields.did("bidder")
        call = try fields.digest("call")
        commitment = try fields.digest("commitment")
        time = try fields.time("time")
    }

    public var signer: DIDKey { bidder }

    public var members: JSONObject {
        [
            "bidder": .string(bidder.string), "call": .string(MultihashDigest.encode(call)),
            "commitment": .string(MultihashDigest.encode(commitment)), "time": JSONValue(time),
        ]
    }
}

/// The bid itself, shown once all commitments are in ([QUO-8]).
public struct Bid: TradeContent {
    public static let type = "MintmarkBid"
    public static let known: Set<String> = [
        "bidder", "call", "service", "node", "price", "deliverWithin", "mint", "escrow", "salt", "time",
    ]
    private static let label = Array("Mintmark_Bid_v1".utf8)

    public var bidder: DIDKey
    public var call: [UInt8]
    /// The service's name at the bidder.
    public var service: String
    /// Where the bidder's node is asked for the quote: scheme, host and port.
    public var node: ListingURL
    public var price: UInt64
    public var deliverWithinSeconds: UInt64
    public var mint: MintURL
    public var mode: Listing.Escrow
    /// 32 random bytes.
    public var salt: [UInt8]
    public var time: UInt64

    public init(
        bidder: DIDKey,
        call: [UInt8],
        service: String,
        node: ListingURL,
        price: UInt64,
        deliverWithinSeconds: UInt64,
        mint: MintURL,
        mode: Listing.Escrow,
        salt: [UInt8],
        time: UInt64
    ) {
        self.bidder = bidder
        self.call = call
        self.service = service
        self.node = node
        self.price = price
        self.deliverWithinSeconds = deliverWithinSeconds
        self.mint = mint
        self.mode = mode
        self.salt = salt
        self.time = time
    }

    public init(_ fields: TradeFields) throws(TradeRefusal) {
        bidder = try fields.did("bidder")
        call = try fields.digest("call")
        service = try fields.service("service")
        node = try fields.origin("node")
        price = try fields.amount("price")
        deliverWithinSeconds = try fields.number("deliverWithin", in: TradeBounds.deliverSeconds)
        mint = try fields.mint("mint")
        mode = try fields.mode("escrow")
        salt = try fields.hex("salt", bytes: 32)
        time = try fields.time("time")
    }

    public var signer: DIDKey { bidder }

    public var members: JSONObject {
        [
            "bidder": .string(bidder.string), "call": .string(MultihashDigest.encode(call)),
            "service": .string(service), "node": .string(node.text), "price": .string(String(price)),
            "deliverWithin": JSONValue(deliverWithinSeconds), "mint": .string(mint.string),
            "escrow": .string(mode.rawValue), "salt": .string(Hex.encode(salt)), "time": JSONValue(time),
        ]
    }

    /// SHA-256 of a label, the bid, its salt, the bidder and the call; each part of its own length, or after its length.
    public var commitment: [UInt8] {
        func number(_ value: UInt64) -> [UInt8] {
            stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> UInt64($0)) }
        }
        func text(_ value: String) -> [UInt8] { number(UInt64(value.utf8.count)) + Array(value.utf8) }
        var message = Self.label
        message += number(price) + number(deliverWithinSeconds)
        for part in [mint.string, mode.rawValue, service, node.text] { message += text(part) }
        return Hashing.sha256(message + salt + text(bidder.string) + call)
    }
}
