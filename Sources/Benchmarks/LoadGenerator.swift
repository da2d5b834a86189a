internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// A lean HTTP/1.1 client on raw NIO: it sends requests made beforehand over keep-alive connections and reads no more
/// of an answer than its status and length. It stands on the same cores as the server it loads, so each microsecond
/// it spends is one the server lacks.
struct LoadGenerator {
    struct Result {
        var seconds: Double
        /// Of the requests that were answered with 2xx: milliseconds, ascending.
        var latencies: [Double]
        /// Requests that were answered with anything else.
        var refused: Int
        /// Requests that were not answered: the connection was cut, or `timeoutSeconds` had passed.
        var unanswered: Int
        /// How often a request was put off with 503 and `Retry-After`, and sent again after that time.
        var putOff: Int
        /// What this process used of all cores for each request, in microseconds: load generator, servers and all.
        var cpuMicroseconds: Double

        var failures: Int { refused + unanswered }
        var perSecond: Double { Double(latencies.count) / seconds }
        func percentile(_ share: Double) -> Double {
            latencies.isEmpty ? 0 : latencies[min(latencies.count - 1, Int(Double(latencies.count) * share))]
        }
    }

    var port: Int
    var connections: Int
    /// Whether a client heeds `Retry-After`: it waits that long and sends the same request again, on a new connection
    /// where the server ended the last.
    var heedsRetryAfter = false
    var timeoutSeconds: Int64 = 30

    /// Sends every request once, each client taking the next as soon as its last was answered.
    func run(_ requests: [ByteBuffer]) async throws -> Result {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let queue = RequestQueue(requests)
        let client = LoadClient(
            queue: queue,
            port: port,
            heedsRetryAfter: heedsRetryAfter,
            timeoutNanoseconds: timeoutSeconds * 1_000_000_000
        )
        let started = NIODeadline.now()
        let used = Timing.processSeconds()
        do {
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for _ in 0..<connections {
                    let finished = group.any().makePromise(of: Void.self)
                    tasks.addTask { try await finished.futureResult.get() }
                    // One after the other, as a server accepts them.
                    try await client.connect(on: group.any(), finished: finished).get()
                }
                try await tasks.waitForAll()
            }
            let cpu = Timing.processSeconds() - used
            try await group.shutdownGracefully()
            return queue.result(since: started, cpuMicroseconds: cpu * 1e6 / Double(max(requests.count, 1)))
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    /// The bytes of a GET.
    static func get(_ path: String, headers: [String] = []) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeString("GET \(path) HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        for header in headers { buffer.writeString("\(header)\r\n") }
        buffer.writeString("\r\n")
        return buffer
    }

    /// The bytes of a POST.
    static func post(_ path: String, _ body: [UInt8]) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeString("POST \(path) HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n")
        buffer.writeString("Content-Length: \(body.count)\r\n\r\n")
        buffer.writeBytes(body)
        return buffer
    }
}

/// The requests that are still to be sent, and what came of the others.
final class RequestQueue: Sendable {
    private struct State {
        var next = 0
        var latencies: [Double] = []
        var refused = 0
        var unanswered = 0
        var putOff = 0
        var lastAnswer = NIODeadline.now()
    }

    private let requests: [ByteBuffer]
    private let state = Mutex(State())

    init(_ requests: [ByteBuffer]) {
        self.requests = requests
        state.withLock { $0.latencies.reserveCapacity(requests.count) }
    }

    func next() -> ByteBuffer? {
        state.withLock { state in
            guard state.next < requests.count else { return nil }
            state.next += 1
            return requests[state.next - 1]
        }
    }

    func answered(_ isGood: Bool, sentAt: NIODeadline) {
        state.withLock { state in
            state.lastAnswer = .now()
            if isGood {
                state.latencies.append(Double((state.lastAnswer - sentAt).nanoseconds) / 1e6)
            } else {
                state.refused += 1
            }
        }
    }

    func unanswered() { state.withLock { $0.unanswered += 1 } }
    func putOff() { state.withLock { $0.putOff += 1 } }

    func result(since started: NIODeadline, cpuMicroseconds: Double) -> LoadGenerator.Result {
        state.withLock { state in
            LoadGenerator.Result(
                seconds: Double((state.lastAnswer - started).nanoseconds) / 1e9,
                latencies: state.latencies.sorted(),
                refused: state.refused,
                unanswered: state.unanswered,
                putOff: state.putOff,
                cpuMicroseconds: cpuMicroseconds
            )
        }
    }
}
