import Encodings
import Testing

@Suite("Code units")
struct CodeUnitsTests {
    @Test(
        "RFC 9110 §5.6.4: quotation marks and backslashes are escaped, also before a combining mark",
        arguments: [
            ("", "\"\""), ("a b", "\"a b\""), ("a\"b\\", "\"a\\\"b\\\\\""),
            ("\"\u{301}\\\u{301}", "\"\\\"\u{301}\\\\\u{301}\""),
        ]
    )
    func quoted(text: String, expected: String) {
        #expect(text.quoted.hasSameCodeUnits(as: expected))
    }

    @Test("Texts are the same where every byte is, whatever their length and however they are written")
    func sameness() {
        let long = String(repeating: "a", count: 8)
        for prefix in ["", "a", long, long + "a", long + long] {
            #expect(CodeUnits(prefix + "b") == CodeUnits(prefix + "b"))
            #expect(CodeUnits(prefix + "b").hashValue == CodeUnits(String(Array(prefix + "b"))).hashValue)
            #expect(CodeUnits(prefix + "b") != CodeUnits(prefix + "c"))
            #expect(CodeUnits("b" + prefix) != CodeUnits("c" + prefix))
            #expect(CodeUnits(prefix) != CodeUnits(prefix + "b"))
        }
        // To `==` of texts these two are one.
        #expect(CodeUnits("\u{E9}") != CodeUnits("e\u{301}"))
        #expect(Set([CodeUnits("\u{E9}"), CodeUnits("e\u{301}"), CodeUnits("\u{E9}")]).count == 2)
    }
}
