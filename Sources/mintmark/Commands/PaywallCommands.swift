import ArgumentParser
import CanonicalJSON
import Foundation
import Node

struct PaywallCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "paywall",
        abstract: "The secrets that the node's payment credentials are made with.",
        discussion: """
            L402 credentials and challenges of the Payment scheme are made with the active key. A retired key makes none any \
            more, and what was made with it stays good; a revoked one's are refused.
            Examples:
              mintmark paywall keys
              mintmark paywall rotate                  a new key; the one before is retired
              mintmark paywall revoke ID --yes         refuse what was made with a key, paid or not
              mintmark paywall forgive                 x402: what could not be settled counts no more against the cap
            """,
        subcommands: [Keys.self, Rotate.self, Revoke.self, Forgive.self]
    )
}

extension PaywallCommand {
    struct Keys: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Every key, and what is done with it.",
            discussion: "  mintmark paywall keys --json"
        )
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/paywall/keys")
            if options.json { return Output.json(answer) }
            let rows = try answer.array("keys").map { key in ["id", "state", "madeAt", "changedAt"].map(key.shown) }
            Output.table(["KEY", "STATE", "MADE", "CHANGED"], rows)
        }
    }

    struct Forgive: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Count x402 payments that were served and could not be settled no more against the cap.",
            discussion: """
                Where services settle after the call (--reserve-x402), what could not be settled takes room under \
                x402.reserveCaps until you looked. Their payers are still asked to settle first.
                  mintmark paywall forgive
                """
        )
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.post, "/api/gateway/x402/forgive")
            if options.json { return Output.json(answer) }
            Output.line("\(answer.shown("forgiven")) payments count no more against the cap")
        }
    }

    struct Rotate: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make credentials with a new key.",
            discussion: """
                The key before is retired: what was sold with it stays good. Do it now and then.
                  mintmark paywall rotate
                """
        )
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.post, "/api/paywall/keys")
            if options.json { return Output.json(answer) }
            Output.line("\(answer.shown("id")) makes credentials from now on; those of the keys before stay good")
        }
    }

    struct Revoke: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Refuse everything that was made with a key.",
            discussion: """
                For a key that got out. Who paid and was not served yet has to be paid back by other means. Where it is the \
                active key, a new one is made first.
                  mintmark paywall keys
                  mintmark paywall revoke 0a1b2c3d4e5f6071
                """
        )
        @Argument(help: "The key's id, 16 hexadecimal digits.") var id: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            try options.confirm("Every credential made with the key \(id) will be refused, paid ones too.")
            let answer = try await node.call(.post, "/api/paywall/keys/\(id.urlSegment)/revoke")
            if options.json { return Output.json(answer) }
            Output.line("\(answer.shown("id")) is revoked: what was made with it is refused")
        }
    }
}
