import ArgumentParser
import CanonicalJSON
import Foundation
import Node

struct PeersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "peers",
        abstract: "The other nodes that this one knows on the gossip network.",
        discussion: """
              mintmark peers list
              mintmark peers add /ip4/192.0.2.7/tcp/4402/p2p/12D3Koo…     and stay connected with it
              mintmark peers score 12D3Koo…                              what GossipSub thinks of it, by its parts
              mintmark peers ban 12D3Koo… --reason spam                  until `unban`; --for 2h ends it by itself
              mintmark peers ban 192.0.2.7
              mintmark peers unban 192.0.2.7
            """,
        subcommands: [List.self, Add.self, Remove.self, Ban.self, Unban.self, Score.self]
    )

    struct List: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Peers that are connected or known, and bans.",
            discussion: """
                  mintmark peers list
                  mintmark peers list --connected
                  mintmark peers list --json
                """
        )
        @Flag(help: "Only those that are connected now.") var connected = false
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            var answer = try await node.call(.get, "/api/peers").objectValue ?? JSONObject()
            var peers = try answer.array("peers")
            if connected { peers = peers.filter { $0["connected"]?.boolValue == true } }
            answer["peers"] = .array(peers)
            if options.json { return Output.json(.object(answer)) }
            let own = JSONValue.object(answer)
            Output.facts(["peer", "addresses", "reachability"].map { ($0, own.shown($0)) })
            Output.line("")
            Output.table(
                ["PEER", "CONNECTION", "ADDRESS", "KNOWN BY", "SCORE", "PROGRAM"],
                peers.map { peer in
                    let first = try? peer.array("addresses").first
                    return [
                        peer.shown("peer"), peer["ban"] == nil ? peer.shown("direction") : "banned",
                        peer["remoteAddress"]?.stringValue ?? first?.shown("address") ?? "-",
                        first?.shown("source") ?? "-",
                        peer.shown("score"), Self.plain(peer.shown("agent")),
                    ]
                }
            )
            let bans = try answer.array("bans")
            guard !bans.isEmpty else { return }
            Output.line("")
            Output.table(
                ["BANNED", "UNTIL", "BY", "REASON"],
                bans.map { ban in
                    [
                        ban.shown("subject"), ban["until"]?.stringValue ?? "unbanned", ban.shown("by"),
                        Self.plain(ban.shown("reason")),
                    ]
                }
            )
        }

        /// What strangers say of themselves moves no cursor and rings no bell.
        static func plain(_ text: String, maximum: Int = 40) -> String {
            let bytes = text.utf8.prefix(maximum).map { (0x20..<0x7F).contains($0) ? $0 : UInt8(ascii: "?") }
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    struct Add: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Add a peer and stay connected with it.",
            discussion: "  mintmark peers add /ip4/192.0.2.7/tcp/4402/p2p/12D3Koo…"
        )
        @Argument(help: "Its address with its id, as `mintmark status` shows it there.") var address: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.post, "/api/peers", ["address": .string(address)])
            if options.json { return Output.json(answer) }
            let isConnected = answer["connected"]?.boolValue == true
            Output.line(
                isConnected
                    ? "connected with \(answer.shown("peer"))"
                    : "\(answer.shown("peer")) is kept; it is dialed while the node serves"
            )
        }
    }

    struct Remove: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Forget a peer; a connection with it stays until it ends.",
            discussion: "  mintmark peers remove 12D3Koo…"
        )
        @Argument(help: "The peer's id.") var peer: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.delete, "/api/peers/\(peer.urlSegment)")
            if options.json { Output.json(answer) } else { Output.line("\(answer.shown("peer")) is forgotten") }
        }
    }

    struct Ban: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Keep a peer or an IP address out, and break the connections with it.",
            discussion: """
                Without --for it holds until `mintmark peers unban`. Of an IPv6 address the whole /64 is banned. What the node \
                bans by itself ends by itself.
                  mintmark peers ban 12D3Koo… --reason 'sends rubbish'
                  mintmark peers ban 192.0.2.7 --for 2h
                """
        )
        @Argument(help: "A peer's id, or an IP address.") var subject: String
        @Option(name: .customLong("for"), help: "How long, such as 30m, 2h or 7d.") var period:
            DelegateCommand.Duration?
        @Option(help: "Why, for your own memory.") var reason: String?
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            var request: JSONObject = ["subject": .string(subject)]
            request["seconds"] = period.map { .integer($0.seconds) }
            request["reason"] = reason.map { .string($0) }
            let answer = try await node.call(.post, "/api/peers/bans", .object(request))
            if options.json { Output.json(answer) } else { Output.line("\(answer.shown("subject")) is banned") }
        }
    }

    struct Unban: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take a ban back, yours or one that the node made.",
            discussion: "  mintmark peers unban 12D3Koo…"
        )
        @Argument(help: "A peer's id, or an IP address.") var subject: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.post, "/api/peers/unban", ["subject": .string(subject)])
            if options.json { Output.json(answer) } else { Output.line("\(answer.shown("subject")) is banned no more") }
        }
    }

    struct Score: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "What GossipSub thinks of a peer, by its parts; of all that are connected without one.",
            discussion: """
                  mintmark peers score
                  mintmark peers score 12D3Koo…
                """
        )
        @Argument(help: "The peer's id.") var peer: String?
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            if let peer { return try await show(peer, node) }
            let peers = try await node.call(.get, "/api/peers").array("peers").filter { $0["score"] != nil }
            if options.json {
                let scores = peers.map {
                    JSONValue.object(["peer": $0["peer"] ?? .null, "score": $0["score"] ?? .null])
                }
                return Output.json(["scores": .array(scores)])
            }
            Output.table(["PEER", "SCORE"], peers.map { [$0.shown("peer"), $0.shown("score")] })
        }

        private func show(_ peer: String, _ node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/peers/\(peer.urlSegment)/score")
            if options.json { return Output.json(answer) }
            var facts = [("peer", answer.shown("peer")), ("score", answer.shown("score"))]
            if let parts = answer["parts"] {
                facts += ["delivering", "invalid", "application", "colocation", "behaviour"].map {
                    ($0, parts.shown($0))
                }
            }
            facts.append(("strikes", answer.shown("strikes")))
            if let ban = answer["ban"] { facts.append(("banned until", ban["until"]?.stringValue ?? "unbanned")) }
            Output.facts(facts)
        }
    }
}
