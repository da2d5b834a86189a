import ArgumentParser
import CanonicalJSON
import Foundation
import Node

struct ServiceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "service",
        abstract: "What the node sells: any HTTP service, at a price per call.",
        discussion: """
            Examples:
              mintmark service add weather --upstream http://127.0.0.1:9000 --price 2sat
              mintmark service add maps --upstream http://127.0.0.1:9001 \\
                  --price 'GET /tiles/*=1sat' --price 'POST /route=5sat' --price 'GET /about=0sat'
              mintmark service add weather --upstream … --price 2sat --accept cashu,l402,payment-lightning
              mintmark service add weather --upstream … --price 2sat --accept cashu,l402 --pass 100
              mintmark service add weather --upstream … --price 1usd --accept x402-exact,cashu
              mintmark service add weather --upstream … --price 2sat --trust did:key:z6Mk… --capability invoke
              mintmark service add weather --upstream http://10.0.0.1:9000 --upstream http://10.0.0.2:9000 \\
                  --health-check /health --price 2sat --host weather.example --cors '*'
              mintmark service add llm --upstream … --price '1sat+2sat/x-tokens,max=100sat'
              mintmark service price llm --request 'POST /chat' --measure x-tokens=7
              mintmark service add weather --upstream … --price 2sat --summary 'Weather of today' --tag weather
              mintmark service add secret --upstream … --price 2sat --unlisted
              mintmark service list
              mintmark service remove weather
            """,
        subcommands: [Add.self, List.self, Show.self, Price.self, Remove.self]
    )
}

/// `100` calls, a time such as `90s`, `15m`, `1h` or `7d`, or a credit such as `1000sat`.
struct PassArgument: ExpressibleByArgument {
    let json: JSONValue

    init?(argument: String) {
        let seconds: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
        if let calls = UInt64(argument) {
            json = ["calls": .string(String(calls))]
        } else if let unit = argument.last.flatMap({ seconds[$0] }), let count = Int64(argument.dropLast()),
            count > 0, count <= 1_000_000_000
        {
            json = ["seconds": .integer(count * unit)]
        } else {
            guard let credit = PriceArgument.money(argument) else { return nil }
            json = ["credit": .string(String(credit.amount)), "unit": .string(credit.unit)]
        }
    }
}

/// What `--session-deposit` and `--session-idle` say.
struct SessionArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "What a session over payment-session deposits, in sat.",
            discussion: "Default: 20 times what a call costs at most. What is left goes back at the end.",
            valueName: "1000sat"
        )
    )
    var sessionDeposit: String?
    @Option(
        help: ArgumentHelp(
            "After how long without a call a session is ended and its rest returned: 15m, 1h (default), 7d.",
            valueName: "time"
        )
    )
    var sessionIdle: PassArgument?

    func validate() throws {
        if let sessionDeposit, PriceArgument.money(sessionDeposit)?.unit != "sat" {
            throw ValidationError("--session-deposit is an amount in sat, such as 1000sat.")
        }
        if let sessionIdle, sessionIdle.json["seconds"] == nil {
            throw ValidationError("--session-idle is a time, such as 15m or 1h.")
        }
    }

    func write(to service: inout JSONObject) {
        var session = JSONObject()
        session["depositSats"] = sessionDeposit.flatMap { PriceArgument.money($0) }.map { .string(String($0.amount)) }
        session["idleSeconds"] = sessionIdle?.json["seconds"]
        if !session.isEmpty { service["session"] = .object(session) }
    }
}

extension ServiceCommand {
    struct Add: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Put a service on sale, or change it.",
            discussion: """
                The service's paths stand under /s/NAME/ of the node. The longest matching path decides the price; a \
                path that no price names is not found. A call that its upstream fails is refunded.
                  mintmark service add weather --upstream http://127.0.0.1:9000 --price 2sat
                It is paid for with ecash (cashu, and payment-cashu under the Payment scheme) or over Lightning (l402, \
                payment-lightning), where the node has a Lightning account; --accept names the ways. Over L402 a payment \
                buys one call, or a pass: so many calls at so many times the price, or as many as come within a time, at \
                the price of one.
                  mintmark service add weather --upstream … --price 2sat --accept cashu,l402,payment-lightning
                  mintmark service add weather --upstream … --price 2sat --accept l402 --pass 100
                  mintmark service add weather --upstream … --price 50sat --accept cashu,l402 --pass 1h
                By payment-session a Lightning deposit pays for many calls, each what it costs, and what is left goes back to \
                the payer: when it asks, or when it made no call for a while.
                  mintmark service add llm --upstream … --price '1sat+2sat/x-tokens,max=100sat' \\
                      --accept cashu,payment-session --session-deposit 2000sat --session-idle 1h
                Over x402 it is paid for with a token on an EVM chain (x402-exact, settled before the call, or after it with \
                --reserve-x402), with ecash (x402-cashu) or over Lightning (x402-lightning).
                  mintmark service add weather --upstream … --price 1usd --accept x402-exact,x402-cashu
                A price by measure has parts with + between, and the most that a call may come to. The buyer pays the most \
                and gets the rest back. Measures are B (bytes of the answer), reqB (of the request), s (seconds), call, or \
                a header or trailer in which the service reports a number. Tiers by the day or month cost less, or more, \
                from some quantity on; free=N gives each passport N calls a day.
                  mintmark service add files --upstream … --price '1sat/1000B,max=100sat'
                  mintmark service add llm --upstream … --price 'POST /chat=1sat+2sat/x-tokens,max=100sat'
                  mintmark service add gpu --upstream … --price '3sat/s,max=90sat' --accept l402 --pass 1000sat
                  mintmark service add maps --upstream … --price '5sat,free=10' --trust did:key:z6Mk…
                  mintmark service add maps --upstream … --price '3sat/call,2sat/call@100,tiers=day,max=3sat' --trust …
                Other nodes are told of it by gossip, with its name, summary, title, tags, prices and what else is set here, \
                and find it by `mintmark market search`; --unlisted keeps it to those who know the address: \
                it stands in no listing, card or catalogue.
                  mintmark service add weather --upstream … --price 2sat --summary 'Weather of today' --tag weather,forecast
                With --sla-refund the node gives back a part of the price by itself where an answer is late, or not as the \
                schema says. It is then sold in the ways alone that can give a part back: cashu, payment-cashu, \
                payment-session, and l402 with a credit.
                  mintmark service add weather --upstream … --price 5sat --sla deadline=500ms --sla-refund late=50%
                  mintmark service add weather --upstream … --price 5sat --schema weather.json --sla-refund schema
                """
        )
        @Argument(help: "Its name: a-z, 0-9 and -.") var name: String
        @Option(help: "Where the service listens, such as http://127.0.0.1:9000. May be repeated: calls go in turn.")
        var upstream: [String]
        @OptionGroup(title: "The reverse proxy") var proxy: ProxyArguments
        @Option(
            help: ArgumentHelp(
                "A price: 2sat, or 'GET /path/*=2sat', or by measure: '1sat+2sat/1000B,max=50sat'. May be repeated; 0sat is free."
            )
        )
        var price: [PriceArgument]
        @Option(help: "Serve only holders of a passport from this issuer (did:key). May be repeated.") var trust:
            [String] = []
        @Option(help: "Serve only passports with this capability.") var capability: String?
        @Option(help: "How old the issuer's status list may be, in seconds.") var statusMaxAge: Int64?
        @OptionGroup(title: "Delegations") var delegation: DelegationArguments
        @Flag(help: "Calling it twice does no harm: an interrupted call is called again instead of refunded.")
        var idempotent = false
        @Option(
            help: ArgumentHelp(
                "How it can be paid for: cashu, l402, payment-lightning, payment-session, payment-cashu, x402-exact, x402-cashu, x402-lightning.",
                discussion:
                    "With commas between. Default: every way that the node has but payment-session, x402-cashu and x402-lightning.",
                valueName: "ways"
            )
        )
        var accept: String?
        @Option(
            help: ArgumentHelp(
                "What a payment over L402 buys: 100 (calls), 15m, 1h, 7d, or a credit such as 1000sat.",
                valueName: "calls or time"
            )
        )
        var pass: PassArgument?
        @OptionGroup var session: SessionArguments
        @Flag(
            help: "Settle x402-exact payments after the call, up to the node's x402.reserveCaps, instead of before it."
        )
        var reserveX402 = false
        @Option(
            help: ArgumentHelp(
                "A JSON file with examples for catalogues: query, body, bodyType, output, mimeType.",
                valueName: "file"
            )
        )
        var discovery: String?
        @OptionGroup(title: "The listing") var listing: ListingArguments
        @Option(help: "The most calls a second from one caller.") var rateLimit: Int64?
        @Option(help: "What is promised, such as p95=500ms,uptime=99.5,deadline=2s.") var sla: String?
        @Option(
            help: ArgumentHelp(
                "What goes back by itself of a call that breaks the promise: late=50%,schema=100%.",
                discussion:
                    "late: answered after the deadline of --sla; schema: a body against \"output\" of --schema. A name alone, such as late, goes by the measure.",
                valueName: "shares"
            )
        )
        var slaRefund: String?
        @Option(help: "One line for people.") var summary: String?
        @Flag(help: "Change a service of that name that is on sale already.") var replace = false
        @OptionGroup var options: GlobalOptions

        func validate() throws {
            if upstream.isEmpty { throw ValidationError("Say where the service listens: --upstream.") }
            if price.isEmpty { throw ValidationError("Say at least one --price.") }
            if trust.isEmpty, capability != nil || statusMaxAge != nil {
                throw ValidationError("--capability and --status-max-age need --trust: whose passports count?")
            }
        }

        func run(on node: NodeClient) async throws {
            var service: JSONObject = [
                "name": .string(name), "upstream": .string(upstream[0]), "prices": .array(price.map(\.json)),
                "idempotent": .bool(idempotent),
            ]
            if !trust.isEmpty {
                var passport: JSONObject = ["trustedIssuers": .array(trust.map { .string($0) })]
                passport["capability"] = capability.map { .string($0) }
                passport["maximumStatusAgeSeconds"] = statusMaxAge.map { .integer($0) }
                service["passport"] = .object(passport)
            }
            service["delegation"] = delegation.json
            service["accept"] = accept.map { ways in
                .array(
                    ways.split(separator: ",").map { .string($0.trimmingCharacters(in: .whitespaces).lowercased()) }
                )
            }
            service["pass"] = pass?.json
            session.write(to: &service)
            if reserveX402 { service["reserveX402"] = true }
            if let discovery {
                guard let data = FileManager.default.contents(atPath: discovery), data.count <= 65_536 else {
                    throw ValidationError("\(discovery) can't be read, or is longer than 64 KiB.")
                }
                service["discovery"] = try JSONValue.parse([UInt8](data))
            }
            var arbiters: [JSONValue] = []
            for url in listing.arbiter {
                arbiters.append(try await node.call(.get, "/api/market/arbiter?at=\(url.urlSegment)"))
            }
            try listing.write(to: &service, arbiters: arbiters)
            service["rateLimit"] = rateLimit.map { ["perSecond": .integer($0)] }
            proxy.write(to: &service, moreUpstreams: Array(upstream.dropFirst()))
            if replace { service["replace"] = true }
            service["sla"] = sla.map { .string($0) }
            service["slaRefund"] = slaRefund.map { .string($0) }
            service["summary"] = summary.map { .string($0) }
            let answer = try await node.call(.post, "/api/services", .object(service))
            if options.json { return Output.json(answer) }
            let info = try await node.call(.get, "/api/node")
            Output.line("\(name) is on sale at \(info.shown("publicURL"))/s/\(name)/")
            for host in proxy.host { Output.line("and at every path of \(host.lowercased())") }
            for note in answer["notes"]?.arrayValue ?? [] { Output.line("Note: \(note.stringValue ?? "")") }
            if node.isTemporary { Output.line("Start the node to sell it: mintmark serve") }
        }
    }

    struct List: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "What is on sale.")
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/services")
            if options.json { return Output.json(answer) }
            let rows = try answer.array("services").map { service in
                [service.shown("name"), Self.prices(service), service.shown("upstream"), Self.callers(service)]
            }
            if rows.isEmpty { return Output.line("Nothing is on sale. See: mintmark service add --help") }
            Output.table(["NAME", "PRICES", "UPSTREAM", "CALLERS"], rows)
        }

        static func prices(_ service: JSONValue) -> String {
            (service["prices"]?.arrayValue ?? []).map { rule in
                let methods = rule["methods"] == nil ? "" : rule.shown("methods") + " "
                return "\(methods)\(rule.shown("path"))=\(PriceArgument.text(rule))"
            }.joined(separator: ", ")
        }

        static func callers(_ service: JSONValue) -> String {
            guard let passport = service["passport"], passport != .null else { return "anybody who pays" }
            let issuers = passport["trustedIssuers"]?.arrayValue?.count ?? 0
            let capability = passport["capability"] == nil ? "" : ", able to \(passport.shown("capability"))"
            return "passports of \(issuers) issuer\(issuers == 1 ? "" : "s")\(capability)"
        }
    }

    struct Show: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "One service, with everything that is set.")
        @Argument(help: "Its name.") var name: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/services/\(name.urlSegment)")
            if options.json { Output.json(answer) } else { Output.line(answer.prettyPrinted()) }
        }
    }

    struct Remove: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take a service off sale.",
            discussion: "Calls under way are finished; refunds and receipts stay fetchable."
        )
        @Argument(help: "Its name.") var name: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.delete, "/api/services/\(name.urlSegment)")
            if options.json { Output.json(answer) } else { Output.line("\(name) is no longer on sale") }
        }
    }
}

extension String {
    /// The text as one segment of a URL's path.
    var urlSegment: String {
        addingPercentEncoding(withAllowedCharacters: .urlPathAllowed.subtracting(CharacterSet(charactersIn: "/?#")))
            ?? self
    }
}
