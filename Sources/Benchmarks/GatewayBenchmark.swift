internal import Foundation
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// What the gateway itself costs, in a `mintmark serve` process of its own: time on a call that has no price, and memory for a
/// long answer and for many answers that wait.
struct GatewayBenchmark {
    var calls = 4_000
    var rounds = 5
    var answerBytes = 1_000_000_000
    var clients = 2_000

    /// The added p50 at one client, against the same upstream called directly, in turns.
    func cost() async throws -> [Measure] {
        try await withNode("gateway-cost") { node in
            try await LocalServers.withUpstream(#"{"celsius":21}"#) { upstream in
                try node.sell("cost", upstream: upstream, [])
                let direct = [ByteBuffer](repeating: LoadGenerator.get("/x"), count: calls)
                let through = [ByteBuffer](repeating: LoadGenerator.get("/s/cost/x"), count: calls)
                let plain = LoadGenerator(port: upstream, connections: 1)
                let gateway = LoadGenerator(port: node.port, connections: 1)
                _ = try await gateway.run(Array(through.prefix(calls / 2)))
                var times: [(direct: Double, through: Double)] = []
                for _ in 0..<rounds {
                    let first = try await plain.run(direct)
                    let second = try await gateway.run(through)
                    guard first.failures + second.failures == 0 else { throw BenchmarkError("calls failed") }
                    times.append((first.percentile(0.5), second.percentile(0.5)))
                }
                let added = times.map { $0.through - $0.direct }
                return [
                    Measure(
                        name: "gateway-added-p50-1-client",
                        value: Timing.median(added),
                        unit: "ms",
                        yardstick: 0.4
                    ),
                    Measure(name: "direct-p50-1-client", value: Timing.median(times.map(\.direct)), unit: "ms"),
                ]
            }
        }
    }

    /// The most memory that the node held while it passed a gigabyte on.
    func stream() async throws -> [Measure] {
        try await withNode("gateway-stream") { node in
            let bytes = answerBytes
            return try await QuietServer.with(.long(bytes)) { upstream in
                try node.sell("long", upstream: upstream, ["--timeout", "600"])
                // The start's own peak is scrypt's: it opens the sealed keys with 32 MB, and gives them back.
                let start = try node.process.peakMegabytes()
                try node.process.forgetPeak()
                let idle = try node.process.peakMegabytes()
                let began = ContinuousClock.now
                let count = try await QuietClient.read("/s/long/x", port: node.port, until: { $0 >= bytes })
                guard count >= bytes else { throw BenchmarkError("only \(count) bytes came") }
                let seconds = Timing.inSeconds(ContinuousClock.now - began)
                let peak = try node.process.peakMegabytes()
                return [
                    Measure(name: "gateway-stream-1GB-peak-resident", value: peak, unit: "MB", yardstick: 64),
                    Measure(name: "gateway-stream-1GB-before", value: idle, unit: "MB"),
                    Measure(name: "gateway-start-peak-resident", value: start, unit: "MB"),
                    Measure(name: "gateway-stream-1GB-rate", value: Double(bytes) / 1e6 / seconds, unit: "MB/s"),
                ]
            }
        }
    }

    /// The memory that the node holds for clients of event streams that wait.
    func events() async throws -> [Measure] {
        try QuietServer.raiseFileLimit()
        return try await withNode("gateway-sse", ["--set", "http.maximumConnections=\(clients + 100)"]) { node in
            try await QuietServer.with(.events) { upstream in
                try node.sell("events", upstream: upstream, ["--timeout", "3600", "--idle-timeout", "3600"])
                let before = try node.process.residentMegabytes()
                let clients = clients
                let port = node.port
                let group = MultiThreadedEventLoopGroup.singleton
                var channels: [any Channel] = []
                for start in stride(from: 0, to: clients, by: 50) {
                    channels += try await withThrowingTaskGroup(of: (any Channel).self) { tasks in
                        for _ in start..<min(start + 50, clients) {
                            tasks.addTask { try await QuietClient.open("/s/events/x", port: port, on: group) }
                        }
                        return try await tasks.reduce(into: []) { $0.append($1) }
                    }
                }
                try await Task.sleep(for: .seconds(3))
                let open = channels.count { $0.isActive }
                guard open == clients else { throw BenchmarkError("\(clients - open) of \(clients) streams ended") }
                let held = try node.process.residentMegabytes()
                for channel in channels { channel.close(promise: nil) }
                return [
                    Measure(name: "gateway-sse-\(clients)-idle-resident", value: held, unit: "MB", yardstick: 150),
                    Measure(name: "gateway-sse-before", value: before, unit: "MB"),
                ]
            }
        }
    }

    private func withNode(
        _ name: String,
        _ settings: [String] = [],
        _ work: (RunningNode) async throws -> [Measure]
    ) async throws -> [Measure] {
        guard let measures = try await RunningNode.with(settings, work) else {
            return [Measure(name: name, value: nil, unit: "MB", note: RunningNode.missing)]
        }
        return measures
    }
}

extension RunningNode {
    /// Sells an upstream of this process for nothing.
    func sell(_ name: String, upstream: Int, _ options: [String]) throws {
        try command(
            ["service", "add", name, "--upstream", "http://127.0.0.1:\(upstream)", "--price", "0sat"] + options
        )
    }
}

extension ChildProcess {
    /// Lets ``peakMegabytes()`` begin anew (Linux, proc(5): `clear_refs`).
    func forgetPeak() throws {
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: "/proc/\(identifier)/clear_refs"))
        try file.write(contentsOf: Data("5".utf8))
        try file.close()
    }

    /// The most resident memory so far, in MB (10^6 bytes), as the kernel counts it.
    func peakMegabytes() throws -> Double {
        let path = "/proc/\(identifier)/status"
        let line = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").first {
            $0.hasPrefix("VmHWM:")
        }
        guard let kilobytes = line?.split(separator: " ").dropFirst().first.flatMap({ Double($0) }) else {
            throw BenchmarkError("\(path) can't be read")
        }
        return kilobytes * 1024 / 1e6
    }
}

/// An upstream that sends a long answer, or the beginning of one that never ends, on one thread of raw NIO.
enum QuietServer {
    enum Answer {
        case long(Int)
        case events
    }

    static func raiseFileLimit() throws {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            throw BenchmarkError("the limit on open files can't be read")
        }
        limit.rlim_cur = min(limit.rlim_max, 16_384)
        guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0, limit.rlim_cur >= 8_192 else {
            throw BenchmarkError("8192 open files are needed, and the limit is \(limit.rlim_cur)")
        }
    }

    static func with<T>(_ answer: Answer, _ work: (Int) async throws -> T) async throws -> T {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(LongAnswer(answer))
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

private final class LongAnswer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let answer: QuietServer.Answer
    private let piece = ByteBuffer(repeating: 0x61, count: 65_536)
    private var left = 0
    private var hasBegun = false

    init(_ answer: QuietServer.Answer) {
        self.answer = answer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !hasBegun else { return }
        hasBegun = true
        switch answer {
        case .events:
            let text =
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: x\n\n\r\n"
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
        case .long(let bytes):
            left = bytes
            let text = "HTTP/1.1 200 OK\r\nContent-Length: \(bytes)\r\n\r\n"
            context.write(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
            send(context)
        }
    }

    private func send(_ context: ChannelHandlerContext) {
        while left > 0, context.channel.isWritable {
            let count = min(left, piece.readableBytes)
            left -= count
            context.writeAndFlush(wrapOutboundOut(piece.getSlice(at: 0, length: count) ?? piece), promise: nil)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) { send(context) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// A client that counts what it reads and keeps nothing.
enum QuietClient {
    /// Opens a stream, and returns when its first event is here.
    static func open(_ path: String, port: Int, on group: any EventLoopGroup) async throws -> any Channel {
        let begun = group.any().makePromise(of: Void.self)
        let channel = try await connect(
            path,
            port: port,
            on: group,
            count: { if $0 > 100 { begun.succeed() } },
            end: {
                begun.fail(BenchmarkError("a stream ended before its first event"))
            }
        )
        try await begun.futureResult.get()
        return channel
    }

    /// Reads until there is enough, or the connection ends.
    static func read(_ path: String, port: Int, until isEnough: @escaping @Sendable (Int) -> Bool) async throws -> Int {
        let group = MultiThreadedEventLoopGroup.singleton
        let done = group.any().makePromise(of: Int.self)
        let total = Mutex(0)
        let channel = try await connect(
            path,
            port: port,
            on: group,
            count: { count in
                total.withLock { $0 = count }
                if isEnough(count) { done.succeed(count) }
            },
            end: { done.succeed(total.withLock { $0 }) }
        )
        let count = try await done.futureResult.get()
        try? await channel.close()
        return count
    }

    private static func connect(
        _ path: String,
        port: Int,
        on group: any EventLoopGroup,
        count: @escaping @Sendable (Int) -> Void,
        end: @escaping @Sendable () -> Void
    ) async throws -> any Channel {
        try await ClientBootstrap(group: group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        Counter(request: LoadGenerator.get(path), count: count, end: end)
                    )
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
    }

    private final class Counter: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let request: ByteBuffer
        private let count: @Sendable (Int) -> Void
        private let end: @Sendable () -> Void
        private var bytes = 0

        init(request: ByteBuffer, count: @escaping @Sendable (Int) -> Void, end: @escaping @Sendable () -> Void) {
            self.request = request
            self.count = count
            self.end = end
        }

        func channelActive(context: ChannelHandlerContext) {
            context.writeAndFlush(wrapOutboundOut(request), promise: nil)
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            bytes += unwrapInboundIn(data).readableBytes
            count(bytes)
        }

        func channelInactive(context: ChannelHandlerContext) { end() }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
