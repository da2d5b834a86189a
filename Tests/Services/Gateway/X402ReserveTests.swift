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
import Testing

@Suite("Serving before settling")
struct X402ReserveTests {
    private func states(_ node: TestNode) async throws -> [String] {
        try await node.database.read { connection in
            try connection.rows("SELECT state FROM gateway_x402 ORDER BY sequence").map { try $0.text(0) }
        }
    }

    @Test("XEX-8: a reserved payment is served at once and settled afterwards, once")
    func served() async throws {
        try await withTokenSeller(cap: 10_000, atOnce: 0) { node, facilitator, upstream, client, port in
            let payment = try TestPayer().payment(try await client.call(port).x402(), now: node.clock.now)
            let answer = try await client.call(port, headers: payment.field())
            #expect(answer.status == 200)
            #expect(try answer.settlement().errorReason == "settlement_pending")
            #expect(answer.receipt?.claims.outcome == .served)
            #expect(facilitator.askedCount == 0)
            #expect(try await states(node) == ["reserved"])
            #expect(try await node.requireConservation() == [])
            facilitator.become(.isPending)
            await (try node.gateway).housekeep()
            #expect(try await states(node) == ["reserved"])
            facilitator.become(.settles)
            await (try node.gateway).housekeep()
            await (try node.gateway).housekeep()
            #expect(try await states(node) == ["settled"])
            #expect(facilitator.movedCount == 1)
            #expect(facilitator.askedCount == 2)
            let again = try await client.call(port, headers: payment.field())
            #expect(again.text == "answer 1")
            #expect(try again.settlement().success)
        }
    }

    @Test("XEX-8: it is settled right after the call, without waiting for the housekeeping")
    func soon() async throws {
        try await withTokenSeller(cap: 10_000) { node, facilitator, upstream, client, port in
            let payment = try TestPayer().payment(try await client.call(port).x402(), now: node.clock.now)
            #expect(try await client.call(port, headers: payment.field()).status == 200)
            for _ in 0..<500 where try await states(node) != ["settled"] {
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(try await states(node) == ["settled"])
            #expect(facilitator.movedCount == 1)
        }
    }

    @Test("XEX-8: over the cap a payment is settled first; what is settled makes room")
    func cap() async throws {
        // Two calls at 2080.
        try await withTokenSeller(cap: 4160, atOnce: 0) { node, facilitator, upstream, client, port in
            let payer = try TestPayer()
            func pay() async throws -> Answer {
                let payment = try payer.payment(try await client.call(port).x402(), now: node.clock.now)
                return try await client.call(port, headers: payment.field())
            }
            #expect(try await pay().settlement().success == false)
            #expect(try await pay().settlement().success == false)
            #expect(facilitator.movedCount == 0)
            #expect(try await pay().settlement().success)
            #expect(facilitator.movedCount == 1)
            await (try node.gateway).housekeep()
            #expect(facilitator.movedCount == 3)
            #expect(try await pay().settlement().success == false)
            #expect(facilitator.movedCount == 3)
            #expect(upstream.count == 4)
        }
    }

    @Test("XEX-8: at 64 calls at once no more is at risk than the cap allows")
    func capTogether() async throws {
        try await withTokenSeller(cap: 20_800, atOnce: 0) { node, facilitator, upstream, client, port in
            let payer = try TestPayer()
            let required = try await client.call(port).x402()
            let fields = try (0..<64).map { _ in try payer.payment(required, now: node.clock.now).field() }
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for field in fields { group.addTask { try await client.call(port, headers: field).status } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(statuses.allSatisfy { $0 == 200 })
            #expect(try await states(node).filter { $0 == "reserved" }.count == 10)
            #expect(facilitator.movedCount == 54)
        }
    }

    @Test(
        "XEX-8, XEX-9: a payment that can't be settled afterwards is lost; it counts against the cap, and its payer is not trusted again"
    )
    func lost() async throws {
        try await withTokenSeller(cap: 6000, atOnce: 0) { node, facilitator, upstream, client, port in
            let required = try await client.call(port).x402()
            let first = try TestPayer().payment(required, now: node.clock.now)
            #expect(try await client.call(port, headers: first.field()).status == 200)
            facilitator.become(.refuses("invalid_exact_evm_insufficient_balance"))
            await (try node.gateway).housekeep()
            #expect(try await states(node) == ["lost"])
            #expect(try await node.requireConservation() == [])
            facilitator.become(.settles)
            // Its payer's next is settled first.
            let second = try TestPayer().payment(required, now: node.clock.now)
            #expect(try await client.call(port, headers: second.field()).settlement().success)
            #expect(facilitator.movedCount == 1)
            // Another's is reserved, as one more fits beside what was lost; then no more.
            for (payer, isSettled) in [(UInt8(0x31), false), (0x32, true)] {
                let payment = try TestPayer(payer).payment(required, now: node.clock.now)
                #expect(try await client.call(port, headers: payment.field()).settlement().success == isSettled)
            }
            let shown = try await client.call(port, "/api/gateway").problem()["x402"]?[0]
            #expect(shown?["lost"] == "2080")
            #expect(shown?["reserved"] == "2080")
            #expect(shown?["cap"] == "6000")
            // Until the operator has looked.
            let answer = try await client.call(port, "/api/gateway/x402/forgive", method: "POST")
            #expect(try answer.problem()["forgiven"] == 1)
            let last = try TestPayer(0x33).payment(required, now: node.clock.now)
            #expect(try await client.call(port, headers: last.field()).settlement().success == false)
        }
    }

    @Test("XEX-8: the service fails: the authorisation is dropped and never settled")
    func dropped() async throws {
        try await withTokenSeller(cap: 10_000, atOnce: 0) { node, facilitator, upstream, client, port in
            let payment = try TestPayer().payment(
                try await client.call(port, "/s/weather/fail").x402(),
                now: node.clock.now
            )
            for _ in 0..<2 {
                let answer = try await client.call(port, "/s/weather/fail", headers: payment.field())
                #expect(answer.status == 502)
                #expect(try answer.problem()["refund"]?["form"] == "authorization-dropped")
                #expect(answer.receipt?.claims.outcome == .refunded)
            }
            await (try node.gateway).housekeep()
            #expect(facilitator.askedCount == 0)
            #expect(upstream.count == 1)
            #expect(try await states(node) == ["dropped"])
        }
    }

    @Test(
        "XEX-8: what ends too soon to be settled after the call is settled first; so is everything where the operator stopped trust"
    )
    func notReserved() async throws {
        try await withTokenSeller(cap: 10_000, atOnce: 0) { node, facilitator, upstream, client, port in
            let required = try await client.call(port).x402()
            let brief = try TestPayer().payment(required, now: node.clock.now) {
                $0.validBefore = UInt64(node.clock.now.secondsSince1970) + 20
            }
            #expect(try await client.call(port, headers: brief.field()).settlement().success)
            try await node.gateway.stopOfflineAcceptance(reason: "a look")
            let payment = try TestPayer().payment(required, now: node.clock.now)
            #expect(try await client.call(port, headers: payment.field()).settlement().success)
            #expect(facilitator.movedCount == 2)
        }
    }
}
