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
    /// Held while the answer is read: the call is under way at its upstream.
    var lease: UpstreamLease
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
        case let error as HTTPClientError where error == .writeTimeout:
            self = .timedOut("it stopped reading.")
        case let error as HTTPClientError where error == .deadlineExceeded:
            self = .timedOut("the call's time is over.")
        case let error as HTTPClientError where error == .remoteConnectionClosed:
            self = .failed("it closed the connection before its answer was whole.")
        case let error as HTTPClientError where error == .getConnectionFromPoolTimeout:
            self = .timedOut("all its connections are busy.")
        case is NIOConnectionError, is UpstreamLookup.Failure:
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
    /// Whether it is a stream of server-sent events.
    var isEventStream: Bool {
        headers.contains {
            $0.name.lowercased() == "content-type" && $0.value.lowercased().hasPrefix("text/event-stream")
        }
    }

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
