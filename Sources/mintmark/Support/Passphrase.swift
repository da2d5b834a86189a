import Foundation
import Node

/// Where the passphrase that seals the keys comes from: never an argument, which other users of the machine can
/// read.
enum Passphrase {
    /// Looks at `$MINTMARK_PASSPHRASE_FILE`, `$MINTMARK_PASSPHRASE`, the file `passphrase` in the data directory,
    /// then asks on the terminal.
    static func find(
        in directory: String,
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws -> [UInt8] {
        if let path = environment["MINTMARK_PASSPHRASE_FILE"], !path.isEmpty { return try read(path) }
        if let text = environment["MINTMARK_PASSPHRASE"], !text.isEmpty { return Array(text.utf8) }
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

    private static func read(_ path: String) throws -> [UInt8] {
        guard let data = FileManager.default.contents(atPath: path), data.count <= 4096 else {
            throw Failure("the passphrase file \(path) cannot be read", .noNode)
        }
        let text = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .newlines)
        guard !text.isEmpty else { throw Failure("the passphrase file \(path) is empty", .noNode) }
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
