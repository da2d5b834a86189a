import ArgumentParser
import CanonicalJSON
import Cryptography
import Encodings
import Foundation
import Node
import Passports
import SignedDocuments

struct AgentCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "agent",
        abstract: "The agents that this node answers for, each with a passport.",
        discussion: """
            Examples:
              mintmark agent register planner --capability pay,invoke --spend-limit 5000sat/day
              mintmark agent register scout --key scout.key      with a key of the agent's own
              mintmark agent list
              mintmark agent renew planner
              mintmark agent recover planner                     its key was stolen
              mintmark agent export planner FILE --to DID        to another node
              mintmark agent card planner                        its signed A2A card
              mintmark agent anchor planner                      its passport's hash, on a chain
            """,
        subcommands: [
            Register.self, List.self, Show.self, Renew.self, Rotate.self, Recover.self, Export.self, Import.self,
            Registration.self, Requests.self, Approve.self, Deny.self, Join.self, Key.self,
            Card.self, RegistrationFile.self, AnchorPassport.self,
        ]
    )
}

/// `5000sat/day`, `100sat/hour`, `20sat/30min`.
struct SpendLimitArgument: ExpressibleByArgument {
    let json: JSONValue

    private static let periods = [
        "minute": "PT1M", "min": "PT1M", "hour": "PT1H", "h": "PT1H", "day": "P1D", "d": "P1D", "week": "P1W",
    ]

    init?(argument: String) {
        let parts = argument.split(separator: "/")
        guard parts.count == 2, let amount = Amount(argument: String(parts[0])) else { return nil }
        guard let period = Self.periods[parts[1].lowercased()] ?? (parts[1].hasPrefix("P") ? String(parts[1]) : nil),
            let currency = ["sat": "XBT", "usd": "USD", "eur": "EUR"][amount.unit]
        else { return nil }
        json = ["currency": .string(currency), "amountMinor": .string(String(amount.value)), "period": .string(period)]
    }
}

extension AgentCommand {
    struct Register: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Register an agent and issue its first passport.",
            discussion: """
                Without --key the node makes the agent's key and keeps it sealed. With --key the agent's own key \
                signs the node's challenge; the key itself never leaves this command.
                  mintmark agent register planner --capability pay,invoke --spend-limit 5000sat/day
                """
        )
        @Argument(help: "What people call it.") var name: String
        @Option(help: "What it may do; separate several by commas, or repeat.") var capability: [String] = []
        @Option(help: "What it may spend, such as 5000sat/day.") var spendLimit: SpendLimitArgument?
        @Option(name: .customLong("operator"), help: "Who runs it: a DID, a URL or a name.") var operatorName: String?
        @Option(help: "How long each passport lives, in hours. The node renews it.") var lifetimeHours: Int64?
        @OptionGroup var keys: OwnKeyOptions
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let capabilities = capability.flatMap { $0.split(separator: ",") }.map { JSONValue.string(String($0)) }
            var body: JSONObject = ["name": .string(name), "capabilities": .array(capabilities)]
            body["spendLimit"] = spendLimit?.json
            body["operator"] = operatorName.map { .string($0) }
            body["passportLifetimeSeconds"] = lifetimeHours.map { .integer($0 * 3600) }
            try await keys.prove(.registration, to: node, in: &body)
            let answer = try await node.call(.post, "/api/agents", .object(body))
            if options.json { return Output.json(answer) }
            let agent = answer["agent"] ?? .null
            let passport = answer["passport"] ?? .null
            Output.facts([
                ("agent", "\(agent.shown("name")) (\(agent.shown("id")))"), ("key", agent.shown("did")),
                ("key held by", agent.shown("keyHeldBy")), ("passport", passport.shown("id")),
                ("valid until", passport.shown("validUntil")),
            ])
        }
    }

    struct List: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "The agents registered here.")
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/agents")
            if options.json { return Output.json(answer) }
            let rows = try answer.array("agents").map { agent in
                ["name", "state", "capabilities", "keyHeldBy", "id"].map(agent.shown)
            }
            if rows.isEmpty { return Output.line("No agents yet. See: mintmark agent register --help") }
            Output.table(["NAME", "STATE", "CAPABILITIES", "KEY HELD BY", "ID"], rows)
        }
    }

    struct Show: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "One agent and its passports.")
        @Argument(help: "Its name, id or DID.") var agent: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/agents/\(agent.urlSegment)")
            if options.json { return Output.json(answer) }
            let shown = answer["agent"] ?? .null
            Output.facts(
                ["name", "id", "did", "state", "keyHeldBy", "operator", "capabilities", "createdAt"].map {
                    ($0, shown.shown($0))
                }
            )
            if let webVH = shown["webvh"]?.stringValue { Output.line("did:webvh: \(webVH)") }
            if let limit = shown["spendLimit"], limit != .null {
                Output.line(
                    "spend limit: \(limit.shown("amountMinor")) \(limit.shown("currency")) per \(limit.shown("period"))"
                )
            }
            let rows = (answer["passports"]?.arrayValue ?? []).map { passport in
                ["id", "state", "validUntil", "reason"].map(passport.shown)
            }
            Output.line("")
            Output.table(["PASSPORT", "STATE", "VALID UNTIL", "REASON"], rows)
        }
    }

    struct Renew: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Issue an agent a fresh passport now.",
            discussion:
                "A running node renews passports by itself before they lapse; the one before stays good until its end."
        )
        @Argument(help: "Its name, id or DID.") var agent: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.post, "/api/agents/\(agent.urlSegment)/renew", [:])
            if options.json { return Output.json(answer) }
            let passport = answer["passport"] ?? .null
            Output.line("passport \(passport.shown("id")), valid until \(passport.shown("validUntil"))")
        }
    }

    struct Key: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a key file for an agent that keeps its key itself.",
            discussion: "  mintmark agent key scout.key && mintmark agent register scout --key scout.key"
        )
        @Argument(help: "The file to write; it must not exist.") var file: String
        @Flag(help: "Print one JSON value instead of text.") var json = false

        func run() throws {
            do {
                let key = Ed25519.PrivateKey()
                try AgentKeyFile.write(key, to: file)
                let did = DIDKey(key.publicKey).string
                if json { Output.json(["did": .string(did), "file": .string(file)]) } else { Output.line(did) }
            } catch {
                Failure.end(error, json: json)
            }
        }
    }
}

/// A file of mode 0600 with an Ed25519 seed: 64 hex digits.
enum AgentKeyFile {
    static func write(_ key: Ed25519.PrivateKey, to path: String) throws {
        try write(text: Hex.encode(key.seed) + "\n", to: path)
    }

    /// A new file of mode 0600, on the disk when this returns.
    static func write(text: String, to path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw Failure(errno == EEXIST ? "\(path) exists already" : "\(path) cannot be written", .usage)
        }
        let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        try file.write(contentsOf: Data(text.utf8))
        try file.synchronize()
    }

    static func read(_ path: String) throws -> Ed25519.PrivateKey {
        let text = String(decoding: try VerifyCommand.read(path), as: UTF8.self)
        guard let seed = try? Hex.decode(text.trimmingCharacters(in: .whitespacesAndNewlines)),
            let key = try? Ed25519.PrivateKey(seed: seed)
        else { throw Failure("\(path) is no key file: it must hold 64 hex digits", .usage) }
        return key
    }
}
