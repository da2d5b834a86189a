public import CanonicalJSON

/// What a node tells of itself when it is ready, at `/api/node` and in `mintmark status`.
public struct NodeFacts: Sendable {
    public static let version = "0.1.0"

    public var version: String { Self.version }
    public var did: String
    public var publicURL: String
    public var dataDirectory: String
    /// The node's own mint, where it runs one.
    public var mintURL: String?
    /// Such as `simulated (TEST MONEY)`.
    public var lightning: String
    /// The account that pays the gas of x402 settlements and anchors, where the node makes any.
    public var settlementAccount: String?
    public var isTestMoney: Bool
    /// The key that buyers lock ecash to, 66 hex digits.
    public var sellerKey: String
    /// The node's id, addresses and connections on the gossip network, where it is there.
    public var gossip: JSONObject?

    public var json: JSONValue {
        var object: JSONObject = [
            "ready": true, "version": .string(version), "did": .string(did), "publicURL": .string(publicURL),
            "dataDirectory": .string(dataDirectory), "lightning": .string(lightning), "testMoney": .bool(isTestMoney),
            "sellerKey": .string(sellerKey),
        ]
        object["mint"] = mintURL.map { .string($0) }
        object["settlementAccount"] = settlementAccount.map { .string($0) }
        object["gossip"] = gossip.map { .object($0) }
        return .object(object)
    }
}
