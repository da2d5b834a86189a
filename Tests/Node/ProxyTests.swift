import CanonicalJSON
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import TestSupport
import Testing

@testable import Node

/// `mintmark proxy`, as HTTP clients that know nothing of money use it.
@Suite("The paying proxy", .serialized)
struct ProxyTests {
    /// A proxy process, and a client that sends it whole addresses, as curl does with `-x`.
    private struct Line {
        var process: ServerProcess
        var port: Int

        func get(_ url: String, key: String? = nil, headers: [(String, String)] = []) async throws -> PlainAnswer {
            try await call(.GET, url, headers: headers + (key.map { [("Idempotency-Key", $0)] } ?? []))
        }

        func call(
            _ method: HTTPMethod,
            _ url: String,
            headers: [(String, String)] = [],
            body: [UInt8] = []
        ) async throws -> PlainAnswer {
            var text = "\(method.rawValue) \(url) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
            for (name, value) in headers { text += "\(name): \(value)\r\n" }
            if !body.isEmpty { text += "Content-Length: \(body.count)\r\n" }
            return try Self.read(await exchange(Array((text + "\r\n").utf8) + body))
        }

        /// Sends bytes and reads until the other side closes, for twenty seconds at most.
        func exchange(_ bytes: [UInt8]) async throws -> [UInt8] {
            let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .connect(host: "127.0.0.1", port: port) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                    }
                }
            return try await channel.executeThenClose { inbound, outbound in
                try await outbound.write(ByteBuffer(bytes: bytes))
                let inner = channel.channel
                let end = inner.eventLoop.scheduleTask(in: .seconds(20)) { inner.close(promise: nil) }
                var read: [UInt8] = []
                for try await piece in inbound { read += piece.readableBytesView }
                end.cancel()
                return read
            }
        }

        func exchange(_ text: String) async throws -> String {
            String(decoding: try await exchange(Array(text.utf8)), as: UTF8.self)
        }

        private static func read(_ bytes: [UInt8]) throws -> PlainAnswer {
            let data = Data(bytes)
            guard let end = data.range(of: Data("\r\n\r\n".utf8)) else {
                let start = String(decoding: bytes.prefix(300), as: UTF8.self)
                throw ServerProcess.NotReady(description: "no answer: \(start)")
            }
            let lines = String(decoding: data[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
            var headers = HTTPHeaders()
            for line in lines.dropFirst() {
                let parts = line.split(separator: ":", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
                headers.add(name: parts[0], value: parts.count > 1 ? parts[1] : "")
            }
            var body = Array(data[end.upperBound...])
            if headers["transfer-encoding"] == ["chunked"] { body = unchunked(body) }
            return PlainAnswer(
                status: lines[0].split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0,
                headers: headers,
                body: body
            )
        }

        private static func unchunked(_ bytes: [UInt8]) -> [UInt8] {
            var (rest, body) = (bytes[...], [UInt8]())
            while let line = rest.firstIndex(of: 0x0A), line > rest.startIndex {
                let size = Int(String(decoding: rest[rest.startIndex..<(line - 1)], as: UTF8.self), radix: 16) ?? 0
                guard size > 0, rest.count > size else { break }
                body += rest[(line + 1)..<(line + 1 + size)]
                rest = rest[(line + 1 + size + 2)...]
            }
            return body
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

    private func run(
        _ arguments: [String],
        _ body: @escaping @Sendable (World, Line) async throws -> Void
    ) async throws {
        try await World.with { world in
            #expect(try await world.fund(300).status == 200)
            try await world.sell()
            let process = ServerProcess(
                "proxy",
                ["proxy", "--json", "--listen", "127.0.0.1:0", "--data", world.buyer.directory] + arguments,
                logPath: world.folder.path + "/proxy.log"
            )
            let ready = try await process.start()
            let address = try #require(ready["listening"]?.stringValue)
            let port = try #require(Int(address.split(separator: ":").last ?? ""))
            do {
                try await body(world, Line(process: process, port: port))
            } catch {
                await process.kill()
                throw error
            }
            #expect(await process.stop() == 0)
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
            let tunnel = try await line.exchange("CONNECT api.example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(tunnel.hasPrefix("HTTP/1.1 501") && tunnel.contains("http://HOST/PATH"), "\(tunnel)")
            // As a page in a browser would ask.
            let direct = try await line.exchange("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            #expect(direct.hasPrefix("HTTP/1.1 400") && direct.contains("forward proxy"), "\(direct)")
            let named = try await line.exchange(
                "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nMintmark-Proxy-Target: \(world.seller.url)/s/weather/now/1\r\n"
                    + "Connection: close\r\n\r\n"
            )
            #expect(named.hasPrefix("HTTP/1.1 400"), "\(named)")
            let url = world.seller.url + "/s/weather/now/1"
            for header in ["X-Cashu", "PAYMENT-SIGNATURE", "X-PAYMENT", "Signature", "Agent-Passport"] {
                let answer = try await line.get(url, headers: [(header, "abc")])
                #expect(answer.status == 400 && answer.text.contains("leave it out"), "\(header): \(answer.text)")
            }
            let keys = try await line.exchange(
                "GET \(url) HTTP/1.1\r\nHost: a\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\nConnection: close\r\n\r\n"
            )
            #expect(keys.hasPrefix("HTTP/1.1 400"), "\(keys)")
            let both = try await line.exchange(
                "POST \(url) HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n"
                    + "Connection: close\r\n\r\n0\r\n\r\n"
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
                return try await line.exchange(
                    "GET \(url) HTTP/1.1\r\nHost: a\r\n\(header)Connection: close\r\n\r\n"
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
        // Change that came back can be spent again; told twice it counts once, and never more than was spent.
        await budget.giveBack(4, of: "p2", host: "a")
        await budget.giveBack(4, of: "p2", host: "a")
        await budget.giveBack(9, of: "p1", host: "a")
        await budget.giveBack(9, of: "p9", host: "a")
        #expect(await budget.totals.spent == 5)
        let freed = try #require(await budget.allow("a"))
        #expect(freed.amount == 5)
        await budget.settle(freed, payment: "p3", spent: 7)
        #expect(await budget.totals.spent == 12)
        #expect(await budget.totals.reserved == 0)
    }
}
