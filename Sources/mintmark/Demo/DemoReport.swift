import CanonicalJSON
import Foundation

/// Tells the story of the demonstration, in words or as one JSON object a step.
final class DemoReport {
    private let json: Bool
    private var number = 0
    private(set) var failed = false

    init(json: Bool) {
        self.json = json
    }

    func opening(_ text: String) {
        if !json { Output.line(text + "\n") }
    }

    func closing(_ text: String) {
        if !json { Output.line(text) }
    }

    /// Runs one step and tells how it ended.
    /// - Parameters:
    ///   - name: the step's name in JSON.
    ///   - title: what happens, in words.
    ///   - command: the command that does the same by hand.
    ///   - body: does it, and returns the figures with the sentence that tells them.
    func step(
        _ name: String,
        _ title: String,
        command: String? = nil,
        _ body: () async throws -> (figures: JSONObject, told: String)
    ) async throws {
        number += 1
        let clock = ContinuousClock()
        let start = clock.now
        do {
            let (figures, told) = try await body()
            tell(name, title, command, clock.now - start, figures, told, error: nil)
        } catch {
            failed = true
            tell(name, title, command, clock.now - start, [:], "", error: error)
            throw error
        }
    }

    private func tell(
        _ name: String,
        _ title: String,
        _ command: String?,
        _ duration: Duration,
        _ figures: JSONObject,
        _ told: String,
        error: (any Error)?
    ) {
        let milliseconds = duration.milliseconds
        if json {
            var object: JSONObject = [
                "step": .string(name), "ok": .bool(error == nil), "milliseconds": .double(milliseconds.rounded(to: 1)),
            ]
            for (key, value) in figures { object[key] = value }
            if let error { object["error"] = .string("\(error)") }
            return Output.json(.object(object))
        }
        let mark = error == nil ? "ok" : "FAILED"
        let heading = "\(number < 10 ? " " : "")\(number). \(title)"
        Output.line(
            "\(heading.padding(toLength: max(70, heading.count), withPad: " ", startingAt: 0)) \(mark), \(Int(milliseconds)) ms"
        )
        if let command { Output.line("    $ \(command)") }
        for line in (error.map { "\($0)" } ?? told).split(separator: "\n") { Output.line("    \(line)") }
        Output.line("")
    }
}

extension Duration {
    var milliseconds: Double {
        Double(components.seconds) * 1000 + Double(components.attoseconds) / 1e15
    }
}

extension Double {
    func rounded(to places: Int) -> Double {
        let scale = pow(10, Double(places))
        return (self * scale).rounded() / scale
    }
}
