internal import Encodings

/// What a macaroon's identifier says in L402: which payment it is for, and which macaroon it is ([LSAT-2]).
///
/// 66 bytes, big-endian: version 0 (2 bytes), payment hash (32), token id (32). In a token id of ours the first 8 bytes name
/// the root key, so that keys are rotated and revoked one by one; to clients all 32 are opaque.
public struct L402Identifier: Sendable, Hashable {
    public static let byteCount = 66
    /// The length of the random part of a token id, in bytes.
    public static let nonceBytes = 24

    /// SHA-256 of the preimage that paying reveals, 32 bytes.
    public let paymentHash: [UInt8]
    /// 32 bytes.
    public let tokenID: [UInt8]

    /// - Returns: nil where a part has not 32 bytes.
    public init?(paymentHash: [UInt8], tokenID: [UInt8]) {
        guard paymentHash.count == 32, tokenID.count == 32 else { return nil }
        self.paymentHash = paymentHash
        self.tokenID = tokenID
    }

    /// A new one of ours.
    /// - Parameter nonce: 24 random bytes.
    /// - Returns: nil where a part has another length.
    public init?(paymentHash: [UInt8], key: L402KeyID, nonce: [UInt8]) {
        guard nonce.count == Self.nonceBytes else { return nil }
        self.init(paymentHash: paymentHash, tokenID: key.bytes + nonce)
    }

    /// - Returns: nil where it isn't 66 bytes of version 0.
    public init?(bytes: [UInt8]) {
        guard bytes.count == Self.byteCount, bytes[0] == 0, bytes[1] == 0 else { return nil }
        self.init(paymentHash: Array(bytes[2..<34]), tokenID: Array(bytes[34..<66]))
    }

    public var bytes: [UInt8] { [0, 0] + paymentHash + tokenID }

    /// The root key that a token id of ours names; of another's, whatever its bytes say.
    public var keyID: L402KeyID { L402KeyID(prefixOf: tokenID) }
}

/// The name of a root key: 8 bytes that stand in every token id made with it.
public struct L402KeyID: Sendable, Hashable, CustomStringConvertible {
    public static let byteCount = 8
    public let bytes: [UInt8]

    /// - Returns: nil where it isn't 8 bytes.
    public init?(bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        self.bytes = bytes
    }

    init(prefixOf tokenID: [UInt8]) { bytes = Array(tokenID.prefix(Self.byteCount)) }

    /// Lower-case hex.
    public var description: String { Hex.encode(bytes) }
}
