internal import NIOCore
internal import NIOHTTP1

/// An answer that the door gives by itself, on the connection's own thread.
public struct DoorAnswer: Sendable {
    public var status: Int
    /// Besides `Content-Length`, and `Connection` where the connection ends.
    public var headers: [(name: String, value: String)]
    public var body: [UInt8]

    public init(status: Int, headers: [(name: String, value: String)], body: [UInt8]) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    init(_ refusal: WebSocketRefusal) {
        self.init(
            status: refusal.status,
            headers: [("Content-Type", refusal.contentType), ("Cache-Control", "no-store")],
            body: refusal.body
        )
        if let seconds = refusal.retryAfterSeconds { headers.append(("Retry-After", "\(seconds)")) }
    }

    /// Writes it behind the HTTP encoder.
    /// - Parameter closes: whether the connection ends with it.
    func send(on context: ChannelHandlerContext, closes: Bool) {
        var head = HTTPResponseHead(version: .http1_1, status: HTTPResponseStatus(statusCode: status))
        for (name, value) in headers { head.headers.add(name: name, value: value) }
        head.headers.add(name: "Content-Length", value: "\(body.count)")
        if closes { head.headers.add(name: "Connection", value: "close") }
        context.write(NIOAny(HTTPServerResponsePart.head(head)), promise: nil)
        context.write(NIOAny(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
        let sent = context.eventLoop.makePromise(of: Void.self)
        if closes {
            let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
            sent.futureResult.whenComplete { _ in bound.value.close(promise: nil) }
        }
        context.writeAndFlush(NIOAny(HTTPServerResponsePart.end(nil)), promise: sent)
    }
}
