import AsyncHTTPClient
import CanonicalJSON
import Encodings
import Ethereum
import Foundation
import Gateway
import Hummingbird
import Paywall
import Testing

@Suite("Attacks on a seller over x402")
struct X402AttackTests {
    @Test("XEX-5: what is not exactly what is asked for is refused, moves nothing, and is told why")
    func changed() async throws {
        try await withTokenSeller { node, facilitator, upstream, client, port in
            let payer = try TestPayer()
            let required = try await client.call(port).x402()
            let now = node.clock.now
            let seconds = UInt64(now.secondsSince1970)
            let other = try TestPayer(0x55).key.address
            let cases: [(String, X402Refusal.Code?, (inout TestPayer.Changes) throws -> Void)] = [
                ("a lowered amount", nil, { $0.value = 1 }),
                (
                    "a lowered amount, echoed too", .valueMismatch,
                    {
                        $0.value = 1
                        $0.accepted = { $0.amount = UInt256(1) }
                    }
                ),
                ("a raised amount", nil, { $0.value = 1_000_000 }),
                ("another payee", .recipientMismatch, { $0.to = other }),
                (
                    "another payee, echoed too", nil,
                    {
                        $0.to = other
                        $0.accepted = { $0.payTo = other.description }
                    }
                ),
                (
                    "another token", nil,
                    {
                        $0.contract = other
                        $0.accepted = { $0.asset = other.description }
                    }
                ),
                ("signed for another token", nil, { $0.contract = other }),
                ("signed for another chain", nil, { $0.chainID = UInt256(8453) }),
                ("another network", .networkMismatch, { $0.accepted = { $0.network = "eip155:8453" } }),
                ("over", .validBefore, { $0.validBefore = seconds - 1 }),
                ("nearly over", .validBefore, { $0.validBefore = seconds + 5 }),
                ("not begun", .validAfter, { $0.validAfter = seconds + 1 }),
                ("good for years", .validBefore, { $0.validBefore = seconds + 100_000_000 }),
                ("another resource", .invalidRequirements, { $0.url = "http://127.0.0.1:\(port)/s/weather/other" }),
                ("another seller", .invalidRequirements, { $0.url = "https://elsewhere.example/s/weather/today" }),
                ("a malleable signature", .invalidSignature, { $0.isHighS = true }),
            ]
            for (name, code, change) in cases {
                let payment = try payer.payment(required, now: now, change)
                let answer = try await client.call(port, headers: payment.field())
                #expect(answer.status == 402, "\(name)")
                #expect(try answer.x402().accepts == required.accepts, "\(name)")
                let settlement = try answer.settlement()
                #expect(!settlement.success, "\(name)")
                if let code { #expect(settlement.errorReason == code.rawValue, "\(name)") }
            }
            #expect(upstream.count == 0)
            #expect(facilitator.movedCount == 0)
            // Nothing of it stands in the way of the real payment.
            let payment = try payer.payment(required, now: now)
            #expect(try await client.call(port, headers: payment.field()).status == 200)
        }
    }

    @Test("XEX-5: what is no payment is 400, and reaches nobody")
    func garbage() async throws {
        try await withTokenSeller { node, facilitator, upstream, client, port in
            let required = try await client.call(port).x402()
            let payment = try TestPayer().payment(required, now: node.clock.now)
            func encoded(_ text: String) -> String { Base64.encode(Array(text.utf8)) }
            var upto = payment
            upto.scheme = "upto"
            upto.accepted?.scheme = "upto"
            let cases: [[(String, String)]] = [
                [("PAYMENT-SIGNATURE", "!!!!")], [("PAYMENT-SIGNATURE", encoded("{"))],
                [("PAYMENT-SIGNATURE", encoded("[]"))],
                [("PAYMENT-SIGNATURE", encoded("{\"x402Version\":3}"))],
                [("PAYMENT-SIGNATURE", encoded("{\"x402Version\":2,\"payload\":{}}"))],
                [("PAYMENT-SIGNATURE", String(repeating: "A", count: 40_000))],
                [("PAYMENT-SIGNATURE", encoded(String(repeating: "[", count: 5000)))],
                [("X-PAYMENT", try X402.header(payment.json))],
                try payment.field() + payment.field(),
                try payment.field() + [("X-Cashu", node.payment(2))],
                try upto.field(),
            ]
            for fields in cases {
                let answer = try await client.call(port, headers: fields)
                #expect(answer.status == 400, "\(fields.map(\.0)) \(answer.status)")
            }
            #expect(upstream.count == 0)
            #expect(facilitator.askedCount == 0)
        }
    }

    @Test(
        "XEX-4: a payment that bought one call buys no other: not at another service, path, price, method or with another body"
    )
    func elsewhere() async throws {
        try await withTokenSeller { node, facilitator, upstream, client, port in
            let address = try #require(node.gateway.service("weather")).upstream.port
            try await node.sell("maps", upstream: address, amount: 2) { $0.accepts = [.x402Exact] }
            try await node.sell("dear", upstream: address, amount: 3) { $0.accepts = [.x402Exact] }
            let payer = try TestPayer()
            let older = try await client.call(port).olderX402()
            // Version 1 says nothing of the resource: the claim alone holds it to one.
            let payment = try payer.payment(older, now: node.clock.now)
            let field = try payment.field()
            #expect(try await client.call(port, "/s/dear/today", headers: field).status == 402)
            #expect(try await client.call(port, headers: field).status == 200)
            for (path, method, body) in [
                ("/s/maps/today", "GET", nil), ("/s/weather/tomorrow", "GET", nil), ("/s/weather/today", "POST", nil),
                ("/s/weather/today", "GET", "another"),
            ] as [(String, String, String?)] {
                let answer = try await client.call(
                    port,
                    path,
                    method: method,
                    headers: field,
                    body: body.map { .bytes(Array($0.utf8)) }
                )
                #expect(answer.status == 400)
                #expect(answer.code == "payment-reused")
            }
            // Nor with a key of its own, nor by the same authorisation in other words.
            #expect(try await client.call(port, key: "mine", headers: field).code == "payment-reused")
            let authorization = try X402.ExactEVM.Payload(json: payment.payload).authorization
            let again = try payer.payment(try await client.call(port).x402(), now: node.clock.now) {
                $0.nonce = authorization.nonce
            }
            #expect(try await client.call(port, headers: again.field()).code == "payment-reused")
            #expect(upstream.count == 1)
            #expect(facilitator.movedCount == 1)
        }
    }

    @Test("XEX-5: a service that does not take tokens takes none, and a free path asks for none")
    func notTaken() async throws {
        try await withTokenSeller(accepts: [.cashu]) { node, facilitator, upstream, client, port in
            let answer = try await client.call(port)
            #expect(answer.header("PAYMENT-REQUIRED") == nil)
            #expect(try answer.problem()["accepts"] == nil)
            let way = try #require(
                X402.Asset(TestSale.text, chainID: TestSale.chainID).requirements(
                    .v2,
                    amount: 2080,
                    payTo: try TestSale.payTo(),
                    maxTimeoutSeconds: 60
                )
            )
            let required = X402.PaymentRequired(version: .v2, accepts: [way])
            let payment = try TestPayer().payment(required, now: node.clock.now)
            #expect(try await client.call(port, headers: payment.field()).code == "method-unsupported")
            #expect(try await client.call(port, "/s/weather/free/a", headers: payment.field()).status == 200)
            #expect(facilitator.askedCount == 0)
        }
    }
}
