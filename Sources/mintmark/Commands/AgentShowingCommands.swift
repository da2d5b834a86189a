import ArgumentParser
import CanonicalJSON
import Node

extension AgentCommand {
    struct Card: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print an agent's signed A2A card, or the node's own.",
            discussion: """
                The same card stands at /agents/<id>/.well-known/agent-card.json, the node's own at \
                /.well-known/agent-card.json with its paid services as skills. Check one with `mintmark verify`.
                  mintmark agent card planner > card.json && mintmark verify card.json
                  mintmark agent card                                the node's own
                """
        )
        @Argument(help: "Its name, id or DID. Without it: the node's own card.") var agent: String?
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let path = agent.map { "/api/agents/\($0.urlSegment)/card" } ?? "/api/card"
            Output.json(try await node.call(.get, path))
        }
    }

    struct RegistrationFile: NodeCommand {
        static let configuration = CommandConfiguration(
            commandName: "registration-file",
            abstract: "Print an agent's ERC-8004 registration file, as it stands at /agents/<id>/registration.json."
        )
        @Argument(help: "Its name, id or DID.") var agent: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            Output.json(try await node.call(.get, "/api/agents/\(agent.urlSegment)/registration"))
        }
    }

    struct AnchorPassport: NodeCommand {
        static let configuration = CommandConfiguration(
            commandName: "anchor",
            abstract: "Write an agent's passport, as its SHA-256, into an ERC-8004 identity registry.",
            discussion: """
                The first time the agent is registered, with the address of its registration file; the node's account on \
                the chain owns the entry and pays the gas. Later the digest of the newest passport takes the place of the one \
                before. The node needs anchor.registry, anchor.chainURL and anchor.chainID. Where the outcome is not known \
                in time the command ends with status 4, and the node goes on; ask again with the same command.
                  mintmark agent anchor planner
                  mintmark agent anchor planner --agent-id 22        registered before, by this node's account
                  mintmark agent anchor planner --show               what was written, without writing
                """
        )
        @Argument(help: "Its name, id or DID.") var agent: String
        @Option(help: "Its number in the registry, where it was registered before this node knew of it.") var agentID:
            String?
        @Flag(help: "Only show what was written.") var show = false
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let path = "/api/agents/\(agent.urlSegment)/anchor"
            if show { return showAnchors(try await node.call(.get, path)) }
            var body = JSONObject()
            body["agentId"] = agentID.map { .string($0) }
            let answer = try await node.call(.post, path, .object(body))
            if options.json { Output.json(answer) }
            let state = answer["state"]?.stringValue
            if !options.json {
                Output.facts(
                    ["state", "agentRegistry", "agentId", "sha256", "transaction"].compactMap { name in
                        answer[name] == nil ? nil : (name, answer.shown(name))
                    }
                )
            }
            if state == "open" {
                throw Failure(
                    "the transaction is under way: ask again with the same command",
                    .pending,
                    isSaid: options.json
                )
            }
            guard state == "confirmed" else {
                throw Failure("the registry undid the transaction", .failed, isSaid: options.json)
            }
        }

        private func showAnchors(_ answer: JSONValue) {
            if options.json { return Output.json(answer) }
            let rows = (answer["anchors"]?.arrayValue ?? []).map { anchor in
                ["agentRegistry", "agentId", "sha256", "transaction", "at"].map(anchor.shown)
            }
            if rows.isEmpty { return Output.line("Nothing was anchored.") }
            Output.table(["REGISTRY", "AGENT", "SHA-256 OF THE PASSPORT", "TRANSACTION", "AT"], rows)
        }
    }
}
