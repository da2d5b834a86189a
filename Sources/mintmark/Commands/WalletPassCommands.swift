import ArgumentParser
import CanonicalJSON

extension WalletCommand {
    struct Passes: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "The L402 credentials that were paid for and may be good for more calls.",
            discussion: """
                A pass is used by itself for calls to the service it was bought for, by the agent it was bought for, \
                until the seller takes it no more; then the next call is paid for anew, within the limits. What \
                opens anything is never shown.
                  mintmark wallet passes
                  mintmark wallet passes --json
                  mintmark wallet passes --forget 8f14e45f…      removes a pass with its secrets, for good
                """
        )
        @Option(help: "Remove the pass with this id.") var forget: String?
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer =
                if let forget {
                    try await node.call(.post, "/api/wallet/passes/forget", ["id": .string(forget)])
                } else {
                    try await node.call(.get, "/api/wallet/passes")
                }
            if options.json { return Output.json(answer) }
            let passes = try answer.array("passes")
            if passes.isEmpty { return Output.line("There are no passes.") }
            Output.table(
                ["PASS", "STATE", "SELLER", "PATH", "AGENT", "COST", "UNIT", "USES", "CALLS", "UNTIL"],
                passes.map { pass in
                    ["id", "state", "seller", "path", "agent", "amount", "unit", "uses", "calls", "validUntil"]
                        .map(pass.shown)
                }
            )
        }
    }
}
