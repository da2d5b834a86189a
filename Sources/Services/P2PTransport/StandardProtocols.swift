internal import Libp2p

extension P2PProtocol {
    static let identify = P2PProtocol(Identify.protocolName) { stream in
        stream.setDeadline(seconds: 10)
        try await stream.write(stream.connection.ownIdentity().delimited)
    }

    static func identifyPush(_ onEvent: @escaping @Sendable (P2PEvent) -> Void) -> P2PProtocol {
        P2PProtocol(Identify.pushProtocolName) { stream in
            stream.setDeadline(seconds: 10)
            let identify = try await Identify.read(from: stream)
            stream.connection.setIdentified(identify)
            onEvent(.identified(stream.connection, identify))
        }
    }

    /// - Parameter seconds: the most from one ping to the next; a peer that wants more opens another stream.
    static func ping(seconds: Int64) -> P2PProtocol {
        P2PProtocol(Ping.protocolName) { stream in
            var rest: [UInt8] = []
            stream.setDeadline(seconds: seconds)
            while let bytes = try await stream.read(exactly: Ping.byteCount, rest: &rest) {
                try await stream.write(bytes)
                stream.setDeadline(seconds: seconds)
            }
        }
    }
}

extension Identify {
    /// Reads messages until the peer has finished, and holds them against the peer.
    static func read(from stream: P2PStream) async throws -> Identify {
        var reader = DelimitedReader(maximumBytes: Identify.maximumBytes)
        var identify = Identify()
        var total = 0
        while let bytes = try await stream.read() {
            total += bytes.count
            guard total <= Identify.maximumBytes else {
                throw Libp2pError(.tooLarge, "the peer tells more about itself than is read")
            }
            reader.append(bytes)
            while let message = try reader.next() { try identify.merge(message) }
        }
        guard reader.isAtBoundary, total > 0 else {
            throw Libp2pError(.malformed, "the peer's identity ends inside a message")
        }
        _ = try identify.verified(for: stream.peer)
        return identify
    }
}

extension P2PConnection {
    /// Asks the peer what it is.
    func askIdentity() async throws -> Identify {
        try await withStream([Identify.protocolName], deadlineSeconds: 10) { stream in
            stream.finish()
            return try await Identify.read(from: stream)
        }
    }

    /// The time that 32 random bytes take to the peer and back.
    /// - Throws: `Libp2pError` with `.protocolViolation` where other bytes come back.
    public func ping() async throws -> Duration {
        try await withStream([Ping.protocolName], deadlineSeconds: 10) { stream in
            var generator = SystemRandomNumberGenerator()
            let sent = (0..<Ping.byteCount).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
            var rest: [UInt8] = []
            let start = ContinuousClock.now
            try await stream.write(sent)
            let back = try await stream.read(exactly: Ping.byteCount, rest: &rest)
            guard back == sent else {
                throw Libp2pError(.protocolViolation, "the peer answered a ping with other bytes")
            }
            return ContinuousClock.now - start
        }
    }
}
