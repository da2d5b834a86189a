public import CanonicalJSON
public import SignedDocuments

/// A buyer asks what one call of a service costs ([QUO-2]).
@dynamicMemberLookup
public struct QuoteRequest: TradeContent {
    public static let type = "MintmarkQuoteRequest"
    public static let known = Wanted.known.union(["deadline"])

    public var wanted: Wanted
    /// By when it must be delivered, seconds since 1970.
    public var deadline: UInt64

    public init(_ wanted: Wanted, deadline: UInt64) {
        self.wanted = wanted
        self.deadline = deadline
    }

    public init(_ fields: TradeFields) throws(TradeRefusal) {
        wanted = try Wanted(fields)
        deadline = try fields.time("deadline")
        guard deadline > wanted.time else { throw TradeFields.refuse("deadline", "is after `time`") }
    }

    public subscript<Value>(dynamicMember member: WritableKeyPath<Wanted, Value>) -> Value {
        get { wanted[keyPath: member] }
        set { wanted[keyPath: member] = newValue }
    }

    public var signer: DIDKey { wanted.buyer }

    public var members: JSONObject {
        var members = wanted.members
        members["deadline"] = JSONValue(deadline)
        return members
    }

    /// Whether a provider may answer now: dated within 30 seconds, its deadline ahead.
    public func check(now: UInt64) throws(TradeRefusal) {
        try TradeTime.check(wanted.time, now: now)
        guard deadline > now else { throw TradeRefusal(.expired, "the deadline of the request is over") }
    }
}

public enum TradeTime {
    /// A document that is acted on now is dated within 30 seconds of the clock.
    public static func check(_ time: UInt64, now: UInt64) throws(TradeRefusal) {
        guard time <= now + TradeBounds.skewSeconds else {
            throw TradeRefusal(.fromFuture, "the document is dated more than 30 seconds ahead")
        }
        guard now <= time + TradeBounds.skewSeconds else {
            throw TradeRefusal(.expired, "the document is more than 30 seconds old")
        }
    }
}
