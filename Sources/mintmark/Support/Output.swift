import CanonicalJSON
import Foundation

/// Standard output for results, standard error for everything else.
enum Output {
    static func line(_ text: String) { write(Data((text + "\n").utf8)) }

    static func bytes(_ bytes: [UInt8]) { write(Data(bytes)) }

    /// Where nobody reads it, nothing is missing.
    static func note(_ text: String, terminator: String = "\n") {
        try? FileHandle.standardError.write(contentsOf: Data((text + terminator).utf8))
    }

    /// Ends the command with status 1 where the result can't be told: in silence where its reader has gone, as in `mintmark … | head -1`.
    private static func write(_ data: Data) {
        do {
            try FileHandle.standardOutput.write(contentsOf: data)
        } catch {
            let cause = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError ?? error as NSError
            if cause.domain != NSPOSIXErrorDomain || cause.code != Int(EPIPE) {
                note("mintmark: standard output cannot be written: \(cause.localizedDescription)")
            }
            exit(1)
        }
    }

    static func json(_ value: JSONValue) {
        line(String(decoding: value.serialized(), as: UTF8.self))
    }

    /// Columns, each as wide as its widest cell.
    static func table(_ header: [String], _ rows: [[String]]) {
        let all = [header] + rows
        let widths = header.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        for row in all {
            let cells = zip(row, widths).map { $0.padding(toLength: $1, withPad: " ", startingAt: 0) }
            line(cells.joined(separator: "  ").trimmingCharacters(in: .whitespaces))
        }
    }

    /// `label: value` lines with the values in one column.
    static func facts(_ facts: [(String, String)]) {
        let width = facts.map(\.0.count).max() ?? 0
        for (label, value) in facts {
            line((label + ":").padding(toLength: width + 2, withPad: " ", startingAt: 0) + value)
        }
    }
}

extension JSONValue {
    /// A member as a person reads it: text as it is, numbers and flags by their name, a list joined by commas.
    func shown(_ key: String) -> String {
        switch self[key] {
        case .string(let text)?: text
        case .integer(let number)?: String(number)
        case .unsigned(let number)?: String(number)
        case .bool(let flag)?: flag ? "yes" : "no"
        case .array(let items)?: items.compactMap(\.stringValue).joined(separator: ", ")
        default: "-"
        }
    }
}
