import ArgumentParser
import AsyncHTTPClient
import CanonicalJSON
import Cryptography
import Encodings
import Foundation
import NIOCore
import NIOHTTP1
import Node

struct BackupCommand: NodeCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup",
        abstract: "Make a sealed copy of the whole node while it works.",
        discussion: """
            One file with the database, the configuration and the sealed keys, as of one moment. It opens with the \
            node's passphrase, or with its 12 words. It overwrites nothing. Make one often: what happens after it is \
            not in it, and a node that is set back to it takes no money until you have looked.
              mintmark backup /media/stick/node-$(date +%F).backup
              mintmark restore /media/stick/node-2026-11-21.backup --data ~/restored
            """
    )
    @Argument(help: "The file to make.", completion: .file()) var file: String
    @OptionGroup var options: GlobalOptions

    func run(on node: NodeClient) async throws {
        let path = URL(filePath: (file as NSString).expandingTildeInPath).standardizedFileURL.path
        let body = JSONValue.object(["path": .string(path)]).serialized()
        // As long as it takes: the database may be large.
        let response = try await node.stream(
            .post,
            "/api/backup",
            headers: [("Content-Type", "application/json")],
            body: .bytes(body),
            timeoutSeconds: 86_400
        )
        var progress = ProgressLine(options)
        var rest: [UInt8] = []
        var last: JSONValue = .null
        for try await buffer in response.body {
            rest += buffer.readableBytesView
            while let end = rest.firstIndex(of: 0x0A) {
                last = try JSONValue.parse(Array(rest[..<end]))
                rest.removeSubrange(...end)
                progress.show(last)
            }
            guard rest.count < 1 << 20 else { throw Failure("the node's answer is no answer to a backup") }
        }
        progress.end()
        guard response.status == .ok else {
            throw NodeClient.failure(try JSONValue.parse(rest), response.status)
        }
        guard last["ok"]?.boolValue == true else {
            throw Failure(last["error"]?.stringValue ?? "the node stopped before the backup was done")
        }
        if options.json { return Output.json(last) }
        Output.line("\(last.shown("file")): \(last.shown("bytes")) bytes, as of \(last.shown("createdAt"))")
    }
}

/// `step 40 %` on a terminal, rewritten in place; nothing elsewhere.
private struct ProgressLine {
    private let isShown: Bool
    private var percent: UInt64?

    init(_ options: GlobalOptions) { isShown = isatty(STDERR_FILENO) == 1 && !options.json }

    mutating func show(_ step: JSONValue) {
        guard let done = step["bytes"]?.stringValue.flatMap(UInt64.init),
            let total = step["of"]?.stringValue.flatMap(UInt64.init)
        else {
            if isShown, step["step"]?.stringValue == "copying" {
                Output.note("\rcopying the database… ", terminator: "")
            }
            return
        }
        show("sealing", done, of: total)
    }

    mutating func show(_ verb: String, _ done: UInt64, of total: UInt64) {
        let now = total == 0 ? 100 : done * 100 / total
        guard isShown, now != percent else { return }
        percent = now
        Output.note("\r\(verb) \(now) %            ", terminator: "")
    }

    func end() { if isShown { Output.note("") } }
}

struct RestoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore",
        abstract: "Put a backup back into a new data directory, and go on with an older copy.",
        discussion: """
            A copy does not know what happened after it: ecash that was spent since is unspent in it. So a node that \
            was restored, or whose database was replaced by an older one, takes no money until you have looked at the \
            gap and confirmed it. Never run the old node and the restored one both.
              mintmark restore node.backup --data ~/restored            asks for the node's passphrase
              mintmark restore node.backup --data ~/restored --words    asks for its 12 words instead
              mintmark serve --data ~/restored &
              mintmark restore status --data ~/restored                 how old it is, what may be lost
              mintmark restore confirm --data ~/restored
            """,
        subcommands: [File.self, Status.self, Confirm.self],
        defaultSubcommand: File.self
    )

    struct File: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "file",
            abstract: "Make a data directory from a backup (what `mintmark restore FILE` does)."
        )
        @Argument(help: "The backup.", completion: .file()) var file: String
        @Flag(help: "Open it with the 12 words, read from standard input, and seal the keys anew.") var words = false
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            do {
                let path = URL(filePath: (file as NSString).expandingTildeInPath).standardizedFileURL.path
                let header = try BackupRestore.header(of: path)
                if !options.json { Output.note("A backup of \(header.node), made \(header.createdAt)") }
                var progress = ProgressLine(options)
                let restored = try BackupRestore.restore(
                    path,
                    into: options.dataDirectory,
                    keys: try keys()
                ) { done, total in
                    progress.show(done * 2 <= total ? "checking" : "writing", done, of: total)
                }
                progress.end()
                report(restored)
            } catch {
                Failure.end(error, json: options.json)
            }
        }

        private func keys() throws -> RestoreKeys {
            guard words else { return .passphrase(try Passphrase.find(in: options.dataDirectory)) }
            let words = try InitCommand.readWords()
            let (passphrase, isMade) = try NodeMaking.passphrase(asks: isatty(STDIN_FILENO) == 1 && !options.yes)
            return .words(words, newPassphrase: passphrase, keepsPassphrase: isMade)
        }

        private func report(_ restored: RestoredNode) {
            if options.json {
                return Output.json([
                    "ok": true, "did": .string(restored.node), "data": .string(options.dataDirectory),
                    "createdAt": .string(restored.createdAt.rfc3339),
                    "databaseBytes": .string(String(restored.databaseBytes)),
                ])
            }
            Output.line("Node \(restored.node), as of \(restored.createdAt), is in \(options.dataDirectory)")
            Output.line("It takes no money until you have looked:")
            Output.line("  mintmark serve --data \(options.dataDirectory)")
            Output.line("  mintmark restore confirm --data \(options.dataDirectory)")
        }
    }

    struct Status: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Whether the node stands on an older copy, how old it is, and what may be lost."
        )
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let report = try await node.call(.get, "/api/restore")
            if options.json { Output.json(report) } else { Self.show(report) }
        }

        static func show(_ report: JSONValue) {
            guard report["fenced"]?.boolValue == true else { return Output.line("The database is the latest.") }
            Output.line(report.shown("why"))
            var facts: [(String, String)] = []
            if report["copyAt"] != nil {
                facts.append(("copy as of", report.shown("copyAt")))
                facts.append(("age", age(report["ageSeconds"]?.int64Value ?? 0)))
            }
            if report["lastAt"] != nil { facts.append(("last at work with a later one", report.shown("lastAt"))) }
            Output.facts(facts)
            let stake = report["atStake"] ?? .null
            Output.line("What happened since is not in it. At stake, as the copy has it:")
            Output.facts([
                ("  ecash of this mint, which may be spent a second time", stake.shown("ecashOfOurMint")),
                ("  paid at this mint and not issued: may be issued twice", stake.shown("paidAndNotIssued")),
                ("  coins of the wallet, which may be spent already", stake.shown("walletCoins")),
                ("  coins locked to sellers, likewise", stake.shown("lockedCoins")),
                ("  payments taken and not redeemed, which may be redeemed", stake.shown("takenAndNotRedeemed")),
            ])
            Output.line("Passports that were revoked since are valid in it: revoke them again.")
        }

        private static func age(_ seconds: Int64) -> String {
            let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60)
            if days > 0 { return "\(days) d \(hours) h" }
            return hours > 0 ? "\(hours) h \(minutes) min" : "\(minutes) min \(seconds % 60) s"
        }
    }

    struct Confirm: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Go on with the older copy: money moves again.",
            discussion: """
                Shows the gap and asks. The wallet goes on with secrets that it never used. Ecash is not taken offline \
                until you say `mintmark restore confirm --offline` too, or on the node's API.
                  mintmark restore confirm
                  mintmark restore confirm --yes --json
                """
        )
        @Flag(help: "Take ecash offline again, too: proofs that were taken since the copy could be taken once more.")
        var offline = false
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            var report = try await node.call(.get, "/api/restore")
            if report["fenced"]?.boolValue == true {
                if !options.json { Status.show(report) }
                try options.confirm("Go on with this copy?")
                report = try await node.call(.post, "/api/restore/confirm", [:])
            }
            if offline { _ = try await node.call(.post, "/api/gateway/offline/resume", [:]) }
            var object = report.objectValue ?? JSONObject()
            object["confirmed"] = object["fenced"]
            object["offlineAcceptance"] = .bool(offline)
            if options.json { return Output.json(.object(object)) }
            guard report["fenced"]?.boolValue == true else { return Output.line("The database is the latest.") }
            Output.line("Money moves again. To fetch coins that the wallet got since the copy:")
            Output.line("  mintmark wallet restore --mint URL, for each mint")
        }
    }
}
