// Subscriptions over a WebSocket at /v1/ws (NUT-17), in JSON-RPC 2.0.
public import CanonicalJSON
import Encodings

/// What a subscription is about (NUT-17). The bolt12 kinds are not spoken here.
public enum SubscriptionKind: String, Hashable, Sendable, CaseIterable {
    /// Filters are ids of mint quotes.
    case mintQuote = "bolt11_mint_quote"
    /// Filters are ids of melt quotes.
    case meltQuote = "bolt11_melt_quote"
    /// Filters are points Y, 66 hex digits.
    case proofState = "proof_state"
}

/// Why a request over the WebSocket was refused: the `error` member of JSON-RPC 2.0.
public struct SubscriptionError: Error, Hashable, Sendable, CustomStringConvertible {
    public var code: Int
    /// A sentence for the user.
    public var message: String

    public init(_ code: Int, _ message: String) {
        self.code = code
        self.message = message
    }

    /// Not JSON.
    public static let parseError = -32700
    /// JSON, but no request of JSON-RPC 2.0.
    public static let invalidRequest = -32600
    public static let methodNotFound = -32601
    public static let invalidParameters = -32602
    /// The mint failed; the request may work later.
    public static let internalError = -32603
    /// More subscriptions or filters than the mint keeps for one connection, or for all (server error).
    public static let limitReached = -32000

    public var description: String { "\(message) (code \(code))" }
}

/// The `id` of a request, given back in its answer as it came.
public enum RequestID: Hashable, Sendable {
    case number(Int64)
    /// At most ``SubscriptionRequest/identifierBytes`` bytes.
    case text(String)

    var json: JSONValue {
        switch self {
        case .number(let number): .integer(number)
        case .text(let text): .string(text)
        }
    }
}

/// A wallet's request: `subscribe` or `unsubscribe`.
public struct SubscriptionRequest: Hashable, Sendable {
    public enum Command: Hashable, Sendable {
        case subscribe(SubscriptionKind, filters: [String])
        case unsubscribe
    }

    /// UTF-8 bytes of a subscription's id, and of a request's where it is text. A UUID has 36.
    public static let identifierBytes = 128

    public var id: RequestID
    public var subscription: String
    public var command: Command

    public init(id: RequestID, subscription: String, command: Command) {
        self.id = id
        self.subscription = subscription
        self.command = command
    }

    /// A request that could not be read, and the id to refuse it by where that much could be read.
    public struct Refusal: Error, Sendable {
        public var id: RequestID?
        public var error: SubscriptionError
    }

    /// Reads one message.
    ///
    /// Filters are checked for form, and each counts once: ids of quotes as ``QuoteID``, points as compressed hex, in
    /// lower case afterwards.
    /// - Parameter filterLimit: the most filters of one subscription.
    public init(message: [UInt8], filterLimit: Int) throws(Refusal) {
        let json: JSONValue
        do {
            var limits = JSONLimits()
            limits.maximumBytes = message.count
            limits.maximumDepth = 8
            limits.maximumValues = filterLimit + 64
            json = try JSONValue.parse(message, limits: limits)
        } catch {
            let isLarge = error.code == .size
            throw Refusal(
                id: nil,
                error: isLarge
                    ? SubscriptionError(
                        SubscriptionError.limitReached,
                        "at most \(filterLimit) filters are taken at once"
                    )
                    : SubscriptionError(SubscriptionError.parseError, "the message is not JSON: \(error.message)")
            )
        }
        let id = Self.identifier(json["id"])
        do throws(SubscriptionError) {
            guard let id else {
                throw SubscriptionError(
                    SubscriptionError.invalidRequest,
                    "`id` must be an integer, or a text of at most \(Self.identifierBytes) bytes"
                )
            }
            try self.init(json: json, id: id, filterLimit: filterLimit)
        } catch {
            throw Refusal(id: id, error: error)
        }
    }

    private init(json: JSONValue, id: RequestID, filterLimit: Int) throws(SubscriptionError) {
        guard json["jsonrpc"]?.stringValue == "2.0", let method = json["method"]?.stringValue else {
            throw SubscriptionError(SubscriptionError.invalidRequest, "the message is no request of JSON-RPC 2.0")
        }
        let isSubscription: Bool
        switch method {
        case "subscribe": isSubscription = true
        case "unsubscribe": isSubscription = false
        default:
            throw SubscriptionError(
                SubscriptionError.methodNotFound,
                "there is no method \"\(method.prefix(40))\": subscribe and unsubscribe are"
            )
        }
        guard let subscription = json["params"]?["subId"]?.stringValue,
            (1...Self.identifierBytes).contains(subscription.utf8.count)
        else {
            throw SubscriptionError(
                SubscriptionError.invalidParameters,
                "`params.subId` must be a text of 1 to \(Self.identifierBytes) bytes"
            )
        }
        self.id = id
        self.subscription = subscription
        guard isSubscription else {
            command = .unsubscribe
            return
        }
        let name = json["params"]?["kind"]?.stringValue ?? ""
        guard let kind = SubscriptionKind(rawValue: name) else {
            let known = SubscriptionKind.allCases.map(\.rawValue).joined(separator: ", ")
            throw SubscriptionError(SubscriptionError.invalidParameters, "`params.kind` must be one of \(known)")
        }
        command = .subscribe(kind, filters: try Self.filters(json["params"]?["filters"], kind, limit: filterLimit))
    }

    private static func identifier(_ json: JSONValue?) -> RequestID? {
        if let number = json?.int64Value { return .number(number) }
        guard let text = json?.stringValue, text.utf8.count <= identifierBytes else { return nil }
        return .text(text)
    }

    private static func filters(
        _ json: JSONValue?,
        _ kind: SubscriptionKind,
        limit: Int
    ) throws(SubscriptionError) -> [String] {
        guard let values = json?.arrayValue, !values.isEmpty else {
            throw SubscriptionError(SubscriptionError.invalidParameters, "`params.filters` must list at least one text")
        }
        guard values.count <= limit else {
            throw SubscriptionError(SubscriptionError.limitReached, "at most \(limit) filters are taken at once")
        }
        var filters: [String] = []
        var seen: Set<String> = []
        for value in values {
            guard let filter = filter(value.stringValue ?? "", kind) else {
                throw SubscriptionError(
                    SubscriptionError.invalidParameters,
                    kind == .proofState
                        ? "a filter of proof_state must be a compressed point: 66 hex digits"
                        : "a filter of \(kind.rawValue) must be the id of a quote"
                )
            }
            if seen.insert(filter).inserted { filters.append(filter) }
        }
        return filters
    }

    private static func filter(_ text: String, _ kind: SubscriptionKind) -> String? {
        switch kind {
        case .mintQuote, .meltQuote: try? QuoteID(text).string
        case .proofState: (try? ProofState.point(text)).map { Hex.encode($0) }
        }
    }

    public var json: JSONValue {
        var parameters: JSONObject = ["subId": .string(subscription)]
        var method = "unsubscribe"
        if case .subscribe(let kind, let filters) = command {
            method = "subscribe"
            parameters["kind"] = .string(kind.rawValue)
            parameters["filters"] = .array(filters.map(JSONValue.string))
        }
        return ["jsonrpc": "2.0", "id": id.json, "method": .string(method), "params": .object(parameters)]
    }
}

/// What a mint says over the WebSocket, as bytes.
public enum SubscriptionMessage {
    /// The answer to a request that was taken.
    public static func accepted(_ id: RequestID, subscription: String) -> [UInt8] {
        let result: JSONValue = ["status": "OK", "subId": .string(subscription)]
        let answer: JSONValue = ["jsonrpc": "2.0", "result": result, "id": id.json]
        return answer.serialized()
    }

    /// The answer to a request that was refused; `id` is null where none could be read (JSON-RPC 2.0, 5).
    public static func refused(_ id: RequestID?, _ error: SubscriptionError) -> [UInt8] {
        let member: JSONValue = ["code": .integer(Int64(error.code)), "message": .string(error.message)]
        let answer: JSONValue = ["jsonrpc": "2.0", "error": member, "id": id?.json ?? .null]
        return answer.serialized()
    }

    /// News of a subscription.
    /// - Parameter payload: a quote or a proof's state, as JSON text.
    public static func notification(_ subscription: String, payload: [UInt8]) -> [UInt8] {
        let name = JSONValue.string(subscription).serialized()
        return Array("{\"jsonrpc\":\"2.0\",\"method\":\"subscribe\",\"params\":{\"subId\":".utf8) + name
            + Array(",\"payload\":".utf8) + payload + Array("}}".utf8)
    }
}

extension MintInfo {
    /// Says what can be subscribed to (NUT-17), for each unit.
    public mutating func setSubscriptions(_ kinds: [SubscriptionKind], units: [CurrencyUnit]) {
        let commands = JSONValue.array(kinds.map { .string($0.rawValue) })
        nuts["17"] = [
            "supported": .array(
                units.map {
                    ["method": .string(PaymentMethod.bolt11.name), "unit": .string($0.name), "commands": commands]
                }
            )
        ]
    }

    /// Whether the mint says that a kind of subscription is on for a unit (NUT-17).
    public func supportsSubscription(_ kind: SubscriptionKind, unit: CurrencyUnit) -> Bool {
        (nuts["17"]?["supported"]?.arrayValue ?? []).prefix(100).contains { entry in
            entry["method"]?.stringValue == PaymentMethod.bolt11.name && entry["unit"]?.stringValue == unit.name
                && (entry["commands"]?.arrayValue ?? []).contains { $0.stringValue == kind.rawValue }
        }
    }
}
