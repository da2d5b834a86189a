internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// A lean HTTP/1.1 client on raw NIO: it sends requests made beforehand over keep-alive connections and reads no more
/// of an answer than its status and length. It stands on the same cores as the server it loads, so each microsecond
/// it spends is one the server lacks.
struct LoadGenerator {
    struct Result {
        var seconds: Double
        /// Milliseconds, ascending.
        var latencies: [Double]
        var failures: Int
        /// Those of the failures that were 503: over capacity, try again.
        var overloaded: Int
        /// What this process used of all cores for each request, in microseconds: load generator, servers and all.
        var cpuMicroseconds: Double

        var perSecond: Double { Double(latencies.count) / seconds }
        func percentile(_ share: Double) -> Double {
            latencies.isEmpty ? 0 : latencies[min(latencies.count - 1, Int(Double(latencies.count) * share))]
        }
    }

    var port: Int
    var connections: Int

    /// Sends every request once, each connection taking the next as soon as its last was answered.
    func run(_ requests: [ByteBuffer]) async throws -> Result {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let queue = RequestQueue(requests)
        let clock = ContinuousClock()
        let started = clock.now
        let used = Timing.processSeconds()
        do {
            let done = try await withThrowingTaskGroup(of: Void.self) { tasks in
                for _ in 0..<connections {
                    let finished = group.any().makePromise(of: Void.self)
                    let channel = try await ClientBootstrap(group: group)
                        .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                        .channelInitializer { channel in
                            channel.eventLoop.makeCompletedFuture {
                                try channel.pipeline.syncOperations.addHandler(
                                    LoadConnection(queue: queue, finished: finished)
                                )
                            }
                        }
                        .connect(host: "127.0.0.1", port: port).get()
                    tasks.addTask {
                        try await finished.futureResult.get()
                        try? await channel.close()
                    }
                }
                try await tasks.waitForAll()
                return clock.now
            }
            let cpu = Timing.processSeconds() - used
            try await group.shutdownGracefully()
            let (latencies, failures, overloaded) = queue.results
            return Result(
                seconds: Timing.inSeconds(done - started),
                latencies: latencies.sorted(),
                failures: failures,
                overloaded: overloaded,
                cpuMicroseconds: cpu * 1e6 / Double(max(requests.count, 1))
            )
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
private final class RequestQueue: Sendable {
    private struct State {
        var next = 0
        var latencies: [Double] = []
        var failures = 0
        var overloaded = 0
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

    func record(_ milliseconds: Double, _ answer: Answer) {
        state.withLock { state in
            state.latencies.append(milliseconds)
            if !answer.isGood { state.failures += 1 }
            if answer.isOverload { state.overloaded += 1 }
        }
    }

    var results: ([Double], Int, Int) { state.withLock { ($0.latencies, $0.failures, $0.overloaded) } }
}

private final class LoadConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let queue: RequestQueue
    private let finished: EventLoopPromise<Void>
    private var received = ByteBuffer()
    private var sentAt = NIODeadline.now()

    init(queue: RequestQueue, finished: EventLoopPromise<Void>) {
        self.queue = queue
        self.finished = finished
    }

    func channelActive(context: ChannelHandlerContext) {
        sendNext(context)
    }

    private func sendNext(_ context: ChannelHandlerContext) {
        guard let request = queue.next() else {
            finished.succeed()
            return
        }
        sentAt = .now()
        context.writeAndFlush(wrapOutboundOut(request), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var part = unwrapInboundIn(data)
        received.writeBuffer(&part)
        guard let answer = Answer(received.readableBytesView), received.readableBytes >= answer.length else { return }
        queue.record(Double((NIODeadline.now() - sentAt).nanoseconds) / 1e6, answer)
        received.clear()
        sendNext(context)
    }

    func channelInactive(context: ChannelHandlerContext) {
        finished.fail(ChannelError.eof)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        finished.fail(error)
        context.close(promise: nil)
    }
}

/// Status and whole length of an HTTP answer whose head has arrived.
private struct Answer {
    var isGood: Bool
    /// 503.
    var isOverload: Bool
    var length: Int

    init?(_ bytes: ByteBufferView) {
        let name = Array("content-length:".utf8)
        guard bytes.count > 12, let end = Self.endOfHead(bytes) else { return nil }
        isGood = bytes[bytes.startIndex + 9] == UInt8(ascii: "2")
        isOverload = bytes[(bytes.startIndex + 9)..<(bytes.startIndex + 12)].elementsEqual("503".utf8)
        var index = bytes.startIndex
        while index < end {
            var matched = 0
            while matched < name.count, index + matched < end, bytes[index + matched] | 0x20 == name[matched] | 0x20 {
                matched += 1
            }
            if matched == name.count {
                var length = 0
                for byte in bytes[(index + matched)..<end] {
                    if byte == UInt8(ascii: "\r") { break }
                    if byte >= 0x30, byte <= 0x39 { length = length * 10 + Int(byte - 0x30) }
                }
                self.length = end + 4 - bytes.startIndex + length
                return
            }
            while index < end, bytes[index] != UInt8(ascii: "\n") { index += 1 }
            index += 1
        }
        return nil
    }

    private static func endOfHead(_ bytes: ByteBufferView) -> Int? {
        var index = bytes.startIndex
        while index + 3 < bytes.endIndex {
            if bytes[index] == 13, bytes[index + 1] == 10, bytes[index + 2] == 13, bytes[index + 3] == 10 {
                return index
            }
            index += 1
        }
        return nil
    }
}
