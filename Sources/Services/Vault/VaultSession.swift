internal import Glibc
internal import Logging
internal import NIOCore
internal import SignedDocuments

/// One connection to a vault, on its event loop: asks the kernel who is there, wants a hello first, and answers as requests
/// are done, in any order.
final class VaultSession: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// How long a client may take to say who it is.
    private static let helloSeconds: Int64 = 5

    /// Laid out as the kernel's `struct ucred`, which this platform's headers do not show.
    private struct Peer: Sendable {
        var process: Int32
        var user: UInt32
        var group: UInt32
    }

    private let door: VaultDoor
    private var peer: Peer?
    private var role: VaultRole?
    private var received = ByteBuffer()
    /// Requests whose answer is not written yet.
    private var inFlight = 0
    private var isEnding = false

    init(door: VaultDoor) {
        self.door = door
    }

    private var keeper: VaultKeeper { door.keeper }

    func channelActive(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: .seconds(Self.helloSeconds)) {
            let (session, context) = bound.value
            if session.role == nil { context.close(promise: nil) }
        }
        guard let options = context.channel as? any SocketOptionProvider else { return context.close(promise: nil) }
        let credentials: EventLoopFuture<Peer> = options.unsafeGetSocketOption(
            level: SocketOptionLevel(SOL_SOCKET),
            name: SocketOptionName(SO_PEERCRED)
        )
        credentials.whenComplete { result in
            let (session, context) = bound.value
            session.meet(try? result.get(), context: context)
        }
    }

    private func meet(_ peer: Peer?, context: ChannelHandlerContext) {
        guard context.channel.isActive else { return }
        guard let peer, peer.user == geteuid() || keeper.limits.nodeUsers.contains(peer.user) else {
            keeper.logger.warning(
                "a stranger was turned away",
                metadata: ["uid": "\(peer.map { "\($0.user)" } ?? "?")"]
            )
            return end(
                VaultReply(failing: VaultError(.notPermitted, "this vault is not for your user")),
                answering: 0,
                context: context
            )
        }
        do {
            try door.enter(context.channel)
        } catch {
            return end(VaultReply(failing: error), answering: 0, context: context)
        }
        self.peer = peer
        readFrames(context: context)
    }

    func channelInactive(context: ChannelHandlerContext) {
        door.leave(context.channel)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        received.writeBuffer(&bytes)
        // Not before the kernel has said who it is; until then a client can send no more than a hello's worth.
        if peer != nil {
            readFrames(context: context)
        } else if received.readableBytes > VaultFrame.maximumBytes {
            context.close(promise: nil)
        }
    }

    private func readFrames(context: ChannelHandlerContext) {
        do {
            while !isEnding, let frame = try VaultFrame(from: &received) { take(frame, context: context) }
            received.discardReadBytes()
        } catch {
            end(VaultReply(failing: error), answering: 0, context: context)
        }
    }

    private func take(_ frame: VaultFrame, context: ChannelHandlerContext) {
        let request: VaultRequest
        do {
            request = try VaultRequest(frame)
        } catch {
            // Refused by what it asks for, the connection can go on; unreadable, it cannot be trusted to be in step.
            guard error.code == .refused else {
                return end(.init(failing: error), answering: frame.id, context: context)
            }
            return write(VaultReply(failing: error), answering: frame.id, context: context)
        }
        guard let role else { return greet(request, frame.id, context: context) }
        do {
            guard inFlight < keeper.limits.inFlight else {
                throw VaultError(.busy, "\(keeper.limits.inFlight) requests wait for their answers")
            }
            switch request {
            case .hello: throw VaultError(.malformed, "a hello comes once")
            case .sign(let key, let input):
                try require(.node, role)
                write(.signature(try keeper.sign(key, input)), answering: frame.id, context: context)
            case .didKey(let number):
                try require(.node, role)
                write(.did(try keeper.didKey(number).string), answering: frame.id, context: context)
            case .addKeyset(let plan):
                try require(.node, role)
                work(frame.id, context: context) { VaultReply(try await $0.add(plan)) }
            case .batch(let batch):
                try require(.node, role)
                work(frame.id, context: context) { VaultReply(try await $0.answer(batch)) }
            case .status: write(.status(keeper.status), answering: frame.id, context: context)
            case .lock:
                try require(.keeper, role)
                keeper.lock()
                door.dismissNode()
                write(.done(.lock), answering: frame.id, context: context)
            case .unlock(let passphrase):
                try require(.keeper, role)
                work(frame.id, context: context) { keeper in
                    try await keeper.unlock(passphrase)
                    return .done(.unlock)
                }
            }
        } catch {
            write(VaultReply(failing: error), answering: frame.id, context: context)
        }
    }

    private func require(_ wanted: VaultRole, _ role: VaultRole) throws(VaultError) {
        guard role == wanted else {
            throw VaultError(.notPermitted, wanted == .node ? "only a node has signed" : "only the operator does that")
        }
    }

    private func greet(_ request: VaultRequest, _ id: UInt32, context: ChannelHandlerContext) {
        do {
            guard case .hello(let version, let role) = request, let peer else {
                throw VaultError(.malformed, "a hello comes first")
            }
            guard version == VaultFrame.version else {
                throw VaultError(
                    .wrongVersion,
                    "this vault speaks version \(VaultFrame.version), not \(version): update the older of the two"
                )
            }
            switch role {
            case .node:
                guard !keeper.greeting.isLocked else {
                    throw VaultError(.locked, "the vault is locked: `mintmark vault unlock`")
                }
                try door.admitNode(context.channel, process: peer.process)
                keeper.logger.notice(
                    "a node is connected",
                    metadata: ["pid": "\(peer.process)", "uid": "\(peer.user)"]
                )
            case .keeper:
                guard peer.user == geteuid() else {
                    throw VaultError(.notPermitted, "only the vault's own user locks and unlocks it")
                }
            }
            self.role = role
            write(.hello(keeper.greeting), answering: id, context: context)
        } catch {
            end(VaultReply(failing: error), answering: id, context: context)
        }
    }

    // MARK: Answering

    private func work(
        _ id: UInt32,
        context: ChannelHandlerContext,
        _ body: @escaping @Sendable (VaultKeeper) async throws -> VaultReply
    ) {
        inFlight += 1
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let (keeper, loop) = (keeper, context.eventLoop)
        Task {
            let reply: VaultReply
            do {
                reply = try await body(keeper)
            } catch {
                reply = VaultReply(failing: error)
            }
            let frame = reply.frame(answering: id)
            loop.execute {
                let (session, context) = bound.value
                session.inFlight -= 1
                session.write(frame, context: context)
            }
        }
    }

    private func write(_ reply: VaultReply, answering id: UInt32, context: ChannelHandlerContext) {
        write(reply.frame(answering: id), context: context)
    }

    /// What is not read by the client counts as in flight, so that it can't pile up here.
    private func write(_ frame: VaultFrame, context: ChannelHandlerContext) {
        guard !isEnding else { return }
        var buffer = context.channel.allocator.buffer(capacity: frame.body.count + 16)
        do {
            try frame.write(to: &buffer)
        } catch {
            return end(VaultReply(failing: error), answering: frame.id, context: context)
        }
        inFlight += 1
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(buffer)).whenComplete { _ in bound.value.inFlight -= 1 }
    }

    private func end(_ reply: VaultReply, answering id: UInt32, context: ChannelHandlerContext) {
        guard !isEnding else { return }
        isEnding = true
        var buffer = context.channel.allocator.buffer(capacity: 256)
        try? reply.frame(answering: id).write(to: &buffer)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(buffer)).whenComplete { _ in bound.value.close(promise: nil) }
    }
}
