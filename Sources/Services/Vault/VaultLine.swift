internal import Logging
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// A node's line to its vault: one connection, on which many requests are under way at once.
///
/// It keeps the connection by itself and makes it anew where it was lost. While there is none, and while the vault is
/// locked, requests are refused at once, so that nothing waits for a vault that is away; one that was sent and lost its
/// answer fails too, and it is as if it had never been asked: a signature that nobody saw is worth nothing.
public final class VaultLine: Sendable {
    /// How long an answer may take, in milliseconds, where nothing else is said.
    static let answerMilliseconds: Int64 = 5000
    /// How long the vault may take to greet.
    static let greetingSeconds: Int64 = 2
    /// Waits between attempts, in milliseconds: the first and the longest.
    static let retryMilliseconds: (first: Int64, most: Int64) = (50, 1000)
    static let maximumInFlight = 1024

    private struct State {
        var channel: (any Channel)?
        var greeting: VaultGreeting?
        var waiting: [UInt32: EventLoopPromise<VaultReply>] = [:]
        var nextID: UInt32 = 1
        var wait = VaultLine.retryMilliseconds.first
        var isClosed = false
        var isWarned = false
        /// Why there is no connection.
        var trouble = VaultError(.unreachable, "the vault has not answered yet")
    }

    let path: String
    private let role: VaultRole
    let answerMilliseconds: Int64
    private let keepsConnection: Bool
    private let group: MultiThreadedEventLoopGroup
    private let state = Mutex(State())
    private let logger: Logger

    private init(path: String, role: VaultRole, answerMilliseconds: Int64, logger: Logger) {
        self.path = path
        self.answerMilliseconds = answerMilliseconds
        self.role = role
        keepsConnection = role == .node
        self.logger = logger
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    }

    /// Reaches a vault as its node.
    /// - Parameter patienceSeconds: how long to try, as a vault that is started together with the node may be later.
    /// - Throws: `VaultError`: `.unreachable`, or what the vault refused for.
    static func open(
        path: String,
        role: VaultRole,
        patienceSeconds: Int64,
        answerMilliseconds: Int64 = VaultLine.answerMilliseconds,
        logger: Logger
    ) async throws -> VaultLine {
        let line = VaultLine(path: path, role: role, answerMilliseconds: answerMilliseconds, logger: logger)
        let end = NIODeadline.now() + .seconds(patienceSeconds)
        while true {
            do {
                try await line.connect().get()
                return line
            } catch {
                let trouble = VaultLine.trouble(error, path: path)
                guard trouble.code.mayPass, NIODeadline.now() < end else {
                    await line.close()
                    throw trouble
                }
                try await Task.sleep(for: .milliseconds(100))
            }
        }
    }

    public func close() async {
        let channel = state.withLock { state in
            state.isClosed = true
            return state.channel
        }
        try? await channel?.close()
        try? await group.shutdownGracefully()
    }

    /// What the vault said when it was reached last.
    var greeting: VaultGreeting? { state.withLock { $0.greeting } }

    /// Whether requests are sent at all.
    var isUp: Bool { state.withLock { $0.channel != nil } }

    private static func trouble(_ error: any Error, path: String) -> VaultError {
        if let error = error as? VaultError { return error }
        return VaultError(.unreachable, "no vault answers at \(path): start it with `mintmark vault serve`")
    }

    // MARK: The connection

    /// Connects and greets.
    private func connect() -> EventLoopFuture<Void> {
        let loop = group.next()
        let connected = ClientBootstrap(group: loop)
            .connectTimeout(.seconds(Self.greetingSeconds))
            .channelInitializer { [weak self] channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(VaultLineHandler(line: self))
                }
            }
            .connect(unixDomainSocketPath: path)
        return connected.flatMap { [self] channel in
            let request = VaultRequest.hello(version: VaultFrame.version, role: role)
            return send(request, over: channel, milliseconds: Self.greetingSeconds * 1000).flatMapThrowing {
                [self] reply in
                guard case .hello(let greeting) = reply else {
                    throw VaultError(.malformed, "the vault does not greet")
                }
                try take(channel, greeting)
            }.flatMapErrorThrowing { error in
                channel.close(promise: nil)
                throw error
            }
        }
    }

    private func take(_ channel: any Channel, _ greeting: VaultGreeting) throws {
        let isForeign = state.withLock { state in
            if let known = state.greeting, known.node != greeting.node || known.p256 != greeting.p256 { return true }
            state.greeting = greeting
            state.channel = channel
            state.wait = Self.retryMilliseconds.first
            state.isWarned = false
            return false
        }
        if isForeign { throw VaultError(.foreign, "the vault at \(path) holds the keys of \(greeting.node)") }
        logger.info("the vault is reached", metadata: ["socket": "\(path)"])
    }

    /// A connection ended: what waits for an answer on it will not get one.
    func lost(_ channel: any Channel) {
        let (waiting, isClosed) = state.withLock { state in
            guard state.channel === channel || state.channel == nil else {
                return ([EventLoopPromise<VaultReply>](), true)
            }
            let wasUp = state.channel != nil
            state.channel = nil
            state.trouble = VaultError(.unreachable, "no vault answers at \(path): see `mintmark vault serve`")
            let waiting = Array(state.waiting.values)
            state.waiting = [:]
            return (waiting, state.isClosed || !wasUp)
        }
        for promise in waiting {
            promise.fail(VaultError(.unreachable, "the vault went away before it answered; nothing was signed"))
        }
        guard !isClosed, keepsConnection else { return }
        logger.error("the vault is lost: nothing is issued or minted until it is back", metadata: ["socket": "\(path)"])
        reconnect()
    }

    private func reconnect() {
        let wait = state.withLock { state -> Int64? in
            guard !state.isClosed else { return nil }
            defer { state.wait = min(state.wait * 2, Self.retryMilliseconds.most) }
            return state.wait
        }
        guard let wait else { return }
        let loop = group.next()
        loop.scheduleTask(in: .milliseconds(wait)) { [self] in
            connect().whenFailure { [self] error in
                let trouble = Self.trouble(error, path: path)
                let isNew = state.withLock { state in
                    defer { state.isWarned = true }
                    state.trouble = trouble
                    return !state.isWarned
                }
                if isNew { logger.warning("the vault is not reached yet", metadata: ["why": "\(trouble)"]) }
                reconnect()
            }
        }
    }

    // MARK: Requests

    /// - Throws: `VaultError` where nothing is sent; in the future also what the vault answered.
    func send(_ request: VaultRequest) throws(VaultError) -> EventLoopFuture<VaultReply> {
        // Nothing is put on an event loop that is gone: whoever waited there would wait for ever.
        let (channel, trouble) = state.withLock { ($0.isClosed ? nil : $0.channel, $0.trouble) }
        guard let channel else { throw trouble }
        return send(request, over: channel, milliseconds: answerMilliseconds)
    }

    private func send(
        _ request: VaultRequest,
        over channel: any Channel,
        milliseconds: Int64
    ) -> EventLoopFuture<VaultReply> {
        let promise = channel.eventLoop.makePromise(of: VaultReply.self)
        let id = state.withLock { state -> UInt32? in
            guard state.waiting.count < Self.maximumInFlight else { return nil }
            while state.waiting[state.nextID] != nil || state.nextID == 0 { state.nextID &+= 1 }
            let id = state.nextID
            state.nextID &+= 1
            state.waiting[id] = promise
            return id
        }
        guard let id else {
            promise.fail(VaultError(.busy, "\(Self.maximumInFlight) requests wait for the vault; try again shortly"))
            return promise.futureResult
        }
        let frame = VaultFrame(id: id, kind: request.kind, isAnswer: false, body: request.body)
        var buffer = channel.allocator.buffer(capacity: frame.body.count + 16)
        do {
            try frame.write(to: &buffer)
        } catch {
            fail(id, error)
            return promise.futureResult
        }
        let timer = channel.eventLoop.scheduleTask(in: .milliseconds(milliseconds)) { [self] in
            // One that hangs is given up whole: what it may still answer is for nobody.
            fail(id, VaultError(.unreachable, "the vault did not answer within \(milliseconds) ms; nothing was signed"))
            channel.close(promise: nil)
        }
        channel.writeAndFlush(buffer).whenFailure { [self] _ in
            fail(id, VaultError(.unreachable, "the vault went away"))
        }
        promise.futureResult.whenComplete { _ in timer.cancel() }
        return promise.futureResult.flatMapThrowing { reply in
            if case .failure(let code, let number, let message) = reply {
                throw VaultReply.error(code: code, number: number, message: message)
            }
            return reply
        }
    }

    private func fail(_ id: UInt32, _ error: any Error) {
        state.withLock { $0.waiting.removeValue(forKey: id) }?.fail(error)
    }

    func received(_ frame: VaultFrame, on channel: any Channel) {
        let reply: VaultReply
        do {
            reply = try VaultReply(frame)
        } catch {
            fail(frame.id, error)
            channel.close(promise: nil)
            return
        }
        if frame.id == 0, case .failure(let code, let number, let message) = reply {
            // The vault ends the connection and says why.
            let error = VaultReply.error(code: code, number: number, message: message)
            let waiting = state.withLock { state in
                defer { state.waiting = [:] }
                return Array(state.waiting.values)
            }
            for promise in waiting { promise.fail(error) }
            return
        }
        state.withLock { $0.waiting.removeValue(forKey: frame.id) }?.succeed(reply)
    }
}

/// Cuts what arrives from a vault into frames.
private final class VaultLineHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private weak var line: VaultLine?
    private var buffer = ByteBuffer()

    init(line: VaultLine?) {
        self.line = line
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        buffer.writeBuffer(&bytes)
        do {
            while let frame = try VaultFrame(from: &buffer) { line?.received(frame, on: context.channel) }
            buffer.discardReadBytes()
        } catch {
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        line?.lost(context.channel)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
