import ArgumentParser
import CanonicalJSON
import Foundation
import Node

struct MarketCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "market",
        abstract: "What others sell, found by what they tell by gossip, and what this node tells of its own.",
        discussion: """
              mintmark market search weather forecast --max-price 5sat
              mintmark market search weather --dialect cashu --why
              mintmark market show did:key:z6Mk…/weather
              mintmark market list
              mintmark market request weather --input @q.json --budget 20sat
              mintmark market buy weather --input @q.json --budget 20sat
              mintmark market call weather --input @q.json --budget 20sat --bids-for 5s
              mintmark market bid-rule add --service weather --floor 3sat
            Whose listings count: those of the issuers that this node's services trust, of the issuers in \
            gossip.trustedIssuers, and of the agents that either gave passports to.
            """,
        subcommands: [
            Search.self, Show.self, List.self, MarketRequestCommand.self, MarketBuyCommand.self,
            MarketCallCommand.self, MarketCallsCommand.self, BidRuleCommand.self, MarketBidsCommand.self,
        ]
    )

    struct Search: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Find services by words.",
            discussion: """
                All words have to be in a listing's name, title, tags or description; where none has all, those with some \
                are shown, and it is said. Two sellers may use one name: look at who it is.
                  mintmark market search weather forecast --max-price 5sat
                  mintmark market search --tag maps --dialect cashu --latency 300
                  mintmark market search weather --why          each part of the score with its figure
                  mintmark market search weather --min-reputation 50
                  mintmark market search weather --alive        what answered lately, and nothing else
                A running node asks listed services for their prices now and then (market.probesPerHour, 60): what does not \
                answer, or asks for more than it lists, is marked dead and comes last.
                """
        )
        @Argument(help: "What to look for.") var words: [String] = []
        @Option(help: "The most that its cheapest call may cost, such as 5sat.") var maxPrice: Amount?
        @Option(help: "A way to pay that it must take, such as cashu or l402.") var dialect: String?
        @Option(help: "A mint whose ecash it must take.") var mint: String?
        @Option(help: "A tag that it must have. May be repeated.") var tag: [String] = []
        @Option(help: "The capability that it must ask of passports.") var capability: String?
        @Option(help: "The latency that it must promise, in milliseconds, or less.") var latency: Int64?
        @Option(help: "The uptime that it must promise, in per cent, such as 99.5, or more.") var uptime: Double?
        @Option(help: "Whose it must be (did:key).") var author: String?
        @Option(help: "What this node must think of its seller at least, 0 to 100 beside the best that it knows.")
        var minReputation: Int?
        @Flag(help: "Leave out what is not known to be alive.") var alive = false
        @Option(help: "The most to show, up to 100.") var limit: Int = 20
        @Flag(help: "Show what each score is made of.") var why = false
        @OptionGroup var options: GlobalOptions

        func validate() throws {
            if let uptime, !(0...100).contains(uptime) { throw ValidationError("--uptime is 0 to 100 per cent.") }
            if let minReputation, !(0...100).contains(minReputation) {
                throw ValidationError("--min-reputation is 0 to 100.")
            }
        }

        func run(on node: NodeClient) async throws {
            var query = [("q", words.joined(separator: " ")), ("limit", String(limit))]
            if let maxPrice { query.append(("max", "\(maxPrice.value)\(maxPrice.unit)")) }
            for (name, value) in [
                ("dialect", dialect), ("mint", mint), ("capability", capability), ("author", author),
                ("latency", latency.map { String($0) }), ("reputation", minReputation.map { String($0) }),
                ("uptime", uptime.map { String(Int64(($0 * 10_000).rounded())) }),
            ] {
                if let value { query.append((name, value)) }
            }
            if alive { query.append(("alive", "true")) }
            query += tag.map { ("tag", $0) }
            let text = query.map { "\($0.0)=\($0.1.queryValue)" }.joined(separator: "&")
            let answer = try await node.call(.get, "/api/market/search?\(text)")
            if options.json { return Output.json(answer) }
            let found = try answer.array("listings")
            if found.isEmpty {
                return Output.line(
                    alive ? "Nothing that fits is known to be alive." : "Nothing that this node knows of fits."
                )
            }
            if answer["matchesSomeWords"]?.boolValue == true {
                Output.line("Nothing has all of the words; these have some:")
            }
            Output.table(
                ["SCORE", "ALIVE", "NAME", "PRICES", "SELLER", "URL"],
                found.map { entry in
                    [
                        Self.points(entry.int64OrZero("points")), Self.mark(entry["liveness"]), entry.shown("name"),
                        MarketCommand.prices(entry["listing"] ?? .null), entry.shown("author"),
                        entry["urls"]?.arrayValue?.first?.stringValue ?? "-",
                    ]
                }
            )
            guard why else { return }
            for entry in found {
                Output.line("")
                Output.line(
                    "\(entry.shown("author"))/\(entry.shown("name")): \(Self.points(entry.int64OrZero("points")))"
                )
                Output.table(
                    ["PART", "POINTS", "BECAUSE"],
                    (entry["why"]?.arrayValue ?? []).map {
                        [$0.shown("part"), Self.points($0.int64OrZero("points")), $0.shown("figure")]
                    }
                )
            }
        }

        /// Whether it is there, in a cell.
        private static func mark(_ liveness: JSONValue?) -> String {
            switch liveness?["state"]?.stringValue {
            case "alive": "yes"
            case "dead": "DEAD"
            default: "?"
            }
        }

        /// Thousandths as a decimal number.
        private static func points(_ points: Int64) -> String { String(format: "%.3f", Double(points) / 1_000) }
    }

    struct Show: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "One listing, with everything that its seller says, and the signed record.",
            discussion: """
                  mintmark market show did:key:z6Mk…/weather
                  mintmark market show 5b0c…             by the record's id
                """
        )
        @Argument(help: ArgumentHelp("SELLER/NAME, or the record's id.", valueName: "listing")) var listing: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let parts = listing.split(separator: "/", omittingEmptySubsequences: false).map { String($0).urlSegment }
            guard (1...2).contains(parts.count) else {
                throw ValidationError("A listing is named by SELLER/NAME, or by its record's id.")
            }
            let place = parts.count == 1 ? "records" : "listings"
            let answer = try await node.call(.get, "/api/market/\(place)/\(parts.joined(separator: "/"))")
            if options.json { return Output.json(answer) }
            Output.facts(
                [
                    ("name", "name"), ("seller", "author"), ("URLs", "urls"), ("published", "published"),
                    ("expires", "expires"), ("record", "id"),
                ].map { ($0.0, answer.shown($0.1)) } + [("prices", MarketCommand.prices(answer["listing"] ?? .null))]
                    + Self.liveness(answer["liveness"])
            )
            let probes = answer["probes"]?.arrayValue ?? []
            if !probes.isEmpty {
                Output.line("")
                Output.table(
                    ["PROBED", "RESULT", "MS"],
                    probes.map { [$0.shown("at"), $0.shown("result"), $0.shown("milliseconds")] }
                )
            }
            Output.line("")
            Output.line((answer["listing"] ?? .null).prettyPrinted())
        }

        private static func liveness(_ liveness: JSONValue?) -> [(String, String)] {
            guard let liveness, let own = liveness["own"], let others = liveness["others"] else { return [] }
            let (good, failed) = (own.int64OrZero("ok"), own.int64OrZero("failed"))
            var tries = good + failed == 0 ? "not tried within a day" : "\(good) of \(good + failed) tries went well"
            if own["p50Milliseconds"] != nil {
                tries +=
                    ", half within \(own.shown("p50Milliseconds")) ms, 95 % within \(own.shown("p95Milliseconds")) ms"
            }
            let told = (others.int64OrZero("alive"), others.int64OrZero("dead"))
            return [
                ("alive", "\(liveness.shown("state")): \(tries)"),
                ("others say", told == (0, 0) ? "nothing" : "alive: \(told.0), dead: \(told.1)"),
            ]
        }
    }

    struct List: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "What this node tells others of its own services.",
            discussion: """
                A service is listed from `service add` on (unless --unlisted), renewed while the node runs, and taken back by \
                `service remove`.
                  mintmark market list
                """
        )
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/market/own")
            if options.json { return Output.json(answer) }
            let listings = try answer.array("listings")
            if listings.isEmpty { return Output.line("This node lists nothing. See: mintmark service add --help") }
            Output.table(
                ["NAME", "STATE", "PUBLISHED", "EXPIRES", "WHY"],
                listings.map { entry in
                    ["name", "state", "published", "expires", "why"].map { entry.shown($0) }
                }
            )
            if node.isTemporary { Output.line("Start the node to tell others: mintmark serve") }
        }
    }

    /// In a cell.
    static func prices(_ listing: JSONValue) -> String {
        (listing["prices"]?.arrayValue ?? []).prefix(3).map { price in
            let methods = price["methods"] == nil ? "" : price.shown("methods") + " "
            let most = price["from"] == nil ? "" : "up to "
            return "\(methods)\(price.shown("path"))=\(most)\(price.shown("amount"))\(price.shown("unit"))"
        }.joined(separator: ", ")
    }
}

extension JSONValue {
    fileprivate func int64OrZero(_ key: String) -> Int64 {
        if case .integer(let number)? = self[key] { return number }
        return 0
    }
}

extension String {
    /// The text as a value of a query.
    fileprivate var queryValue: String {
        addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? self
    }
}
