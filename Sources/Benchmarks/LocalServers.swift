internal import AsyncHTTPClient
internal import HTTPTypes
internal import Hummingbird
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
import WebServer

/// The servers that a benchmark stands up on loopback, on ports of the system's choice.
enum LocalServers {
    static let logger = Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() }

    /// Serves `responder` with Hummingbird while `work` runs.
    static func with<Responder: HTTPResponder, T: Sendable>(
        _ responder: Responder,
        _ work: @escaping @Sendable (Int) async throws -> T
    ) async throws -> T where Responder.Context: InitializableFromSource<ApplicationRequestContextSource> {
        let (ports, port) = AsyncStream.makeStream(of: Int.self)
        let application = Application(
            responder: responder,
            server: .plain(),
            configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in
                if let bound = channel.localAddress?.port { port.yield(bound) }
            },
            logger: logger
        )
        return try await withThrowingTaskGroup(of: T?.self) { group in
            group.addTask {
                try await application.run()
                return nil
            }
            group.addTask {
                for await bound in ports { return try await work(bound) }
                throw BenchmarkError("the server did not start")
            }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                if let result { return result }
            }
            throw BenchmarkError("the server ended before the load")
        }
    }

    /// Serves `body` to every request on one thread of raw NIO while `work` runs: an upstream that costs as little of
    /// the shared cores as can be.
    static func withUpstream<T>(_ body: String, _ work: (Int) async throws -> T) async throws -> T {
        var answer = ByteBuffer()
        answer.writeString("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        answer.writeString("Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
        let whole = answer
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 256)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(FixedAnswer(whole))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        guard let port = channel.localAddress?.port else { throw BenchmarkError("the upstream has no port") }
        let result = try await work(port)
        try await channel.close()
        try await group.shutdownGracefully()
        return result
    }
}

/// Gives the same answer at the end of every request head; bodies are not expected.
private final class FixedAnswer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let answer: ByteBuffer
    /// How many bytes of `\r\n\r\n` the last part ended with.
    private var matched = 0

    init(_ answer: ByteBuffer) {
        self.answer = answer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let heads = unwrapInboundIn(data).withUnsafeReadableBytes { bytes in
            var heads = 0
            for byte in bytes {
                if byte == (matched % 2 == 0 ? 13 : 10) {
                    matched += 1
                    if matched == 4 {
                        heads += 1
                        matched = 0
                    }
                } else {
                    matched = byte == 13 ? 1 : 0
                }
            }
            return heads
        }
        for _ in 0..<heads { context.write(wrapOutboundOut(answer), promise: nil) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        context.flush()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}

/// What a proxy of the same libraries costs that does nothing but pass on.
struct BareProxy: HTTPResponder {
    typealias Context = BasicRequestContext

    let client: HTTPClient
    let upstream: String

    func respond(to request: Request, context: Context) async throws -> Response {
        var outgoing = HTTPClientRequest(url: upstream + (request.head.path ?? "/"))
        outgoing.method = HTTPMethod(rawValue: request.method.rawValue)
        for field in request.headers { outgoing.headers.add(name: field.name.rawName, value: field.value) }
        let answer = try await client.execute(outgoing, timeout: .seconds(30))
        var headers = HTTPFields()
        for (name, value) in answer.headers {
            guard let name = HTTPField.Name(name), name != .contentLength else { continue }
            headers.append(HTTPField(name: name, value: value))
        }
        return Response(
            status: HTTPResponse.Status(code: Int(answer.status.code)),
            headers: headers,
            body: ResponseBody(contentLength: answer.headers.first(name: "content-length").flatMap { Int($0) }) {
                writer in
                for try await piece in answer.body { try await writer.write(piece) }
                try await writer.finish(nil)
            }
        )
    }
}
