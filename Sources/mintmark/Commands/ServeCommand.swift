import ArgumentParser
import CanonicalJSON
import Cryptography
import Foundation
import Logging
import Node

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Run the node.",
        discussion: """
            Every setting can be given as a flag, as an environment variable (MINTMARK_HTTP_PORT for http.port) or in \
            config.json of the data directory; the first of these wins. It stops on SIGTERM or Ctrl-C after what is \
            under way.
              mintmark serve
              mintmark serve --port 8500 --set mint.inputFeePPK=100
              mintmark serve --host 0.0.0.0 --set http.tlsCertificate=cert.pem --set http.tlsKey=key.pem
            Settings: \(NodeConfiguration.settingNames.joined(separator: ", ")).
            """
    )

    @Option(help: "The address to listen on (http.host).") var host: String?
    @Option(help: "The port to listen on (http.port); 0 lets the system choose.") var port: Int?
    @Option(help: ArgumentHelp("Any setting.", valueName: "name=value")) var set: [String] = []
    @Flag(help: "Make the node first, where there is none.") var `init` = false
    @OptionGroup var options: GlobalOptions

    func validate() throws {
        for setting in set where !setting.contains("=") {
            throw ValidationError("--set takes name=value, not \(setting)")
        }
    }

    /// What the flags say, by the settings' names.
    var flags: [String: String] {
        var flags: [String: String] = [:]
        for setting in set {
            let parts = setting.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            flags[String(parts[0])] = String(parts[1])
        }
        if let host { flags["http.host"] = host }
        if let port { flags["http.port"] = String(port) }
        return flags
    }

    func run() async throws {
        do {
            let directory = options.dataDirectory
            // A descriptor gives its passphrase once.
            var passphrase: [UInt8]?
            if `init`, !NodeFiles.exists(in: directory) {
                let made = try NodeMaking.make(in: directory, words: Mnemonic(), asksForPassphrase: false)
                passphrase = made.passphrase
                Output.note("made the node \(made.did); its 12 words: \(made.words.joined(separator: " "))")
            }
            guard NodeFiles.exists(in: directory) else {
                throw Failure("there is no node in \(directory): make one with `mintmark init`", .noNode)
            }
            let configuration = try NodeConfiguration.load(dataDirectory: directory, flags: flags)
            try NodeLogging.start(configuration)
            let node = try await Node.open(
                configuration,
                passphrase: try passphrase ?? Passphrase.find(in: directory)
            )
            let json = options.json
            try await node.run(.everything) { facts in
                if json { Output.json(facts.json) } else { Self.announce(facts) }
            }
        } catch {
            Failure.end(error, json: options.json)
        }
    }

    private static func announce(_ facts: NodeFacts) {
        var lines = [("node", facts.did), ("listening on", facts.publicURL)]
        if let mint = facts.mintURL { lines.append(("mint", mint)) }
        lines.append(("Lightning", facts.lightning))
        lines.append(("money", facts.isTestMoney ? "TEST MONEY only" : "real"))
        if let gossip = facts.gossip {
            lines.append(("gossip", JSONValue.object(gossip).shown("addresses")))
        }
        lines.append(("data", facts.dataDirectory))
        Output.line("mintmark \(facts.version) is ready")
        Output.facts(lines)
    }
}

/// A node for the length of one command, reached through its socket alone.
enum TemporaryNode {
    static func with<T: Sendable>(_ options: GlobalOptions, _ body: () async throws -> T) async throws -> T {
        let directory = options.dataDirectory
        var configuration = try NodeConfiguration.load(dataDirectory: directory)
        // What ends with the command ends on purpose: the servers would call that an error.
        configuration.logLevel = "critical"
        try NodeLogging.start(configuration)
        let node = try await Node.open(configuration, passphrase: try Passphrase.find(in: directory))
        return try await node.whileRunning(.operatorSocket, body)
    }
}
