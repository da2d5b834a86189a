import AsyncHTTPClient
import Encodings
import Gateway
import Paywall
import Storage
import TestSupport
import Testing

@Suite("Passes for a time over L402")
struct PassTests {
    private func claims(_ node: TestNode) async throws -> Int? {
        try await node.database.read { try $0.first("SELECT count(*) FROM gateway_claims")?.int(0) }
    }

    private func counted(_ node: TestNode) async throws -> Int? {
        try await node.database.read { try $0.first("SELECT sum(counted) FROM gateway_grants")?.int(0) }
    }

    private func withPass(
        _ body: @escaping @Sendable (TestNode, TestUpstream, HTTPClient, Int, [(String, String)]) async throws -> Void
    ) async throws {
        try await withSeller(sellsOverLightning: true, service: { $0.pass = .seconds(3600) }) {
            node,
            upstream,
            client,
            port in
            let headers = [("Authorization", try node.payL402(try await client.call(port)))]
            try await body(node, upstream, client, port, headers)
        }
    }

    @Test("GRA-10: the first call is claimed and receipted; later ones are counted, until the time is over")
    func time() async throws {
        try await withPass { node, upstream, client, port, headers in
            let first = try await client.call(port, headers: headers)
            #expect(first.status == 200)
            #expect(first.receipt != nil)
            for _ in 0..<5 {
                let later = try await client.call(port, headers: headers)
                #expect(later.status == 200)
                #expect(later.receipt == nil)
            }
            #expect(upstream.count == 6)
            #expect(try await self.claims(node) == 1)
            #expect(try await self.counted(node) == 0)
            try await node.gateway.housekeep()
            #expect(try await self.counted(node) == 5)
            #expect(try await node.requireConservation() == [])
            node.clock.advance(seconds: 3600 + 601)
            #expect(try await client.call(port, headers: headers).status == 402)
            #expect(upstream.count == 6)
            // What was paid is the service's when the time is over.
            try await node.gateway.housekeep()
            let prepaid = try await node.database.read { try $0.first("SELECT prepaid FROM gateway_grants")?.int64(0) }
            #expect(prepaid == 0)
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("GRA-10: with an Idempotency-Key a call is claimed, and answered again")
    func keyed() async throws {
        try await withPass { node, upstream, client, port, headers in
            #expect(try await client.call(port, headers: headers).status == 200)
            let keyed = headers + [("Idempotency-Key", "k1")]
            #expect(try await client.call(port, headers: keyed).receipt != nil)
            let again = try await client.call(port, headers: keyed)
            #expect(again.header("Idempotent-Replayed") == "true")
            #expect(upstream.count == 2)
            #expect(try await self.claims(node) == 2)
        }
    }

    @Test("GRA-10: a pass holds for its path alone, and not after its key was revoked")
    func bounds() async throws {
        try await withPass { node, upstream, client, port, headers in
            #expect(try await client.call(port, headers: headers).status == 200)
            #expect(try await client.call(port, headers: headers).status == 200)
            var forged = headers
            forged[0].1 = String(headers[0].1.dropLast()) + (headers[0].1.hasSuffix("0") ? "1" : "0")
            #expect(try await client.call(port, headers: forged).status == 402)
            let gateway = try node.gateway
            let key = try #require(gateway.keys.entries.last?.id)
            #expect(try await client.call(port, "/api/paywall/keys/\(key)/revoke", method: "POST").status == 200)
            #expect(try await client.call(port, headers: headers).code == "credential-invalid")
            #expect(upstream.count == 2)
        }
    }

    @Test("GRA-10: the number of calls is bounded, over a restart too")
    func number() async throws {
        try await withPass { node, upstream, client, port, headers in
            #expect(try await client.call(port, headers: headers).status == 200)
            let calls = try await node.database.read { try $0.first("SELECT calls FROM gateway_grants")?.int64(0) }
            try await node.restart()
            let counted = try #require(calls) - 3
            try await node.database.write { try $0.execute("UPDATE gateway_grants SET counted = ?", .integer(counted)) }
            try await withServer(try node.router()) { port in
                // One that is claimed, one that is counted; with the very first they are all.
                for status in [200, 200, 402] {
                    let answer = try await client.call(port, headers: headers)
                    #expect(answer.status == status)
                }
            }
            #expect(upstream.count == 3)
        }
    }

    @Test("GRA-10: 64 calls at once on a new pass are all served, and its payment is booked once")
    func race() async throws {
        try await withPass { node, upstream, client, port, headers in
            let served = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<64 {
                    group.addTask { try await client.call(port, headers: headers).status == 200 ? 1 : 0 }
                }
                return try await group.reduce(0, +)
            }
            #expect(served == 64)
            #expect(upstream.count == 64)
            try await node.gateway.housekeep()
            let claims = try await self.claims(node) ?? 0
            #expect(try await self.counted(node) == 64 - claims)
            #expect(try await node.requireConservation() == [])
        }
    }
}
