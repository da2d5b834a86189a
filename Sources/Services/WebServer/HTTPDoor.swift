public import HummingbirdCore
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import Synchronization

/// What a server lets in. Hummingbird answers the requests; this stands in front of it.
public struct HTTPDoor: Sendable {
    /// How long a connection may stay without a request, in seconds.
    public var idleTimeoutSeconds: Int64
    /// Connections at once. Over it a connection is still answered: 503 with `Retry-After`, then closed; only the
    /// `sparedPaths` are served there.
    public var maximumConnections: Int
    /// Paths that are answered even over the limit, such as `/health`.
    public var sparedPaths: Set<String>
    /// Where a WebSocket can be opened.
    public var webSockets: [WebSocketRoute]
    /// How long the answer to `Expect: 100-continue` waits for the final answer: a request that is refused by its
    /// headers (402, 413) is refused before its body is sent.
    public var continueAfterMilliseconds: Int64

    /// How long a connection over the limit has to send its request, in seconds.
    public var overLimitSeconds: Int64 = 5

    public init(
        idleTimeoutSeconds: Int64 = 120,
        maximumConnections: Int = 4096,
        sparedPaths: Set<String> = [],
        webSockets: [WebSocketRoute] = [],
        continueAfterMilliseconds: Int64 = 20
    ) {
        self.idleTimeoutSeconds = idleTimeoutSeconds
        self.maximumConnections = max(maximumConnections, 1)
        self.sparedPaths = sparedPaths
        self.webSockets = webSockets
        self.continueAfterMilliseconds = continueAfterMilliseconds
    }

    /// The builder of an HTTP/1.1 server with this door; put `.tls` around it for TLS.
    public var builder: HTTPServerBuilder {
        let door = self
        let connections = ConnectionCount()
        return HTTPServerBuilder { responder in
            let http = HTTP1Channel(
                responder: responder,
                configuration: .init(idleTimeout: .seconds(door.idleTimeoutSeconds))
            )
            return DoorChannel(http: http, door: door, connections: connections)
        }
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

/// Hummingbird's HTTP/1 channel with a ``DoorHandler`` right behind its decoder.
struct DoorChannel: ServerChildChannel {
    typealias Value = HTTP1Channel.Value

    let http: HTTP1Channel
    let door: HTTPDoor
    let connections: ConnectionCount

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        let isOverLimit = connections.enter() > door.maximumConnections
        channel.closeFuture.whenComplete { [connections] _ in connections.leave() }
        return http.setup(channel: channel, logger: logger).flatMapThrowing { [door] value in
            let pipeline = channel.pipeline.syncOperations
            let decoder = try pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)
            let handler = DoorHandler(door, isOverLimit: isOverLimit, logger: logger)
            try pipeline.addHandler(handler, position: .after(decoder))
            return value
        }
    }

    func handle(value: Value, logger: Logger) async {
        await http.handle(value: value, logger: logger)
    }
}
