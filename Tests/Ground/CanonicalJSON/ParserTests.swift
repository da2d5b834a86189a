import CanonicalJSON
import TestSupport
import Testing

@Suite("JSON parser: strictness and bounds")
struct ParserTests {
    @Test("Integers are exact or refused")
    func integers() throws {
        #expect(try JSONValue.parse("9007199254740991") == .integer(9_007_199_254_740_991))
        #expect(try JSONValue.parse("-9007199254740991") == .integer(-9_007_199_254_740_991))
        for text in [
            "9007199254740992", "-9007199254740992", "9223372036854775807", "18446744073709551615",
            "18446744073709551616", "100000000000000000000000000000", "-1" + String(repeating: "0", count: 400),
            // Whole numbers that RFC 8785 would write as such integers, in other spellings.
            "9007199254740992.0", "9.007199254740992e15", "1E20", "-1e17", "123456789012345678.5",
        ] {
            #expect(refusal(text) == .inexactInteger, "\(text)")
        }
        #expect(try JSONValue.parse("1e21") == .double(1e21))
        #expect(try JSONValue.parse("9007199254740991.0") == .integer(9_007_199_254_740_991))
    }

    @Test("Integers of 64 bits are read exactly where the caller accepts them")
    func wideIntegers() throws {
        let limits = JSONLimits(acceptsUInt64: true)
        for value in [0, 1, 1 << 53, 1 << 63 - 1, 1 << 63, UInt64.max - 1, .max] {
            let parsed = try JSONValue.parse("\(value)", limits: limits)
            #expect(parsed.uint64Value == value)
            #expect(parsed == JSONValue(value))
            #expect(text(parsed.serialized()) == "\(value)")
            #expect(parsed.int64Value == Int64(exactly: value))
        }
        #expect(try JSONValue.parse("-9223372036854775808", limits: limits).int64Value == .min)
        for text in [
            "18446744073709551616", "-9223372036854775809", "-18446744073709551615", "99999999999999999999",
            "184467440737095516150", "1e20",
        ] {
            #expect(refusal(text, limits: limits) == .inexactInteger, "\(text)")
        }
    }

    @Test("Numbers keep the kind they were written in")
    func kinds() throws {
        #expect(try JSONValue.parse("5").uint64Value == 5)
        for text in ["5.0", "5e0", "50e-1"] {
            let value = try JSONValue.parse(text)
            #expect(value.uint64Value == nil && value.int64Value == nil && value.doubleValue == 5)
            #expect(value == 5)
        }
        #expect(try JSONValue.parse("-0").int64Value == 0)
        #expect(try JSONValue.parse("-0.0").doubleValue?.sign == .minus)
        #expect(try JSONValue.parse("-1").uint64Value == nil)
        #expect(try JSONValue.parse("1e-400") == 0.0)
        #expect(try JSONValue.parse("2.2250738585072014e-308") == .double(.leastNormalMagnitude))
        #expect(refusal("1e309") == .notFinite)
        #expect(refusal("-1e99999999999999999999") == .notFinite)
        #expect(try JSONValue.parse("1e-99999999999999999999") == 0.0)
        #expect(refusal("0." + String(repeating: "0", count: 600)) == .size)
        for text in [
            "01", "-01", "00", "+1", ".5", "1.", "1.e5", "1e", "1e+", "-", "--1", "0x10", "1_000", "NaN", "Infinity",
            "１",
        ] {
            #expect(refusal(text) == .syntax, "\(text)")
        }
    }

    @Test("A member named twice is refused by code units, whatever its spelling")
    func duplicateKeys() throws {
        for text in [
            #"{"a":1,"a":1}"#, #"{"a":1,"b":2,"\u0061":3}"#, #"{"":0,"":0}"#, #"{"x":{"k":1,"k":2}}"#,
            #"{"é":1,"\u00e9":2}"#, #"{"😀":1,"\ud83d\ude00":2}"#,
        ] {
            #expect(refusal(text) == .duplicateKey, "\(text)")
        }
        // Canonically equivalent names are different members.
        let object = try JSONValue.parse("{\"\u{E9}\":1,\"e\u{301}\":2}").requireObject()
        #expect(object.count == 2 && object["\u{E9}"] == 1 && object["e\u{301}"] == 2)
        for count in [15, 16, 17, 18, 500] {
            let members = (0..<count).map { "\"key\($0)\":\($0)" }
            let many = try JSONValue.parse("{" + members.joined(separator: ",") + "}")
            for index in 0..<count { #expect(many["key\(index)"] == JSONValue(index)) }
            #expect(many["key\(count)"] == nil)
            for repeated in [0, count / 2, count - 1] {
                #expect(refusal("{" + members.joined(separator: ",") + ",\"key\(repeated)\":0}") == .duplicateKey)
            }
        }
    }

    @Test("Many names that are canonically equivalent to each other do not slow the parser down")
    func hostileNames() throws {
        // Each is a permutation of combining marks: all equal and of equal hash for `String`, none by code units.
        let marks: [Character] = ["\u{300}", "\u{301}", "\u{316}", "\u{317}", "\u{327}", "\u{328}"]
        var random = SeededRandom(seed: 4)
        var names: Set<[UInt8]> = []
        while names.count < 300 {
            var name = "a"
            for mark in marks.shuffled(using: &random) { name.unicodeScalars.append(contentsOf: mark.unicodeScalars) }
            names.insert([UInt8](name.utf8))
        }
        let members = names.map { "\"" + String(decoding: $0, as: UTF8.self) + "\":0" }
        #expect(try JSONValue.parse("{" + members.joined(separator: ",") + "}").requireObject().count == 300)
    }

    @Test("Escapes are read; halves of surrogate pairs are refused")
    func strings() throws {
        #expect(
            try JSONValue.parse(#""\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud83d\ude00\u0000""#)
                == "\"\\/\u{8}\u{c}\n\r\tA\u{e9}€😀\0"
        )
        #expect(try JSONValue.parse(#""\uD834\uDD1Ex""#) == "𝄞x")
        for text in [
            #""\ud800""#, #""\udc00""#, #""\ud800x""#, #""\ud800\n""#, #""\ud800\ud800""#, #""\udc00\ud800""#,
            #""\uDBFF\u0041""#, #""a\ud83d""#, #"{"\ud800":1}"#,
        ] {
            #expect(refusal(text) == .loneSurrogate, "\(text)")
        }
        for text in [
            #""\u12"#, #""\u12g4""#, #""\x41""#, #""\U0041""#, #""\"#, #"""#, #""abc"#, "\"a\nb\"", "\"\t\"", "\"\0\"",
            "'a'", #""\ud83d\u""#,
        ] {
            #expect(refusal(text) == .syntax, "\(text)")
        }
    }

    @Test("Only valid UTF-8 without a byte order mark is read")
    func utf8() throws {
        let bad: [[UInt8]] = [
            [0xFF], [0xC3], [0xC3, 0x28], [0xC0, 0x80], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xED, 0xBF, 0xBF],
            [0xF0, 0x80, 0x80, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xF8, 0x88, 0x80, 0x80, 0x80], [0x80], [0xE2, 0x82],
        ]
        for bytes in bad {
            #expect(code { _ = try JSONValue.parse([0x22] + bytes + [0x22]) } == .syntax)
            #expect(code { _ = try JSONValue.parse([0x22, 0x5C, 0x6E] + bytes + [0x22]) } == .syntax)
            #expect(code { _ = try JSONValue.parse([0x7B, 0x22] + bytes + [0x22, 0x3A, 0x31, 0x7D]) } == .syntax)
            #expect(code { _ = try JSONValue.parse(bytes) } == .syntax)
        }
        #expect(code { _ = try JSONValue.parse([0xEF, 0xBB, 0xBF, 0x31]) } == .syntax)
        #expect(try JSONValue.parse([0x22, 0xF4, 0x8F, 0xBF, 0xBF, 0x22]) == "\u{10FFFF}")
    }

    @Test("Nothing but the four white space characters may surround a value")
    func whiteSpace() throws {
        #expect(try JSONValue.parse(" \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } } \n") == ["a": [1, 2], "b": [:]])
        for text in [
            "", " ", "1 2", "1,", "{}x", "[]]", "\u{A0}1", "\u{2028}1", "1\0", "\u{c}1", "// c\n1", "[1,]",
            "{\"a\":1,}", "[,1]", "{,}", "{a:1}", "{\"a\"}", "{\"a\":}", "{\"a\",1}", "[1 2]", "tru", "truE", "nul",
            "falsey",
        ] {
            #expect(refusal(text) == .syntax, "\(text)")
        }
    }

    @Test("Bytes, depth and number of values are bounded at their exact limits")
    func bounds() {
        #expect(refusal("[1,2,3]", limits: JSONLimits(maximumBytes: 7)) == nil)
        #expect(refusal("[1,2,3]", limits: JSONLimits(maximumBytes: 6)) == .size)
        #expect(refusal("[1,2,3]", limits: JSONLimits(maximumValues: 4)) == nil)
        #expect(refusal("[1,2,3]", limits: JSONLimits(maximumValues: 3)) == .size)
        #expect(refusal("[{\"a\":[1]}]", limits: JSONLimits(maximumDepth: 3)) == nil)
        #expect(refusal("[{\"a\":[1]}]", limits: JSONLimits(maximumDepth: 2)) == .depth)
        #expect(refusal("1", limits: JSONLimits(maximumDepth: 0)) == nil)
        #expect(refusal("[]", limits: JSONLimits(maximumDepth: 0)) == .depth)
        let bytes = [UInt8]("[1,2,3]".utf8)
        #expect(code { _ = try JSONValue.parse(bytes, limits: JSONLimits(maximumBytes: 7)) } == nil)
        #expect(code { _ = try JSONValue.parse(bytes, limits: JSONLimits(maximumBytes: 6)) } == .size)
        let slice = [UInt8]("xx[1]yy".utf8)[2..<5]
        #expect(code { _ = try JSONValue.parse(slice) } == nil)
        #expect(code { _ = try JSONValue.parse(slice, limits: JSONLimits(maximumBytes: 2)) } == .size)
    }

    @Test("Errors say where")
    func offsets() throws {
        func offset(_ text: String) -> Int? {
            do throws(JSONError) {
                _ = try JSONValue.parse(text)
                return nil
            } catch { return error.offset }
        }
        #expect(offset("[1,x]") == 3)
        #expect(offset(#"{"a":1,"a":2}"#) == 7)
        #expect(offset(#"["\ud800"]"#) == 2)
        #expect(offset("[1") == 2)
        #expect(offset("[123456789012345678]") == 1)
        #expect(JSONError(.syntax, "x", offset: 3).description == "x, at byte 3 [syntax]")
        #expect(JSONError(.missing, "x").description == "x [missing]")
    }

    @Test("Every cut of a document is refused, and no mutation crashes the parser", arguments: [1, 2, 3] as [UInt64])
    func hostile(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<150 {
            let value = JSONValue.object(["k": randomValue(depth: 4, using: &random)])
            let bytes = value.serialized()
            #expect(try JSONValue.parse(bytes) == value)
            for count in 0..<bytes.count {
                // A number cut short may also be one that is refused for its size.
                let failure = code { _ = try JSONValue.parse([UInt8](bytes[..<count])) }
                #expect(failure == .syntax || failure == .inexactInteger)
            }
            for _ in 0..<20 {
                var mutated = bytes
                mutated[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
                guard let survivor = try? JSONValue.parse(mutated) else { continue }
                #expect(try JSONValue.parse(survivor.serialized()) == survivor)
                #expect(try JSONValue.parse(survivor.canonicalized()) == survivor)
            }
        }
    }
}

/// A value of at most `depth` levels, its numbers and strings drawn from the awkward ones.
func randomValue(depth: Int, using random: inout SeededRandom) -> JSONValue {
    switch Int.random(in: 0..<(depth == 0 ? 6 : 8), using: &random) {
    case 0: return .null
    case 1: return .bool(random.next() % 2 == 0)
    case 2:
        return .integer(
            Int64.random(in: -(1 << 53 - 1)...(1 << 53 - 1), using: &random) >> Int64.random(in: 0..<53, using: &random)
        )
    case 3:
        let value = Double(bitPattern: random.next())
        return value.isFinite && (value.magnitude < 0x1p53 || value.magnitude >= 1e21) ? .double(value) : 0.1
    case 4, 5: return .string(randomText(using: &random))
    case 6:
        return .array(
            (0..<Int.random(in: 0..<5, using: &random)).map { _ in randomValue(depth: depth - 1, using: &random) }
        )
    default:
        return .object(
            JSONObject(
                (0..<Int.random(in: 0..<24, using: &random)).map { _ in
                    (randomText(using: &random), randomValue(depth: max(0, depth - 2), using: &random))
                }
            )
        )
    }
}

private func randomText(using random: inout SeededRandom) -> String {
    let pieces: [Unicode.Scalar] = [
        "a", "Z", "0", "\"", "\\", "/", "\n", "\0", "\u{1F}", "\u{7F}", "\u{80}", "\u{E9}", "\u{301}", "\u{20AC}",
        "\u{D7FF}", "\u{E000}", "\u{FB33}", "\u{FFFF}", "\u{1F600}", "\u{10FFFF}",
    ]
    var text = ""
    for _ in 0..<Int.random(in: 0..<12, using: &random) {
        text.unicodeScalars.append(pieces[Int.random(in: 0..<pieces.count, using: &random)])
    }
    return text
}
