import ArgumentParser
import CanonicalJSON
import Foundation
import Node

struct StatusCommand: NodeCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "What the node is, and whether its books add up.",
        discussion: """
              mintmark status
              mintmark status --audit    recompute every balance from its movements
            """
    )
    @Flag(help: "Recompute the books of mint, wallet, gateway and ledger.") var audit = false
    @OptionGroup var options: GlobalOptions

    func run(on node: NodeClient) async throws {
        var facts = try await node.call(.get, "/api/node").objectValue ?? JSONObject()
        facts["running"] = .bool(!node.isTemporary)
        var findings: [String] = []
        if audit {
            let answer = try await node.call(.post, "/api/audit", [:], timeoutSeconds: 600)
            findings = try answer.array("findings").compactMap(\.stringValue)
            facts["findings"] = .array(findings.map { .string($0) })
        }
        if options.json {
            Output.json(.object(facts))
        } else {
            let value = JSONValue.object(facts)
            Output.facts(
                [
                    "did", "publicURL", "mint", "lightning", "sellerKey", "settlementAccount", "dataDirectory",
                    "version",
                    "running",
                ].map {
                    ($0, value.shown($0))
                }
            )
            if let gossip = value["gossip"] {
                Output.facts(["peer", "addresses", "reachability", "connections"].map { ($0, gossip.shown($0)) })
            }
            if audit, findings.isEmpty { Output.line("The books add up.") }
            for finding in findings { Output.line("FINDING: \(finding)") }
        }
        if !findings.isEmpty { throw Failure("the books do not add up: see the findings") }
    }
}

struct ReceiptCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "receipt",
        abstract: "Receipts of calls that this node bought or sold.",
        discussion: """
              mintmark receipt list
              mintmark receipt show ID > receipt.json
              mintmark verify receipt.json
              mintmark receipt show ID --invocation > call.json     on a delegation: the seller's word on the invocation,
              mintmark verify call.json --root did:key:z6Mk…        with all that it takes to check it
            """,
        subcommands: [Show.self, List.self]
    )

    struct Show: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "Print a receipt as it was signed.")
        @Argument(help: "The receipt's id.") var id: String
        @Flag(help: "Of a call on a delegation: the receipt of its invocation, with the invocation and its chain.")
        var invocation = false
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let path = "/api/receipts/\(id.urlSegment)" + (invocation ? "/invocation" : "")
            let receipt = try await node.call(.get, path)
            if options.json { Output.json(receipt) } else { Output.line(receipt.prettyPrinted()) }
        }
    }

    struct List: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "The latest calls that were paid, bought and sold.")
        @Option(help: "How many, 1 to 1000.") var limit = 50
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/receipts?limit=\(limit)")
            if options.json { return Output.json(answer) }
            let rows = try answer.array("receipts").map { entry in
                ["at", "side", "service", "amount", "unit", "outcome", "id"].map(entry.shown)
            }
            Output.table(["AT", "SIDE", "SERVICE", "AMOUNT", "UNIT", "OUTCOME", "ID"], rows)
        }
    }
}
