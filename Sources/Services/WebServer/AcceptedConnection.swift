public import HummingbirdCore
internal import Logging
public import NIOCore
internal import Synchronization

/// A connection between its acceptance and its handling.
///
/// NIO ends the process where a `NIOAsyncChannel` goes that nobody ran, and a server that stops drops those that it accepted but has
/// not begun (swift-nio #2637). Such a one is ended here instead.
final class AcceptedConnection: Sendable {
    private let http: HTTP1Channel.Value
    private let isTaken = Atomic(false)

    init(_ http: HTTP1Channel.Value) { self.http = http }

    /// For whoever runs it.
    func take() -> HTTP1Channel.Value {
        isTaken.store(true, ordering: .relaxed)
        return http
    }

    deinit {
        guard !isTaken.load(ordering: .relaxed) else { return }
        let http = http
        Task { try? await http.executeThenClose { _, _ in } }
    }
}

extension HTTPServerBuilder {
    /// A server of HTTP/1.1 alone, without a door: Hummingbird's, save that it can be stopped while connections come in.
    ///
    /// - Parameters:
    ///   - idleTimeoutSeconds: how long a connection may stay without a request.
    ///   - prepare: adds to the pipeline of a connection, on its thread.
    public static func plain(
        idleTimeoutSeconds: Int64 = 120,
        prepare: @escaping @Sendable (any Channel) throws -> Void = { _ in }
    ) -> HTTPServerBuilder {
        HTTPServerBuilder { responder in
            let configuration = HTTP1Channel.Configuration(idleTimeout: .seconds(idleTimeoutSeconds))
            return PlainChannel(
                http: HTTP1Channel(responder: responder, configuration: configuration),
                prepare: prepare
            )
        }
    }
}

/// Hummingbird's HTTP/1 channel, whose connections may be dropped before they begin.
private struct PlainChannel: ServerChildChannel {
    struct Value: ServerChildChannelValue {
        let channel: any Channel
        let connection: AcceptedConnection
    }

    let http: HTTP1Channel
    let prepare: @Sendable (any Channel) throws -> Void

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        http.setup(channel: channel, logger: logger).map { AcceptedConnection($0) }.flatMapThrowing { connection in
            try prepare(channel)
            return Value(channel: channel, connection: connection)
        }
    }

    func handle(value: Value, logger: Logger) async {
        await http.handle(value: value.connection.take(), logger: logger)
    }
}
