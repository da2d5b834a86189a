import ArgumentParser
import AsyncHTTPClient
import CanonicalJSON
import Encodings
import Foundation
import NIOCore
import NIOHTTP1
import Node

struct GossipCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gossip",
        abstract: "What passes on the gossip network.",
        discussion: """
              mintmark gossip watch
              mintmark gossip watch mintmark/records/1/note --json
              mintmark service add postage --upstream "$(mintmark gossip postage 2sat)" --price 2sat
            """,
        subcommands: [Watch.self, Postage.self]
    )

    struct Watch: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what passes, a line each, until you stop it.",
            discussion: """
                Without a topic: all that the node subscribes to. With one that it does not: it joins the topic for as long as \
                you watch, and passes nothing of it on. A line says when, the topic, who published it, how large it is, what the \
                node made of it, and how it begins. --json has the data whole, in base64url.
                  mintmark gossip watch
                  mintmark gossip watch mintmark/records/1/note --count 10 --json
                """
        )
        @Argument(help: "The topic.") var topic: String?
        @Option(help: "End after so many messages.") var count: Int?
        @OptionGroup var options: GlobalOptions

        func validate() throws {
            guard count.map({ $0 > 0 }) ?? true else { throw ValidationError("--count is 1 or more") }
        }

        func run(on node: NodeClient) async throws {
            guard !node.isTemporary else {
                throw Failure("no node runs in \(options.dataDirectory): start one with `mintmark serve`", .noNode)
            }
            let query = topic.map { "?topic=\($0.urlSegment)" } ?? ""
            let response = try await node.stream(
                .get,
                "/api/gossip/watch\(query)",
                headers: [],
                body: nil,
                // A year: it ends when it is stopped.
                timeoutSeconds: 31_536_000
            )
            var shown = 0
            var rest: [UInt8] = []
            for try await buffer in response.body {
                rest += buffer.readableBytesView
                guard response.status == .ok else { continue }
                while let end = rest.firstIndex(of: 0x0A) {
                    let line = Array(rest[..<end])
                    rest.removeSubrange(...end)
                    guard !line.isEmpty else { continue }
                    show(try JSONValue.parse(line))
                    shown += 1
                    if shown == count { return }
                }
                guard rest.count < 1 << 20 else { throw Failure("the node's answer is longer than any message") }
            }
            guard response.status == .ok else {
                throw NodeClient.failure(try JSONValue.parse(rest), response.status)
            }
            throw Failure("the node stopped", .noNode)
        }

        private func show(_ passage: JSONValue) {
            if options.json { return Output.json(passage) }
            let data = passage["data"]?.stringValue.flatMap { try? Base64URL.decode($0) } ?? []
            let begin = PeersCommand.List.plain(String(decoding: data.prefix(80), as: UTF8.self), maximum: 80)
            let topic = PeersCommand.List.plain(passage.shown("topic"), maximum: 80)
            Output.line(
                "\(passage.shown("at")) \(topic) \(passage.shown("publisher")) \(passage.shown("bytes")) bytes "
                    + "\(passage.shown("verdict")) \(begin)"
            )
        }
    }

    struct Postage: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "The address where this node stamps records that were paid for: yours to sell.",
            discussion: """
                Nodes that trust this one as an entry node (gossip.entryNodes) take records with its stamp, though they know \
                nothing of who wrote them. Whoever knows the address need not pay, so put a price before it:
                  mintmark service add postage --upstream "$(mintmark gossip postage 2sat)" --price 2sat
                Another node has its listings stamped there with gossip.entry=https://this.example/s/postage; an agent \
                without a node sends its signed record:
                  mintmark pay https://this.example/s/postage -X POST -d @record.json --max 5sat
                """
        )
        @Argument(help: "What a record costs, such as 2sat; the stamp says so.") var amount: Amount
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(
                .get,
                "/api/gossip/postage?amount=\(amount.value)&unit=\(amount.unit.urlSegment)"
            )
            if options.json { return Output.json(answer) }
            Output.line(answer.shown("upstream"))
        }
    }
}
