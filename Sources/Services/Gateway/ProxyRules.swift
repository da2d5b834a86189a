internal import CanonicalJSON

/// How a service stands before the world and before its upstreams, besides its name and its prices.
public struct ProxyRules: Sendable, Equatable {
    /// Hosts whose every path is the service's, such as `weather.example`, besides `/s/<name>/` ([GWY-1]).
    public var hosts: [String]
    /// The web pages that may call; nil where the upstream's own CORS fields are passed on ([GWY-4]).
    public var cors: CORSPolicy?
    /// Further upstreams besides the first ([GWY-6]).
    public var moreUpstreams: [UpstreamAddress]
    public var balance: UpstreamBalance
    /// How upstreams are asked whether they are well; nil for a look at whether they take connections.
    public var healthCheck: HealthCheck?
    public var breaker: BreakerRules
    /// How WebSockets are sold; nil where they are not passed on.
    public var webSockets: WebSocketRules?

    public static let maximumHosts = 16
    public static let maximumUpstreams = 32

    public init(
        hosts: [String] = [],
        cors: CORSPolicy? = nil,
        moreUpstreams: [UpstreamAddress] = [],
        balance: UpstreamBalance = .roundRobin,
        healthCheck: HealthCheck? = nil,
        breaker: BreakerRules = BreakerRules(),
        webSockets: WebSocketRules? = nil
    ) {
        self.hosts = hosts
        self.cors = cors
        self.moreUpstreams = moreUpstreams
        self.balance = balance
        self.healthCheck = healthCheck
        self.breaker = breaker
        self.webSockets = webSockets
    }

    func validate() throws(GatewayError) {
        guard hosts.count <= Self.maximumHosts, Set(hosts).count == hosts.count else {
            throw GatewayError(.invalidService, "A service has at most \(Self.maximumHosts) hosts, each named once.")
        }
        for host in hosts where !ServiceHost.isHost(host) {
            throw GatewayError(
                .invalidService,
                "\"\(host.prefix(120))\" is no host of a service: it is a DNS name in small letters, such as weather.example."
            )
        }
        guard moreUpstreams.count < Self.maximumUpstreams else {
            throw GatewayError(.invalidService, "A service has at most \(Self.maximumUpstreams) upstreams.")
        }
        try cors?.validate()
        try healthCheck?.validate()
        try breaker.validate()
        try webSockets?.validate()
    }
}

/// Which of several upstreams gets a call.
public enum UpstreamBalance: String, Sendable, Hashable, CaseIterable {
    case roundRobin = "round-robin"
    /// The one with the fewest calls under way.
    case leastBusy = "least-busy"
}

/// How an upstream is asked whether it is well: GET of a path, answered with 200 to 399.
public struct HealthCheck: Sendable, Equatable {
    /// Below the upstream's address.
    public var path: String
    /// 1 to 3600 s.
    public var intervalSeconds: Int64
    /// 1 to 60 s.
    public var timeoutSeconds: Int64
    /// How many checks in a row fail before it gets no calls; 1 to 100. One that succeeds brings it back.
    public var failures: Int64

    public init(path: String, intervalSeconds: Int64 = 10, timeoutSeconds: Int64 = 2, failures: Int64 = 2) {
        self.path = path
        self.intervalSeconds = intervalSeconds
        self.timeoutSeconds = timeoutSeconds
        self.failures = failures
    }

    func validate() throws(GatewayError) {
        guard path.hasPrefix("/"), path.utf8.count <= 2048, path.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw GatewayError(.invalidService, "A health check asks for a path, such as /health.")
        }
        guard (1...3600).contains(intervalSeconds), (1...60).contains(timeoutSeconds), (1...100).contains(failures)
        else {
            throw GatewayError(
                .invalidService,
                "A health check has an interval of 1 to 3600 s, a time-out of 1 to 60 s and 1 to 100 failures."
            )
        }
    }
}

/// When an upstream gets no more calls because calls failed ([GWY-7]).
public struct BreakerRules: Sendable, Equatable {
    /// Calls in a row that were not answered, 1 to 1000.
    public var failures: Int64
    /// For how long at first, 1 to 3600 s; doubled each time it fails again, up to ten times.
    public var openSeconds: Int64

    public init(failures: Int64 = 5, openSeconds: Int64 = 2) {
        self.failures = failures
        self.openSeconds = openSeconds
    }

    func validate() throws(GatewayError) {
        guard (1...1000).contains(failures), (1...3600).contains(openSeconds) else {
            throw GatewayError(.invalidService, "A breaker opens after 1 to 1000 failures, for 1 to 3600 s.")
        }
    }
}

// MARK: JSON

extension ProxyRules {
    /// The members of a service's JSON that are read here.
    static let members: Set<String> = [
        "hosts", "cors", "moreUpstreams", "balance", "healthCheck", "breaker", "webSockets",
    ]

    init(members object: JSONObject) throws {
        self.init(
            hosts: try Self.texts(object, "hosts") ?? [],
            cors: try Self.texts(object, "cors").map { CORSPolicy(origins: $0) },
            moreUpstreams: try (Self.texts(object, "moreUpstreams") ?? []).map { try UpstreamAddress($0) },
            balance: try object.optionalString("balance").map(Self.balance) ?? .roundRobin,
            healthCheck: try object.optionalObject("healthCheck").map(Self.healthCheck),
            breaker: try object.optionalObject("breaker").map(Self.breaker) ?? BreakerRules(),
            webSockets: try object.optionalObject("webSockets").map(WebSocketRules.init(json:))
        )
    }

    /// Leaves out what is as usual, so that an earlier version of this program can read it.
    func write(to object: inout JSONObject) {
        func list(_ texts: [String]) -> JSONValue? { texts.isEmpty ? nil : .array(texts.map { .string($0) }) }
        object["hosts"] = list(hosts)
        object["cors"] = cors.flatMap { list($0.origins) }
        object["moreUpstreams"] = list(moreUpstreams.map(\.description))
        if balance != .roundRobin { object["balance"] = .string(balance.rawValue) }
        if let healthCheck {
            object["healthCheck"] = .object([
                "path": .string(healthCheck.path), "intervalSeconds": .integer(healthCheck.intervalSeconds),
                "timeoutSeconds": .integer(healthCheck.timeoutSeconds), "failures": .integer(healthCheck.failures),
            ])
        }
        object["webSockets"] = webSockets?.json
        if breaker != BreakerRules() {
            object["breaker"] = .object([
                "failures": .integer(breaker.failures), "openSeconds": .integer(breaker.openSeconds),
            ])
        }
    }

    static func texts(_ object: JSONObject, _ name: String) throws -> [String]? {
        try object.optionalArray(name).map { values in
            try values.map { value in
                guard let text = value.stringValue else {
                    throw GatewayError(.invalidService, "\"\(name)\" holds text.")
                }
                return text
            }
        }
    }

    private static func balance(_ text: String) throws -> UpstreamBalance {
        guard let balance = UpstreamBalance(rawValue: text) else {
            throw GatewayError(.invalidService, "\"balance\" is round-robin or least-busy.")
        }
        return balance
    }

    private static func healthCheck(_ object: JSONObject) throws -> HealthCheck {
        try ServiceDefinition.refuseUnknown(
            object,
            known: ["path", "intervalSeconds", "timeoutSeconds", "failures"],
            in: "a health check"
        )
        let usual = HealthCheck(path: try object.string("path"))
        return HealthCheck(
            path: usual.path,
            intervalSeconds: try object.optionalInt64("intervalSeconds") ?? usual.intervalSeconds,
            timeoutSeconds: try object.optionalInt64("timeoutSeconds") ?? usual.timeoutSeconds,
            failures: try object.optionalInt64("failures") ?? usual.failures
        )
    }

    private static func breaker(_ object: JSONObject) throws -> BreakerRules {
        try ServiceDefinition.refuseUnknown(object, known: ["failures", "openSeconds"], in: "a breaker")
        let usual = BreakerRules()
        return BreakerRules(
            failures: try object.optionalInt64("failures") ?? usual.failures,
            openSeconds: try object.optionalInt64("openSeconds") ?? usual.openSeconds
        )
    }
}
