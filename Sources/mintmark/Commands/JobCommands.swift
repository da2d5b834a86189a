import ArgumentParser
import CanonicalJSON
import Encodings
import Foundation
import Node

/// What is asked of a service, and of whom.
struct JobOptions: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "Words to find sellers by; or SELLER/NAME of a listing, or a service's URL. May be repeated.",
            valueName: "service"
        )
    )
    var service: [String]
    @Option(help: "The most to lock for it, such as 20sat. What the mint takes for making the lock comes on top.")
    var budget: Amount
    @Option(help: "The request's body; @FILE reads a file, @- standard input.") var input: String?
    @Option(help: "The path, and perhaps query, below the service.") var path: String?
    @Option(
        name: [.customShort("X"), .customLong("request")],
        help: "The HTTP method. Default: POST with a body, else GET."
    )
    var method: String?
    @Option(help: "The body's content type. Default: application/json.") var type: String?
    @Option(help: "How many sellers are asked at most, of those that words find.") var sellers: Int64 = 5
    @Option(help: "What this node must think of a seller at least that words find, 0 to 100 beside the best.")
    var minReputation: Int64 = 0
    @Option(
        help: ArgumentHelp(
            "Lock the money first, and let this arbiter decide a dispute: the URL of its node. May be repeated.",
            valueName: "url"
        )
    )
    var arbiter: [String] = []
    @Flag(help: "With --arbiter: judge the answer yourself (`mintmark job accept`, `mintmark dispute open`).")
    var review = false

    func validate() throws {
        if let path, !path.hasPrefix("/") { throw ValidationError("--path begins with /.") }
        if service.isEmpty { throw ValidationError("Say what is wanted, in words, or who sells it.") }
        if !(1...16).contains(sellers) { throw ValidationError("--sellers is 1 to 16.") }
        if !(0...100).contains(minReputation) { throw ValidationError("--min-reputation is 0 to 100.") }
        if review, arbiter.isEmpty { throw ValidationError("--review needs --arbiter: who decides a dispute?") }
        let named = service.filter(Self.isName)
        if !named.isEmpty, named.count != service.count {
            throw ValidationError("Give words, or sellers by SELLER/NAME or URL; not both.")
        }
    }

    private static func isName(_ text: String) -> Bool { text.contains("://") || text.hasPrefix("did:") }

    /// For the operator's API.
    func body() throws -> JSONObject {
        var body: JSONObject = ["budget": .string("\(budget.value)\(budget.unit)")]
        if service.contains(where: Self.isName) {
            body["sellers"] = JSONValue(service)
        } else {
            body["words"] = .string(service.joined(separator: " "))
            body["most"] = .integer(sellers)
            body["reputation"] = .integer(minReputation)
        }
        if !arbiter.isEmpty {
            body["mode"] = "arbiter"
            body["arbiters"] = JSONValue(arbiter)
            if review { body["review"] = true }
        }
        body["path"] = path.map { .string($0) }
        body["method"] = method.map { .string($0.uppercased()) }
        if let input {
            body["body"] = .string(Base64URL.encode(try Self.bytes(input)))
            body["type"] = .string(type ?? "application/json")
        }
        return body
    }

    static func bytes(_ input: String) throws -> [UInt8] {
        guard input.hasPrefix("@") else { return Array(input.utf8) }
        let path = String(input.dropFirst())
        let data =
            path == "-"
            ? try FileHandle.standardInput.readToEnd() ?? Data() : FileManager.default.contents(atPath: path)
        guard let data else { throw Failure("\(path) cannot be read", .usage) }
        guard data.count <= 1 << 20 else { throw Failure("a job's request has at most 1 MiB", .usage) }
        return [UInt8](data)
    }
}

struct MarketRequestCommand: NodeCommand {
    static let configuration = CommandConfiguration(
        commandName: "request",
        abstract: "Ask several sellers for firm quotes, and buy nothing.",
        discussion: """
            All are asked at once. The best has the lowest price divided by what this node thinks of its seller; one that it does not \
            know counts a tenth of the best that it knows. Whoever has ill served this node is left out. A quote holds for a \
            minute; `mintmark market buy` with the same words asks and takes the best.
              mintmark market request weather forecast --input @q.json --budget 20sat
              mintmark market request did:key:z6Mk…/weather https://node.example/s/meteo --budget 20sat
            """
    )
    @OptionGroup var job: JobOptions
    @OptionGroup var options: GlobalOptions

    func run(on node: NodeClient) async throws {
        let answer = try await node.call(.post, "/api/market/quotes", .object(try job.body()), timeoutSeconds: 150)
        if options.json { return Output.json(answer) }
        Self.show(try answer.array("quotes"))
    }

    static func show(_ quotes: [JSONValue]) {
        Output.table(
            ["PRICE", "TRUST", "WITHIN", "TOOK", "SELLER", "SERVICE", "WHY NOT"],
            quotes.map { quote in
                let hasPrice = quote["price"] != nil
                var trust = "-"
                if case .integer(let ppm)? = quote["trust"] { trust = "\(ppm / 10_000)" }
                return [
                    hasPrice ? "\(quote.shown("price")) \(quote.shown("unit"))" : "-", trust,
                    hasPrice ? "\(quote.shown("deliverWithin")) s" : "-", "\(quote.shown("milliseconds")) ms",
                    quote.shown("seller"), "\(quote.shown("origin"))/s/\(quote.shown("service"))",
                    quote["why"]?.stringValue ?? "",
                ]
            }
        )
    }
}

struct MarketBuyCommand: NodeCommand {
    static let configuration = CommandConfiguration(
        commandName: "buy",
        abstract: "Buy one call by escrow: the answer comes sealed, and is paid for when it is here.",
        discussion: """
            The node finds sellers by words, or takes those that are named; asks all for firm quotes, as `mintmark market request` shows \
            them; and accepts the best. The seller calls its service and sends the answer sealed. Then the price is locked \
            for the seller in ecash that it can only take by showing the key; if it does not, the money comes back by \
            itself after the locktime. One that delivers nothing got nothing, and the next best is taken. An answer that is \
            not the one that the seller signed is told, with a proof for others.
              mintmark market buy weather forecast --input @q.json --budget 20sat
              mintmark market buy did:key:z6Mk…/weather --input @q.json --budget 20sat        a listing that was found
              mintmark market buy https://node.example/s/weather/today --budget 20sat
              mintmark market buy URL --input '{"city":"Bern"}' --type application/json --budget 20sat -o answer.json
              mintmark market buy URL --budget 90sat --arbiter https://judge.example --review
              mintmark job show ID                    what became of one that was left open
            With --arbiter the money is locked before the work, two of seller, buyer and arbiter sign it over, and the answer \
            comes open: for what is slow, or a matter of opinion. Without --review any answer in time is taken.
            Exit status: 0 served, 1 not served or not what was signed, 2 refused, 4 not known yet (the node goes on).
            """
    )
    @OptionGroup var job: JobOptions
    @Option(name: .shortAndLong, help: "Write the answer's body to this file.") var output: String?
    @Option(help: "How long to wait for the answer, in seconds.") var timeout: Int64 = 60
    @OptionGroup var options: GlobalOptions

    func validate() throws {
        if !(1...600).contains(timeout) { throw ValidationError("--timeout is 1 to 600 seconds.") }
    }

    func run(on node: NodeClient) async throws {
        var body = try job.body()
        body["waitMilliseconds"] = .integer(timeout * 1_000)
        body["deadlineSeconds"] = .integer(timeout + 60)
        let bought = try await node.call(.post, "/api/market/buy", .object(body), timeoutSeconds: timeout + 30)
        if !options.json { Self.tell(bought["quotes"]?.arrayValue ?? []) }
        try JobCommand.conclude(bought, output: output, json: options.json)
    }

    /// Whom it asked and whom it took, on standard error.
    private static func tell(_ quotes: [JSONValue]) {
        guard quotes.count > 1 else { return }
        Output.note("asked \(quotes.count) sellers, the best first:")
        for quote in quotes {
            let price = quote["price"] == nil ? "no quote" : "\(quote.shown("price")) \(quote.shown("unit"))"
            let taken = quote["job"] == nil ? "" : ", accepted"
            let why = quote["why"]?.stringValue.map { ": \($0)" } ?? ""
            Output.note("  \(quote.shown("seller")): \(price)\(taken)\(why)")
        }
    }
}

struct JobCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "job",
        abstract: "Jobs by escrow that this node bought and sold.",
        discussion: """
              mintmark job list
              mintmark job show ID -o answer.json
              mintmark job accept ID                  its answer is good: the seller is paid
            A job is bought with `mintmark market buy`, and sold by a service that was put on sale with --escrow. One whose answer \
            is not good goes to its arbiter: mintmark dispute open ID --reason "…".
            """,
        subcommands: [List.self, Show.self, Accept.self]
    )

    struct List: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "The latest jobs of both sides, newest first.")
        @Option(help: "The most to show, up to 1000.") var limit: Int = 50
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/market/jobs?limit=\(limit)")
            if options.json { return Output.json(answer) }
            let jobs = try answer.array("jobs")
            if jobs.isEmpty { return Output.line("No jobs yet. See: mintmark market buy --help") }
            Output.table(
                ["JOB", "SIDE", "SERVICE", "STATE", "PRICE", "CREATED"],
                jobs.map { job in
                    [
                        job.shown("job"), job.shown("side"), job.shown("service"),
                        job.shown("state"),
                        "\(job.shown("price")) \(job.shown("unit"))", job.shown("created"),
                    ]
                }
            )
        }
    }

    struct Show: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "One job that this node bought, with its answer.",
            discussion: "An answer that is not the one that the seller signed comes with the proof, under --json."
        )
        @Argument(help: "The job's id.") var id: String
        @Option(name: .shortAndLong, help: "Write the answer's body to this file.") var output: String?
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let job = try await node.call(.get, "/api/market/jobs/\(id.urlSegment)")
            if options.json { return Output.json(job) }
            Output.facts(
                [
                    ("job", "job"), ("service", "service"), ("seller", "with"), ("mode", "mode"),
                    ("arbiter", "arbiter"),
                    ("state", "state"), ("ending", "ending"), ("price", "price"), ("locked", "locked"),
                    ("came back", "returned"), ("mint", "mint"), ("created", "created"), ("deliver by", "deliverBy"),
                    ("locktime", "locktime"), ("complaint", "complaint"), ("note", "note"),
                ].filter { job[$0.1] != nil }.map { ($0.0, job.shown($0.1)) }
            )
            if let answer = job["answer"] { try JobCommand.write(answer, to: output) }
        }
    }

    struct Accept: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say that the answer of a job is good: its seller is paid.",
            discussion: """
                Of a job that was bought with --arbiter and --review, while it is judging.
                  mintmark job show ID -o answer.json
                  mintmark job accept ID
                """
        )
        @Argument(help: "The job's id.") var id: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let job = try await node.call(.post, "/api/market/jobs/\(id.urlSegment)/accept", .object([:]))
            if options.json { return Output.json(job) }
            Output.line(
                "accepted: \(job.shown("price")) \(job.shown("unit")) to \(job.shown("with")), \(job.shown("state"))"
            )
        }
    }

    /// What became of a job, on standard error so that the answer alone is on standard output.
    static func conclude(_ job: JSONValue, output: String?, json: Bool) throws {
        if json { Output.json(job) }
        let name = job.shown("job")
        switch job["state"]?.stringValue {
        case "served":
            guard let answer = job["answer"] else { throw Failure("the answer of the job \(name) is gone") }
            if !json { try write(answer, to: output) }
            if !json {
                Output.note(
                    "paid \(job.shown("price")) \(job.shown("unit")) to \(job.shown("with")) for the job \(name)"
                )
            }
        case "fraud":
            throw Failure(
                "the seller took the money and sent another answer than it signed: `mintmark job show \(name) --json` has the proof",
                .failed,
                isSaid: json
            )
        case "judging":
            if let answer = job["answer"], !json { try write(answer, to: output) }
            throw Failure(
                "the answer is to be judged: mintmark job accept \(name), or mintmark dispute open \(name) --reason \"…\"",
                .pending,
                isSaid: json
            )
        case "disputed":
            throw Failure(
                "the arbiter has it\(job["note"]?.stringValue.map { ": \($0)" } ?? ""): mintmark job show \(name)",
                .pending,
                isSaid: json
            )
        case "refunded", "split", "claimed":
            throw Failure("not served: \(job["note"]?.stringValue ?? "the job is over")", .failed, isSaid: json)
        default:
            let why = job["note"]?.stringValue.map { ": \($0)" } ?? ""
            throw Failure(
                "not known yet\(why); the node goes on, and what is not taken comes back after \(job.shown("locktime")): mintmark job show \(name)",
                .pending,
                isSaid: json
            )
        }
    }

    static func write(_ answer: JSONValue, to output: String?) throws {
        let bytes = try Base64URL.decode(answer.string("body"))
        guard let output else { return Output.bytes(bytes) }
        guard FileManager.default.createFile(atPath: output, contents: Data(bytes)) else {
            throw Failure("\(output) cannot be written", .usage)
        }
    }
}
