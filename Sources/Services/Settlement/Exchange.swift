public import AsyncHTTPClient
internal import Foundation
internal import NIOCore
internal import NIOPosix

/// How the HTTP client of a chain or a facilitator is to be made.
public enum SettlementHTTP {
    /// Nobody there is an answer, so no connecting again; nobody is followed elsewhere, with a payment or a key in hand.
    public static var configuration: HTTPClient.Configuration {
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow,
            timeout: .init(connect: .seconds(5))
        )
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.httpVersion = .http1Only
        return configuration
    }
}

/// How an exchange over HTTP failed: the difference between what was not sent and what is not known.
enum Exchange {
    /// `unreachable` where no connection was made, else `noAnswer`.
    static func failure(_ error: any Error, of peer: String, asked question: String) -> SettlementError {
        guard meansNothingWasSent(error) else {
            return SettlementError(.noAnswer, "\(peer) gave no usable answer to \(question): \(error)", cause: error)
        }
        return SettlementError(.unreachable, "\(peer) can't be reached: \(error)", cause: error)
    }

    private static func meansNothingWasSent(_ error: any Error) -> Bool {
        if error is NIOConnectionError { return true }
        // Only a connection that is being made can be refused; a reset may come after the request.
        if let error = error as? IOError, error.errnoCode == ECONNREFUSED { return true }
        if let error = error as? ChannelError, case .connectTimeout = error { return true }
        guard let error = error as? HTTPClientError else { return false }
        return [.connectTimeout, .tlsHandshakeTimeout, .alreadyShutdown].contains(error)
    }

    /// The start of a stranger's words, on one line.
    static func printable(_ text: String) -> String {
        var line = ""
        for scalar in text.unicodeScalars.prefix(200) {
            line.unicodeScalars.append(scalar.properties.generalCategory == .control ? " " : scalar)
        }
        return line
    }
}
