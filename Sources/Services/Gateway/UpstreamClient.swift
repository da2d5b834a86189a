import AsyncHTTPClient
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Paywall
import WebClient

/// What an upstream answered, its body still to be read.
struct UpstreamAnswer: Sendable {
    var status: Int
    var headers: [(name: String, value: String)]
    /// Nil where the upstream did not announce it.
    var length: Int?
    var body: HTTPClientResponse.Body
    /// When the whole call must be over.
    var deadline: NIODeadline
}

/// Why there is no answer, or no whole one.
struct UpstreamFailure: Error, Sendable {
    var refusal: CallRefusal

    static func failed(_ what: String) -> UpstreamFailure {
        UpstreamFailure(refusal: CallRefusal(.upstreamFailed, "The service failed: \(what)"))
    }

    static func timedOut(_ what: String) -> UpstreamFailure {
        UpstreamFailure(refusal: CallRefusal(.upstreamTimeout, "The service took too long: \(what)"))
    }

    /// Says in the caller's words what went wrong; the upstream's address stays out of it.
    init(_ error: any Error) {
        switch error {
        case let failure as UpstreamFailure: self = failure
        case let refusal as CallRefusal: self.init(refusal: refusal)
        case let error as HTTPClientError where error == .connectTimeout:
            self = .timedOut("it did not take the connection.")
        case let error as HTTPClientError where error == .readTimeout:
            self = .timedOut("it stopped sending.")
        case let error as HTTPClientError where error == .deadlineExceeded:
            self = .timedOut("the call's time is over.")
        case let error as HTTPClientError where error == .remoteConnectionClosed:
            self = .failed("it closed the connection before its answer was whole.")
        case let error as HTTPClientError where error == .getConnectionFromPoolTimeout:
            self = .timedOut("all its connections are busy.")
        case is NIOConnectionError:
            self = .failed("it can't be reached.")
        case is HTTPParserError:
            self = .failed("its answer is not HTTP.")
        default:
            self = .failed("the connection to it broke.")
        }
    }

    init(refusal: CallRefusal) {
        self.refusal = refusal
    }
}

/// The connections to one service's upstream.
final class UpstreamClient: Sendable {
    private let client: HTTPClient
    private let service: ServiceDefinition
    private let group: any EventLoopGroup

    init(service: ServiceDefinition, group: any EventLoopGroup, logger: Logger) {
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow,
            timeout: .init(
                connect: .seconds(service.timeouts.connectSeconds),
                read: .seconds(service.timeouts.idleSeconds),
                write: .seconds(service.timeouts.idleSeconds)
            ),
            decompression: .disabled
        )
        // A retried connection would eat the call's time without telling; a kept one older than most servers keep theirs
        // would fail the call.
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.connectionPool.idleTimeout = .seconds(4)
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 512
        configuration.httpVersion = .http1Only
        // Nobody reads spans of these calls yet, and gathering their attributes costs as much as signing the receipt.
        configuration.tracing.tracer = nil
        client = HTTPClient(eventLoopGroup: group, configuration: configuration, backgroundActivityLogger: logger)
        self.service = service
        self.group = group
    }

    /// Calls the upstream and returns once its headers are here.
    /// - Throws: ``UpstreamFailure``.
    func call(_ call: ProxiedRequest) async throws(UpstreamFailure) -> UpstreamAnswer {
        var request = HTTPClientRequest(url: service.upstream.description + call.target)
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
        let deadline = NIODeadline.now() + .seconds(service.timeouts.totalSeconds)
        do {
            let response = try await execute(request, deadline: deadline, mayRepeat: mayRepeat(call))
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
                deadline: deadline
            )
        } catch {
            throw UpstreamFailure(error)
        }
    }

    /// Whether the upstream may see the request twice.
    private func mayRepeat(_ call: ProxiedRequest) -> Bool {
        if case .long = call.body { return false }
        return service.isIdempotent
    }

    /// A kept connection that the upstream closed just now fails the request that takes it: where the service may be
    /// called twice, that request is sent once more.
    private func execute(
        _ request: HTTPClientRequest,
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
        try? await client.shutdown()
    }
}

/// A request on its way to the upstream.
struct ProxiedRequest: Sendable {
    var method: String
    /// Path and query below the service, as the client sent them.
    var target: String
    var headers: HTTPFields
    /// What the gateway itself tells the upstream.
    var added: [(name: String, value: String)]
    var body: IntakeBody
}

extension UpstreamAnswer {
    /// Reads the whole body of an announced length.
    /// - Throws: ``UpstreamFailure`` where it ends early, late, or not in time.
    func collect(limitBytes: Int) async throws(UpstreamFailure) -> ByteBuffer {
        var collected = ByteBuffer()
        do {
            for try await piece in body {
                collected.writeImmutableBuffer(piece)
                guard collected.readableBytes <= limitBytes else {
                    throw UpstreamFailure.failed("its answer is longer than it announced.")
                }
                guard NIODeadline.now() < deadline else { throw UpstreamFailure.timedOut("the call's time is over.") }
            }
        } catch {
            throw UpstreamFailure(error)
        }
        return collected
    }
}
