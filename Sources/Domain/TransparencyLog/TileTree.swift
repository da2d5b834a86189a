internal import Synchronization

/// A tile with all the whole subtrees over its hashes: at most 16 KiB.
struct TileTree: Sendable {
    /// The tile's hashes, then level by level those of each two.
    private let levels: [[UInt8]]

    /// How many hashes the tile had.
    var width: Int { levels[0].count / MerkleTree.hashLength }

    /// - Parameter hashes: one after the other.
    init(_ hashes: [UInt8]) {
        var levels = [hashes]
        while let last = levels.last, last.count >= 2 * MerkleTree.hashLength { levels.append(MerkleTree.nodes(last)) }
        self.levels = levels
    }

    /// The root over `width` hashes, a power of two, of which the first is at `offset`; both within the tile.
    func root(at offset: Int, width: Int) -> [UInt8] {
        let start = offset / width * MerkleTree.hashLength
        return Array(levels[width.trailingZeroBitCount][start..<start + MerkleTree.hashLength])
    }
}

/// The upper tiles that proofs of one log have read: a log only grows, so what is in them stays.
///
/// Not the lowest ones, of which a log has 256 times as many as of all others: those are read again, one for each proof.
public final class TileCache: Sendable {
    private struct Place: Hashable {
        var level: Int
        var number: UInt64
    }

    private let limit: Int
    private let tiles = Mutex<[Place: TileTree]>([:])

    /// - Parameter limit: the most tiles that are kept, all of which go when there are more. Without it 4 MiB at most, all of
    ///   a log of sixteen million entries.
    public init(limit: Int = 256) {
        self.limit = limit
    }

    subscript(level: Int, number: UInt64) -> TileTree? {
        get {
            guard level > 0 else { return nil }
            return tiles.withLock { $0[Place(level: level, number: number)] }
        }
        set {
            guard level > 0 else { return }
            let place = Place(level: level, number: number)
            tiles.withLock { tiles in
                // The last tile of a level comes again and again, longer each time.
                if tiles[place] == nil, tiles.count >= limit { tiles = [:] }
                tiles[place] = newValue
            }
        }
    }
}
