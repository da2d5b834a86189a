import ArgumentParser
import CanonicalJSON
import Foundation
import Node

struct WitnessCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "witness",
        abstract: "Watch over other nodes' transparency logs: cosign what only grew, and shout at what was rewritten.",
        discussion: """
            A witness remembers the last checkpoint of each log that it follows, and signs a newer one only where its \
            tree begins with that. A node that lists witnesses (log.witnesses) is found out when it forks its log, and \
            stops by itself when it was set back to an older copy. Run it on another machine than the node.
              mintmark witness init --data ~/.witness
              mintmark witness add https://node.example/log --key did:key:z6Mk… --data ~/.witness
              mintmark witness run --data ~/.witness --port 8410
            On the node: mintmark serve --set 'log.witnesses=NAME+ID+KEY http://witness.example:8410'
            """,
        subcommands: [Init.self, Add.self, Run.self, Poll.self, Show.self, Key.self]
    )

    /// What all of these take.
    struct Options: ParsableArguments {
        @Option(
            name: [.customLong("data"), .customShort("D")],
            help: ArgumentHelp(
                "The witness's folder.",
                discussion: "Default: $MINTMARK_WITNESS_DATA, else ~/.mintmark-witness.",
                valueName: "folder"
            )
        )
        var data: String?
        @Flag(help: "Print one JSON value instead of text.") var json = false

        var folder: String {
            let environment = ProcessInfo.processInfo.environment
            let path = data ?? environment["MINTMARK_WITNESS_DATA"] ?? "~/.mintmark-witness"
            return URL(filePath: (path as NSString).expandingTildeInPath).standardizedFileURL.path
        }

        /// Opens the witness, runs `body` and closes it.
        func with<T>(_ body: (WitnessProcess) async throws -> T) async throws -> T {
            guard WitnessProcess.exists(in: folder) else {
                throw Failure("there is no witness in \(folder): make one with `mintmark witness init`", .noNode)
            }
            let witness = try await WitnessProcess.open(in: folder, passphrase: try Passphrase.find(in: folder))
            do {
                let result = try await body(witness)
                await witness.close()
                return result
            } catch {
                await witness.close()
                throw error
            }
        }
    }

    struct Init: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a witness: a key of its own, sealed with a passphrase.",
            discussion: """
                The key has no recovery words on purpose: a witness that lost what it remembers must not sign on. Make \
                another then.
                  mintmark witness init --name witness.example/w1
                """
        )
        @Option(help: "What it signs as: a URL without its scheme. Default: made from its key.") var name: String?
        @OptionGroup var options: Options

        func run() async throws {
            do {
                let (passphrase, isMade) = try NodeMaking.passphrase(asks: isatty(STDIN_FILENO) == 1)
                let key = try await WitnessProcess.make(
                    in: options.folder,
                    name: name,
                    passphrase: passphrase,
                    keepsPassphrase: isMade
                )
                if options.json { return Output.json(["ok": true, "key": .string(key)]) }
                Output.line(key)
                if isMade {
                    Output.note(
                        "The key is sealed with a passphrase that was made and kept in \(options.folder)/passphrase."
                    )
                }
            } catch {
                Failure.end(error, json: options.json)
            }
        }
    }

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Follow a log.",
            discussion: """
                  mintmark witness add https://node.example/log --key did:key:z6Mk…
                A running witness must be stopped for this. Without an address the log is not polled, and comes by \
                itself; its note key must be given then.
                """
        )
        @Argument(help: "The log's http(s) address.") var url: String?
        @Option(help: "The log's key: the node's did:key, or `name+id+base64` from `mintmark log show`.") var key:
            String
        @OptionGroup var options: Options

        func run() async throws {
            do {
                try await options.with { try await $0.follow(url: url, key: key) }
                if options.json { Output.json(["ok": true]) } else { Output.line("followed from now on") }
            } catch {
                Failure.end(error, json: options.json)
            }
        }
    }

    struct Run: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Serve C2SP tlog-witness, and poll every log that has an address.",
            discussion: """
                Serves POST /add-checkpoint, and GET /checkpoint/<SHA-256 of the origin>, /logs, /alarms, /vkey, \
                /metrics and /health. A fork or rewind is logged as critical, counted in /metrics, and kept as a file \
                evidence-… in its folder, which proves it to others; with --exit-on-alarm it ends with status 2.
                  mintmark witness run --port 8410 --every 10 --exit-on-alarm
                """
        )
        @Option(help: "The address to listen on.") var host = "127.0.0.1"
        @Option(help: "The port; 0 lets the system choose.") var port = 8410
        @Option(help: "How often the logs are polled, in seconds.") var every: Int64 = 30
        @Flag(help: "End with the first fork or rewind, with status 2.") var exitOnAlarm = false
        @Flag(help: "A proxy that speaks TLS stands before it, so that it may listen beyond this machine.")
        var behindProxy = false
        @OptionGroup var options: Options

        func validate() throws {
            guard (0...65_535).contains(port) else { throw ValidationError("--port is 0 to 65535") }
            guard (1...86_400).contains(every) else { throw ValidationError("--every is 1 to 86400 seconds") }
            guard NodeConfiguration.isLoopback(host) || behindProxy else {
                throw ValidationError(
                    "\(host) can be reached from elsewhere: put a proxy with TLS before it (--behind-proxy)"
                )
            }
        }

        func run() async throws {
            do {
                let (host, json) = (host, options.json)
                let hasAlarmed = try await options.with { witness in
                    let key = witness.verifierKey
                    return try await witness.run(
                        host: host,
                        port: port,
                        everySeconds: every,
                        stopsOnAlarm: exitOnAlarm
                    ) { bound in
                        let url = "http://\(host.contains(":") ? "[\(host)]" : host):\(bound)"
                        if json {
                            Output.json(["ready": true, "key": .string(key), "url": .string(url)])
                        } else {
                            Output.line("witness \(key) listens on \(url)")
                        }
                    }
                }
                guard hasAlarmed else { return }
                throw Failure("a log was rewritten: see the evidence in \(options.folder)", .refused)
            } catch {
                Failure.end(error, json: options.json)
            }
        }
    }

    struct Poll: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Ask every log once, for a timer that runs it. Exits with 2 where one was rewritten."
        )
        @OptionGroup var options: Options

        func run() async throws {
            do {
                let (lines, isWell) = try await options.with { try await $0.poll() }
                if options.json {
                    Output.json(["ok": .bool(isWell), "logs": .array(lines.map { .string($0) })])
                } else {
                    for line in lines { Output.line(line) }
                }
                if !isWell {
                    throw Failure("a log was rewritten: see the evidence in \(options.folder)", .refused, isSaid: true)
                }
            } catch {
                Failure.end(error, json: options.json)
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "The logs, how far each was followed, and the alarms."
        )
        @OptionGroup var options: Options

        func run() async throws {
            do {
                let report = try await options.with { try await $0.report() }
                if options.json { return Output.json(report) }
                Output.line(report.shown("key"))
                let logs = report["logs"]?.arrayValue ?? []
                Output.table(
                    ["LOG", "SIZE", "AT", "POLLED AT"],
                    logs.map { log in
                        ["origin", "size", "changedAt", "url"].map(log.shown)
                    }
                )
                for alarm in report["alarms"]?.arrayValue ?? [] {
                    Output.line(
                        "\(alarm.shown("kind").uppercased()) \(alarm.shown("origin")): \(alarm.shown("message"))"
                    )
                }
            } catch {
                Failure.end(error, json: options.json)
            }
        }
    }

    struct Key: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "The key that its signatures are checked with.")
        @OptionGroup var options: Options

        func run() async throws {
            do {
                let key = try await options.with { $0.verifierKey }
                if options.json { Output.json(["key": .string(key)]) } else { Output.line(key) }
            } catch {
                Failure.end(error, json: options.json)
            }
        }
    }
}
