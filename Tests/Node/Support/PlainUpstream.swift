import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import Synchronization
import WebServer

/// An ordinary HTTP service that knows nothing of money, whose answers the tests choose by path:
///
/// | path | answer |
/// |---|---|
/// | `/now/…` | at once |
/// | `/held/…` | when `release` is called |
/// | `/long/…` | 160 KiB in 40 pieces, each after a pause |
/// | `/fail/…` | 500 |
/// | `/late-fail/…` | 500 when `release` is called |
/// | `/cut/…` | 120 KiB announced, and the connection cut in the middle |
///
/// Each answer holds a number of its own, so that an answer given again differs from one made again.
final class PlainUpstream: Sendable {
    private struct State {
        var calls: [String: Int] = [:]
        var answers: [String: String] = [:]
        var answered: Set<String> = []
        var number = 0
        var isHolding = true
    }

    private let state = Mutex(State())

    /// How often a call with this idempotency key came.
    func calls(_ key: String) -> Int { state.withLock { $0.calls[key] ?? 0 } }

    /// What was answered last to this key.
    func answer(_ key: String) -> String? { state.withLock { $0.answers[key] } }

    /// Whether the answer to this key has been handed over to the connection.
    func hasAnswered(_ key: String) -> Bool { state.withLock { $0.answered.contains(key) } }

    var total: Int { state.withLock { $0.calls.values.reduce(0, +) } }

    func hold() { state.withLock { $0.isHolding = true } }

    func release() { state.withLock { $0.isHolding = false } }

    private struct CutOff: Error {}

    private func came(_ request: Request) -> (key: String, text: String) {
        let key = HTTPField.Name("Idempotency-Key").flatMap { request.headers[$0] } ?? "none"
        return state.withLock { state in
            state.number += 1
            state.calls[key, default: 0] += 1
            let text = "answer \(state.number) to \(request.uri.path)\n"
            state.answers[key] = text
            return (key, text)
        }
    }

    private func answered(_ key: String) { state.withLock { _ = $0.answered.insert(key) } }

    private func waitForRelease() async throws {
        // Never for ever, so that a test that fails ends.
        for _ in 0..<10_000 {
            if !state.withLock({ $0.isHolding }) { return }
            try await Task.sleep(for: .milliseconds(1))
        }
    }

    func router() -> Router<BasicRequestContext> {
        let router = Router()
        for method in [HTTPRequest.Method.get, .post] {
            router.on("/now/**", method: method) { [self] request, _ in
                let (key, text) = came(request)
                answered(key)
                return Response(status: .ok, body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
            }
            router.on("/held/**", method: method) { [self] request, _ in
                let (key, text) = came(request)
                try await waitForRelease()
                answered(key)
                return Response(status: .ok, body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
            }
            router.on("/long/**", method: method) { [self] request, _ in long(request) }
            router.on("/fail/**", method: method) { [self] request, _ in
                answered(came(request).key)
                return Response(status: .internalServerError)
            }
            router.on("/late-fail/**", method: method) { [self] request, _ in
                let key = came(request).key
                try await waitForRelease()
                answered(key)
                return Response(status: .internalServerError)
            }
            router.on("/cut/**", method: method) { [self] request, _ in
                _ = came(request)
                return Response(
                    status: .ok,
                    body: ResponseBody(contentLength: 120 << 10) { writer in
                        try await writer.write(ByteBuffer(repeating: 0x61, count: 50 << 10))
                        try await Task.sleep(for: .milliseconds(20))
                        throw CutOff()
                    }
                )
            }
        }
        return router
    }

    private func long(_ request: Request) -> Response {
        let (key, text) = came(request)
        let piece = text + String(repeating: ".", count: 4096 - text.utf8.count)
        state.withLock { $0.answers[key] = String(repeating: piece, count: 40) }
        return Response(
            status: .ok,
            body: ResponseBody { [self] writer in
                for _ in 0..<40 {
                    try await writer.write(ByteBuffer(string: piece))
                    try await Task.sleep(for: .milliseconds(2))
                }
                try await writer.finish(nil)
                answered(key)
            }
        )
    }

    /// Serves it on a port of the system's choice while `body` runs.
    func whileServing<T: Sendable>(_ body: @Sendable @escaping (_ port: Int) async throws -> T) async throws -> T {
        let (ports, announce) = AsyncStream<Int>.makeStream()
        let application = Application(
            router: router(),
            server: .plain(),
            configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in
                announce.yield(channel.localAddress?.port ?? 0)
                announce.finish()
            }
        )
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await application.run() }
            var iterator = ports.makeAsyncIterator()
            guard let port = await iterator.next() else {
                throw ServerProcess.NotReady(description: "the upstream did not start")
            }
            let result = try await body(port)
            group.cancelAll()
            return result
        }
    }
}
