internal import Cashu
import Cryptography

/// What keeps a proof from being spent by whoever holds it, as far as a seller must know.
public enum ProofLock: Sendable, Equatable {
    /// Nothing: whoever has it may spend it.
    case open
    /// A NUT-11 lock, well-formed.
    case p2pk(P2PKLock)
    /// A well-known secret of another kind.
    case foreign(kind: String)
    /// Looks like a lock and isn't one; nobody can spend it.
    case malformed(String)

    public init(secret: String) {
        switch SecretKind(of: secret) {
        case .plain:
            self = .open
        case .malformed(let reason):
            self = .malformed(reason)
        case .conditional(let secret) where secret.kind == SpendingSecret.p2pk:
            do {
                self = .p2pk(P2PKLock(try P2PKCondition(secret: secret), secret: secret))
            } catch {
                self = .malformed(error.message)
            }
        case .conditional(let secret):
            self = .foreign(kind: secret.kind)
        }
    }
}

/// The parts of a NUT-11 lock that decide who can spend it, and when.
public struct P2PKLock: Sendable, Equatable {
    /// The key in `data`, compressed.
    public var key: [UInt8]
    /// Whether there is a `pubkeys` tag, even an empty one.
    public var hasFurtherKeys: Bool
    /// `n_sigs`, 1 where absent.
    public var requiredSignatures: Int
    /// Whether `sigflag` is SIG_ALL.
    public var bindsOutputs: Bool
    /// Seconds since 1970; 0 where there is a `locktime` tag that mints could read differently.
    public var locktimeSeconds: UInt64?
    /// Whether there are tags that NUT-11 does not know, which another mint might give a meaning.
    public var hasUnknownTags: Bool

    public init(
        key: [UInt8],
        hasFurtherKeys: Bool = false,
        requiredSignatures: Int = 1,
        bindsOutputs: Bool = false,
        locktimeSeconds: UInt64? = nil,
        hasUnknownTags: Bool = false
    ) {
        self.key = key
        self.hasFurtherKeys = hasFurtherKeys
        self.requiredSignatures = requiredSignatures
        self.bindsOutputs = bindsOutputs
        self.locktimeSeconds = locktimeSeconds
        self.hasUnknownTags = hasUnknownTags
    }

    init(_ condition: P2PKCondition, secret: SpendingSecret) {
        key = condition.mainKey.compressed
        hasFurtherKeys = secret.tags.contains { $0.first == "pubkeys" }
        requiredSignatures = condition.requiredSignatures
        bindsOutputs = condition.flag == .all
        let hasLocktime = secret.tags.contains { $0.first == "locktime" }
        locktimeSeconds = hasLocktime ? condition.locktime ?? 0 : nil
        hasUnknownTags = !condition.otherTags.isEmpty
    }
}
