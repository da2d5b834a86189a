import AsyncHTTPClient
import CanonicalJSON
import Foundation
import Gateway
import NIOCore
import NIOHTTP1
import Storage
import Synchronization
import Testing

@Suite("Several upstreams")
struct PoolTests {
    private static let nowhere = "http://127.0.0.1:1"
    private static let ends = RawUpstream.Reply("")

    private func claims(_ node: TestNode, _ states: String = "'running','served','refunded'") async throws -> Int? {
        try await node.database.read {
            try $0.first("SELECT count(*) FROM gateway_claims WHERE state IN (\(states))")?.int(0)
        }
    }

    private func state(_ client: HTTPClient, _ port: Int) async throws -> [JSONValue] {
        let shown = try JSONValue.parse(try await client.call(port, "/api/services/weather").body)
        return shown["state"]?["upstreams"]?.arrayValue ?? []
    }

    @Test("GWY-6: calls go in turn; one that can't be reached got nothing, so the other serves and nothing is refunded")
    func inTurn() async throws {
        let (first, second) = (RawUpstream(), RawUpstream())
        try await first.whileServing({ _ in RawUpstream.hello }) { one in
            try await second.whileServing({ _ in RawUpstream.hello }) { two in
                try await withDoorSeller(
                    upstream: one,
                    service: {
                        $0.proxy.moreUpstreams = [try? UpstreamAddress("http://127.0.0.1:\(two)")].compactMap { $0 }
                    }
                ) { node, port in
                    try await withClient { client in
                        for _ in 0..<8 {
                            let answer = try await client.call(port, payment: node.payment(2))
                            #expect(answer.status == 200)
                        }
                        #expect(first.requests.count == 4)
                        #expect(second.requests.count == 4)
                    }
                }
                try await withDoorSeller(
                    upstream: 1,
                    service: {
                        $0.proxy.moreUpstreams = [try? UpstreamAddress("http://127.0.0.1:\(two)")].compactMap { $0 }
                    }
                ) { node, port in
                    try await withClient { client in
                        for _ in 0..<4 {
                            #expect(try await client.call(port, payment: node.payment(2)).status == 200)
                        }
                        let states = try await state(client, port)
                        #expect(states.first?["circuit"]?.stringValue == "open")
                        #expect(states.last?["circuit"]?.stringValue == "closed")
                        #expect(try await claims(node, "'refunded'") == 0)
                    }
                }
            }
        }
    }

    @Test("GWY-6: the least busy one is called")
    func leastBusy() async throws {
        let (slow, quick) = (RawUpstream(), RawUpstream())
        // Never answers.
        try await slow.whileServing({ _ in nil }) { one in
            try await quick.whileServing({ _ in RawUpstream.hello }) { two in
                try await withDoorSeller(
                    upstream: one,
                    service: {
                        $0.proxy.balance = .leastBusy
                        $0.timeouts = CallTimeouts(connectSeconds: 2, idleSeconds: 60, totalSeconds: 60)
                        $0.proxy.moreUpstreams = [try? UpstreamAddress("http://127.0.0.1:\(two)")].compactMap { $0 }
                    }
                ) { node, port in
                    try await withClient { client in
                        let answered = Tally()
                        let hanging = (0..<2).map { _ in
                            Task {
                                _ = try await client.call(port, "/s/weather/free/x")
                                answered.count.withLock { $0 += 1 }
                            }
                        }
                        // In turn: one of the two went to each, and the quick one's is over.
                        while slow.requests.isEmpty || answered.count.withLock({ $0 }) == 0 {
                            try await Task.sleep(for: .milliseconds(5))
                        }
                        for _ in 0..<6 {
                            #expect(try await client.call(port, "/s/weather/free/y").text == "hello")
                        }
                        #expect(slow.requests.count == 1)
                        for task in hanging { task.cancel() }
                    }
                }
            }
        }
    }

    @Test("GWY-7, GWY-8: an upstream that ends connections: refunded, then 503 before money, then one trial")
    func breaker() async throws {
        let upstream = RawUpstream()
        let isWell = Mutex(false)
        try await upstream.whileServing({ _ in isWell.withLock { $0 } ? RawUpstream.hello : Self.ends }) { one in
            try await withDoorSeller(
                upstream: one,
                service: { $0.proxy.breaker = BreakerRules(failures: 2, openSeconds: 5) }
            ) { node, port in
                try await withClient { client in
                    for _ in 0..<2 {
                        let answer = try await client.call(port, payment: node.payment(2))
                        #expect(answer.status == 502)
                        #expect(answer.header("X-Cashu") != nil)
                    }
                    let before = upstream.requests.count
                    let token = try node.payment(2)
                    let refused = try await client.call(port, payment: token)
                    #expect(refused.status == 503)
                    #expect(refused.header("Retry-After") != nil)
                    #expect(try await client.call(port).status == 503)
                    #expect(upstream.requests.count == before)
                    #expect(try await claims(node) == 2)
                    #expect(try await state(client, port).first?["circuit"]?.stringValue == "open")
                    isWell.withLock { $0 = true }
                    // The payment that was not taken is good.
                    var status = 0
                    for _ in 0..<200 where status != 200 {
                        status = try await client.call(port, payment: token).status
                        try await Task.sleep(for: .milliseconds(50))
                    }
                    #expect(status == 200)
                    #expect(try await state(client, port).first?["circuit"]?.stringValue == "closed")
                }
            }
        }
    }

    @Test("GWY-8: what was paid before is answered though the upstream is gone")
    func replayed() async throws {
        try await withSeller(service: { $0.proxy.breaker = BreakerRules(failures: 1, openSeconds: 60) }) {
            node,
            upstream,
            client,
            port in
            let token = try node.payment(2)
            #expect(try await client.call(port, payment: token).status == 200)
            // One that dies opens the circuit.
            #expect(try await client.call(port, "/s/weather/hang", payment: node.payment(2)).status == 504)
            #expect(try await client.call(port).status == 503)
            let again = try await client.call(port, payment: token)
            #expect(again.status == 200)
            #expect(again.header("Idempotent-Replayed") == "true")
        }
    }

    @Test("GWY-6: a request that may have reached one upstream is sent to another only where that does no harm")
    func noRetry() async throws {
        let (bad, good) = (RawUpstream(), RawUpstream())
        try await bad.whileServing({ _ in Self.ends }) { one in
            try await good.whileServing({ _ in RawUpstream.hello }) { two in
                for isIdempotent in [false, true] {
                    try await withDoorSeller(
                        upstream: one,
                        service: {
                            $0.isIdempotent = isIdempotent
                            $0.proxy.breaker = BreakerRules(failures: 100)
                            $0.proxy.moreUpstreams = [try? UpstreamAddress("http://127.0.0.1:\(two)")].compactMap { $0 }
                        }
                    ) { node, port in
                        try await withClient { client in
                            let before = good.requests.count
                            var statuses: [Int] = []
                            for _ in 0..<4 {
                                statuses.append(
                                    try await client.call(
                                        port,
                                        method: "POST",
                                        payment: node.payment(2),
                                        body: .bytes(ByteBuffer(string: "x"))
                                    ).status
                                )
                            }
                            #expect(statuses.count { $0 == 200 } == (isIdempotent ? 4 : 2), "\(statuses)")
                            #expect(good.requests.count - before == (isIdempotent ? 4 : 2))
                        }
                    }
                }
            }
        }
    }

    @Test("GWY-7: an upstream whose health check fails gets no calls, and gets them again when it is well")
    func healthCheck() async throws {
        let upstream = RawUpstream()
        let isWell = Mutex(false)
        try await upstream.whileServing({ head in
            guard head.hasPrefix("GET /well ") else { return RawUpstream.hello }
            return isWell.withLock { $0 }
                ? RawUpstream.hello : RawUpstream.Reply("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", closes: false)
        }) { one in
            try await withDoorSeller(
                upstream: one,
                service: { $0.proxy.healthCheck = HealthCheck(path: "/well", intervalSeconds: 1) }
            ) { node, port in
                try await withClient { client in
                    #expect(try await client.call(port, payment: node.payment(2)).status == 503)
                    #expect(!upstream.requests.contains { $0.contains("/today") })
                    #expect(try await state(client, port).first?["isWell"]?.boolValue == false)
                    isWell.withLock { $0 = true }
                    var status = 0
                    for _ in 0..<200 where status != 200 {
                        status = try await client.call(port, "/s/weather/free/x").status
                        try await Task.sleep(for: .milliseconds(20))
                    }
                    #expect(status == 200)
                }
            }
        }
    }

    @Test(
        "GWY-9: an upstream at an address that is not allowed is refused; a name that leads there is never connected to"
    )
    func addresses() async throws {
        let upstream = RawUpstream()
        try await upstream.whileServing({ _ in RawUpstream.hello }) { one in
            let node = try TestNode()
            try await node.start()
            for address in [
                "http://169.254.169.254", "http://[::ffff:a9fe:a9fe]/latest", "http://0.0.0.0:\(one)",
                "http://[fe80::1]",
            ] {
                await #expect(throws: GatewayError.self, "\(address) was taken") {
                    try await node.sell(upstream: one) {
                        if let bad = try? UpstreamAddress(address) { $0.proxy.moreUpstreams = [bad] }
                    }
                }
            }
            try await node.stop()
            // The name is judged when it is looked up.
            try await withDoorSeller(
                upstream: 1,
                configure: { $0.upstreamPolicy = UpstreamPolicy(allowed: [IPNetwork("10.0.0.0/8")].compactMap { $0 }) },
                service: { $0.upstream = (try? UpstreamAddress("http://localhost:\(one)")) ?? $0.upstream }
            ) { _, port in
                let reached = upstream.connections
                try await withClient { client in
                    let answer = try await client.call(port, "/s/weather/free/x")
                    #expect(answer.status == 503)
                    let states = try await state(client, port)
                    #expect(states.first?["lastError"]?.stringValue?.contains("in none of the networks") == true)
                }
                #expect(upstream.connections == reached)
            }
        }
    }
}

private final class Tally: Sendable {
    let count = Mutex(0)
}
