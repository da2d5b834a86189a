import ArgumentParser
import CanonicalJSON
import Foundation
import Node

extension WalletCommand {
    struct Audit: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check that the mints own up to the coins that are here.",
            discussion: """
                Fetches each mint's signed statement of what it owes, checks that it adds up and follows the one seen \
                before, and looks for every coin of this wallet in it: issued, and not spent. Coins newer than the \
                statement are counted apart. Exits with 1 where anything is wrong.
                  mintmark wallet audit
                  mintmark wallet audit --mint https://mint.example/mint
                """
        )
        @Option(help: "Only this mint.") var mint: String?
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let body: JSONValue = mint.map { ["mint": .string($0)] } ?? [:]
            let answer = try await node.call(.post, "/api/wallet/audit", body, timeoutSeconds: 600)
            let reports = try answer.array("mints")
            let findings = try reports.flatMap { try $0.array("findings").compactMap(\.stringValue) }
            if options.json {
                Output.json(answer)
            } else {
                if reports.isEmpty { Output.line("The wallet is empty: there is nothing to look for.") }
                for report in reports { Self.show(report) }
            }
            if !findings.isEmpty { throw Failure("a mint does not own up to what it owes: see the findings") }
        }

        private static func show(_ report: JSONValue) {
            Output.line(report.shown("mint"))
            if report["error"] != nil { return Output.line("  not checked: \(report.shown("error"))") }
            let amounts = (report["amountsProven"]?.arrayValue ?? []).map {
                "\($0.shown("amount")) \($0.shown("unit"))"
            }
            Output.line("  epoch \(report.shown("epoch")), closed \(report.shown("closedAt"))")
            Output.line("  signed by \(report.shown("signer"))")
            let chain = report["followsKnown"]?.boolValue == true
            Output.line(chain ? "  follows the statement seen before" : "  the first statement of this mint seen here")
            Output.line(
                "  \(report.shown("coinsProven")) coins are in it"
                    + (amounts.isEmpty ? "" : ", worth \(amounts.joined(separator: ", "))")
            )
            if report["coinsTooNew"]?.int64Value != 0 {
                Output.line("  \(report.shown("coinsTooNew")) coins are newer than it")
            }
            if report["coinsUnprovable"]?.int64Value != 0 {
                Output.line(
                    "  \(report.shown("coinsUnprovable")) coins cannot be looked for: their blinding is not known"
                )
            }
            for finding in report["findings"]?.arrayValue ?? [] {
                Output.line("  FINDING: \(finding.stringValue ?? "")")
            }
        }
    }
}
