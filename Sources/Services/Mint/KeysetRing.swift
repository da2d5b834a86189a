internal import CanonicalJSON
internal import Cashu

/// The mint's keysets at one moment, with their keys: a value that requests work on without a lock.
struct KeysetRing: Sendable {
    /// Oldest first.
    private(set) var all: [MintKeyset] = []
    private var byID: [KeysetID: MintKeyset] = [:]
    /// Answers that are the same for everyone, made once.
    private(set) var activeKeysBody: [UInt8] = []
    private(set) var listBody: [UInt8] = []
    private var keysBodies: [KeysetID: [UInt8]] = [:]

    init(_ keysets: [MintKeyset]) {
        all = keysets
        byID = Dictionary(keysets.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        activeKeysBody = KeysResponse(keysets: keysets.filter(\.info.isActive).map(\.keyset)).json.serialized()
        listBody = KeysetsResponse(keysets: keysets.map(\.info)).json.serialized()
        keysBodies = byID.mapValues { KeysResponse(keysets: [$0.keyset]).json.serialized() }
    }

    subscript(id: KeysetID) -> MintKeyset? { byID[id] }

    func active(_ unit: CurrencyUnit) -> MintKeyset? { all.last { $0.info.isActive && $0.unit == unit } }

    func keysBody(_ id: KeysetID) -> [UInt8]? { keysBodies[id] }
}
