import CanonicalJSON
import Encodings
import Ethereum
import TestSupport
import Testing

@Suite struct RLPTests {
    private func item(_ value: JSONValue) throws -> RLP.Item {
        if let list = value.arrayValue { return .list(try list.map(item)) }
        if let text = value.stringValue { return .bytes(try Hex.decode(text)) }
        return .number(try value.number("number"))
    }

    @Test func publishedVectorsGoBothWays() throws {
        for vector in try vectors("rlp").array("cases") {
            let item = try item(vector.value("item"))
            let bytes = try Hex.decode(vector.string("rlp"))
            let name = try vector.string("name")
            #expect(RLP.encode(item) == bytes, "\(name)")
            #expect(try RLP.decode(bytes) == item, "\(name)")
        }
    }

    @Test func publishedInvalidOnesAreRefused() throws {
        for vector in try vectors("rlp").array("invalid") {
            let bytes = try Hex.decode(vector.string("rlp"))
            let name = try vector.string("name")
            #expect(code { _ = try RLP.decode(bytes) } == .invalidRLP, "\(name)")
        }
    }

    private func randomItem(_ random: inout SeededRandom, depth: Int) -> RLP.Item {
        if depth == 0 || Bool.random(using: &random) {
            return .bytes(random.bytes([0, 1, 2, 55, 56, 57, 300].randomElement(using: &random) ?? 0))
        }
        return .list((0..<Int.random(in: 0...5, using: &random)).map { _ in randomItem(&random, depth: depth - 1) })
    }

    /// What is read is written back byte for byte: there is one form only.
    @Test func readingIsCanonical() throws {
        var random = SeededRandom(seed: 17)
        var accepted = 0
        for _ in 0..<300 {
            let item = randomItem(&random, depth: 4)
            var bytes = RLP.encode(item)
            #expect(try RLP.decode(bytes) == item)
            #expect(code { _ = try RLP.decode(bytes + [0]) } == .invalidRLP)
            #expect(code { _ = try RLP.decode(Array(bytes.dropLast())) } == .invalidRLP)
            for _ in 0..<10 {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
                guard let read = try? RLP.decode(bytes) else { continue }
                accepted += 1
                #expect(RLP.encode(read) == bytes)
            }
        }
        #expect(accepted > 100)
    }

    @Test func readingIsBounded() throws {
        var nested = RLP.Item.bytes([1])
        for _ in 0..<RLP.maximumDepth { nested = .list([nested]) }
        #expect(try RLP.decode(RLP.encode(nested)) == nested)
        #expect(code { _ = try RLP.decode(RLP.encode(.list([nested]))) } == .invalidRLP)
        let many = RLP.Item.list([RLP.Item](repeating: .bytes([1]), count: RLP.maximumItems))
        #expect(code { _ = try RLP.decode(RLP.encode(many)) } == .invalidRLP)
        #expect(code { _ = try RLP.decode([UInt8](repeating: 0xC1, count: RLP.maximumBytes)) } == .invalidRLP)
        let long = RLP.encode(.bytes([UInt8](repeating: 7, count: RLP.maximumBytes)))
        #expect(code { _ = try RLP.decode(long) } == .invalidRLP)
    }

    @Test func numbersHaveNoLeadingZeros() throws {
        #expect(try RLP.Item.bytes([1, 0]).requireNumber() == UInt256(256))
        #expect(code { _ = try RLP.Item.bytes([0, 1]).requireNumber() } == .invalidRLP)
        #expect(code { _ = try RLP.Item.bytes([0]).requireNumber() } == .invalidRLP)
        #expect(code { _ = try RLP.Item.bytes([UInt8](repeating: 1, count: 33)).requireNumber() } == .invalidRLP)
        #expect(code { _ = try RLP.Item.list([]).requireNumber() } == .invalidRLP)
        #expect(code { _ = try RLP.Item.bytes([]).requireList() } == .invalidRLP)
    }
}
