public import CanonicalJSON
public import Cashu
internal import Cryptography
internal import Encodings
public import SignedDocuments

/// A buyer calls for bids on one job, from whoever hears it ([QUO-7]).
@dynamicMemberLookup
public struct OpenCall: TradeContent {
    public static let type = "MintmarkOpenCall"
    public static let known = Wanted.known.union(["deliverWithin", "commitUntil", "revealUntil"])
    /// The shortest time to reveal: twice the time that gossip takes across the network.
    public static let minimumRevealSeconds: UInt64 = 4

    public var wanted: Wanted
    public var deliverWithinSeconds: UInt64
    /// Until then commitments are taken, and no bid is shown.
    public var commitUntil: UInt64
    /// From `commitUntil` until then bids are shown.
    public var revealUntil: UInt64

    public init(_ wanted: Wanted, deliverWithinSeconds: UInt64, commitUntil: UInt64, revealUntil: UInt64) {
        self.wanted = wanted
        self.deliverWithinSeconds = deliverWithinSeconds
        self.commitUntil = commitUntil
        self.revealUntil = revealUntil
    }

    public init(_ fields: TradeFields) throws(TradeRefusal) {
        wanted = try Wanted(fields)
        deliverWithinSeconds = try fields.number("deliverWithin", in: TradeBounds.deliverSeconds)
        commitUntil = try fields.time("commitUntil")
        revealUntil = try fields.time("revealUntil")
        guard commitUntil > wanted.time, revealUntil >= commitUntil + Self.minimumRevealSeconds,
            revealUntil - wanted.time <= TradeBounds.deliverSeconds.upperBound
        else { throw TradeFields.refuse("revealUntil", "is 4 seconds or more after `commitUntil`, a week at most") }
    }

    public subscript<Value>(dynamicMember member: WritableKeyPath<Wanted, Value>) -> Value {
        get { wanted[keyPath: member] }
        set { wanted[keyPath: member] = newValue }
    }

    public var signer: DIDKey { wanted.buyer }

    public var members: JSONObject {
        var members = wanted.members
        members["deliverWithin"] = JSONValue(deliverWithinSeconds)
        members["commitUntil"] = JSONValue(commitUntil)
        members["revealUntil"] = JSONValue(revealUntil)
        return members
    }
}

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
        "bidder", "call", "price", "deliverWithin", "mint", "escrow", "salt", "time",
    ]
    private static let label = Array("Mintmark_Bid_v1".utf8)

    public var bidder: DIDKey
    public var call: [UInt8]
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
        price: UInt64,
        deliverWithinSeconds: UInt64,
        mint: MintURL,
        mode: Listing.Escrow,
        salt: [UInt8],
        time: UInt64
    ) {
        self.bidder = bidder
        self.call = call
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
            "price": .string(String(price)), "deliverWithin": JSONValue(deliverWithinSeconds),
            "mint": .string(mint.string), "escrow": .string(mode.rawValue), "salt": .string(Hex.encode(salt)),
            "time": JSONValue(time),
        ]
    }

    /// SHA-256 of a label, the bid, its salt, the bidder and the call; each part of its own length, or after its length.
    public var commitment: [UInt8] {
        func number(_ value: UInt64) -> [UInt8] {
            stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> UInt64($0)) }
        }
        func text(_ value: String) -> [UInt8] { number(UInt64(value.utf8.count)) + Array(value.utf8) }
        let bid = number(price) + number(deliverWithinSeconds) + text(mint.string) + text(mode.rawValue)
        return Hashing.sha256(Self.label + bid + salt + text(bidder.string) + call)
    }
}
