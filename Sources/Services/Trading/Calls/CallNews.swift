public import CanonicalJSON
internal import Encodings
internal import Market
public import Records

/// What a desk has told by gossip: a record of its node's own.
public struct CallNews: Sendable {
    public var kind: RecordKind
    public var name: String
    /// nil: what stands there is taken back.
    public var body: JSONObject?
    public var lifetimeSeconds: Int64

    /// How a desk has it told.
    public typealias Tell = @Sendable (CallNews) async throws -> Void

    /// A call, for as long as its bids hold.
    static func of(_ call: Signed<OpenCall>, now: UInt64) -> CallNews {
        CallNews(
            kind: OpenCall.kind,
            name: call.name,
            body: call.document,
            lifetimeSeconds: lifetime(call.content, now)
        )
    }

    static func over(_ call: Signed<OpenCall>) -> CallNews {
        CallNews(kind: OpenCall.kind, name: call.name, body: nil, lifetimeSeconds: OpenCall.kind.tombstoneSeconds)
    }

    static func of(_ news: BidNews, for call: OpenCall, now: UInt64) -> CallNews {
        CallNews(kind: BidNews.kind, name: news.name, body: news.body, lifetimeSeconds: lifetime(call, now))
    }

    private static func lifetime(_ call: OpenCall, _ now: UInt64) -> Int64 {
        let left = call.holdsUntil > now ? call.holdsUntil - now : 1
        return min(Int64(left), OpenCall.maximumLifetimeSeconds)
    }
}
