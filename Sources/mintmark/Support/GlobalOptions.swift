import ArgumentParser
import Foundation
import Node

/// What every command takes.
struct GlobalOptions: ParsableArguments {
    @Option(
        name: [.customLong("data"), .customShort("D")],
        help: ArgumentHelp(
            "The node's data directory.",
            discussion: "Default: $MINTMARK_DATA, else ~/.mintmark.",
            valueName: "folder"
        )
    )
    var data: String?

    @Flag(help: "Print one JSON value instead of text.")
    var json = false

    @Flag(name: .shortAndLong, help: "Do not ask before what cannot be undone.")
    var yes = false

    var dataDirectory: String {
        let path = data ?? NodeConfiguration.defaultDataDirectory()
        return URL(filePath: (path as NSString).expandingTildeInPath).standardizedFileURL.path
    }

    /// Asks on the terminal; refuses where nobody can answer.
    func confirm(_ question: String) throws {
        if yes { return }
        guard isatty(STDIN_FILENO) == 1 else {
            throw Failure("\(question) This cannot be undone: add --yes to do it.", .usage)
        }
        Output.note("\(question) This cannot be undone. Type yes to go on: ", terminator: "")
        guard readLine() == "yes" else { throw Failure("nothing was done", .failed) }
    }
}
