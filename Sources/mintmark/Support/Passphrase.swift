import Foundation
import Node

/// Where the passphrase that seals the keys comes from: never an argument, which other users of the machine can
/// read.
enum Passphrase {
    /// What systemd's `LoadCredential=` is to name it.
    static let credentialName = "mintmark-passphrase"

    /// Looks at `$MINTMARK_PASSPHRASE_FD` (a file descriptor), `$MINTMARK_PASSPHRASE_FILE`, `$MINTMARK_PASSPHRASE`, systemd's
    /// credential `mintmark-passphrase`, the file `passphrase` in the data directory, then asks on the terminal.
    static func find(
        in directory: String,
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws -> [UInt8] {
        if let text = environment["MINTMARK_PASSPHRASE_FD"], !text.isEmpty { return try read(descriptor: text) }
        if let path = environment["MINTMARK_PASSPHRASE_FILE"], !path.isEmpty { return try read(path) }
        if let text = environment["MINTMARK_PASSPHRASE"], !text.isEmpty { return Array(text.utf8) }
        if let path = credential(environment) { return try read(path) }
        let file = directory + "/" + NodeFiles.passphrase
        if FileManager.default.fileExists(atPath: file) { return try read(file) }
        guard isatty(STDIN_FILENO) == 1 else {
            throw Failure(
                "the keys are sealed with a passphrase and nobody is here to type it: set MINTMARK_PASSPHRASE_FILE",
                .noNode
            )
        }
        return Array(try ask("Passphrase: ").utf8)
    }

    /// Whether somebody gives one: ``find(in:environment:)`` looks at no file of the node's then, and asks nobody.
    static func isGiven(_ environment: [String: String]) -> Bool {
        let names = ["MINTMARK_PASSPHRASE_FD", "MINTMARK_PASSPHRASE_FILE", "MINTMARK_PASSPHRASE"]
        return names.contains { environment[$0]?.isEmpty == false } || credential(environment) != nil
    }

    /// The file of systemd's credential, where there is one.
    private static func credential(_ environment: [String: String]) -> String? {
        guard let folder = environment["CREDENTIALS_DIRECTORY"], !folder.isEmpty else { return nil }
        let path = "\(folder)/\(credentialName)"
        return FileManager.default.fileExists(atPath: path) ? path : nil
    }

    private static func read(_ path: String) throws -> [UInt8] {
        guard let data = FileManager.default.contents(atPath: path), data.count <= 4096 else {
            throw Failure("the passphrase file \(path) cannot be read", .noNode)
        }
        return try line(data, of: path)
    }

    /// To its end, so that a pipe does: `mintmark serve 3< <(pass show mintmark)` with MINTMARK_PASSPHRASE_FD=3.
    private static func read(descriptor text: String) throws -> [UInt8] {
        guard let number = Int32(text), number >= 0, fcntl(number, F_GETFD) >= 0,
            let data = try? FileHandle(fileDescriptor: number, closeOnDealloc: true).read(upToCount: 4096)
        else { throw Failure("MINTMARK_PASSPHRASE_FD is \(text), which cannot be read", .noNode) }
        return try line(data, of: "descriptor \(text)")
    }

    private static func line(_ data: Data, of path: String) throws -> [UInt8] {
        let text = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .newlines)
        guard !text.isEmpty else { throw Failure("the passphrase in \(path) is empty", .noNode) }
        return Array(text.utf8)
    }

    /// Reads a line without showing it.
    static func ask(_ prompt: String) throws -> String {
        Output.note(prompt, terminator: "")
        var terminal = termios()
        tcgetattr(STDIN_FILENO, &terminal)
        var silent = terminal
        silent.c_lflag &= ~tcflag_t(ECHO)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent)
        defer {
            tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal)
            Output.note("")
        }
        guard let line = readLine(), line.utf8.count <= 1024 else { throw Failure("no passphrase was typed", .usage) }
        return line
    }
}
