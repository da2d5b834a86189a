import ArgumentParser
import CanonicalJSON
import Cryptography
import Encodings
import Foundation
import Logging
import Node
import Vault

struct VaultCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vault",
        abstract: "Keep the node's issuer and mint keys in a process of their own.",
        discussion: """
            A vault holds the keys that passports, receipts and ecash are signed with, and signs over a Unix socket what \
            a node has to sign, and nothing else. Who breaks into the node then has neither key: he can have things \
            signed only while he is there, and each signature stands in the vault's log.
              mintmark vault adopt --vault ~/.mintmark-vault     moves the keys; the node must be stopped
              mintmark vault serve --vault ~/.mintmark-vault     runs it; then start the node as always
              mintmark vault status | lock | unlock
            While the vault is away or locked, the node answers 503 where it would issue or mint, and goes on by itself \
            when it is back.
            """,
        subcommands: [Adopt.self, Serve.self, Status.self, Lock.self, Unlock.self]
    )

    /// What all of these take.
    struct Options: ParsableArguments {
        @Option(
            help: ArgumentHelp(
                "The vault's folder.",
                discussion: "Default: $MINTMARK_VAULT, else ~/.mintmark-vault.",
                valueName: "folder"
            )
        )
        var vault: String?
        @Option(
            help: ArgumentHelp("Where it listens. Default: vault.sock in the vault's folder.", valueName: "path")
        )
        var socket: String?
        @Flag(help: "Print one JSON value instead of text.") var json = false

        var folder: String {
            let environment = ProcessInfo.processInfo.environment
            return Self.absolute(vault ?? environment["MINTMARK_VAULT"] ?? "~/.mintmark-vault")
        }

        var socketPath: String { socket.map(Self.absolute) ?? folder + "/" + VaultProcess.socketName }

        static func absolute(_ path: String) -> String {
            URL(filePath: (path as NSString).expandingTildeInPath).standardizedFileURL.path
        }

        /// Speaks to the running vault.
        func with<T>(_ body: (VaultOperator) async throws -> T) async throws -> T {
            let vault = try await VaultOperator.open(path: socketPath, logger: Logger(label: "mintmark.vault"))
            do {
                let result = try await body(vault)
                await vault.close()
                return result
            } catch {
                await vault.close()
                throw error
            }
        }
    }
}

/// The passphrase of a vault, which is another than the node's.
private enum VaultPassphrase {
    private static let sources = ["MINTMARK_PASSPHRASE_FD", "MINTMARK_PASSPHRASE_FILE", "MINTMARK_PASSPHRASE"]

    /// The environment with what is said of the vault's passphrase in the place of the node's.
    private static var environment: [String: String] {
        var environment = ProcessInfo.processInfo.environment
        for name in sources {
            environment[name] = environment[name.replacing("MINTMARK_", with: "MINTMARK_VAULT_", maxReplacements: 1)]
        }
        return environment
    }

    private static var isGiven: Bool { sources.contains { environment[$0]?.isEmpty == false } }

    /// Of a vault that is there: $MINTMARK_VAULT_PASSPHRASE_FD, …_FILE, $MINTMARK_VAULT_PASSPHRASE, systemd's credential,
    /// the file `passphrase` in its folder, or the terminal.
    static func find(in folder: String) throws -> [UInt8] { try Passphrase.find(in: folder, environment: environment) }

    /// Of a new one; made where nobody gives one.
    static func new(in folder: String, asks: Bool) throws -> (bytes: [UInt8], isMade: Bool) {
        if isGiven || VaultProcess.exists(in: folder) { return (try find(in: folder), false) }
        if asks {
            let first = try Passphrase.ask("Passphrase of the vault (empty: make one and keep it in a file there): ")
            if !first.isEmpty {
                guard try Passphrase.ask("Once more: ") == first else { throw Failure("the two differ", .usage) }
                return (Array(first.utf8), false)
            }
        }
        return (Array(Base64URL.encode(SecureRandom.bytes(24)).utf8), true)
    }
}

extension VaultCommand {
    struct Adopt: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Move the issuer's and the mint's keys of a node into a vault.",
            discussion: """
                The node must be stopped. Afterwards its folder has neither these keys nor the recovery words, and it \
                finds the vault by itself (another place: --set keys.vault=PATH). The vault has a passphrase of its own: \
                $MINTMARK_VAULT_PASSPHRASE_FILE, the terminal, or one that is made and kept beside the keys.
                  mintmark vault adopt --vault /srv/vault --data /srv/node
                Copies that were made before, such as backups, still hold the words, sealed under the node's \
                passphrase: delete them, or keep them as you keep the words. The way back is `mintmark init --restore`.
                """
        )
        @OptionGroup var vault: Options
        @Option(name: [.customLong("data"), .customShort("D")], help: "The node's data directory.") var data: String?
        @Flag(name: .shortAndLong, help: "Do it without asking.") var yes = false

        func run() async throws {
            do {
                let environment = ProcessInfo.processInfo.environment
                let node = Options.absolute(data ?? environment["MINTMARK_DATA"] ?? "~/.mintmark")
                guard NodeFiles.exists(in: node) else {
                    throw Failure("there is no node in \(node): make one with `mintmark init`", .noNode)
                }
                guard vault.socketPath.utf8.count <= NodeFiles.maximumSocketPathBytes else {
                    throw Failure("the path \(vault.socketPath) is too long for a socket: choose a shorter one", .usage)
                }
                let isTerminal = isatty(STDIN_FILENO) == 1
                if isTerminal, !yes {
                    Output.note(
                        "Move the keys of \(node) into \(vault.folder)? The node starts only with the vault then."
                    )
                    Output.note("Type yes: ", terminator: "")
                    guard readLine() == "yes" else { throw Failure("nothing was moved", .usage) }
                }
                let (passphrase, isMade) = try VaultPassphrase.new(in: vault.folder, asks: isTerminal)
                let did = try VaultProcess.adopt(
                    node: node,
                    passphrase: try Passphrase.find(in: node),
                    into: vault.folder,
                    vaultPassphrase: passphrase,
                    keepsPassphrase: isMade,
                    socket: vault.socketPath
                )
                report(did, node: node, isMade: isMade)
            } catch {
                Failure.end(error, json: vault.json)
            }
        }

        private func report(_ did: String, node: String, isMade: Bool) {
            if vault.json {
                return Output.json([
                    "ok": true, "did": .string(did), "vault": .string(vault.folder), "data": .string(node),
                    "socket": .string(vault.socketPath), "passphraseFile": .bool(isMade),
                ])
            }
            Output.line("The keys of \(did) are in \(vault.folder); \(node) has them no more.")
            if isMade {
                Output.line("They are sealed with a passphrase that was made and kept in the file `passphrase` there.")
            }
            Output.line("\nNext: mintmark vault serve --vault \(vault.folder)")
            Output.line("then: mintmark serve")
            Output.note("Backups from before hold the words, sealed under the node's passphrase: delete or guard them.")
        }
    }

    struct Serve: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Run the vault.",
            discussion: """
                  mintmark vault serve --vault /srv/vault
                  mintmark vault serve --socket /run/mintmark-vault/sock --node-user 1002
                With --node-user the node runs as another user than the vault, which is what keeps its memory and its files \
                from the node; the socket is then in a folder that the other user can enter. One node is served at a \
                time. It stops on SIGTERM or Ctrl-C.
                """
        )
        @OptionGroup var vault: Options
        @Option(help: ArgumentHelp("Another user whose node may connect; may be repeated.", valueName: "uid"))
        var nodeUser: [UInt32] = []
        @Option(help: "The most issuer's signatures in a second.") var issuerPerSecond = 20_000
        @Option(help: "The most proofs and outputs of the mint in a second.") var mintPerSecond = 100_000
        @Flag(help: "Do not write a line for each of the issuer's signatures.") var quiet = false

        func validate() throws {
            guard nodeUser.count <= 16 else { throw ValidationError("--node-user can be given 16 times") }
            for rate in [issuerPerSecond, mintPerSecond] where !(1...10_000_000).contains(rate) {
                throw ValidationError("a rate is 1 to 10000000 a second")
            }
        }

        func run() async throws {
            do {
                var limits = VaultLimits(issuerPerSecond: issuerPerSecond, mintPerSecond: mintPerSecond)
                limits.nodeUsers = Set(nodeUser)
                let level: Logger.Level = quiet ? .notice : .info
                LoggingSystem.bootstrap { label in
                    var handler = StreamLogHandler.standardError(label: label)
                    handler.logLevel = level
                    return handler
                }
                let folder = vault.folder
                guard VaultProcess.exists(in: folder) else {
                    throw Failure("there is no vault in \(folder): make one with `mintmark vault adopt`", .noNode)
                }
                let process = try VaultProcess.open(
                    in: folder,
                    passphrase: try VaultPassphrase.find(in: folder),
                    socket: vault.socketPath,
                    limits: limits
                )
                let json = vault.json
                try await process.run { socket in
                    if json { return Output.json(["ready": true, "socket": .string(socket)]) }
                    Output.line("the vault listens at \(socket)")
                }
            } catch {
                Failure.end(error, json: vault.json)
            }
        }
    }

    struct Status: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show whose keys a running vault holds, and what it has signed since it was started.",
            discussion: "  mintmark vault status --vault /srv/vault --json"
        )
        @OptionGroup var vault: Options

        func run() async throws {
            do {
                let status = try await vault.with { try await $0.status() }
                if vault.json { return Output.json(status) }
                Output.facts([
                    ("node", status["node"]?.stringValue ?? "?"),
                    ("state", status["isLocked"] == true ? "LOCKED: nothing is signed" : "unlocked"),
                    ("since", status["since"]?.stringValue ?? "?"),
                    ("issuer's signatures", "\(status["issuerSignatures"]?.int64Value ?? 0)"),
                    ("refused", "\(status["refusals"]?.int64Value ?? 0)"),
                    ("proofs checked", "\(status["proofs"]?.int64Value ?? 0)"),
                    ("outputs signed", "\(status["outputs"]?.int64Value ?? 0)"),
                    ("keysets", "\(status["keysets"]?.int64Value ?? 0)"),
                    ("wrong passphrases", "\(status["wrongPassphrases"]?.int64Value ?? 0)"),
                ])
            } catch {
                Failure.end(error, json: vault.json)
            }
        }
    }

    struct Lock: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have a running vault forget its keys until it is unlocked.",
            discussion: "The node answers 503 where it would issue or mint, and loses nothing.\n  mintmark vault lock"
        )
        @OptionGroup var vault: Options

        func run() async throws {
            do {
                try await vault.with { try await $0.lock() }
                vault.json ? Output.json(["ok": true]) : Output.line("locked; unlock it with `mintmark vault unlock`")
            } catch {
                Failure.end(error, json: vault.json)
            }
        }
    }

    struct Unlock: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have a locked vault open its keys again.",
            discussion: """
                The passphrase comes from $MINTMARK_VAULT_PASSPHRASE_FILE, the file `passphrase` in the vault's folder, or \
                the terminal.
                  mintmark vault unlock
                """
        )
        @OptionGroup var vault: Options

        func run() async throws {
            do {
                let passphrase = try VaultPassphrase.find(in: vault.folder)
                try await vault.with { try await $0.unlock(passphrase) }
                vault.json ? Output.json(["ok": true]) : Output.line("unlocked")
            } catch {
                Failure.end(error, json: vault.json)
            }
        }
    }
}
