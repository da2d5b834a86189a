import AsyncHTTPClient
import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTP1
import Testing

@testable import Identity

/// What others named is fetched within a time in all, however it is spent.
@Suite("How long a fetch may take")
struct GuardedFetchTests {
    private static let limit: Int64 = 80

    /// What came of a fetch, and that it was over long before the limit that holds where none is said.
    private func isCutOff(_ url: String, _ fetch: GuardedFetch) async -> Bool {
        let begun = ContinuousClock.now
        do {
            _ = try await fetch.get(url, headers: [:], maximumBytes: 1 << 20)
            return false
        } catch {
            let lasted = ContinuousClock.now - begun
            return error as? HTTPClientError == .deadlineExceeded && lasted < .milliseconds(3_000)
        }
    }

    @Test("[STAT-9] a server that never answers, one that drips bytes without end, and one that stops in its body")
    func slowServers() async throws {
        #expect(GuardedFetch.timeoutMilliseconds == 5_000)
        let router = Router()
        router.get("/silent") { _, _ -> Response in
            try await Task.sleep(for: .seconds(600))
            return Response(status: .ok)
        }
        router.get("/drip") { _, _ in
            Response(
                status: .ok,
                body: ResponseBody { writer in
                    // Each byte comes well within any time between two reads.
                    for _ in 0..<100_000 {
                        try await writer.write(ByteBuffer(string: " "))
                        try await Task.sleep(for: .milliseconds(5))
                    }
                    try await writer.finish(nil)
                }
            )
        }
        router.get("/stopped") { _, _ in
            Response(
                status: .ok,
                body: ResponseBody { writer in
                    try await writer.write(ByteBuffer(string: "{"))
                    try await Task.sleep(for: .seconds(600))
                    try await writer.finish(nil)
                }
            )
        }
        router.get("/good") { _, _ in
            Response(status: .ok, body: ResponseBody(byteBuffer: ByteBuffer(string: "{}")))
        }
        try await IdentityRoutesTests.serve(router) { port in
            let base = "http://127.0.0.1:\(port)"
            let patient = GuardedFetch(allowsLocal: true)
            let answer = try await patient.get(base + "/good", headers: [:], maximumBytes: 10)
            #expect(answer.body == Array("{}".utf8))
            let hurried = GuardedFetch(allowsLocal: true, timeoutMilliseconds: Self.limit)
            for path in ["/silent", "/drip", "/stopped"] {
                #expect(await isCutOff(base + path, hurried), "\(path)")
            }
        }
    }

    @Test("[STAT-9] a look-up of the host that takes its time, and can't be called off")
    func slowLookUp() async throws {
        // As the system's resolver is: it blocks until its own time is over.
        let (waiting, end) = AsyncStream<Void>.makeStream()
        let fetch = GuardedFetch(
            allowsLocal: true,
            lookUp: { _, _ in
                await Task.detached { for await _ in waiting {} }.value
                return []
            },
            timeoutMilliseconds: Self.limit
        )
        let timer = Task {
            try await Task.sleep(for: .seconds(4))
            end.finish()
        }
        #expect(await isCutOff("https://slow.example/1", fetch))
        timer.cancel()
        end.finish()
    }
}
