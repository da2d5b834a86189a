import Cryptography
import Encodings
import TestSupport
import Testing
import TransparencyLog

/// Trees written down as the RFC defines them, to hold the tiles against.
enum PlainTree {
    static func root(_ leaves: ArraySlice<[UInt8]>) -> [UInt8] {
        guard leaves.count > 1 else { return leaves.first ?? MerkleTree.emptyRoot }
        let middle = leaves.startIndex + split(leaves.count)
        return MerkleTree.node(root(leaves[..<middle]), root(leaves[middle...]))
    }

    /// RFC 6962 §2.1.1.
    static func path(_ index: Int, _ leaves: ArraySlice<[UInt8]>) -> [[UInt8]] {
        guard leaves.count > 1 else { return [] }
        let middle = leaves.startIndex + split(leaves.count)
        return index < middle
            ? path(index, leaves[..<middle]) + [root(leaves[middle...])]
            : path(index, leaves[middle...]) + [root(leaves[..<middle])]
    }

    /// RFC 6962 §2.1.2.
    static func consistency(_ old: Int, _ leaves: ArraySlice<[UInt8]>, _ isWhole: Bool = true) -> [[UInt8]] {
        if old == leaves.count { return isWhole ? [] : [root(leaves)] }
        let half = split(leaves.count)
        let middle = leaves.startIndex + half
        return old <= half
            ? consistency(old, leaves[..<middle], isWhole) + [root(leaves[middle...])]
            : consistency(old - half, leaves[middle...], false) + [root(leaves[..<middle])]
    }

    private static func split(_ count: Int) -> Int {
        var half = 1
        while half * 2 < count { half *= 2 }
        return half
    }
}

/// Tiles in memory.
struct TileShelf {
    struct Place: Hashable {
        var level: Int
        var number: UInt64
    }

    private(set) var tiles: [Place: [UInt8]] = [:]
    private(set) var size: UInt64 = 0

    func source(_ level: Int, _ number: UInt64) -> [UInt8]? { tiles[Place(level: level, number: number)] }

    mutating func append(_ leaves: [[UInt8]]) throws {
        let change = try TiledTree.append(leaves, to: size, source: source)
        for tile in change.tiles { tiles[Place(level: tile.level, number: tile.number)] = tile.hashes }
        size = change.size
    }
}

@Suite struct MerkleTreeTests {
    /// Certificate Transparency's reference tree: the roots of its first one to eight entries.
    static let entries = [
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    ]
    static let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]

    private static func leaves(_ count: Int) -> [[UInt8]] {
        (0..<count).map { MerkleTree.leaf(Array(String($0).utf8)) }
    }

    @Test("The reference tree of Certificate Transparency has its published roots, by frontier and by tiles")
    func published() throws {
        var frontier = MerkleFrontier()
        var shelf = TileShelf()
        #expect(Hex.encode(frontier.root) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        for (entry, root) in zip(Self.entries, Self.roots) {
            let leaf = MerkleTree.leaf(try Hex.decode(entry))
            frontier.append(leaf: leaf)
            try shelf.append([leaf])
            #expect(Hex.encode(frontier.root) == root)
            #expect(try Hex.encode(TiledTree.root(size: shelf.size, source: shelf.source)) == root)
        }
    }

    @Test(
        "[RCPT-16] From the edge of a tree of any size one goes on as from its leaves; no other count of hashes is an edge"
    )
    func goingOn() throws {
        let leaves = Self.leaves(40)
        var whole = MerkleFrontier()
        for leaf in leaves { whole.append(leaf: leaf) }
        var start = MerkleFrontier()
        for size in 0...leaves.count {
            var edge = try #require(MerkleFrontier(size: UInt64(size), subtrees: start.subtrees))
            #expect(edge == start)
            for leaf in leaves[size...] { edge.append(leaf: leaf) }
            #expect(edge == whole && edge.root == whole.root)
            #expect(MerkleFrontier(size: UInt64(size), subtrees: start.subtrees + [leaves[0]]) == nil)
            if size < leaves.count { start.append(leaf: leaves[size]) }
        }
        #expect(MerkleFrontier(size: 1, subtrees: [[1]]) == nil)
        #expect(MerkleFrontier(size: 1 << 63, subtrees: [leaves[0]]) == nil)
    }

    @Test("Every proof of every tree of up to 40 entries is the RFC's and holds; none holds for another place")
    func small() throws {
        let leaves = Self.leaves(40)
        var shelf = TileShelf()
        try shelf.append(leaves)
        for size in 1...40 {
            let tree = leaves[..<size]
            let root = PlainTree.root(tree)
            #expect(try TiledTree.root(size: UInt64(size), source: shelf.source) == root)
            for index in 0..<size {
                let proof = try TiledTree.inclusionProof(of: UInt64(index), size: UInt64(size), source: shelf.source)
                #expect(proof == PlainTree.path(index, tree))
                func verify(_ leaf: Int, at place: Int, of count: Int = size) throws(LogError) {
                    try MerkleTree.verifyInclusion(
                        leaf: leaves[leaf],
                        index: UInt64(place),
                        size: UInt64(count),
                        proof: proof,
                        root: root
                    )
                }
                try verify(index, at: index)
                #expect(throws: LogError.self) { try verify((index + 1) % 40, at: index) }
                if size > 1 { #expect(throws: LogError.self) { try verify(index, at: (index + 1) % size) } }
                #expect(throws: LogError.self) { try verify(index, at: size) }
            }
            for old in 0...size {
                let oldRoot = PlainTree.root(leaves[..<old])
                let proof = try TiledTree.consistencyProof(
                    from: UInt64(old),
                    to: UInt64(size),
                    source: shelf.source
                )
                #expect(proof == (old == 0 ? [] : PlainTree.consistency(old, tree)))
                func verify(_ oldRoot: [UInt8], _ root: [UInt8], _ proof: [[UInt8]]) throws(LogError) {
                    try MerkleTree.verifyConsistency(
                        oldSize: UInt64(old),
                        oldRoot: oldRoot,
                        size: UInt64(size),
                        root: root,
                        proof: proof
                    )
                }
                try verify(oldRoot, root, proof)
                let other = Hashing.sha256([7])
                #expect(throws: LogError.self) { try verify(other, root, proof) }
                if old > 0 { #expect(throws: LogError.self) { try verify(oldRoot, other, proof) } }
                #expect(throws: LogError.self) { try verify(oldRoot, root, proof + [other]) }
                for index in proof.indices {
                    var changed = proof
                    changed[index] = other
                    #expect(throws: LogError.self) { try verify(oldRoot, root, changed) }
                }
            }
        }
    }

    @Test("Trees over the edges of tiles, grown in uneven steps: roots and proofs are the plain tree's")
    func large() throws {
        let count = 256 * 256 + 700
        let leaves = Self.leaves(count)
        var random = SeededRandom(seed: 5)
        var shelf = TileShelf()
        var frontier = MerkleFrontier()
        while shelf.size < count {
            let start = Int(shelf.size)
            let end = min(count, start + Int.random(in: 1...3000, using: &random))
            try shelf.append(Array(leaves[start..<end]))
            for leaf in leaves[start..<end] { frontier.append(leaf: leaf) }
            #expect(try TiledTree.root(size: shelf.size, source: shelf.source) == frontier.root)
        }
        // The example of C2SP tlog-tiles: widths by level.
        #expect(shelf.source(0, 258)?.count == 188 * 32)
        #expect(shelf.source(1, 1)?.count == 2 * 32)
        #expect(shelf.source(2, 0)?.count == 32)
        // What proofs of one size leave for those of another; the few go again and again.
        let (all, few) = (TileCache(), TileCache(limit: 1))
        for size in [255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, count] {
            let root = PlainTree.root(leaves[..<size])
            #expect(try TiledTree.root(size: UInt64(size), source: shelf.source) == root)
            for index in [0, 1, 127, 128, 254, size / 2, size - 1] {
                let proof = try TiledTree.inclusionProof(of: UInt64(index), size: UInt64(size), source: shelf.source)
                try MerkleTree.verifyInclusion(
                    leaf: leaves[index],
                    index: UInt64(index),
                    size: UInt64(size),
                    proof: proof,
                    root: root
                )
                for known in [all, few] {
                    #expect(
                        try proof
                            == TiledTree.inclusionProof(
                                of: UInt64(index),
                                size: UInt64(size),
                                known: known,
                                source: shelf.source
                            )
                    )
                }
            }
            for old in [1, 128, 255, size / 3, size - 1] where old > 0 && old <= size {
                try MerkleTree.verifyConsistency(
                    oldSize: UInt64(old),
                    oldRoot: PlainTree.root(leaves[..<old]),
                    size: UInt64(size),
                    root: root,
                    proof: TiledTree.consistencyProof(
                        from: UInt64(old),
                        to: UInt64(size),
                        known: all,
                        source: shelf.source
                    )
                )
            }
        }
        // With the upper tiles at hand, a proof reads the one that its entry lies in.
        var read: [Int] = []
        _ = try TiledTree.inclusionProof(of: 127, size: UInt64(count), known: all) { level, number in
            read.append(level)
            return shelf.source(level, number)
        }
        #expect(Set(read) == [0])
    }

    @Test("A log without the tiles that its size asks for says so")
    func missingTile() throws {
        var shelf = TileShelf()
        try shelf.append(Self.leaves(300))
        for attempt in [
            { _ = try TiledTree.root(size: 301, source: shelf.source) },
            { _ = try TiledTree.inclusionProof(of: 2, size: 600, source: shelf.source) },
            { _ = try TiledTree.append(Self.leaves(1), to: 301, source: shelf.source) },
        ] {
            do {
                try attempt()
                Issue.record("a tree was read that is not there")
            } catch let error as LogError {
                #expect(error.code == .missingTile)
            }
        }
        #expect(throws: LogError.self) { try TiledTree.inclusionProof(of: 300, size: 300, source: shelf.source) }
        #expect(throws: LogError.self) { try TiledTree.consistencyProof(from: 301, to: 300, source: shelf.source) }
    }
}
