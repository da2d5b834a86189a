import ArgumentParser
import CanonicalJSON
import Encodings
import Foundation
import Node

struct MarketCallCommand: NodeCommand {
    static let configuration = CommandConfiguration(
        commandName: "call",
        abstract: "Call for bids on one job, and buy of the best.",
        discussion: """
            The call is told by gossip: the words, method and path, the budget and where this node has money, but not the body. \
            Nodes whose operators have a rule for a service with all of these words (`market bid-rule`) bind themselves to a \
            price that nobody can read yet, until --bids-for is over; then they show it, within 4 seconds. The best has the \
            lowest price divided by what this node thinks of the bidder, and is bought by escrow as `market buy` does; \
            of the next best where one does not stand to its bid or delivers nothing. One job at most comes of a call. \
            Whoever bound itself and shows nothing is thought less of. Bidders are those that this node hears \
            (gossip.trustedIssuers, or passports of those), and they must hear this node.
              mintmark market call weather forecast --path /today --budget 20sat
              mintmark market call weather --input @q.json --budget 20sat --bids-for 2s -o answer.json
              mintmark market call translate --input @text.json --budget 500sat --bids-for 10m --deliver-within 1h
              mintmark market calls                    what became of calls; `market calls ID` shows the bids
              mintmark market call --cancel ID         while bids are taken; nobody is blamed
            Exit status: 0 served, 1 nobody bid, or it was not served, 2 refused, 4 not known yet (the node goes on).
            """
    )
    @Argument(help: "Words that a service must all have, in its name, title, tags or summary.") var words: [String] = []
    @Option(help: "The most to lock for it, such as 20sat. What the mint takes for making the lock comes on top.")
    var budget: Amount?
    @Option(help: "The request's body; @FILE reads a file, @- standard input.") var input: String?
    @Option(help: "The path, and perhaps query, below the service. All hear it.") var path: String = "/"
    @Option(
        name: [.customShort("X"), .customLong("request")],
        help: "The HTTP method. Default: POST with a body, else GET."
    )
    var method: String?
    @Option(help: "The body's content type. Default: application/json.") var type: String?
    @Option(help: "How long bidders may bind themselves: 2s, 5m, up to 1h.")
    var bidsFor = SecondsArgument(seconds: 5)
    @Option(help: "By when the answer must be there, after the award: 60s, 1h, up to 1d.")
    var deliverWithin = SecondsArgument(seconds: 60)
    @Option(name: .shortAndLong, help: "Write the answer's body to this file.") var output: String?
    @Flag(help: "Do not wait: print the call's id, and let the node go on.") var detach = false
    @Option(help: ArgumentHelp("Take back a call that takes bids still.", valueName: "id")) var cancel: String?
    @OptionGroup var options: GlobalOptions

    func validate() throws {
        if cancel != nil {
            guard words.isEmpty, budget == nil, input == nil else {
                throw ValidationError("--cancel stands alone, with the id of a call.")
            }
            return
        }
        if words.isEmpty { throw ValidationError("Say in words what is wanted: market call weather --budget 20sat") }
        if budget == nil { throw ValidationError("--budget says what is paid at most, such as 20sat.") }
        if !path.hasPrefix("/") { throw ValidationError("--path begins with /.") }
        if !(1...3_600).contains(bidsFor.seconds) { throw ValidationError("--bids-for is 1s to 1h.") }
        if !(1...86_400).contains(deliverWithin.seconds) { throw ValidationError("--deliver-within is 1s to 1d.") }
    }

    func run(on node: NodeClient) async throws {
        if let cancel {
            let answer = try await node.call(.delete, "/api/market/calls/\(cancel.urlSegment)")
            return options.json ? Output.json(answer) : Output.line("cancelled \(answer.shown("call"))")
        }
        let call = try await node.call(.post, "/api/market/calls", .object(try body()))
        let name = try call.string("call")
        if detach {
            return options.json ? Output.json(call) : Output.line(name)
        }
        if !options.json { Output.note("called for bids until \(call.shown("commitUntil")): \(name)") }
        try await conclude(name, on: node)
    }

    private func body() throws -> JSONObject {
        guard let budget else { throw ValidationError("--budget says what is paid at most, such as 20sat.") }
        var body: JSONObject = [
            "words": .string(words.joined(separator: " ")), "budget": .string("\(budget.value)\(budget.unit)"),
            "path": .string(path), "bidSeconds": .integer(bidsFor.seconds),
            "deliverWithin": .integer(deliverWithin.seconds),
        ]
        body["method"] = method.map { .string($0.uppercased()) }
        if let input {
            body["body"] = .string(Base64URL.encode(try JobOptions.bytes(input)))
            body["type"] = .string(type ?? "application/json")
        }
        return body
    }

    /// Waits for the job that it comes to, and tells how it goes.
    private func conclude(_ name: String, on node: NodeClient) async throws {
        var told = ""
        while true {
            let call = try await node.call(.get, "/api/market/calls/\(name)")
            let bids = call["bids"]?.arrayValue ?? []
            let line =
                "\(call.shown("state")): \(bids.count) bound, \(bids.filter { $0["price"] != nil }.count) shown their bids"
            if line != told, !options.json { Output.note(line) }
            told = line
            switch call["state"]?.stringValue {
            case "open", "awarding": try await Task.sleep(for: .milliseconds(250))
            case "awarded":
                if !options.json { MarketCallsCommand.note(bids) }
                return try await conclude(call, on: node)
            default:
                if options.json { Output.json(call) } else { MarketCallsCommand.note(bids) }
                throw Failure("the call came to nothing: \(call.shown("note"))", .failed, isSaid: options.json)
            }
        }
    }

    private func conclude(_ call: JSONValue, on node: NodeClient) async throws {
        let job = try await node.call(.get, "/api/market/jobs/\(call.string("job"))")
        guard options.json, var shown = job.objectValue else {
            return try JobCommand.conclude(job, output: output, json: false)
        }
        shown["call"] = call["call"]
        shown["bids"] = call["bids"]
        try JobCommand.conclude(.object(shown), output: output, json: true)
    }
}

struct MarketCallsCommand: NodeCommand {
    static let configuration = CommandConfiguration(
        commandName: "calls",
        abstract: "Calls for bids of this node's own, newest first; or one with its bids.",
        discussion: """
              mintmark market calls
              mintmark market calls 3f2a…            who bid what, and what became of it
            A call is open, awarding, awarded (to a job: see `mintmark job show`), failed or cancelled.
            """
    )
    @Argument(help: "The call's id.") var id: String?
    @Option(help: "The most to show, up to 1000.") var limit: Int = 50
    @OptionGroup var options: GlobalOptions

    func run(on node: NodeClient) async throws {
        if let id {
            let call = try await node.call(.get, "/api/market/calls/\(id.urlSegment)")
            if options.json { return Output.json(call) }
            Output.facts(
                [
                    ("call", "call"), ("state", "state"), ("words", "words"), ("budget", "budget"), ("unit", "unit"),
                    ("created", "created"), ("bids until", "commitUntil"), ("shown until", "revealUntil"),
                    ("job", "job"), ("note", "note"),
                ].map { ($0.0, call.shown($0.1)) }
            )
            Output.line("")
            return Output.table(Self.header, Self.rows(call["bids"]?.arrayValue ?? []))
        }
        let answer = try await node.call(.get, "/api/market/calls?limit=\(limit)")
        if options.json { return Output.json(answer) }
        let calls = try answer.array("calls")
        if calls.isEmpty { return Output.line("No calls yet. See: mintmark market call --help") }
        Output.table(
            ["CALL", "WORDS", "STATE", "BUDGET", "CREATED", "NOTE"],
            calls.map { call in
                [
                    call.shown("call"), call.shown("words"), call.shown("state"),
                    "\(call.shown("budget")) \(call.shown("unit"))", call.shown("created"), call.shown("note"),
                ]
            }
        )
    }

    private static let header = ["STATE", "PRICE", "TRUST", "BIDDER", "SERVICE", "CAME TO"]

    private static func rows(_ bids: [JSONValue]) -> [[String]] {
        bids.map { bid in
            var trust = "-"
            if case .integer(let ppm)? = bid["trust"] { trust = "\(ppm / 10_000)" }
            return [
                bid.shown("state"), bid.shown("price"), trust, bid.shown("bidder"),
                bid["node"] == nil ? "-" : "\(bid.shown("node"))/s/\(bid.shown("service"))",
                bid["why"]?.stringValue ?? bid["job"]?.stringValue.map { "job \($0.prefix(16))" } ?? "-",
            ]
        }
    }

    /// Who bid what, on standard error.
    static func note(_ bids: [JSONValue]) {
        for row in rows(bids) {
            Output.note("  \(row[3]): \(row[1] == "-" ? row[0] : row[1])\(row[5] == "-" ? "" : ", \(row[5])")")
        }
    }
}

/// A time as a user writes it: `5s`, `10m`, `1h`, `1d`, or seconds alone.
struct SecondsArgument: ExpressibleByArgument, Equatable {
    let seconds: Int64

    init(seconds: Int64) { self.seconds = seconds }

    init?(argument: String) {
        let digits = argument.prefix { $0.isASCII && $0.isNumber }
        let units: [Substring: Int64] = ["": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400]
        guard let number = Int64(digits), number <= 1_000_000,
            let factor = units[argument.dropFirst(digits.count)]
        else { return nil }
        seconds = number * factor
    }

    var defaultValueDescription: String { "\(seconds)s" }
}
