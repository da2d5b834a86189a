internal import Libp2p
internal import NIOCore

/// The state of one stream; lives on the event loop of its connection.
final class StreamCore {
    private enum End {
        case finished
        case failed(Libp2pError)
    }

    let id: UInt32
    let protocolName: String
    let isOurs: Bool
    /// A cycle while the stream is in use; the connection forgets the stream at its end.
    private let connection: ConnectionHandler
    private var inbox: [ArraySlice<UInt8>] = []
    private var end: End?
    private var isFinished = false
    /// Nobody reads any more: what comes is dropped.
    private(set) var isReleased = false
    private var ticksReleased = 0
    private var reader: EventLoopPromise<[UInt8]?>?
    private var writers: [(rest: ArraySlice<UInt8>, done: EventLoopPromise<Void>?)] = []
    private var deadline: Scheduled<Void>?
    /// Takes what comes as it comes, in place of a reader; nil is the end, however it came.
    private var sink: ((ArraySlice<UInt8>?) -> Void)?
    /// Is told each time that nothing waits to be written any more.
    var onDrained: (() -> Void)?

    init(id: UInt32, protocolName: String, isOurs: Bool, connection: ConnectionHandler) {
        self.id = id
        self.protocolName = protocolName
        self.isOurs = isOurs
        self.connection = connection
    }

    // MARK: What its user does

    /// Writes that wait for room.
    var waitingWrites: Int { writers.count }

    /// Hands all that comes to `sink`, on the loop; it counts as read when ``used(_:)`` says so.
    func deliver(to sink: @escaping (ArraySlice<UInt8>?) -> Void) {
        self.sink = sink
        let waiting = inbox
        inbox = []
        for bytes in waiting { received(bytes) }
        if end != nil { endSink() }
    }

    /// Bytes that a sink was handed are used: the peer may send as many more.
    func used(_ count: Int) { connection.consumed(count, on: id) }

    private func endSink() {
        let ended = sink
        sink = nil
        ended?(nil)
    }

    /// All that has come, or what comes next; nil at the end.
    func read() -> EventLoopFuture<[UInt8]?> {
        let loop = connection.loop
        if !inbox.isEmpty {
            let bytes = inbox.count == 1 ? [UInt8](inbox[0]) : inbox.flatMap { $0 }
            inbox = []
            connection.consumed(bytes.count, on: id)
            settle()
            return loop.makeSucceededFuture(bytes)
        }
        switch end {
        case .finished: return loop.makeSucceededFuture(nil)
        case .failed(let error): return loop.makeFailedFuture(error)
        case nil: break
        }
        guard reader == nil else {
            return loop.makeFailedFuture(Libp2pError(.protocolViolation, "the stream is being read already"))
        }
        let promise = loop.makePromise(of: [UInt8]?.self)
        reader = promise
        return promise.futureResult
    }

    /// Done once all bytes are on their way within the peer's window.
    func write(_ bytes: [UInt8]) -> EventLoopFuture<Void> {
        let loop = connection.loop
        if case .failed(let error) = end { return loop.makeFailedFuture(error) }
        guard !isFinished else { return loop.makeFailedFuture(Libp2pError(.closed, "the stream is finished")) }
        guard writers.count < connection.limits.waitingWrites else {
            return loop.makeFailedFuture(Libp2pError(.limitExceeded, "too many writes wait on the stream already"))
        }
        let promise = loop.makePromise(of: Void.self)
        writers.append((bytes[...], promise))
        pump()
        return promise.futureResult
    }

    /// Writes without telling when it is done; nothing where the stream is closed. The caller bounds what waits.
    func push(_ bytes: [UInt8]) {
        guard !isFinished, !hasFailed else { return }
        writers.append((bytes[...], nil))
        pump()
    }

    /// No more is sent, once what waits is on its way.
    func finish() {
        guard !isFinished, !hasFailed else { return }
        isFinished = true
        if writers.isEmpty { connection.finish(id) }
        settle()
    }

    /// Breaks the stream off.
    func reset(_ error: Libp2pError) {
        guard !hasFailed else { return }
        connection.reset(id)
        fail(error)
    }

    /// Its user is done with it: finished, and read no further. A peer that goes on is broken off after a while.
    func release() {
        finish()
        isReleased = true
        let count = inbox.reduce(0) { $0 + $1.count }
        inbox = []
        if count > 0 { connection.consumed(count, on: id) }
        settle()
    }

    /// Breaks the stream off after a while; nil takes the limit away.
    func setDeadline(_ time: TimeAmount?) {
        deadline?.cancel()
        deadline = time.map { time in
            connection.loop.assumeIsolated().scheduleTask(in: time) { [weak self] in
                self?.reset(Libp2pError(.timedOut, "the peer took too long on the stream"))
            }
        }
    }

    // MARK: What its connection tells

    func received(_ bytes: ArraySlice<UInt8>) {
        guard !isReleased else { return connection.consumed(bytes.count, on: id) }
        if let sink { return sink(bytes) }
        inbox.append(bytes)
        if let reader {
            self.reader = nil
            reader.completeWith(read())
        }
    }

    func receivedEnd() {
        guard end == nil else { return }
        end = .finished
        reader?.succeed(nil)
        reader = nil
        endSink()
        settle()
    }

    /// The stream is gone. What came before and is unread is lost, as a reset means.
    func fail(_ error: Libp2pError) {
        guard !hasFailed else { return }
        end = .failed(error)
        inbox = []
        setDeadline(nil)
        reader?.fail(error)
        reader = nil
        let waiting = writers
        writers = []
        for writer in waiting { writer.done?.fail(error) }
        endSink()
        connection.forget(id)
    }

    /// Sends what waits, as far as there is room.
    func pump() {
        while let first = writers.first {
            guard let count = try? connection.send(first.rest, on: id) else {
                return fail(Libp2pError(.closed, "the stream is closed for sending"))
            }
            guard count == first.rest.count else {
                writers[0].rest = first.rest.dropFirst(count)
                return
            }
            writers.removeFirst()
            first.done?.succeed(())
        }
        onDrained?()
        if isFinished { connection.finish(id) }
        settle()
    }

    func tick() {
        guard isReleased, !hasFailed else { return }
        ticksReleased += 1
        if ticksReleased > 2 { reset(Libp2pError(.timedOut, "the peer did not finish the stream")) }
    }

    /// Both sides are done and nothing is left to read: the connection need not know of it any more.
    private func settle() {
        guard case .finished = end, isFinished, writers.isEmpty, inbox.isEmpty else { return }
        setDeadline(nil)
        connection.forget(id)
    }

    private var hasFailed: Bool {
        if case .failed = end { return true }
        return false
    }
}
