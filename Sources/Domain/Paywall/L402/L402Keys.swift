internal import Cryptography

/// A root key of a seller's macaroons ([LSAT-3]).
public struct L402RootKey: Sendable, Equatable {
    /// What may still be done with a key.
    public enum State: String, Sendable, CaseIterable {
        /// Makes macaroons and accepts them.
        case active
        /// Makes none any more; those made with it stay good.
        case retired
        /// Every macaroon made with it is refused.
        case revoked
    }

    public static let secretBytes = 32

    public let id: L402KeyID
    public var state: State
    private let secret: [UInt8]

    /// - Parameter secret: 32 random bytes.
    /// - Returns: nil where the secret has another length.
    public init?(id: L402KeyID, secret: [UInt8], state: State = .active) {
        guard secret.count == Self.secretBytes else { return nil }
        self.id = id
        self.secret = secret
        self.state = state
    }

    /// The root key of one macaroon: each has its own, as the L402 specification asks, and none has to be stored.
    func macaroonKey(_ identifier: L402Identifier) -> [UInt8] {
        Hashing.hmacSHA256(key: secret, Array("mintmark-l402-macaroon-1".utf8) + [0] + identifier.bytes)
    }
}

extension L402RootKey: CustomStringConvertible, CustomReflectable {
    public var description: String { "L402RootKey(\(id), \(state.rawValue), redacted)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// A seller's root keys by their ids.
public struct L402KeyRing: Sendable {
    private var keys: [L402KeyID: L402RootKey]

    public init(_ keys: [L402RootKey] = []) {
        self.keys = Dictionary(keys.map { ($0.id, $0) }, uniquingKeysWith: { _, last in last })
    }

    public subscript(id: L402KeyID) -> L402RootKey? {
        get { keys[id] }
        set { keys[id] = newValue }
    }
}
