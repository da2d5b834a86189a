import AsyncHTTPClient
import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Foundation
import Gateway
import HTTPSignatures
import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTP1
import NIOPosix
import Paywall
import Receipts
import Storage
import Synchronization
import Testing

/// An upstream that counts what it reads and sends what it is asked for, piece by piece.
enum StreamingUpstream {
    final class Log: Sendable {
        let bytes = Mutex(0)
        let heads = Mutex<[(method: String, headers: HTTPFields)]>([])
    }

    static func router(_ log: Log) -> Router<BasicRequestContext> {
        let router = Router(context: BasicRequestContext.self)
        router.add(middleware: Middleware(log: log))
        return router
    }

    struct Middleware: RouterMiddleware {
        let log: Log

        func handle(
            _ request: Request,
            context: BasicRequestContext,
            next: (Request, BasicRequestContext) async throws -> Response
        ) async throws -> Response {
            log.heads.withLock { $0.append((request.method.rawValue, request.headers)) }
            let path = request.uri.path
            if path == "/early" { return Response(status: .ok, body: .init(byteBuffer: .init(string: "early"))) }
            if path == "/upload" {
                var count = 0
                var hash = SHA256Stream()
                for try await piece in request.body {
                    count += piece.readableBytes
                    piece.withUnsafeReadableBytes { hash.update($0) }
                    let total = count
                    log.bytes.withLock { $0 = total }
                }
                return Response(
                    status: .ok,
                    body: .init(byteBuffer: .init(string: "\(count) \(Hex.encode(hash.finalize()))"))
                )
            }
            if path == "/echo" {
                let body = request.body
                return Response(
                    status: .ok,
                    body: ResponseBody { writer in
                        for try await piece in body { try await writer.write(piece) }
                        try await writer.finish(nil)
                    }
                )
            }
            if path == "/download" {
                let pieces = request.uri.queryParameters.get("pieces").flatMap { Int($0) } ?? 1
                let piece = ByteBuffer(repeating: 0x63, count: 65_536)
                return Response(
                    status: .ok,
                    body: ResponseBody { writer in
                        for _ in 0..<pieces { try await writer.write(piece) }
                        try await writer.finish(nil)
                    }
                )
            }
            if path == "/empty" { return Response(status: .noContent) }
            var headers = HTTPFields()
            headers[.contentType] = "text/plain"
            for (name, value) in [
                ("Connection", "X-Secret, close"), ("X-Secret", "1"), ("Keep-Alive", "timeout=5"),
                ("X-Cashu", "cashuBfake"),
                ("Agent-Receipt", "forged"), ("X-Plain", "yes"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"),
            ] {
                if let name = HTTPField.Name(name) { headers.append(HTTPField(name: name, value: value)) }
            }
            if request.method == .head {
                headers[.contentLength] = "5"
                return Response(status: .ok, headers: headers)
            }
            return Response(status: .ok, headers: headers, body: .init(byteBuffer: .init(string: "hello")))
        }
    }
}

/// A seller in front of a ``StreamingUpstream``.
func withProxy<T: Sendable>(
    service: @escaping @Sendable (inout ServiceDefinition) -> Void = { _ in },
    _ body: @escaping @Sendable (TestNode, StreamingUpstream.Log, HTTPClient, Int) async throws -> T
) async throws -> T {
    let node = try TestNode()
    let log = StreamingUpstream.Log()
    try await node.start()
    let result: T
    do {
        result = try await withServer(StreamingUpstream.router(log)) { upstreamPort in
            try await node.sell(upstream: upstreamPort) { definition in
                definition.requestBodyLimitBytes = 500 << 20
                service(&definition)
            }
            return try await withServer(try node.router()) { port in
                try await withClient { client in try await body(node, log, client, port) }
            }
        }
    } catch {
        try await node.stop()
        throw error
    }
    try await node.stop()
    return result
}

/// Whether this suite runs by itself, as the gate does: among the other suites the process grows by what they take meanwhile.
private let isAlone = ProcessInfo.processInfo.environment["ALONE"] == "1"

/// A long stream, in pieces of 64 KiB: 400 MB, or 13 where others want the machine too.
private let longPieces = isAlone ? 6400 : 200

/// What such a stream may add to this process, which is client, gateway and upstream in one: AsyncHTTPClient hands pieces to
/// its event loop before it hears that the socket is full, so that a busy machine sees some tens of megabytes on their
/// way. A gateway that held the body would take all 400.
private let residentLimitBytes = isAlone ? 160 << 20 : Int.max

/// Resident memory of this process, in bytes.
private func residentBytes() -> Int {
    guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return 0 }
    return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4096
}

/// A body in pieces, without holding them.
private struct LongUpload: AsyncSequence, Sendable {
    let pieces: Int
    let piece = ByteBuffer(repeating: 0x64, count: 65_536)

    struct AsyncIterator: AsyncIteratorProtocol {
        var left: Int
        let piece: ByteBuffer
        mutating func next() async throws -> ByteBuffer? {
            guard left > 0 else { return nil }
            left -= 1
            return piece
        }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(left: pieces, piece: piece) }
    var count: Int { pieces * 65_536 }

    var digest: [UInt8] {
        var hash = SHA256Stream()
        for _ in 0..<pieces { piece.withUnsafeReadableBytes { hash.update($0) } }
        return hash.finalize()
    }
}

@Suite("The reverse proxy", .serialized)
struct ProxyTests {
    @Test("CALL-17: a long answer in bounded memory, the receipt in the trailer")
    func download() async throws {
        try await withProxy { node, _, client, port in
            let before = residentBytes()
            var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)/s/weather/download?pieces=\(longPieces)")
            request.headers.add(name: "X-Cashu", value: try node.payment(2))
            let response = try await client.execute(request, timeout: .seconds(60))
            #expect(response.status == .ok)
            #expect(response.headers.first(name: "Trailer") == "Agent-Receipt")
            let id = try #require(response.headers.first(name: "Agent-Receipt-ID"))
            var count = 0
            var hash = SHA256Stream()
            for try await piece in response.body {
                count += piece.readableBytes
                piece.withUnsafeReadableBytes { hash.update($0) }
            }
            #expect(count == longPieces * 65_536)
            #expect(residentBytes() - before < residentLimitBytes)
            let receipt = try Receipt(bytes: try await client.call(port, "/receipts/\(id)").body)
            #expect(receipt.verdict().isValid)
            #expect(receipt.claims.responseDigest == hash.finalize())
            // Too long to keep: asked again, the receipt is the answer.
            let again = try await client.call(
                port,
                "/s/weather/download?pieces=\(longPieces)",
                payment: request.headers.first(name: "X-Cashu")
            )
            #expect(again.status == 409)
            #expect(again.receipt?.id == id)
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("CALL-17: the trailer is on the wire, and a streamed answer short enough is kept")
    func trailer() async throws {
        try await withProxy { node, _, client, port in
            let token = try node.payment(2)
            let raw = try await exchange(
                port,
                "GET /s/weather/download?pieces=2 HTTP/1.1\r\nHost: a\r\nX-Cashu: \(token)\r\nConnection: close\r\n\r\n"
            )
            let tail = try #require(raw.components(separatedBy: "\r\n0\r\n").last)
            let line = try #require(tail.split(separator: "\r\n").first { $0.lowercased().hasPrefix("agent-receipt:") })
            let receipt = try Receipt(
                header: line.dropFirst("agent-receipt:".count).trimmingCharacters(in: .whitespaces)
            )
            #expect(receipt.verdict().isValid)
            let again = try await client.call(port, "/s/weather/download?pieces=2", payment: token)
            #expect(again.body.count == 2 * 65_536)
            #expect(again.header("Idempotent-Replayed") == "true")
        }
    }

    @Test("CALL-21: a long body in bounded memory, with and without an announced length")
    func upload() async throws {
        try await withProxy { node, log, client, port in
            let long = LongUpload(pieces: longPieces)
            let before = residentBytes()
            for length in [HTTPClientRequest.Body.Length.known(Int64(long.count)), .unknown] {
                let answer = try await client.call(
                    port,
                    "/s/weather/upload",
                    method: "POST",
                    payment: node.payment(2),
                    body: .stream(long, length: length)
                )
                #expect(answer.status == 200)
                #expect(answer.text == "\(long.count) \(Hex.encode(long.digest))")
            }
            #expect(residentBytes() - before < residentLimitBytes)
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("CALL-21: a body both ways at once")
    func echo() async throws {
        try await withProxy { node, _, client, port in
            let long = LongUpload(pieces: 64)
            let answer = try await client.call(
                port,
                "/s/weather/echo",
                method: "POST",
                payment: node.payment(2),
                body: .stream(long, length: .known(Int64(long.count)))
            )
            #expect(answer.body.count == long.count)
        }
    }

    @Test("CALL-21: a long body with a key needs Content-Digest; one that breaks its promise is refunded")
    func contentDigest() async throws {
        try await withProxy { node, _, client, port in
            let long = LongUpload(pieces: 40)
            func send(_ token: String, key: String?, digest: [UInt8]?) async throws -> Answer {
                try await client.call(
                    port,
                    "/s/weather/upload",
                    method: "POST",
                    payment: token,
                    key: key,
                    headers: digest.map { [("Content-Digest", ContentDigest.header(sha256: $0))] } ?? [],
                    body: .stream(long, length: .known(Int64(long.count)))
                )
            }
            let token = try node.payment(2)
            let bare = try await send(token, key: "k", digest: nil)
            #expect(bare.status == 400)
            #expect(try JSONValue.parse(bare.body)["code"]?.stringValue == "content-digest-required")
            let wrong = try await send(node.payment(2), key: "w", digest: [UInt8](repeating: 1, count: 32))
            #expect(wrong.status == 400)
            #expect(try JSONValue.parse(wrong.body)["code"]?.stringValue == "content-digest-mismatch")
            #expect(wrong.header("X-Cashu") != nil)
            let right = try await send(token, key: "k", digest: long.digest)
            #expect(right.status == 200)
            #expect(right.receipt?.claims.requestDigest == long.digest)
            let short = try await client.call(
                port,
                "/s/weather/upload",
                method: "POST",
                payment: node.payment(2),
                headers: [("Content-Digest", ContentDigest.header(sha256: [UInt8](repeating: 1, count: 32)))],
                body: .bytes(ByteBuffer(string: "x"))
            )
            #expect(short.status == 400)
            #expect(short.header("X-Cashu") == nil)
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("CALL-21: a body over the service's limit: 413, announced or not, and nothing is kept of the payment")
    func tooLarge() async throws {
        try await withProxy(service: { $0.requestBodyLimitBytes = 2 << 20 }) { node, _, client, port in
            let long = LongUpload(pieces: 64)
            for length in [HTTPClientRequest.Body.Length.known(Int64(long.count)), .unknown] {
                let answer = try? await client.call(
                    port,
                    "/s/weather/upload",
                    method: "POST",
                    payment: node.payment(2),
                    body: .stream(long, length: length)
                )
                if let answer { #expect(answer.status == 413) }
            }
            let served = try await node.database.read {
                try $0.first("SELECT count(*) FROM gateway_claims WHERE state NOT IN ('refunded')")?.int(0)
            }
            #expect(served == 0)
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("CALL-20: hop-by-hop fields stay on their connection, and nobody speaks in another's name")
    func headers() async throws {
        try await withProxy { node, log, client, port in
            let token = try node.payment(2)
            let raw = try await exchange(
                port,
                "GET /s/weather/plain HTTP/1.1\r\nHost: shop.example\r\nX-Cashu: \(token)\r\n"
                    + "Connection: keep-alive, X-Private, close\r\nX-Private: 1\r\nKeep-Alive: 1\r\nTE: trailers\r\nUpgrade: x\r\n"
                    + "Proxy-Authorization: p\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nAgent-Caller: did:me\r\n"
                    + "X-HTTP-Method-Override: DELETE\r\nX-Original-URL: /admin\r\nX-Kept: yes\r\nCookie: a=1; b=2\r\n\r\n"
            )
            #expect(raw.hasPrefix("HTTP/1.1 200"))
            let seen = try #require(log.heads.withLock { $0.first })
            for name in [
                "x-private", "keep-alive", "te", "upgrade", "proxy-authorization", "agent-caller",
                "x-http-method-override",
                "x-original-url", "x-cashu",
            ] {
                #expect(seen.headers[try #require(HTTPField.Name(name))] == nil, "\(name) crossed")
            }
            #expect(seen.headers[.init("X-Kept")!] == "yes")
            #expect(seen.headers[.cookie] == "a=1; b=2")
            #expect(seen.headers[.init("X-Forwarded-For")!] == "127.0.0.1")
            #expect(seen.headers[.init("Forwarded")!] == "for=\"127.0.0.1\";host=\"shop.example\"")
            #expect(seen.headers[.init("Via")!] == "1.1 mintmark")
            let head = try #require(raw.components(separatedBy: "\r\n\r\n").first).lowercased()
            for line in ["x-secret", "keep-alive", "cashubfake", "forged"] {
                #expect(!head.contains(line), "\(line) crossed")
            }
            #expect(head.contains("x-plain: yes"))
            #expect(head.contains("set-cookie: a=1"))
            #expect(head.contains("set-cookie: b=2"))
            #expect(raw.hasSuffix("hello"))
        }
    }

    @Test("CALL-20: HEAD and 204 have no body, and the connection goes on")
    func bodiless() async throws {
        try await withProxy { node, _, client, port in
            let one = try node.payment(2)
            let two = try node.payment(2)
            let three = try node.payment(2)
            let raw = try await exchange(
                port,
                "HEAD /s/weather/plain HTTP/1.1\r\nHost: a\r\nX-Cashu: \(one)\r\n\r\n"
                    + "GET /s/weather/empty HTTP/1.1\r\nHost: a\r\nX-Cashu: \(two)\r\n\r\n"
                    + "GET /s/weather/plain HTTP/1.1\r\nHost: a\r\nX-Cashu: \(three)\r\nConnection: close\r\n\r\n"
            )
            let heads = raw.components(separatedBy: "\r\n\r\n")
            #expect(heads.count == 4)
            #expect(heads[0].hasPrefix("HTTP/1.1 200"))
            #expect(heads[0].lowercased().contains("content-length: 5"))
            #expect(heads[1].hasPrefix("HTTP/1.1 204"))
            #expect(heads[2].hasPrefix("HTTP/1.1 200"))
            #expect(heads[3] == "hello")
        }
    }

    @Test(
        "CALL-22: requests that two servers could cut differently are refused, and reach no upstream",
        arguments: [
            "POST /s/weather/free/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /s/weather/free/y HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST /s/weather/free/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhelloo",
            "POST /s/weather/free/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            "POST /s/weather/free/x HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
            "POST /s/weather/free/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
            "GET /s/weather/free/x HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
            "GET /s/weather/free/x\u{7f} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "GET /s/weather/free/x#y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "TRACE /s/weather/free/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        ]
    )
    func smuggling(request: String) async throws {
        try await withProxy { _, log, _, port in
            let raw = try await exchange(port, request)
            let status = raw.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 400
            #expect(status >= 400, "\(raw.prefix(200))")
            #expect(log.heads.withLock { $0.filter { $0.method == "GET" }.isEmpty })
        }
    }

    @Test("CALL-21: a client that goes away in the middle of its body makes no call that counts")
    func clientGoes() async throws {
        try await withProxy { node, log, client, port in
            let token = try node.payment(2)
            _ = try await exchange(
                port,
                "POST /s/weather/upload HTTP/1.1\r\nHost: a\r\nX-Cashu: \(token)\r\nContent-Length: 100\r\n\r\nonly this",
                closesAfterSending: true
            )
            #expect(log.heads.withLock { $0.isEmpty })
            let paid = try await client.call(
                port,
                "/s/weather/upload",
                method: "POST",
                payment: token,
                body: .bytes(ByteBuffer(string: "x"))
            )
            #expect(paid.status == 200)
        }
    }

    @Test("CALL-23: over the rate limit: 429 with Retry-After")
    func rateLimit() async throws {
        try await withProxy(service: { $0.rateLimit = RateLimit(perSecond: 1, burst: 3) }) { _, log, client, port in
            var statuses: [Int] = []
            for _ in 0..<6 { statuses.append(try await client.call(port, "/s/weather/free/x").status) }
            #expect(statuses.prefix(3) == [200, 200, 200])
            #expect(statuses.contains(429))
            let refused = try await client.call(port, "/s/weather/free/x")
            #expect(refused.header("Retry-After") == "1")
        }
    }

    /// Sends bytes as they are and reads until the server closes, or for three seconds.
    private func exchange(_ port: Int, _ text: String, closesAfterSending: Bool = false) async throws -> String {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        // A server that keeps the connection open after its answer is done, too.
        let raw = channel.channel
        let close = raw.eventLoop.scheduleTask(in: .seconds(3)) { raw.close(promise: nil) }
        defer { close.cancel() }
        return try await channel.executeThenClose { inbound, outbound in
            try await outbound.write(ByteBuffer(string: text))
            if closesAfterSending { return "" }
            var read: [UInt8] = []
            do {
                for try await piece in inbound { read += Array(piece.readableBytesView) }
            } catch {
                // A server that resets the connection has said what it had to say.
            }
            return String(decoding: read, as: UTF8.self)
        }
    }
}
