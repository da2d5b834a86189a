public import HummingbirdCore
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import Synchronization

/// What a server lets in. Hummingbird answers the requests; this stands in front of it.
public struct HTTPDoor: Sendable {
    /// How long a connection may stay without a request, in seconds.
    public var idleTimeoutSeconds: Int64
    /// How long a client may take over the head of a request, in seconds: from the beginning of a connection, later from the
    /// head's first byte. Over it the answer is 408, and the connection ends.
    public var headSeconds: Int64 = 10
    /// Connections at once. Over it a connection is still answered: 503 with `Retry-After`, then closed; only the
    /// `quickAnswers` are given there.
    public var maximumConnections: Int
    /// Answers to GET, by path, that wait behind nothing, such as that of `/health`: they are given on the connection's own
    /// thread, and over the limit too. Where one is nil the request goes on as any other; over the limit it is refused.
    public var quickAnswers: [String: @Sendable () -> DoorAnswer?]
    /// Where a WebSocket can be opened.
    public var webSockets: [WebSocketRoute]
    /// Where WebSockets are passed on; nil where none are.
    public var webSocketGate: WebSocketGate?
    /// How long the answer to `Expect: 100-continue` waits for the final answer: a request that is refused by its
    /// headers (402, 413) is refused before its body is sent.
    public var continueAfterMilliseconds: Int64

    /// Whether requests to this authority (`Host`) are another's: then the quick answers and WebSockets of here are not theirs.
    public var isForeign: @Sendable (_ authority: String) -> Bool = { _ in false }

    /// How long a connection over the limit has to send its request, in seconds.
    public var overLimitSeconds: Int64 = 5

    public init(
        idleTimeoutSeconds: Int64 = 120,
        maximumConnections: Int = 2048,
        quickAnswers: [String: @Sendable () -> DoorAnswer?] = [:],
        webSockets: [WebSocketRoute] = [],
        continueAfterMilliseconds: Int64 = 20
    ) {
        self.idleTimeoutSeconds = idleTimeoutSeconds
        self.maximumConnections = max(maximumConnections, 1)
        self.quickAnswers = quickAnswers
        self.webSockets = webSockets
        self.continueAfterMilliseconds = continueAfterMilliseconds
    }

    /// Connections that wait for the head of a request; over it the oldest of them ends.
    public var maximumHalfOpen: Int { max(1, maximumConnections / 2) }

    /// The builder of an HTTP/1.1 server with this door.
    public var builder: HTTPServerBuilder {
        let connections = ConnectionCount()
        return HTTPServerBuilder { responder in channel(responder, connections: connections) }
    }

    func channel(_ responder: @escaping HTTPChannelHandler.Responder, connections: ConnectionCount) -> DoorChannel {
        let http = HTTP1Channel(
            responder: responder,
            configuration: .init(idleTimeout: .seconds(idleTimeoutSeconds))
        )
        let halfOpen = HalfOpenConnections(limit: maximumHalfOpen)
        return DoorChannel(http: http, door: self, connections: connections, halfOpen: halfOpen)
    }

    /// What is answered at once to a request without a body; nil where it goes the usual way.
    func quickAnswer(to head: HTTPRequestHead) -> DoorAnswer? {
        guard head.method == .GET, !quickAnswers.isEmpty, !head.headers.contains(name: "content-length"),
            !head.headers.contains(name: "transfer-encoding"), !isForeign(head.headers.first(name: "host") ?? "")
        else { return nil }
        return quickAnswers[String(head.uri.prefix { $0 != "?" })]?()
    }
}

/// How many connections a door has open.
final class ConnectionCount: Sendable {
    private let open = Mutex(0)

    /// - Returns: how many there are with this one.
    func enter() -> Int {
        open.withLock {
            $0 += 1
            return $0
        }
    }

    func leave() {
        open.withLock { $0 -= 1 }
    }
}

/// Hummingbird's HTTP/1 channel with a ``DoorHandler`` right behind its decoder; over the limit an ``OverLimitHandler``
/// instead of both.
struct DoorChannel: ServerChildChannel {
    struct Value: ServerChildChannelValue {
        let channel: any Channel
        /// nil over the limit.
        let http: AcceptedConnection?
    }

    let http: HTTP1Channel
    let door: HTTPDoor
    let connections: ConnectionCount
    let halfOpen: HalfOpenConnections

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        setup(channel: channel, isOverLimit: enter(channel), logger: logger)
    }

    /// Counts a connection until it ends.
    /// - Returns: whether it is one too many.
    func enter(_ channel: any Channel) -> Bool {
        channel.closeFuture.whenComplete { [connections] _ in connections.leave() }
        return connections.enter() > door.maximumConnections
    }

    func setup(channel: any Channel, isOverLimit: Bool, logger: Logger) -> EventLoopFuture<Value> {
        guard !isOverLimit else {
            return channel.eventLoop.makeCompletedFuture {
                let pipeline = channel.pipeline.syncOperations
                try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: false)
                try pipeline.addHandler(OverLimitHandler(door))
                return Value(channel: channel, http: nil)
            }
        }
        let accepted = http.setup(channel: channel, logger: logger).map { AcceptedConnection($0) }
        return accepted.flatMapThrowing { [door, halfOpen] connection in
            let pipeline = channel.pipeline.syncOperations
            let decoder = try pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)
            let deadline = HeadDeadline(door, halfOpen)
            try pipeline.addHandler(deadline, position: .before(decoder))
            let handler = DoorHandler(door, deadline: deadline, logger: logger)
            try pipeline.addHandler(handler, position: .after(decoder))
            return Value(channel: channel, http: connection)
        }
    }

    func handle(value: Value, logger: Logger) async {
        if let connection = value.http { await http.handle(value: connection.take(), logger: logger) }
    }
}
