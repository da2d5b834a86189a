internal import Synchronization

/// Bounds on what the peers of a WebSocket route can make the server hold.
public struct WebSocketLimits: Sendable, Equatable {
    /// Open connections; more are answered 503 with `Retry-After`.
    public var connections: Int
    /// Bytes of one message, in one frame or in several; a longer one ends the connection with code 1009.
    public var messageBytes: Int
    /// Bytes that may wait for a peer that does not read; over it the connection is dropped.
    public var outboundBytes: Int
    /// How often a ping is sent; a peer that was silent since the last one is dropped.
    public var pingIntervalSeconds: Int64

    public init(
        connections: Int = 512,
        messageBytes: Int = 128 * 1024,
        outboundBytes: Int = 1 << 20,
        pingIntervalSeconds: Int64 = 30
    ) {
        self.connections = connections
        self.messageBytes = messageBytes
        self.outboundBytes = outboundBytes
        self.pingIntervalSeconds = pingIntervalSeconds
    }
}

/// The request that asks for a WebSocket.
public struct WebSocketRequest: Sendable {
    public var path: String
    public var headers: [(name: String, value: String)]
    public var peerAddress: String?

    public init(path: String, headers: [(name: String, value: String)], peerAddress: String?) {
        self.path = path
        self.headers = headers
        self.peerAddress = peerAddress
    }

    /// The first header of this name; its case does not matter.
    public func header(_ name: String) -> String? {
        let name = name.lowercased()
        return headers.first { $0.name.lowercased() == name }?.value
    }
}

/// Why a WebSocket, or a connection over the limit, is answered with HTTP instead.
public struct WebSocketRefusal: Error, Sendable, Equatable {
    public var status: Int
    public var contentType: String
    public var body: [UInt8]
    public var retryAfterSeconds: Int?

    public init(
        status: Int,
        body: [UInt8],
        contentType: String = "application/json",
        retryAfterSeconds: Int? = nil
    ) {
        self.status = status
        self.body = body
        self.contentType = contentType
        self.retryAfterSeconds = retryAfterSeconds
    }

    static func problem(_ status: Int, _ code: String, _ detail: String, retryAfterSeconds: Int? = nil) -> Self {
        let text =
            "{\"type\":\"urn:mintmark:problem:\(code)\",\"title\":\"\(detail)\",\"status\":\(status),\"code\":\"\(code)\"}"
        return Self(
            status: status,
            body: Array(text.utf8),
            contentType: "application/problem+json",
            retryAfterSeconds: retryAfterSeconds
        )
    }

    static let tooManyConnections = problem(
        503,
        "overloaded",
        "Too many connections are open; try again shortly",
        retryAfterSeconds: 1
    )
    static let lateHead = problem(
        408,
        "request-timeout",
        "The head of the request did not come in time"
    )
    static let tooManySockets = problem(
        503,
        "overloaded",
        "Too many WebSockets are open; try again shortly",
        retryAfterSeconds: 5
    )
    static let badHandshake = problem(
        400,
        "bad-handshake",
        "The WebSocket handshake is not that of RFC 6455, version 13"
    )
}

/// One end of a connection, for who answers it. Everything can be called from any thread.
public protocol WebSocketConnection: Sendable {
    /// Unique in this process.
    var id: UInt64 { get }
    /// Sends a text message. A peer that does not read is dropped once the limit is reached.
    func send(_ text: [UInt8])
    /// Says goodbye with a status code of RFC 6455, 7.4.
    func close(code: UInt16, reason: String)
}

/// Who answers one connection.
public protocol WebSocketResponder: Sendable {
    /// A text message of the peer, valid UTF-8. The next one is not given before this returns, and a peer that goes on
    /// sending is held back by TCP.
    func receive(_ text: [UInt8]) async
    /// The connection is gone; called once.
    func closed()
}

/// A path at which WebSockets are opened.
public struct WebSocketRoute: Sendable {
    public var path: String
    public var limits: WebSocketLimits
    private let check: @Sendable (WebSocketRequest) async throws -> Void
    let respond: @Sendable (any WebSocketConnection) -> any WebSocketResponder
    private let places: ConnectionCount

    /// - Parameters:
    ///   - check: who is let in; throws a ``WebSocketRefusal`` for who is not.
    ///   - respond: makes who answers a connection that was let in.
    public init(
        path: String,
        limits: WebSocketLimits = WebSocketLimits(),
        check: @escaping @Sendable (WebSocketRequest) async throws -> Void = { _ in },
        respond: @escaping @Sendable (any WebSocketConnection) -> any WebSocketResponder
    ) {
        self.path = path
        self.limits = limits
        self.check = check
        self.respond = respond
        places = ConnectionCount()
    }

    /// Takes a place; the session, or who fails to open it, gives it back with ``leave()``.
    func admit(_ request: WebSocketRequest) async throws {
        guard places.enter() <= limits.connections else {
            places.leave()
            throw WebSocketRefusal.tooManySockets
        }
        do {
            try await check(request)
        } catch {
            places.leave()
            throw error
        }
    }

    func leave() {
        places.leave()
    }
}
