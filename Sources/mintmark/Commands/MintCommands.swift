import ArgumentParser
import CanonicalJSON
import Foundation
import Node

struct MintCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mint",
        abstract: "The node's mint: what it owes, its keysets, its quotes, its proofs.",
        discussion: """
            Examples:
              mintmark mint status                     what is owed, and what the Lightning node holds
              mintmark mint keysets                    issued, redeemed and outstanding, per keyset
              mintmark mint rotate --yes               a new keyset for sat; the old one stays redeemable
              mintmark mint quotes --stuck             payments of unknown outcome
              mintmark mint quotes ID                  everything known of one of them
              mintmark mint resolve ID --settled       end it, where the evidence says so
              mintmark mint audit                      does everything add up?
              mintmark mint liabilities                the signed statement of what is owed
            """,
        subcommands: [
            Status.self, Keysets.self, Rotate.self, Quotes.self, Resolve.self, Audit.self, Liabilities.self,
        ]
    )
}

extension MintCommand {
    struct Status: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "What the mint owes, and what its Lightning node holds.",
            discussion: "  mintmark mint status"
        )
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/mint/status")
            if options.json { return Output.json(answer) }
            Output.table(
                ["UNIT", "OUTSTANDING", "PAID, NOT ISSUED", "FEES EARNED", "LOST", "IN LIGHTNING", "MSAT A UNIT"],
                try answer.array("units").map { unit in
                    ["unit", "outstanding", "unissued", "fees", "losses", "lightning", "msatPerUnit"].map(unit.shown)
                }
            )
            let balance =
                answer["backendError"]?.stringValue.map { "not known: \($0)" }
                ?? "\(answer.shown("backendBalanceMsat")) msat (\(answer.shown("network")))"
            Output.facts([
                ("Lightning node holds", balance),
                ("keysets", "\(answer.shown("keysets")), \(answer.shown("activeKeysets")) active"),
                ("open quotes", "\(answer.shown("openMintQuotes")) mint, \(answer.shown("openMeltQuotes")) melt"),
                ("stuck payments", answer.shown("pendingMelts")),
                ("last statement", "epoch \(answer.shown("lastEpoch")), \(answer.shown("lastEpochClosedAt"))"),
            ])
            if answer["pendingMelts"]?.int64Value != 0 { Output.line("Look at them: mintmark mint quotes --stuck") }
        }
    }

    struct Keysets: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "What each keyset issued, redeemed and still owes.",
            discussion: """
                Reads every row of the mint: seconds where there are millions.
                  mintmark mint keysets --json
                """
        )
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/mint/keysets", timeoutSeconds: 600)
            if options.json { return Output.json(answer) }
            let columns = [
                "unit", "issued", "redeemed", "held", "outstanding", "inputFeePPK", "createdAt", "finalExpiry",
            ]
            let rows = try answer.array("keysets").map { keyset in
                let state =
                    keyset["expired"]?.boolValue == true
                    ? "expired" : keyset["active"]?.boolValue == true ? "active" : "redeemable"
                return [String(keyset.shown("id").prefix(16)), state] + columns.map(keyset.shown)
            }
            Output.table(
                ["KEYSET", "STATE", "UNIT", "ISSUED", "REDEEMED", "HELD", "OUTSTANDING", "FEE PPK", "MADE", "EXPIRES"],
                rows
            )
        }
    }

    struct Rotate: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Put a new keyset in the place of the active one.",
            discussion: """
                The old keyset signs nothing more and stays redeemable. Fee and lifetime of the new one are those of the \
                configuration (mint.inputFeePPK, mint.keysetDays); mint.rotateDays does this by itself.
                  mintmark mint rotate
                  mintmark mint rotate --unit usd --yes
                """
        )
        @Option(help: "Which unit's keyset.") var unit = "sat"
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            try options.confirm("The active keyset of \(unit) will sign nothing more.")
            let answer = try await node.call(.post, "/api/mint/rotate", ["unit": .string(unit)])
            if options.json { return Output.json(answer) }
            Output.line(
                "\(answer.shown("keyset")) signs \(unit) from now on; \(answer.shown("former")) stays redeemable"
            )
        }
    }

    struct Quotes: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "The latest quotes, the stuck ones, or all that is known of one melt.",
            discussion: """
                An id is a secret: whoever has that of a paid mint quote can take its ecash.
                  mintmark mint quotes
                  mintmark mint quotes --stuck
                  mintmark mint quotes --kind mint --state paid --limit 200
                  mintmark mint quotes 01955f3a-…          asks the Lightning node, and shows what it said before
                """
        )
        @Argument(help: "A melt quote's id.") var id: String?
        @Flag(help: "Payments of unknown outcome only.") var stuck = false
        @Option(help: "mint or melt.") var kind: String?
        @Option(help: "unpaid, paid, issued or pending.") var state: String?
        @Option(help: "How many of each kind, 1 to 1000.") var limit = 50
        @OptionGroup var options: GlobalOptions

        func validate() throws {
            if stuck, state != nil || kind != nil { throw ValidationError("--stuck is --kind melt --state pending.") }
            if id != nil, stuck || state != nil || kind != nil {
                throw ValidationError("Say an id, or what to list, not both.")
            }
        }

        func run(on node: NodeClient) async throws {
            if let id {
                let answer = try await node.call(.get, "/api/mint/quotes/\(id.urlSegment)")
                if options.json { Output.json(answer) } else { MintCommand.show(evidence: answer) }
                return
            }
            var query = "limit=\(limit)"
            if let kind = stuck ? "melt" : kind { query += "&kind=\(kind.urlSegment)" }
            if let state = stuck ? "pending" : state { query += "&state=\(state.urlSegment)" }
            let answer = try await node.call(.get, "/api/mint/quotes?\(query)")
            if options.json { return Output.json(answer) }
            let rows = try answer.array("quotes").map { quote in
                ["kind", "state", "amount", "unit", "updatedAt", "id"].map(quote.shown)
            }
            if rows.isEmpty { return Output.line(stuck ? "No payment is stuck." : "There are no such quotes.") }
            Output.table(["KIND", "STATE", "AMOUNT", "UNIT", "CHANGED", "ID"], rows)
        }
    }

    /// The evidence on a melt, as a person reads it.
    static func show(evidence: JSONValue) {
        let unit = evidence.shown("unit")
        Output.facts([
            ("quote", evidence.shown("quote")), ("state", evidence.shown("state")),
            ("to pay", "\(evidence.shown("amount")) \(unit), fee reserve \(evidence.shown("feeReserve")) \(unit)"),
            ("held", "\(evidence.shown("heldProofs")) proofs, \(evidence.shown("heldAmount")) \(unit)"),
            ("begun", evidence.shown("startedAt")), ("invoice expires", evidence.shown("invoiceExpiresAt")),
            ("payment hash", evidence.shown("paymentHash")),
            ("a call is under way", evidence.shown("isBeingPaid")),
            ("Lightning says now", "\(evidence.shown("backendSays")) (\(evidence.shown("askedAt")))"),
        ])
        for note in evidence["notes"]?.arrayValue ?? [] {
            Output.line("  \(note.shown("at"))  \(note.shown("kind"))  \(note.shown("text"))")
        }
    }

    struct Resolve: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "End a payment of unknown outcome, on evidence.",
            discussion: """
                The node asks about such payments by itself, and ends them once the Lightning node knows. This is for one \
                that it never will. Evidence is what the Lightning node says, or the payment's preimage. Without any, \
                your word is taken only with the sentence below; against the evidence it is not taken at all.
                  mintmark mint quotes 01955f3a-…
                  mintmark mint resolve 01955f3a-… --settled --preimage 5f0c…
                  mintmark mint resolve 01955f3a-… --failed
                  mintmark mint resolve 01955f3a-… --failed --force "I accept the loss if I am wrong"
                """
        )
        @Argument(help: "The melt quote's id.") var id: String
        @Flag(help: "It was paid: its inputs are spent.") var settled = false
        @Flag(help: "It was not paid and never will be: its inputs are given back.") var failed = false
        @Option(help: "The payment's preimage, 64 hex digits; it is checked.") var preimage: String?
        @Option(help: "The sentence, where there is no evidence either way.") var force: String?
        @OptionGroup var options: GlobalOptions

        func validate() throws {
            if settled == failed { throw ValidationError("Say --settled or --failed.") }
            if failed, preimage != nil { throw ValidationError("A preimage proves that it settled.") }
        }

        func run(on node: NodeClient) async throws {
            let path = "/api/mint/quotes/\(id.urlSegment)"
            if !options.json { MintCommand.show(evidence: try await node.call(.get, path)) }
            try options.confirm(
                settled ? "The inputs will be spent." : "The inputs will be given back to their owner."
            )
            var body: JSONObject = ["as": .string(settled ? "settled" : "failed")]
            body["preimage"] = preimage.map { .string($0) }
            body["force"] = force.map { .string($0) }
            let answer = try await node.call(.post, path + "/resolve", .object(body))
            if options.json { Output.json(answer) } else { Output.line("resolved, \(answer.shown("noted"))") }
        }
    }

    struct Audit: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Add up every row of the mint and hold it against the ledger.",
            discussion: """
                Exits with 1 where anything does not add up.
                  mintmark mint audit
                """
        )
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.post, "/api/mint/audit", [:], timeoutSeconds: 600)
            let findings = try answer.array("findings").compactMap(\.stringValue)
            if options.json {
                Output.json(answer)
            } else {
                Output.table(
                    ["KEYSET", "UNIT", "ISSUED", "REDEEMED", "HELD", "OUTSTANDING"],
                    try answer.array("keysets").map { keyset in
                        [String(keyset.shown("id").prefix(16))]
                            + ["unit", "issued", "redeemed", "held", "outstanding"].map(keyset.shown)
                    }
                )
                if findings.isEmpty { Output.line("Everything adds up.") }
                for finding in findings { Output.line("FINDING: \(finding)") }
            }
            if !findings.isEmpty { throw Failure("the mint's books do not add up: see the findings") }
        }
    }

    struct Liabilities: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "The signed statement of what the mint owes, which holders check with `mintmark wallet audit`.",
            discussion: """
                A statement is made each mint.epochHours, and with --close at once.
                  mintmark mint liabilities
                  mintmark mint liabilities --close --json > statement.json
                """
        )
        @Flag(help: "End the epoch now and sign its statement.") var close = false
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(close ? .post : .get, "/api/mint/liabilities", timeoutSeconds: 600)
            if options.json { return Output.json(answer) }
            Output.line("Epoch \(answer.shown("epoch")), closed \(answer.shown("closedAt"))")
            Output.table(
                ["KEYSET", "UNIT", "ISSUED", "SPENT", "OUTSTANDING"],
                try answer.array("keysets").map { keyset in
                    [
                        String(keyset.shown("id").prefix(16)), keyset.shown("unit"),
                        keyset["issued"]?.shown("sum") ?? "-", keyset["spent"]?.shown("sum") ?? "-",
                        keyset.shown("outstanding"),
                    ]
                }
            )
        }
    }
}
