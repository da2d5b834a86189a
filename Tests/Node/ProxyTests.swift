import AsyncHTTPClient
import CanonicalJSON
import Foundation
import NIOCore
import NIOPosix
import Testing

@testable import Node

/// `mintmark proxy`, as HTTP clients that know nothing of money use it.
@Suite("The paying proxy", .serialized)
struct ProxyTests {
    /// A proxy process and a client that goes through it.
    private struct Line {
        var process: ServerProcess
        var port: Int
        var client: HTTPClient

        func get(_ url: String, key: String? = nil, headers: [(String, String)] = []) async throws -> PlainAnswer {
            try await call(.GET, url, headers: headers + (key.map { [("Idempotency-Key", $0)] } ?? []))
        }

        func call(
            _ method: NIOHTTPMethod,
            _ url: String,
            headers: [(String, String)] = [],
            body: [UInt8]? = nil
        ) async throws -> PlainAnswer {
            var request = HTTPClientRequest(url: url)
            request.method = .init(rawValue: method.rawValue)
            for (name, value) in headers { request.headers.add(name: name, value: value) }
            if let body { request.body = .bytes(body) }
            let response = try await client.execute(request, timeout: .seconds(60))
            let bytes = [UInt8](buffer: try await response.body.collect(upTo: 16 << 20))
            return PlainAnswer(status: Int(response.status.code), headers: response.headers, body: bytes)
        }

        /// The calls that it told of, once there are as many.
        func told(_ count: Int) async throws -> [JSONValue] {
            var lines: [JSONValue] = []
            for _ in 0..<1000 {
                lines = process.log().split(separator: "\n").compactMap { try? JSONValue.parse(Array($0.utf8)) }
                    .filter { $0["url"] != nil }
                if lines.count >= count { break }
                try await Task.sleep(for: .milliseconds(5))
            }
            return lines
        }
    }

    enum NIOHTTPMethod: String { case GET, POST, HEAD }

    private func run(
        _ arguments: [String],
        _ body: @escaping @Sendable (World, Line) async throws -> Void
    ) async throws {
        try await World.with { world in
            #expect(try await world.fund(300).status == 200)
            let added = try await world.seller.command(
                "service",
                "add",
                "weather",
                "--upstream",
                "http://127.0.0.1:\(world.upstreamPort)",
                "--price",
                "2sat"
            )
            #expect(added.status == 0, "\(added)")
            let process = ServerProcess(
                "proxy",
                ["proxy", "--json", "--listen", "127.0.0.1:0", "--data", world.buyer.directory] + arguments,
                logPath: world.folder.path + "/proxy.log"
            )
            let ready = try await process.start()
            let address = try #require(ready["listening"]?.stringValue)
            let port = try #require(Int(address.split(separator: ":").last ?? ""))
            var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
            configuration.proxy = .server(host: "127.0.0.1", port: port)
            let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
            do {
                try await body(world, Line(process: process, port: port, client: client))
            } catch {
                try? await client.shutdown()
                await process.kill()
                throw error
            }
            try await client.shutdown()
            #expect(await process.stop() == 0)
        }
    }

    /// Sends bytes to a port and reads until the other side closes, or for two seconds.
    private func exchange(_ text: String, port: Int) async throws -> String {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            try await outbound.write(ByteBuffer(string: text))
            let end = channel.channel.eventLoop.scheduleTask(in: .seconds(2)) { channel.channel.close(promise: nil) }
            var read = ""
            for try await piece in inbound { read += String(buffer: piece) }
            end.cancel()
            return read
        }
    }

    @Test("A plain client's calls are paid, streamed both ways, told of, and held to the budget")
    func pays() async throws {
        try await run(["--max", "5sat", "--budget", "9sat"]) { world, line in
            let service = world.seller.url + "/s/weather"
            let first = try await line.get(service + "/now/1", key: "one")
            #expect(first.status == 200 && first.text.hasPrefix("answer"), "\(first)")
            let id = try #require(first.headers.first(name: "Mintmark-Payment"))
            // The client lost the answer and asks again: the same answer, and no second payment.
            let again = try await line.get(service + "/now/1", key: "one")
            #expect(again.text == first.text && again.headers.first(name: "Mintmark-Payment") == id)
            #expect(try await world.buyer.call(.GET, "/api/payments").json.array("payments").count == 1)
            // The same key for another call.
            #expect(try await line.get(service + "/now/2", key: "one").status == 400)

            let body = [UInt8](repeating: 0x61, count: 3 << 20)
            let posted = try await line.call(.POST, service + "/now/3", body: body)
            #expect(posted.status == 200, "\(posted)")
            let long = try await line.get(service + "/long/4")
            #expect(long.status == 200 && long.body.count == 160 << 10, "\(long.status)")
            let failed = try await line.get(service + "/fail/5")
            #expect(failed.status == 502, "\(failed)")
            // Two each for three calls: three are left, of which one more can be paid.
            #expect(try await line.get(service + "/now/6").status == 200)
            let over = try await line.get(service + "/now/7")
            #expect(over.status == 402 && over.code == "limit-exceeded", "\(over.text)")
            // What is free goes on.
            #expect(try await line.get(world.seller.url + "/health").status == 200)

            let told = try await line.told(9)
            #expect(told.first?["payment"]?["id"]?.stringValue == id, "\(told)")
            #expect(told.first?["payment"]?["amount"]?.stringValue == "2", "\(told)")
            #expect(told.contains { $0["problem"]?.stringValue == "limit-exceeded" })
            let payments = try await world.buyer.call(.GET, "/api/payments").json.array("payments")
            #expect(payments.filter { $0["state"]?.stringValue == "served" }.count == 4)
            #expect(payments.filter { $0["state"]?.stringValue == "refunded" }.count == 1)
        }
    }

    @Test("What it cannot do it says: tunnels, its own paths, payments of the client's, smuggled requests")
    func refuses() async throws {
        try await run(["--max", "5sat"]) { world, line in
            let tunnel = try await exchange("CONNECT api.example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n", port: line.port)
            #expect(tunnel.hasPrefix("HTTP/1.1 501") && tunnel.contains("http://HOST/PATH"), "\(tunnel)")
            // As a page in a browser would ask.
            let direct = try await exchange("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", port: line.port)
            #expect(direct.hasPrefix("HTTP/1.1 400") && direct.contains("forward proxy"), "\(direct)")
            let named = try await exchange(
                "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nMintmark-Proxy-Target: \(world.seller.url)/s/weather/now/1\r\n"
                    + "Connection: close\r\n\r\n",
                port: line.port
            )
            #expect(named.hasPrefix("HTTP/1.1 400"), "\(named)")
            let url = world.seller.url + "/s/weather/now/1"
            for header in ["X-Cashu", "PAYMENT-SIGNATURE", "X-PAYMENT", "Signature", "Agent-Passport"] {
                let answer = try await line.get(url, headers: [(header, "abc")])
                #expect(answer.status == 400 && answer.text.contains("leave it out"), "\(header): \(answer.text)")
            }
            let keys = try await exchange(
                "GET \(url) HTTP/1.1\r\nHost: a\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\nConnection: close\r\n\r\n",
                port: line.port
            )
            #expect(keys.hasPrefix("HTTP/1.1 400"), "\(keys)")
            let both = try await exchange(
                "POST \(url) HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n"
                    + "Connection: close\r\n\r\n0\r\n\r\n",
                port: line.port
            )
            #expect(!both.hasPrefix("HTTP/1.1 200"), "\(both)")
            #expect(try await world.buyer.call(.GET, "/api/payments").json.array("payments").isEmpty)
        }
    }

    @Test("With a token, only clients that send it; and it never listens where others reach it")
    func token() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "proxy-token-\(UUID().uuidString)")
        try Data("0123456789abcdef0123\n".utf8).write(to: folder)
        defer { try? FileManager.default.removeItem(at: folder) }
        try await run(["--max", "5sat", "--token-file", folder.path]) { world, line in
            let url = world.seller.url + "/health"
            func ask(_ token: String?) async throws -> String {
                let basic = token.map { Data("x:\($0)".utf8).base64EncodedString() }
                let header = basic.map { "Proxy-Authorization: Basic \($0)\r\n" } ?? ""
                return try await exchange(
                    "GET \(url) HTTP/1.1\r\nHost: a\r\n\(header)Connection: close\r\n\r\n",
                    port: line.port
                )
            }
            #expect(try await ask(nil).hasPrefix("HTTP/1.1 407"))
            #expect(try await ask("0123456789abcdef0124").hasPrefix("HTTP/1.1 407"))
            #expect(try await ask("0123456789abcdef0123").hasPrefix("HTTP/1.1 200"))
            let open = try await world.buyer.command("proxy", "--max", "5sat", "--listen", "0.0.0.0:0", "--json")
            #expect(open.status == 1 && open.json["error"]?.stringValue?.contains("loopback") == true, "\(open)")
        }
    }

    @Test("Plain http to another machine becomes https, and nothing that is no address is passed on")
    func addresses() throws {
        func url(_ text: String) -> String? { try? ProxyRequest.address(text).url }
        #expect(url("http://api.example.com/a?b=%20c") == "https://api.example.com/a?b=%20c")
        #expect(url("http://api.example.com:80/") == "https://api.example.com/")
        #expect(url("http://api.example.com:8080") == "https://api.example.com:8080/")
        #expect(url("HTTP://API.example.com/A") == "https://api.example.com/A")
        #expect(url("https://api.example.com/a") == "https://api.example.com/a")
        #expect(url("http://127.0.0.1:9000/a") == "http://127.0.0.1:9000/a")
        #expect(url("http://localhost/a") == "http://localhost/a")
        #expect(url("http://[::1]:9000/a") == "http://[::1]:9000/a")
        for wrong in ["/a", "*", "api.example.com:443", "ftp://a/b", "http://", "http:///a", "http://u:p@a/b", ""] {
            #expect(url(wrong) == nil, "\(wrong)")
        }
    }

    @Test("No two calls spend the last of a budget, and a payment is counted once")
    func budget() async throws {
        let budget = ProxyBudget(perCall: 5, inAll: 12, perHost: 8)
        let first = try #require(await budget.allow("a"))
        #expect(first.amount == 5)
        // Three are left for this host until it is known what the first costs: who asks meanwhile waits for that.
        async let second = budget.allow("a")
        try await Task.sleep(for: .milliseconds(50))
        await budget.settle(first, payment: "p1", spent: 2)
        let granted = try #require(await second)
        #expect(granted.amount == 5)
        // The same payment again, dearer by a fee: only the difference counts.
        await budget.settle(granted, payment: "p1", spent: 3)
        #expect(await budget.totals.spent == 3)
        let third = try #require(await budget.allow("a"))
        await budget.settle(third, payment: "p2", spent: 5)
        let none = try #require(await budget.allow("a"))
        #expect(none.amount == 0)
        await budget.settle(none, payment: nil, spent: 0)
        let other = try #require(await budget.allow("b"))
        #expect(other.amount == 4)
        await budget.settle(other, payment: nil, spent: 0)
        let unused = await withTaskGroup(of: UInt64.self) { group in
            for _ in 0..<100 {
                group.addTask {
                    guard let allowance = await budget.allow("c") else { return 0 }
                    let spent = min(allowance.amount, 3)
                    await budget.settle(allowance, payment: nil, spent: spent)
                    return spent
                }
            }
            return await group.reduce(0, +)
        }
        #expect(unused == 4)
        #expect(await budget.totals.spent == 12)
        #expect(await budget.totals.reserved == 0)
    }
}
