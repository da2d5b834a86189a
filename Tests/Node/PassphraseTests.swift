import CanonicalJSON
import Foundation
import TestSupport
import Testing

/// Where the passphrases of a node and of a vault come from, typed by hand among them.
@Suite("Passphrases", .serialized)
struct PassphraseTests {
    private static let typed = "correct horse battery"
    private static let vaults = "another horse"

    /// A command that a person types a passphrase to, on a terminal.
    /// - Parameter lines: what is asked for, and what is typed then.
    private func run(_ arguments: [String], typing lines: (prompt: String, line: String)...) async throws
        -> Program.Outcome
    {
        let terminal = try Terminal()
        async let outcome = Program.run(arguments, terminal: terminal)
        for (prompt, line) in lines { try await terminal.type(line, after: prompt) }
        var ended = try await outcome
        ended.errors = terminal.shown()
        // What was typed is nowhere to be seen, and the terminal shows what is typed again.
        for (_, line) in lines where !line.isEmpty { #expect(!"\(ended)".contains(line), "\(ended)") }
        #expect(terminal.isEchoing)
        return ended
    }

    @Test("a node's keys are sealed with a passphrase that is typed twice, and opened with it typed once")
    func typed() async throws {
        let folder = try TemporaryFolder()
        let data = folder.path + "/n"
        let sealing = "Passphrase to seal the keys"
        let differ = try await run(
            ["init", "--data", data, "--json"],
            typing: (sealing, Self.typed),
            ("Once more: ", "correct horse")
        )
        #expect(differ.status != 0 && differ.json["error"]?.stringValue?.contains("differ") == true, "\(differ)")
        #expect(!FileManager.default.fileExists(atPath: data + "/vault.json"))
        let made = try await run(
            ["init", "--data", data, "--json"],
            typing: (sealing, Self.typed),
            ("Once more: ", Self.typed)
        )
        #expect(made.status == 0 && made.json["passphraseFile"] == false, "\(made)")
        #expect(!FileManager.default.fileExists(atPath: data + "/passphrase"))
        let list = ["agent", "list", "--data", data, "--json"]
        let opened = try await run(list, typing: ("Passphrase: ", Self.typed))
        #expect(opened.status == 0, "\(opened)")
        let wrong = try await run(list, typing: ("Passphrase: ", "incorrect horse"))
        #expect(wrong.status != 0 && wrong.json["error"]?.stringValue?.contains("passphrase") == true, "\(wrong)")
        // An empty line at the first question: one is made and kept, as where nobody is there to type.
        let kept = try await run(["init", "--data", folder.path + "/k", "--json"], typing: (sealing, ""))
        #expect(kept.status == 0 && kept.json["passphraseFile"] == true, "\(kept)")
        // What is given is not asked for.
        let terminal = try Terminal()
        let given = try await Program.run(list, environment: ["MINTMARK_PASSPHRASE": Self.typed], terminal: terminal)
        #expect(given.status == 0 && terminal.shown().isEmpty, "\(given) \(terminal.shown())")
    }

    @Test("a new node's keys are sealed with what a file descriptor or systemd gives, and served with it at once")
    func given() async throws {
        let folder = try TemporaryFolder()
        try Data("\(Self.typed)\n".utf8).write(to: URL(filePath: folder.path + "/mintmark-passphrase"))
        for (name, environment) in [
            ("fd", ["MINTMARK_PASSPHRASE_FD": "0"]), ("credential", ["CREDENTIALS_DIRECTORY": folder.path]),
        ] {
            let data = "\(folder.path)/\(name)"
            let made = try await Program.run(
                ["init", "--data", data, "--json"],
                environment: environment,
                input: Self.typed + "\n"
            )
            #expect(made.status == 0 && made.json["passphraseFile"] == false, "\(name): \(made)")
            let opened = try await Program.run(
                ["agent", "list", "--data", data, "--json"],
                environment: ["MINTMARK_PASSPHRASE": Self.typed]
            )
            #expect(opened.status == 0, "\(name): \(opened)")
            // Made and served in one: a descriptor gives its passphrase once.
            let both = folder.path + "/both-\(name)"
            let process = ServerProcess(
                name,
                ["serve", "--init", "--json", "--data", both, "--port", "0"],
                environment: environment,
                logPath: both + ".log",
                inputPath: folder.path + "/mintmark-passphrase"
            )
            await #expect(throws: Never.self, "\(name)") { try await process.start() }
            await process.kill()
            #expect(!FileManager.default.fileExists(atPath: both + "/passphrase"), "\(name)")
        }
    }

    /// Runs `vault serve` until it is ready or has ended.
    private func serve(
        _ vault: String,
        environment: [String: String] = [:],
        inputPath: String? = nil,
        terminal: Terminal? = nil,
        typing line: String? = nil
    ) async throws -> String? {
        let process = ServerProcess(
            "vault",
            ["vault", "serve", "--json", "--vault", vault],
            environment: environment,
            logPath: vault + ".log",
            inputPath: inputPath,
            terminal: terminal
        )
        do {
            async let started = process.start(timeoutSeconds: 30)
            if let line { try await terminal?.type(line) }
            _ = try await started
            await process.kill()
            return nil
        } catch {
            await process.kill()
            return "\(error)"
        }
    }

    @Test("a vault has its own: a file descriptor, a file, the environment, systemd's credential, or typed")
    func vault() async throws {
        let folder = try TemporaryFolder()
        let (data, vault) = (folder.path + "/n", folder.path + "/v")
        #expect(try await Program.run(["init", "--data", data, "--json"]).status == 0)
        let adopt = ["vault", "adopt", "--data", data, "--vault", vault, "--json", "--yes"]
        let adopted = try await run(
            adopt,
            typing: ("Passphrase of the vault", Self.vaults),
            ("Once more: ", Self.vaults)
        )
        #expect(adopted.status == 0 && adopted.json["passphraseFile"] == false, "\(adopted)")
        #expect(!FileManager.default.fileExists(atPath: vault + "/passphrase"))
        let file = folder.path + "/mintmark-passphrase"
        try Data("\(Self.vaults)\n".utf8).write(to: URL(filePath: file))
        #expect(try await serve(vault, environment: ["MINTMARK_VAULT_PASSPHRASE_FD": "0"], inputPath: file) == nil)
        #expect(try await serve(vault, environment: ["MINTMARK_VAULT_PASSPHRASE_FILE": file]) == nil)
        #expect(try await serve(vault, environment: ["MINTMARK_VAULT_PASSPHRASE": Self.vaults]) == nil)
        #expect(try await serve(vault, environment: ["CREDENTIALS_DIRECTORY": folder.path]) == nil)
        let terminal = try Terminal()
        #expect(try await serve(vault, terminal: terminal, typing: Self.vaults) == nil)
        #expect(terminal.isEchoing && !terminal.shown().contains(Self.vaults))
        let log = try String(contentsOfFile: vault + ".log", encoding: .utf8)
        #expect(log.contains("Passphrase: ") && !log.contains(Self.vaults))

        // The node's is not the vault's, though both are in one environment; a wrong one does not open.
        let nobody = try await serve(vault, environment: ["MINTMARK_PASSPHRASE": Self.vaults])
        #expect(nobody?.contains("nobody is here to type it") == true, "\(nobody ?? "started")")
        let nodes = try String(contentsOfFile: data + "/passphrase", encoding: .utf8)
        let wrong = try await serve(vault, environment: ["MINTMARK_VAULT_PASSPHRASE": nodes])
        #expect(wrong?.contains("passphrase") == true, "\(wrong ?? "started")")
        let closed = try await serve(vault, environment: ["MINTMARK_VAULT_PASSPHRASE_FD": "77"])
        #expect(closed?.contains("MINTMARK_PASSPHRASE_FD is 77") == true, "\(closed ?? "started")")
    }
}
