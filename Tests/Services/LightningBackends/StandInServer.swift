import CanonicalJSON
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import Testing

/// A request as a stand-in for a Lightning node sees it.
struct StandInRequest: Sendable {
    var method: String
    /// Without the query.
    var path: String
    var query: [String: String]
    var headers: HTTPHeaders
    var body: [UInt8]

    /// The body as a JSON object; empty where it is none.
    var json: JSONObject {
        (try? JSONValue.parse(body, limits: JSONLimits(acceptsUInt64: true)))?.objectValue ?? [:]
    }

    /// The body as a form.
    var form: [String: String] { Self.fields(String(decoding: body, as: UTF8.self)) }

    static func fields(_ text: String) -> [String: String] {
        var fields: [String: String] = [:]
        for pair in text.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            fields[parts[0]] = parts.count == 2 ? parts[1].removingPercentEncoding ?? "" : ""
        }
        return fields
    }
}

enum StandInAnswer: Sendable {
    case json(UInt, JSONValue)
    case text(UInt, String)
    /// One JSON value a line, for as long as the stream goes on.
    case lines(AsyncStream<JSONValue>)
}

/// What goes wrong with a request.
enum StandInFault: Sendable {
    /// Done, and the answer comes this much later.
    case late(milliseconds: Int64)
    /// Done, and no answer comes.
    case silence
    /// Done, and the connection ends.
    case cut
    /// Done, and the connection ends in the middle of the answer.
    case cutHalfway
    /// Not done; this is answered.
    case instead(UInt, String)
    /// Done, and something else is answered.
    case lie(@Sendable (JSONValue) -> JSONValue)
}

/// A small HTTP server over a real socket that answers as a Lightning node does, and fails when it is told to.
final class StandInServer: Sendable {
    typealias Handler = @Sendable (StandInRequest) async -> StandInAnswer

    private struct State {
        var faults: [(prefix: String, fault: StandInFault, times: Int)] = []
        var requests: [StandInRequest] = []
    }

    private let state = Mutex(State())
    private let handler: Handler
    private let listener = Mutex<(any Channel)?>(nil)
    private let children = Mutex<[any Channel]>([])
    /// Given by the system at the first opening; the server leaves and comes back to the same one.
    private let port = Mutex(0)
    var url: String { "http://127.0.0.1:\(port.withLock { $0 })" }

    init(_ handler: @escaping Handler) async throws {
        self.handler = handler
        try await open()
    }

    func open() async throws {
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { [self] channel in
                children.withLock { $0.append(channel) }
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(Collector(server: self))
                }
            }
            .bind(host: "127.0.0.1", port: port.withLock { $0 }).get()
        port.withLock { $0 = channel.localAddress?.port ?? $0 }
        listener.withLock { $0 = channel }
    }

    /// Goes away, with every connection.
    func close() async throws {
        let channel = listener.withLock { channel in
            defer { channel = nil }
            return channel
        }
        try await channel?.close()
        dropConnections()
    }

    /// Ends every connection; new ones are taken.
    func dropConnections() {
        for child in children.withLock({ list in
            defer { list = [] }
            return list
        }) { child.close(promise: nil) }
    }

    /// - Parameter prefix: of `METHOD /path`.
    func fail(_ prefix: String, _ fault: StandInFault, times: Int = 1) {
        state.withLock { $0.faults.append((prefix, fault, times)) }
    }

    func heal() { state.withLock { $0.faults = [] } }

    /// The requests whose `METHOD /path` begins so.
    func requests(_ prefix: String) -> [StandInRequest] {
        state.withLock { $0.requests.filter { "\($0.method) \($0.path)".hasPrefix(prefix) } }
    }

    private func fault(for request: StandInRequest) -> StandInFault? {
        state.withLock { state in
            state.requests.append(request)
            let name = "\(request.method) \(request.path)"
            guard let index = state.faults.firstIndex(where: { name.hasPrefix($0.prefix) && $0.times > 0 }) else {
                return nil
            }
            state.faults[index].times -= 1
            return state.faults[index].fault
        }
    }

    fileprivate func serve(_ request: StandInRequest, on channel: any Channel) async {
        let fault = fault(for: request)
        if case .instead(let status, let text)? = fault {
            await respond(.text(status, text), on: channel)
            return
        }
        var answer = await handler(request)
        switch fault {
        case .late(let milliseconds)?: try? await Task.sleep(for: .milliseconds(milliseconds))
        case .silence?: return
        case .cut?:
            channel.close(promise: nil)
            return
        case .cutHalfway?:
            let headers: HTTPHeaders = ["content-length": "5000", "content-type": "application/json"]
            await head(200, headers, channel)
            await part("{\"result\": {\"sta", channel)
            channel.close(promise: nil)
            return
        case .lie(let change)?:
            switch answer {
            case .json(let status, let value): answer = .json(status, change(value))
            case .lines(let stream):
                var first: JSONValue?
                for await value in stream {
                    first = value
                    break
                }
                let lie = change(first ?? .null)
                answer = .lines(
                    AsyncStream { continuation in
                        continuation.yield(lie)
                        continuation.finish()
                    }
                )
            case .text: break
            }
        case .instead?, nil: break
        }
        await respond(answer, on: channel)
    }

    private func respond(_ answer: StandInAnswer, on channel: any Channel) async {
        switch answer {
        case .json(let status, let value): await whole(status, "application/json", value.serialized(), channel)
        case .text(let status, let text): await whole(status, "text/plain", Array(text.utf8), channel)
        case .lines(let stream):
            await head(200, ["transfer-encoding": "chunked", "content-type": "application/json"], channel)
            for await value in stream {
                guard channel.isActive else { return }
                await part(String(decoding: value.serialized(), as: UTF8.self) + "\n", channel)
            }
            try? await channel.writeAndFlush(HTTPServerResponsePart.end(nil))
        }
    }

    private func whole(_ status: UInt, _ type: String, _ body: [UInt8], _ channel: any Channel) async {
        await head(status, ["content-length": "\(body.count)", "content-type": type], channel)
        await part(String(decoding: body, as: UTF8.self), channel)
        try? await channel.writeAndFlush(HTTPServerResponsePart.end(nil))
    }

    private func head(_ status: UInt, _ headers: HTTPHeaders, _ channel: any Channel) async {
        let head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: Int(status)), headers: headers)
        try? await channel.writeAndFlush(HTTPServerResponsePart.head(head))
    }

    private func part(_ text: String, _ channel: any Channel) async {
        try? await channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(string: text))))
    }

    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        private let server: StandInServer
        private var head: HTTPRequestHead?
        private var body: [UInt8] = []

        init(server: StandInServer) { self.server = server }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head):
                self.head = head
                body = []
            case .body(let buffer):
                body.append(contentsOf: buffer.readableBytesView)
            case .end:
                guard let head else { return }
                let parts = head.uri.split(separator: "?", maxSplits: 1).map(String.init)
                let request = StandInRequest(
                    method: head.method.rawValue,
                    path: parts.first ?? "/",
                    query: StandInRequest.fields(parts.count == 2 ? parts[1] : ""),
                    headers: head.headers,
                    body: body
                )
                let channel = context.channel
                Task { [server] in await server.serve(request, on: channel) }
            }
        }
    }
}
