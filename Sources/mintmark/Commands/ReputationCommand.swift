import ArgumentParser
import CanonicalJSON
import Foundation

struct ReputationCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reputation",
        abstract: "What this node thinks of others, by the calls that it paid for and served, and by others' ratings.",
        discussion: """
              mintmark reputation show
              mintmark reputation show did:key:z6Mk… --why
              mintmark reputation ratings
              mintmark reputation export > sold.json
            Only paid calls with a receipt count, and none between keys of this node's own. A call weighs 0.8 of itself \
            a week later. reputation.seeds names nodes that you trust beforehand: what they and those whom they trust \
            published of their own calls counts too. With reputation.publish=true this node publishes its own.
            """,
        subcommands: [Show.self, Ratings.self, Export.self]
    )

    struct Show: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Who is thought of how, the best first; or one, and why.",
            discussion: """
                STANDING is 0 to 100 beside the best that this node knows. WELL and BADLY are this node's own calls, \
                with what decay leaves of them.
                  mintmark reputation show
                  mintmark reputation show did:key:z6Mk… --why
                  mintmark reputation show --buying        of those that bought here
                """
        )
        @Argument(help: "Whose (did:key); all that anything is known of where none is given.") var did: String?
        @Flag(help: "What is thought of them as buyers, not as sellers.") var buying = false
        @Flag(help: "Show the ways by which trust comes.") var why = false
        @OptionGroup var options: GlobalOptions

        func validate() throws {
            if why && did == nil { throw ValidationError("--why is of one: name whose.") }
        }

        func run(on node: NodeClient) async throws {
            let role = buying ? "buying" : "selling"
            guard let did else { return try await showAll(node, role) }
            let answer = try await node.call(.get, "/api/market/reputation/\(did.urlSegment)?role=\(role)")
            if options.json { return Output.json(answer) }
            Output.facts([
                ("did", answer.shown("did")), ("role", answer.shown("role")),
                ("standing", "\(answer.shown("standing")) of 100"),
                ("trust", Self.decimal(answer["trust"])), ("went well", Self.decimal(answer["good"], 1)),
                ("went badly", Self.decimal(answer["bad"], 1)), ("own mean", Self.decimal(answer["ownMean"])),
                ("seed", answer.shown("isSeed")),
            ])
            guard why else { return }
            Output.line("")
            let paths = answer["paths"]?.arrayValue ?? []
            if paths.isEmpty {
                let isSeed = answer["isSeed"] == true
                return Output.line(isSeed ? "Trusted as a seed, and by nobody besides." : "No trust comes to it.")
            }
            Output.table(
                ["TRUST", "FROM", "THROUGH"],
                paths.map { path in
                    let through = path["through"]?.arrayValue?.compactMap(\.stringValue) ?? []
                    return [
                        Self.decimal(path["trust"]), path["beginsAtSeed"] == true ? "seed" : "this node",
                        through.joined(separator: " → "),
                    ]
                }
            )
            Output.line("\(answer.shown("judges")) in all.")
        }

        private func showAll(_ node: NodeClient, _ role: String) async throws {
            let answer = try await node.call(.get, "/api/market/reputation?role=\(role)")
            if options.json { return Output.json(answer) }
            let standings = try answer.array("standings")
            if standings.isEmpty {
                return Output.line("Nothing is known of anybody yet: no paid call with a receipt, and no seeds.")
            }
            Output.table(
                ["STANDING", "TRUST", "WELL", "BADLY", "WHO"],
                standings.map { entry in
                    [
                        entry.shown("standing"), Self.decimal(entry["trust"]), Self.decimal(entry["good"], 1),
                        Self.decimal(entry["bad"], 1), entry.shown("did"),
                    ]
                }
            )
        }

        private static func decimal(_ value: JSONValue?, _ places: Int = 4) -> String {
            String(format: "%.\(places)f", value?.doubleValue ?? 0)
        }
    }

    struct Ratings: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "How many ratings this node publishes, and has gathered from whom.",
            discussion: """
                A rating is a receipt that its buyer countersigned with how the call went. COUNTED are those that hold \
                and are kept; REFUSED tells why others count for nothing.
                  mintmark reputation ratings
                """
        )
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/market/ratings")
            if options.json { return Output.json(answer) }
            let published = answer["published"]
            Output.line(
                published?["on"] == true
                    ? "Published: \(published?.shown("count") ?? "0"), root \(published?.shown("root") ?? "-")."
                    : "Nothing is published: reputation.publish is off."
            )
            let gathered = try answer.array("gathered")
            if gathered.isEmpty { return Output.line("Nothing was gathered of others yet.") }
            Output.table(
                ["RECEIPTS", "COUNTED", "REFUSED", "VISITED", "WHO", "LAST VISIT"],
                gathered.map { entry in
                    let refused = entry["refused"]?.objectValue?.map { "\($0.key) \($0.value.int64Value ?? 0)" } ?? []
                    return [
                        entry.shown("receipts"), entry.shown("counted"),
                        refused.isEmpty ? "-" : refused.joined(separator: ", "), entry.shown("visited"),
                        entry.shown("judge"), entry["why"]?.stringValue ?? "went well",
                    ]
                }
            )
        }
    }

    struct Export: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "What this node has sold, as a statement that it signs.",
            discussion: """
                Counts of calls by how they went, of buyers and amounts, and the root of the Merkle tree over the \
                receipts, so that any of them can be asked for. With reputation.public=true it is also at \
                /market/reputation.
                  mintmark reputation export > sold.json
                """
        )
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let statement = try await node.call(.get, "/api/market/statement")
            if options.json { return Output.json(statement) }
            Output.line(statement.prettyPrinted())
        }
    }
}
