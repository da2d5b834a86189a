// What a mint says over the WebSocket (NUT-17), as a wallet reads it.
public import CanonicalJSON
import Encodings

/// One message of the mint.
public enum SubscriptionNews: Equatable, Sendable {
    /// The request with this id was taken.
    case accepted(RequestID)
    /// The request with this id was not; nil where the mint could not read it.
    case refused(RequestID?, SubscriptionError)
    /// News of a subscription: a quote or a proof's state, as far as the mint's word goes.
    case notification(subscription: String, payload: JSONValue)

    /// Reads one message of JSON-RPC 2.0.
    /// - Parameter message: UTF-8; the caller bounds it.
    /// - Throws: ``CashuError/Code/malformed`` for what is none of the three.
    public init(message: [UInt8]) throws(CashuError) {
        let json: JSONValue
        do {
            json = try JSONValue.parse(
                message,
                limits: JSONLimits(maximumBytes: message.count, maximumDepth: 16, acceptsUInt64: true)
            )
        } catch {
            throw CashuError(.malformed, "the message is not JSON: \(error.message)")
        }
        if json["method"]?.stringValue == "subscribe" {
            guard let name = json["params"]?["subId"]?.stringValue, let payload = json["params"]?["payload"] else {
                throw CashuError(.malformed, "a notification needs `subId` and `payload`")
            }
            self = .notification(subscription: name, payload: payload)
            return
        }
        let id: RequestID? =
            json["id"]?.int64Value.map { .number($0) } ?? json["id"]?.stringValue.map { .text($0) }
        if let error = json["error"], error != .null {
            let code = error["code"]?.int64Value.flatMap { Int(exactly: $0) } ?? 0
            let text = String((error["message"]?.stringValue ?? "").prefix(200))
            self = .refused(id, SubscriptionError(code, text))
            return
        }
        guard let id, json["result"] != nil else {
            throw CashuError(.malformed, "the message is neither an answer nor a notification")
        }
        self = .accepted(id)
    }
}

extension SubscriptionKind {
    /// What a notification is about: the quote's id, or the point in hex; nil where it does not say.
    public func subject(of payload: JSONValue) -> String? {
        switch self {
        case .mintQuote, .meltQuote: payload["quote"]?.stringValue
        case .proofState: payload["Y"]?.stringValue?.lowercased()
        }
    }

    /// Whether a notification says that what was waited for has come: a payment, the end of one, a spent coin. It is a
    /// hint: what counts is the mint's answer to the ordinary question.
    public func isOver(_ payload: JSONValue) -> Bool {
        let state = payload["state"]?.stringValue?.uppercased()
        switch self {
        case .mintQuote:
            if let paid = payload["amount_paid"]?.uint64Value { return paid > 0 }
            return state == "PAID" || state == "ISSUED"
        case .meltQuote: return state == "PAID" || state == "UNPAID" || state == "FAILED"
        case .proofState: return state == "SPENT"
        }
    }
}
