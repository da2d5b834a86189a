public import CanonicalJSON
internal import Encodings
public import Records
internal import SignedDocuments

/// Calls and bids as they travel by gossip ([QUO-11]).
extension OpenCall {
    public static let maximumBodyBytes = 16 * 1_024
    /// The longest call and the time that its bids hold.
    public static let maximumLifetimeSeconds = Int64(maximumSeconds + holdSeconds)

    public static let kind = RecordKind(
        "call",
        maximumBodyBytes: maximumBodyBytes,
        maximumLifetimeSeconds: maximumLifetimeSeconds,
        recordsPerAuthor: 16,
        totalBytes: 16 * 1_024 * 1_024,
        checkBody: { (body, record) throws(RecordRefusal) in
            let call = try Signed<OpenCall>.shape(of: body)
            guard call.content.buyer == record.author, record.key.name == call.name else {
                throw RecordRefusal(.malformed, "a call is told by its buyer, under its digest")
            }
        }
    )
}

/// What a record of the kind `bid` tells.
public enum BidNews: Sendable {
    case commitment(Signed<BidCommitment>)
    case bid(Signed<Bid>)

    public static let maximumBodyBytes = 4 * 1_024

    public static let kind = RecordKind(
        "bid",
        maximumBodyBytes: maximumBodyBytes,
        maximumLifetimeSeconds: OpenCall.maximumLifetimeSeconds,
        recordsPerAuthor: 256,
        totalBytes: 32 * 1_024 * 1_024,
        checkBody: { (body, record) throws(RecordRefusal) in
            let isCommitment = body["type"]?.stringValue == BidCommitment.type
            let (bidder, call) =
                if isCommitment {
                    try Self.commitment(body)
                } else {
                    try Self.bid(body)
                }
            guard bidder == record.author, record.key.name == Self.name(isCommitment, of: call) else {
                throw RecordRefusal(.malformed, "a bid is told by its bidder, under the call's digest")
            }
        }
    )

    private static func commitment(_ body: JSONObject) throws(RecordRefusal) -> (DIDKey, [UInt8]) {
        let content = try Signed<BidCommitment>.shape(of: body).content
        return (content.bidder, content.call)
    }

    private static func bid(_ body: JSONObject) throws(RecordRefusal) -> (DIDKey, [UInt8]) {
        let content = try Signed<Bid>.shape(of: body).content
        return (content.bidder, content.call)
    }

    private static func name(_ isCommitment: Bool, of call: [UInt8]) -> String {
        Hex.encode(call) + (isCommitment ? ".commitment" : ".bid")
    }

    /// Of the call that it is for.
    public var call: [UInt8] {
        switch self {
        case .commitment(let said): said.content.call
        case .bid(let said): said.content.call
        }
    }

    /// The record's name.
    public var name: String {
        switch self {
        case .commitment(let said): Self.name(true, of: said.content.call)
        case .bid(let said): Self.name(false, of: said.content.call)
        }
    }

    public var body: JSONObject {
        switch self {
        case .commitment(let said): said.document
        case .bid(let said): said.document
        }
    }

    /// The digest of the call that a record of the kind is for, before anything of it is checked.
    public static func call(named name: String) -> [UInt8]? {
        let hex = name.prefix { $0 != "." }
        guard hex.utf8.count == 64 else { return nil }
        return try? Hex.decode(String(hex))
    }

    /// Reads a record and checks the signature in it.
    /// - Throws: `TradeRefusal`.
    public init(_ record: Record) throws(TradeRefusal) {
        guard record.key.kind == Self.kind.name, let body = record.body else {
            throw TradeRefusal(.malformed, "the record tells no bid")
        }
        self =
            if body["type"]?.stringValue == BidCommitment.type {
                .commitment(try Signed(document: body))
            } else {
                .bid(try Signed(document: body))
            }
    }
}

extension Signed<OpenCall> {
    /// The digest in small hex: how people and records name a call.
    public var name: String { Hex.encode(digest) }

    /// Reads a record of the kind `call` and checks the signature in it.
    /// - Throws: `TradeRefusal`.
    public init(_ record: Record) throws(TradeRefusal) {
        guard record.key.kind == OpenCall.kind.name, let body = record.body else {
            throw TradeRefusal(.malformed, "the record tells no call")
        }
        try self.init(document: body)
    }
}

extension Signed {
    /// The content of a body, its signature unchecked: what all see alike of a record.
    fileprivate static func shape(of body: JSONObject) throws(RecordRefusal) -> Signed {
        do {
            return try Signed(unchecked: body)
        } catch {
            throw RecordRefusal(.malformed, error.message)
        }
    }
}
