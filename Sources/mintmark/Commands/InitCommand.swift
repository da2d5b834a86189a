import ArgumentParser
import CanonicalJSON
import Cryptography
import Encodings
import Foundation
import Identity
import Node
import SignedDocuments
import Storage

struct InitCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Make a node: its keys, and the 12 words that bring them back.",
        discussion: """
            The words are shown once; with them every key and every coin of the wallet can be made again. The keys \
            lie sealed under a passphrase. It comes from $MINTMARK_PASSPHRASE_FD, $MINTMARK_PASSPHRASE_FILE, \
            $MINTMARK_PASSPHRASE or systemd's credential `mintmark-passphrase`; else it is asked for on a terminal; else \
            one is made and kept in the file `passphrase` beside the keys, which then protects only copies without that \
            file.
              mintmark init
              mintmark init --data ~/nodes/seller
              mintmark init --restore        type the 12 words of an earlier node
            """
    )

    @Flag(help: "Bring back an earlier node from its 12 words, read from standard input.") var restore = false
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        do {
            let made = try NodeMaking.make(
                in: options.dataDirectory,
                words: restore ? try Self.readWords() : Mnemonic(),
                asksForPassphrase: isatty(STDIN_FILENO) == 1 && !restore && !options.yes
            )
            report(made)
        } catch {
            Failure.end(error, json: options.json)
        }
    }

    static func readWords() throws -> Mnemonic {
        if isatty(STDIN_FILENO) == 1 { Output.note("The 12 words, on one line: ", terminator: "") }
        guard let line = readLine() else { throw Failure("no words were given", .usage) }
        return try Mnemonic(words: line)
    }

    private func report(_ made: NodeMaking.Made) {
        if options.json {
            var object: JSONObject = [
                "ok": true, "did": .string(made.did), "data": .string(options.dataDirectory),
                "passphraseFile": .bool(made.keptPassphrase),
            ]
            if !restore { object["words"] = .string(made.words.joined(separator: " ")) }
            return Output.json(.object(object))
        }
        Output.line("Node \(made.did)")
        Output.line("made in \(options.dataDirectory)")
        if !restore {
            Output.line("\nWrite these 12 words down, in order, and keep them from others. They are not shown again:\n")
            for row in stride(from: 0, to: made.words.count, by: 4) {
                let cells = (row..<min(row + 4, made.words.count)).map { index in
                    "\(index + 1). \(made.words[index])".padding(toLength: 14, withPad: " ", startingAt: 0)
                }
                Output.line("  " + cells.joined())
            }
        }
        if made.keptPassphrase {
            Output.line(
                "\nThe keys are sealed with a passphrase that was made and kept in the file `passphrase` there."
            )
        }
        Output.line("\nNext: mintmark serve")
        if restore { Output.line("then: mintmark wallet restore --mint URL, for each mint that held your ecash") }
    }
}

/// Makes a node's keys in a data directory.
enum NodeMaking {
    struct Made {
        let did: String
        let words: [String]
        let passphrase: [UInt8]
        /// Whether the passphrase was made here and kept beside the keys.
        let keptPassphrase: Bool
    }

    static func make(in directory: String, words: Mnemonic, asksForPassphrase: Bool) throws -> Made {
        guard !NodeFiles.exists(in: directory) else {
            throw Failure("\(directory) has a node already; its keys are never overwritten")
        }
        guard NodeFiles.socketPath(in: directory).utf8.count <= NodeFiles.maximumSocketPathBytes else {
            throw Failure("the path \(directory) is too long for the node's socket: choose a shorter one", .usage)
        }
        let folder = try DataDirectory(path: directory)
        let (passphrase, isMade) = try passphrase(asks: asksForPassphrase)
        if isMade { try folder.replaceFile(NodeFiles.passphrase, with: passphrase + [UInt8(ascii: "\n")]) }
        let token = Base64URL.encode(SecureRandom.bytes(32))
        try folder.replaceFile(NodeFiles.operatorToken, with: Array((token + "\n").utf8))
        let now = WallClock.system.now()
        let nodeKeys = try NodeKeys.create(in: folder, words: words, passphrase: passphrase, now: now)
        return Made(
            did: nodeKeys.node.did.string,
            words: words.words,
            passphrase: passphrase,
            keptPassphrase: isMade
        )
    }

    static func passphrase(asks: Bool) throws -> (bytes: [UInt8], isMade: Bool) {
        let environment = ProcessInfo.processInfo.environment
        if Passphrase.isGiven(environment) { return (try Passphrase.find(in: "", environment: environment), false) }
        if asks {
            let first = try Passphrase.ask("Passphrase to seal the keys (empty: make one and keep it in a file): ")
            if !first.isEmpty {
                guard try Passphrase.ask("Once more: ") == first else { throw Failure("the two differ", .usage) }
                return (Array(first.utf8), false)
            }
        }
        return (Array(Base64URL.encode(SecureRandom.bytes(24)).utf8), true)
    }
}
