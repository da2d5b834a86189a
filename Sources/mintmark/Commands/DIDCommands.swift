import ArgumentParser
import CanonicalJSON
import Cryptography
import Encodings
import Node
import SignedDocuments
import Storage

struct DIDCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "did",
        abstract: "The node's DIDs, and what stands behind others': show, create, rotate.",
        discussion: """
            Every node issues under its did:key and, where its public URL names a domain, is found as did:web. A \
            did:webvh is made on request: its log is hash-chained, and the key that signs the next change is committed \
            to beforehand, so that a thief of today's keys cannot move it.
              mintmark did show                                the node's own
              mintmark did show did:web:shop.example            resolve another's
              mintmark did create
              mintmark did rotate                               after a change of the public URL or of keys
              mintmark did create --agent planner               an agent's own, for one that is to live long
            An agent's did:webvh moves with its key: at `mintmark agent rotate` and `agent recover`, to the key that was \
            committed to, and to another node where the agent was moved there.
            """,
        subcommands: [Show.self, Create.self, Rotate.self]
    )

    struct Show: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "The node's DIDs; or resolve a DID: did:key, did:jwk, did:web, did:webvh.",
            discussion: "  mintmark did show did:webvh:QmX…:shop.example --json"
        )
        @Argument(help: "The DID to resolve; the node's own where it is left out.") var did: String?
        @Option(help: "An agent here, by name, id or DID: its did:webvh.") var agent: String?
        @OptionGroup var options: GlobalOptions

        func validate() throws {
            if did != nil, agent != nil { throw ValidationError("a DID or --agent, not both") }
        }

        func run(on node: NodeClient) async throws {
            if let agent {
                let shown = try await node.call(.get, "/api/agents/\(agent.urlSegment)/did")
                if options.json { return Output.json(shown) }
                return Output.facts(
                    [
                        ("did:webvh", shown.shown("did")), ("version", shown.shown("versionId")),
                        ("since", shown.shown("versionTime")), ("served at", shown.shown("url")),
                        ("state", shown["deactivated"] == true ? "deactivated" : "active"),
                    ]
                )
            }
            let answer = try await node.call(.get, "/api/dids" + (did.map { "?did=\($0.urlSegment)" } ?? ""))
            if options.json { return Output.json(answer) }
            if did != nil { return Output.line((answer["document"] ?? .null).prettyPrinted()) }
            let issuers = answer["issuers"]?.arrayValue?.compactMap(\.stringValue) ?? []
            Output.facts(
                [
                    ("issues as", issuers.joined(separator: "\n")),
                    ("on the web", answer["web"]?.stringValue ?? "none: the public URL names no domain"),
                    ("did:webvh", answer["webvh"]?.stringValue ?? "none: see `mintmark did create`"),
                ]
            )
        }
    }

    struct Create: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make the node's did:webvh, or an agent's, with its next key committed to.",
            discussion: """
                An agent that keeps its keys itself signs with the one that it has now, and commits to the next.
                  mintmark did create
                  mintmark did create --agent planner
                  mintmark did create --agent scout --key scout.key --next scout-2.key
                """
        )
        @Option(help: "The agent, by name, id or DID; the node itself where it is left out.") var agent: String?
        @OptionGroup var keys: OwnKeyOptions
        @OptionGroup var options: GlobalOptions

        func validate() throws {
            if agent == nil, keys.key != nil { throw ValidationError("--key goes with --agent") }
        }

        func run(on node: NodeClient) async throws {
            let answer =
                if let agent {
                    try await keys.publish(agent, to: node)
                } else {
                    try await node.call(.post, "/api/dids", [:])
                }
            if options.json { return Output.json(answer) }
            Output.line("\(answer.shown("did"))\nits log is served at \(answer.shown("url"))")
        }
    }

    struct Rotate: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Move the node's did:webvh to the key it committed to, with a new document.",
            discussion: "An agent's moves with `mintmark agent rotate`.\n  mintmark did rotate"
        )
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.post, "/api/dids/rotate", [:])
            if options.json { return Output.json(answer) }
            Output.line("\(answer.shown("did")) is at version \(answer.shown("versionId"))")
        }
    }
}

extension OwnKeyOptions {
    /// Lets the did:webvh of an agent that keeps its keys itself follow to the key that it just moved to.
    func follow(_ answer: JSONValue, to node: NodeClient) async throws {
        guard key != nil, let did = answer["agent"]?["webvh"]?.stringValue else { return }
        guard next != nil else {
            return Output.note("\(did) still names the key before: it can follow only with --next FILE")
        }
        _ = try await publish(try answer.object("agent").string("id"), to: node)
    }

    /// Publishes the next entry of an agent's did:webvh: the node signs it where it keeps the agent's keys, else the key here.
    func publish(_ agent: String, to node: NodeClient) async throws -> JSONValue {
        let path = "/api/agents/\(agent.urlSegment)/did"
        guard let key else { return try await node.call(.post, path, [:]) }
        guard let next else {
            throw Failure("a did:webvh commits to the agent's next key: name it with --next FILE", .usage)
        }
        let draft = try await node.call(.get, path + "/draft")
        let document = try draft.object("document")
        let location = try draft.string("location")
        let signer = DocumentSigner(try AgentKeyFile.read(key))
        let following = [DIDKey(try AgentKeyFile.read(next).publicKey)]
        let now = WallClock.system.now()
        let log: WebVHLog
        if let text = try draft.optionalString("log") {
            let lines = text.utf8.split(separator: UInt8(ascii: "\n")).map { Array($0) }
            log = try WebVHLog(lines: lines, now: now)
                .rotated(to: signer, next: following, at: location, document: { _ in document }, now: now)
        } else {
            log = try WebVHLog.create(
                location: location,
                document: { _ in document },
                by: signer,
                next: following,
                isPortable: true,
                now: now
            )
        }
        let entry = String(decoding: log.lines.last ?? [], as: UTF8.self)
        return try await node.call(.post, path, ["entry": .string(entry)])
    }
}
