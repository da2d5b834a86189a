public import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Market
internal import SignedDocuments
internal import Storage

/// What operators are shown of calls.
extension CallDesk {
    /// A call with its bids: `{"call", "state", …, "bids": [{"bidder", "price", …}]}`.
    /// - Throws: ``CallError`` `unknown-call`.
    public func shown(_ name: String) async throws -> JSONObject {
        let stored = try await named(name)
        let bids = try await database.read { try CallStore.bids(on: stored.call.digest, in: $0) }
        var json = Self.summary(stored)
        json["bids"] = .array(bids.map { .object(Self.json($0)) })
        return json
    }

    /// The latest, newest first.
    public func list(limit: Int) async throws -> [JSONObject] {
        try await database.read { try CallStore.recent(limit: min(max(1, limit), 1_000), in: $0) }.map(Self.summary)
    }

    private static func summary(_ stored: StoredCall) -> JSONObject {
        let call = stored.call.content
        var json: JSONObject = [
            "call": .string(stored.call.name), "state": .string(stored.state.rawValue),
            "words": .string(call.words.joined(separator: " ")), "budget": .string(String(call.maximumPrice)),
            "unit": .string(call.unit.name), "created": .string(stored.createdAt.rfc3339),
            "commitUntil": time(call.commitUntil), "revealUntil": time(call.revealUntil),
            "deliverWithin": JSONValue(call.deliverWithinSeconds),
        ]
        json["job"] = stored.job.map { .string($0) }
        json["note"] = stored.note.map { .string($0) }
        return json
    }

    private static func json(_ stored: StoredBid) -> JSONObject {
        var json: JSONObject = [
            "bidder": .string(stored.bidder.string),
            "state": .string(stored.isWithheld ? "withheld" : stored.bid == nil ? "committed" : "shown"),
        ]
        if let bid = stored.bid?.content {
            json["price"] = .string(String(bid.price))
            json["service"] = .string(bid.service)
            json["node"] = .string(bid.node.text)
            json["deliverWithin"] = JSONValue(bid.deliverWithinSeconds)
        }
        json["trust"] = stored.trustPPM.map { JSONValue($0) }
        json["job"] = stored.job.map { .string($0) }
        json["why"] = stored.why.map { .string($0) }
        return json
    }

    private static func time(_ seconds: UInt64) -> JSONValue {
        .string(Timestamp(secondsSince1970: Int64(clamping: seconds)).rfc3339)
    }
}
