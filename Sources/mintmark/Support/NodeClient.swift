import AsyncHTTPClient
import CanonicalJSON
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import Node

/// The HTTP methods of the operator's API.
enum Verb: String {
    case get = "GET"
    case post = "POST"
    case delete = "DELETE"
}

/// Talks to the node through the Unix socket in its data directory. Where no node runs, the same composition is
/// started for the length of the command, under the directory's lock, listening on that socket alone: one way to
/// do each thing, and never a second writer.
struct NodeClient: Sendable {
    private let http: HTTPClient
    private let socketPath: String
    /// Whether this command started the node itself, so that nothing outside can reach its mint or services.
    let isTemporary: Bool

    /// A client of a node that runs; shut it down in the end.
    init(directory: String) {
        var configuration = HTTPClient.Configuration()
        configuration.timeout.connect = .seconds(5)
        http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        socketPath = NodeFiles.socketPath(in: directory)
        isTemporary = false
    }

    private init(_ running: NodeClient, isTemporary: Bool) {
        http = running.http
        socketPath = running.socketPath
        self.isTemporary = isTemporary
    }

    func shutdown() async throws {
        try await http.shutdown()
    }

    /// Runs `body` with a client, starting and stopping the node where none runs.
    /// - Throws: what `body` throws; a `Failure` with status `noNode` where there is no data directory.
    static func with<T: Sendable>(_ options: GlobalOptions, _ body: (NodeClient) async throws -> T) async throws -> T {
        let directory = options.dataDirectory
        guard NodeFiles.exists(in: directory) else {
            throw Failure("there is no node in \(directory): make one with `mintmark init`", .noNode)
        }
        let client = NodeClient(directory: directory)
        do {
            let result =
                if NodeFiles.isRunning(in: directory) {
                    try await body(client)
                } else {
                    try await TemporaryNode.with(options) { try await body(NodeClient(client, isTemporary: true)) }
                }
            try await client.shutdown()
            return result
        } catch {
            try? await client.shutdown()
            throw error
        }
    }

    private func request(_ method: Verb, _ path: String) throws -> HTTPClientRequest {
        guard let url = URL(httpURLWithSocketPath: socketPath, uri: path) else {
            throw Failure("\(socketPath) is not a path that a socket can have")
        }
        var request = HTTPClientRequest(url: url.absoluteString)
        request.method = HTTPMethod(rawValue: method.rawValue)
        return request
    }

    /// Calls the operator's API and returns its JSON; an answer of 4xx or 5xx is thrown as the sentence in it.
    func call(
        _ method: Verb,
        _ path: String,
        _ body: JSONValue? = nil,
        timeoutSeconds: Int64 = 120
    ) async throws -> JSONValue {
        var request = try request(method, path)
        if let body {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(body.serialized())
        }
        let response = try await send(request, timeoutSeconds: timeoutSeconds)
        let bytes = try await response.body.collect(upTo: 16 << 20)
        let text = [UInt8](buffer: bytes)
        let limits = JSONLimits(maximumBytes: 16 << 20, acceptsUInt64: true)
        let value = text.isEmpty ? JSONValue.null : try JSONValue.parse(text, limits: limits)
        guard (200..<300).contains(response.status.code) else { throw Self.failure(value, response.status) }
        return value
    }

    /// Sends a request whose body or answer may be long; the caller reads the answer as it comes.
    func stream(
        _ method: Verb,
        _ path: String,
        headers: [(String, String)],
        body: HTTPClientRequest.Body?,
        timeoutSeconds: Int64
    ) async throws -> HTTPClientResponse {
        var request = try request(method, path)
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        request.body = body
        return try await send(request, timeoutSeconds: timeoutSeconds)
    }

    private func send(_ request: HTTPClientRequest, timeoutSeconds: Int64) async throws -> HTTPClientResponse {
        do {
            return try await http.execute(request, timeout: .seconds(timeoutSeconds))
        } catch let error as HTTPClientError where error == .deadlineExceeded {
            throw Failure("the node did not answer within \(timeoutSeconds) s; it may still be at work", .pending)
        } catch {
            throw Failure("the node does not answer at \(socketPath): \(error)", .noNode)
        }
    }

    static func failure(_ problem: JSONValue, _ status: HTTPResponseStatus) -> Failure {
        let title = problem["title"]?.stringValue ?? "the node answered \(status.code)"
        let message = problem["detail"]?.stringValue ?? title
        let code = problem["code"]?.stringValue
        let exit: ExitStatus =
            switch status.code {
            case 503 where code == "payment-pending" || code == "outcome-unknown": .pending
            case 401, 402, 403, 422: .refused
            default: .failed
            }
        return Failure(message, exit, code: code)
    }
}
