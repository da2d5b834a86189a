import ArgumentParser
import CanonicalJSON

extension WalletCommand {
    struct Limit: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "What may be spent on a day (UTC): by the wallet, by an agent, at a seller.",
            discussion: """
                A call, a token or an invoice that would go over a limit is refused before any money moves (status 2, \
                code limit-exceeded). What was spent today before the limit was set counts; refunds give back. Whoever \
                has a limit in one unit can spend nothing in another until a limit is set for that unit too.
                  mintmark wallet limit set 5000sat                     all that leaves the wallet
                  mintmark wallet limit set 500sat --agent planner
                  mintmark wallet limit set 200sat --host shop.example
                  mintmark wallet limit set 50sat --key 02c0ffee…
                  mintmark wallet limit list
                  mintmark wallet limit remove --agent planner
                """,
            subcommands: [Set.self, List.self, Remove.self]
        )
    }
}

/// Whom a limit is on.
struct LimitTarget: ParsableArguments {
    @Option(help: "An agent, by name or id.") var agent: String?
    @Option(help: "A seller's host, for all its ports or for one (shop.example:8443).") var host: String?
    @Option(help: "A seller's public key (66 hex digits).") var key: String?

    func validate() throws {
        guard [agent, host, key].count(where: { $0 != nil }) <= 1 else {
            throw ValidationError("a limit is on one of --agent, --host and --key, or on the whole wallet")
        }
    }

    func body(_ more: JSONObject) -> JSONValue {
        var body = more
        if let agent { body["agent"] = .string(agent) }
        if let host { body["host"] = .string(host) }
        if let key { body["key"] = .string(key) }
        return .object(body)
    }
}

extension WalletCommand.Limit {
    struct Set: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "Set or change a limit.")
        @Argument(help: "The most a day, such as 5000sat.") var amount: Amount
        @OptionGroup var target: LimitTarget
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let body = target.body(["amount": amount.json, "unit": .string(amount.unit)])
            try WalletCommand.Limit.show(try await node.call(.post, "/api/wallet/limits", body), options)
        }
    }

    struct List: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "The limits and what is left of them today.")
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            try WalletCommand.Limit.show(try await node.call(.get, "/api/wallet/limits"), options)
        }
    }

    struct Remove: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "Take a limit away.")
        @OptionGroup var target: LimitTarget
        @Option(help: "The limit's unit.") var unit = "sat"
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let body = target.body(["unit": .string(unit)])
            try WalletCommand.Limit.show(try await node.call(.post, "/api/wallet/limits/remove", body), options)
        }
    }

    fileprivate static func show(_ answer: JSONValue, _ options: GlobalOptions) throws {
        if options.json { return Output.json(answer) }
        let rows = try answer.array("limits").map { limit in
            [limit["agent"].map { _ in "agent " + limit.shown("agent") } ?? limit.shown("subject")]
                + ["amount", "spentToday", "leftToday", "unit"].map(limit.shown)
        }
        if rows.isEmpty { return Output.line("There are no limits. Set one: mintmark wallet limit set 5000sat") }
        Output.table(["ON", "A DAY", "SPENT TODAY", "LEFT", "UNIT"], rows)
    }
}
