internal import NIOCore
internal import Synchronization

/// Ends connections whose clients take too long over the head of a request, a byte now and then: each would hold a place
/// that costs it nothing. It stands before the HTTP decoder, and the ``DoorHandler`` behind it tells it what was decoded.
///
/// A new connection has the time from its beginning, as it may never send anything; one that had a request before has it from
/// the first byte of the next.
final class HeadDeadline: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let seconds: Int64
    private let halfOpen: HalfOpenConnections
    private var place: HalfOpenConnections.Place?
    private var timer: Scheduled<Void>?
    private var isBetweenRequests = true
    /// Whether something of a head is there.
    private(set) var hasBegun = false
    /// What is done when the time is over.
    var onLate: (() -> Void)?

    init(_ door: HTTPDoor, _ halfOpen: HalfOpenConnections) {
        seconds = door.headSeconds
        self.halfOpen = halfOpen
    }

    func handlerAdded(context: ChannelHandlerContext) { start(context) }

    func handlerRemoved(context: ChannelHandlerContext) {
        stop()
        onLate = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isBetweenRequests { hasBegun = true }
        context.fireChannelRead(data)
        // What was read ended no head.
        if isBetweenRequests, hasBegun, timer == nil { start(context) }
    }

    /// A head is whole.
    func headCame() {
        isBetweenRequests = false
        hasBegun = false
        stop()
    }

    func requestEnded() { isBetweenRequests = true }

    private func start(_ context: ChannelHandlerContext) {
        let channel = context.channel
        place = halfOpen.enter { channel.close(promise: nil) }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: .seconds(seconds)) {
            let (deadline, context) = bound.value
            deadline.stop()
            if let late = deadline.onLate, deadline.hasBegun { late() } else { context.close(promise: nil) }
        }
    }

    private func stop() {
        timer?.cancel()
        timer = nil
        if let place { halfOpen.leave(place) }
        place = nil
    }
}

/// The connections that wait for the head of a request, oldest first. Over the limit the oldest is closed: who means it sends
/// its head at once, so it is who does not that is met.
final class HalfOpenConnections: Sendable {
    typealias Place = UInt64

    private struct State {
        var waiting: [Place: @Sendable () -> Void] = [:]
        var oldest: Place = 0
        var next: Place = 0
    }

    private let limit: Int
    private let state = Mutex(State())

    init(limit: Int) {
        self.limit = max(1, limit)
    }

    var count: Int { state.withLock { $0.waiting.count } }

    /// - Parameter close: ends the connection; safe on any thread.
    func enter(_ close: @escaping @Sendable () -> Void) -> Place {
        let (place, evicted) = state.withLock { state -> (Place, (@Sendable () -> Void)?) in
            let place = state.next
            state.next += 1
            state.waiting[place] = close
            guard state.waiting.count > limit else { return (place, nil) }
            while state.waiting[state.oldest] == nil, state.oldest < place { state.oldest += 1 }
            return (place, state.waiting.removeValue(forKey: state.oldest))
        }
        evicted?()
        return place
    }

    func leave(_ place: Place) {
        state.withLock { _ = $0.waiting.removeValue(forKey: place) }
    }
}
