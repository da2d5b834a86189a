internal import Libp2p
internal import NIOCore

/// Drives one ``PeerSession`` over a TCP connection; lives on the event loop of its host.
final class ConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let loop: any EventLoop
    let limits: P2PLimits
    let slot: ConnectionTable.Slot
    let isInbound: Bool
    private let host: HostCore
    private var session: PeerSession
    private var context: ChannelHandlerContext?
    private var flushIsScheduled = false
    private var streams: [UInt32: StreamCore] = [:]
    private var opening: [UInt32: EventLoopPromise<P2PStream>] = [:]
    private var openByProtocol: [String: Int] = [:]
    private var handshakeDeadline: Scheduled<Void>?
    private var established: EventLoopPromise<P2PConnection>?
    /// Set once the handshake is complete.
    private(set) var connection: P2PConnection?
    private(set) var isClosing = false
    private var closed: Libp2pError?
    private var heardSinceTick = false
    private var silentTicks = 0
    private var isPaused = false
    private var byteBudget: TokenBucket
    private var streamBudget: TokenBucket
    private(set) var remoteAddress: Multiaddr?
    /// What the peer told about itself, and when that comes.
    private(set) var identified: Identify?
    let closePromise: EventLoopPromise<Void>

    init(host: HostCore, slot: ConnectionTable.Slot, isInbound: Bool, session: PeerSession, loop: any EventLoop) {
        self.host = host
        self.slot = slot
        self.isInbound = isInbound
        self.session = session
        self.loop = loop
        limits = host.limits
        byteBudget = TokenBucket(perSecond: host.limits.bytesPerSecond, atOnce: host.limits.bytesAtOnce)
        streamBudget = TokenBucket(perSecond: host.limits.streamsPerSecond, atOnce: host.limits.streamsAtOnce)
        closePromise = loop.makePromise(of: Void.self)
    }

    // MARK: The channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { begin(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        begin(context)
        context.fireChannelActive()
    }

    private func begin(_ context: ChannelHandlerContext) {
        guard handshakeDeadline == nil, connection == nil else { return }
        remoteAddress = Multiaddr(context.channel.remoteAddress)
        handshakeDeadline = loop.assumeIsolated().scheduleTask(in: .seconds(limits.handshakeSeconds)) { [weak self] in
            self?.fail(Libp2pError(.timedOut, "the handshake took longer than it may"))
        }
        flush()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard closed == nil else { return }
        let buffer = unwrapInboundIn(data)
        host.bytesIn += UInt64(buffer.readableBytes)
        spend(buffer.readableBytes, context)
        do throws(Libp2pError) {
            let before = session.framesReceived
            let events = try session.receive([UInt8](buffer.readableBytesView)[...])
            if session.framesReceived != before { heardSinceTick = true }
            // What one event led to may have ended the connection.
            for event in events where closed == nil { take(event) }
        } catch {
            flush()
            fail(error)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        flush()
        closeIfDone()
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        flush()
        closeIfDone()
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(Libp2pError(.closed, "the connection was closed"))
        self.context = nil
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail(Libp2pError(.closed, "the connection broke"))
    }

    /// A peer that sends more than its share is read later: TCP holds it back.
    private func spend(_ count: Int, _ context: ChannelHandlerContext) {
        guard let wait = byteBudget.spend(count, at: .now()), !isPaused else { return }
        let channel = context.channel
        guard (try? channel.syncOptions?.setOption(.autoRead, value: false)) != nil else { return }
        isPaused = true
        resume(channel, after: wait)
    }

    /// What was read since, before the channel paused, is waited for too.
    private func resume(_ channel: any Channel, after wait: TimeAmount) {
        loop.assumeIsolated().scheduleTask(in: wait) { [weak self] in
            guard let self, closed == nil else { return }
            if let more = byteBudget.spend(0, at: .now()) { return resume(channel, after: more) }
            isPaused = false
            try? channel.syncOptions?.setOption(.autoRead, value: true)
        }
    }

    /// Sends what there is while the socket takes it: once for all that happens in one turn of the loop.
    private func scheduleFlush() {
        guard !flushIsScheduled else { return }
        flushIsScheduled = true
        loop.assumeIsolated().execute { [self] in
            flush()
            closeIfDone()
        }
    }

    private func flush() {
        flushIsScheduled = false
        var wrote = false
        while let context, context.channel.isWritable, session.hasOutput {
            do throws(Libp2pError) {
                let (bytes, writable) = try session.takeOutput()
                guard !bytes.isEmpty else { break }
                wrote = true
                host.bytesOut += UInt64(bytes.count)
                context.write(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
                for id in writable { streams[id]?.pump() }
            } catch {
                return fail(error)
            }
        }
        if wrote { context?.flush() }
    }

    // MARK: Events

    private func take(_ event: PeerSession.Event) {
        switch event {
        case .established(let peer): establish(peer)
        case .accepted(let id, let name): accept(id, name)
        case .agreed(let id, let name):
            guard let promise = opening.removeValue(forKey: id), let connection else { return session.reset(id) }
            let core = StreamCore(id: id, protocolName: name, isOurs: true, connection: self)
            streams[id] = core
            promise.succeed(P2PStream(core, connection: connection, loop: loop))
        case .refused(let id):
            let error = Libp2pError(.notNegotiated, "the peer speaks none of the protocols, or does not answer")
            opening.removeValue(forKey: id)?.fail(error)
        case .data(let id, let bytes):
            if let stream = streams[id] { stream.received(bytes) } else { session.consumed(bytes.count, on: id) }
        case .finished(let id): streams[id]?.receivedEnd()
        case .reset(let id): streams[id]?.fail(Libp2pError(.reset, "the peer broke the stream off"))
        case .writable(let id): streams[id]?.pump()
        case .pong: break
        case .goneAway: isClosing = true
        }
    }

    private func establish(_ peer: PeerID) {
        do throws(Libp2pError) {
            try host.establish(self, peer)
        } catch {
            return fail(error)
        }
        handshakeDeadline?.cancel()
        let connection = P2PConnection(self, peer: peer, loop: loop)
        self.connection = connection
        established?.succeed(connection)
        established = nil
        host.connected(connection, self)
    }

    private func accept(_ id: UInt32, _ name: String) {
        let isGossip = host.gossip != nil && GossipSub.protocolNames.contains(name)
        let limit = isGossip ? 2 : limits.streamsPerProtocol
        guard let connection, openByProtocol[name, default: 0] < limit, streamBudget.take(1, at: .now()) else {
            return session.reset(id)
        }
        openByProtocol[name, default: 0] += 1
        let core = StreamCore(id: id, protocolName: name, isOurs: false, connection: self)
        streams[id] = core
        if isGossip {
            host.gossip?.accepted(core, on: connection) { [self] in openByProtocol[name, default: 1] -= 1 }
            return
        }
        guard let serving = host.protocols[name] else { return core.reset(Libp2pError(.unsupported, "not served")) }
        host.serve(P2PStream(core, connection: connection, loop: loop), with: serving) { [self] in
            openByProtocol[name, default: 1] -= 1
        }
    }

    // MARK: What streams and hosts do

    /// Done with the handshake; fails where it does.
    func whenEstablished() -> EventLoopFuture<P2PConnection> {
        if let connection { return loop.makeSucceededFuture(connection) }
        if let closed { return loop.makeFailedFuture(closed) }
        let promise = established ?? loop.makePromise(of: P2PConnection.self)
        established = promise
        return promise.futureResult
    }

    func open(_ proposals: [String]) -> EventLoopFuture<P2PStream> {
        do throws(Libp2pError) {
            guard closed == nil, !isClosing else { throw Libp2pError(.closed, "the connection is closed") }
            let id = try session.open(proposals)
            let promise = loop.makePromise(of: P2PStream.self)
            opening[id] = promise
            scheduleFlush()
            return promise.futureResult
        } catch {
            return loop.makeFailedFuture(error)
        }
    }

    func send(_ bytes: ArraySlice<UInt8>, on id: UInt32) throws(Libp2pError) -> Int {
        defer { scheduleFlush() }
        return try session.send(bytes, on: id)
    }

    func consumed(_ count: Int, on id: UInt32) {
        session.consumed(count, on: id)
        scheduleFlush()
    }

    func finish(_ id: UInt32) {
        session.finish(id)
        scheduleFlush()
    }

    func reset(_ id: UInt32) {
        session.reset(id)
        scheduleFlush()
    }

    func forget(_ id: UInt32) {
        streams[id] = nil
    }

    func take(_ identify: Identify) {
        identified = identify
        if let connection { host.gossip?.identified(connection.peer, identify) }
    }

    func ownIdentity(sequence: UInt64) -> Identify {
        host.identity(seenFrom: remoteAddress, sequence: sequence)
    }

    func tick() {
        for event in session.tick() { take(event) }
        for stream in Array(streams.values) { stream.tick() }
        silentTicks = heardSinceTick ? 0 : silentTicks + 1
        heardSinceTick = false
        if silentTicks == 3 { session.ping(1) }
        if silentTicks > 6 { return fail(Libp2pError(.timedOut, "the peer is silent")) }
        scheduleFlush()
    }

    /// Takes no more streams, lets those that are open end for a while, and closes.
    func close() {
        guard closed == nil else { return }
        guard connection != nil else { return fail(Libp2pError(.closed, "the connection was closed on this side")) }
        if !isClosing {
            isClosing = true
            session.goAway()
            loop.assumeIsolated().scheduleTask(in: .seconds(limits.graceSeconds)) { [weak self] in
                self?.fail(Libp2pError(.closed, "the connection was closed on this side"))
            }
        }
        scheduleFlush()
    }

    private func closeIfDone() {
        guard isClosing, closed == nil, session.streamCount == 0, !session.hasOutput else { return }
        fail(Libp2pError(.closed, "the connection was closed"))
    }

    /// The end of everything on this connection.
    func fail(_ error: Libp2pError) {
        guard closed == nil else { return }
        closed = error
        handshakeDeadline?.cancel()
        established?.fail(error)
        established = nil
        for promise in opening.values { promise.fail(error) }
        opening = [:]
        for stream in Array(streams.values) { stream.fail(error) }
        streams = [:]
        host.closed(self, error)
        closePromise.succeed(())
        // What was written before goes out first.
        context?.close(promise: nil)
    }
}
