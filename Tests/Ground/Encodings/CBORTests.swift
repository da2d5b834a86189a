import CanonicalJSON
import Encodings
import TestSupport
import Testing

@Suite("CBOR")
struct CBORTests {
    static let file = "rfc8949/cbor.json"

    @Test("RFC 8949 appendix A: every item is read, and written again where its form is deterministic")
    func appendixA() throws {
        let cases = try vectors(Self.file, "items")
        #expect(cases.count == 81)
        for vector in cases {
            let bytes = try vector.hex("hex")
            let item = try CBOR.decode(bytes)
            #expect(diagnostic(item) == (try vector.string("diagnostic")))
            if try vector.bool("deterministic") { #expect(item.encoded() == bytes) }
            #expect(try CBOR.decode(item.encoded()) == item)
        }
    }

    @Test("RFC 8949 appendix F: nothing that is not well-formed is read")
    func appendixF() throws {
        let cases = try vectors(Self.file, "notWellFormed")
        #expect(cases.count > 90)
        for vector in cases {
            let text = try #require(vector.stringValue)
            #expect(throws: EncodingError.self, "\(text)") { try CBOR.decode(try Hex.decode(text)) }
        }
    }

    @Test("Lengths beyond the input are refused before anything is reserved for them")
    func hugeLengths() throws {
        for first in ["5b", "7b", "9b", "bb"] {
            for length in ["ffffffffffffffff", "7fffffffffffffff", "0000010000000000"] {
                let bytes = try Hex.decode(first + length + "00")
                #expect(code { _ = try CBOR.decode(bytes) } == .truncated)
            }
        }
    }

    @Test("Depth and number of items are bounded")
    func bounds() throws {
        func nested(_ first: UInt8, _ depth: Int) -> [UInt8] { [UInt8](repeating: first, count: depth) + [0] }
        for first: UInt8 in [0x81, 0xC1] {
            #expect(code { _ = try CBOR.decode(nested(first, 16)) } == nil)
            #expect(code { _ = try CBOR.decode(nested(first, 17)) } == .tooLarge)
            #expect(code { _ = try CBOR.decode(nested(first, 256), maximumDepth: 1000) } == nil)
            // The cap holds whatever the caller asks for: no input overflows the stack.
            #expect(code { _ = try CBOR.decode(nested(first, 100_000), maximumDepth: .max) } == .tooLarge)
        }
        let ten: [UInt8] = [0x8A] + [UInt8](repeating: 0, count: 10)
        #expect(code { _ = try CBOR.decode(ten, maximumItems: 11) } == nil)
        #expect(code { _ = try CBOR.decode(ten, maximumItems: 10) } == .tooLarge)
        #expect(code { _ = try CBOR.decode([0x9F] + ten.dropFirst() + [0xFF], maximumItems: 10) } == .tooLarge)
    }

    @Test("A key that stands twice in a map is refused, however it is written")
    func duplicateKeys() throws {
        // {0: 1, 0: 1}; the second zero in two bytes; "a" twice, once in chunks; and among many keys.
        for text in ["a200010001", "a20001180001", "a2616101 7f6161ff02", "bf61610161 6102ff"] {
            let bytes = try Hex.decode(text.filter { $0 != " " })
            #expect(code { _ = try CBOR.decode(bytes) } == .duplicateKey, "\(text)")
        }
        for count in [2, 8, 9, 10, 40] {
            var pairs = (0..<count).map { CBORPair("k\($0)", .null) }
            #expect(try CBOR.decode(CBOR.map(pairs).encoded()) == .map(pairs))
            pairs.append(CBORPair("k\(count / 2)", .null))
            #expect(code { _ = try CBOR.decode(CBOR.map(pairs).encoded()) } == .duplicateKey, "\(count)")
        }
        // Composed and decomposed é are two keys; so are 0 and 0.0.
        let distinct = CBOR.map([
            CBORPair("\u{E9}", .unsigned(1)), CBORPair("e\u{301}", .unsigned(2)),
            .init(key: .unsigned(0), value: .null), .init(key: .float(0), value: .null),
        ])
        #expect(try CBOR.decode(distinct.encoded()) == distinct)
        #expect(distinct[text: "e\u{301}"] == .unsigned(2))
    }

    @Test("Texts must be UTF-8, each chunk by itself")
    func utf8() throws {
        for text in ["61ff", "62c328", "63eda080", "7f61c361a9ff"] {
            #expect(code { _ = try CBOR.decode(try Hex.decode(text)) } == .malformed, "\(text)")
        }
        #expect(try CBOR.decode(try Hex.decode("7f62c3a961 61ff".filter { $0 != " " })) == .text("\u{E9}a"))
    }

    @Test("Bytes after the item are refused")
    func trailingBytes() {
        #expect(code { _ = try CBOR.decode([0, 0]) } == .trailingBytes)
        #expect(code { _ = try CBOR.decode([]) } == .truncated)
    }

    @Test("Every cut of a valid item is refused, and no mutation crashes the reader", arguments: [11, 12] as [UInt64])
    func hostile(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<300 {
            let item = randomItem(depth: 4, using: &random)
            let bytes = item.encoded()
            #expect(try CBOR.decode(bytes) == item)
            for count in 0..<bytes.count { #expect(code { _ = try CBOR.decode([UInt8](bytes[..<count])) } != nil) }
            var mutated = bytes
            mutated[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            if let survivor = try? CBOR.decode(mutated) {
                #expect(try CBOR.decode(survivor.encoded()) == survivor)
            }
        }
    }

    @Test("Two NaNs are the same key, whatever their bits, in a short map as in a long one: both are written the same")
    func notANumberAsKey() throws {
        for others in [0, 9] {
            var map: [UInt8] = [0xA2 + UInt8(others)]
            for key in 0..<UInt8(others) { map += [key, 0] }
            map += [0xF9, 0x7E, 0x5F, 0x00]
            let twice = map + [0xF9, 0xFF, 0x7F, 0x00]
            #expect(code { _ = try CBOR.decode(twice) } == .duplicateKey)
            let other = map + [0xF9, 0x80, 0x00, 0x00]
            #expect(throws: Never.self) { try CBOR.decode(other) }
        }
    }

    @Test("Each float is written in the shortest form that holds it exactly")
    func floats() throws {
        for bits in UInt16.min ... .max {
            let bytes = [0xF9, UInt8(bits >> 8), UInt8(bits & 0xFF)]
            guard case .float(let value) = try CBOR.decode(bytes) else {
                Issue.record("no float")
                return
            }
            if !value.isNaN, CBOR.float(value).encoded() != bytes { Issue.record("half \(bits)") }
        }
        var random = SeededRandom(seed: 3)
        for _ in 0..<2000 {
            let single = Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))
            let double = Double(bitPattern: random.next())
            for value in [Double(single), double] where !value.isNaN {
                let bytes = CBOR.float(value).encoded()
                #expect(try CBOR.decode(bytes) == .float(value))
                #expect(bytes.count == 9 || Double(Float(value)) == value)
            }
        }
    }

    private func randomItem(depth: Int, using random: inout SeededRandom) -> CBOR {
        switch Int.random(in: 0..<(depth == 0 ? 8 : 11), using: &random) {
        case 0: return .unsigned(random.next() >> UInt64.random(in: 0..<64, using: &random))
        case 1: return .negative(random.next() >> UInt64.random(in: 0..<64, using: &random))
        case 2: return .bytes(random.bytes(Int.random(in: 0..<40, using: &random)))
        case 3: return .text(String(repeating: "aé€😀", count: Int.random(in: 0..<4, using: &random)))
        case 4: return .bool(random.next() % 2 == 0)
        case 5: return .float(Double(Int64.random(in: -1000...1000, using: &random)) / 8)
        case 6: return random.next() % 2 == 0 ? .null : .undefined
        case 7: return .simple(UInt8.random(in: 32...255, using: &random))
        case 8:
            return .array(
                (0..<Int.random(in: 0..<4, using: &random)).map { _ in randomItem(depth: depth - 1, using: &random) }
            )
        case 9:
            return .map(
                (0..<Int.random(in: 0..<12, using: &random)).map {
                    CBORPair("key\($0)", randomItem(depth: depth - 1, using: &random))
                }
            )
        default: return .tagged(random.next(), randomItem(depth: depth - 1, using: &random))
        }
    }

    /// Diagnostic notation (RFC 8949 §8) as the vectors write it.
    private func diagnostic(_ item: CBOR) -> String {
        switch item {
        case .unsigned(let value): "\(value)"
        case .negative(.max): "-18446744073709551616"
        case .negative(let value): "-\(value + 1)"
        case .bytes(let bytes): "h'\(Hex.encode(bytes))'"
        case .text(let text): String(decoding: JSONValue.string(text).serialized(), as: UTF8.self)
        case .array(let items): "[" + items.map(diagnostic).joined(separator: ", ") + "]"
        case .map(let pairs):
            "{" + pairs.map { "\(diagnostic($0.key)): \(diagnostic($0.value))" }.joined(separator: ", ") + "}"
        case .tagged(let tag, let item): "\(tag)(\(diagnostic(item)))"
        case .bool(let value): "\(value)"
        case .null: "null"
        case .undefined: "undefined"
        case .float(let value):
            value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : "\(value)"
        case .simple(let value): "simple(\(value))"
        }
    }
}
