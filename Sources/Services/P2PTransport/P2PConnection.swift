internal import Foundation
public import Libp2p
internal import NIOCore

/// A connection with a peer whose identity is proved.
public final class P2PConnection: Sendable {
    /// Who is at the other end.
    public let peer: PeerID
    /// Where the other end is, as this side sees it; nil where that is no IP address.
    public let remoteAddress: Multiaddr?
    /// Whether the peer dialed.
    public let isInbound: Bool
    let handler: NIOLoopBound<ConnectionHandler>
    private let loop: any EventLoop

    /// Only on the event loop.
    init(_ handler: ConnectionHandler, peer: PeerID, loop: any EventLoop) {
        self.peer = peer
        remoteAddress = handler.remoteAddress
        isInbound = handler.isInbound
        self.handler = NIOLoopBound(handler, eventLoop: loop)
        self.loop = loop
    }

    /// Opens a stream for the first of these protocols that the peer speaks, and ends it afterwards: finished where
    /// `body` returns, broken off where it throws.
    /// - Parameter deadlineSeconds: after which the stream is broken off; nil for none.
    /// - Throws: `Libp2pError` with `.notNegotiated`, `.limitExceeded`, `.closed` or `.timedOut`, and what `body` throws.
    public func withStream<Value: Sendable>(
        _ protocols: [String],
        deadlineSeconds: Int64? = nil,
        _ body: (P2PStream) async throws -> Value
    ) async throws -> Value {
        let stream = try await loop.flatSubmit { [handler] in handler.value.open(protocols) }.get()
        stream.setDeadline(seconds: deadlineSeconds)
        do {
            let value = try await body(stream)
            stream.release()
            return value
        } catch {
            stream.reset()
            throw error
        }
    }

    /// What the peer told about itself last; nil where it has not yet.
    public func identified() async throws -> Identify? {
        try await loop.submit { [handler] in handler.value.identified }.get()
    }

    /// Takes no more streams, lets those that are open end for a while, and closes; returns once it is closed.
    public func close() async {
        try? await loop.flatSubmit { [handler] in
            handler.value.close()
            return handler.value.closePromise.futureResult
        }.get()
    }

    /// What this side tells the peer about itself.
    func ownIdentity() async throws -> Identify {
        // RFC 0003 allows the time as the number of a record.
        let sequence = UInt64(max(0, Date().timeIntervalSince1970))
        return try await loop.submit { [handler] in handler.value.ownIdentity(sequence: sequence) }.get()
    }

    func setIdentified(_ identify: Identify) {
        loop.execute { [handler] in handler.value.take(identify) }
    }
}
