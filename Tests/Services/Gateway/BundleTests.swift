import AsyncHTTPClient
import CanonicalJSON
import Encodings
import Foundation
import Gateway
import Hummingbird
import NIOCore
import Paywall
import Receipts
import Storage
import TestSupport
import Testing

@Suite("Bundles of units over L402")
struct BundleTests {
    private func withBundle(
        _ credit: UInt64 = 100,
        _ body: @escaping @Sendable (TestNode, MeteredUpstream, HTTPClientBox, Int) async throws -> Void
    ) async throws {
        try await withMeteredSeller(
            sellsOverLightning: true,
            service: {
                $0.accepts = [.cashu, .l402]
                $0.pass = .credit(Price(amount: credit))
            },
            body
        )
    }

    private func prepaid(_ node: TestNode) async throws -> Int64? {
        try await node.database.read { try $0.first("SELECT sum(prepaid) FROM gateway_grants")?.int64(0) }
    }

    @Test("GRA-9: one payment buys a credit; each call takes what it cost, and an exhausted one gets a fresh 402")
    func debited() async throws {
        try await withBundle { node, upstream, box, port in
            let asked = try await box.client.call(port, "/s/weather/x")
            #expect(try #require(asked.l402).invoice.isEmpty == false)
            #expect(asked.paymentChallenge("lightning") == nil)
            let headers = [("Authorization", try node.payL402(asked))]
            #expect(try await self.prepaid(node) == 0)
            // 1 sat fixed and 10 for ten thousand bytes; 63 are taken while it runs.
            let answer = try await box.client.call(port, "/s/weather/x?n=10000", headers: headers)
            #expect(answer.status == 200)
            #expect(answer.header("X-Cashu") == nil)
            #expect(answer.receipt?.claims.amount == 11_000)
            #expect(answer.receipt?.claims.settlement?.quoted == 63_000)
            #expect(answer.receipt?.claims.settlement?.returned == 52_000)
            #expect(answer.receipt?.claims.settlement?.form == "credit-kept")
            #expect(try await self.prepaid(node) == 89_000)
            try await node.restart()
            try await withServer(try node.router()) { port in
                // The same request is a new call; the credit is worth 89, then 68, then 47, which is less than the most.
                for _ in 0..<2 {
                    #expect(try await box.client.call(port, "/s/weather/x?n=20000", headers: headers).status == 200)
                }
                let over = try await box.client.call(port, "/s/weather/x?n=10", headers: headers)
                #expect(over.status == 402)
                #expect(over.code == "credential-used-up")
                #expect(over.l402 != nil)
                #expect(try await self.prepaid(node) == 47_000)
            }
            #expect(upstream.count == 3)
        }
    }

    @Test("GRA-9: 64 calls at once with one credit never take more than it has")
    func race() async throws {
        try await withBundle(200) { node, upstream, box, port in
            let headers = [("Authorization", try node.payL402(try await box.client.call(port, "/s/weather/x")))]
            let answers = try await withThrowingTaskGroup(of: Answer.self) { group in
                for index in 0..<64 {
                    group.addTask {
                        let path = "/s/weather/x?n=10000&ms=200&i=\(index)"
                        return try await box.client.call(port, path, headers: headers)
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            let served = answers.count { $0.status == 200 }
            // Three at a time hold their most; each costs 11.
            #expect((3...17).contains(served))
            #expect(served == upstream.count)
            #expect(answers.count { $0.code == "credential-used-up" } == 64 - served)
            #expect(try await self.prepaid(node) == Int64(200 - 11 * served) * 1000)
        }
    }

    @Test("GRA-9, CALL-14: a failed call gives the credit back whole; one that breaks off takes what was passed on")
    func failed() async throws {
        try await withBundle { node, upstream, box, port in
            let headers = [("Authorization", try node.payL402(try await box.client.call(port, "/s/weather/x")))]
            let failed = try await box.client.call(port, "/s/weather/fail", headers: headers)
            #expect(failed.status == 502)
            #expect(try await self.prepaid(node) == 100_000)
            await #expect(throws: (any Error).self) {
                _ = try await box.client.call(port, "/s/weather/x?n=200000&die=20000", headers: headers)
            }
            for _ in 0..<100 {
                if try await self.prepaid(node) == 79_000 { break }
                try await Task.sleep(for: .milliseconds(50))
            }
            #expect(try await self.prepaid(node) == 79_000)
        }
    }

    @Test("GRA-9: of a credit a fixed price takes its amount; a credit that is not enough for one call is not sold")
    func fixed() async throws {
        try await withBundle { node, upstream, box, port in
            let headers = [("Authorization", try node.payL402(try await box.client.call(port, "/s/weather/fixed")))]
            #expect(try await box.client.call(port, "/s/weather/fixed", headers: headers).status == 200)
            #expect(try await self.prepaid(node) == 98_000)
        }
        let node = try TestNode(sellsOverLightning: true)
        try await node.start()
        var service = try meteredService(port: 9)
        service.accepts = [.cashu, .l402]
        service.pass = .credit(Price(amount: 62))
        let short = service
        await #expect(throws: GatewayError.self) { try await node.gateway.add(short) }
        service.pass = .seconds(60)
        let timed = service
        await #expect(throws: GatewayError.self) { try await node.gateway.add(timed) }
        try await node.stop()
    }

    @Test("PRC-8: a trial says the rule, the quote in each way to pay and the charge, and nothing moves")
    func trial() async throws {
        try await withBundle { node, upstream, box, port in
            let body = #"{"request":"GET /x?a=b","responseBytes":"1500","measures":{"X-Tokens":"5"}}"#
            let answer = try await box.client.call(
                port,
                "/api/services/weather/price",
                method: "POST",
                body: .bytes(ByteBuffer(string: body))
            )
            #expect(answer.status == 200)
            let json = try answer.problem()
            #expect(json["rule"]?["path"]?.stringValue == "/*")
            #expect(json["quote"]?["amount"]?.stringValue == "63")
            #expect(json["quote"]?["maximum"]?.boolValue == true)
            #expect(json["charge"]?["amount"]?.stringValue == "13")
            #expect(json["charge"]?["returned"]?.stringValue == "50")
            let ways = try #require(json["accepts"]?.arrayValue)
            #expect(ways.map { $0["dialect"]?.stringValue } == ["cashu", "l402"])
            #expect(ways.map { $0["amount"]?.stringValue } == ["63", "100000"])
            #expect(node.lightning?.count == 0)
            for bad in [#"{"request":"x"}"#, #"{"request":"GET /x","y":1}"#, #"{"request":"GET //x"}"#] {
                let refused = try await box.client.call(
                    port,
                    "/api/services/weather/price",
                    method: "POST",
                    body: .bytes(ByteBuffer(string: bad))
                )
                #expect(refused.status == 400)
            }
            #expect(upstream.count == 0)
        }
    }
}
