import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Foundation
import Gateway
import Hummingbird
import Paywall
import Receipts
import SignedDocuments
import Storage
import TestSupport
import Testing

@Suite("Free calls and tiers, by passport")
struct QuotaTests {
    private static let issuer = "did:key:z6MkissuerOfTheTests"

    private func sell(_ service: inout ServiceDefinition, _ rules: [PriceRule]) throws {
        service.passport = PassportRequirement(trustedIssuers: [Self.issuer])
        service.prices = try PriceList(rules)
    }

    /// Shows a passport that the tests' check lets pass.
    private func holder() throws -> [(String, String)] {
        let key = try Ed25519.PrivateKey(seed: [UInt8](repeating: 4, count: 32))
        return [("Agent-Passport", "good \(DIDKey(key.publicKey).string)")]
    }

    private func free(_ count: UInt64) throws -> [PriceRule] {
        [try PriceRule(pathPattern: "/*", price: Price(amount: 2), freeCallsPerDay: count)]
    }

    @Test("PRC-4: of 64 calls at once exactly the free ones are free, and a day later there are as many again")
    func race() async throws {
        try await withMeteredSeller(service: { try self.sell(&$0, self.free(7)) }) { node, upstream, box, port in
            let headers = try self.holder()
            for day in 1...2 {
                let answers = try await withThrowingTaskGroup(of: Answer.self) { group in
                    for _ in 0..<64 { group.addTask { try await box.client.call(port, headers: headers) } }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                #expect(answers.count { $0.status == 200 } == 7)
                #expect(answers.count { $0.status == 402 } == 57)
                #expect(upstream.count == 7 * day)
                node.clock.advance(seconds: 86_400)
            }
        }
    }

    @Test("PRC-4: a free call that was not served is not counted; what is paid for is not either")
    func notServed() async throws {
        try await withMeteredSeller(service: { try self.sell(&$0, self.free(2)) }) { node, upstream, box, port in
            let headers = try self.holder()
            for _ in 0..<5 {
                let failed = try await box.client.call(port, "/s/weather/fail", headers: headers)
                #expect(failed.status == 502)
            }
            await #expect(throws: (any Error).self) {
                _ = try await box.client.call(port, "/s/weather/x?n=200000&die=20000", headers: headers)
            }
            let paid = try await box.client.call(port, payment: try node.payment(2), headers: headers)
            #expect(paid.status == 200)
            // The cut one is given back once its stream has ended.
            try await Task.sleep(for: .milliseconds(1500))
            #expect(try await box.client.call(port, headers: headers).status == 200)
            #expect(try await box.client.call(port, key: "k", headers: headers).status == 200)
            #expect(try await box.client.call(port, headers: headers).status == 402)
            // Whoever shows no passport has none.
            #expect(try await box.client.call(port).status == 402)
        }
    }

    @Test("PRC-4: free calls outlive the process, and one that a kill cut short is given back")
    func restart() async throws {
        try await withMeteredSeller(service: { try self.sell(&$0, self.free(2)) }) { node, upstream, box, port in
            let headers = try self.holder()
            #expect(try await box.client.call(port, headers: headers).status == 200)
            // As a process leaves it that is killed in the middle of a free call.
            try await node.database.write { connection in
                try connection.execute(
                    """
                    INSERT INTO gateway_free (id, service, holder, start)
                    SELECT 'killed', service, holder, start FROM gateway_usage
                    """
                )
                try connection.execute("UPDATE gateway_usage SET quantity = quantity + 1")
            }
            #expect(try await box.client.call(port, headers: headers).status == 402)
            try await node.restart()
            try await withServer(try node.router()) { port in
                let given = try await box.client.call(port, headers: headers)
                #expect(given.status == 200)
                let over = try await box.client.call(port, headers: headers)
                #expect(over.status == 402)
            }
        }
    }

    @Test(
        "PRC-3: tiers go by what the passport used in the day; a lower price is quoted to it, and kept over a restart"
    )
    func tiers() async throws {
        try await withMeteredSeller(
            service: {
                try self.sell(
                    &$0,
                    [
                        PriceRule(
                            pathPattern: "/*",
                            price: Price(amount: 0),
                            metering: PriceMetering(
                                meters: [
                                    PriceMeter(
                                        .calls,
                                        tiers: [
                                            .init(amount: 8), .init(from: 2, amount: 2), .init(from: 3, amount: 0),
                                        ],
                                        period: .day
                                    )
                                ],
                                maximum: 8
                            )
                        )
                    ]
                )
            }
        ) { node, upstream, box, port in
            let headers = try self.holder()
            for (price, expected) in [(8, "8"), (8, "8"), (2, "2")] {
                let asked = try await box.client.call(port, headers: headers)
                #expect(try asked.problem()["price"]?["amount"]?.stringValue == expected)
                let token = try node.payment(UInt64(price))
                let answer = try await box.client.call(port, payment: token, headers: headers)
                #expect(answer.status == 200, "\(answer.text)")
            }
            try await node.restart()
            try await withServer(try node.router()) { port in
                #expect(try await box.client.call(port, headers: headers).status == 200)
                // Paid by the price of before, it comes back whole: the call is free by now.
                let token = try node.payment(8)
                let answer = try await box.client.call(port, payment: token, headers: headers)
                #expect(answer.status == 200)
                #expect(try Token(#require(answer.header("X-Cashu"))).amount() == 8)
                #expect(answer.receipt?.claims.amount == 0)
                node.clock.advance(seconds: 86_400)
                #expect(try await box.client.call(port, headers: headers).status == 402)
            }
        }
    }

    @Test("PRC-4: free calls without passports to count them by are refused when the service is put on sale")
    func unsellable() async throws {
        let node = try TestNode()
        try await node.start()
        let prices = try PriceList(free(1))
        await #expect(throws: GatewayError.self) { try await node.sell(upstream: 9) { $0.prices = prices } }
        try await node.stop()
    }
}
