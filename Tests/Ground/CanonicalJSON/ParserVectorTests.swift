import CanonicalJSON
import TestSupport
import Testing

@Suite("JSON parser: nst/JSONTestSuite")
struct ParserVectorTests {
    static let file = "json-test-suite/parsing.json"

    @Test("What every parser must accept is accepted, save members named twice")
    func accepted() throws {
        let cases = try vectors(Self.file, "accepted")
        #expect(cases.count == 95)
        for vector in cases {
            let name = try vector.string("name")
            let bytes = try vector.hex("hex")
            if name == "y_object_duplicated_key" || name == "y_object_duplicated_key_and_value" {
                #expect(code { _ = try JSONValue.parse(bytes) } == .duplicateKey)
                continue
            }
            let value = try JSONValue.parse(bytes)
            #expect(try JSONValue.parse(value.serialized()) == value, "\(name)")
            #expect(try JSONValue.parse(value.prettyPrinted()) == value, "\(name)")
        }
    }

    @Test("What every parser must refuse is refused as bad syntax")
    func refused() throws {
        let cases = try vectors(Self.file, "refused")
        #expect(cases.count == 186)
        for vector in cases {
            let bytes = try vector.hex("hex")
            let failure = code { _ = try JSONValue.parse(bytes) }
            #expect(failure == .syntax || failure == .loneSurrogate, "\(vector["name"]?.stringValue ?? "")")
        }
    }

    @Test("Where parsers may differ, this one refuses what could be read in two ways")
    func implementationDefined() throws {
        let cases = try vectors(Self.file, "implementationDefined")
        #expect(cases.count == 35)
        for vector in cases {
            let bytes = try vector.hex("hex")
            let failure = code { _ = try JSONValue.parse(bytes) }
            let expected: JSONError.Code? =
                switch try vector.string("name") {
                case "i_number_double_huge_neg_exp", "i_number_real_underflow": nil
                case "i_number_huge_exp", "i_number_neg_int_huge_exp", "i_number_pos_double_huge_exp",
                    "i_number_real_neg_overflow", "i_number_real_pos_overflow":
                    .notFinite
                case "i_number_too_big_neg_int", "i_number_too_big_pos_int", "i_number_very_big_negative_int":
                    .inexactInteger
                case "i_structure_500_nested_arrays": .depth
                case let name where name.contains("UTF") || name.contains("utf"): .syntax
                case "i_string_iso_latin_1", "i_string_lone_utf8_continuation_byte", "i_string_not_in_unicode_range",
                    "i_string_overlong_sequence_2_bytes", "i_string_overlong_sequence_6_bytes",
                    "i_string_overlong_sequence_6_bytes_null":
                    .syntax
                default: .loneSurrogate
                }
            #expect(failure == expected, "\(vector["name"]?.stringValue ?? "")")
        }
    }

    @Test("A hundred thousand brackets are refused, not a stack overflow")
    func deepNesting() {
        #expect(refusal(String(repeating: "[", count: 100_000)) == .depth)
        #expect(refusal(String(repeating: "[{\"\":", count: 50_000) + "\n") == .depth)
        let unbounded = JSONLimits(maximumDepth: .max)
        #expect(refusal(String(repeating: "[", count: 100_000), limits: unbounded) == .depth)
        let deepest = String(repeating: "[", count: 512) + String(repeating: "]", count: 512)
        #expect(refusal(deepest, limits: unbounded) == nil)
        #expect(refusal("[" + deepest + "]", limits: unbounded) == .depth)
    }
}
