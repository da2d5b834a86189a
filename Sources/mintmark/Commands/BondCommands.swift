import ArgumentParser
import CanonicalJSON
import Encodings
import Node

struct BondCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bond",
        abstract: "Money that backs what you promise: a keeper pays buyers out of it where you break it.",
        discussion: """
            A seller locks ecash to a keeper, an arbiter's node that buyers trust, for a time. Every listing and quote then names \
            the bond. Where a job by escrow brings another answer than was signed, or one against the listing's schema, the buyer's \
            node shows the keeper what the seller signed, and has its money back within seconds; nobody has to do anything. What \
            no breach took comes back to the seller by itself, a day after the time.
              mintmark bond leave 1000sat --at https://judge.example --days 30
              mintmark bond list                         what is left of it, and what was paid out
            Buyers see it in `mintmark market show`; what came back out of bonds is under `mintmark bond claims`.
            A node keeps bonds of others where it runs with --set market.arbiterSeconds=86400.
              mintmark bond kept
            """,
        subcommands: [Leave.self, List.self, Show.self, Claims.self, Kept.self]
    )

    struct Leave: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lock money and leave it with a keeper.",
            discussion: """
                The keeper alone can spend it until the time is over, and signs that it has it: choose one that your buyers trust, \
                and that you trust too.
                  mintmark bond leave 1000sat --at https://judge.example --days 30
                """
        )
        @Argument(help: "How much, such as 1000sat.") var amount: Amount
        @Option(help: ArgumentHelp("The URL of the keeper's node.", valueName: "url")) var at: String
        @Option(help: "For how many days it backs what is sold: 1 to 365. It comes back a day later.") var days: Int64 =
            30
        @OptionGroup var options: GlobalOptions

        func validate() throws {
            if !(1...365).contains(days) { throw ValidationError("--days is 1 to 365.") }
        }

        func run(on node: NodeClient) async throws {
            let bond = try await node.call(
                .post,
                "/api/market/bonds",
                [
                    "amount": .string(String(amount.value)), "unit": .string(amount.unit), "at": .string(at),
                    "seconds": .integer(days * 86_400),
                ],
                timeoutSeconds: 60
            )
            if !options.json { BondCommand.show(bond) }
            switch bond.shown("state") {
            case "held": if options.json { Output.json(bond) }
            case "refused":
                if options.json { Output.json(bond) }
                throw Failure("nothing was locked: \(bond.shown("note"))", .failed, isSaid: options.json)
            default:
                if options.json { Output.json(bond) }
                throw Failure(
                    "the keeper has not said that it has it; the node asks again, and the money comes back after \(bond.shown("locktime"))",
                    .pending,
                    isSaid: options.json
                )
            }
        }
    }

    struct List: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "The bonds that this node has left, newest first.")
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let bonds = try await node.call(.get, "/api/market/bonds")["left"] ?? .array([])
            if options.json { return Output.json(["bonds": bonds]) }
            let rows = bonds.arrayValue ?? []
            if rows.isEmpty { return Output.line("This node has left no bond. See: mintmark bond leave --help") }
            Output.table(
                ["ID", "STATE", "AMOUNT", "REMAINING", "PAID OUT", "UNTIL", "KEEPER", "NOTE"],
                rows.map { bond in
                    [
                        bond.shown("id"), bond.shown("state"), "\(bond.shown("amount")) \(bond.shown("unit"))",
                        bond["remaining"] == nil ? "-" : bond.shown("remaining"),
                        "\(bond["rulings"]?.arrayValue?.count ?? 0) times", bond.shown("until"), bond.shown("at"),
                        bond["note"]?.stringValue ?? "",
                    ]
                }
            )
        }
    }

    struct Show: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "One bond that this node has left, with what was paid out of it.",
            discussion: "The keeper's signed statement and rulings are under --json."
        )
        @Argument(help: "The bond's id.") var id: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let bond = try await node.call(.get, "/api/market/bonds/\(id.urlSegment)")
            if options.json { return Output.json(bond) }
            BondCommand.show(bond)
        }
    }

    struct Claims: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "What this node asked for out of bonds of sellers that broke their promise, newest first."
        )
        @Option(help: "The most to show, up to 1000.") var limit: Int = 50
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let claims = try await node.call(.get, "/api/market/bonds?limit=\(limit)")["claims"] ?? .array([])
            if options.json { return Output.json(["claims": claims]) }
            let rows = claims.arrayValue ?? []
            if rows.isEmpty { return Output.line("No job that this node bought broke a promise that a bond backs.") }
            Output.table(
                ["JOB", "STATE", "RULE", "RECEIVED", "KEEPER", "NOTE"],
                rows.map { claim in
                    ["job", "state", "rule", "received", "at"].map { claim.shown($0) }
                        + [claim["note"]?.stringValue ?? ""]
                }
            )
        }
    }

    struct Kept: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "The bonds of others that this node keeps, newest first.",
            discussion: "It pays out of them by rule; what it ruled is under --json."
        )
        @Option(help: "The most to show, up to 1000.") var limit: Int = 50
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let kept = try await node.call(.get, "/api/market/bonds?limit=\(limit)")["kept"] ?? .array([])
            if options.json { return Output.json(["bonds": kept]) }
            let rows = kept.arrayValue ?? []
            if rows.isEmpty { return Output.line("Nobody has left a bond here.") }
            Output.table(
                ["PROVIDER", "AMOUNT", "REMAINING", "PAID OUT"],
                rows.map { entry in
                    let bond = entry["bond"] ?? .null
                    return [
                        bond.shown("provider"), "\(bond.shown("amount")) \(bond.shown("unit"))",
                        entry.shown("remaining"), "\(entry["rulings"]?.arrayValue?.count ?? 0) times",
                    ]
                }
            )
        }
    }

    private static func show(_ bond: JSONValue) {
        Output.facts(
            [
                ("id", "id"), ("name", "name"), ("state", "state"), ("amount", "amount"), ("unit", "unit"),
                ("remaining", "remaining"), ("returned", "returned"), ("mint", "mint"), ("keeper", "keeper"),
                ("at", "at"), ("backs until", "until"), ("comes back after", "locktime"), ("note", "note"),
            ].filter { bond[$0.1] != nil }.map { ($0.0, bond.shown($0.1)) }
        )
        for ruling in bond["rulings"]?.arrayValue ?? [] {
            Output.line(
                "paid out: \(ruling.shown("paid")) of \(ruling.shown("owed")) for `\(ruling.shown("rule"))` to \(ruling.shown("claimant"))"
            )
        }
    }
}
