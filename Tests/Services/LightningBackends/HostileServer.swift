import NIOCore
import NIOHTTP1
import NIOPosix
import Testing

/// A server that gives each request the same answer, whatever it says; for what a client must survive.
final class HostileServer: Sendable {
    enum Answer: Sendable {
        case response(status: UInt, type: String, body: String)
        /// The connection ends with no answer.
        case hangUp
        /// The connection ends in the middle of the answer's body.
        case hangUpHalfway
        case silence
    }

    private let channel: any Channel
    let url: String

    init(_ answer: Answer) async throws {
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(Responder(answer: answer))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        url = "http://127.0.0.1:\(try #require(channel.localAddress?.port))"
    }

    func close() async throws { try await channel.close() }

    private final class Responder: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart
        private let answer: Answer

        init(answer: Answer) { self.answer = answer }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard case .end = unwrapInboundIn(data) else { return }
            switch answer {
            case .silence: return
            case .hangUp: context.close(promise: nil)
            case .hangUpHalfway:
                let headers: HTTPHeaders = ["content-length": "500", "content-type": "application/json"]
                write(context, 200, headers, "{\"state\":")
                context.close(promise: nil)
            case .response(let status, let type, let body):
                let headers: HTTPHeaders = ["content-length": "\(body.utf8.count)", "content-type": type]
                write(context, status, headers, body)
                context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            }
        }

        private func write(_ context: ChannelHandlerContext, _ status: UInt, _ headers: HTTPHeaders, _ body: String) {
            let head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: Int(status)), headers: headers)
            context.write(wrapOutboundOut(.head(head)), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: body)))), promise: nil)
        }
    }
}
