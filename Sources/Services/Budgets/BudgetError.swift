package import CanonicalJSON
public import Delegation
internal import SignedDocuments

/// Why the accounting node does not do what it is asked.
public struct BudgetError: Error, Hashable, Sendable, CustomStringConvertible {
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String

        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// The root does not name this node.
        public static let wrongNode = Code(rawValue: "wrong-accounting-node")
        /// The same call was debited before with other contents.
        public static let conflict = Code(rawValue: "call-conflict")
        /// The debit was given back or settled: it makes no ticket any more.
        public static let settled = Code(rawValue: "debit-settled")
        /// No debit, delegation or key of that name.
        public static let unknown = Code(rawValue: "unknown")
        /// Whoever asks may not.
        public static let forbidden = Code(rawValue: "forbidden")
        /// The request can't be read.
        public static let invalidRequest = Code(rawValue: "invalid-request")
        /// Too many at once, or a table is full.
        public static let overloaded = Code(rawValue: "overloaded")
        /// The accounting node could not be asked.
        public static let unreachable = Code(rawValue: "accounting-unreachable")
        /// The accounting node refused.
        public static let refused = Code(rawValue: "accounting-refused")
    }

    public var code: Code
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(message) (\(code.rawValue))" }

    /// The HTTP status that fits.
    public var status: Int {
        switch code {
        case .conflict, .settled: 409
        case .unknown: 404
        case .forbidden, .wrongNode, .refused: 403
        case .overloaded: 503
        case .unreachable: 502
        default: 400
        }
    }
}

extension DelegationError {
    /// The problem that a client reads (RFC 9457): with the link and the key that failed.
    public var problemStatus: Int {
        switch code {
        case .malformed, .notCanonical, .tooLarge, .malformedCID, .ticketMalformed: 400
        case .keyUnavailable: 503
        default: 403
        }
    }
}

extension ProblemDetails {
    /// What an error of this room looks like on the wire.
    package static func of(_ error: DelegationError) -> ProblemDetails {
        var extensions = JSONObject()
        if let link = error.link { extensions["link"] = JSONValue(link) }
        if let key = error.key { extensions["key"] = .string(key.string) }
        let words = error.code.rawValue.split(separator: "-").joined(separator: " ")
        return ProblemDetails(
            code: error.code.rawValue,
            title: words.prefix(1).uppercased() + words.dropFirst(),
            status: error.problemStatus,
            detail: error.message,
            extensions: extensions
        )
    }
}
