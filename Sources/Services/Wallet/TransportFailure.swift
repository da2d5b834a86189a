internal import AsyncHTTPClient
internal import Foundation
internal import NIOCore
internal import NIOPosix

/// What a failure of the HTTP client says of whether anything left.
enum TransportFailure {
    /// True only where no connection came about, so that no byte of the request can have left.
    static func isCertainlyUnsent(_ error: any Error) -> Bool {
        if error is NIOConnectionError { return true }
        if let error = error as? IOError { return [ECONNREFUSED, ENETUNREACH].contains(error.errnoCode) }
        guard let error = error as? HTTPClientError else { return false }
        let unsent: [HTTPClientError] = [
            .connectTimeout, .getConnectionFromPoolTimeout, .alreadyShutdown, .tlsHandshakeTimeout,
        ]
        return unsent.contains(error)
    }

    private static func isConnectionRefused(_ error: any Error) -> Bool {
        error is NIOConnectionError || (error as? IOError)?.errnoCode == ECONNREFUSED
    }

    static func sentence(_ error: any Error) -> String {
        if isConnectionRefused(error) { return "no connection came about" }
        switch error as? HTTPClientError {
        case HTTPClientError.connectTimeout?, HTTPClientError.getConnectionFromPoolTimeout?:
            return "no connection came about in time"
        case HTTPClientError.deadlineExceeded?, HTTPClientError.readTimeout?:
            return "no answer came in time"
        case HTTPClientError.remoteConnectionClosed?:
            return "the connection was closed before the answer"
        default:
            break
        }
        if error is CancellationError { return "the request was cancelled" }
        return String("\(error)".prefix(200))
    }
}
