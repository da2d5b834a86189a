extension TiledTree {
    /// The proof that a tree of `size` begins with the one of `oldSize`, out of tiles that are fetched as they are needed.
    ///
    /// The tiles need not be trusted: the proof holds against the two roots, or it does not.
    /// - Parameter fetch: gives a tile's bytes; 32 for each of the path's width.
    /// - Throws: `missingTile` for a tile of another length, `outOfRange`; what `fetch` throws.
    public static func consistencyProof(
        from oldSize: UInt64,
        to size: UInt64,
        fetching fetch: (TilePath) async throws -> [UInt8]
    ) async throws -> [[UInt8]] {
        var tiles: [TilePath: [UInt8]] = [:]
        // A proof of a tree below 2⁶³ needs at most two tiles a level; each turn fetches one.
        for _ in 0...4 * (TilePath.maximumLevel + 1) {
            do {
                return try consistencyProof(from: oldSize, to: size) { level, number in
                    let path = path(level, number, of: size)
                    guard let bytes = tiles[path] else { throw Missing(path: path) }
                    return bytes
                }
            } catch let missing as Missing {
                let bytes = try await fetch(missing.path)
                guard bytes.count == missing.path.width * MerkleTree.hashLength else {
                    throw LogError(.missingTile, "\(missing.path) has \(bytes.count) bytes")
                }
                tiles[missing.path] = bytes
            }
        }
        throw LogError(.missingTile, "the proof needs more tiles than a tree of this size has at its edge")
    }

    private struct Missing: Error {
        var path: TilePath
    }

    /// A tile's path, as wide as a tree of `size` has it.
    private static func path(_ level: Int, _ number: UInt64, of size: UInt64) -> TilePath {
        let hashes = size >> UInt64(8 * level)
        let start = number * UInt64(TilePath.fullWidth)
        let width = hashes > start ? min(UInt64(TilePath.fullWidth), hashes - start) : UInt64(TilePath.fullWidth)
        return TilePath(.hashes(level: level), number: number, width: Int(width))
    }
}
