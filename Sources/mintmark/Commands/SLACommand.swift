import ArgumentParser
import CanonicalJSON
import Foundation

struct SLACommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sla",
        abstract: "What was promised of a service, and how its calls went.",
        discussion: """
              mintmark sla show weather
              mintmark sla show did:key:z6Mk…/weather --svg weather.svg
            Promise with `mintmark service add … --sla p95=500ms,uptime=99.5,deadline=30s`.
            """,
        subcommands: [Show.self]
    )

    struct Show: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "A service's calls in windows, as a chart, held against its promise.",
            discussion: """
                Times are those that the seller signed in its receipts. Of a service that others sell, the calls that \
                this node paid for are shown.
                  mintmark sla show weather                                      one of this node's own
                  mintmark sla show did:key:z6Mk…/weather --svg weather.svg
                  mintmark sla show weather --window 86400                       a day each
                """
        )
        @Argument(help: ArgumentHelp("SERVICE, or SELLER/SERVICE.", valueName: "service")) var service: String
        @Option(help: "The length of a window in seconds, 60 to 2678400.") var window: Int64 = 3_600
        @Option(help: "Write the chart there as SVG.") var svg: String?
        @OptionGroup var options: GlobalOptions

        func validate() throws {
            if !(60...2_678_400).contains(window) { throw ValidationError("--window is 60 to 2678400 seconds.") }
        }

        func run(on node: NodeClient) async throws {
            let parts = service.split(separator: "/", omittingEmptySubsequences: false).map { String($0).urlSegment }
            guard (1...2).contains(parts.count), !parts.contains("") else {
                throw ValidationError("A service is named by its name, or by SELLER/SERVICE.")
            }
            var path = "/api/market/sla/\(parts[parts.count - 1])?window=\(window)"
            if parts.count == 2 { path += "&seller=\(parts[0])" }
            let answer = try await node.call(.get, path)
            if let svg {
                do {
                    try Data(answer.string("svg").utf8).write(to: URL(filePath: svg), options: .atomic)
                } catch let error as CocoaError {
                    throw Failure("\(svg) cannot be written: \(error.localizedDescription)", .failed)
                }
            }
            if options.json { return Output.json(answer) }
            Output.line(answer.shown("chart"))
            Output.facts(
                [
                    ("seller", "seller"), ("calls", "calls"), ("failed", "failed"), ("late", "late"),
                    ("wrong", "wrong"),
                    ("p50 (ms)", "p50"), ("p95 (ms)", "p95"), ("p99 (ms)", "p99"),
                ].map { ($0.0, answer.shown($0.1)) }
                    + [("uptime", Self.percent(answer["uptimePPM"])), ("errors", Self.percent(answer["errorsPPM"]))]
                    + (answer["ownP95"] == nil ? [] : [("own p95 (ms), with paying", answer.shown("ownP95"))])
            )
            for breach in answer["breaches"]?.arrayValue ?? [] {
                Output.line(
                    "NOT KEPT: \(breach.shown("rule")): \(breach.shown("measured")), promised \(breach.shown("promised"))"
                )
            }
            if let svg { Output.line("Written: \(svg)") }
        }

        /// Of a million.
        private static func percent(_ value: JSONValue?) -> String {
            value?.int64Value.map { String(format: "%.2f %%", Double($0) / 10_000) } ?? "-"
        }
    }
}
