import ArgumentParser
import AsyncHTTPClient
import CanonicalJSON
import Foundation
import NIOCore
import NIOHTTP1
import Node
import Passports

extension AgentCommand {
    struct Registration: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "How agents that come by themselves are registered (agents.registration).",
            discussion: """
                off (as it is without a setting), open, approved by you, or paid: then sell the address that this prints.
                  mintmark serve --set agents.registration=approved --set agents.registrationCapabilities=pay
                  mintmark service add register --upstream "$(mintmark agent registration)" --price 100sat
                """
        )
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/registration")
            if options.json { return Output.json(answer) }
            if let upstream = answer["upstream"]?.stringValue { return Output.line(upstream) }
            Output.facts(["mode", "capabilities", "url"].map { ($0, answer.shown($0)) })
        }
    }

    struct Requests: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "The agents that wait to be approved.")
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/registration/requests")
            if options.json { return Output.json(answer) }
            let rows = try answer.array("requests").map { request in
                ["id", "name", "capabilities", "operator", "at", "did"].map(request.shown)
            }
            if rows.isEmpty { return Output.line("Nobody waits.") }
            Output.table(["ID", "NAME", "ASKS FOR", "OPERATOR", "AT", "KEY"], rows)
        }
    }

    struct Approve: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Register an agent that asked for it.",
            discussion: "  mintmark agent approve 7f2c… --capability pay       grants that instead of what it asked for"
        )
        @Argument(help: "The request's id, from `mintmark agent requests`.") var id: String
        @Option(help: "What it may do; separate several by commas, or repeat.") var capability: [String] = []
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            var body: JSONObject = [:]
            let granted = capability.flatMap { $0.split(separator: ",") }.map { JSONValue.string(String($0)) }
            if !granted.isEmpty { body["capabilities"] = .array(granted) }
            let answer = try await node.call(
                .post,
                "/api/registration/requests/\(id.urlSegment)/approve",
                .object(body)
            )
            if options.json { return Output.json(answer) }
            Output.line("registered as \((answer["request"] ?? .null).shown("agent"))")
        }
    }

    struct Deny: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "Refuse an agent that asked to be registered.")
        @Argument(help: "The request's id, from `mintmark agent requests`.") var id: String
        @Option(help: "Why: who asked can read it.") var reason: String?
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            var body: JSONObject = [:]
            body["reason"] = reason.map { .string($0) }
            let path = "/api/registration/requests/\(id.urlSegment)/deny"
            let answer = try await node.call(.post, path, .object(body))
            if options.json { Output.json(answer) } else { Output.line("denied") }
        }
    }

    /// The other side: what an agent without a node of its own does.
    struct Join: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Register with somebody else's node, with a key of your own; no node is needed here.",
            discussion: """
                Prints how the request stands, and the passport once there is one. Ask again with --request: the node \
                renews the passport, and it is fetched there.
                  mintmark agent key scout.key && mintmark agent key scout-2.key
                  mintmark agent join https://node.example scout --key scout.key --next scout-2.key --capability pay
                  mintmark agent join https://node.example --request 7f2c…
                """
        )
        @Argument(help: "The node's address.") var url: String
        @Argument(help: "What people call the agent.") var name: String?
        @Option(help: "What it asks to do; separate several by commas, or repeat.") var capability: [String] = []
        @Option(name: .customLong("operator"), help: "Who runs it: a DID, a URL or a name.") var operatorName: String?
        @Option(help: "The id of a request that was made before.") var request: String?
        @OptionGroup var keys: OwnKeyOptions
        @Flag(help: "Print one JSON value instead of text.") var json = false

        func validate() throws {
            guard (name != nil && keys.key != nil) != (request != nil) else {
                throw ValidationError("give a name and --key to register, or --request to ask how it stands")
            }
        }

        func run() async throws {
            let http = HTTPClient(eventLoopGroupProvider: .singleton)
            do {
                let answer = try await ask(http)
                try await http.shutdown()
                if json { return Output.json(answer) }
                let request = answer["request"] ?? .null
                Output.facts(["id", "state", "agent", "reason"].map { ($0, request.shown($0)) })
                if let passport = answer["passport"] {
                    Output.line("passport \(passport.shown("id")), valid until \(passport.shown("validUntil"))")
                }
            } catch {
                try? await http.shutdown()
                Failure.end(error, json: json)
            }
        }

        private func ask(_ http: HTTPClient) async throws -> JSONValue {
            let base = url.hasSuffix("/") ? String(url.dropLast()) : url
            if let request {
                return try await call(http, "\(base)/agents/requests/\(request.urlSegment)", nil)
            }
            let capabilities = capability.flatMap { $0.split(separator: ",") }.map { JSONValue.string(String($0)) }
            var body: JSONObject = ["name": .string(name ?? ""), "capabilities": .array(capabilities)]
            body["operator"] = operatorName.map { .string($0) }
            let asked = try await call(http, base + "/agents/challenge", [:])
            try OwnKeyOptions.add(.registration, key: keys.key ?? "", next: keys.next, asked: asked, to: &body)
            return try await call(http, base + "/agents/register", .object(body))
        }

        private func call(_ http: HTTPClient, _ url: String, _ body: JSONValue?) async throws -> JSONValue {
            var request = HTTPClientRequest(url: url)
            if let body {
                request.method = .POST
                request.headers.add(name: "Content-Type", value: "application/json")
                request.body = .bytes(body.serialized())
            }
            let answer = try await http.execute(request, timeout: .seconds(30))
            let bytes = [UInt8](buffer: try await answer.body.collect(upTo: 1 << 20))
            let value = (try? JSONValue.parse(bytes)) ?? .null
            guard (200..<300).contains(answer.status.code) else { throw NodeClient.failure(value, answer.status) }
            return value
        }
    }
}
