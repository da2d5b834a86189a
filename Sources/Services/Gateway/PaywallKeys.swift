internal import Cryptography
public import Encodings
public import Paywall
internal import Storage
internal import Synchronization

/// The secrets that credentials are made with: for each a root key of L402 and a secret of `Payment`, both derived from 32
/// random bytes that lie sealed in the database. The newest makes credentials; older ones accept until they are revoked.
public final class PaywallKeys: Sendable {
    /// A key as its operator sees it.
    public struct Entry: Sendable, Equatable {
        /// 16 hexadecimal digits; they stand in every L402 credential made with the key.
        public var id: String
        public var state: L402RootKey.State
        public var madeAt: Timestamp
        public var changedAt: Timestamp
    }

    /// The most keys kept, of any state: credentials of forgotten ones would be refused.
    public static let maximumKeys = 256

    private struct Key: Sendable {
        var entry: Entry
        var root: L402RootKey
        var paymentSecret: [UInt8]
    }

    private let database: Database
    private let sealingKey: [UInt8]
    private let clock: WallClock
    private let keys = Mutex<[Key]>([])

    /// - Parameter sealingKey: 32 bytes, from the node's vault.
    init(database: Database, sealingKey: [UInt8], clock: WallClock) {
        self.database = database
        self.sealingKey = sealingKey
        self.clock = clock
    }

    /// Reads the keys, and makes the first where there is none. Call it before the first request.
    /// - Throws: ``GatewayError`` `corrupt` where a key does not open: the database belongs to another vault.
    func load() async throws {
        let found = try await database.read { connection in
            try connection.rows("SELECT id, sealed, state, made_at, changed_at FROM gateway_keys ORDER BY sequence")
                .map(self.key)
        }
        keys.withLock { $0 = found }
        if !found.contains(where: { $0.root.state == .active }) { _ = try await rotate() }
    }

    // MARK: What calls need

    /// The key that makes credentials; nil before the keys are loaded.
    var current: L402RootKey? { keys.withLock { $0.last { $0.root.state == .active }?.root } }

    var ring: L402KeyRing { keys.withLock { L402KeyRing($0.map(\.root)) } }

    /// nil before the keys are loaded.
    var paymentSecrets: PaymentSecrets? {
        keys.withLock { keys in
            guard let current = keys.last(where: { $0.root.state == .active }) else { return nil }
            let previous = keys.filter { $0.root.state != .revoked && $0.entry.id != current.entry.id }
            return PaymentSecrets(current: current.paymentSecret, previous: previous.map(\.paymentSecret))
        }
    }

    // MARK: The operator's

    /// Every key, the oldest first.
    public var entries: [Entry] { keys.withLock { $0.map(\.entry) } }

    /// Makes a new key and retires the one before: credentials made with that stay good.
    /// - Throws: ``GatewayError`` `invalid-key` where there are ``maximumKeys``.
    public func rotate() async throws -> Entry {
        let now = clock.now()
        let id = SecureRandom.bytes(L402KeyID.byteCount)
        let secret = SecureRandom.bytes(L402RootKey.secretBytes)
        let sealed = try Sealing.seal(secret, key: sealingKey, context: Self.context(id))
        let key = try Self.key(id: id, secret: secret, state: .active, madeAt: now, changedAt: now)
        try await change { connection in
            let count = try connection.first("SELECT count(*) FROM gateway_keys")?.int(0) ?? 0
            guard count < Self.maximumKeys else {
                throw GatewayError(.invalidKey, "There are \(Self.maximumKeys) keys, which is the most.")
            }
            try connection.execute(
                "UPDATE gateway_keys SET state = 'retired', changed_at = ? WHERE state = 'active'",
                .integer(now.millisecondsSince1970)
            )
            try connection.execute(
                "INSERT INTO gateway_keys (id, sealed, state, made_at, changed_at) VALUES (?, ?, 'active', ?, ?)",
                .blob(id),
                .blob(sealed),
                .integer(now.millisecondsSince1970),
                .integer(now.millisecondsSince1970)
            )
        }
        return key.entry
    }

    /// Refuses every credential made with a key from now on, for good. Where it is the one in use, a new one is made first.
    /// - Throws: ``GatewayError`` `key-unknown`.
    public func revoke(_ id: String) async throws -> Entry {
        guard let found = keys.withLock({ $0.first { $0.entry.id == id.lowercased() } }) else {
            throw GatewayError(.keyUnknown, "There is no key \(id.prefix(64)). See: mintmark paywall keys")
        }
        if found.root.state == .active { _ = try await rotate() }
        let now = clock.now()
        try await change { connection in
            try connection.execute(
                "UPDATE gateway_keys SET state = 'revoked', changed_at = ? WHERE id = ? AND state <> 'revoked'",
                .integer(now.millisecondsSince1970),
                .blob(found.root.id.bytes)
            )
        }
        return entries.first { $0.id == found.entry.id } ?? found.entry
    }

    /// Changes what is on disk, then what calls see.
    private func change(_ body: @escaping @Sendable (Connection) throws -> Void) async throws {
        let found = try await database.write { connection in
            try body(connection)
            return try connection.rows(
                "SELECT id, sealed, state, made_at, changed_at FROM gateway_keys ORDER BY sequence"
            ).map(self.key)
        }
        keys.withLock { $0 = found }
    }

    // MARK: Rows

    private func key(_ row: Row) throws -> Key {
        let id = try row.blob(0)
        let secret: [UInt8]
        do {
            secret = try Sealing.open(row.blob(1), key: sealingKey, context: Self.context(id))
        } catch {
            throw GatewayError(
                .corrupt,
                "the paywall key \(Hex.encode(id)) does not open: the database belongs to another node's vault",
                cause: error
            )
        }
        guard let state = L402RootKey.State(rawValue: try row.text(2)) else {
            throw GatewayError(.corrupt, "the paywall key \(Hex.encode(id)) has an unknown state")
        }
        return try Self.key(
            id: id,
            secret: secret,
            state: state,
            madeAt: Timestamp(millisecondsSince1970: row.int64(3)),
            changedAt: Timestamp(millisecondsSince1970: row.int64(4))
        )
    }

    private static func key(
        id: [UInt8],
        secret: [UInt8],
        state: L402RootKey.State,
        madeAt: Timestamp,
        changedAt: Timestamp
    ) throws -> Key {
        let root = Sealing.deriveKey(from: secret, label: "mintmark v1 l402 root key")
        guard let name = L402KeyID(bytes: id), let root = L402RootKey(id: name, secret: root, state: state) else {
            throw GatewayError(.corrupt, "a paywall key has a wrong length")
        }
        return Key(
            entry: Entry(id: name.description, state: state, madeAt: madeAt, changedAt: changedAt),
            root: root,
            paymentSecret: Sealing.deriveKey(from: secret, label: "mintmark v1 payment scheme secret")
        )
    }

    private static func context(_ id: [UInt8]) -> [UInt8] { Array("mintmark paywall key v1\n\(Hex.encode(id))".utf8) }
}
