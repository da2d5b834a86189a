internal import Lightning
internal import Logging
internal import Synchronization

/// Keeps a feed of settled invoices going over lost connections.
enum SettledFeed {
    /// Hashes that wait for a slow reader; beyond it the oldest are dropped, as they are hints.
    static let maximumWaiting = 10_000
    static let firstWaitMilliseconds: Int64 = 500
    static let longestWaitMilliseconds: Int64 = 30_000
    /// After this long without a word the connection is made anew, as a dead one looks just the same.
    static let connectionMilliseconds: Int64 = 600_000
    /// Between two looks, where a node must be asked.
    static let pollMilliseconds: Int64 = 2000

    /// - Parameters:
    ///   - place: where the feed stands; kept from one connection to the next, so that nothing is missed in between.
    ///   - connect: one connection: tells hashes until it breaks. Ending without an error is a break as well.
    static func stream<Place: Sendable>(
        _ connection: NodeConnection,
        from place: Place,
        _ connect:
            @escaping @Sendable (
                _ place: Kept<Place>,
                _ tell: @escaping @Sendable ([UInt8]) -> Void
            ) async throws -> Void
    ) -> AsyncStream<[UInt8]> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: [UInt8].self,
            bufferingPolicy: .bufferingNewest(maximumWaiting)
        )
        let task = Task {
            let place = Kept(place)
            var waitMilliseconds = firstWaitMilliseconds
            while !Task.isCancelled {
                let told = Kept(false)
                do {
                    try await connect(place) { hash in
                        told.value = true
                        continuation.yield(hash)
                    }
                    waitMilliseconds = firstWaitMilliseconds
                } catch {
                    if Task.isCancelled { break }
                    connection.access.logger.notice(
                        "the feed of settled invoices broke; it is taken up again",
                        metadata: [
                            "backend": "\(connection.program)", "error": "\(error)", "wait_ms": "\(waitMilliseconds)",
                        ]
                    )
                }
                if told.value { waitMilliseconds = firstWaitMilliseconds }
                try? await Task.sleep(for: .milliseconds(waitMilliseconds))
                waitMilliseconds = min(waitMilliseconds * 2, longestWaitMilliseconds)
            }
            continuation.finish()
        }
        continuation.onTermination = { _ in task.cancel() }
        return stream
    }
}

/// A value that one reader and the next share.
final class Kept<Value: Sendable>: Sendable {
    private let box: Mutex<Value>

    init(_ value: Value) { box = Mutex(value) }

    var value: Value {
        get { box.withLock { $0 } }
        set { box.withLock { $0 = newValue } }
    }
}
