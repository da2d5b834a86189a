import AsyncHTTPClient
import CanonicalJSON
import Cashu
import Encodings
import Foundation
import Gateway
import Hummingbird
import NIOCore
import Paywall
import Receipts
import Storage
import Synchronization
import TestSupport
import Testing

/// `HTTPClient`, to be handed through closures that are sendable.
struct HTTPClientBox: Sendable {
    let client: HTTPClient
    init(_ client: HTTPClient) { self.client = client }
}

@Suite("Prices by measure")
struct MeteredTests {
    private func change(_ answer: Answer) throws -> UInt64 {
        try answer.header("X-Cashu").map { try Token($0).amount() } ?? 0
    }

    /// 63 sat in six proofs, what the metered rule asks for.
    private func maximum(_ node: TestNode) throws -> String { try node.payment(1, 2, 4, 8, 16, 32) }

    @Test(
        "PRC-2, PRC-5: the maximum is quoted and paid, the measure is charged, and the difference comes back",
        arguments: [
            // Path and query; the charge.
            ("/x?n=10", 2), ("/x?n=1000", 2), ("/x?n=1001", 3), ("/x?n=10&x=5", 12),
            // Not reported, or not as one whole number of up to 16 digits: nothing. Huge: the maximum.
            ("/x?n=10&x=-5", 2), ("/x?n=10&x=5.5", 2), ("/x?n=10&x=many", 2), ("/x?n=10&x=", 2), ("/x?n=10&x=5&x=6", 2),
            ("/x?n=10&x=9999999999999999", 63), ("/x?n=10&x=99999999999999999", 2), ("/x?n=10&x=5,6", 2),
        ]
    )
    func charged(path: String, expected: UInt64) async throws {
        try await withMeteredSeller { node, upstream, box, port in
            let asked = try await box.client.call(port, "/s/weather" + path)
            #expect(asked.status == 402)
            #expect(try asked.problem()["price"]?["amount"]?.stringValue == "63")
            #expect(try asked.problem()["quote"]?["maximum"]?.boolValue == true)
            let token = try maximum(node)
            let answer = try await box.client.call(port, "/s/weather" + path, payment: token)
            #expect(answer.status == 200)
            #expect(try change(answer) == 63 - expected)
            let claims = try #require(answer.receipt?.claims)
            #expect(answer.receipt?.verdict().isValid == true)
            #expect(claims.amount == expected)
            #expect(claims.settlement?.quoted == 63)
            #expect(claims.settlement?.returned == 63 - expected)
            #expect(claims.settlement?.form == (expected == 63 ? nil : "fresh-token"))
            let sent = path.dropFirst("/x?n=".count).prefix { $0 != "&" }
            #expect(claims.settlement?.measures["responseBytes"] == UInt64(sent))
            // Asked again, the change is the same, and nothing is made anew.
            let again = try await box.client.call(port, "/s/weather" + path, payment: token)
            #expect(again.header("Idempotent-Replayed") == "true")
            #expect(again.header("X-Cashu") == answer.header("X-Cashu"))
            #expect(upstream.count == 1)
        }
    }

    @Test("PRC-2: a measure in a trailer counts; in a field and a trailer it is said twice, and counts nothing")
    func trailers() async throws {
        try await withMeteredSeller { node, upstream, box, port in
            for (query, expected) in [("n=10&t=5", 12), ("n=10&t=5&x=5", 2), ("n=10&t=-1", 2)] {
                let token = try maximum(node)
                let path = "/s/weather/x?" + query
                #expect(try await box.client.call(port, path, payment: token).status == 200)
                // The answer was streamed, so its change stands in a trailer; asked again it is a field.
                let again = try await box.client.call(port, path, payment: token)
                #expect(again.header("Idempotent-Replayed") == "true")
                #expect(try change(again) == 63 - UInt64(expected))
                #expect(again.receipt?.claims.amount == UInt64(expected))
            }
        }
    }

    @Test("PRC-2: each begun second counts")
    func seconds() async throws {
        try await withMeteredSeller { node, upstream, box, port in
            let token = try node.payment(1, 2, 4, 8, 16)
            let answer = try await box.client.call(port, "/s/weather/seconds?ms=1100", payment: token)
            let seconds = try #require(answer.receipt?.claims.settlement?.measures["seconds"])
            #expect((2...8).contains(seconds))
            #expect(try change(answer) == 31 - min(31, 3 * seconds))
        }
    }

    @Test("PRC-4: where the measure is known beforehand, the quote is exact; a body of unknown length pays the maximum")
    func requestBytes() async throws {
        try await withMeteredSeller { node, upstream, box, port in
            let body = [UInt8](repeating: 1, count: 250)
            let path = "/s/weather/upload"
            let asked = try await box.client.call(port, path, method: "POST", body: .bytes(ByteBuffer(bytes: body)))
            #expect(try asked.problem()["price"]?["amount"]?.stringValue == "3")
            let exact = try await box.client.call(
                port,
                path,
                method: "POST",
                payment: try node.payment(1, 2),
                body: .bytes(ByteBuffer(bytes: body))
            )
            #expect(exact.status == 200)
            #expect(exact.header("X-Cashu") == nil)
            let stream = AsyncStream { continuation in
                continuation.yield(ByteBuffer(bytes: body))
                continuation.finish()
            }
            let unknown = try await box.client.call(
                port,
                path,
                method: "POST",
                payment: try node.payment(1, 2, 4, 8),
                body: .stream(stream, length: .unknown)
            )
            #expect(unknown.status == 200)
            // It was paid as the maximum, and known when it was read.
            #expect(try change(unknown) == 12)
        }
    }

    @Test("PRC-5, CALL-14: a metered call that its upstream fails gives everything back")
    func failed() async throws {
        try await withMeteredSeller { node, upstream, box, port in
            let answer = try await box.client.call(port, "/s/weather/fail", payment: try maximum(node))
            #expect(answer.status == 502)
            #expect(try change(answer) == 63)
            #expect(answer.receipt?.claims.settlement?.form == "same-proofs-signed")
            #expect(answer.receipt?.claims.settlement?.returned == 63)
        }
    }

    @Test("PRC-7: an upstream that dies in the middle of a metered stream is paid for what was passed on")
    func cut() async throws {
        try await withMeteredSeller { node, upstream, box, port in
            let token = try maximum(node)
            let path = "/s/weather/x?n=200000&die=20000"
            await #expect(throws: (any Error).self) {
                _ = try await box.client.call(port, path, payment: token)
            }
            var answer = try await box.client.call(port, path, payment: token)
            for _ in 0..<50 where answer.code == "call-running" {
                try await Task.sleep(for: .milliseconds(50))
                answer = try await box.client.call(port, path, payment: token)
            }
            #expect(answer.status == 409)
            #expect(answer.code == "already-served")
            let receipt = try #require(answer.receipt?.claims)
            #expect(receipt.settlement?.measures["responseBytes"] == 20_000)
            #expect(receipt.amount == 21)
            #expect(receipt.responseDigest == nil)
            #expect(try change(answer) == 42)
            #expect(upstream.count == 1)
        }
    }

    @Test(
        "CHG-1: a fixed price that was overpaid gives change, also where it was redeemed first; paid exactly it does not"
    )
    func overpaid() async throws {
        try await withMeteredSeller { node, upstream, box, port in
            let offline = try await box.client.call(port, "/s/weather/fixed", payment: try node.payment(2, 8))
            #expect(offline.status == 200)
            #expect(try change(offline) == 8)
            #expect(offline.receipt?.claims.amount == 2)
            #expect(offline.receipt?.claims.settlement?.returned == 8)
            let open = try node.mint.token([node.mint.proof(2), node.mint.proof(16)])
            let online = try await box.client.call(port, "/s/weather/fixed", payment: open)
            #expect(try change(online) == 16)
            let exact = try await box.client.call(port, "/s/weather/fixed", payment: try node.payment(2))
            #expect(exact.header("X-Cashu") == nil)
            #expect(exact.receipt?.claims.settlement == nil)
        }
        // No change, no word with the mint.
        try await withMeteredSeller { node, upstream, box, port in
            _ = try await box.client.call(port, "/s/weather/fixed", payment: try node.payment(2))
            #expect(node.purse.refunds.withLock { $0.count } == 0)
            #expect(node.purse.redeemedBatches.withLock { $0.count } == 0)
        }
    }

    @Test("CHG-1: what making the change costs comes out of it")
    func fees() async throws {
        try await withMeteredSeller(feePPK: 500) { node, upstream, box, port in
            // Asked is 4 (2, and the fee of its split); paid 4 + 16 in two proofs, for whose change the mint takes 1 more.
            let asked = try await box.client.call(port, "/s/weather/fixed")
            let challenge = try NUT24.parseChallenge(#require(asked.header("X-Cashu")))
            let amount = try #require(challenge.amount)
            let answer = try await box.client.call(port, "/s/weather/fixed", payment: try node.payment(4, 16))
            #expect(answer.status == 200)
            #expect(try change(answer) == 20 - amount - 1)
        }
    }

    @Test("CHG-2: change that can't be made now is owed, made later, and fetched with the same payment")
    func late() async throws {
        try await withMeteredSeller { node, upstream, box, port in
            let token = try node.payment(2, 4)
            node.purse.fault.withLock { $0 = .unreachable }
            let answer = try await box.client.call(port, "/s/weather/fixed", payment: token)
            #expect(answer.status == 200)
            #expect(answer.header("X-Cashu") == nil)
            #expect(answer.receipt?.claims.settlement?.returned == 4)
            #expect(try await node.requireConservation() == [])
            try await node.restart()
            node.purse.fault.withLock { $0 = .none }
            try await withServer(try node.router()) { port in
                await (try node.gateway).housekeep()
                let due = try await node.database.read {
                    try $0.first("SELECT count(*) FROM gateway_quotes WHERE state = 'due'")?.int(0)
                }
                #expect(due == 0)
                let again = try await box.client.call(port, "/s/weather/fixed", payment: token)
                #expect(try change(again) == 4)
                // After a day the answer is gone, and the change is there still.
                node.clock.advance(seconds: 86_401)
                await (try node.gateway).housekeep()
                let gone = try await box.client.call(port, "/s/weather/fixed", payment: token)
                #expect(gone.code == "already-served")
                #expect(gone.header("X-Cashu") == again.header("X-Cashu"))
                // Under another name it is another call, and gets nothing of it.
                let stranger = try await box.client.call(port, "/s/weather/x", payment: token)
                #expect(stranger.code == "payment-reused")
                #expect(stranger.header("X-Cashu") == nil)
            }
        }
    }

    @Test("CHG-2: a token that was made and not booked, as a kill leaves it, is the one that is given, and booked once")
    func lostToken() async throws {
        try await withMeteredSeller { node, upstream, box, port in
            let token = try node.payment(2, 4)
            node.purse.fault.withLock { $0 = .lostToken }
            let answer = try await box.client.call(port, "/s/weather/fixed", payment: token)
            #expect(answer.header("X-Cashu") == nil)
            let made = node.purse.refunds.withLock { $0.values.first }
            #expect(made != nil)
            try await node.restart()
            node.purse.fault.withLock { $0 = .none }
            try await withServer(try node.router()) { port in
                let again = try await box.client.call(port, "/s/weather/fixed", payment: token)
                #expect(again.header("X-Cashu") == made)
                await (try node.gateway).housekeep()
            }
            #expect(node.purse.refunds.withLock { $0.count } == 1)
        }
    }

    @Test("PRC-5, CALL-9: killed while the upstream works: the whole quote goes back, and nothing is charged")
    func killed() async throws {
        let upstream = MeteredUpstream()
        try await withServer(upstream.router()) { upstreamPort in
            let first = try TestNode()
            try await first.start()
            try await first.gateway.add(meteredService(port: upstreamPort))
            let token = try maximum(first)
            let second = try TestNode()
            try await withServer(try first.router()) { port in
                try await withClient { client in
                    let path = "/s/weather/x?n=10&ms=400"
                    let call = Task { try await client.call(port, path, payment: token) }
                    while upstream.count == 0 { try await Task.sleep(for: .milliseconds(5)) }
                    for file in ["node.sqlite", "node.sqlite-wal"] {
                        try FileManager.default.copyItem(
                            atPath: first.folder.path + "/" + file,
                            toPath: second.folder.path + "/" + file
                        )
                    }
                    _ = try? await call.value
                }
            }
            try await first.stop()
            try await second.start()
            try await withServer(try second.router()) { port in
                try await withClient { client in
                    let answer = try await client.call(port, "/s/weather/x?n=10&ms=400", payment: token)
                    #expect(answer.status == 502)
                    #expect(try self.change(answer) == 63)
                }
            }
            #expect(try await second.requireConservation() == [])
            try await second.stop()
        }
    }

    @Test("CALL-14: the table of refunds in the specification has each form, with its lifetime")
    func table() throws {
        let page = Fixtures.folder.deletingLastPathComponent().appending(path: "Specs/paid-call.md")
        let text = try String(contentsOf: page, encoding: .utf8)
        for form in RefundTable.Form.allCases { #expect(text.contains("| `\(form.rawValue)` |")) }
        #expect(Set(RefundTable.rules.map(\.form)) == Set(RefundTable.Form.allCases))
        #expect(RefundTable.rules.allSatisfy { $0.lifetimeSeconds == 30 * 86_400 })
    }

    @Test("CHG-1, CALL-7: one overpaid payment 64 times at once: one call, one change")
    func race() async throws {
        try await withMeteredSeller { node, upstream, box, port in
            let token = try maximum(node)
            let answers = try await withThrowingTaskGroup(of: Answer.self) { group in
                for _ in 0..<64 {
                    group.addTask { try await box.client.call(port, "/s/weather/x?n=10&ms=50", payment: token) }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(upstream.count == 1)
            #expect(Set(answers.compactMap { $0.header("X-Cashu") }).count == 1)
            #expect(node.purse.refunds.withLock { $0.count } == 1)
        }
    }
}
