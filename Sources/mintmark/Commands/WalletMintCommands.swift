import ArgumentParser
import CanonicalJSON
import Foundation

extension WalletCommand {
    struct Mints: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "The mints that the wallet knows, and which of them it trusts.",
            discussion: """
                Ecash of a mint that is not trusted is refused, or swapped to a trusted one when asked. What is held of \
                a distrusted mint can still be spent or swapped away. A name stands for its address everywhere.
                  mintmark wallet mints list
                  mintmark wallet mints trust https://mint.example/mint --name corner
                  mintmark wallet mints rename corner home
                  mintmark wallet mints distrust home
                """,
            subcommands: [List.self, Trust.self, Distrust.self, Rename.self]
        )
    }

    struct Swap: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Move ecash from one mint to another, over Lightning.",
            discussion: """
                Shows the most it can cost before anything moves; --max-fee answers that question beforehand. A swap \
                whose outcome is not known yet (status 4) is finished by the node.
                  mintmark wallet swap 100sat --from corner --to https://mint.example/mint
                  mintmark wallet swap 100sat --from corner --to home --max-fee 3sat
                """
        )
        @Argument(help: "How much is to arrive, such as 100sat.") var amount: Amount
        @Option(help: "The mint to pay from, by name or address.") var from: String
        @Option(help: "The mint to have it at, by name or address.") var to: String
        @Option(name: .customLong("max-fee"), help: "Do it without asking where it costs no more than this.")
        var maximumFee: Amount?
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let body: JSONValue = [
                "amount": amount.json, "unit": .string(amount.unit), "from": .string(from), "to": .string(to),
            ]
            let quote = try await node.call(.post, "/api/wallet/swaps", body)
            let most = UInt64(try quote.string("maximumFee")) ?? .max
            if let maximumFee {
                guard most <= maximumFee.value else {
                    throw Failure(
                        "it may cost \(most) \(amount.unit), more than the \(maximumFee.value) allowed; nothing moved",
                        .refused,
                        code: "limit-exceeded"
                    )
                }
            } else {
                try options.confirm(
                    "\(amount.value) \(amount.unit) from \(quote.shown("from")) to \(quote.shown("to"))"
                        + " cost up to \(most) \(amount.unit) in fees."
                )
            }
            let done = try await node.call(
                .post,
                "/api/wallet/swaps/\(try quote.string("id"))",
                timeoutSeconds: 300
            )
            if options.json { return Output.json(done) }
            Output.line(
                "\(done.shown("amount")) \(done.shown("unit")) at \(done.shown("to")), fee \(done.shown("fee"))"
            )
        }
    }

    struct Inbox: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Tokens that came in and are not claimed, with the reason.",
            discussion: """
                A token is kept before its mint is asked, and claimed as soon as the mint answers, at the latest when \
                the node starts again. What cannot be claimed stays here with the reason; --retry tries it anew.
                  mintmark wallet inbox
                  mintmark wallet inbox --all
                  mintmark wallet inbox --retry ID
                """
        )
        @Flag(help: "Those that were claimed too.") var all = false
        @Option(help: "Try this one again.") var retry: String?
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            if let retry {
                let entry = try await node.call(.post, "/api/wallet/inbox/\(retry)")
                if options.json { return Output.json(entry) }
                return Output.line(
                    "\(entry.shown("received")) \(entry.shown("unit")) claimed from \(entry.shown("mint"))"
                )
            }
            let answer = try await node.call(.get, "/api/wallet/inbox" + (all ? "?all=true" : ""))
            if options.json { return Output.json(answer) }
            let rows = try answer.array("tokens").map { token in
                ["receivedAt", "state", "amount", "unit", "mint", "id", "reason"].map(token.shown)
            }
            if rows.isEmpty { return Output.line("Nothing waits to be claimed.") }
            Output.table(["CAME", "STATE", "AMOUNT", "UNIT", "MINT", "ID", "REASON"], rows)
        }
    }

    struct Sent: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Tokens that were sent and that nobody has claimed, as far as is known.",
            discussion: """
                  mintmark wallet sent
                  mintmark wallet sent --reclaim ID         take one back
                """
        )
        @Option(help: "Take this token back, where nobody has claimed it.") var reclaim: String?
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            if let reclaim {
                let back = try await node.call(.post, "/api/wallet/sent/\(reclaim)/reclaim")
                if options.json { return Output.json(back) }
                return Output.line("\(back.shown("amount")) \(back.shown("unit")) are back in the wallet")
            }
            let answer = try await node.call(.get, "/api/wallet/sent")
            if options.json { return Output.json(answer) }
            let rows = try answer.array("tokens").map { ["at", "amount", "unit", "mint", "id"].map($0.shown) }
            if rows.isEmpty { return Output.line("No token is out.") }
            Output.table(["AT", "AMOUNT", "UNIT", "MINT", "ID"], rows)
        }
    }
}

extension WalletCommand.Mints {
    struct List: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "The mints in the book.")
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            try WalletCommand.Mints.show(try await node.call(.get, "/api/wallet/mints"), options)
        }
    }

    struct Trust: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "Take and buy a mint's ecash.")
        @Argument(help: "The mint's address.") var mint: String
        @Option(help: "What to call it.") var name: String?
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            var body: JSONObject = ["mint": .string(mint)]
            if let name { body["name"] = .string(name) }
            let answer = try await node.call(.post, "/api/wallet/mints/trust", .object(body))
            try WalletCommand.Mints.show(answer, options)
        }
    }

    struct Distrust: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "Take no more of a mint's ecash.")
        @Argument(help: "The mint, by name or address.") var mint: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.post, "/api/wallet/mints/distrust", ["mint": .string(mint)])
            try WalletCommand.Mints.show(answer, options)
        }
    }

    struct Rename: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "Give a mint a name.")
        @Argument(help: "The mint, by name or address.") var mint: String
        @Argument(help: "1 to 40 letters, digits, dots, dashes or underscores.") var name: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let body: JSONValue = ["mint": .string(mint), "name": .string(name)]
            try WalletCommand.Mints.show(try await node.call(.post, "/api/wallet/mints/rename", body), options)
        }
    }

    fileprivate static func show(_ answer: JSONValue, _ options: GlobalOptions) throws {
        if options.json { return Output.json(answer) }
        let rows = try answer.array("mints").map { mint in
            let held = try mint.array("balances").map { "\($0.shown("available")) \($0.shown("unit"))" }
            return ["mint", "name", "trusted"].map(mint.shown) + [held.isEmpty ? "-" : held.joined(separator: ", ")]
        }
        if rows.isEmpty { return Output.line("The wallet knows no mint. Add one: mintmark wallet mints trust URL") }
        Output.table(["MINT", "NAME", "TRUSTED", "AVAILABLE"], rows)
    }
}
