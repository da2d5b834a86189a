public import NIOCore

/// Where WebSockets are not answered here but passed on to another server, once that has taken them.
public struct WebSocketGate: Sendable {
    /// Whether a request for a WebSocket is the gate's; one that is not goes the way of any other request.
    public var claims: @Sendable (WebSocketAsk) -> Bool
    /// Asks the other server, or says why not. It is called once for each request whose handshake is in order.
    public var open: @Sendable (WebSocketAsk) async -> WebSocketOpening

    public init(
        claims: @escaping @Sendable (WebSocketAsk) -> Bool,
        open: @escaping @Sendable (WebSocketAsk) async -> WebSocketOpening
    ) {
        self.claims = claims
        self.open = open
    }
}

/// A request for a WebSocket that may be passed on.
public struct WebSocketAsk: Sendable {
    /// Path and query.
    public var target: String
    public var headers: [(name: String, value: String)]
    public var peerAddress: String?
    /// Where the client's connection lives; the other server's must live there too.
    public var eventLoop: any EventLoop

    /// The value of the first header of this name; its case does not matter.
    public func header(_ name: String) -> String? {
        let name = name.lowercased()
        return headers.first { $0.name.lowercased() == name }?.value
    }
}

/// What came of it.
public enum WebSocketOpening: Sendable {
    /// Answered with HTTP instead.
    case refused(DoorAnswer)
    case opened(OpenedWebSocket)
}

/// A WebSocket that the other server has taken.
public struct OpenedWebSocket: Sendable {
    /// The connection to it, on the client's event loop, with a ``WebSocketRelayEnd`` in it.
    public var channel: any Channel
    public var end: NIOLoopBound<WebSocketRelayEnd>
    /// For the answer 101, besides those of the handshake.
    public var headers: [(name: String, value: String)]
    public var limits: WebSocketRelayLimits
    /// Called once, when both sides have ended or it was never passed on, with how long frames were passed on.
    public var onEnd: @Sendable (TimeAmount) -> Void

    public init(
        channel: any Channel,
        end: NIOLoopBound<WebSocketRelayEnd>,
        headers: [(name: String, value: String)],
        limits: WebSocketRelayLimits,
        onEnd: @escaping @Sendable (TimeAmount) -> Void
    ) {
        self.channel = channel
        self.end = end
        self.headers = headers
        self.limits = limits
        self.onEnd = onEnd
    }

    func giveUp() {
        channel.close(promise: nil)
        onEnd(.zero)
    }
}

/// Bounds on a WebSocket that is passed on.
public struct WebSocketRelayLimits: Sendable, Equatable {
    /// Bytes of one frame, either way; a longer one ends it with 1009. At most this is held for a peer that does not read,
    /// besides what the socket takes.
    public var frameBytes: Int
    /// How long it may be open; over it both sides get ``closeCode``. nil for no limit.
    public var seconds: Int64?
    /// How often a ping is sent; who was silent since the last one is dropped.
    public var pingIntervalSeconds: Int64

    /// What ends a WebSocket whose time is over: RFC 6455 leaves 4000 to 4999 to applications, and 402 asks for money.
    public static let closeCode: UInt16 = 4402

    public init(frameBytes: Int = 1 << 20, seconds: Int64? = nil, pingIntervalSeconds: Int64 = 30) {
        self.frameBytes = frameBytes
        self.seconds = seconds
        self.pingIntervalSeconds = pingIntervalSeconds
    }
}
