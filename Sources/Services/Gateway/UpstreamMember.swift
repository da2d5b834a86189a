import AsyncHTTPClient
import CanonicalJSON
import Glibc
import Logging
import Metrics
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// One upstream of a service: its connections, pinned to an address that was judged, and what is known of its health.
final class UpstreamMember: Sendable {
    /// How long an answer or a look counts as a sign of life, in seconds.
    static let freshSeconds: Int64 = 5
    private static let lookSeconds: Int64 = 2

    private struct State {
        var circuit: Circuit
        var inFlight = 0
        var aliveAt: NIODeadline?
        /// The verdict of the active checks; nil where there was none.
        var isWell: Bool?
        var failedChecks: Int64 = 0
        var client: HTTPClient?
        var pinned: IPAddress?
        /// Clients of addresses that were given up; closed with the rest.
        var retired: [HTTPClient] = []
        var look: Task<Bool, Never>?
        var lastError: String?
        var isShutDown = false
    }

    let address: UpstreamAddress
    private let service: ServiceDefinition
    private let group: any EventLoopGroup
    private let policy: UpstreamPolicy
    private let logger: Logger
    private let state: Mutex<State>
    private let up: Meter
    private let openings: Counter

    init(
        _ address: UpstreamAddress,
        service: ServiceDefinition,
        group: any EventLoopGroup,
        policy: UpstreamPolicy,
        logger: Logger
    ) {
        self.address = address
        self.service = service
        self.group = group
        self.policy = policy
        self.logger = logger
        state = Mutex(State(circuit: Circuit(rules: service.proxy.breaker)))
        let labels = [("service", service.name), ("upstream", address.description)]
        up = Meter(label: "mintmark_gateway_upstream_up", dimensions: labels)
        openings = Counter(label: "mintmark_gateway_circuit_opened_total", dimensions: labels)
        up.set(1)
    }

    // MARK: What is known

    enum Standing: Sendable, Equatable {
        /// It answered a moment ago.
        case fresh
        /// It may be there; a look shows.
        case stale
        /// One call is let through to see.
        case trial
        case down(secondsLeft: Int)
    }

    func standing(now: NIODeadline) -> Standing {
        state.withLock { state in
            if service.proxy.healthCheck != nil, state.isWell == false {
                return .down(secondsLeft: Int(service.proxy.healthCheck?.intervalSeconds ?? 1))
            }
            switch state.circuit.state {
            case .open(let until) where until > now:
                return .down(secondsLeft: max(1, Int((until - now).nanoseconds / 1_000_000_000)))
            case .open: return .stale
            case .halfOpen: return state.inFlight == 0 ? .trial : .down(secondsLeft: 1)
            case .closed:
                guard let alive = state.aliveAt, now - alive < .seconds(Self.freshSeconds) else { return .stale }
                return .fresh
            }
        }
    }

    var inFlight: Int { state.withLock { $0.inFlight } }

    var json: JSONValue {
        state.withLock { state in
            let word =
                switch state.circuit.state {
                case .open: "open"
                case .halfOpen: "half-open"
                case .closed: state.isWell == false ? "unwell" : "closed"
                }
            var object: JSONObject = [
                "address": .string(address.description), "circuit": .string(word),
                "inFlight": .integer(Int64(state.inFlight)), "failures": .integer(state.circuit.failures),
            ]
            object["pinned"] = state.pinned.map { .string($0.description) }
            object["isWell"] = state.isWell.map { .bool($0) }
            object["lastError"] = state.lastError.map { .string($0) }
            return .object(object)
        }
    }

    func enter() -> UpstreamLease {
        state.withLock { $0.inFlight += 1 }
        return UpstreamLease { [weak self] in self?.state.withLock { $0.inFlight -= 1 } }
    }

    // MARK: What happens

    func answered() {
        let now = NIODeadline.now()
        let wasClosed = state.withLock { state in
            defer { state.circuit.answered() }
            state.aliveAt = now
            return state.circuit.state == .closed
        }
        if !wasClosed { tell(isUp: true) }
    }

    /// A call reached it, and it did not answer.
    func failed(_ why: String) { note(why) { $0.circuit.failed(now: .now()) } }

    /// It can't be reached. A name is looked up anew, and judged anew, before it is tried again.
    func unreachable(_ why: String) {
        note(why) { state in
            if let client = state.client, IPAddress(address.bareHost) == nil {
                state.retired.append(client)
                (state.client, state.pinned) = (nil, nil)
            }
            return state.circuit.unreachable(now: .now())
        }
    }

    private func note(_ why: String, _ change: (inout State) -> Bool) {
        let hasOpened = state.withLock { state in
            state.aliveAt = nil
            state.lastError = why
            return change(&state)
        }
        guard hasOpened else { return }
        openings.increment()
        tell(isUp: false, why)
    }

    private func tell(isUp: Bool, _ why: String? = nil) {
        up.set(Int64(isUp ? 1 : 0))
        logger.notice(
            isUp ? "an upstream is there again" : "an upstream gets no calls",
            metadata: ["service": "\(service.name)", "upstream": "\(address)", "why": "\(why ?? "-")"]
        )
    }

    // MARK: Looking

    /// Looks whether it is there; several who ask at once share one look.
    func look() async -> Bool {
        let task = state.withLock { state in
            if let look = state.look { return look }
            let task = Task {
                let isThere = await self.lookOnce()
                self.state.withLock { $0.look = nil }
                return isThere
            }
            state.look = task
            return task
        }
        return await task.value
    }

    private func lookOnce() async -> Bool {
        if service.proxy.healthCheck != nil { return await check() }
        do {
            try await connect()
        } catch {
            unreachable(Self.text(error))
            return false
        }
        let isBack = state.withLock { state in
            let wasClosed = state.circuit.state == .closed
            state.circuit.reachable()
            state.aliveAt = .now()
            return !wasClosed && state.circuit.state == .closed
        }
        if isBack { tell(isUp: true) }
        return true
    }

    /// Asks whether it is well, as the service's health check says.
    @discardableResult
    func check() async -> Bool {
        guard let rules = service.proxy.healthCheck else { return true }
        do {
            var request = HTTPClientRequest(url: address.description + rules.path)
            request.headers.add(name: "User-Agent", value: "mintmark-health")
            let client = try await client()
            let response = try await client.execute(request, timeout: .seconds(rules.timeoutSeconds))
            guard (200...399).contains(response.status.code) else {
                throw UpstreamLookup.Failure(description: "the health check was answered \(response.status.code)")
            }
        } catch {
            let why = Self.text(error)
            let isNew = state.withLock { state in
                state.lastError = why
                state.failedChecks += 1
                // Before anything is known one failure is enough.
                guard state.failedChecks >= rules.failures || state.isWell == nil else { return false }
                defer { state.isWell = false }
                return state.isWell != false
            }
            if isNew { tell(isUp: false, why) }
            return state.withLock { $0.isWell ?? false }
        }
        let isBack = state.withLock { state in
            defer { state.isWell = true }
            state.failedChecks = 0
            state.circuit.reachable()
            state.aliveAt = .now()
            return state.isWell == false
        }
        if isBack { tell(isUp: true) }
        return true
    }

    private static func text(_ error: any Error) -> String { String("\(error)".prefix(300)) }

    // MARK: Connections

    /// The client whose connections go to the pinned address.
    func client() async throws -> HTTPClient {
        if let client = state.withLock({ $0.client }) { return client }
        let address = try await pin()
        return try state.withLock { state in
            if let client = state.client { return client }
            guard !state.isShutDown else { throw UpstreamLookup.Failure(description: "the service was removed") }
            let made = makeClient(address)
            (state.client, state.pinned) = (made, address)
            return made
        }
    }

    /// Where connections go: the first judged address that takes one, or the first.
    func pin() async throws -> IPAddress {
        if let pinned = state.withLock({ $0.pinned }) { return pinned }
        let found = try await UpstreamLookup.addresses(of: address.bareHost, policy: policy)
        guard found.count > 1 else { return found[0] }
        for address in found where (try? await connect(to: address)) != nil { return address }
        return found[0]
    }

    private func connect() async throws {
        try await connect(to: try await pin())
    }

    private func connect(to ip: IPAddress) async throws {
        let channel = try await ClientBootstrap(group: group)
            .connectTimeout(.seconds(min(service.timeouts.connectSeconds, Self.lookSeconds)))
            .connect(to: SocketAddress(ipAddress: ip.description, port: address.port)).get()
        channel.close(promise: nil)
    }

    private func makeClient(_ pinned: IPAddress) -> HTTPClient {
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow,
            timeout: .init(
                connect: .seconds(service.timeouts.connectSeconds),
                read: .seconds(service.timeouts.idleSeconds),
                // A client that stops in the middle of its body is noticed first, and told so.
                write: .seconds(service.timeouts.idleSeconds + 3)
            ),
            decompression: .disabled
        )
        // A retried connection would eat the call's time without telling; a kept one older than most servers keep theirs
        // would fail the call.
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.connectionPool.idleTimeout = .seconds(4)
        // As many as there may be calls: event streams stay.
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 65_536
        configuration.httpVersion = .http1Only
        // Nobody reads spans of these calls yet, and gathering their attributes costs as much as signing the receipt.
        configuration.tracing.tracer = nil
        if IPAddress(address.bareHost) == nil { configuration.dnsOverride = [address.host: pinned.description] }
        return HTTPClient(eventLoopGroup: group, configuration: configuration, backgroundActivityLogger: logger)
    }

    func shutdown() async {
        let (clients, look) = state.withLock { state in
            state.isShutDown = true
            defer { (state.client, state.retired) = (nil, []) }
            return (state.retired + (state.client.map { [$0] } ?? []), state.look)
        }
        _ = await look?.value
        for client in clients { try? await client.shutdown() }
    }
}

/// A call under way at an upstream; ends when nobody holds it any more.
final class UpstreamLease: Sendable {
    private let end: @Sendable () -> Void

    init(_ end: @escaping @Sendable () -> Void) {
        self.end = end
    }

    deinit { end() }
}
