import ArgumentParser
import CanonicalJSON

extension WalletCommand {
    struct Sessions: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Deposits at sellers that calls are paid from, and what comes back.",
            discussion: """
                `mintmark pay --session 1000sat` opens a session where the seller takes one. Later calls to the service, by the \
                same agent, are paid from it by themselves; where it is used up and --session allows, it is added to. Closing \
                it brings what is left back to the wallet's Lightning account; the seller does it by itself when it is not \
                used for a while.
                  mintmark wallet sessions list
                  mintmark wallet sessions close 8f14e45f…      again: how the return stands, or another try
                """,
            subcommands: [List.self, Close.self],
            defaultSubcommand: List.self
        )

        struct List: NodeCommand {
            static let configuration = CommandConfiguration(abstract: "All sessions, the newest first.")
            @OptionGroup var options: GlobalOptions

            func run(on node: NodeClient) async throws {
                let answer = try await node.call(.get, "/api/sessions")
                if options.json { return Output.json(answer) }
                let sessions = try answer.array("sessions")
                if sessions.isEmpty { return Output.line("There are no sessions.") }
                Output.table(
                    ["SESSION", "STATE", "SELLER", "PATH", "AGENT", "DEPOSIT", "SPENT", "USES", "BACK", "RETURN"],
                    sessions.map { session in
                        [
                            "id", "state", "seller", "path", "agent", "depositSats", "spentSats", "uses", "refundSats",
                            "refundStatus",
                        ].map(session.shown)
                    }
                )
            }
        }

        struct Close: NodeCommand {
            static let configuration = CommandConfiguration(
                abstract: "Close a session; what is left comes back over Lightning.",
                discussion: """
                    A deposit that was paid and never shown to its seller is shown first, which makes the call that it was \
                    for. Asked again, it tells how the return stands; one that failed is tried with another invoice.
                      mintmark wallet sessions close 8f14e45f…
                    """
            )
            @Argument(help: "Its id.") var session: String
            @OptionGroup var options: GlobalOptions

            func run(on node: NodeClient) async throws {
                let answer = try await node.call(.post, "/api/sessions/close", ["id": .string(session)])
                if options.json { return Output.json(answer) }
                Output.line(
                    "closed; \(answer.shown("refundSats")) sat of \(answer.shown("depositSats")) come back:"
                        + " \(answer.shown("refundStatus"))"
                )
            }
        }
    }
}
