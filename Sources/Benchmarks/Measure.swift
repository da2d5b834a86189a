internal import CanonicalJSON

/// One figure, printed as one JSON object on a line of its own.
struct Measure {
    var name: String
    var value: Double
    /// Of `value`, such as `1/s` or `ms`.
    var unit: String
    /// What the figure is to be held against, in the same unit; nil where there is nothing.
    var yardstick: Double?

    /// `value` over `yardstick`.
    var ratio: Double? { yardstick.flatMap { $0 > 0 ? value / $0 : nil } }

    var line: String {
        func number(_ value: Double?) -> JSONValue { value.map { .double(($0 * 1000).rounded() / 1000) } ?? .null }
        let object = JSONValue.object([
            "name": .string(name), "value": number(value), "unit": .string(unit), "yardstick": number(yardstick),
            "ratio": number(ratio),
        ])
        return String(decoding: object.serialized(), as: UTF8.self)
    }
}
