import CanonicalJSON
import Foundation

/// How a command can end, other than well. Scripts may rely on the numbers.
enum ExitStatus: Int32 {
    /// It was tried and did not work.
    case failed = 1
    /// A limit, a signature, a passport or a price said no; no money moved.
    case refused = 2
    /// There is no node to talk to.
    case noNode = 3
    /// Money may have moved and the outcome is not known yet; running the command again with the same
    /// idempotency key, or `mintmark pay --resume`, settles it.
    case pending = 4
    /// The command line itself is wrong.
    case usage = 64
}

/// An error as a user sees it: a sentence, and the number that the program exits with.
struct Failure: Error, CustomStringConvertible {
    let message: String
    let status: ExitStatus
    /// The machine's name for it, where a service gave one.
    let code: String?
    /// Whether what was printed as JSON says it already: one command prints one value.
    let isSaid: Bool
    var description: String { message }

    init(_ message: String, _ status: ExitStatus = .failed, code: String? = nil, isSaid: Bool = false) {
        self.message = message
        self.status = status
        self.code = code
        self.isSaid = isSaid
    }

    /// Prints the failure the way the command was asked to, and ends the program.
    static func end(_ error: any Error, json: Bool) -> Never {
        let failure = error as? Failure ?? Failure("\(error)")
        if json, failure.isSaid {
            // Nothing is added.
        } else if json {
            var object: JSONObject = ["ok": false, "error": .string(failure.message)]
            if let code = failure.code { object["code"] = .string(code) }
            Output.line(String(decoding: JSONValue.object(object).serialized(), as: UTF8.self))
        } else {
            Output.note("mintmark: \(failure.message)")
        }
        exit(failure.status.rawValue)
    }
}
