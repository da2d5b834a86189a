import ArgumentParser
import CanonicalJSON

/// A command that asks the node, running or started for the occasion.
protocol NodeCommand: AsyncParsableCommand {
    var options: GlobalOptions { get }
    func run(on node: NodeClient) async throws
}

extension NodeCommand {
    func run() async throws {
        do {
            try await NodeClient.with(options) { try await run(on: $0) }
        } catch {
            Failure.end(error, json: options.json)
        }
    }
}

/// An amount of money with its unit, as a user writes it: `21sat`, `21 sat`, `21`.
struct Amount: ExpressibleByArgument, Equatable {
    let value: UInt64
    let unit: String

    init?(argument: String) {
        let text = argument.filter { $0 != " " && $0 != "_" && $0 != "," }
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = text.dropFirst(digits.count)
        guard let value = UInt64(digits), value > 0, value <= UInt64(Int64.max) else { return nil }
        guard unit.allSatisfy({ $0.isASCII && $0.isLetter }), unit.count <= 8 else { return nil }
        self.value = value
        self.unit = unit.isEmpty ? "sat" : unit.lowercased()
    }

    /// As text, so that no reader rounds it.
    var json: JSONValue { .string(String(value)) }
}
