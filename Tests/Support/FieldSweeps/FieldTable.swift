/// What is to happen to each field of a document, one a line: its place, what comes of it changed, and what of it taken
/// out.
///
/// A table covers its document: a field without a line, and a line without a field, are both told, so that no new field can
/// be forgotten.
public struct FieldTable: Sendable {
    private let lines: [String: Outcome]

    /// What came of a field changed, and of it taken out.
    public struct Outcome: Hashable, Sendable, CustomStringConvertible {
        public var changed: String
        public var removed: String

        public init(changed: String, removed: String) {
            self.changed = changed
            self.removed = removed
        }

        public var description: String { changed == removed ? changed : "\(changed) \(removed)" }
    }

    /// - Parameter text: `place changed removed`, or `place both` where they are the same. A later line stands for an earlier
    ///   one of the same place. Below `in place` the places are those within it, until the next `in`.
    public init(_ text: String) {
        var lines: [String: Outcome] = [:]
        var prefix = ""
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ").map(String.init)
            guard let first = words.first, let last = words.last else { continue }
            if first == "in" {
                prefix = words.count > 1 ? last + "." : ""
            } else if words.count > 1 {
                lines[prefix + first] = Outcome(changed: words[1], removed: last)
            }
        }
        self.lines = lines
    }

    /// What differs, ready to be shown; empty where everything came as it is written here.
    public func differences(_ found: [(place: String, outcome: Outcome)]) -> String {
        var told: [String] = []
        for (place, outcome) in found where lines[place] != outcome {
            told.append("\(place) \(outcome)\(lines[place].map { "  -- not \($0)" } ?? "  -- has no line")")
        }
        let places = Set(found.map(\.place))
        for place in lines.keys.sorted() where !places.contains(place) { told.append("\(place)  -- is no field") }
        return told.joined(separator: "\n")
    }

    /// A reason as a table names it: its code, and in brackets the member that its message names first.
    public static func word(_ code: String, _ message: String) -> String {
        let parts = message.split(separator: "`", omittingEmptySubsequences: false)
        guard parts.count > 2, !parts[1].contains(" "), let member = parts[1].split(separator: ".").last else {
            return code
        }
        return "\(code)(\(member))"
    }
}
