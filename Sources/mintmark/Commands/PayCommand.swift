import ArgumentParser
import AsyncHTTPClient
import CanonicalJSON
import Foundation
import NIOCore
import NIOHTTP1
import Node

struct PayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pay",
        abstract: "Call a URL and pay what it asks, within a limit. The habits are curl's.",
        discussion: """
            Nothing is paid above --max, fees included. A call whose answer was lost is sent again with the same \
            payment, never with a second one; if it stays unknown the command ends with status 4 and --resume settles \
            it later. Of the ways that the seller offers, the cheapest is taken; where two cost the same, ecash before \
            Lightning, whose invoice is paid with ecash of a trusted mint or over the node's own Lightning backend, \
            before a token on an EVM chain (`wallet evm`). A pass that was bought before (`wallet passes`) goes first.
              mintmark pay http://127.0.0.1:8402/s/weather/today --max 5sat
              mintmark pay URL --max 5sat -X POST -H 'Content-Type: application/json' -d '{"city":"Bern"}'
              mintmark pay URL --max 5sat -d @big.bin -o answer.bin
              mintmark pay URL --max 5sat --agent planner     call in the name of an agent, with its passport
              mintmark pay URL --max 5sat --agent planner --web-bot-auth      for sites that tell bots by their keys
              mintmark pay URL --max 5sat --delegation FILE   on a delegation, within its budget (or its CID)
              mintmark pay URL --max 5sat --dry-run           what would be paid, and why not otherwise; pays nothing
              mintmark pay URL --max 50sat --via l402         only over L402; or cashu, payment, x402
              mintmark pay URL --max 5sat --session 1000sat   deposit once, for this and later calls (`wallet sessions`)
              mintmark pay --resume                           settle what was left unknown
            Exit status: 0 served, 1 failed (not charged, or refunded), 2 refused, 4 outcome not known yet.
            """
    )

    @Argument(help: "The address to call.") var url: String?
    @Option(help: "The most to pay for this call, such as 5sat.") var max: Amount?
    @Option(name: [.customShort("X"), .customLong("request")], help: "The HTTP method.") var method: String?
    @Option(name: [.customShort("H"), .customLong("header")], help: "A header, as 'Name: value'.") var headers:
        [String] = []
    @Option(
        name: [.customShort("d"), .customLong("data-binary")],
        help: "The body; @FILE reads a file, @- standard input."
    ) var body: String?
    @Option(name: .shortAndLong, help: "Write the answer's body to this file.") var output: String?
    @Flag(name: [.customShort("i"), .customLong("include")], help: "Print the answer's status and headers too.")
    var include = false
    @Option(help: "Call in the name of this agent.") var agent: String?
    @Flag(
        help: ArgumentHelp(
            "Sign as the agent in the Web Bot Auth profile too, for sites that tell bots by it.",
            discussion: "The key is published in this node's directory, which needs a public URL under https."
        )
    )
    var webBotAuth = false
    @Option(help: "Act on this delegation: a chain's file, or a CID that is kept here.") var delegation: String?
    @Option(help: "Pay in this way only: cashu, l402, payment or x402.") var via: Via?
    @Option(
        help: ArgumentHelp(
            "The most to deposit over Lightning for a session of many calls, where the seller takes one.",
            valueName: "1000sat"
        )
    )
    var session: Amount?
    @Option(help: "The idempotency key. Default: a fresh one.") var idempotencyKey: String?
    @Option(help: "Write the signed receipt to this file.") var receipt: String?
    @Option(help: "How long to wait for the answer, in seconds.") var timeout: Int64 = 60
    @Flag(help: "Pay nothing: make the call without a payment, and say what it would cost.") var dryRun = false
    @Flag(help: "Settle the payments whose outcome is not known.") var resume = false
    @OptionGroup var options: GlobalOptions

    enum Via: String, ExpressibleByArgument, CaseIterable {
        case cashu, l402, payment, x402
    }

    func validate() throws {
        if !resume, url == nil { throw ValidationError("Say which URL to call, or --resume.") }
        if !resume, webBotAuth, agent == nil, delegation == nil {
            throw ValidationError("A Web Bot Auth signature is an agent's: say which with --agent.")
        }
        if !resume, max == nil { throw ValidationError("Say the most to pay for this call, such as --max 5sat.") }
        for header in headers where !header.contains(":") {
            throw ValidationError("A header is 'Name: value', not '\(header)'.")
        }
    }

    func run() async throws {
        do {
            try await NodeClient.with(options) { node in
                if resume { try await resumePayments(node) } else { try await pay(node) }
            }
        } catch {
            Failure.end(error, json: options.json)
        }
    }

    private func resumePayments(_ node: NodeClient) async throws {
        let answer = try await node.call(.post, "/api/payments/resume" + (webBotAuth ? "?webBotAuth=true" : ""), [:])
        if options.json { return Output.json(answer) }
        let payments = try answer.array("payments")
        if payments.isEmpty { return Output.line("Nothing is left unknown.") }
        Output.table(
            ["PAYMENT", "STATE", "AMOUNT", "URL"],
            payments.map { payment in ["id", "state", "amount", "url"].map(payment.shown) }
        )
    }

    private func pay(_ node: NodeClient) async throws {
        guard let url, let max else { return }
        var pass: [(String, String)] = [
            (PayHeader.url, url), (PayHeader.max, "\(max.value)\(max.unit)"),
            (PayHeader.method, method ?? (body == nil ? "GET" : "POST")),
            (PayHeader.timeout, String(timeout)),
        ]
        if let session { pass.append((PayHeader.session, "\(session.value)\(session.unit)")) }
        if dryRun { pass.append((PayHeader.dryRun, "true")) }
        if let agent { pass.append((PayHeader.agent, agent)) }
        if let delegation {
            pass.append((PayHeader.delegation, try await DelegationsCommand.chosen(delegation, node)))
        }
        if webBotAuth { pass.append((PayHeader.webBotAuth, "true")) }
        if let via { pass.append((PayHeader.via, via.rawValue)) }
        if let idempotencyKey { pass.append(("Idempotency-Key", idempotencyKey)) }
        for header in headers { pass.append((PayHeader.header, header)) }
        let response = try await node.stream(
            .post,
            "/api/pay",
            headers: pass,
            body: try requestBody(),
            timeoutSeconds: timeout + 30
        )
        guard let status = response.headers.first(name: PayHeader.status) else {
            let bytes = try await response.body.collect(upTo: 1 << 20)
            if dryRun, response.status == .ok {
                return try PayPreview.show(JSONValue.parse([UInt8](buffer: bytes)), json: options.json)
            }
            let problem = (try? JSONValue.parse([UInt8](buffer: bytes))) ?? .null
            throw NodeClient.failure(problem, response.status)
        }
        try await show(response, status: status, node)
    }

    private func requestBody() throws -> HTTPClientRequest.Body? {
        guard let body else { return nil }
        guard body.hasPrefix("@") else { return .bytes(Array(body.utf8)) }
        let path = String(body.dropFirst())
        let handle: FileHandle
        var length: Int64?
        if path == "-" {
            handle = .standardInput
        } else {
            guard let file = FileHandle(forReadingAtPath: path) else { throw Failure("\(path) cannot be read", .usage) }
            handle = file
            length = (try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int64) ?? nil
        }
        let chunks = AsyncStream<ByteBuffer>(unfolding: {
            guard let data = try? handle.read(upToCount: 64 * 1024), !data.isEmpty else { return nil }
            return ByteBuffer(bytes: data)
        })
        return .stream(chunks, length: length.map { .known($0) } ?? .unknown)
    }

    private func show(_ response: HTTPClientResponse, status: String, _ node: NodeClient) async throws {
        if include, !options.json {
            Output.line("HTTP/1.1 \(status)")
            for header in response.headers[PayHeader.header] { Output.line(header) }
            Output.line("")
        }
        var collected: [UInt8] = []
        let file = try output.map(openOutput)
        for try await chunk in response.body {
            let bytes = [UInt8](buffer: chunk)
            if let file {
                try file.write(contentsOf: Data(bytes))
            } else if options.json {
                collected += bytes
                guard collected.count <= 16 << 20 else {
                    throw Failure("the answer is larger than 16 MiB: write it to a file with -o", .failed)
                }
            } else {
                Output.bytes(bytes)
            }
        }
        try await conclude(response, status: status, collected: collected, node)
    }

    /// What a call cost, and how that was paid.
    private static func cost(of payment: JSONValue) -> String {
        let unit = payment.shown("unit")
        let way = payment["way"]?.stringValue ?? "cashu"
        if payment["amount"]?.stringValue == "0" {
            return "called with the \(way == "payment-session" ? "session" : "pass") \(payment.shown("invoice"))"
        }
        let amount = payment.shown("amount")
        var text = "paid \(amount) \(unit)"
        if let returned = payment["returned"]?.stringValue, let back = UInt64(returned), let sent = UInt64(amount),
            back > 0
        {
            text = "paid \(sent - min(back, sent)) \(unit) (\(sent) sent, \(back) given back\(reason(payment)))"
        }
        if way == "cashu" { return text }
        if let fee = payment["fee"]?.stringValue, fee != "0" { text += " and \(fee) \(unit) of fees" }
        return text + " (\(way), from \(payment.shown("paidFrom")))"
    }

    /// Why something was given back, where the seller says that its answer was not as promised.
    private static func reason(_ payment: JSONValue) -> String {
        switch payment["receipt"]?["payment"]?["returned"]?["breach"]?["rule"]?.stringValue {
        case "late": ", as the answer was late"
        case "schema": ", as the answer was not as promised"
        default: ""
        }
    }

    private func openOutput(_ path: String) throws -> FileHandle {
        guard FileManager.default.createFile(atPath: path, contents: nil),
            let file = FileHandle(forWritingAtPath: path)
        else { throw Failure("\(path) cannot be written", .usage) }
        return file
    }

    /// Tells what the call cost, on standard error so that the body alone is on standard output.
    private func conclude(
        _ response: HTTPClientResponse,
        status: String,
        collected: [UInt8],
        _ node: NodeClient
    ) async throws {
        let id = response.headers.first(name: PayHeader.payment) ?? ""
        let payment = id.isEmpty ? JSONValue.null : try await node.call(.get, "/api/payments/\(id)")
        if let receipt {
            guard let document = payment["receipt"], document != .null else {
                throw Failure("the answer came without a receipt", .failed)
            }
            guard FileManager.default.createFile(atPath: receipt, contents: Data(document.serialized())) else {
                throw Failure("\(receipt) cannot be written", .usage)
            }
        }
        if options.json {
            Output.json([
                "ok": .bool(status.hasPrefix("2")), "status": .integer(Int64(status.prefix(3)) ?? 0),
                "payment": payment, "body": .string(String(decoding: collected, as: UTF8.self)),
            ])
        } else if payment["state"]?.stringValue == "refunded" {
            Output.note("not served (\(status)); \(payment.shown("amount")) \(payment.shown("unit")) came back")
        } else if payment != .null {
            Output.note("\(Self.cost(of: payment)); receipt \(payment.shown("receiptID"))")
        }
        if !status.hasPrefix("2") { throw Failure("the service answered \(status)", .failed, isSaid: options.json) }
    }
}
