internal import AsyncHTTPClient
package import NIOCore

/// Bounds a whole exchange. The client's own deadline ends with the response's head: a body that stops would be waited for
/// without end.
package enum TimeLimit {
    /// - Parameter work: gets the moment at which it is cancelled.
    /// - Throws: `HTTPClientError.deadlineExceeded` at that moment, `CancellationError` where the caller was cancelled.
    package static func within<T: Sendable>(
        milliseconds: Int64,
        _ work: @escaping @Sendable (NIODeadline) async throws -> T
    ) async throws -> T {
        let result = try await withThrowingTaskGroup(of: T.self) { group in
            defer { group.cancelAll() }
            group.addTask { try await work(NIODeadline.now() + .milliseconds(milliseconds)) }
            group.addTask {
                try await Task.sleep(for: .milliseconds(milliseconds))
                throw HTTPClientError.deadlineExceeded
            }
            guard let first = try await group.next() else { throw CancellationError() }
            return first
        }
        // What a cancelled exchange returns may be a part of the answer.
        try Task.checkCancellation()
        return result
    }
}
