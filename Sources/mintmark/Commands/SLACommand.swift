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
            Promise with `mintmark service add … --sla p95=500ms,uptime=99.5,deadline=30s`, and say what goes back by \
            itself where a call breaks it: `--sla-refund late=50%,schema=100%`.
            """,
        subcommands: [Show.self]
    )

    struct Show: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "A service's calls in windows, as a chart, held against its promise.",
            discussion: """
                Times are those that the seller signed in its receipts. Of a service that others sell, the calls that \
                this node paid for are shown. Calls that broke the promise are listed, the latest first, each with what \
                went back for it by its receipt; of a service of this node's, `receipt show` has the evidence.
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
            showBroken(answer)
            if let svg { Output.line("Written: \(svg)") }
        }

        private func showBroken(_ answer: JSONValue) {
            for sum in answer["brokenSums"]?.arrayValue ?? [] {
                let refunded = sum["refunded"]?.int64Value ?? 0
                let back =
                    refunded == 0
                    ? "nothing given back" : "\(sum.shown("refund")) \(sum.shown("unit")) given back for \(refunded)"
                Output.line("\(sum.shown("rule")): \(sum.shown("calls")) calls, \(back)")
            }
            let rows = (answer["broken"]?.arrayValue ?? []).map { call in
                [
                    call.shown("requestedAt"), call.shown("rule"), call.shown("milliseconds") + " ms",
                    "\(call.shown("amount")) \(call.shown("unit"))", "\(call.shown("refund")) \(call.shown("unit"))",
                    call.shown("reference"),
                ]
            }
            if !rows.isEmpty {
                Output.table(
                    ["ASKED", "RULE", "TOOK", "COST", "GIVEN BACK", answer["side"] == "buyer" ? "PAYMENT" : "RECEIPT"],
                    rows
                )
            }
        }

        /// Of a million.
        private static func percent(_ value: JSONValue?) -> String {
            value?.int64Value.map { String(format: "%.2f %%", Double($0) / 10_000) } ?? "-"
        }
    }
}
