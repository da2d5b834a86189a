public import Market
public import Paywall

/// A service for sale: an ordinary HTTP upstream, its prices, and who may call it.
public struct ServiceDefinition: Sendable, Equatable {
    /// 1 to 63 characters `a–z 0–9 -`, the `<service>` of `/s/<service>/…`.
    public var name: String
    public var upstream: UpstreamAddress
    public var prices: PriceList
    /// Whom the service serves; nil for anybody who pays.
    public var passport: PassportRequirement?
    /// What is asked of the chains of delegations that callers show; nil where what is shown must hold, and no more.
    public var delegation: DelegationRequirement?
    /// Whether calling the upstream twice with the same request does no harm: then an interrupted call is called again on
    /// retry instead of refunded.
    public var isIdempotent: Bool
    /// Whether an upstream answer of 500 to 599 is refunded (and answered 502) instead of passed on and charged.
    public var refundsServerErrors: Bool
    public var timeouts: CallTimeouts
    /// The longest request body, in bytes; over it 413. At most ``maximumBodyBytes``.
    public var requestBodyLimitBytes: Int64
    /// How often one caller (or address, where nobody signed) may call; nil for no limit.
    public var rateLimit: RateLimit?
    /// How it can be paid for; nil for every way that the node has.
    public var accepts: Set<PaymentDialect>?
    /// What one payment over L402 buys, where that is more than one call.
    public var pass: CallPass?
    /// What a session of the `Payment` scheme takes, where `payment-session` is accepted; nil: what is usual.
    public var session: SessionTerms?
    /// Hosts, pages, and several upstreams.
    public var proxy: ProxyRules
    /// Whether payments of x402's `exact` are settled after the call, as long as what is at risk stays under the node's cap.
    public var reservesX402 = false
    /// How it is called, for catalogues.
    public var discovery: ServiceDiscovery?
    /// How other nodes are told of it; nil: as it is.
    public var listing: ServiceListing?
    /// Whether it is told of at all: to other nodes, in the node's card and in its catalogues.
    public var isListed: Bool { listing?.isListed ?? true }
    /// What the seller promises, in words, at most 512 bytes.
    public var sla: String?
    /// What goes back by itself where a call breaks that promise ([SLA-11]); nil: nothing.
    public var refunds: SLARefunds?
    /// For people, at most 512 bytes.
    public var summary: String?

    public static let maximumBodyBytes: Int64 = 1 << 40
    static let maximumTextBytes = 512

    /// - Throws: ``GatewayError`` `invalid-service` where a value is out of its bounds.
    public init(
        name: String,
        upstream: UpstreamAddress,
        prices: PriceList,
        passport: PassportRequirement? = nil,
        isIdempotent: Bool = false,
        refundsServerErrors: Bool = true,
        timeouts: CallTimeouts = CallTimeouts(),
        requestBodyLimitBytes: Int64 = 64 << 20,
        rateLimit: RateLimit? = nil,
        accepts: Set<PaymentDialect>? = nil,
        pass: CallPass? = nil,
        proxy: ProxyRules = ProxyRules(),
        sla: String? = nil,
        summary: String? = nil
    ) throws(GatewayError) {
        self.name = name
        self.upstream = upstream
        self.prices = prices
        self.passport = passport
        self.isIdempotent = isIdempotent
        self.refundsServerErrors = refundsServerErrors
        self.timeouts = timeouts
        self.requestBodyLimitBytes = requestBodyLimitBytes
        self.rateLimit = rateLimit
        self.accepts = accepts
        self.pass = pass
        self.proxy = proxy
        self.sla = sla
        self.summary = summary
        try validate()
    }

    private func validate() throws(GatewayError) {
        guard Self.isName(name) else {
            throw GatewayError(
                .invalidService,
                "A service's name is 1 to 63 of a-z, 0-9 and -, starting with a letter or digit; \"\(name.prefix(80))\" is not."
            )
        }
        guard (0...Self.maximumBodyBytes).contains(requestBodyLimitBytes) else {
            throw GatewayError(.invalidService, "The request body limit must be 0 to \(Self.maximumBodyBytes) bytes.")
        }
        for (label, text) in [("sla", sla), ("summary", summary)] {
            if let text, text.utf8.count > Self.maximumTextBytes {
                throw GatewayError(.invalidService, "\"\(label)\" has at most \(Self.maximumTextBytes) bytes.")
            }
        }
        guard !prices.rules.isEmpty else {
            throw GatewayError(
                .invalidService,
                "A service needs at least one price rule, such as GET /* at 2 sat (0 is free)."
            )
        }
        try timeouts.validate()
        try rateLimit?.validate()
        try passport?.validate()
        try delegation?.validate()
        try proxy.validate()
        try validateAccepted()
    }

    /// The ways of paying that the gateway takes.
    public static let takenDialects: Set<PaymentDialect> = [.cashu, .paymentCashu, .l402, .paymentLightning]

    func validateAccepted() throws(GatewayError) {
        try pass?.validate()
        try discovery?.validate()
        try listing?.validate()
        try validateRefunds()
        guard listing?.escrow.isEmpty ?? true || (passport == nil && delegation == nil) else {
            throw GatewayError(
                .invalidService,
                "A service that asks for passports or delegations is not sold by escrow yet: nobody would show them."
            )
        }
        try session?.validate()
        guard session == nil || accepts?.contains(.paymentSession) == true else {
            throw GatewayError(
                .invalidService,
                "What a session takes is said of a service that accepts payment-session."
            )
        }
        guard let accepts else { return }
        let untaken = accepts.subtracting(Self.takenDialects).subtracting(PaymentDialect.overX402)
            .subtracting([.paymentSession]).map(\.rawValue).sorted()
        guard untaken.isEmpty else {
            throw GatewayError(
                .invalidService,
                "This node does not take \(untaken.joined(separator: ", ")) yet; it takes cashu, payment-cashu, l402,"
                    + " payment-lightning and payment-session."
            )
        }
        guard !accepts.isEmpty else {
            throw GatewayError(.invalidService, "A service accepts at least one way to pay, such as cashu.")
        }
        if pass != nil {
            guard accepts.contains(.l402), !accepts.contains(.paymentLightning) else {
                throw GatewayError(
                    .invalidService,
                    "A pass is sold over l402 alone: accept l402, and not payment-lightning, which buys one call."
                )
            }
        }
    }

    /// Whether `text` can name a service.
    public static func isName(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        return (1...63).contains(bytes.count) && bytes.first != UInt8(ascii: "-")
            && bytes.allSatisfy { byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "-")
            }
    }
}

/// Who may call a service.
public struct PassportRequirement: Sendable, Equatable {
    /// The `did:key`s whose passports count; at least one.
    public var trustedIssuers: [String]
    /// A capability the passport must name; nil for none.
    public var capability: String?
    /// How old the issuer's status list may be, in seconds.
    public var maximumStatusAgeSeconds: Int64

    public init(trustedIssuers: [String], capability: String? = nil, maximumStatusAgeSeconds: Int64 = 60) {
        self.trustedIssuers = trustedIssuers
        self.capability = capability
        self.maximumStatusAgeSeconds = maximumStatusAgeSeconds
    }

    func validate() throws(GatewayError) {
        guard (1...64).contains(trustedIssuers.count) else {
            throw GatewayError(.invalidService, "A required passport needs 1 to 64 trusted issuers (did:key:…).")
        }
        for issuer in trustedIssuers where !issuer.hasPrefix("did:key:") || issuer.utf8.count > 256 {
            throw GatewayError(.invalidService, "The trusted issuer \"\(issuer.prefix(80))\" is no did:key.")
        }
        if let capability, capability.isEmpty || capability.utf8.count > 128 {
            throw GatewayError(.invalidService, "A capability has 1 to 128 bytes.")
        }
        guard (1...86_400).contains(maximumStatusAgeSeconds) else {
            throw GatewayError(.invalidService, "The status list's maximum age must be 1 to 86400 seconds.")
        }
    }
}

/// How long a call may take.
public struct CallTimeouts: Sendable, Equatable {
    /// To connect to the upstream, 1 to 60 s.
    public var connectSeconds: Int64
    /// Between two pieces of the upstream's answer, 1 to 3600 s.
    public var idleSeconds: Int64
    /// For the whole call, 1 s to 6 h.
    public var totalSeconds: Int64

    public init(connectSeconds: Int64 = 5, idleSeconds: Int64 = 30, totalSeconds: Int64 = 300) {
        self.connectSeconds = connectSeconds
        self.idleSeconds = idleSeconds
        self.totalSeconds = totalSeconds
    }

    func validate() throws(GatewayError) {
        guard (1...60).contains(connectSeconds), (1...3600).contains(idleSeconds), (1...21_600).contains(totalSeconds)
        else {
            throw GatewayError(
                .invalidService,
                "Time-outs: connect 1 to 60 s, idle 1 to 3600 s, total 1 to 21600 s."
            )
        }
    }
}

/// A token bucket: `burst` calls at once, refilled at `perSecond`.
public struct RateLimit: Sendable, Equatable {
    /// 1 to 1,000,000.
    public var perSecond: Int64
    /// 1 to 1,000,000.
    public var burst: Int64

    public init(perSecond: Int64, burst: Int64) {
        self.perSecond = perSecond
        self.burst = burst
    }

    func validate() throws(GatewayError) {
        guard (1...1_000_000).contains(perSecond), (1...1_000_000).contains(burst) else {
            throw GatewayError(.invalidService, "A rate limit needs perSecond and burst between 1 and 1000000.")
        }
    }
}

/// The address of an upstream: scheme, host, port and a path that is put before the call's.
public struct UpstreamAddress: Sendable, Equatable, CustomStringConvertible {
    public let isTLS: Bool
    /// Lower case; an IPv6 address in brackets.
    public let host: String
    public let port: Int
    /// Without trailing slash; empty or starting with `/`.
    public let basePath: String

    /// Reads `http(s)://host[:port][/path]`, at most 2048 bytes, without user information, query or fragment.
    public init(_ text: String) throws(GatewayError) {
        func bad(_ why: String) -> GatewayError {
            GatewayError(.invalidService, "The upstream \"\(text.prefix(120))\" \(why), such as http://127.0.0.1:9000.")
        }
        guard text.utf8.count <= 2048, text.utf8.allSatisfy({ (0x21...0x7e).contains($0) && $0 != 0x5c }) else {
            throw bad("is not an address")
        }
        var rest = Substring(text)
        let lower = text.lowercased()
        if lower.hasPrefix("http://") {
            isTLS = false
            rest = rest.dropFirst(7)
        } else if lower.hasPrefix("https://") {
            isTLS = true
            rest = rest.dropFirst(8)
        } else {
            throw bad("must start with http:// or https://")
        }
        guard !rest.contains(where: { "?#@".contains($0) }) else {
            throw bad("must have no user, query or fragment")
        }
        let authority = rest.prefix { $0 != "/" }
        var path = rest.dropFirst(authority.count)
        while path.hasSuffix("/") { path.removeLast() }
        if !path.isEmpty {
            do {
                _ = try RequestPath(path)
            } catch {
                throw bad("has a path that can't be used: \(error.message)")
            }
        }
        basePath = String(path)
        let (name, number) = Self.splitPort(authority)
        guard !name.isEmpty else { throw bad("names no host") }
        host = name.lowercased()
        if let number {
            guard let value = Int(number), (1...65_535).contains(value),
                number.utf8.allSatisfy({ (48...57).contains($0) })
            else { throw bad("has a port that does not exist") }
            port = value
        } else {
            port = isTLS ? 443 : 80
        }
    }

    private static func splitPort(_ authority: Substring) -> (host: String, port: String?) {
        if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
            let host = String(authority[...end])
            let tail = authority[authority.index(after: end)...]
            if tail.isEmpty { return (host, nil) }
            return tail.hasPrefix(":") ? (host, String(tail.dropFirst())) : ("", nil)
        }
        let parts = authority.split(separator: ":", omittingEmptySubsequences: false)
        switch parts.count {
        case 1: return (String(parts[0]), nil)
        case 2: return (String(parts[0]), String(parts[1]))
        default: return ("", nil)
        }
    }

    /// Scheme, host, and port where it is not the scheme's own.
    public var origin: String {
        let scheme = isTLS ? "https" : "http"
        return port == (isTLS ? 443 : 80) ? "\(scheme)://\(host)" : "\(scheme)://\(host):\(port)"
    }

    /// What goes into `Host`.
    public var authority: String { port == (isTLS ? 443 : 80) ? host : "\(host):\(port)" }

    public var description: String { origin + basePath }
}
