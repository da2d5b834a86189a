internal import CanonicalJSON
internal import HTTPTypes
internal import Hummingbird
internal import Logging
internal import NIOCore
internal import Paywall
internal import Synchronization
public import WebServer

/// WebSockets that a service sells ([GWY-10]).
public struct WebSocketRules: Sendable, Equatable {
    /// What a payment buys: so many seconds, 1 to 86,400; nil for a connection of any length.
    public var paidSeconds: Int64?
    /// The longest frame let through, 125 bytes to 16 MiB.
    public var frameBytes: Int64
    /// How often each side is asked whether it is still there, 1 to 3600 s.
    public var pingSeconds: Int64

    public init(paidSeconds: Int64? = nil, frameBytes: Int64 = 1 << 20, pingSeconds: Int64 = 30) {
        self.paidSeconds = paidSeconds
        self.frameBytes = frameBytes
        self.pingSeconds = pingSeconds
    }

    func validate() throws(GatewayError) {
        guard (1...86_400).contains(paidSeconds ?? 1), (125...16 << 20).contains(frameBytes),
            (1...3600).contains(pingSeconds)
        else {
            throw GatewayError(
                .invalidService,
                "A WebSocket is sold for 1 to 86400 s, with frames of 125 to 16777216 bytes and a ping each 1 to 3600 s."
            )
        }
    }

    init(json object: JSONObject) throws {
        try ServiceDefinition.refuseUnknown(
            object,
            known: ["paidSeconds", "frameBytes", "pingSeconds"],
            in: "a service's webSockets"
        )
        let usual = WebSocketRules()
        self.init(
            paidSeconds: try object.optionalInt64("paidSeconds"),
            frameBytes: try object.optionalInt64("frameBytes") ?? usual.frameBytes,
            pingSeconds: try object.optionalInt64("pingSeconds") ?? usual.pingSeconds
        )
    }

    var json: JSONValue {
        var object: JSONObject = ["frameBytes": .integer(frameBytes), "pingSeconds": .integer(pingSeconds)]
        object["paidSeconds"] = paidSeconds.map { .integer($0) }
        return .object(object)
    }
}

/// A call that asks for a WebSocket: what came of it is left here for the door.
final class WebSocketAttempt: Sendable {
    let eventLoop: any EventLoop
    private let opened = Mutex<OpenedWebSocket?>(nil)

    init(eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
    }

    func put(_ socket: OpenedWebSocket) { opened.withLock { $0 = socket } }

    func take() -> OpenedWebSocket? {
        opened.withLock { opened in
            defer { opened = nil }
            return opened
        }
    }

    deinit {
        if let left = opened.withLock({ $0 }) {
            left.channel.close(promise: nil)
            left.onEnd(.zero)
        }
    }
}

extension Gateway {
    /// Passes the WebSockets of services on; the door has it.
    public var webSocketGate: WebSocketGate {
        WebSocketGate(
            claims: { [self] ask in
                guard let route = try? route(Self.request(ask)) else { return false }
                return route.entry.definition.proxy.webSockets != nil
            },
            open: { [self] ask in await open(ask) }
        )
    }

    /// The request as any other call has it.
    private static func request(_ ask: WebSocketAsk) -> Request {
        var fields = HTTPFields()
        var authority: String?
        for (name, value) in ask.headers {
            if authority == nil, name.lowercased() == "host" {
                authority = value
            } else if let name = HTTPField.Name(name) {
                fields.append(HTTPField(name: name, value: value))
            }
        }
        let head = HTTPRequest(
            method: .get,
            scheme: "http",
            authority: authority,
            path: ask.target,
            headerFields: fields
        )
        return Request(head: head, body: RequestBody(buffer: ByteBuffer()))
    }

    private func open(_ ask: WebSocketAsk) async -> WebSocketOpening {
        let request = Self.request(ask)
        let attempt = WebSocketAttempt(eventLoop: ask.eventLoop)
        do {
            if let cors = try route(request).entry.definition.proxy.cors, let origin = ask.header("origin"),
                cors.allowed(origin) == nil
            {
                // Browsers do not keep pages from WebSockets by CORS: who opens one is told by `Origin` alone.
                throw CallRefusal(
                    CallRefusal.Code(rawValue: "origin-not-allowed"),
                    status: 403,
                    "The seller does not let pages of this origin call the service."
                )
            }
            let response = try await respond(to: request, peerAddress: ask.peerAddress, socket: attempt)
            guard response.status.code == 101, var opened = attempt.take() else {
                return .refused(try await Self.answer(response))
            }
            opened.headers += response.headers.map { ($0.name.rawName, $0.value) }
            return .opened(opened)
        } catch let refusal as CallRefusal {
            return await .refused((try? Self.answer(Problem.response(refusal))) ?? Self.failed)
        } catch {
            logger.error("a WebSocket could not be opened", metadata: ["error": "\(error)"])
            return .refused(Self.failed)
        }
    }

    private static let failed = DoorAnswer(status: 500, headers: [], body: [])

    /// Answers to these requests are problems, or were kept: they are short.
    private static func answer(_ response: consuming Response) async throws -> DoorAnswer {
        let collected = CollectedBody()
        let (status, headers) = (response.status.code, response.headers)
        try await response.body.write(collected)
        return DoorAnswer(
            status: status,
            headers: headers.filter { $0.name != .contentLength }.map { ($0.name.rawName, $0.value) },
            body: collected.bytes
        )
    }

    // MARK: The call

    /// Asks the service's upstream for the WebSocket of a claimed call, and settles the call once it has taken it: then it is
    /// served.
    /// - Parameters:
    ///   - paidSeconds: how long it may be open; nil for no limit.
    ///   - onEnd: told once how long it was open, where that is of consequence.
    /// - Throws: ``UpstreamFailure`` where it did not; the call is refunded.
    func open(
        _ socket: WebSocketAttempt,
        for call: IncomingCall,
        request: ProxiedRequest,
        paidSeconds: Int64?,
        onEnd: @escaping @Sendable (TimeAmount) -> Void = { _ in },
        settle: (inout HTTPFields) async throws -> Void
    ) async throws -> Response {
        let rules = call.service.proxy.webSockets ?? WebSocketRules()
        let taken = try await call.upstream.open(request, on: socket.eventLoop, rules: rules)
        var headers = HTTPFields()
        do {
            try await settle(&headers)
        } catch {
            taken.channel.close(promise: nil)
            throw error
        }
        addPaymentFields(to: &headers, of: call)
        if let name = HTTPField.Name("Sec-WebSocket-Protocol") { headers[name] = taken.subprotocol }
        let slot = call.slot
        let lease = taken.lease
        let limits = WebSocketRelayLimits(
            frameBytes: Int(rules.frameBytes),
            seconds: paidSeconds,
            pingIntervalSeconds: rules.pingSeconds
        )
        socket.put(
            OpenedWebSocket(
                channel: taken.channel,
                end: taken.end,
                headers: [],
                limits: limits,
                onEnd: { open in
                    onEnd(open)
                    withExtendedLifetime((slot, lease)) {}
                }
            )
        )
        return Response(status: .switchingProtocols, headers: headers)
    }
}

/// A body in memory, of at most a megabyte.
private final class CollectedBody: ResponseBodyWriter {
    private(set) var bytes: [UInt8] = []

    func write(_ buffer: ByteBuffer) async throws {
        guard bytes.count + buffer.readableBytes <= 1 << 20 else {
            throw CallRefusal(.upstreamFailed, "The answer is too long for a request that asks for a WebSocket.")
        }
        bytes += Array(buffer.readableBytesView)
    }

    consuming func finish(_ trailingHeaders: HTTPFields?) async throws {}
}
