import ArgumentParser
import CanonicalJSON
import Foundation

extension WalletCommand {
    struct Request: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "request",
            abstract: "Ask for a payment, and pay what others ask for (NUT-18, NUT-26).",
            discussion: """
                  mintmark wallet request create 21sat --memo tea
                  mintmark wallet request list
                  mintmark wallet request pay creqA… --max 21sat
                """,
            subcommands: [Create.self, List.self, Pay.self, Take.self]
        )
    }
}

extension WalletCommand.Request {
    struct Create: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a payment request.",
            discussion: """
                Payments are posted to this node and claimed at once, each counted once; the node must run and be \
                reachable at its public address. --in-band leaves out where to post: whoever pays hands the payment \
                over, and `wallet request take` or `wallet receive` claims it.
                  mintmark wallet request create 21sat --memo tea --single-use
                  mintmark wallet request create 21sat --lock             only coins locked to this wallet's key
                  mintmark wallet request create --bech32                 any amount; creqb1…, short for QR codes
                """
        )
        @Argument(help: "How much, such as 21sat; none: as the payer likes.") var amount: Amount?
        @Option(help: "What it is for.") var memo: String?
        @Option(help: "Take ecash of this mint only, by name or address.") var mint: String?
        @Option(help: "Have payments posted to this URL instead of this node.") var post: String?
        @Flag(name: .customLong("in-band"), help: "Name no place to post to.") var inBand = false
        @Flag(name: .customLong("single-use"), help: "Take one payment only.") var singleUse = false
        @Flag(help: "Take only coins that are locked to this wallet's key.") var lock = false
        @Flag(help: "Print the creqb1 form (NUT-26).") var bech32 = false
        @Flag(help: "Show it as a QR code also where no terminal is.") var qr = false
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            var body: JSONObject = ["singleUse": .bool(singleUse), "lock": .bool(lock), "inBand": .bool(inBand)]
            if let amount {
                body["amount"] = amount.json
                body["unit"] = .string(amount.unit)
            }
            if let memo { body["memo"] = .string(memo) }
            if let mint { body["mint"] = .string(mint) }
            if let post { body["post"] = .string(post) }
            let answer = try await node.call(.post, "/api/wallet/requests", .object(body))
            let short = answer["bech32"]?.stringValue
            if options.json {
                Output.json(answer)
            } else if bech32 {
                guard let short else { throw Failure("this request cannot be said as creqb1: leave --bech32 out") }
                Output.line(short)
            } else {
                Output.line(try answer.string("request"))
            }
            QRText.show(try short ?? answer.string("request"), isWanted: qr, isJSON: options.json)
        }
    }

    struct List: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "The requests that were made here, latest first.")
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/wallet/requests")
            if options.json { return Output.json(answer) }
            let rows = try answer.array("requests").map { request in
                ["createdAt", "state", "amount", "received", "unit", "memo", "id"].map(request.shown)
            }
            if rows.isEmpty {
                return Output.line("No request was made. Make one: mintmark wallet request create 21sat")
            }
            Output.table(["MADE", "STATE", "AMOUNT", "RECEIVED", "UNIT", "MEMO", "ID"], rows)
        }
    }

    struct Pay: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Pay a request (creqA… or creqb1…).",
            discussion: """
                Posts the payment where the request says; where it names no place, prints what to hand over. A payment \
                that the payee refuses comes back; one it does not answer for (status 4) is delivered again by the node. \
                Nostr is not spoken.
                  mintmark wallet request pay creqA…
                  mintmark wallet request pay creqb1… --max 30sat --agent planner
                """
        )
        @Argument(help: "The request.") var request: String
        @Option(name: .customLong("max"), help: "The most to pay; how much, where the request names no amount.")
        var maximum: Amount?
        @Option(help: "Pay with ecash of this mint, by name or address.") var mint: String?
        @Option(help: "Count it against the limits of this agent.") var agent: String?
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            var body: JSONObject = ["request": .string(request)]
            if let maximum { body["amount"] = maximum.json }
            if let mint { body["mint"] = .string(mint) }
            if let agent { body["agent"] = .string(agent) }
            let answer = try await node.call(.post, "/api/wallet/requests/pay", .object(body))
            if options.json { return Output.json(answer) }
            if let payload = answer["payload"] { return Output.json(payload) }
            Output.line("\(answer.shown("amount")) \(answer.shown("unit")) paid")
        }
    }

    struct Take: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Claim a payment that was handed over in band, for a request made here.",
            discussion: "  mintmark wallet request take ID - < payment.json"
        )
        @Argument(help: "The request's id.") var id: String
        @Argument(help: "A file with the payment's JSON, or - for standard input.") var file: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let data =
                file == "-"
                ? try FileHandle.standardInput.readToEnd() : FileManager.default.contents(atPath: file)
            guard let data, data.count <= 1 << 20 else { throw Failure("\(file) cannot be read, or is too large") }
            let payload = try JSONValue.parse([UInt8](data), limits: JSONLimits(acceptsUInt64: true))
            let entry = try await node.call(.post, "/api/wallet/requests/\(id)/payment", payload)
            if options.json { return Output.json(entry) }
            Output.line("\(entry.shown("received")) \(entry.shown("unit")) \(entry.shown("state"))")
        }
    }
}
