internal import AsyncHTTPClient
package import NIOCore

/// Bounds a whole exchange. The client's own deadline ends with the response's head: a body that stops would be waited for
/// without end.
package enum TimeLimit {
    /// Whoever waits is let go at that moment, also where the work can't be called off: a look-up of a name blocks for as long
    /// as the system's resolver likes.
    ///
    /// - Parameter work: gets the moment at which it is cancelled.
    /// - Throws: `HTTPClientError.deadlineExceeded` at that moment, `CancellationError` where the caller was cancelled.
    package static func within<T: Sendable>(
        milliseconds: Int64,
        _ work: @escaping @Sendable (NIODeadline) async throws -> T
    ) async throws -> T {
        let (results, ended) = AsyncStream<Result<T, any Error>>.makeStream(bufferingPolicy: .bufferingOldest(1))
        let worker = Task {
            do {
                ended.yield(.success(try await work(NIODeadline.now() + .milliseconds(milliseconds))))
            } catch {
                ended.yield(.failure(error))
            }
        }
        let timer = Task {
            try await Task.sleep(for: .milliseconds(milliseconds))
            ended.yield(.failure(HTTPClientError.deadlineExceeded))
        }
        defer {
            worker.cancel()
            timer.cancel()
        }
        // Ends without a result where the caller is cancelled.
        guard let first = await results.first(where: { _ in true }) else { throw CancellationError() }
        // What a cancelled exchange returns may be a part of the answer.
        try Task.checkCancellation()
        return try first.get()
    }
}
