import ArgumentParser
import CanonicalJSON
import Foundation
import Node

struct ProxyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "proxy",
        abstract: "A forward proxy on this machine that pays what calls cost, within limits.",
        discussion: """
            Any HTTP client that can use a proxy can then call paid services: the proxy answers 402s by itself, out of the \
            node's wallet. It is asked for http:// addresses and calls them over https://, save those of this machine: \
            it has to read a call to pay for it, so it opens no TLS tunnels (CONNECT is answered 501). A call that is \
            repeated with the same Idempotency-Key is not paid twice. It stops on SIGTERM or Ctrl-C after what is under way.
              mintmark proxy --max 5sat --budget 500sat
              curl -x http://127.0.0.1:8403 http://api.example.com/today        calls https://api.example.com/today
              HTTP_PROXY=http://127.0.0.1:8403 python agent.py
              mintmark proxy --max 5sat --per-host 100sat --agent planner --json
              mintmark proxy --max 5sat --token-file token.txt       and: curl -x http://x:TOKEN@127.0.0.1:8403 …
            The wallet's own limits (`wallet limit`) and the agent's hold besides.
            """
    )

    @Option(help: "The most that one call may cost, such as 5sat.") var max: Amount
    @Option(help: "The most that all calls may cost while it runs, such as 500sat.") var budget: Amount?
    @Option(help: "The most that calls to one host may cost while it runs.") var perHost: Amount?
    @Option(help: "The address of this machine and the port to listen on; port 0 lets the system choose.")
    var listen = "127.0.0.1:8403"
    @Option(help: "Call in the name of this agent.") var agent: String?
    @Option(help: "Act on this delegation: a chain's file, or a CID that is kept here.") var delegation: String?
    @Option(help: "Pay in this way only: cashu, l402, payment or x402.") var via: PayCommand.Via?
    @Option(help: "Take only clients that send what stands in this file as the proxy's password.") var tokenFile:
        String?
    @Option(help: "How long a service may take until its answer begins, in seconds.") var timeout: Int64 = 60
    @OptionGroup var options: GlobalOptions

    func validate() throws {
        for amount in [budget, perHost] {
            guard let amount, amount.unit != max.unit else { continue }
            throw ValidationError("--max, --budget and --per-host must be in one unit")
        }
    }

    func run() async throws {
        do {
            let settings = try settings()
            let json = options.json
            let host = settings.host
            try await NodeClient.with(options) { node in
                var settings = settings
                if let delegation { settings.delegation = try await DelegationsCommand.chosen(delegation, node) }
                try await PayingProxy.run(
                    settings,
                    directory: options.dataDirectory,
                    onReady: { port in
                        if json {
                            Output.json(["ready": true, "listening": .string("\(host):\(port)")])
                        } else {
                            Output.line("proxy ready on http://\(host):\(port)")
                        }
                    },
                    onCall: { call in if json { Output.json(call) } else { Output.line(Self.line(call)) } }
                )
            }
        } catch {
            Failure.end(error, json: options.json)
        }
    }

    private func settings() throws -> ProxySettings {
        guard let colon = listen.lastIndex(of: ":"), let port = Int(listen[listen.index(after: colon)...]),
            (0...65535).contains(port), colon > listen.startIndex
        else { throw Failure("--listen takes an address and a port, such as 127.0.0.1:8403", .usage) }
        var host = String(listen[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        var settings = ProxySettings(
            host: host,
            port: port,
            unit: max.unit,
            maximum: max.value,
            timeoutSeconds: timeout
        )
        settings.budget = budget?.value
        settings.perHost = perHost?.value
        settings.agent = agent
        settings.via = via?.rawValue
        if let tokenFile { settings.token = try Self.token(tokenFile) }
        return settings
    }

    private static func token(_ path: String) throws -> [UInt8] {
        guard let data = FileManager.default.contents(atPath: path), data.count <= 1024 else {
            throw Failure("\(path) cannot be read", .usage)
        }
        let text = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        guard text.utf8.count >= 16 else { throw Failure("the token in \(path) is shorter than 16 characters", .usage) }
        return Array(text.utf8)
    }

    private static func line(_ call: JSONValue) -> String {
        var text = "\(call.shown("status")) \(call.shown("method")) \(call.shown("url"))"
        if let payment = call["payment"] {
            let isPass = payment["amount"]?.stringValue == "0"
            text += isPass ? ", with a pass" : ", \(payment.shown("amount")) \(payment.shown("unit"))"
            if let back = payment["returned"]?.stringValue, back != "0" { text += ", \(back) given back" }
            text += " (\(payment.shown("way")), \(payment.shown("state")))"
        }
        if let problem = call["problem"]?.stringValue { text += ": \(problem)" }
        return text
    }
}
