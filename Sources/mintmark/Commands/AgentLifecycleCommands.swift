import ArgumentParser
import CanonicalJSON
import Cryptography
import Encodings
import Foundation
import Node
import Passports
import SignedDocuments

/// The key files of an agent that keeps its keys itself.
struct OwnKeyOptions: ParsableArguments {
    @Option(help: "A file with the agent's own key, from `mintmark agent key`.") var key: String?
    @Option(
        help:
            "A file with the key after that: the agent commits to it now, and nobody who steals the first can follow it."
    )
    var next: String?

    func validate() throws {
        if next != nil, key == nil { throw ValidationError("--next goes with --key") }
    }

    /// Adds the key with its proof of possession to a request; nothing where the node keeps the keys.
    func prove(_ use: PossessionProof.Use, to node: NodeClient, in body: inout JSONObject) async throws {
        guard let key else { return }
        let asked = try await node.call(.post, "/api/agents/challenge", [:])
        try Self.add(use, key: key, next: next, asked: asked, to: &body)
    }

    /// - Parameter asked: the node's challenge.
    static func add(
        _ use: PossessionProof.Use,
        key: String,
        next: String?,
        asked: JSONValue,
        to body: inout JSONObject
    ) throws {
        let own = try AgentKeyFile.read(key)
        let challenge = try asked.string("challenge")
        let node = try DIDKey(parsing: try asked.string("node"))
        body["did"] = .string(DIDKey(own.publicKey).string)
        body["challenge"] = .string(challenge)
        body["signature"] = .string(try PossessionProof.sign(use, challenge: challenge, node: node, key: own))
        body["nextKeyHash"] = try next.map { path in
            .string(MultihashDigest.commitment(to: DIDKey(try AgentKeyFile.read(path).publicKey)))
        }
    }
}

extension AgentCommand {
    struct Rotate: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Move an agent to the key it committed to beforehand, and give it a passport for that.",
            discussion: """
                As planned, from time to time. The old key's unexpired passports are revoked as superseded. An agent that \
                keeps its keys itself shows the next one with --key, and commits to the one after it with --next.
                  mintmark agent rotate planner
                  mintmark agent rotate scout --key scout-2.key --next scout-3.key
                Where the key was stolen: mintmark agent recover
                """
        )
        @Argument(help: "Its name, id or DID.") var agent: String
        @OptionGroup var keys: OwnKeyOptions
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            var body: JSONObject = [:]
            try await keys.prove(.rotation, to: node, in: &body)
            let answer = try await node.call(.post, "/api/agents/\(agent.urlSegment)/rotate", .object(body))
            AgentCommand.report(answer, agent: agent, json: options.json)
            try await keys.follow(answer, to: node)
        }
    }

    struct Recover: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "An agent's key was stolen: end it at once, and go on with the key that was committed to beforehand.",
            discussion: """
                Everything under the old key is revoked as compromised, before the new key's passport is issued; the thief \
                cannot follow, as he does not have the next key. --since tells when it was stolen at the earliest: what the \
                old key signed before counts only where a witness had seen it in the log by then (mintmark log verify --before).
                  mintmark agent recover planner --since 2026-11-21T08:00:00Z
                  mintmark agent recover scout --key scout-2.key --next scout-3.key
                """
        )
        @Argument(help: "Its name, id or DID.") var agent: String
        @Option(help: "When the key was stolen at the earliest (RFC 3339).") var since: String?
        @OptionGroup var keys: OwnKeyOptions
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            try options.confirm("The key of \(agent) and all its passports are revoked for good.")
            var body: JSONObject = [:]
            body["since"] = since.map { .string($0) }
            try await keys.prove(.rotation, to: node, in: &body)
            let answer = try await node.call(.post, "/api/agents/\(agent.urlSegment)/recover", .object(body))
            AgentCommand.report(answer, agent: agent, json: options.json)
            try await keys.follow(answer, to: node)
        }
    }

    static func report(_ answer: JSONValue, agent: String, json: Bool) {
        if json { return Output.json(answer) }
        Output.line("\(agent) has the key \((answer["agent"] ?? .null).shown("did"))")
        let passport = answer["passport"] ?? .null
        Output.line("passport \(passport.shown("id")), valid until \(passport.shown("validUntil"))")
    }

    // MARK: Moving

    /// `$MINTMARK_EXPORT_PASSPHRASE_FILE`, else the terminal: never an argument.
    static func exportPassphrase(isNew: Bool) throws -> String {
        if let path = ProcessInfo.processInfo.environment["MINTMARK_EXPORT_PASSPHRASE_FILE"], !path.isEmpty {
            let text = String(decoding: try VerifyCommand.read(path), as: UTF8.self).trimmingCharacters(in: .newlines)
            guard !text.isEmpty else { throw Failure("\(path) is empty", .usage) }
            return text
        }
        guard isatty(STDIN_FILENO) == 1 else {
            throw Failure("nobody is here to type the export's passphrase: set MINTMARK_EXPORT_PASSPHRASE_FILE", .usage)
        }
        let first = try Passphrase.ask("Passphrase of the export: ")
        if isNew { guard try Passphrase.ask("Once more: ") == first else { throw Failure("the two differ", .usage) } }
        return first
    }

    struct Export: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Move an agent to another node: seal its keys and passports for that node, and end it here.",
            discussion: """
                The file opens with a passphrase, and at the named node alone. From then on the agent cannot act here; \
                asked again, the same file is written. Carry it over, then: mintmark agent import FILE
                  mintmark agent export planner planner.agent --to did:key:z6Mk…
                """
        )
        @Argument(help: "Its name, id or DID.") var agent: String
        @Argument(help: "The file to write; it must not exist.") var file: String
        @Option(help: "The DID of the node that takes it in, as `mintmark status` there shows it.") var to: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            guard !FileManager.default.fileExists(atPath: file) else { throw Failure("\(file) exists already", .usage) }
            try options.confirm("\(agent) cannot act at this node any more.")
            let passphrase = try AgentCommand.exportPassphrase(isNew: true)
            let answer = try await node.call(
                .post,
                "/api/agents/\(agent.urlSegment)/export",
                ["to": .string(to), "passphrase": .string(passphrase)]
            )
            try AgentKeyFile.write(text: try answer.string("export") + "\n", to: file)
            if options.json { return Output.json(["ok": true, "file": .string(file)]) }
            Output.line("\(agent) is in \(file), for \(to)")
        }
    }

    struct Import: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take an agent in that another node exported for this one.",
            discussion: "  mintmark agent import planner.agent"
        )
        @Argument(help: "The file from `mintmark agent export`.") var file: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let text = String(decoding: try VerifyCommand.read(file), as: UTF8.self)
            let answer = try await node.call(
                .post,
                "/api/agents/import",
                [
                    "export": .string(text.trimmingCharacters(in: .whitespacesAndNewlines)),
                    "passphrase": .string(try AgentCommand.exportPassphrase(isNew: false)),
                ]
            )
            AgentCommand.report(answer, agent: (answer["agent"] ?? .null).shown("name"), json: options.json)
        }
    }
}
