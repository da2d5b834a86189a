internal import Cryptography
internal import Encodings

/// RDF Dataset Canonicalization (RDFC-1.0, W3C Recommendation of May 2024) with SHA-256: the same N-Quads for the same
/// statements, whatever their order and whatever their blank nodes were called.
///
/// Blank nodes that look alike are told apart by trying their orders, which a hostile document can make exponential; the
/// work is counted and stopped at ``maximumWork``.
struct RDFCanonicalization {
    /// The most steps taken: orders of blank nodes tried and neighbours hashed.
    static let maximumWork = 60_000

    /// Gives names in the order asked for.
    private struct Issuer {
        let prefix: String
        private(set) var names: [Int: String] = [:]
        private(set) var order: [Int] = []

        init(_ prefix: String) {
            self.prefix = prefix
        }

        mutating func issue(_ node: Int) -> String {
            if let name = names[node] { return name }
            let name = prefix + String(order.count)
            names[node] = name
            order.append(node)
            return name
        }
    }

    private let quads: [RDFQuad]
    private var quadsOf: [Int: [Int]] = [:]
    private var firstHashes: [Int: String] = [:]
    private var canonical = Issuer("c14n")
    private var work = 0

    /// The canonical N-Quads.
    ///
    /// - Throws: `DocumentError` with `.tooComplex`.
    static func canonicalize(_ quads: [RDFQuad]) throws(DocumentError) -> [UInt8] {
        var run = RDFCanonicalization(quads)
        try run.nameBlankNodes()
        let names = run.canonical.names
        var lines = quads.map { $0.line { names[$0] ?? "" } }
        lines.sort { $0.lexicographicallyPrecedes($1) }
        var output: [UInt8] = []
        output.reserveCapacity(lines.reduce(0) { $0 + $1.count })
        for (index, line) in lines.enumerated() where index == 0 || line != lines[index - 1] {
            output.append(contentsOf: line)
        }
        return output
    }

    private init(_ quads: [RDFQuad]) {
        // A statement made twice is one.
        var seen: Set<[UInt8]> = []
        self.quads = quads.filter { seen.insert($0.line { "b\($0)" }).inserted }
        for (index, quad) in self.quads.enumerated() {
            for node in Set([quad.subject, quad.object, quad.graph].compactMap { $0?.blankNumber }) {
                quadsOf[node, default: []].append(index)
            }
        }
    }

    /// 4.4.3, steps 3 to 5.
    private mutating func nameBlankNodes() throws(DocumentError) {
        guard !quadsOf.isEmpty else { return }
        var byHash: [String: [Int]] = [:]
        for node in quadsOf.keys.sorted() { byHash[firstDegreeHash(node), default: []].append(node) }
        var shared: [String] = []
        for hash in byHash.keys.sorted() {
            guard let nodes = byHash[hash] else { continue }
            if nodes.count == 1 { _ = canonical.issue(nodes[0]) } else { shared.append(hash) }
        }
        for hash in shared {
            var results: [(hash: String, issuer: Issuer)] = []
            for node in byHash[hash] ?? [] where canonical.names[node] == nil {
                var issuer = Issuer("b")
                _ = issuer.issue(node)
                results.append(try deepHash(node, issuer))
            }
            results.sort { $0.hash < $1.hash }
            for result in results {
                for node in result.issuer.order { _ = canonical.issue(node) }
            }
        }
    }

    /// 4.6: what the statements about a node say of it, other blank nodes left nameless.
    private mutating func firstDegreeHash(_ node: Int) -> String {
        if let known = firstHashes[node] { return known }
        var lines = (quadsOf[node] ?? []).map { index in quads[index].line { $0 == node ? "a" : "z" } }
        lines.sort { $0.lexicographicallyPrecedes($1) }
        let hash = Self.hash(Array(lines.joined()))
        firstHashes[node] = hash
        return hash
    }

    /// 4.7.
    private mutating func relatedHash(
        _ related: Int,
        _ quad: RDFQuad,
        _ issuer: Issuer,
        position: Character
    ) -> String {
        var input = String(position)
        if position != "g" { input += "<\(quad.predicate)>" }
        if let name = canonical.names[related] ?? issuer.names[related] {
            input += "_:" + name
        } else {
            input += firstDegreeHash(related)
        }
        return Self.hash(Array(input.utf8))
    }

    /// 4.8: the hash of a node by all that it reaches, and the names given on the way.
    private mutating func deepHash(
        _ node: Int,
        _ start: Issuer
    ) throws(DocumentError) -> (hash: String, issuer: Issuer) {
        var issuer = start
        var neighbours: [String: [Int]] = [:]
        for index in quadsOf[node] ?? [] {
            let quad = quads[index]
            for (term, position) in [(quad.subject, "s"), (quad.object, "o"), (quad.graph, "g")]
                as [(RDFQuad.Term?, Character)]
            {
                guard let related = term?.blankNumber, related != node else { continue }
                try count()
                neighbours[relatedHash(related, quad, issuer, position: position), default: []].append(related)
            }
        }
        var data = ""
        for hash in neighbours.keys.sorted() {
            data += hash
            var chosen: (path: String, issuer: Issuer)?
            var orders = Permutations(neighbours[hash] ?? [])
            while let order = orders.next() {
                try count()
                guard let (path, copy) = try self.path(order, issuer, shorterThan: chosen?.path) else { continue }
                if let best = chosen, !(path < best.path) { continue }
                chosen = (path, copy)
            }
            if let chosen {
                data += chosen.path
                issuer = chosen.issuer
            }
        }
        return (Self.hash(Array(data.utf8)), issuer)
    }

    /// 4.8, step 5.4: the path of one order, or `nil` where it can't be the least.
    private mutating func path(
        _ order: [Int],
        _ issuer: Issuer,
        shorterThan best: String?
    ) throws(DocumentError) -> (String, Issuer)? {
        var copy = issuer
        var path = ""
        var recursion: [Int] = []
        func isWorse(_ path: String) -> Bool {
            guard let best else { return false }
            return path.utf8.count >= best.utf8.count && path > best
        }
        for related in order {
            if let name = canonical.names[related] {
                path += "_:" + name
            } else {
                if copy.names[related] == nil { recursion.append(related) }
                path += "_:" + copy.issue(related)
            }
            if isWorse(path) { return nil }
        }
        for related in recursion {
            let result = try deepHash(related, copy)
            path += "_:" + copy.issue(related) + "<\(result.hash)>"
            copy = result.issuer
            if isWorse(path) { return nil }
        }
        return (path, copy)
    }

    private mutating func count() throws(DocumentError) {
        work += 1
        guard work <= Self.maximumWork else {
            throw DocumentError(.tooComplex, "the document's nameless nodes look too much alike to be put in order")
        }
    }

    private static func hash(_ bytes: [UInt8]) -> String { Hex.encode(Hashing.sha256(bytes)) }
}

/// Every order of some numbers, one at a time (Heap's algorithm).
struct Permutations {
    private var items: [Int]
    private var counters: [Int]
    private var position = 0
    private var isFirst = true

    init(_ items: [Int]) {
        self.items = items
        counters = [Int](repeating: 0, count: items.count)
    }

    mutating func next() -> [Int]? {
        if isFirst {
            isFirst = false
            return items
        }
        while position < items.count {
            if counters[position] < position {
                items.swapAt(position.isMultiple(of: 2) ? 0 : counters[position], position)
                counters[position] += 1
                position = 0
                return items
            }
            counters[position] = 0
            position += 1
        }
        return nil
    }
}
