/// A libp2p Noise channel without I/O: handshake, then frames of at most 65,535 bytes behind a big-endian length.
///
/// Feed in what was received, send what comes out. After an error the channel is dead: close the connection.
public struct NoiseChannel: Sendable {
    /// The name under which the protocol is negotiated.
    public static let protocolName = "/noise"
    /// The most bytes of plaintext in one frame.
    public static let maximumPlaintextBytes = 65_519
    /// The most bytes of one message of the handshake: with an RSA key of 4096 bits, which is then refused by name.
    static let maximumHandshakeBytes = 4_096

    /// Who is at the other end.
    public struct Peer: Hashable, Sendable {
        public let id: PeerID
        public let key: PeerPublicKey
        /// The multiplexer that both named in the handshake; nil where it is still to be negotiated.
        public let muxer: String?
    }

    /// What came of the bytes that were received.
    public struct Received: Sendable {
        /// To send at once.
        public var send: [UInt8] = []
        /// Set with the bytes that completed the handshake.
        public var peer: Peer?
        /// What the peer sent, in order.
        public var plaintext: [[UInt8]] = []
    }

    private enum Phase: Sendable {
        case handshake(NoiseHandshake, peer: PeerPublicKey?, muxers: [String])
        case open(sending: NoiseCipher, receiving: NoiseCipher)
        case failed
    }

    private var phase: Phase
    private let key: PeerKey
    private let expected: PeerID?
    private let muxers: [String]
    /// The start of a frame whose end has not come: shorter than one frame.
    private var buffer: [UInt8] = []

    /// - Parameters:
    ///   - isInitiator: whether this side dialed.
    ///   - expected: who has to answer; nil for whoever it is.
    ///   - muxers: the multiplexers named in the handshake, the most wanted first; none leaves it to be negotiated.
    public init(isInitiator: Bool, key: PeerKey, expecting expected: PeerID? = nil, muxers: [String] = []) {
        self.init(NoiseHandshake(isInitiator: isInitiator), key: key, expecting: expected, muxers: muxers)
    }

    init(_ handshake: NoiseHandshake, key: PeerKey, expecting expected: PeerID?, muxers: [String]) {
        phase = .handshake(handshake, peer: nil, muxers: [])
        self.key = key
        self.expected = expected
        self.muxers = muxers
    }

    /// What the initiator sends first; empty for the responder.
    public mutating func start() throws(Libp2pError) -> [UInt8] {
        guard case .handshake(var handshake, let peer, let theirs) = phase, handshake.isOursToSend, handshake.step == 0
        else { return [] }
        let message = try handshake.write([])
        phase = .handshake(handshake, peer: peer, muxers: theirs)
        return Self.framed(message)
    }

    /// Takes what was received.
    /// - Throws: `Libp2pError`; the connection is to be closed.
    public mutating func receive(_ bytes: ArraySlice<UInt8>) throws(Libp2pError) -> Received {
        var received = Received()
        do {
            // Whole frames are opened where they lie; only a part of one is kept.
            if buffer.isEmpty {
                let rest = try takeFrames(of: bytes, &received)
                buffer.append(contentsOf: rest)
            } else {
                buffer.append(contentsOf: bytes)
                let all = buffer
                buffer = []
                buffer.append(contentsOf: try takeFrames(of: all[...], &received))
            }
        } catch {
            phase = .failed
            buffer = []
            throw error
        }
        return received
    }

    /// Appends the frames that carry `plaintext` to `output`; only once the handshake is complete.
    public mutating func seal(_ plaintext: ArraySlice<UInt8>, to output: inout [UInt8]) throws(Libp2pError) {
        guard case .open(var sending, let receiving) = phase else {
            throw Libp2pError(.closed, "the Noise channel is not open")
        }
        var rest = plaintext
        while !rest.isEmpty {
            let part = rest.prefix(Self.maximumPlaintextBytes)
            rest = rest.dropFirst(part.count)
            Self.append(length: part.count + NoiseCipher.tagBytes, to: &output)
            try sending.seal(part, to: &output)
        }
        phase = .open(sending: sending, receiving: receiving)
    }

    private mutating func takeFrames(
        of bytes: ArraySlice<UInt8>,
        _ received: inout Received
    ) throws(Libp2pError) -> ArraySlice<UInt8> {
        var rest = bytes
        while rest.count >= 2 {
            let count = Int(rest[rest.startIndex]) << 8 | Int(rest[rest.startIndex + 1])
            if case .handshake = phase, count > Self.maximumHandshakeBytes {
                throw Libp2pError(
                    .tooLarge,
                    "a message of the handshake has more than \(Self.maximumHandshakeBytes) bytes"
                )
            }
            guard rest.count >= 2 + count else { break }
            let frame = rest[(rest.startIndex + 2)..<(rest.startIndex + 2 + count)]
            rest = rest[frame.endIndex...]
            try take(frame, &received)
        }
        return rest
    }

    private mutating func take(_ frame: ArraySlice<UInt8>, _ received: inout Received) throws(Libp2pError) {
        switch phase {
        case .open(let sending, var receiving):
            let plaintext = try receiving.open(frame)
            phase = .open(sending: sending, receiving: receiving)
            if !plaintext.isEmpty { received.plaintext.append(plaintext) }
        case .handshake(var handshake, var peer, var theirs):
            guard !handshake.isOursToSend else {
                throw Libp2pError(.protocolViolation, "the peer spoke before its turn in the handshake")
            }
            let payload = try handshake.read(frame)
            if handshake.step > 1 {
                let read = try NoisePayload(payload, staticKey: handshake.remoteStatic)
                try check(read.key)
                peer = read.key
                theirs = read.muxers
            }
            if handshake.isOursToSend {
                let own = try NoisePayload.encode(key: key, staticKey: handshake.publicStaticKey, muxers: muxers)
                received.send += Self.framed(try handshake.write(own))
            }
            guard handshake.isComplete, let peer else {
                phase = .handshake(handshake, peer: peer, muxers: theirs)
                return
            }
            let muxer = try agreedMuxer(with: theirs, isInitiator: handshake.isInitiator)
            let ciphers = handshake.ciphers()
            phase = .open(sending: ciphers.sending, receiving: ciphers.receiving)
            received.peer = Peer(id: PeerID(peer), key: peer, muxer: muxer)
        case .failed:
            throw Libp2pError(.closed, "the Noise channel has failed")
        }
    }

    private func check(_ peer: PeerPublicKey) throws(Libp2pError) {
        let id = PeerID(peer)
        guard expected == nil || expected == id else {
            throw Libp2pError(.wrongPeer, "another peer answered than the one that was dialed")
        }
        guard id != key.peerID else {
            throw Libp2pError(.wrongPeer, "the peer at the other end is this one itself")
        }
    }

    /// The first of the initiator's that the responder speaks (libp2p connections, inlining muxer negotiation); nil
    /// where one side names none.
    private func agreedMuxer(with theirs: [String], isInitiator: Bool) throws(Libp2pError) -> String? {
        guard !muxers.isEmpty, !theirs.isEmpty else { return nil }
        let (wanted, spoken) = isInitiator ? (muxers, theirs) : (theirs, muxers)
        guard let muxer = wanted.first(where: spoken.contains) else {
            throw Libp2pError(.notNegotiated, "the two sides have no multiplexer in common")
        }
        return muxer
    }

    private static func framed(_ message: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        append(length: message.count, to: &bytes)
        return bytes + message
    }

    private static func append(length: Int, to bytes: inout [UInt8]) {
        bytes.append(UInt8(truncatingIfNeeded: length >> 8))
        bytes.append(UInt8(truncatingIfNeeded: length))
    }
}
