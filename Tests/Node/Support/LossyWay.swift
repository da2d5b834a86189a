import AsyncHTTPClient
import CanonicalJSON
import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTP1
import Synchronization
import WebServer

/// The way to another node: passes requests on, and loses as many answers as it is told to. What it lost, the node has done.
final class LossyWay: Sendable {
    private struct State {
        var toLose = 0
        var blocked: String?
        var toPass = 0
        var answers: [(path: String, status: Int, body: [UInt8])] = []
    }

    private struct Lost: Error {}

    private let state = Mutex(State())
    private let http: HTTPClient
    private let port: Int

    /// - Parameter port: of the node that the way leads to.
    init(to port: Int, http: HTTPClient) {
        self.port = port
        self.http = http
    }

    /// Loses the next answers.
    func lose(_ count: Int) { state.withLock { $0.toLose = count } }

    /// Requests whose path ends so do not arrive, but for the next few; nil: all do.
    func block(_ ending: String?, after count: Int = 0) {
        state.withLock { ($0.blocked, $0.toPass) = (ending, count) }
    }

    private func isBlocked(_ path: String) -> Bool {
        state.withLock { state in
            guard let blocked = state.blocked, path.hasSuffix(blocked) else { return false }
            state.toPass -= 1
            return state.toPass < 0
        }
    }

    /// What the node answered to requests for a debit, also what was lost.
    var debits: [(status: Int, ticket: String?)] {
        state.withLock { state in
            state.answers.filter { $0.path == "/delegations/debits" }.map { answer in
                (answer.status, (try? JSONValue.parse(answer.body))?["ticket"]?["id"]?.stringValue)
            }
        }
    }

    private func passOn(_ request: Request) async throws -> Response {
        if isBlocked(request.uri.path) { throw Lost() }
        var onward = HTTPClientRequest(url: "http://127.0.0.1:\(port)\(request.uri.string)")
        onward.method = HTTPMethod(rawValue: request.method.rawValue)
        for field in request.headers where field.name != .contentLength {
            onward.headers.add(name: field.name.rawName, value: field.value)
        }
        let body = try await request.body.collect(upTo: 1 << 20)
        if body.readableBytes > 0 { onward.body = .bytes(body) }
        let answer = try await http.execute(onward, timeout: .seconds(30))
        let bytes = try await answer.body.collect(upTo: 1 << 20)
        let isLost = state.withLock { state in
            state.answers.append((request.uri.path, Int(answer.status.code), Array(bytes.readableBytesView)))
            guard state.toLose > 0 else { return false }
            state.toLose -= 1
            return true
        }
        // Announced and cut: the connection closes before the answer is whole.
        let sent = isLost ? ByteBuffer(bytes.readableBytesView.prefix(bytes.readableBytes / 2)) : bytes
        return Response(
            status: .init(code: Int(answer.status.code)),
            headers: [.contentType: answer.headers.first(name: "content-type") ?? "application/json"],
            body: ResponseBody(contentLength: bytes.readableBytes) { writer in
                try await writer.write(sent)
                if isLost { throw Lost() }
                try await writer.finish(nil)
            }
        )
    }

    /// Serves it on a port while `body` runs.
    func whileServing<T: Sendable>(port: Int, _ body: @Sendable @escaping () async throws -> T) async throws -> T {
        let router = Router()
        for method in [HTTPRequest.Method.get, .post] {
            router.on("/**", method: method) { [self] request, _ in try await passOn(request) }
        }
        let (running, announce) = AsyncStream<Void>.makeStream()
        let application = Application(
            router: router,
            server: .plain(),
            configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: port)),
            onServerRunning: { _ in announce.finish() }
        )
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await application.run() }
            for await _ in running {}
            let result = try await body()
            group.cancelAll()
            return result
        }
    }
}
