public import Libp2p
internal import NIOCore

/// One stream with a peer, for one protocol. One task reads it, one writes it.
public final class P2PStream: Sendable {
    /// What was agreed on.
    public let protocolName: String
    /// Who is at the other end.
    public let peer: PeerID
    /// The connection that it runs on.
    public let connection: P2PConnection
    let core: NIOLoopBound<StreamCore>
    private let loop: any EventLoop

    /// Only on the event loop.
    init(_ core: StreamCore, connection: P2PConnection, loop: any EventLoop) {
        protocolName = core.protocolName
        peer = connection.peer
        self.connection = connection
        self.core = NIOLoopBound(core, eventLoop: loop)
        self.loop = loop
    }

    /// What has come, at least one byte; nil once the peer has finished. What is not read holds the peer back.
    /// - Throws: `Libp2pError` with `.reset`, `.closed` or `.timedOut`; `CancellationError`, and the stream is reset.
    public func read() async throws -> [UInt8]? {
        try await cancelling { [core, loop] in try await loop.flatSubmit { core.value.read() }.get() }
    }

    /// Reads exactly `count` bytes; nil where the peer finished before the first.
    /// - Parameter rest: what was read and not used before; what is left over afterwards.
    /// - Throws: as ``read()``, and `.malformed` where the peer finished in between.
    public func read(exactly count: Int, rest: inout [UInt8]) async throws -> [UInt8]? {
        while rest.count < count {
            guard let bytes = try await read() else {
                guard rest.isEmpty else { throw Libp2pError(.malformed, "the stream ended inside a message") }
                return nil
            }
            rest += bytes
        }
        defer { rest.removeFirst(count) }
        return [UInt8](rest.prefix(count))
    }

    /// Returns once all bytes are on their way; waits while the peer's window is full.
    /// - Throws: as ``read()``.
    public func write(_ bytes: [UInt8]) async throws {
        try await cancelling { [core, loop] in try await loop.flatSubmit { core.value.write(bytes) }.get() }
    }

    /// Tells the peer that nothing more is sent. Reading goes on.
    public func finish() {
        loop.execute { [core] in core.value.finish() }
    }

    /// Breaks the stream off, both ways.
    public func reset() {
        loop.execute { [core] in core.value.reset(Libp2pError(.reset, "the stream was broken off on this side")) }
    }

    /// Breaks the stream off where it is still in use after this time; nil takes the limit away.
    public func setDeadline(seconds: Int64?) {
        loop.execute { [core] in core.value.setDeadline(seconds.map { .seconds($0) }) }
    }

    /// Finished, and read no further.
    func release() {
        loop.execute { [core] in core.value.release() }
    }

    private func cancelling<Value>(_ work: () async throws -> Value) async throws -> Value {
        do {
            return try await withTaskCancellationHandler(operation: work, onCancel: { reset() })
        } catch {
            if Task.isCancelled { throw CancellationError() }
            throw error
        }
    }
}
