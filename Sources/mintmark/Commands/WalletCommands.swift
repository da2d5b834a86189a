import ArgumentParser
import CanonicalJSON
import Foundation
import Node

struct WalletCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "wallet",
        abstract: "The node's ecash: fund it, hold it, send it, receive it.",
        discussion: """
            Examples:
              mintmark wallet fund 1000sat            buy ecash at the node's own mint over Lightning
              mintmark wallet balance
              mintmark wallet send 21sat              prints a token that anyone can redeem: treat it as cash
              mintmark wallet receive cashuB…
              mintmark wallet request create 21sat    ask for a payment; `request pay` pays one
              mintmark wallet swap 50sat --from A --to B
              mintmark wallet limit set 5000sat       no more than that leaves on a day
              mintmark wallet passes                  what was bought over L402 for more calls
              mintmark wallet key                     tokens locked to this key are safe on their way here
            """,
        subcommands: [
            Fund.self, Balance.self, Send.self, Receive.self, Key.self, History.self, Restore.self, PayInvoice.self,
            Mints.self, Swap.self, Inbox.self, Sent.self, Request.self, Limit.self, Passes.self, Sessions.self,
            Audit.self,
            EVM.self,
        ]
    )
}

extension WalletCommand {
    struct Fund: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Buy ecash at a mint over Lightning.",
            discussion: """
                With a Lightning backend of its own the node pays the mint's invoice at once; without one, or with \
                --invoice, it prints the invoice and waits for somebody to pay it.
                  mintmark wallet fund 1000sat
                  mintmark wallet fund 1000sat --mint https://mint.example/mint --invoice
                """
        )
        @Argument(help: "How much, such as 1000sat.") var amount: Amount
        @Option(help: "The mint's address. Default: the node's own mint.") var mint: String?
        @Flag(help: "Print the invoice for somebody else to pay, and wait.") var invoice = false
        @Option(help: "How long to wait for the payment, in seconds.") var wait = 600
        @Flag(help: "Show the invoice as a QR code also where no terminal is.") var qr = false
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            var body: JSONObject = ["amount": amount.json, "unit": .string(amount.unit)]
            if let mint { body["mint"] = .string(mint) }
            if invoice { body["payInvoice"] = false }
            var quote = try await node.call(.post, "/api/wallet/fund", .object(body))
            let id = try quote.string("id")
            if quote["state"]?.stringValue != "issued", !options.json {
                Output.note("Pay this invoice\(quote["testMoney"]?.boolValue == true ? " (TEST MONEY)" : ""):")
                Output.line(try quote.string("invoice"))
            }
            if quote["state"]?.stringValue != "issued" {
                QRText.show(try quote.string("invoice"), isWanted: qr, isJSON: options.json)
            }
            let deadline = Date.now.addingTimeInterval(TimeInterval(wait))
            while quote["state"]?.stringValue == "unpaid" || quote["state"]?.stringValue == "paid" {
                guard Date.now < deadline else {
                    throw Failure("not paid within \(wait) s; once paid, it is claimed when the node runs", .pending)
                }
                // The node answers as soon as it hears of the payment.
                let seconds = min(30, max(1, Int(deadline.timeIntervalSinceNow)))
                quote = try await node.call(.post, "/api/wallet/fund/\(id)?wait=\(seconds)")
            }
            guard quote["state"]?.stringValue == "issued" else {
                throw Failure("the mint's invoice was not paid: \(quote.shown("state"))")
            }
            if options.json { return Output.json(quote) }
            let note = quote["testMoney"]?.boolValue == true ? " of TEST MONEY" : ""
            Output.line("\(quote.shown("amount")) \(quote.shown("unit"))\(note) received from \(quote.shown("mint"))")
        }
    }

    struct Balance: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "What the wallet holds, per mint.")
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/wallet/balance")
            if options.json { return Output.json(answer) }
            let rows = try answer.array("mints").map { mint in
                ["mint", "unit", "available", "locked", "pending"].map(mint.shown)
            }
            if rows.isEmpty { return Output.line("The wallet is empty. Fund it: mintmark wallet fund 1000sat") }
            Output.table(["MINT", "UNIT", "AVAILABLE", "LOCKED TO SELLERS", "PENDING"], rows)
            if answer["testMoney"]?.boolValue == true { Output.line("All of it is TEST MONEY.") }
        }
    }

    struct Send: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a token to hand over.",
            discussion: """
                The token is the money: whoever redeems it first has it. Lock it to a public key with --lock, to the \
                hash of a secret with --hash, or to both; `wallet sent` lists it until it is claimed.
                  mintmark wallet send 21sat
                  mintmark wallet send 21sat --lock 02c0ffee…
                  mintmark wallet send 21sat --lock 02c0ffee… --blind          the mint does not learn the key
                  mintmark wallet send 21sat --hash 9f86d0… --refund-after 3600
                """
        )
        @Argument(help: "How much, such as 21sat.") var amount: Amount
        @Option(help: "The mint whose ecash to send.") var mint: String?
        @Option(help: "Lock it to this secp256k1 public key (66 hex digits).") var lock: String?
        @Option(help: "Lock it to the SHA-256 of a 32-byte preimage (64 hex digits).") var hash: String?
        @Flag(help: "Blind the keys of the lock, so that the mint does not learn them (NUT-28).") var blind = false
        @Option(
            name: .customLong("refund-after"),
            help: "Let this wallet take a locked token back after so many seconds."
        )
        var refundAfter: Int?
        @Option(help: "Count it against the limits of this agent.") var agent: String?
        @Flag(help: "Show the token as a QR code also where no terminal is.") var qr = false
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            var body: JSONObject = ["amount": amount.json, "unit": .string(amount.unit)]
            if let mint { body["mint"] = .string(mint) }
            if let lock { body["lock"] = .string(lock) }
            if let hash { body["hash"] = .string(hash) }
            if blind { body["blind"] = true }
            if let refundAfter { body["refundAfterSeconds"] = .integer(Int64(refundAfter)) }
            if let agent { body["agent"] = .string(agent) }
            let answer = try await node.call(.post, "/api/wallet/send", .object(body))
            if options.json { Output.json(answer) } else { Output.line(try answer.string("token")) }
            QRText.show(try answer.string("token"), isWanted: qr, isJSON: options.json)
        }
    }

    struct Receive: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Redeem a token (cashuA or cashuB) at its mint.",
            discussion: """
                A token of a mint that is not trusted is refused; --trust trusts its mint from now on, --swap-to has \
                its value at another mint. A token that its mint does not answer for waits in `wallet inbox`.
                  mintmark wallet receive cashuB…
                  mintmark wallet receive - < token.txt
                  mintmark wallet receive cashuB… --trust
                  mintmark wallet receive cashuB… --swap-to http://127.0.0.1:8402/mint
                  mintmark wallet receive cashuB… --preimage 00ff…
                """
        )
        @Argument(help: "The token, or - to read it from standard input.") var token: String
        @Flag(help: "Trust the token's mint, where the wallet does not know it.") var trust = false
        @Option(name: .customLong("swap-to"), help: "Swap its value to this mint, by name or address.")
        var swapTo: String?
        @Option(help: "The 32 bytes (64 hex digits) that open its hash lock.") var preimage: String?
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let text = token == "-" ? (readLine() ?? "") : token
            var body: JSONObject = ["token": .string(text.trimmingCharacters(in: .whitespacesAndNewlines))]
            if trust { body["trust"] = true }
            if let swapTo { body["swapTo"] = .string(swapTo) }
            if let preimage { body["preimage"] = .string(preimage) }
            let answer = try await node.call(.post, "/api/wallet/receive", .object(body), timeoutSeconds: 300)
            if options.json { return Output.json(answer) }
            Output.line("\(answer.shown("amount")) \(answer.shown("unit")) received from \(answer.shown("mint"))")
        }
    }

    struct Key: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "The public key to lock tokens to that are sent to this wallet (NUT-11).",
            discussion: """
                Nobody but this wallet can redeem such a token, wherever it is posted.
                  mintmark wallet send 21sat --lock $(mintmark wallet key --data ~/nodes/friend)
                """
        )
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/wallet/key")
            if options.json { Output.json(answer) } else { Output.line(try answer.string("key")) }
        }
    }

    struct History: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "What came and went, latest first.")
        @Option(help: "How many lines, 1 to 1000.") var limit = 50
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/wallet/history?limit=\(limit)")
            if options.json { return Output.json(answer) }
            let rows = try answer.array("entries").map { entry in
                ["at", "kind", "change", "fee", "unit", "mint", "reference"].map(entry.shown)
            }
            Output.table(["AT", "KIND", "CHANGE", "FEE", "UNIT", "MINT", "REFERENCE"], rows)
        }
    }

    struct Restore: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Find the ecash that the 12 words hold at a mint (NUT-13).",
            discussion: "  mintmark wallet restore --mint https://mint.example/mint"
        )
        @Option(help: "The mint's address. Default: the node's own mint.") var mint: String?
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let body: JSONValue = mint.map { ["mint": .string($0)] } ?? [:]
            let answer = try await node.call(.post, "/api/wallet/restore", body, timeoutSeconds: 600)
            if options.json { return Output.json(answer) }
            Output.line("\(answer.shown("amount")) \(answer.shown("unit")) found at \(answer.shown("mint"))")
        }
    }
}
