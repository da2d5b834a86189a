import AsyncHTTPClient
import CanonicalJSON
import Cashu
import Foundation
import Hummingbird
import Logging
import Mint
import NIOCore
import NIOHTTP1
import WebServer

/// What came back over the socket.
struct Answer: Sendable {
    var status: Int
    var retryAfter: String?
    var json: JSONValue

    var code: Int64? { json["code"]?.int64Value }
    var detail: String? { json["detail"]?.stringValue }
}

/// A client of a mint that is served on a real socket.
struct MintClient: Sendable {
    var port: Int

    func get(_ path: String, headers: [(String, String)] = []) async throws -> Answer {
        var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)/mint/v1/\(path)")
        request.headers.add(contentsOf: headers)
        return try await send(request)
    }

    /// What stands beside `v1`.
    func get(beside path: String) async throws -> Answer {
        try await send(HTTPClientRequest(url: "http://127.0.0.1:\(port)/mint/\(path)"))
    }

    func post(
        _ path: String,
        _ body: [UInt8],
        contentType: String = "application/json",
        headers: [(String, String)] = []
    ) async throws -> Answer {
        var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)/mint/v1/\(path)")
        request.method = .POST
        request.headers.add(name: "content-type", value: contentType)
        request.headers.add(contentsOf: headers)
        request.body = .bytes(body)
        return try await send(request)
    }

    func post(_ path: String, _ text: String) async throws -> Answer {
        try await post(path, Array(text.utf8))
    }

    /// A body whose length is not announced.
    func postChunked(_ path: String, pieces: Int, of piece: [UInt8]) async throws -> Answer {
        var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)/mint/v1/\(path)")
        request.method = .POST
        let stream = AsyncStream<ByteBuffer> { continuation in
            for _ in 0..<pieces { continuation.yield(ByteBuffer(bytes: piece)) }
            continuation.finish()
        }
        request.body = .stream(stream, length: .unknown)
        return try await send(request)
    }

    private func send(_ request: HTTPClientRequest) async throws -> Answer {
        // Long enough for a busy machine: what is tested is the answer, not how soon it comes.
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(300))
        let body = try await response.body.collect(upTo: 4 << 20)
        return Answer(
            status: Int(response.status.code),
            retryAfter: response.headers.first(name: "retry-after"),
            json: (try? JSONValue.parse([UInt8](body.readableBytesView), limits: .amounts)) ?? .null
        )
    }
}

extension MintFixture {
    /// Serves the mint under `/mint` on a port of the system's choice while `work` runs.
    func serve(_ work: @escaping @Sendable (MintClient) async throws -> Void) async throws {
        let router = Router()
        MintRoutes(try mint).add(to: router.group("mint"))
        let (ports, port) = AsyncStream.makeStream(of: Int.self)
        let application = Application(
            router: router,
            server: HTTPDoor(webSockets: [try mint.subscriptionRoute(under: "/mint")]).builder,
            configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in
                if let bound = channel.localAddress?.port { port.yield(bound) }
            },
            logger: Self.logger
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await application.run() }
            for await bound in ports {
                do {
                    try await work(MintClient(port: bound))
                } catch {
                    group.cancelAll()
                    throw error
                }
                break
            }
            group.cancelAll()
            while (try? await group.next()) != nil {}
        }
    }
}
