import CanonicalJSON
import Cryptography
import Encodings
import Liabilities
import SignedDocuments
import TestSupport
import Testing

@Suite("Proof of liabilities")
struct LiabilityTests {
    private static let signer = DocumentSigner(
        (try? Ed25519.PrivateKey(seed: [UInt8](repeating: 1, count: 32))) ?? Ed25519.PrivateKey()
    )
    private static let now = Timestamp(secondsSince1970: 1_790_000_000)

    /// Keys as points look, in order, with amounts.
    private func entries(_ count: Int, seed: UInt64 = 3) -> [(key: [UInt8], amount: UInt64)] {
        var random = SeededRandom(seed: seed)
        return (0..<count).map { index in
            ([UInt8(2 + index % 2)] + random.bytes(32), UInt64(1) << UInt64(random.bytes(1)[0] % 12))
        }.sorted { $0.0.lexicographicallyPrecedes($1.0) }
    }

    private func index(_ entries: [(key: [UInt8], amount: UInt64)], pageLimit: Int) throws -> LiabilityIndex {
        var tree = LiabilityTree(pageLimit: pageLimit)
        for entry in entries { try tree.add(key: entry.key, amount: entry.amount) }
        return try tree.index()
    }

    /// What a mint would show as page `number`.
    private func page(_ number: Int, of index: LiabilityIndex, _ entries: [(key: [UInt8], amount: UInt64)]) throws
        -> LiabilityPage
    {
        try LiabilityPage(
            entries.filter { index.page(ofKey: $0.key) == number }.map { .init(key: $0.key, amount: $0.amount) }
        )
    }

    @Test("[POL-2] [POL-3] [POL-4] The hashes are those of the specification, worked out by hand")
    func hashes() throws {
        func number(_ value: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * $0)) } }
        let key = [UInt8(2)] + [UInt8](repeating: 7, count: 32)
        let page = try LiabilityPage([.init(key: key, amount: 8)])
        let pageHash = Hashing.sha256([0] + number(1) + Hashing.sha256(key) + number(8))
        #expect(try page.node() == LiabilityNode(hash: pageHash, sum: 8, count: 1))
        #expect(page.amount(ofKey: key) == 8 && page.amount(ofKey: [3] + key.dropFirst()) == nil)
        let line = Hashing.sha256([2, 0] + pageHash + number(8) + number(1))
        #expect(try index([(key, 8)], pageLimit: 4).root == LiabilityNode(hash: line, sum: 8, count: 1))
        let empty = try index([], pageLimit: 4)
        #expect(empty.lines.count == 1 && empty.root.sum == 0 && empty.root.count == 0)

        let second = [UInt8(2)] + [UInt8](repeating: 9, count: 32)
        let both = try index([(key, 8), (second, 4)], pageLimit: 1)
        let secondPage = Hashing.sha256([0] + number(1) + Hashing.sha256(second) + number(4))
        let secondLine = Hashing.sha256([2, 2, 2, 9] + secondPage + number(4) + number(1))
        let root = Hashing.sha256([1] + line + number(8) + number(1) + secondLine + number(4) + number(1))
        #expect(both.root == (try LiabilityNode(hash: root, sum: 12, count: 2)))
        #expect(both.lines.map(\.from) == [[], [2, 9]])
    }

    @Test("[POL-5] Every key is on exactly one page, full pages come first, and what is not in the tree is on none")
    func pages() throws {
        for (count, limit) in [(0, 4), (1, 4), (4, 4), (5, 4), (257, 16), (2000, 64)] {
            let entries = entries(count)
            let index = try index(entries, pageLimit: limit)
            #expect(index.lines.count == max((count + limit - 1) / limit, 1))
            #expect(index.root.count == UInt64(count))
            #expect(index.root.sum == entries.map(\.amount).reduce(0, +))
            for number in index.lines.indices {
                #expect(try page(number, of: index, entries).node() == index.lines[number].node)
            }
            for entry in entries {
                let page = try page(index.page(ofKey: entry.key), of: index, entries)
                #expect(page.amount(ofKey: entry.key) == entry.amount)
            }
            for stranger in self.entries(20, seed: 99) {
                let page = try page(index.page(ofKey: stranger.key), of: index, entries)
                #expect(page.amount(ofKey: stranger.key) == nil)
            }
        }
        // Keys chosen to begin alike make no more pages than others.
        let alike = (0..<100).map { ([UInt8(2)] + [UInt8](repeating: 7, count: 30) + [0, UInt8($0)], UInt64(1)) }
        #expect(try index(alike, pageLimit: 10).lines.count == 10)
        var unsorted = LiabilityTree()
        try unsorted.add(key: alike[1].0, amount: 1)
        #expect(throws: LiabilityError.self) { try unsorted.add(key: alike[1].0, amount: 1) }
        #expect(throws: LiabilityError.self) { try unsorted.add(key: alike[0].0, amount: 1) }
        #expect(throws: LiabilityError.self) { try unsorted.add(key: [2], amount: 1) }
    }

    @Test("[POL-6] An index that leaves out, adds, moves or revalues a page has another root, or is refused")
    func indexes() throws {
        let index = try index(entries(100), pageLimit: 8)
        let read = try LiabilityIndex(json: .parse(index.json.serialized()))
        #expect(read == index)
        var roots: Set<[UInt8]> = [index.root.hash]
        func change(_ make: (inout [LiabilityIndex.Line]) throws -> Void) throws {
            var lines = index.lines
            try make(&lines)
            #expect(try roots.insert(LiabilityIndex(lines).root.hash).inserted)
        }
        try change { $0.removeLast() }
        try change { $0.append(.init(from: [3, 255, 255, 255], node: $0[0].node)) }
        try change { $0[3] = .init(from: $0[3].from + [1], node: $0[3].node) }
        try change {
            let node = $0[2].node
            $0[2] = .init(from: $0[2].from, node: try .init(hash: node.hash, sum: node.sum + 1, count: node.count))
        }
        try change {
            let (one, other) = ($0[1].node, $0[2].node)
            $0[1] = .init(from: $0[1].from, node: other)
            $0[2] = .init(from: $0[2].from, node: one)
        }
        for wrong in [
            [], Array(index.lines.dropFirst()), index.lines.reversed(), index.lines + [index.lines[4]],
        ] {
            #expect(throws: LiabilityError.self) { try LiabilityIndex(wrong) }
        }
    }

    @Test("[POL-4] Sums that leave 63 bits, entries worth nothing and numbers that are no amounts are refused")
    func sums() throws {
        let hash = [UInt8](repeating: 1, count: 32)
        let half = try LiabilityNode(hash: hash, sum: 1 << 62, count: 1)
        #expect(throws: LiabilityError.self) { try LiabilityNode.branch(half, half) }
        #expect(throws: LiabilityError.self) { try LiabilityNode(hash: hash, sum: 1 << 63, count: 1) }
        #expect(throws: LiabilityError.self) { try LiabilityNode(hash: hash, sum: 1, count: 2) }
        #expect(throws: LiabilityError.self) { try LiabilityNode(hash: [1], sum: 1, count: 1) }
        let keys = entries(3).map(\.key)
        for amounts: [UInt64] in [[0], [1 << 63], [1 << 62, 1 << 62], [.max, 1], [.max, .max, 2]] {
            let page = try LiabilityPage(zip(keys, amounts).map { .init(key: $0, amount: $1) })
            #expect(throws: LiabilityError.self) { try page.node() }
        }
        for sum in ["-1", "01", "1.0", "+1", "18446744073709551616", "9223372036854775808", "", " 1"] {
            let json: JSONValue = [
                "hash": .string(Hex.encode(hash)), "sum": .string(sum), "count": "1",
            ]
            #expect(throws: LiabilityError.self) { try LiabilityNode(json: json) }
        }
        let number: JSONValue = ["hash": .string(Hex.encode(hash)), "sum": 5, "count": "1"]
        #expect(throws: LiabilityError.self) { try LiabilityNode(json: number) }
    }

    @Test("[POL-3] A page reads back as it was; out of order, twice the same, or misshapen it is refused")
    func pageForms() throws {
        let page = try LiabilityPage(entries(9).map { .init(key: $0.key, amount: $0.amount) })
        #expect(try LiabilityPage(json: .parse(page.json.serialized())) == page)
        let list = try page.json.array("entries")
        for wrong: [JSONValue] in [list.reversed(), [list[0], list[0]], [["00", "1"]], [[list[0]]], ["x"]] {
            #expect(throws: LiabilityError.self) { try LiabilityPage(json: ["entries": .array(wrong)]) }
        }
        let entry = LiabilityEntry(key: entries(1)[0].key, amount: 1)
        #expect(throws: LiabilityError.self) { try LiabilityPage([entry, entry]) }
        #expect(throws: LiabilityError.self) {
            try LiabilityPage(entries(1025).map { .init(key: $0.key, amount: $0.amount) })
        }
    }

    private func statement(
        epoch: UInt64 = 1,
        previous: String? = nil,
        issued: Int = 10,
        spent: Int = 2
    ) throws -> LiabilityStatement {
        let all = entries(50)
        return try LiabilityStatement(
            mint: "http://127.0.0.1:8402/mint",
            epoch: epoch,
            closedAt: Self.now.adding(seconds: Int64(epoch)),
            previous: previous,
            keysets: [
                .init(
                    id: "01" + String(repeating: "ab", count: 32),
                    unit: "sat",
                    issued: index(Array(all.prefix(issued)), pageLimit: 4).root,
                    spent: index(Array(all.prefix(spent)), pageLimit: 4).root
                )
            ]
        )
    }

    @Test("[POL-7] A statement is one signed document; any change breaks it, and more spent than issued cannot be said")
    func statements() throws {
        let statement = try statement()
        let document = try statement.signed(by: Self.signer, at: Self.now)
        let (read, signer) = try LiabilityStatement.verified(document)
        #expect(read == statement && signer == Self.signer.did)
        #expect(statement.keysets[0].outstanding == statement.keysets[0].issued.sum - statement.keysets[0].spent.sum)
        var forged = document
        forged["epoch"] = "2"
        #expect(throws: LiabilityError.self) { try LiabilityStatement.verified(forged) }
        #expect(throws: LiabilityError.self) { try LiabilityStatement.verified(statement.document) }
        #expect(throws: LiabilityError.self) { try self.statement(issued: 2, spent: 10) }
        var keysets = try statement.document.array("keysets")
        var keyset = try keysets[0].requireObject()
        keyset["outstanding"] = "0"
        keysets[0] = .object(keyset)
        var lying = statement.document
        lying["keysets"] = .array(keysets)
        #expect(throws: LiabilityError.self) { try LiabilityStatement(document: lying) }
        #expect(throws: LiabilityError.self) { try self.statement(epoch: 0) }
        #expect(throws: LiabilityError.self) { try self.statement(epoch: 2) }
        #expect(throws: LiabilityError.self) { try self.statement(epoch: 1, previous: "uEiA") }
    }

    @Test("[POL-8] What only grows may not shrink: a keyset gone, less issued or spent, or another text for one epoch")
    func chain() throws {
        let first = try statement(issued: 10, spent: 2)
        let digest = try LiabilityStatement.digest(of: try first.signed(by: Self.signer, at: Self.now))
        try statement(epoch: 2, previous: digest, issued: 12, spent: 2).requireFollows(first)
        try first.requireFollows(first)
        func refused(_ later: LiabilityStatement) {
            let error = #expect(throws: LiabilityError.self) { try later.requireFollows(first) }
            #expect(error?.code == .contradiction)
        }
        refused(try statement(epoch: 2, previous: digest, issued: 9, spent: 2))
        refused(try statement(epoch: 2, previous: digest, issued: 12, spent: 1))
        refused(try statement(issued: 11))
        let empty = try LiabilityStatement(
            mint: first.mint,
            epoch: 3,
            closedAt: Self.now.adding(seconds: 3),
            previous: digest,
            keysets: []
        )
        refused(empty)
    }
}
