/// What is known of a request's body when its caller is checked.
public enum BodyFact: Sendable, Equatable {
    case none
    /// Read whole: its SHA-256.
    case digest([UInt8])
    /// Too long to read first; `Content-Digest` promises this SHA-256, which is checked while the body streams.
    case promised([UInt8])
    /// Too long to read first, and no `Content-Digest` says what it is.
    case unread
}

/// A request as its caller signed it.
public struct CallFacts: Sendable {
    public var method: String
    /// The absolute URI as the client asked for it.
    public var targetURI: String
    /// Every header line in order, `Host` left out.
    public var headers: [(name: String, value: String)]
    public var body: BodyFact

    public init(method: String, targetURI: String, headers: [(name: String, value: String)], body: BodyFact) {
        self.method = method
        self.targetURI = targetURI
        self.headers = headers
        self.body = body
    }
}

/// Why a caller is not let through.
public struct CallerRefusal: Error, Sendable, Equatable {
    /// 401 where nobody was shown, 403 where somebody was and may not, 503 where it can't be told now.
    public var status: Int
    /// Such as `revoked`, `expired`, `bad-signature`, `nonce-replayed`.
    public var code: String
    public var message: String
    /// Every reason's code, where there are several.
    public var reasons: [String]

    public init(status: Int, code: String, message: String, reasons: [String] = []) {
        self.status = status
        self.code = code
        self.message = message
        self.reasons = reasons
    }
}

/// Who asks, and whether it may.
public enum CallerVerdict: Sendable, Equatable {
    /// Nobody signed, and nobody needs to.
    case anonymous
    case accepted(CallerIdentity)
    case refused(CallerRefusal)
}

/// Says who calls. Fails closed: what can't be checked is refused.
public protocol CallerCheck: Sendable {
    /// - Parameter requirement: what the service demands; nil where anybody may call, though what is shown must hold.
    func check(_ facts: CallFacts, requirement: PassportRequirement?) async -> CallerVerdict
}
