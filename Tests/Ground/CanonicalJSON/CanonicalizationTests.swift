import COpenSSL
import CanonicalJSON
import Encodings
import Foundation
import TestSupport
import Testing

@testable import CanonicalJSON

@Suite("RFC 8785")
struct CanonicalizationTests {
    @Test("The documents of cyberphone/json-canonicalization")
    func documents() throws {
        let cases = try vectors("json-canonicalization/documents.json", "cases")
        #expect(cases.count == 6)
        for vector in cases {
            let canonical = try JSONValue.parse(try vector.hex("inputHex")).canonicalized()
            #expect(canonical == (try vector.hex("canonicalHex")), "\(vector)")
            #expect(try JSONValue.parse(canonical).canonicalized() == canonical)
        }
    }

    @Test("Appendix B: numbers")
    func appendixB() throws {
        let cases = try vectors("json-canonicalization/numbers.json", "appendixB")
        #expect(cases.count == 26)
        for vector in cases {
            let value = Double(bitPattern: try #require(UInt64(try vector.string("bits"), radix: 16)))
            guard let expected = try vector.optionalString("text") else {
                #expect(code { _ = try JSONValue.double(value).canonicalized() } == .notFinite)
                #expect(text(JSONValue.double(value).serialized()) == "null")
                continue
            }
            #expect(number(value) == expected)
            #expect(text(JSONValue.double(value).serialized()) == expected)
        }
    }

    /// The lines of the published file of 100 million numbers, checked by the hash of its beginning.
    @Test("The published sequence of numbers hashes as published")
    func numberSequence() throws {
        let isSoak = ProcessInfo.processInfo.environment["SOAK"] == "1"
        let file = "json-canonicalization/numbers.json"
        let seeds = try vectors(file, "seeds").map { try #require(UInt64($0.stringValue ?? "", radix: 16)) }
        var hashes: [Int64: String] = [:]
        for vector in try vectors(file, "hashes") { hashes[try vector.int64("lines")] = try vector.string("sha256") }
        let last: Int64 = isSoak ? 10_000_000 : 10_000
        let context = EVP_MD_CTX_new()
        defer { EVP_MD_CTX_free(context) }
        EVP_DigestInit_ex(context, EVP_sha256(), nil)
        var values = NumberSequence(seeds: seeds)
        var compared = 0
        for line in 1...last {
            let bits = values.next()
            let bytes = [UInt8]("\(String(bits, radix: 16)),\(number(Double(bitPattern: bits)))\n".utf8)
            EVP_DigestUpdate(context, bytes, bytes.count)
            guard let expected = hashes[line] else { continue }
            let copy = EVP_MD_CTX_new()
            defer { EVP_MD_CTX_free(copy) }
            EVP_MD_CTX_copy_ex(copy, context)
            var digest = [UInt8](repeating: 0, count: 32)
            EVP_DigestFinal_ex(copy, &digest, nil)
            #expect(Hex.encode(digest) == expected, "\(line) lines")
            compared += 1
        }
        #expect(compared == (isSoak ? 5 : 2))
    }

    @Test("Every number written reads back as the same double, in the shortest digits")
    func numbersRoundTrip() throws {
        var random = SeededRandom(seed: 8785)
        for _ in 0..<5000 {
            let value = Double(bitPattern: random.next())
            guard value.isFinite else { continue }
            let written = number(value)
            #expect(Double(written) == value)
            #expect(written == number(-value).replacingOccurrences(of: "-", with: "", options: .anchored) || value < 0)
            for scaled in [
                (value.significand * 1e6).rounded() / 1e6, (value.significand * 1e9).rounded(), 1 / value.significand,
            ] {
                #expect(Double(number(scaled)) == scaled)
            }
        }
        for exponent in -330...308 {
            let value = try #require(Double("1e\(exponent)"))
            let expected =
                switch exponent {
                case ..<(-323): "0"
                case ..<(-6): "1e-\(-exponent)"
                case ..<0: "0." + String(repeating: "0", count: -exponent - 1) + "1"
                case ..<21: "1" + String(repeating: "0", count: exponent)
                default: "1e+\(exponent)"
                }
            #expect(number(value) == expected)
        }
    }

    @Test("Names sort by UTF-16 code units, not by code points and not by canonical equivalence")
    func order() throws {
        let names = [
            "", "\0", "\u{1}", "1", "10", "2", "A", "a", "aa", "b", "e\u{301}", "\u{80}", "\u{E9}", "\u{FFFF}",
            "\u{FB33}", "\u{E000}", "\u{D7FF}", "\u{10000}", "\u{1F600}", "\u{10FFFF}", "\u{1F600}\u{E000}",
            "\u{FFFF}\u{10000}",
        ]
        for left in names {
            for right in names {
                let expected = left.utf16.lexicographicallyPrecedes(right.utf16)
                #expect(UTF16Order.precedes(left, right) == expected)
            }
        }
        let object: JSONObject = ["\u{FB33}": 1, "\u{1F600}": 2, "\u{E9}": 3, "e\u{301}": 4, "Z": 5]
        #expect(
            text(try object.canonicalized()) == "{\"Z\":5,\"e\u{301}\":4,\"\u{E9}\":3,\"\u{1F600}\":2,\"\u{FB33}\":1}"
        )
    }

    @Test("The order of members in the input does not matter", arguments: [21, 22] as [UInt64])
    func orderIndependence(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<100 {
            let value = randomValue(depth: 5, using: &random)
            let other = shuffled(value, using: &random)
            #expect(value == other)
            #expect(try value.canonicalized() == (try other.canonicalized()))
            #expect(try JSONValue.parse(try value.canonicalized()) == value)
        }
    }

    @Test("Strings take the minimal escapes")
    func strings() throws {
        let all = String(String.UnicodeScalarView((0..<0x21).compactMap(Unicode.Scalar.init)))
        let expected =
            #""\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f\u0010\u0011\u0012\u0013"#
            + #"\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f ""#
        #expect(text(try JSONValue.string(all).canonicalized()) == expected)
        #expect(
            text(try JSONValue.string("\"\\/\u{7F}\u{80}<\u{2028}é😀").canonicalized())
                == "\"\\\"\\\\/\u{7F}\u{80}<\u{2028}é😀\""
        )
        #expect(text(try JSONValue.string("plain\nthen").canonicalized()) == #""plain\nthen""#)
    }

    @Test("What a strict reader would not take back has no canonical form")
    func refuses() {
        for value: JSONValue in [
            .integer(1 << 53), .integer(-(1 << 53)), .integer(.min), .unsigned(.max), .double(0x1p53), .double(-1e20),
        ] {
            #expect(code { _ = try value.canonicalized() } == .inexactInteger)
            #expect(code { _ = try JSONValue.array([["a": value]]).canonicalized() } == .inexactInteger)
        }
        for value in [Double.nan, .infinity, -.infinity] {
            #expect(code { _ = try JSONValue.double(value).canonicalized() } == .notFinite)
        }
        #expect(code { _ = try JSONValue.double(1e21).canonicalized() } == nil)
        #expect(code { _ = try JSONValue.integer(1 << 53 - 1).canonicalized() } == nil)
    }

    @Test("Minus zero is written as zero")
    func minusZero() throws {
        #expect(text(try JSONValue.parse("[-0,-0.0,-0e5,-1e-400]").canonicalized()) == "[0,0,0,0]")
    }

    private func number(_ value: Double) -> String {
        var output: [UInt8] = []
        ECMAScriptNumber.append(value, to: &output)
        return text(output)
    }

    private func shuffled(_ value: JSONValue, using random: inout SeededRandom) -> JSONValue {
        switch value {
        case .array(let elements): return .array(elements.map { shuffled($0, using: &random) })
        case .object(let object):
            let members = object.map { ($0.key, shuffled($0.value, using: &random)) }
            return .object(JSONObject(members.shuffled(using: &random)))
        default: return value
        }
    }
}

/// The generator that the README of cyberphone/json-canonicalization describes.
private struct NumberSequence {
    private var queue: [UInt64]
    private var position = 0
    private var block = [UInt8](repeating: 0, count: 32)

    init(seeds: [UInt64]) {
        queue = seeds + (0..<2000).map { 0x0010_0000_0000_0000 + $0 }
    }

    mutating func next() -> UInt64 {
        while true {
            if position == queue.count { refill() }
            defer { position += 1 }
            let value = Double(bitPattern: queue[position])
            // The fixed values hold zeros; the random ones skip them.
            if queue.count > 4 || (value != 0 && value.isFinite) { return queue[position] }
        }
    }

    private mutating func refill() {
        var digest = [UInt8](repeating: 0, count: 32)
        SHA256(block, block.count, &digest)
        block = digest
        queue = stride(from: 0, to: 32, by: 8).map { start in
            block[start..<(start + 8)].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        position = 0
    }
}
