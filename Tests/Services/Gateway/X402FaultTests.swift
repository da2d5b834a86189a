import AsyncHTTPClient
import CanonicalJSON
import Encodings
import Ethereum
import Foundation
import Gateway
import Hummingbird
import Paywall
import Receipts
import Settlement
import Storage
import Synchronization
import TestSupport
import Testing

@Suite("Faults of a sale over x402: never two charges, never paid without service or its return")
struct X402FaultTests {
    @Test(
        "XEX-6: an outcome that is not known is 503 payment-pending, never a fresh challenge; the same payment goes on"
    )
    func pending() async throws {
        try await withTokenSeller { node, facilitator, upstream, client, port in
            let payment = try TestPayer().payment(try await client.call(port).x402(), now: node.clock.now)
            for mood in [TestFacilitator.Mood.isLost, .isAway, .isPending] {
                facilitator.become(mood)
                let answer = try await client.call(port, headers: payment.field())
                #expect(answer.status == 503)
                #expect(answer.code == "payment-pending")
                #expect(answer.header("Retry-After") != nil)
                #expect(answer.header("PAYMENT-REQUIRED") == nil)
                #expect(upstream.count == 0)
            }
            facilitator.become(.settles)
            let answer = try await client.call(port, headers: payment.field())
            #expect(answer.status == 200)
            #expect(facilitator.movedCount == 1)
            #expect(upstream.count == 1)
        }
    }

    @Test("XEX-6: a payment that can't be carried out is given up: 402 with the reason, and the next one is taken")
    func refused() async throws {
        try await withTokenSeller { node, facilitator, upstream, client, port in
            let payer = try TestPayer()
            let required = try await client.call(port).x402()
            let payment = try payer.payment(required, now: node.clock.now)
            facilitator.become(.refuses("invalid_exact_evm_insufficient_balance"))
            let answer = try await client.call(port, headers: payment.field())
            #expect(answer.status == 402)
            #expect(try answer.x402().error == "invalid_exact_evm_insufficient_balance")
            #expect(try answer.settlement().errorReason == "invalid_exact_evm_insufficient_balance")
            #expect(upstream.count == 0)
            facilitator.become(.settles)
            #expect(try await client.call(port, headers: payment.field()).status == 200)
            #expect(upstream.count == 1)
        }
    }

    @Test(
        "CALL-14, XEX-7: settled, and the service fails: the same payment is good for the same call once more, with its key too",
        arguments: [nil, "k1"] as [String?]
    )
    func restored(key: String?) async throws {
        try await withTokenSeller { node, facilitator, upstream, client, port in
            let payer = try TestPayer()
            let payment = try payer.payment(try await client.call(port, "/s/weather/fail").x402(), now: node.clock.now)
            for round in 1...2 {
                let failed = try await client.call(port, "/s/weather/fail", key: key, headers: payment.field())
                #expect(failed.status == 502)
                #expect(try failed.problem()["refund"]?["form"] == "call-restored")
                #expect(failed.receipt?.claims.outcome == .refunded)
                #expect(failed.receipt?.verdict().isValid == true)
                #expect(try failed.settlement().success)
                #expect(upstream.count == round)
            }
            #expect(facilitator.movedCount == 1)
            #expect(facilitator.askedCount == 1)
            // For that call, and no other; and for that payment, not for another with the same authorisation.
            var plain = payment
            plain.resource = nil
            #expect(try await client.call(port, "/s/weather/today", headers: plain.field()).code == "payment-reused")
            #expect(try await client.call(port, "/s/weather/fail", headers: plain.field()).code == "payment-reused")
            #expect(upstream.count == 2)
            // Version 1 says nothing of the resource: the claim alone holds it to its call.
            let older = try await client.call(port, "/s/weather/fail").olderX402()
            let field = try payer.payment(older, now: node.clock.now).field()
            #expect(try await client.call(port, "/s/weather/fail", headers: field).status == 502)
            #expect(try await client.call(port, "/s/weather/today", headers: field).code == "payment-reused")
            #expect(upstream.count == 3)
            // What nobody makes in a month is earned.
            node.clock.advance(seconds: 30 * 86_400 + 1)
            await (try node.gateway).housekeep()
            #expect(try await client.call(port, "/s/weather/fail", key: key, headers: payment.field()).status != 200)
            #expect(upstream.count == 3)
        }
    }

    @Test("XEX-7: a call that failed once and then does not is made for the payment that was settled for it")
    func restoredThenServed() async throws {
        try await withTokenSeller { node, facilitator, upstream, client, port in
            let name = "/s/weather/slow"
            // One that takes connections and answers nothing.
            let field = try await RawUpstream().whileServing({ _ in RawUpstream.Reply("") }) { dead in
                try await node.sell(upstream: dead) { $0.accepts = [.x402Exact] }
                let payment = try TestPayer().payment(try await client.call(port, name).x402(), now: node.clock.now)
                let failed = try await client.call(port, name, headers: payment.field())
                #expect(failed.status == 502)
                return try payment.field()
            }
            let upstreams = TestUpstream()
            try await withServer(upstreams.router()) { upstreamPort in
                try await node.sell(upstream: upstreamPort) { $0.accepts = [.x402Exact] }
                // Sixteen at once: one call.
                let answers = try await withThrowingTaskGroup(of: Int.self) { group in
                    for _ in 0..<16 { group.addTask { try await client.call(port, name, headers: field).status } }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                #expect(answers.contains(200))
                #expect(Set(answers).isSubset(of: [200, 409]))
                #expect(upstreams.count == 1)
                #expect(try await client.call(port, name, headers: field).text == "answer 1")
            }
            #expect(facilitator.movedCount == 1)
        }
    }

    // MARK: Kills

    /// Kills the seller while the facilitator or the upstream is busy with a payment, and starts it anew on what is on disk.
    private func killed(
        path: String = "/today",
        cap: UInt64? = nil,
        idempotent: Bool = false,
        mood: TestFacilitator.Mood,
        when isReached: @escaping @Sendable (TestFacilitator, TestUpstream) -> Bool,
        _ check:
            @escaping @Sendable (TestNode, TestFacilitator, TestUpstream, HTTPClient, Int, [(String, String)])
            async throws -> Void
    ) async throws {
        let facilitator = TestFacilitator()
        let sale = try TestSale.make(facilitator, cap: cap, atOnce: 0)
        let upstream = TestUpstream()
        try await withServer(upstream.router()) { upstreamPort in
            let nodes = [
                try TestNode(configure: { $0.exact = sale }), try TestNode(configure: { $0.exact = sale }),
            ]
            try await nodes[0].start()
            try await nodes[0].sell(upstream: upstreamPort, idempotent: idempotent) {
                $0.accepts = [.x402Exact]
                $0.reservesX402 = cap != nil
            }
            let field = try await withServer(try nodes[0].router()) { port in
                try await withClient { client in
                    let older = try await client.call(port, "/s/weather" + path).olderX402()
                    let field = try TestPayer().payment(older, now: nodes[0].clock.now).field()
                    facilitator.become(mood)
                    let call = Task { try await client.call(port, "/s/weather" + path, headers: field) }
                    while !isReached(facilitator, upstream) { try await Task.sleep(for: .milliseconds(2)) }
                    for file in ["node.sqlite", "node.sqlite-wal"] {
                        try FileManager.default.copyItem(
                            atPath: nodes[0].folder.path + "/" + file,
                            toPath: nodes[1].folder.path + "/" + file
                        )
                    }
                    call.cancel()
                    _ = try? await call.value
                    return field
                }
            }
            try await nodes[0].stop()
            facilitator.become(.settles)
            try await nodes[1].start()
            try await withServer(try nodes[1].router()) { port in
                try await withClient { client in
                    try await check(nodes[1], facilitator, upstream, client, port, field)
                }
            }
            #expect(try await nodes[1].requireConservation() == [])
            try await nodes[1].stop()
        }
    }

    @Test(
        "CALL-9, XEX-6: killed after the claim, before or after the facilitator carried it out: the payment goes on, once"
    )
    func whileSettling() async throws {
        for mood in [TestFacilitator.Mood.isSlow(300), .isLost] {
            try await killed(mood: mood, when: { facilitator, _ in facilitator.askedCount == 1 }) {
                _,
                facilitator,
                upstream,
                client,
                port,
                field in
                let before = upstream.count
                let answer = try await client.call(port, headers: field)
                #expect(answer.status == 200)
                #expect(upstream.count == before + 1)
                #expect(try await client.call(port, headers: field).status == 200)
                #expect(upstream.count == before + 1)
                #expect(facilitator.movedCount == 1)
            }
        }
    }

    @Test("CALL-9: killed while settling, and nobody comes back: settled, then good for the call when somebody does")
    func nobodyAsks() async throws {
        try await killed(mood: .isLost, when: { facilitator, _ in facilitator.askedCount == 1 }) {
            node,
            facilitator,
            upstream,
            client,
            port,
            field in
            node.clock.advance(seconds: 60)
            await (try node.gateway).housekeep()
            #expect(facilitator.movedCount == 1)
            #expect(upstream.count == 0)
            let told = try await client.call(port, headers: field)
            #expect(told.status == 502)
            #expect(try told.problem()["refund"]?["form"] == "call-restored")
            #expect(try await client.call(port, headers: field).status == 200)
            #expect(upstream.count == 1)
            #expect(facilitator.movedCount == 1)
        }
    }

    @Test("CALL-9: killed in the middle of the call: given back, told once, made once more for the same payment")
    func whileServing() async throws {
        try await killed(path: "/slow", mood: .settles, when: { _, upstream in upstream.count == 1 }) {
            _,
            facilitator,
            upstream,
            client,
            port,
            field in
            let told = try await client.call(port, "/s/weather/slow", headers: field)
            #expect(told.status == 502)
            #expect(upstream.count == 1)
            #expect(try await client.call(port, "/s/weather/slow", headers: field).text == "answer 2")
            #expect(try await client.call(port, "/s/weather/slow", headers: field).text == "answer 2")
            #expect(facilitator.movedCount == 1)
        }
    }

    @Test("CALL-9: killed in the middle of a call of an idempotent service: called again at once, charged once")
    func whileServingIdempotent() async throws {
        try await killed(path: "/slow", idempotent: true, mood: .settles, when: { _, upstream in upstream.count == 1 })
        {
            _,
            facilitator,
            upstream,
            client,
            port,
            field in
            let answer = try await client.call(port, "/s/weather/slow", headers: field)
            #expect(answer.text == "answer 2")
            #expect(try answer.settlement("X-PAYMENT-RESPONSE").success)
            #expect(facilitator.movedCount == 1)
        }
    }

    @Test("CALL-9, XEX-8: killed in the middle of a call whose payment is reserved: dropped, nothing moves")
    func whileReserved() async throws {
        try await killed(path: "/slow", cap: 100_000, mood: .settles, when: { _, upstream in upstream.count == 1 }) {
            node,
            facilitator,
            upstream,
            client,
            port,
            field in
            for _ in 0..<2 {
                let answer = try await client.call(port, "/s/weather/slow", headers: field)
                #expect(answer.status == 502)
                #expect(try answer.problem()["refund"]?["form"] == "authorization-dropped")
            }
            await (try node.gateway).housekeep()
            #expect(facilitator.askedCount == 0)
            #expect(upstream.count == 1)
        }
    }
}
