import AsyncHTTPClient
import CanonicalJSON
import Cashu
import Encodings
import Foundation
import Gateway
import Hummingbird
import Paywall
import Receipts
import Storage
import Synchronization
import TestSupport
import Testing

@Suite("A seller that is killed in the middle of a call")
struct CrashTests {
    /// Makes the claim of a call as a process leaves it that is killed at once, then starts anew.
    ///
    /// A file copy stands for the kill: what is on disk while the upstream is being called is what a new process finds.
    private func killed(
        path: String,
        online: Bool = false,
        idempotent: Bool,
        _ check: @escaping @Sendable (TestNode, TestUpstream, HTTPClient, Int, String) async throws -> Void
    ) async throws {
        let upstream = TestUpstream()
        try await withServer(upstream.router()) { upstreamPort in
            let first = try TestNode()
            try await first.start()
            try await first.sell(upstream: upstreamPort, idempotent: idempotent)
            let token = online ? try first.mint.token([first.mint.proof(2)]) : try first.payment(2)
            let second = try TestNode()
            try await withServer(try first.router()) { port in
                try await withClient { client in
                    let call = Task { try await client.call(port, "/s/weather" + path, payment: token) }
                    while upstream.count == 0 { try await Task.sleep(for: .milliseconds(5)) }
                    for file in ["node.sqlite", "node.sqlite-wal"] {
                        try FileManager.default.copyItem(
                            atPath: first.folder.path + "/" + file,
                            toPath: second.folder.path + "/" + file
                        )
                    }
                    call.cancel()
                    _ = try? await call.value
                }
            }
            try await first.stop()
            // Both are one mint: what the first redeemed is redeemed.
            let spent = first.mint.spent.withLock { $0 }
            second.mint.spent.withLock { $0 = spent }
            try await second.start()
            try await withServer(try second.router()) { port in
                try await withClient { client in try await check(second, upstream, client, port, token) }
            }
            #expect(try await second.requireConservation() == [])
            try await second.stop()
        }
    }

    @Test("CALL-9: a service that may not be called twice: the retry gets a refund, and no second call")
    func refunded() async throws {
        try await killed(path: "/slow", idempotent: false) { node, upstream, client, port, token in
            for _ in 0..<2 {
                let answer = try await client.call(port, "/s/weather/slow", payment: token)
                #expect(answer.status == 502)
                #expect(answer.header("X-Cashu") != nil)
            }
            #expect(upstream.count == 1)
            await (try node.gateway).housekeep()
            #expect(node.purse.redeemedBatches.withLock { $0 }.isEmpty)
        }
    }

    @Test("CALL-9: an idempotent service is called again, once, and charged once")
    func calledAgain() async throws {
        try await killed(path: "/slow", idempotent: true) { node, upstream, client, port, token in
            let answer = try await client.call(port, "/s/weather/slow", payment: token)
            #expect(answer.status == 200)
            #expect(answer.text == "answer 2")
            let again = try await client.call(port, "/s/weather/slow", payment: token)
            #expect(again.text == "answer 2")
            #expect(upstream.count == 2)
        }
    }

    @Test("CALL-9, BAK-8: what is claimed once the fence is down is running, not cut short")
    func startedLate() async throws {
        try await withSeller { node, upstream, client, port in
            let before = node.clock.wall.now()
            node.clock.advance(seconds: 1)
            let token = try node.payment(2)
            upstream.isHeld.withLock { $0 = true }
            let call = Task { try await client.call(port, "/s/weather/slow", payment: token) }
            while upstream.count == 0 { try await Task.sleep(for: .milliseconds(5)) }
            try await (try node.gateway).start(before: before)
            upstream.isHeld.withLock { $0 = false }
            let answer = try await call.value
            #expect(answer.status == 200)
            #expect(answer.header("X-Cashu") == nil)
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("CALL-9: an interrupted call that nobody asks for again is refunded after a while")
    func nobodyAsks() async throws {
        try await killed(path: "/slow", idempotent: true) { node, upstream, client, port, token in
            let gateway = try node.gateway
            await gateway.housekeep()
            node.clock.advance(seconds: 599)
            await gateway.housekeep()
            node.clock.advance(seconds: 2)
            await gateway.housekeep()
            let answer = try await client.call(port, "/s/weather/slow", payment: token)
            #expect(answer.status == 502)
            #expect(answer.header("X-Cashu") != nil)
            #expect(upstream.count == 1)
        }
    }

    @Test("CALL-9: a call redeemed online and cut short is refunded with a fresh token")
    func onlineRefund() async throws {
        try await killed(path: "/slow", online: true, idempotent: false) { node, upstream, client, port, token in
            let answer = try await client.call(port, "/s/weather/slow", payment: token)
            #expect(answer.status == 502)
            #expect(try Token(try #require(answer.header("X-Cashu"))).amount() == 2)
            #expect(upstream.count == 1)
        }
    }

    @Test("CALL-10: killed while the mint redeems: settled at the next start, served or given back, never lost")
    func whileRedeeming() async throws {
        let node = try TestNode()
        let upstream = TestUpstream()
        try await withServer(upstream.router()) { upstreamPort in
            try await node.start()
            try await node.sell(upstream: upstreamPort)
            let token = try node.mint.token([node.mint.proof(2)])
            let forgotten = try node.mint.token([node.mint.proof(2)])
            node.purse.fault.withLock { $0 = .lostAnswer }
            try await withServer(try node.router()) { port in
                try await withClient { client in
                    let first = try await client.call(port, payment: token)
                    let second = try await client.call(port, payment: forgotten)
                    #expect(first.status == 503)
                    #expect(second.status == 503)
                }
            }
            try await node.restart()
            node.purse.fault.withLock { $0 = .none }
            try await withServer(try node.router()) { port in
                try await withClient { client in
                    #expect(try await client.call(port, payment: token).status == 200)
                    #expect(upstream.count == 1)
                    // The other buyer never came back: redeemed, then given back.
                    node.clock.advance(seconds: 60)
                    await (try node.gateway).housekeep()
                    node.clock.advance(seconds: 1)
                    await (try node.gateway).housekeep()
                    let answer = try await client.call(port, payment: forgotten)
                    #expect(answer.status == 502)
                    #expect(answer.header("X-Cashu") != nil)
                    #expect(upstream.count == 1)
                }
            }
            #expect(try await node.requireConservation() == [])
            try await node.stop()
        }
    }

    @Test("CALL-8: answers are kept a day, and after it the receipt is the answer")
    func retention() async throws {
        try await withSeller { node, upstream, client, port in
            let token = try node.payment(2)
            #expect(try await client.call(port, payment: token).status == 200)
            try await node.restart()
            try await withServer(try node.router()) { port in
                #expect(try await client.call(port, payment: token).text == "answer 1")
                node.clock.advance(seconds: 24 * 3600 + 1)
                await (try node.gateway).housekeep()
                let late = try await client.call(port, payment: token)
                #expect(late.status == 409)
                #expect(try JSONValue.parse(late.body)["code"]?.stringValue == "already-served")
                #expect(late.receipt?.verdict().isValid == true)
                let kept = try await node.database.read { try $0.first("SELECT count(*) FROM gateway_answers")?.int(0) }
                #expect(kept == 0)
            }
            #expect(upstream.count == 1)
        }
    }
}
