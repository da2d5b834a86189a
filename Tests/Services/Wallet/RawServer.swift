import NIOCore
import NIOHTTP1
import NIOPosix

/// A request as a test's server saw it.
struct SeenRequest: Sendable {
    var method: String
    var uri: String
    var headers: [(name: String, value: String)]
    var body: [UInt8]

    func header(_ name: String) -> String? { headers.first { $0.name.lowercased() == name.lowercased() }?.value }
}

/// What a test's server does with it.
enum RawReply: Sendable {
    case answer(status: Int, headers: [(String, String)] = [], body: [UInt8] = [])
    /// The head and some of the body, then the connection breaks.
    case broken(status: Int, headers: [(String, String)] = [], body: [UInt8])
    /// The connection closes without a word.
    case drop

    /// The same answer with one more field.
    func adding(_ name: String, _ value: String) -> RawReply {
        guard case .answer(let status, let headers, let body) = self else { return self }
        return .answer(status: status, headers: headers + [(name, value)], body: body)
    }
}

/// An HTTP/1.1 server on loopback that can be as rude as a test wants.
final class RawServer: Sendable {
    private let channel: any Channel
    let origin: String

    init(_ respond: @escaping @Sendable (SeenRequest) async -> RawReply) async throws {
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(Handler(respond))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        origin = "http://127.0.0.1:\(channel.localAddress?.port ?? 0)"
    }

    func stop() async { try? await channel.close().get() }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart
        private let respond: @Sendable (SeenRequest) async -> RawReply
        private var request: SeenRequest?

        init(_ respond: @escaping @Sendable (SeenRequest) async -> RawReply) { self.respond = respond }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head):
                request = SeenRequest(
                    method: head.method.rawValue,
                    uri: head.uri,
                    headers: head.headers.map { ($0.name, $0.value) },
                    body: []
                )
            case .body(let buffer): request?.body.append(contentsOf: buffer.readableBytesView)
            case .end:
                if let seen = request { Self.answer(seen, on: context.channel, respond) }
                request = nil
            }
        }

        private static func answer(
            _ seen: SeenRequest,
            on channel: any Channel,
            _ respond: @escaping @Sendable (SeenRequest) async -> RawReply
        ) {
            Task { await write(respond(seen), to: channel) }
        }

        private static func write(_ reply: RawReply, to channel: any Channel) async {
            switch reply {
            case .drop: try? await channel.close()
            case .answer(let status, let headers, let body):
                var all = HTTPHeaders(headers)
                all.replaceOrAdd(name: "content-length", value: "\(body.count)")
                await write(status, all, body, to: channel)
                try? await channel.writeAndFlush(HTTPServerResponsePart.end(nil))
            case .broken(let status, let headers, let body):
                var all = HTTPHeaders(headers)
                all.replaceOrAdd(name: "content-length", value: "\(body.count + 1000)")
                await write(status, all, body, to: channel)
                try? await channel.close()
            }
        }

        private static func write(_ status: Int, _ headers: HTTPHeaders, _ body: [UInt8], to channel: any Channel) async
        {
            let head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: status), headers: headers)
            try? await channel.writeAndFlush(HTTPServerResponsePart.head(head))
            try? await channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(bytes: body))))
        }
    }
}
