// Who may use a mint: clear tokens of an OpenID Connect issuer (NUT-21) and blind ones of the mint's own (NUT-22).
public import CanonicalJSON
public import Cryptography
import Encodings

/// An endpoint that asks for a token (NUT-21 "Signalling protected endpoints").
public struct ProtectedEndpoint: Hashable, Sendable, CustomStringConvertible {
    /// In capitals, such as `POST`.
    public let method: String
    /// As on the wire: exact, or with one `*` at its end.
    public let path: String

    /// - Throws: `CashuError` for a method that is no word, or a path that does not begin with `/v1/` or has a `*`
    ///   elsewhere than at its end. It is never read as a regular expression.
    public init(method: String, path: String) throws(CashuError) {
        guard !method.isEmpty, method.utf8.count <= 16, method.utf8.allSatisfy({ (0x41...0x5A).contains($0) }) else {
            throw CashuError(.malformed, "an HTTP method is written in capitals, not \"\(method.prefix(20))\"")
        }
        let stem = path.hasSuffix("*") ? path.dropLast() : path[...]
        let isPlain = stem.utf8.allSatisfy { byte in
            (0x61...0x7A).contains(byte) || (0x41...0x5A).contains(byte) || (0x2D...0x39).contains(byte) || byte == 0x5F
        }
        guard path.hasPrefix("/v1/"), path.utf8.count <= 256, isPlain else {
            throw CashuError(
                .malformed,
                "a protected path begins with /v1/ and may end with one *, not \"\(path.prefix(80))\""
            )
        }
        self.method = method
        self.path = path
    }

    /// Reads `POST /v1/swap`.
    public init(_ text: String) throws(CashuError) {
        let parts = text.split(separator: " ", omittingEmptySubsequences: true)
        guard parts.count == 2 else {
            throw CashuError(.malformed, "a protected endpoint is a method and a path, such as POST /v1/swap")
        }
        try self.init(method: String(parts[0]), path: String(parts[1]))
    }

    public init(json: JSONValue) throws {
        try self.init(method: json.string("method"), path: json.string("path"))
    }

    public var json: JSONValue { ["method": .string(method), "path": .string(path)] }
    public var description: String { "\(method) \(path)" }

    /// Whether a request is for this endpoint: the same path, or one that begins with what stands before the `*`.
    public func matches(method: String, path: String) -> Bool {
        guard method == self.method else { return false }
        return self.path.hasSuffix("*") ? path.hasPrefix(self.path.dropLast()) : path == self.path
    }
}

extension MintInfo {
    /// Says which endpoints ask for a clear token, and where one is had (NUT-21).
    public mutating func setClearAuth(discoveryURL: String, clientID: String, endpoints: [ProtectedEndpoint]) {
        nuts["21"] = [
            "openid_discovery": .string(discoveryURL), "client_id": .string(clientID),
            "protected_endpoints": .array(endpoints.map(\.json)),
        ]
    }

    /// Says which endpoints ask for a blind token, and how many are had at once (NUT-22).
    public mutating func setBlindAuth(maximumTokens: Int, endpoints: [ProtectedEndpoint]) {
        nuts["22"] = [
            "bat_max_mint": .integer(Int64(maximumTokens)), "protected_endpoints": .array(endpoints.map(\.json)),
        ]
    }
}

/// A blind authentication token: a coin of the unit `auth`, worth one request (NUT-22).
public struct BlindAuthToken: Hashable, Sendable {
    /// UTF-8 bytes of the header's text.
    public static let maximumBytes = 4096

    public let keysetID: KeysetID
    public let secret: String
    public let signature: Secp256k1.Point

    public init(keysetID: KeysetID, secret: String, signature: Secp256k1.Point) {
        self.keysetID = keysetID
        self.secret = secret
        self.signature = signature
    }

    /// Reads `authA` and base64url of JSON, padded or not.
    public init(_ text: String) throws {
        guard text.hasPrefix("authA"), text.utf8.count <= Self.maximumBytes else {
            throw CashuError(.malformed, "a blind auth token begins with authA")
        }
        let json = try JSONValue.parse(Base64URL.decode(String(text.dropFirst(5))))
        keysetID = try KeysetID(hex: json.string("id"))
        secret = try json.boundedString("secret", maximumBytes: CashuLimits.secretBytes)
        signature = try Points.parse(hex: json.string("C"), as: "`C`")
    }

    /// The token as the coin that it is: amount 1.
    public var proof: Proof {
        Proof(amount: 1, keysetID: keysetID, secret: secret, signature: signature)
    }

    /// As it goes into the header: without the DLEQ proof, which would tell the mint who it is.
    public var serialized: String {
        let json: JSONValue = [
            "id": .string(keysetID.hex), "secret": .string(secret), "C": .string(Hex.encode(signature.compressed)),
        ]
        return "authA" + Base64URL.encode(json.serialized())
    }
}

/// `POST /v1/auth/blind/mint`.
public struct BlindAuthMintRequest: Hashable, Sendable {
    public var outputs: [BlindedMessage]

    public init(outputs: [BlindedMessage]) {
        self.outputs = outputs
    }

    public init(json: JSONValue) throws {
        outputs = try json.outputs()
    }

    public var json: JSONValue { ["outputs": .array(outputs.map(\.json))] }
}
