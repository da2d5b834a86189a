/// A tree kept as tiles: proofs and roots of any size out of them, and what an append changes.
public struct TiledTree: Sendable {
    /// Gives the hashes of a tile, at least as many as the tree of the size at hand has there; nil where there is none.
    public typealias Source = (_ level: Int, _ number: UInt64) throws -> [UInt8]?

    /// A tile as it is after an append.
    public struct ChangedTile: Hashable, Sendable {
        public var level: Int
        public var number: UInt64
        /// The hashes one after the other: 32 to 8,192 bytes.
        public var hashes: [UInt8]
    }

    private static let height = 8

    // MARK: Appending

    /// Adds leaves to a tree of `size`.
    ///
    /// - Parameter source: the tiles as they are; only the last one of each level is asked for.
    /// - Returns: the tiles that are new or longer, and the tree's new size.
    /// - Throws: `missingTile` where a tile is shorter than `size` says; what `source` throws.
    public static func append(
        _ leaves: [[UInt8]],
        to size: UInt64,
        source: Source
    ) throws -> (tiles: [ChangedTile], size: UInt64) {
        var changed: [ChangedTile] = []
        var (hashes, start, level) = (leaves, size, 0)
        while !hashes.isEmpty {
            let tiles = try fill(hashes, at: start, level: level, source: source)
            changed.append(contentsOf: tiles)
            // Each tile that is whole now is one hash of the level above.
            start >>= UInt64(height)
            hashes = tiles.filter { $0.hashes.count == TilePath.fullWidth * MerkleTree.hashLength }
                .map { TileTree($0.hashes).root(at: 0, width: TilePath.fullWidth) }
            level += 1
        }
        return (changed, size + UInt64(leaves.count))
    }

    private static func fill(
        _ hashes: [[UInt8]],
        at start: UInt64,
        level: Int,
        source: Source
    ) throws -> [ChangedTile] {
        var tiles: [ChangedTile] = []
        var index = start
        for hash in hashes {
            let (number, offset) = (index >> UInt64(height), Int(index & 255))
            if tiles.last?.number != number {
                let before = offset == 0 ? [] : try bytes(level, number, count: offset, source: source)
                let kept = Array(before.prefix(offset * MerkleTree.hashLength))
                tiles.append(ChangedTile(level: level, number: number, hashes: kept))
            }
            tiles[tiles.count - 1].hashes.append(contentsOf: hash)
            index += 1
        }
        return tiles
    }

    // MARK: Reading

    /// The root of the tree's first `size` entries.
    public static func root(size: UInt64, source: Source) throws -> [UInt8] {
        guard size > 0 else { return MerkleTree.emptyRoot }
        return try withoutActuallyEscaping(source) { source in
            var reading = Reading(known: nil, source: source)
            return try reading.hash(0..<size)
        }
    }

    /// The proof that the tree of `size` holds its entry `index` (RFC 6962 §2.1.1), from the leaf's sibling upwards.
    ///
    /// - Parameter known: upper tiles that earlier proofs of the same log read, and where this one leaves its own.
    public static func inclusionProof(
        of index: UInt64,
        size: UInt64,
        known: TileCache? = nil,
        source: Source
    ) throws -> [[UInt8]] {
        guard index < size else { throw LogError(.outOfRange, "a tree of \(size) entries has none at \(index)") }
        return try withoutActuallyEscaping(source) { source in
            var reading = Reading(known: known, source: source)
            var proof: [[UInt8]] = []
            var range = 0..<size
            while range.count > 1 {
                let middle = range.lowerBound + split(UInt64(range.count))
                let (left, right) = (range.lowerBound..<middle, middle..<range.upperBound)
                proof.append(try reading.hash(index < middle ? right : left))
                range = index < middle ? left : right
            }
            return proof.reversed()
        }
    }

    /// The proof that the tree of `size` begins with the one of `oldSize` (RFC 6962 §2.1.2).
    ///
    /// - Parameter known: as for ``inclusionProof(of:size:known:source:)``.
    public static func consistencyProof(
        from oldSize: UInt64,
        to size: UInt64,
        known: TileCache? = nil,
        source: Source
    ) throws -> [[UInt8]] {
        guard oldSize <= size else {
            throw LogError(.outOfRange, "a tree of \(size) entries does not begin with one of \(oldSize)")
        }
        guard oldSize > 0, oldSize < size else { return [] }
        return try withoutActuallyEscaping(source) { source in
            var reading = Reading(known: known, source: source)
            var proof: [[UInt8]] = []
            var range = 0..<size
            // Whether all of the old tree within the range is one whole subtree that began at the old tree's own start.
            var isWholeFromStart = true
            while oldSize < range.upperBound {
                let middle = range.lowerBound + split(UInt64(range.count))
                if oldSize <= middle {
                    proof.append(try reading.hash(middle..<range.upperBound))
                    range = range.lowerBound..<middle
                } else {
                    proof.append(try reading.hash(range.lowerBound..<middle))
                    range = middle..<range.upperBound
                    isWholeFromStart = false
                }
            }
            if !isWholeFromStart { proof.append(try reading.hash(range)) }
            return proof.reversed()
        }
    }

    /// The largest power of two below `count`, which is above 1.
    private static func split(_ count: UInt64) -> UInt64 {
        1 << UInt64(63 - (count - 1).leadingZeroBitCount)
    }

    /// One look into the tree: what it read last, and what was known before.
    private struct Reading {
        let known: TileCache?
        let source: Source
        /// Most of a proof's siblings lie in one tile after the other.
        private var latest: (level: Int, number: UInt64, tile: TileTree)?

        init(known: TileCache?, source: @escaping Source) {
            self.known = known
            self.source = source
        }

        /// The hash over a range of entries that begins at a multiple of its own (rounded up) power of two.
        mutating func hash(_ range: Range<UInt64>) throws -> [UInt8] {
            let count = UInt64(range.count)
            if count & (count - 1) == 0 { return try whole(range.lowerBound, count: count) }
            let middle = range.lowerBound + split(count)
            return MerkleTree.node(try hash(range.lowerBound..<middle), try hash(middle..<range.upperBound))
        }

        /// The root of a whole subtree of a power of two of entries: some of the hashes of one tile.
        private mutating func whole(_ start: UInt64, count: UInt64) throws -> [UInt8] {
            let treeHeight = count.trailingZeroBitCount
            let level = treeHeight / height
            let width = 1 << (treeHeight % height)
            let index = start >> UInt64(level * height)
            let offset = Int(index & 255)
            return try tile(level, index >> UInt64(height), width: offset + width).root(at: offset, width: width)
        }

        /// A tile of at least `width` hashes.
        private mutating func tile(_ level: Int, _ number: UInt64, width: Int) throws -> TileTree {
            if let latest, latest.level == level, latest.number == number, latest.tile.width >= width {
                return latest.tile
            }
            if let tile = known?[level, number], tile.width >= width { return tile }
            let tile = TileTree(try bytes(level, number, count: width, source: source))
            known?[level, number] = tile
            latest = (level, number, tile)
            return tile
        }
    }

    /// A tile of at least `count` hashes.
    private static func bytes(
        _ level: Int,
        _ number: UInt64,
        count: Int,
        source: Source
    ) throws -> [UInt8] {
        guard let found = try source(level, number), found.count >= count * MerkleTree.hashLength else {
            throw LogError(
                .missingTile,
                "\(TilePath(.hashes(level: level), number: number)) is not there, or shorter than its tree says"
            )
        }
        return found
    }
}
