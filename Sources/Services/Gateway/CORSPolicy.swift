internal import HTTPTypes
internal import Hummingbird
internal import Paywall

/// Which web pages may call a service, and read what a paying client must read ([GWY-4], Fetch standard, 3.2).
public struct CORSPolicy: Sendable, Equatable {
    /// `*`, or origins such as `https://shop.example`.
    public var origins: [String]

    public static let maximumOrigins = 64

    public init(origins: [String]) {
        self.origins = origins
    }

    /// Every page may call. Cookies and other credentials of the browser are never let through.
    public static let anybody = CORSPolicy(origins: ["*"])

    func validate() throws(GatewayError) {
        guard (1...Self.maximumOrigins).contains(origins.count) else {
            throw GatewayError(.invalidService, "\"cors\" names * or 1 to \(Self.maximumOrigins) origins.")
        }
        guard origins != ["*"] else { return }
        for origin in origins where !Self.isOrigin(origin) {
            throw GatewayError(
                .invalidService,
                "\"\(origin.prefix(120))\" is no origin: write it as a browser does, such as https://shop.example, or * alone."
            )
        }
    }

    /// As browsers write it: scheme and host in small letters, a port only where it is not the scheme's own.
    private static func isOrigin(_ text: String) -> Bool {
        guard let address = try? UpstreamAddress(text) else { return false }
        return text.utf8.count <= 300 && address.basePath.isEmpty && address.origin == text
    }

    /// What `Access-Control-Allow-Origin` says to a page; nil where it may not call.
    func allowed(_ origin: String) -> String? {
        if origins == ["*"] { return "*" }
        return origins.contains(origin) ? origin : nil
    }

    /// What a page may send besides what it asks for: everything that a paying client sends.
    static let requestFields = [
        "Accept", "Accept-Payment", "Agent-Delegation", "Agent-Passport", "Authorization", "Content-Digest",
        "Content-Type", "Idempotency-Key", "PAYMENT-SIGNATURE", "Signature", "Signature-Input", "X-Cashu", "X-PAYMENT",
    ]

    /// What a page may read: everything that a paying client reads.
    static let answerFields = [
        "Agent-Receipt", "Agent-Receipt-ID", "Content-Digest", "Idempotent-Replayed", "PAYMENT-REQUIRED",
        "PAYMENT-RESPONSE", "Payment-Receipt", "Retry-After", "WWW-Authenticate", "X-Cashu", "X-PAYMENT-RESPONSE",
    ]

    private static let maximumAskedFields = 64
    /// How long a browser may keep the answer to a preflight, in seconds.
    private static let maximumAgeSeconds = 600

    /// Whether a request is a browser's question beforehand.
    static func isPreflight(_ request: Request) -> Bool {
        request.method == .options && request.headers[.origin] != nil
            && request.headers[.accessControlRequestMethod] != nil
    }

    /// Answers a preflight: it is not forwarded and costs nothing.
    /// - Parameter methods: what is for sale on the path; nil for every method.
    func preflight(_ request: Request, methods: Set<String>?) throws(CallRefusal) -> Response {
        guard let origin = request.headers[.origin], let allowed = allowed(origin) else {
            throw CallRefusal(
                CallRefusal.Code(rawValue: "origin-not-allowed"),
                status: 403,
                "The seller does not let pages of this origin call the service."
            )
        }
        guard let asked = request.headers[.accessControlRequestMethod], asked.utf8.count <= 32,
            HTTPRequest.Method(asked) != nil
        else { throw CallRefusal(.malformedRequest, "Access-Control-Request-Method names no method.") }
        var names = Self.requestFields
        var known = Set(names.map { $0.lowercased() })
        let wanted = (request.headers[.accessControlRequestHeaders] ?? "").split(separator: ",")
        guard wanted.count <= Self.maximumAskedFields else {
            throw CallRefusal(.malformedRequest, "Access-Control-Request-Headers names more than 64 fields.")
        }
        for part in wanted {
            let name = part.filter { $0 != " " && $0 != "\t" }
            guard name.utf8.count <= 64, HTTPField.Name(name) != nil else {
                throw CallRefusal(.malformedRequest, "Access-Control-Request-Headers names what is no field.")
            }
            if known.insert(name.lowercased()).inserted { names.append(name) }
        }
        var offered = methods ?? [asked]
        if offered.contains("GET") { offered.insert("HEAD") }
        return Response(
            status: .noContent,
            headers: [
                .accessControlAllowOrigin: allowed,
                .accessControlAllowMethods: offered.sorted().joined(separator: ", "),
                .accessControlAllowHeaders: names.joined(separator: ", "),
                .accessControlMaxAge: String(Self.maximumAgeSeconds),
                .vary: "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
                .cacheControl: "no-store",
            ]
        )
    }

    /// Opens an answer to the page that asked. The upstream's own fields of this kind are dropped: two policies would make
    /// one that nobody wrote.
    func open(_ response: inout Response, to request: Request) {
        for name in Self.upstreamFields { response.headers[name] = nil }
        if origins != ["*"] {
            let vary = response.headers[.vary]
            response.headers[.vary] = vary.map { $0.contains("*") ? $0 : "\($0), Origin" } ?? "Origin"
        }
        guard let origin = request.headers[.origin], let allowed = allowed(origin) else { return }
        response.headers[.accessControlAllowOrigin] = allowed
        var names = Self.answerFields
        var known = Set(names.map { $0.lowercased() } + ["set-cookie"])
        for field in response.headers where known.insert(field.name.canonicalName).inserted {
            names.append(field.name.rawName)
        }
        response.headers[.accessControlExposeHeaders] = names.joined(separator: ", ")
    }

    private static let upstreamFields: [HTTPField.Name] = [
        .accessControlAllowOrigin, .accessControlAllowMethods, .accessControlAllowHeaders, .accessControlMaxAge,
        .accessControlExposeHeaders, .accessControlAllowCredentials,
    ]
}
