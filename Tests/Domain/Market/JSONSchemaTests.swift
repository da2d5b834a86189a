import CanonicalJSON
import TestSupport
import Testing

@testable import Market

private func schema(_ text: String) throws -> JSONSchema { try JSONSchema(try JSONValue.parse(text)) }

private func refusal(_ text: String) throws -> JSONError? {
    let value = try JSONValue.parse(text)
    do throws(JSONError) {
        _ = try JSONSchema(value)
        return nil
    } catch {
        return error
    }
}

@Suite("Schemas of answers") struct JSONSchemaTests {
    @Test("[SLA-9] The published suite's cases of the keywords that are understood come out as they should")
    func publishedSuite() throws {
        let suite = try JSONValue.parse(try Fixtures.bytes("json-schema/draft2020-12.json"))
        var count = 0
        for group in try suite.array("groups") {
            let about = try "\(group.string("file")): \(group.string("about"))"
            let schema: JSONSchema
            do {
                schema = try JSONSchema(try group.value("schema"))
            } catch {
                Issue.record("\(about): \(error)")
                continue
            }
            for value in try group.array("values") {
                let item = try #require(value[0])
                let isValid = value[1] == true
                #expect(schema.check(item) == (isValid ? .valid : .invalid), "\(about): \(value[2]?.stringValue ?? "")")
                count += 1
            }
        }
        #expect(count == 900)
    }

    @Test(
        "[SLA-9] A keyword that would change the answer and is not understood makes the schema one that can't be checked",
        arguments: [
            #"{"pattern": "(a+)+$"}"#, #"{"properties": {"a": {"patternProperties": {"^a": true}}}}"#,
            #"{"$id": "https://x.example/s"}"#, #"{"$ref": "https://x.example/s"}"#, ##"{"$ref": "#a"}"##,
            ##"{"$ref": "#/$defs/none"}"##, #"{"unevaluatedProperties": false}"#, ##"{"$dynamicRef": "#"}"##,
            #"{"$schema": "http://json-schema.org/draft-07/schema#"}"#, #"{"type": "integr"}"#, #"{"type": []}"#,
            #"{"minLength": -1}"#, #"{"maxItems": 1.5}"#, #"{"required": "a"}"#, #"{"allOf": []}"#, #"{"not": 1}"#,
            #"{"required": ["a", "a"]}"#, #"{"dependentRequired": {"a": ["b", "b"]}}"#,
            #"{"multipleOf": 0}"#, #"{"multipleOf": -2}"#, #"{"enum": 1}"#, #"[]"#, ##"{"$ref": "#/%zz"}"##,
        ]
    )
    func refused(_ text: String) throws {
        #expect(try refusal(text) != nil)
    }

    @Test("[SLA-9] A name is told from another by its bytes, and found by its pointer whatever marks follow its signs")
    func names() throws {
        #expect(try refusal(#"{"required": ["\u00e9", "e\u0301"]}"#) == nil)
        for (name, pointer) in [
            (#"/\u0301"#, "~1%CC%81"), (#"~\u0301x"#, "~0%CC%81x"), ("a/b~c%", "a~1b~0c%25"), (#"\u00e9"#, "%C3%A9"),
        ] {
            let led = try schema(##"{"$defs": {"\##(name)": {"type": "string"}}, "$ref": "#/$defs/\##(pointer)"}"##)
            #expect(led.check("x") == .valid && led.check(1) == .invalid, "\(pointer)")
        }
        #expect(try refusal(##"{"$defs": {"\u00e9": true}, "$ref": "#/$defs/e%CC%81"}"##) != nil)
    }

    @Test("[SLA-10] A schema over its bounds is refused, and one at them is read")
    func bounds() throws {
        func nested(_ levels: Int) -> String {
            String(repeating: #"{"not":"#, count: levels) + "true" + String(repeating: "}", count: levels)
        }
        #expect(try refusal(nested(32)) == nil)
        #expect(try refusal(nested(33))?.code == .depth)
        func wide(_ count: Int) -> String {
            #"{"anyOf":["# + (0..<count).map { _ in "true" }.joined(separator: ",") + "]}"
        }
        #expect(try refusal(wide(1_999)) == nil)
        #expect(try refusal(wide(2_000))?.code == .size)
        let long = #"{"title":"\#(String(repeating: "x", count: 65_536))"}"#
        #expect(try refusal(long)?.code == .size)
    }

    @Test("[SLA-10] What would take too much work is neither valid nor invalid")
    func work() throws {
        // Each level asks the next twice: 2^30 of them.
        var levels = (0..<30).map { level in
            let next = ##"{"$ref":"#/$defs/l\##(level + 1)"}"##
            return ##""l\##(level)":{"allOf":[\##(next),\##(next)]}"##
        }
        levels.append(##""l30":{"type":"integer"}"##)
        let bomb = try schema(##"{"$defs":{\##(levels.joined(separator: ","))},"$ref":"#/$defs/l0"}"##)
        #expect(bomb.check(1) == .tooMuchWork)
        let loop = try schema(##"{"$ref": "#"}"##)
        #expect(loop.check(1) == .tooMuchWork)
        let long = JSONValue.array((0..<5_000).map { .integer($0) })
        #expect(try schema(#"{"uniqueItems": true}"#).check(long) == .valid)
        // A large constant is not compared for nothing, over and over.
        let text = String(repeating: "x", count: 25_000)
        let again = (0..<1_500).map { _ in ##"{"$ref":"#/$defs/a"}"## }.joined(separator: ",")
        let large = try schema(##"{"$defs":{"a":{"const":"\##(text)"}},"allOf":[\##(again)]}"##)
        #expect(large.check(.string(text)) == .tooMuchWork)
        #expect(large.check(.string("x")) == .invalid)
    }

    @Test("[SLA-9] Numbers are compared by value and as they are written")
    func numbers() throws {
        #expect(try schema(#"{"multipleOf": 0.1}"#).check(0.3) == .valid)
        #expect(try schema(#"{"multipleOf": 0.1}"#).check(0.35) == .invalid)
        #expect(try schema(#"{"multipleOf": 1e-300}"#).check(.double(1e308)) == .valid)
        #expect(try schema(#"{"multipleOf": 3}"#).check(.double(1e308)) == .invalid)
        #expect(try schema(#"{"const": 1}"#).check(1.0) == .valid)
        #expect(try schema(#"{"uniqueItems": true}"#).check([1, 1.0]) == .invalid)
        #expect(try schema(#"{"uniqueItems": true}"#).check([["a": 1, "b": 2], ["b": 2, "a": 1]]) == .invalid)
        #expect(try schema(#"{"uniqueItems": true}"#).check([1, "1", [1], true]) == .valid)
        #expect(try schema(#"{"maximum": 9007199254740991}"#).check(.integer(9_007_199_254_740_993)) == .invalid)
        #expect(try schema(#"{"minItems": 3, "maxItems": 2}"#).check([1, 2, 3]) == .invalid)
    }
}
