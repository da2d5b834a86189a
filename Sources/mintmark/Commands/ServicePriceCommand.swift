import ArgumentParser
import CanonicalJSON
import Foundation
import Node

/// `x-tokens=7`.
struct MeasureArgument: ExpressibleByArgument {
    let name: String
    let quantity: UInt64

    init?(argument: String) {
        guard let equals = argument.lastIndex(of: "="),
            let quantity = UInt64(argument[argument.index(after: equals)...])
        else { return nil }
        name = argument[..<equals].lowercased()
        guard !name.isEmpty else { return nil }
        self.quantity = quantity
    }
}

extension ServiceCommand {
    struct Price: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "What a call would cost: nothing is called, and nothing moves.",
            discussion: """
                Says which of the service's prices the call falls under, what would be quoted in each way to pay, and, given \
                what it would turn out to be, what it would be charged.
                  mintmark service price weather --request 'GET /today'
                  mintmark service price llm --request 'POST /chat' -H 'Content-Length: 900' --measure x-tokens=7
                  mintmark service price files --request 'GET /a.zip' --bytes 250000 --seconds 2
                """
        )
        @Argument(help: "The service's name.") var name: String
        @Option(help: "A method and a path below the service, such as 'GET /today?city=Bern'.") var request: String
        @Option(name: [.customShort("H"), .long], help: "A header, such as 'Content-Length: 900'. May be repeated.")
        var header: [String] = []
        @Option(help: "How long the answer would be, in bytes.") var bytes: UInt64?
        @Option(help: "How long the call would take, in seconds.") var seconds: UInt64?
        @Option(help: ArgumentHelp("What the service would report, such as x-tokens=7.", valueName: "name=number"))
        var measure: [MeasureArgument] = []
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            var trial: JSONObject = ["request": .string(request)]
            trial["headers"] = .array(
                try header.map { line in
                    guard let colon = line.firstIndex(of: ":") else {
                        throw ValidationError("A header has a name, a colon and a value: 'Content-Length: 900'.")
                    }
                    let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
                    return .array([.string(String(line[..<colon])), .string(value)])
                }
            )
            trial["responseBytes"] = bytes.map { .string(String($0)) }
            trial["seconds"] = seconds.map { .string(String($0)) }
            if !measure.isEmpty {
                var measures = JSONObject()
                for entry in measure { measures[entry.name] = .string(String(entry.quantity)) }
                trial["measures"] = .object(measures)
            }
            let answer = try await node.call(.post, "/api/services/\(name.urlSegment)/price", .object(trial))
            if options.json { return Output.json(answer) }
            let rule = answer["rule"] ?? .null
            let methods = rule["methods"] == nil ? "" : rule.shown("methods") + " "
            Output.line(
                "\(answer.shown("request")) falls under \(methods)\(rule.shown("path"))=\(PriceArgument.text(rule))"
            )
            Self.explain("quote", answer)
            for way in answer["accepts"]?.arrayValue ?? [] {
                let what =
                    way["credit"].map { _ in " for a credit of \(way.shown("credit"))" }
                    ?? way["calls"].map { _ in " for \(way.shown("calls")) calls" } ?? ""
                let price = way["amount"] == nil ? "" : ": \(way.shown("amount")) \(way.shown("unit"))\(what)"
                Output.line("  by \(way.shown("dialect"))\(price)")
            }
            guard let charge = answer["charge"] else { return }
            Self.explain("charge", answer)
            Output.line("  given back: \(charge.shown("returned")) \(charge.shown("unit"))")
        }

        private static func explain(_ name: String, _ answer: JSONValue) {
            Output.line("\(name):")
            for line in answer[name]?["explanation"]?.arrayValue ?? [] { Output.line("  \(line.stringValue ?? "")") }
        }
    }
}
