internal import CanonicalJSON
internal import Foundation
internal import Market

/// `SchemaPeer`: the check of schemas alone ([SLA-9]), for comparison with other implementations. Each line of its input is
/// `{"schema": …, "values": […]}`; each line of its output `{"verdicts": ["valid", "invalid", "too-much-work"]}` in the order of
/// the values, `{"refused": WHY}` for a schema that can't be checked, or `{"unread": WHY}` for a line that is no such object. It
/// ends with its input.
@main
enum Main {
    private static let limits = JSONLimits(maximumBytes: 4 << 20, maximumDepth: 512, maximumValues: 1_000_000)

    static func main() {
        while let line = readLine() {
            let text = JSONValue.object(answer(line)).serialized() + [UInt8(ascii: "\n")]
            try? FileHandle.standardOutput.write(contentsOf: Data(text))
        }
    }

    private static func answer(_ line: String) -> JSONObject {
        let given: JSONValue
        let values: [JSONValue]
        do {
            let asked = try JSONValue.parse(line, limits: limits)
            given = try asked.value("schema")
            values = try asked.array("values")
        } catch {
            return ["unread": .string(error.description)]
        }
        do {
            let schema = try JSONSchema(given)
            return ["verdicts": JSONValue(values.map { word(schema.check($0)) })]
        } catch {
            return ["refused": .string(error.message)]
        }
    }

    private static func word(_ verdict: JSONSchema.Verdict) -> String {
        switch verdict {
        case .valid: "valid"
        case .invalid: "invalid"
        case .tooMuchWork: "too-much-work"
        }
    }
}
