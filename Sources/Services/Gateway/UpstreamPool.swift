import AsyncHTTPClient
import CanonicalJSON
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Paywall
import Synchronization
import WebClient

/// The upstreams of one service ([GWY-6] to [GWY-9]).
final class UpstreamPool: Sendable {
    let members: [UpstreamMember]
    let service: ServiceDefinition
    private let group: any EventLoopGroup
    private let turn = Atomic<Int>(0)
    private let checks = Mutex<Task<Void, Never>?>(nil)

    init(service: ServiceDefinition, group: any EventLoopGroup, policy: UpstreamPolicy, logger: Logger) {
        members = service.upstreams.map {
            UpstreamMember($0, service: service, group: group, policy: policy, logger: logger)
        }
        self.service = service
        self.group = group
    }

    /// For the operator.
    var states: JSONValue { .array(members.map(\.json)) }

    // MARK: Health

    /// Begins the active checks, where the service has any.
    func start() {
        guard let rules = service.proxy.healthCheck else { return }
        let members = members
        let task = Task {
            while !Task.isCancelled {
                await withDiscardingTaskGroup { group in
                    for member in members { group.addTask { await member.check() } }
                }
                try? await Task.sleep(for: .seconds(rules.intervalSeconds))
            }
        }
        checks.withLock { $0 = task }
    }

    func stop() {
        checks.withLock { task in
            defer { task = nil }
            return task
        }?.cancel()
    }

    /// Why no call can be made now; nil where an upstream is there ([GWY-8]). What answered a moment ago is not asked again.
    func unavailability() async -> CallRefusal? {
        let now = NIODeadline.now()
        var soonest = Int.max
        var stale: [UpstreamMember] = []
        for member in members {
            switch member.standing(now: now) {
            case .fresh, .trial: return nil
            case .stale: stale.append(member)
            case .down(let seconds): soonest = min(soonest, seconds)
            }
        }
        for member in stale where await member.look() { return nil }
        if !stale.isEmpty { soonest = min(soonest, Int(service.proxy.breaker.openSeconds)) }
        return CallRefusal(
            .upstreamUnavailable,
            status: 503,
            "The service is not there now; nothing was taken. Try again in \(soonest) s.",
            retryAfterSeconds: soonest
        )
    }

    /// Who gets the next call, the most likely first: what is well before what is tried, and in turn or by how busy it is.
    func candidates() -> [UpstreamMember] {
        guard members.count > 1 else { return members }
        let now = NIODeadline.now()
        let first = turn.wrappingAdd(1, ordering: .relaxed).oldValue
        let turned = members.indices.map { members[($0 &+ first).magnitudeModulo(members.count)] }
        var ready: [UpstreamMember] = []
        var trials: [UpstreamMember] = []
        for member in turned {
            switch member.standing(now: now) {
            case .fresh, .stale: ready.append(member)
            case .trial: trials.append(member)
            case .down: break
            }
        }
        if service.proxy.balance == .leastBusy {
            let busy = ready.map { ($0, $0.inFlight) }
            ready = busy.enumerated().sorted { ($0.element.1, $0.offset) < ($1.element.1, $1.offset) }.map(\.element.0)
        }
        return trials.prefix(1) + ready
    }

    // MARK: Calls

    /// Calls an upstream and returns once its headers are here. One that can't be reached got nothing, so the next is
    /// tried; one that may have got the request is not followed by another, unless the service says that this does no harm.
    /// - Throws: ``UpstreamFailure``.
    func call(_ call: ProxiedRequest) async throws(UpstreamFailure) -> UpstreamAnswer {
        let deadline = NIODeadline.now() + .seconds(service.timeouts.totalSeconds)
        var last = UpstreamFailure.failed("it can't be reached.")
        for member in candidates() {
            do {
                return try await self.call(call, at: member, deadline: deadline)
            } catch let attempt as Attempt {
                last = UpstreamFailure(attempt.error)
                guard attempt.mayTryAnother, NIODeadline.now() < deadline else { break }
            } catch {
                throw UpstreamFailure(error)
            }
        }
        throw last
    }

    private struct Attempt: Error {
        var error: any Error
        var mayTryAnother: Bool
    }

    private func call(
        _ call: ProxiedRequest,
        at member: UpstreamMember,
        deadline: NIODeadline
    ) async throws -> UpstreamAnswer {
        let lease = member.enter()
        do {
            let client = try await member.client()
            let request = request(call, to: member.address)
            let response = try await execute(request, by: client, deadline: deadline, mayRepeat: mayRepeat(call))
            member.answered()
            return try answer(response, to: call, deadline: deadline, lease: lease)
        } catch {
            var isLong = false
            if case .long = call.body { isLong = true }
            let known = error as? HTTPClientError
            if error is NIOConnectionError || error is UpstreamLookup.Failure || known == .connectTimeout {
                member.unreachable("\(error)")
                throw Attempt(error: error, mayTryAnother: !isLong)
            }
            // The caller's own doing is nothing against the upstream.
            let isOurs = error is CallRefusal || error is CancellationError || known == .cancelled
            guard !(error is UpstreamFailure), !isOurs, !(isLong && known == .deadlineExceeded) else { throw error }
            member.failed("\(error)")
            throw Attempt(error: error, mayTryAnother: mayRepeat(call))
        }
    }

    private func request(_ call: ProxiedRequest, to address: UpstreamAddress) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: address.description + call.target)
        request.method = HTTPMethod(rawValue: call.method)
        for (name, value) in HeaderRules.forwarded(call.headers) { request.headers.add(name: name, value: value) }
        for (name, value) in call.added { request.headers.add(name: name, value: value) }
        switch call.body {
        case .none:
            // A method that usually has a body says that it has none, so that no server waits for one.
            if ["POST", "PUT", "PATCH"].contains(call.method) { request.body = .bytes(ByteBuffer()) }
        case .whole(let buffer, _): request.body = .bytes(buffer)
        case .long(let body):
            let paced = PacedBody(body.stream, group: group)
            request.body = .stream(paced, length: body.declaredLength.map { .known($0) } ?? .unknown)
        }
        return request
    }

    private func answer(
        _ response: HTTPClientResponse,
        to call: ProxiedRequest,
        deadline: NIODeadline,
        lease: UpstreamLease
    ) throws(UpstreamFailure) -> UpstreamAnswer {
        let status = Int(response.status.code)
        guard (200...599).contains(status) else {
            throw UpstreamFailure.failed("its answer has the status \(status).")
        }
        let isBodyless = call.method == "HEAD" || status == 204 || status == 304
        let announced = response.headers["content-length"]
        return UpstreamAnswer(
            status: status,
            headers: response.headers.map { ($0.name, $0.value) },
            length: isBodyless ? 0 : announced.count == 1 ? Int(announced[0]) : nil,
            body: response.body,
            deadline: deadline,
            lease: lease
        )
    }

    /// Whether an upstream may see the request twice.
    private func mayRepeat(_ call: ProxiedRequest) -> Bool {
        if case .long = call.body { return false }
        return service.isIdempotent
    }

    /// A kept connection that the upstream closed just now fails the request that takes it: where the service may be
    /// called twice, that request is sent once more.
    private func execute(
        _ request: HTTPClientRequest,
        by client: HTTPClient,
        deadline: NIODeadline,
        mayRepeat: Bool
    ) async throws -> HTTPClientResponse {
        do {
            return try await client.execute(request, deadline: deadline)
        } catch let error as HTTPClientError where error == .remoteConnectionClosed && mayRepeat {
            return try await client.execute(request, deadline: deadline)
        }
    }

    func shutdown() async {
        stop()
        for member in members { await member.shutdown() }
    }
}

extension CallRefusal.Code {
    /// 503: no upstream of the service is there; nothing was taken.
    static let upstreamUnavailable = CallRefusal.Code(rawValue: "upstream-unavailable")
    /// 408: the request did not come in time.
    static let requestTimeout = CallRefusal.Code(rawValue: "request-timeout")
}

extension Int {
    /// The remainder that is never negative.
    fileprivate func magnitudeModulo(_ divisor: Int) -> Int {
        let rest = self % divisor
        return rest < 0 ? rest + divisor : rest
    }
}
