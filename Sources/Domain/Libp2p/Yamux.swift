/// The Yamux multiplexer (`/yamux/1.0.0`) without I/O: many streams over one ordered channel, each with its own flow
/// control.
///
/// Feed in what was received and act on the events; send what ``takeOutput()`` gives. What a stream received counts
/// against its window until ``consumed(_:on:)`` is told, so that a reader that stops stops its sender. After an error the
/// session is dead: send what output there is (it tells the peer why) and close.
public struct Yamux: Sendable {
    /// The name under which the protocol is negotiated.
    public static let protocolName = "/yamux/1.0.0"
    /// The window that every stream begins with in both directions, by the specification.
    public static let initialWindowBytes: UInt32 = 256 * 1024

    /// What is allowed at once.
    public struct Limits: Sendable {
        /// Streams that the peer opened.
        public var inboundStreams = 256
        /// Streams that this side opened.
        public var outboundStreams = 256
        /// Streams of this side that the peer has not acknowledged.
        public var unacknowledgedStreams = 128
        /// Bytes received and not consumed, of all streams together; over it the stream they come on is reset.
        public var unreadBytes = 2 * 1024 * 1024
        /// Bytes waiting to be sent, above which no more data is taken; frames of control may go to twice that.
        public var outputBytes = 256 * 1024
        /// Streams of the peer's refused one after the other, after which it is not listened to any more.
        public var refusedStreams = 1_024

        public init() {}
    }

    /// What happened, in order.
    public enum Event: Sendable, Equatable {
        /// The peer opened a stream.
        case opened(UInt32)
        /// Bytes of a stream; tell ``Yamux/consumed(_:on:)`` when they are used.
        case data(UInt32, ArraySlice<UInt8>)
        /// The peer sends no more on the stream.
        case finished(UInt32)
        /// The stream is gone: nothing more comes or goes on it.
        case reset(UInt32)
        /// There is room to send on the stream again.
        case writable(UInt32)
        /// The answer to a ping of this side.
        case pong(UInt32)
        /// The peer opens and takes no more streams: 0 it is closing, 1 and 2 it found an error.
        case goneAway(UInt32)
    }

    struct Stream: Sendable {
        var sendCredit = Yamux.initialWindowBytes
        /// What the peer may still send.
        var receiveCredit = Yamux.initialWindowBytes
        /// Consumed and not yet given back as credit.
        var consumed: UInt32 = 0
        var unread = 0
        let isOurs: Bool
        /// The flag of the first frame that is sent on it: SYN or ACK.
        var opening: YamuxHeader.Flags
        var isAcknowledged: Bool
        var sentFIN = false
        var receivedFIN = false
        /// The last send took less than it was given.
        var isStalled = false
    }

    enum Reading: Sendable {
        case header
        /// The body of a data frame: of a stream, or of one that is gone, whose bytes are dropped.
        case body(stream: UInt32, remaining: Int, isFinal: Bool)
    }

    let limits: Limits
    let isDialer: Bool
    var nextID: UInt32
    var streams: [UInt32: Stream] = [:]
    var inboundCount = 0
    var unacknowledgedCount = 0
    var unreadBytes = 0
    var refusedCount = 0
    var reading = Reading.header
    var partialHeader: [UInt8] = []
    var output: [UInt8] = []
    var stalledByOutput = false
    var sentGoAway = false
    var receivedGoAway = false

    public init(isDialer: Bool, limits: Limits = Limits()) {
        self.isDialer = isDialer
        self.limits = limits
        nextID = isDialer ? 1 : 2
    }

    /// Streams open now.
    public var streamCount: Int { streams.count }
    /// Bytes that wait in ``takeOutput()``.
    public var outputCount: Int { output.count }

    /// Opens a stream.
    /// - Throws: `Libp2pError` with `.limitExceeded`, or `.closed` after a go-away.
    public mutating func open() throws(Libp2pError) -> UInt32 {
        guard !receivedGoAway, !sentGoAway else {
            throw Libp2pError(.closed, "the connection takes no more streams: it is being closed")
        }
        guard streams.count - inboundCount < limits.outboundStreams,
            unacknowledgedCount < limits.unacknowledgedStreams, nextID < UInt32.max - 2
        else { throw Libp2pError(.limitExceeded, "the connection has as many streams as it may") }
        let id = nextID
        nextID += 2
        streams[id] = Stream(isOurs: true, opening: [], isAcknowledged: false)
        unacknowledgedCount += 1
        YamuxHeader(.windowUpdate, .syn, stream: id).append(to: &output)
        return id
    }

    /// Takes as much of `bytes` as the peer's window and our output have room for, and tells how much; a `.writable`
    /// event follows where it was not all.
    /// - Throws: `Libp2pError` with `.closed` where the stream is gone or this side has finished it.
    public mutating func send(_ bytes: ArraySlice<UInt8>, on id: UInt32) throws(Libp2pError) -> Int {
        try send(bytes, on: id, room: max(0, limits.outputBytes - output.count))
    }

    /// As ``send(_:on:)``, for the few bytes that a stream is negotiated with: into the room of the frames of control, so
    /// that one stream that sends much keeps no other from being opened.
    mutating func sendUrgently(_ bytes: ArraySlice<UInt8>, on id: UInt32) throws(Libp2pError) -> Int {
        try send(bytes, on: id, room: max(0, 2 * limits.outputBytes - output.count))
    }

    private mutating func send(_ bytes: ArraySlice<UInt8>, on id: UInt32, room: Int) throws(Libp2pError) -> Int {
        guard var stream = streams[id], !stream.sentFIN else {
            throw Libp2pError(.closed, "the stream is closed for sending")
        }
        let count = min(bytes.count, Int(stream.sendCredit), room)
        if count < bytes.count {
            stream.isStalled = true
            if count == room { stalledByOutput = true }
        }
        if count > 0 {
            YamuxHeader(.data, stream.opening, stream: id, length: UInt32(count)).append(to: &output)
            output.append(contentsOf: bytes.prefix(count))
            stream.opening = []
            stream.sendCredit -= UInt32(count)
        }
        streams[id] = stream
        return count
    }

    /// Sends no more on the stream; it is gone once the peer has finished too.
    public mutating func finish(_ id: UInt32) {
        guard var stream = streams[id], !stream.sentFIN else { return }
        YamuxHeader(.data, stream.opening.union(.fin), stream: id).append(to: &output)
        stream.opening = []
        stream.sentFIN = true
        streams[id] = stream
        removeIfDone(id)
    }

    /// Breaks the stream off, both ways.
    public mutating func reset(_ id: UInt32) {
        guard streams[id] != nil else { return }
        YamuxHeader(.windowUpdate, .rst, stream: id).append(to: &output)
        remove(id)
    }

    /// Gives bytes that were received back to the window of their stream.
    public mutating func consumed(_ count: Int, on id: UInt32) {
        guard var stream = streams[id] else { return }
        let count = min(count, stream.unread)
        stream.unread -= count
        unreadBytes -= count
        stream.consumed += UInt32(truncatingIfNeeded: count)
        // Half a window at a time: fewer frames, and the sender does not stand still meanwhile.
        if stream.consumed >= Self.initialWindowBytes / 2, !stream.receivedFIN {
            YamuxHeader(.windowUpdate, stream.opening, stream: id, length: stream.consumed).append(to: &output)
            stream.receiveCredit += stream.consumed
            stream.consumed = 0
            stream.opening = []
        }
        streams[id] = stream
        removeIfDone(id)
    }

    /// Asks the peer for a sign of life; a `.pong` with the same value answers.
    public mutating func ping(_ value: UInt32) {
        YamuxHeader(.ping, .syn, length: value).append(to: &output)
    }

    /// Tells the peer that no more streams are opened or taken; those that are open go on.
    /// - Parameter reason: 0 normal, 1 an error of the peer's, 2 one of ours.
    public mutating func goAway(_ reason: UInt32 = 0) {
        guard !sentGoAway else { return }
        sentGoAway = true
        YamuxHeader(.goAway, length: reason).append(to: &output)
    }

    /// What is to be sent now, and is then forgotten here; ``drainedStreams()`` may have something to say afterwards.
    public mutating func takeOutput() -> [UInt8] {
        defer { output = [] }
        return output
    }

    /// The streams that can send again because the output was taken: each at most once.
    public mutating func drainedStreams() -> [UInt32] {
        guard stalledByOutput, output.count < limits.outputBytes else { return [] }
        stalledByOutput = false
        var ids: [UInt32] = []
        for (id, stream) in streams where stream.isStalled && stream.sendCredit > 0 {
            streams[id]?.isStalled = false
            ids.append(id)
        }
        return ids.sorted()
    }
}
