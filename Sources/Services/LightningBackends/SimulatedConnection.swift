internal import AsyncHTTPClient
internal import CanonicalJSON
internal import Foundation
internal import Lightning
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import WebClient

/// Requests to a simulated network, and what is known after each.
struct SimulatedConnection: Sendable {
    /// What became of a request.
    enum Reply {
        case answered(JSONObject)
        /// The network says that it did nothing.
        case refused(LightningError)
        /// Sent, perhaps done, and no usable answer.
        case unknown(LightningError)
    }

    let base: String
    let token: String
    let httpClient: HTTPClient
    let timeoutMilliseconds: Int64
    let logger: Logger

    /// The address without a slash at its end.
    /// - Throws: `invalidRequest`.
    static func base(
        _ url: String,
        of what: String = "a TEST MONEY network"
    ) throws(LightningError) -> String {
        let parts = URLComponents(string: url)
        guard parts?.user == nil, parts?.password == nil else {
            throw LightningError(.invalidRequest, "an address of \(what) must not hold a password: give that by file")
        }
        guard let parts, let scheme = parts.scheme?.lowercased(),
            scheme == "http" || scheme == "https", let host = parts.host, !host.isEmpty,
            parts.query == nil, parts.fragment == nil
        else {
            throw LightningError(
                .invalidRequest,
                "\(url) is no address of \(what): write it like http://127.0.0.1:8700"
            )
        }
        return url.hasSuffix("/") ? String(url.dropLast()) : url
    }

    /// - Throws: where the network cannot be reached, and so nothing was sent.
    func exchange(
        _ method: HTTPMethod,
        _ path: String,
        _ body: JSONObject? = nil
    ) async throws(LightningError) -> Reply {
        var request = HTTPClientRequest(url: base + path)
        request.method = method
        request.headers.add(name: "Authorization", value: "Bearer \(token)")
        if let body {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(body.serialized())
        }
        let status: Int
        let bytes: [UInt8]
        do {
            (status, bytes) = try await TimeLimit.within(milliseconds: timeoutMilliseconds) {
                [httpClient, request] deadline in
                let response = try await httpClient.execute(request, deadline: deadline, logger: nil)
                let body = try await response.body.collect(upTo: SimulatedWire.maximumBodyBytes)
                return (Int(response.status.code), Array(buffer: body))
            }
        } catch {
            guard Self.meansNothingWasSent(error) else { return .unknown(Self.noAnswer(error)) }
            throw LightningError(
                .unreachable,
                "no TEST MONEY network answers at \(base): start it, or correct the address (\(error))",
                cause: error
            )
        }
        return read(status, bytes)
    }

    /// For requests that may simply be sent again.
    func send(
        _ method: HTTPMethod,
        _ path: String,
        _ body: JSONObject? = nil
    ) async throws(LightningError) -> JSONObject {
        switch try await exchange(method, path, body) {
        case .answered(let json): return json
        case .refused(let error), .unknown(let error): throw error
        }
    }

    /// Names an answer that does not say what it should.
    func read<T>(_ body: () throws -> T) throws(LightningError) -> T {
        do {
            return try body()
        } catch {
            throw LightningError(
                .invalidAnswer,
                "the TEST MONEY network at \(base) answered what cannot be read: \(error)",
                cause: error
            )
        }
    }

    private func read(_ status: Int, _ bytes: [UInt8]) -> Reply {
        let json: JSONObject
        do {
            json = try SimulatedWire.parse(bytes, "the answer")
        } catch {
            let message = "the TEST MONEY network at \(base) answered \(status) with what cannot be read: \(error)"
            return .unknown(LightningError(.invalidAnswer, message, cause: error))
        }
        if (200..<300).contains(status) { return .answered(json) }
        let problem = ProblemDetails(json: json, responseStatus: status)
        let error = LightningError(
            LightningError.Code(rawValue: problem.code.isEmpty ? "http-\(status)" : problem.code),
            problem.detail ?? "the TEST MONEY network at \(base) answered \(status)"
        )
        // Only its own problems are its word; one of a proxy in between says nothing about what happened behind it.
        let isItsWord = (400..<500).contains(status) && problem.type == "urn:mintmark:problem:\(problem.code)"
        return isItsWord ? .refused(error) : .unknown(error)
    }

    private static func noAnswer(_ error: any Error) -> LightningError {
        if error is CancellationError || error as? HTTPClientError == .cancelled {
            return LightningError(.cancelled, "the request was cancelled before its answer came", cause: error)
        }
        return LightningError(.timedOut, "the TEST MONEY network gave no usable answer in time: \(error)", cause: error)
    }

    /// Whether no byte of the request can have left: the connection was never there.
    static func meansNothingWasSent(_ error: any Error) -> Bool {
        if error is NIOConnectionError { return true }
        // Only a connection that is being made can be refused; a reset may come after the request.
        if let error = error as? IOError, error.errnoCode == ECONNREFUSED { return true }
        if let error = error as? ChannelError, case .connectTimeout = error { return true }
        guard let error = error as? HTTPClientError else { return false }
        return [.connectTimeout, .tlsHandshakeTimeout, .alreadyShutdown].contains(error)
    }
}
