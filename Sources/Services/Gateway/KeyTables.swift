import Cryptography
import Synchronization

/// The multiples of the mint keys that most payments are checked with.
///
/// A key gets its table once it has been used often; a seller meets few keys, one for each amount that prices are made
/// of. Bounded: sixteen tables, about eight megabytes.
final class KeyTables: Sendable {
    static let maximumTables = 16
    /// A table pays for itself after some 500 checks.
    static let usesBeforeTable = 1000
    /// Keys whose uses are counted; past it the count begins anew, so that a mint of many keys can't fill the memory.
    static let maximumCounted = 1024

    private struct State {
        var uses: [Secp256k1.Point: Int] = [:]
        var tables: [Secp256k1.Point: Secp256k1.PointTable] = [:]
    }

    private let state = Mutex(State())

    /// Called where curve arithmetic runs: it may make the table, which takes some milliseconds.
    func table(_ key: Secp256k1.Point) -> Secp256k1.PointTable? {
        let known = state.withLock { $0.tables[key] }
        guard known == nil, isDue(key), let made = try? Secp256k1.PointTable(key) else { return known }
        state.withLock { state in
            state.uses[key] = nil
            if state.tables.count < Self.maximumTables { state.tables[key] = made }
        }
        return made
    }

    /// Counts a use; true once, when the key is to have its table.
    private func isDue(_ key: Secp256k1.Point) -> Bool {
        state.withLock { state in
            guard state.tables.count < Self.maximumTables else { return false }
            if state.uses.count >= Self.maximumCounted { state.uses = [:] }
            state.uses[key, default: 0] += 1
            return state.uses[key] == Self.usesBeforeTable
        }
    }
}
