internal import CanonicalJSON
internal import Cashu

/// The mint's keysets at one moment, public keys only: a value that requests work on without a lock.
struct KeysetRing: Sendable {
    /// Oldest first. One whose final expiry has come is not active here, whatever the store says.
    private(set) var all: [Keyset] = []
    /// Seconds since 1970 from which on another ring must be made, as an active keyset expires then.
    private(set) var validBefore: UInt64 = .max
    private var byID: [KeysetID: Keyset] = [:]
    /// Answers that are the same for everyone, made once.
    private(set) var activeKeysBody: [UInt8] = []
    private(set) var listBody: [UInt8] = []
    private var keysBodies: [KeysetID: [UInt8]] = [:]

    /// - Parameter now: seconds since 1970.
    /// - Throws: `CashuError` for a keyset whose id is not that of its keys.
    init(_ keysets: [Keyset], now: UInt64) throws {
        all = try keysets.map { keyset in
            guard keyset.info.isActive, keyset.info.hasExpired(now: now) else { return keyset }
            var info = keyset.info
            info.isActive = false
            return try Keyset(info: info, keys: keyset.keys)
        }
        byID = Dictionary(all.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        validBefore = all.filter(\.info.isActive).compactMap(\.info.finalExpiry).min() ?? .max
        activeKeysBody = KeysResponse(keysets: all.filter(\.info.isActive)).json.serialized()
        listBody = KeysetsResponse(keysets: all.map(\.info)).json.serialized()
        keysBodies = byID.mapValues { KeysResponse(keysets: [$0]).json.serialized() }
    }

    subscript(id: KeysetID) -> Keyset? { byID[id] }

    func active(_ unit: CurrencyUnit) -> Keyset? { all.last { $0.info.isActive && $0.unit == unit } }

    func keysBody(_ id: KeysetID) -> [UInt8]? { keysBodies[id] }
}
