/// One connection between two peers without I/O: security is negotiated and the Noise channel set up, then the
/// multiplexer, then a protocol for every stream.
///
/// Feed in what was received, act on the events, send what ``takeOutput()`` gives. After an error send what output there
/// is (it may tell the peer why) and close.
public struct PeerSession: Sendable {
    /// What happened, in order.
    public enum Event: Sendable, Equatable {
        /// The peer is known and streams can be opened; the first event of all.
        case established(PeerID)
        /// The peer opened a stream and a protocol was agreed on.
        case accepted(UInt32, String)
        /// A protocol was agreed on for a stream of this side: it can be used.
        case agreed(UInt32, String)
        /// The peer speaks none of the protocols proposed for a stream of this side, or does not answer.
        case refused(UInt32)
        /// Bytes of a stream; tell ``PeerSession/consumed(_:on:)`` when they are used.
        case data(UInt32, ArraySlice<UInt8>)
        /// The peer sends no more on the stream.
        case finished(UInt32)
        /// The stream is gone.
        case reset(UInt32)
        /// There is room to send on the stream again.
        case writable(UInt32)
        /// The peer answered a ping of the multiplexer.
        case pong(UInt32)
        /// The peer opens and takes no more streams.
        case goneAway
    }

    private struct Negotiating: Sendable {
        var negotiation: ProtocolNegotiation
        let isOurs: Bool
        let since: Int
    }

    private let isDialer: Bool
    private let protocols: [String]
    private let limits: Yamux.Limits
    /// Before the Noise channel: what secures it. Inside it: which multiplexer.
    private var negotiation: ProtocolNegotiation?
    private var noise: NoiseChannel
    private var noiseStarted = false
    private var yamux: Yamux?
    private var negotiating: [UInt32: Negotiating] = [:]
    private var ticks = 0
    private var output: [UInt8] = []

    /// Frames with something in them that came whole since the connection was secured: a part of one is no sign of life.
    public private(set) var framesReceived: UInt64 = 0

    /// Who is at the other end, once that is proved.
    public private(set) var peer: NoiseChannel.Peer?

    /// - Parameters:
    ///   - expected: who has to answer; nil for whoever it is.
    ///   - protocols: those that the peer may open streams for.
    public init(
        isDialer: Bool,
        key: PeerKey,
        expecting expected: PeerID? = nil,
        protocols: [String],
        limits: Yamux.Limits = Yamux.Limits()
    ) {
        self.isDialer = isDialer
        self.protocols = protocols
        self.limits = limits
        noise = NoiseChannel(isInitiator: isDialer, key: key, expecting: expected, muxers: [Yamux.protocolName])
        var security = Self.negotiation(isDialer, NoiseChannel.protocolName)
        output = security.start()
        negotiation = security
    }

    private static func negotiation(_ isDialer: Bool, _ name: String) -> ProtocolNegotiation {
        isDialer ? ProtocolNegotiation(proposing: [name]) : ProtocolNegotiation(accepting: [name])
    }

    /// Streams open now, those still negotiating among them.
    public var streamCount: Int { yamux?.streamCount ?? 0 }
    /// Whether there is something to send.
    public var hasOutput: Bool { !output.isEmpty || (yamux?.outputCount ?? 0) > 0 }

    // MARK: Streams

    /// Opens a stream and proposes protocols for it, the most wanted first; `.agreed` or `.refused` follows.
    /// - Throws: `Libp2pError` with `.limitExceeded`, or `.closed` before the connection is established and after a
    ///   go-away.
    public mutating func open(_ proposals: [String]) throws(Libp2pError) -> UInt32 {
        guard var yamux else { throw Libp2pError(.closed, "the connection is not established") }
        let id = try yamux.open()
        var negotiation = ProtocolNegotiation(proposing: proposals)
        let hello = negotiation.start()
        guard try yamux.sendUrgently(hello[...], on: id) == hello.count else {
            throw Libp2pError(.limitExceeded, "the connection has too much to send already")
        }
        negotiating[id] = Negotiating(negotiation: negotiation, isOurs: true, since: ticks)
        self.yamux = yamux
        return id
    }

    /// As ``Yamux/send(_:on:)``.
    public mutating func send(_ bytes: ArraySlice<UInt8>, on id: UInt32) throws(Libp2pError) -> Int {
        guard yamux != nil, negotiating[id] == nil, let count = try yamux?.send(bytes, on: id) else {
            throw Libp2pError(.closed, "nothing can be sent on the stream yet")
        }
        return count
    }

    /// As ``Yamux/finish(_:)``.
    public mutating func finish(_ id: UInt32) { yamux?.finish(id) }

    /// As ``Yamux/reset(_:)``.
    public mutating func reset(_ id: UInt32) {
        negotiating[id] = nil
        yamux?.reset(id)
    }

    /// As ``Yamux/consumed(_:on:)``.
    public mutating func consumed(_ count: Int, on id: UInt32) { yamux?.consumed(count, on: id) }

    /// As ``Yamux/ping(_:)``.
    public mutating func ping(_ value: UInt32) { yamux?.ping(value) }

    /// As ``Yamux/goAway(_:)``.
    public mutating func goAway(_ reason: UInt32 = 0) { yamux?.goAway(reason) }

    /// Breaks off streams whose protocol was not agreed on since the tick before the last; call it every few seconds.
    public mutating func tick() -> [Event] {
        ticks += 1
        var events: [Event] = []
        for (id, stream) in negotiating where stream.since < ticks - 1 {
            reset(id)
            if stream.isOurs { events.append(.refused(id)) }
        }
        return events
    }

    /// What is to be sent now, and the streams that have room again because of it.
    /// - Throws: `Libp2pError` where the channel is used up.
    public mutating func takeOutput() throws(Libp2pError) -> (bytes: [UInt8], writable: [UInt32]) {
        var writable: [UInt32] = []
        if yamux != nil, let plaintext = yamux?.takeOutput(), !plaintext.isEmpty {
            output.reserveCapacity(output.count + plaintext.count + plaintext.count / 1024 + 64)
            try noise.seal(plaintext[...], to: &output)
            writable = yamux?.drainedStreams() ?? []
        }
        let bytes = output
        output = []
        return (bytes, writable)
    }

    // MARK: Receiving

    /// Takes what was received.
    /// - Throws: `Libp2pError`; the connection is to be closed.
    public mutating func receive(_ bytes: ArraySlice<UInt8>) throws(Libp2pError) -> [Event] {
        var events: [Event] = []
        guard !noiseStarted, var security = negotiation else {
            try receiveSealed(bytes, &events)
            return events
        }
        let progress = try security.receive(bytes)
        output += progress.send
        negotiation = security
        if progress.agreed != nil {
            negotiation = nil
            noiseStarted = true
            output += try noise.start()
            if !progress.rest.isEmpty { try receiveSealed(progress.rest, &events) }
        }
        return events
    }

    private mutating func receiveSealed(_ bytes: ArraySlice<UInt8>, _ events: inout [Event]) throws(Libp2pError) {
        let received = try noise.receive(bytes)
        output += received.send
        if let peer = received.peer {
            self.peer = peer
            if peer.muxer == nil {
                var muxing = Self.negotiation(isDialer, Yamux.protocolName)
                try noise.seal(muxing.start()[...], to: &output)
                negotiation = muxing
            } else {
                establish(peer, &events)
            }
        }
        framesReceived += UInt64(received.plaintext.count)
        for plaintext in received.plaintext {
            if yamux != nil {
                try receiveMultiplexed(plaintext[...], &events)
            } else {
                try negotiateMuxer(plaintext, &events)
            }
        }
    }

    private mutating func negotiateMuxer(_ plaintext: [UInt8], _ events: inout [Event]) throws(Libp2pError) {
        guard var muxing = negotiation, let peer else {
            throw Libp2pError(.protocolViolation, "the peer sent data before the connection was set up")
        }
        let progress = try muxing.receive(plaintext)
        negotiation = muxing
        try noise.seal(progress.send[...], to: &output)
        guard progress.agreed != nil else { return }
        negotiation = nil
        establish(peer, &events)
        if !progress.rest.isEmpty { try receiveMultiplexed(progress.rest, &events) }
    }

    private mutating func establish(_ peer: NoiseChannel.Peer, _ events: inout [Event]) {
        yamux = Yamux(isDialer: isDialer, limits: limits)
        events.append(.established(peer.id))
    }

    private mutating func receiveMultiplexed(
        _ bytes: ArraySlice<UInt8>,
        _ events: inout [Event]
    ) throws(Libp2pError) {
        guard let received = try yamux?.receive(bytes) else { return }
        for event in received {
            switch event {
            case .opened(let id):
                let negotiation = ProtocolNegotiation(accepting: protocols)
                negotiating[id] = Negotiating(negotiation: negotiation, isOurs: false, since: ticks)
            case .data(let id, let part):
                if negotiating[id] == nil {
                    events.append(.data(id, part))
                } else {
                    negotiate(part, on: id, &events)
                }
            case .finished(let id):
                if negotiating[id] == nil {
                    events.append(.finished(id))
                } else {
                    giveUp(id, &events)
                }
            case .reset(let id):
                if negotiating[id] == nil {
                    events.append(.reset(id))
                } else {
                    giveUp(id, &events)
                }
            case .writable(let id):
                if negotiating[id] == nil { events.append(.writable(id)) }
            case .pong(let value): events.append(.pong(value))
            case .goneAway: events.append(.goneAway)
            }
        }
    }

    /// A stream's first bytes, until its protocol is agreed on; a stream that breaks the rules breaks only itself.
    private mutating func negotiate(_ part: ArraySlice<UInt8>, on id: UInt32, _ events: inout [Event]) {
        guard var stream = negotiating[id] else { return }
        do throws(Libp2pError) {
            let progress = try stream.negotiation.receive(part)
            yamux?.consumed(part.count - progress.rest.count, on: id)
            guard try yamux?.sendUrgently(progress.send[...], on: id) == progress.send.count else {
                return giveUp(id, &events)
            }
            guard let agreed = progress.agreed else {
                negotiating[id] = stream
                return
            }
            negotiating[id] = nil
            events.append(stream.isOurs ? .agreed(id, agreed) : .accepted(id, agreed))
            if !progress.rest.isEmpty { events.append(.data(id, progress.rest)) }
        } catch {
            giveUp(id, &events)
        }
    }

    private mutating func giveUp(_ id: UInt32, _ events: inout [Event]) {
        let isOurs = negotiating[id]?.isOurs == true
        reset(id)
        if isOurs { events.append(.refused(id)) }
    }
}
