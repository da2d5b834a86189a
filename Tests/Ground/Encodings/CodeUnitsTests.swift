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
}
