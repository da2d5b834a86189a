import ArgumentParser
import CanonicalJSON
import Foundation
import Node

struct DelegationsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delegations",
        abstract: "Who may spend whose money: show, blame, revoke, hand on.",
        discussion: """
            Examples:
              mintmark delegations tree                      who gave what to whom, and what is spent
              mintmark delegations blame RECEIPT             who acted, on whose authority, and which key failed
              mintmark delegations revoke bafyrei…           this one, and all that rests on it
              mintmark delegations revoke planner            the agent's key, and every delegation it issued
              mintmark delegations export bafyrei… > chain.json
              mintmark delegations import chain.json
              mintmark pay URL --max 5sat --delegation chain.json
            """,
        subcommands: [List.self, Tree.self, BlameReceipt.self, Revoke.self, Export.self, Import.self, Release.self]
    )

    /// A party by its name here, else by its key.
    static func who(_ party: JSONValue?) -> String { party?["name"]?.stringValue ?? party?["did"]?.stringValue ?? "-" }

    /// What a link gives, in a line.
    static func terms(_ link: JSONValue) -> String {
        var parts = [link.shown("can")]
        if let budget = link["budget"]?.stringValue {
            let period = link["period"]?.int64Value
            let every = period.map { seconds in
                [3_600: " an hour", 86_400: " a day", 604_800: " a week"][seconds] ?? " every \(seconds) s"
            }
            parts.append("\(link.shown("spent")) of \(budget)\(every ?? "") spent")
        } else {
            parts.append("\(link.shown("spent")) spent")
        }
        if let perCall = link["perCall"]?.stringValue { parts.append("\(perCall) a call") }
        if let only = link["only"]?.stringValue { parts.append("only \(only)") }
        return parts.joined(separator: ", ")
    }
}

extension DelegationsCommand {
    struct List: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Every delegation that was issued, imported or seen here.",
            discussion: "  mintmark delegations list"
        )
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/delegations")
            if options.json { return Output.json(answer) }
            Output.table(
                ["CID", "FROM", "TO", "CAN", "BUDGET", "SPENT", "UNTIL", "STATE"],
                try answer.array("delegations").map { link in
                    [link.shown("cid"), who(link["from"]), who(link["to"])]
                        + ["can", "budget", "spent", "expires", "state"].map(link.shown)
                }
            )
        }
    }

    struct Tree: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Who gave what to whom, as a tree, with what is spent under each.",
            discussion: "  mintmark delegations tree"
        )
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let links = try await node.call(.get, "/api/delegations").array("delegations")
            var children: [String: [JSONValue]] = [:]
            for link in links { children[link["parent"]?.stringValue ?? "", default: []].append(link) }
            if options.json { return Output.json(.array(Self.nested("", children, depth: 0))) }
            if links.isEmpty { return Output.line("There are none: see mintmark delegate --help.") }
            for root in children[""] ?? [] {
                Output.line(who(root["from"]))
                Self.show([root], children, indent: "")
            }
        }

        private static func nested(_ parent: String, _ children: [String: [JSONValue]], depth: Int) -> [JSONValue] {
            guard depth < 16 else { return [] }
            return (children[parent] ?? []).map { link in
                var object = link.objectValue ?? JSONObject()
                object["under"] = .array(nested(link.shown("cid"), children, depth: depth + 1))
                return .object(object)
            }
        }

        private static func show(_ links: [JSONValue], _ children: [String: [JSONValue]], indent: String) {
            guard indent.count < 64 else { return }
            for (index, link) in links.enumerated() {
                let isLast = index == links.count - 1
                let state = link.shown("state") == "live" ? "" : "  [\(link.shown("state").uppercased())]"
                let branch = indent + (isLast ? "└─ " : "├─ ")
                Output.line("\(branch)\(who(link["to"])): \(terms(link))\(state)  \(link.shown("cid").prefix(16))…")
                show(children[link.shown("cid")] ?? [], children, indent: indent + (isLast ? "   " : "│  "))
            }
        }
    }

    struct BlameReceipt: NodeCommand {
        static let configuration = CommandConfiguration(
            commandName: "blame",
            abstract: "Who made a call, on whose authority, link by link, and which key failed.",
            discussion: """
                The receipt may be of a call that this node sold or bought, or a file. What was taken back later does not \
                reach back to the call, unless a key was stolen: then the call counts only where a trusted witness \
                (log.witnesses) had cosigned a log that holds its receipt before. This node's own log is asked; of \
                another seller's, --proof shows it. It ends with 2 where something failed.
                  mintmark delegations blame 0190a1b2-…
                  curl 'http://seller.example/log/proof/0190a1b2-…?witnessed=1' > call.tlog-proof
                  mintmark delegations blame receipt.json --proof call.tlog-proof --json
                """
        )
        @Argument(help: "A receipt's id, or its file.") var receipt: String
        @Option(help: "A file with the proof that the seller's log held the receipt when a witness cosigned it.")
        var proof: String?
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let document: JSONValue =
                FileManager.default.fileExists(atPath: receipt) || receipt == "-"
                ? .object(try VerifyCommand.object(try VerifyCommand.read(receipt)))
                : try await node.call(.get, "/api/receipts/\(receipt.urlSegment)")
            var body: JSONObject = ["receipt": document]
            body["proof"] = try proof.map { .string(String(decoding: try VerifyCommand.read($0), as: UTF8.self)) }
            let answer = try await node.call(.post, "/api/delegations/blame", .object(body))
            if options.json { Output.json(answer) } else { Self.show(answer) }
            if answer["isSound"]?.boolValue != true { Foundation.exit(ExitStatus.refused.rawValue) }
        }

        private static func show(_ answer: JSONValue) {
            Output.line(
                "\(who(answer["actor"])) bought \(answer.shown("service")) from \(who(answer["seller"])) for"
                    + " \(answer.shown("amount")), \(answer.shown("outcome")), at \(answer.shown("at"))"
            )
            let links = answer["links"]?.arrayValue ?? []
            if links.isEmpty { Output.line("on its own authority") }
            for (index, link) in links.enumerated() {
                let failed = link["failed"] == nil ? "" : "  FAILED: \(link.shown("failed"))"
                let after = link["takenBack"]?["counts"]?.boolValue == true ? " since, the call counts" : ""
                Output.line(
                    "  \(index)  \(who(link["from"])) → \(who(link["to"])): \(terms(link))"
                        + "  [\(link.shown("state"))\(after)]\(failed)"
                )
            }
            if !links.isEmpty {
                Output.line(
                    "on the authority of \(who(answer["authority"])); the seller checked: \(answer.shown("checked"))"
                )
            }
            if let call = answer["invocation"] {
                Output.line(
                    "the seller's word on the invocation \(call.shown("cid").prefix(16))…: \(call.shown("says")) for"
                        + " \(call.shown("cost")) of \(call.shown("allowed"))"
                )
            }
            if let seen = answer["witnessedAt"]?.stringValue { Output.line("a witness saw the receipt at \(seen)") }
            for failure in answer["failures"]?.arrayValue ?? [] {
                let key =
                    failure["name"] == nil ? failure.shown("key") : "\(failure.shown("name")) (\(failure.shown("key")))"
                Output.line("FAILED: \(failure.shown("message")) (\(failure.shown("code"))), key \(key)")
            }
            if answer["isSound"]?.boolValue == true { Output.line("Every link holds.") }
        }
    }

    struct Revoke: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take a delegation back with all that rests on it, or a key with every delegation it issued.",
            discussion: """
                From the next debit on there are no more tickets for it; one that was given is good for up to five minutes.
                  mintmark delegations revoke bafyrei…
                  mintmark delegations revoke planner --reason 'key lost' --since 2026-11-21T08:00:00Z
                """
        )
        @Argument(help: "A CID (its first 12 characters will do), or an agent's name or did:key for its key.")
        var target: String
        @Option(help: "Why.") var reason: String?
        @Option(help: "Of a key: when it was stolen at the earliest (RFC 3339). Without, none of its calls is sure.")
        var since: String?
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            do {
                try options.confirm("Take back \(target), and everything that rests on it?")
                try await NodeClient.with(options) { try await run(on: $0) }
            } catch {
                Failure.end(error, json: options.json)
            }
        }

        func run(on node: NodeClient) async throws {
            var body: JSONObject = ["target": .string(target)]
            body["reason"] = reason.map { .string($0) }
            body["since"] = since.map { .string($0) }
            let answer = try await node.call(.post, "/api/delegations/revoke", .object(body))
            if options.json { return Output.json(answer) }
            Output.line("taken back: the \(answer.shown("kind")) \(answer.shown("revoked"))")
        }
    }

    struct Export: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "The chain to a delegation, as a file that anybody can check and its holder can use.",
            discussion: "  mintmark delegations export bafyrei… > chain.json"
        )
        @Argument(help: "The delegation's CID.") var cid: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/delegations/\(cid.urlSegment)/file")
            if options.json { Output.json(answer) } else { Output.line(answer.prettyPrinted()) }
        }
    }

    struct Import: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Keep a chain that an agent of this node was given.",
            discussion: "  mintmark delegations import chain.json"
        )
        @Argument(help: "The file; - for standard input.") var file: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await DelegationsCommand.imported(file, node)
            if options.json { return Output.json(answer) }
            Output.line(answer.shown("cid"))
            Output.note("kept: \(who(answer["to"])) may \(terms(answer)), until \(answer.shown("expires"))")
        }
    }

    struct Release: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give a debit back that you know was not charged.",
            discussion: """
                What this node's own calls did not cost comes back by itself. Another node's agent proves it with the \
                seller's receipt; where it can't, only you can.
                  mintmark delegations release 7f2c1c1e-…
                """
        )
        @Argument(help: "The id of the debit, as its ticket has it.") var debit: String
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            do {
                try options.confirm("Give the debit \(debit) back?")
                try await NodeClient.with(options) { try await run(on: $0) }
            } catch {
                Failure.end(error, json: options.json)
            }
        }

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.post, "/api/delegations/debits/\(debit.urlSegment)/release", [:])
            if options.json { return Output.json(answer) }
            Output.line("the debit stands at \(answer.shown("charged"))")
        }
    }

    static func imported(_ file: String, _ node: NodeClient) async throws -> JSONValue {
        let document = try VerifyCommand.object(try VerifyCommand.read(file))
        return try await node.call(.post, "/api/delegations/import", .object(document))
    }

    /// The CID that `pay` and `proxy` name: of a file, which is kept first, or as it was given.
    static func chosen(_ text: String, _ node: NodeClient) async throws -> String {
        guard FileManager.default.fileExists(atPath: text) else { return text }
        return try await imported(text, node).string("cid")
    }
}
