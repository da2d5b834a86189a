import ArgumentParser
import CanonicalJSON

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
            """,
        subcommands: [Show.self, Create.self, Rotate.self]
    )

    struct Show: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "The node's DIDs; or resolve a DID: did:key, did:jwk, did:web, did:webvh.",
            discussion: "  mintmark did show did:webvh:QmX…:shop.example --json"
        )
        @Argument(help: "The DID to resolve; the node's own where it is left out.") var did: String?
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
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
            abstract: "Make the node's did:webvh, with its next key committed to.",
            discussion: "  mintmark did create"
        )
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.post, "/api/dids", [:])
            if options.json { return Output.json(answer) }
            Output.line("\(answer.shown("did"))\nits log is served at \(answer.shown("url"))")
        }
    }

    struct Rotate: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Move the node's did:webvh to the key it committed to, with a new document.",
            discussion: "  mintmark did rotate"
        )
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.post, "/api/dids/rotate", [:])
            if options.json { return Output.json(answer) }
            Output.line("\(answer.shown("did")) is at version \(answer.shown("versionId"))")
        }
    }
}
