public import Encodings
public import SignedDocuments
public import Storage
import Synchronization

/// A key that is revoked just now, or of which it is told just now that it was stolen.
public struct KeyRevocation: Hashable, Sendable {
    /// The key; nothing it signs counts any more.
    public var did: DIDKey
    /// The agent whose current key it is; nil where it has moved on before.
    public var agentID: String?
    public var reason: RevocationReason
    public var at: Timestamp
    /// When it was stolen at the earliest, as far as that was told.
    public var compromisedSince: Timestamp?

    public init(
        did: DIDKey,
        agentID: String?,
        reason: RevocationReason,
        at: Timestamp,
        compromisedSince: Timestamp? = nil
    ) {
        self.did = did
        self.agentID = agentID
        self.reason = reason
        self.at = at
        self.compromisedSince = compromisedSince
    }
}

/// What ends together with a key, besides its passports: other rooms hook on here, as delegations do ([PASS-15]).
///
/// A hook runs in the very transaction that revokes the key, once per revocation, and again where a revoked key is then told to
/// have been stolen: what it throws undoes the revocation, so it should throw for nothing but the store.
public final class KeyRevocationHooks: Sendable {
    public typealias Hook = @Sendable (KeyRevocation, Connection) throws -> Void

    private let hooks = Mutex<[Hook]>([])

    public init() {}

    /// Adds a hook, when the node is put together.
    public func add(_ hook: @escaping Hook) { hooks.withLock { $0.append(hook) } }

    func run(_ revocation: KeyRevocation, in connection: Connection) throws {
        for hook in hooks.withLock({ $0 }) { try hook(revocation, connection) }
    }
}
