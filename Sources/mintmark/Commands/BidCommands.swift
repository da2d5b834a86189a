import ArgumentParser
import CanonicalJSON
import Node

struct BidRuleCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bid-rule",
        abstract: "Bid by yourself on calls that your services fit.",
        discussion: """
            A service bids on a call that has all its words in the service's name, title, tags or summary, at a mint whose ecash is \
            taken here. With nothing open it bids the floor; the more of its capacity is in use, the nearer to its list price, \
            and at capacity nothing. What is bid is sold at that price, once, where the buyer asks within a minute.
              mintmark service add weather --upstream http://127.0.0.1:9000 --price 5sat --escrow key --tag forecast
              mintmark market bid-rule add --service weather --floor 3sat
              mintmark market bid-rule add --service weather --floor 3sat --capacity 8 --reputation 20 --replace
              mintmark market bid-rule list
              mintmark market bids
              mintmark market bid-rule remove weather
            """,
        subcommands: [Add.self, List.self, Remove.self]
    )

    struct Add: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "Bid for a service from now on.")
        @Option(help: "The service's name here; it must be sold with --escrow key.") var service: String
        @Option(help: "The least to bid, such as 3sat.") var floor: Amount
        @Option(help: "How many bids and jobs of it may be open, 1 to 64. One buyer gets half at most.")
        var capacity: Int64 = 4
        @Option(
            help:
                "What this node must think of a buyer at least, 0 to 100 beside the best; 0: anybody, also who is unknown."
        )
        var reputation: Int64 = 0
        @Flag(help: "Take the place of the rule that is there.") var replace = false
        @OptionGroup var options: GlobalOptions

        func validate() throws {
            if !(1...64).contains(capacity) { throw ValidationError("--capacity is 1 to 64.") }
            if !(0...100).contains(reputation) { throw ValidationError("--reputation is 0 to 100.") }
        }

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(
                .post,
                "/api/market/bid-rules",
                [
                    "service": .string(service), "floor": .string("\(floor.value)\(floor.unit)"),
                    "capacity": .integer(capacity), "reputation": .integer(reputation), "replace": .bool(replace),
                ]
            )
            if options.json { return Output.json(answer) }
            Output.line("\(service) bids on calls from \(floor.value) \(floor.unit) on, while the node runs.")
        }
    }

    struct List: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "The rules, with what is open by each.")
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/market/bid-rules")
            if options.json { return Output.json(answer) }
            let rules = try answer.array("rules")
            if rules.isEmpty { return Output.line("No rules. See: mintmark market bid-rule --help") }
            Output.table(
                ["SERVICE", "FLOOR", "CAPACITY", "OPEN BIDS", "OPEN JOBS", "REPUTATION"],
                rules.map { rule in
                    [
                        rule.shown("service"), "\(rule.shown("floor")) \(rule.shown("unit"))", rule.shown("capacity"),
                        rule.shown("openBids"), rule.shown("openJobs"), rule.shown("reputation"),
                    ]
                }
            )
        }
    }

    struct Remove: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Bid for a service no longer. What was bid still holds."
        )
        @Argument(help: "The service's name.") var service: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.delete, "/api/market/bid-rules/\(service.urlSegment)")
            if options.json { return Output.json(answer) }
            Output.line("\(service) bids no longer.")
        }
    }
}

struct MarketBidsCommand: NodeCommand {
    static let configuration = CommandConfiguration(
        commandName: "bids",
        abstract: "What this node bid by rule, newest first.",
        discussion: """
            A bid is committed (bound, not shown yet), shown, honoured (its buyer has the firm quote; the job is in `mintmark job \
            list`), or dropped: its call was taken back, or another was taken.
              mintmark market bids
            """
    )
    @Option(help: "The most to show, up to 1000.") var limit: Int = 50
    @OptionGroup var options: GlobalOptions

    func run(on node: NodeClient) async throws {
        let answer = try await node.call(.get, "/api/market/bids?limit=\(limit)")
        if options.json { return Output.json(answer) }
        let bids = try answer.array("bids")
        if bids.isEmpty { return Output.line("No bids yet. See: mintmark market bid-rule --help") }
        Output.table(
            ["CALL", "WORDS", "SERVICE", "PRICE", "STATE", "BUYER", "CREATED"],
            bids.map { bid in
                [
                    String(bid.shown("call").prefix(16)), bid.shown("words"), bid.shown("service"),
                    "\(bid.shown("price")) \(bid.shown("unit"))", bid.shown("state"), bid.shown("buyer"),
                    bid.shown("created"),
                ]
            }
        )
    }
}
