import Cryptography

/// The hashes of a Merkle tree (RFC 6962 §2.1) with SHA-256: 32 bytes each.
public enum MerkleTree {
    public static let hashLength = 32
    /// The most hashes in an inclusion or consistency proof: sizes are below 2⁶³.
    public static let maximumProofLength = 63

    /// The root of a tree with no entries: the hash of no bytes.
    public static let emptyRoot = Hashing.sha256([UInt8]())

    /// The hash of an entry: SHA-256(00 ‖ entry).
    public static func leaf(_ entry: [UInt8]) -> [UInt8] {
        Hashing.sha256([0] + entry)
    }

    /// The hash of an inner node: SHA-256(01 ‖ left ‖ right).
    public static func node(_ left: some Sequence<UInt8>, _ right: some Sequence<UInt8>) -> [UInt8] {
        var message: [UInt8] = [1]
        message.reserveCapacity(1 + 2 * hashLength)
        message.append(contentsOf: left)
        message.append(contentsOf: right)
        return Hashing.sha256(message)
    }

    /// The hash of each two of the hashes, which come one after the other.
    static func nodes(_ hashes: [UInt8]) -> [UInt8] {
        Hashing.sha256OfPairs(hashes, prefix: 1)
    }

    // MARK: Verifying

    /// Checks that the leaf at `index` of the tree of `size` leads to `root` (RFC 9162 §2.1.3.2).
    ///
    /// - Parameter proof: the siblings' hashes, from the leaf's up to the root's child.
    /// - Throws: `outOfRange` where the tree has no such index, `notIncluded` where the proof does not lead there.
    public static func verifyInclusion(
        leaf: [UInt8],
        index: UInt64,
        size: UInt64,
        proof: [[UInt8]],
        root: [UInt8]
    ) throws(LogError) {
        guard index < size else {
            throw LogError(.outOfRange, "a tree of \(size) entries has none at \(index)")
        }
        try requireHashes(proof + [leaf, root])
        var (fn, sn) = (index, size - 1)
        var hash = leaf
        for sibling in proof {
            guard sn > 0 else { throw LogError(.notIncluded, "the proof is longer than the tree is high") }
            if fn & 1 == 1 || fn == sn {
                hash = node(sibling, hash)
                // A node without a sibling stands for itself one level up.
                while fn & 1 == 0, fn > 0 {
                    fn >>= 1
                    sn >>= 1
                }
            } else {
                hash = node(hash, sibling)
            }
            fn >>= 1
            sn >>= 1
        }
        guard sn == 0, hash == root else {
            throw LogError(.notIncluded, "the proof does not lead from the entry to the root of the tree")
        }
    }

    /// Checks that the tree of `size` begins with the one of `oldSize` (RFC 9162 §2.1.4.2).
    ///
    /// An empty tree is the beginning of each, with an empty proof; so is each of itself.
    /// - Throws: `outOfRange` where the old tree is the larger, `inconsistent` where the proof does not hold.
    public static func verifyConsistency(
        oldSize: UInt64,
        oldRoot: [UInt8],
        size: UInt64,
        root: [UInt8],
        proof: [[UInt8]]
    ) throws(LogError) {
        guard oldSize <= size else {
            throw LogError(.outOfRange, "a tree of \(size) entries does not begin with one of \(oldSize)")
        }
        try requireHashes(proof + [oldRoot, root])
        let refusal = LogError(.inconsistent, "the tree of \(size) entries does not begin with that of \(oldSize)")
        if oldSize == 0 || oldSize == size {
            let isSame = oldSize == 0 ? oldRoot == emptyRoot : oldRoot == root
            guard isSame, proof.isEmpty else { throw refusal }
            return
        }
        var path = proof
        // A whole subtree is its own first hash, which the proof leaves out.
        if oldSize & (oldSize - 1) == 0 { path.insert(oldRoot, at: 0) }
        guard let first = path.first else { throw refusal }
        var (fn, sn) = (oldSize - 1, size - 1)
        while fn & 1 == 1 {
            fn >>= 1
            sn >>= 1
        }
        var (oldHash, hash) = (first, first)
        for sibling in path.dropFirst() {
            guard sn > 0 else { throw refusal }
            if fn & 1 == 1 || fn == sn {
                oldHash = node(sibling, oldHash)
                hash = node(sibling, hash)
                while fn & 1 == 0, fn > 0 {
                    fn >>= 1
                    sn >>= 1
                }
            } else {
                hash = node(hash, sibling)
            }
            fn >>= 1
            sn >>= 1
        }
        guard sn == 0, oldHash == oldRoot, hash == root else { throw refusal }
    }

    private static func requireHashes(_ hashes: [[UInt8]]) throws(LogError) {
        guard hashes.count <= maximumProofLength + 2, hashes.allSatisfy({ $0.count == hashLength }) else {
            throw LogError(.malformed, "a proof is at most \(maximumProofLength) hashes of \(hashLength) bytes")
        }
    }
}

/// The right edge of a growing tree: enough to go on and to know the root, in at most 63 hashes.
///
/// Whoever reads a whole log adds every entry and compares the root with the checkpoint's.
public struct MerkleFrontier: Sendable, Hashable {
    /// How many leaves there are.
    public private(set) var size: UInt64 = 0
    /// The roots of the whole subtrees that make up the tree, from the largest (left) to the smallest.
    private var roots: [[UInt8]] = []

    public init() {}

    /// Goes on from where a tree of so many leaves ended.
    /// - Parameter subtrees: as ``subtrees`` told them.
    /// - Returns: nil where such a tree has another number of them, or one is no hash.
    public init?(size: UInt64, subtrees: [[UInt8]]) {
        guard size >> 63 == 0, subtrees.count == size.nonzeroBitCount,
            subtrees.allSatisfy({ $0.count == MerkleTree.hashLength })
        else { return nil }
        self.size = size
        roots = subtrees
    }

    /// All that it takes to go on: at most 63 hashes, from the largest subtree to the smallest.
    public var subtrees: [[UInt8]] { roots }

    /// - Parameter leaf: the hash of the next entry, ``MerkleTree/leaf(_:)``.
    public mutating func append(leaf: [UInt8]) {
        var hash = leaf
        var bits = size
        while bits & 1 == 1, let left = roots.popLast() {
            hash = MerkleTree.node(left, hash)
            bits >>= 1
        }
        roots.append(hash)
        size += 1
    }

    public var root: [UInt8] {
        guard var hash = roots.last else { return MerkleTree.emptyRoot }
        for left in roots.dropLast().reversed() { hash = MerkleTree.node(left, hash) }
        return hash
    }
}
