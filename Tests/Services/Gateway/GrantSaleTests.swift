import AsyncHTTPClient
import CanonicalJSON
import Cryptography
import Encodings
import Foundation
import Gateway
import Hummingbird
import Lightning
import Logging
import NIOPosix
import Paywall
import Storage
import Synchronization
import TestSupport
import Testing

@Suite("Selling over Lightning")
struct GrantSaleTests {
    @Test("GRA-7: an asker is shown its unpaid invoice again while it is good, and a new one once it was used")
    func sameInvoice() async throws {
        try await withSeller(sellsOverLightning: true) { node, upstream, client, port in
            let lightning = try #require(node.lightning)
            let first = try await client.call(port)
            for _ in 0..<10 { #expect(try await client.call(port).l402?.invoice == first.l402?.invoice) }
            #expect(lightning.count == 1)
            // Another macaroon each time, for the same payment.
            #expect(try await client.call(port).l402?.token != first.l402?.token)
            #expect(try await client.call(port, method: "POST").l402?.invoice != first.l402?.invoice)
            #expect(lightning.count == 2)
            node.clock.advance(seconds: 421)
            let later = try await client.call(port)
            #expect(later.l402?.invoice != first.l402?.invoice)
            // The one before can still be paid, and used.
            let headers = [("Authorization", try node.payL402(first))]
            #expect(try await client.call(port, headers: headers).status == 200)
            #expect(try await client.call(port).l402?.invoice == later.l402?.invoice)
            #expect(lightning.count == 3)
        }
    }

    @Test(
        "GRA-7: who asks at the same time gets one invoice; beyond what is allowed the 402 goes out without Lightning"
    )
    func bounds() async throws {
        try await withSeller(
            sellsOverLightning: true,
            configure: {
                $0.invoiceLimits.perAddress = RateLimit(perSecond: 1, burst: 3)
                $0.invoiceLimits.open = 100
            }
        ) { node, upstream, client, port in
            let lightning = try #require(node.lightning)
            let together = try await withThrowingTaskGroup(of: Answer.self) { group in
                for _ in 0..<16 { group.addTask { try await client.call(port) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(Set(together.map { $0.l402?.invoice }).count == 1)
            #expect(lightning.count == 1)
            var without = 0
            for index in 0..<12 {
                let answer = try await client.call(port, "/s/weather/\(index)")
                #expect(answer.status == 402)
                #expect(answer.header("X-Cashu") != nil)
                if answer.l402 == nil { without += 1 }
            }
            // One was made before; two more are left of the burst.
            #expect(without == 10)
            #expect(lightning.count == 3)
            node.clock.advance(seconds: 1)
            #expect(try await client.call(port, "/s/weather/more").l402 != nil)
        }
    }

    @Test("GRA-7: no more unpaid invoices than are allowed; those that lapsed make room; paid ones do not count")
    func openBound() async throws {
        try await withSeller(sellsOverLightning: true, configure: { $0.invoiceLimits.open = 2 }) {
            node,
            upstream,
            client,
            port in
            let first = try await client.call(port, "/s/weather/0")
            #expect(try await client.call(port, "/s/weather/1").l402 != nil)
            #expect(try await client.call(port, "/s/weather/2").l402 == nil)
            let headers = [("Authorization", try node.payL402(first))]
            #expect(try await client.call(port, "/s/weather/0", headers: headers).status == 200)
            #expect(try await client.call(port, "/s/weather/2").l402 != nil)
            #expect(try await client.call(port, "/s/weather/3").l402 == nil)
            node.clock.advance(seconds: 600 + 3600)
            await (try node.gateway).housekeep()
            #expect(try await client.call(port, "/s/weather/3").l402 != nil)
            let rows = try await node.database.read { try $0.first("SELECT count(*) FROM gateway_grants")?.int(0) }
            // The paid one and the new one: the two that lapsed unpaid are gone.
            #expect(rows == 2)
        }
    }

    @Test("CHS-1: without the Lightning node the 402 offers ecash, and where there is nothing else it is 503")
    func away() async throws {
        try await withSeller(sellsOverLightning: true) { node, upstream, client, port in
            try #require(node.lightning).isDown.withLock { $0 = true }
            let answer = try await client.call(port)
            #expect(answer.status == 402)
            #expect(answer.l402 == nil)
            #expect(answer.paymentChallenge("cashu") != nil)
            var service = try #require(node.gateway.service("weather"))
            service.accepts = [.l402]
            try await node.gateway.add(service, replaces: true)
            let none = try await client.call(port)
            #expect(none.status == 503)
            #expect(none.code == "mint-unavailable")
        }
    }

    @Test("GRA-1: what can't be sold is refused when it is put on sale, and says why")
    func refusedOnSale() async throws {
        let plain = try TestNode()
        try await plain.start()
        let selling = try TestNode(sellsOverLightning: true)
        try await selling.start()
        func refusal(_ node: TestNode, _ configure: (inout ServiceDefinition) throws -> Void) async throws -> String? {
            var service = try ServiceDefinition(
                name: "a",
                upstream: UpstreamAddress("http://127.0.0.1:9"),
                prices: PriceList([PriceRule(pathPattern: "/*", price: Price(amount: 2))])
            )
            try configure(&service)
            do {
                try await node.gateway.add(try ServiceDefinition(json: service.json), replaces: true)
                return nil
            } catch let error as GatewayError {
                #expect(error.code == .invalidService)
                return error.message
            }
        }
        func price(_ amount: UInt64, _ unit: String) throws -> PriceList {
            try PriceList([PriceRule(pathPattern: "/*", price: Price(amount: amount, unit: unit))])
        }
        #expect(try await refusal(plain) { $0.accepts = [.l402] }?.contains("no Lightning account") == true)
        #expect(try await refusal(plain) { $0.pass = .calls(2) }?.contains("no Lightning account") == true)
        #expect(try await refusal(plain) { $0.accepts = [.cashu] } == nil)
        #expect(try await refusal(selling) { $0.accepts = [.l402, .paymentLightning] } == nil)
        for dialect in [PaymentDialect.x402, .x402Exact] {
            #expect(try await refusal(selling) { $0.accepts = [.cashu, dialect] }?.contains(dialect.rawValue) == true)
        }
        #expect(try await refusal(selling) { $0.accepts = [] } != nil)
        for pass in [CallPass.calls(1), .calls(1_000_001), .seconds(59), .seconds(32 * 86_400)] {
            #expect(try await refusal(selling) { $0.pass = pass } != nil)
        }
        #expect(
            try await refusal(selling) {
                $0.accepts = [.l402, .paymentLightning]
                $0.pass = .calls(2)
            }?.contains("l402 alone") == true
        )
        #expect(
            try await refusal(selling) {
                $0.accepts = [.l402]
                $0.prices = try price(5, "usd")
            }?.contains("usd") == true
        )
        // The Lightning node of the tests counts in whole sat.
        #expect(
            try await refusal(selling) {
                $0.accepts = [.l402]
                $0.prices = try price(1500, "msat")
            } != nil
        )
        #expect(
            try await refusal(selling) {
                $0.accepts = [.l402]
                $0.prices = try PriceList([
                    PriceRule(
                        pathPattern: "/*",
                        price: Price(amount: 0),
                        metering: PriceMetering(
                            meters: [PriceMeter(.seconds, tiers: [.init(amount: 1)])],
                            maximum: 9
                        )
                    )
                ])
            }?.contains("gets the rest back") == true
        )
        try await plain.stop()
        try await selling.stop()
    }

    @Test("GRA-1: a service of before says nothing of dialects and is read; one that says nothing is written as before")
    func json() throws {
        let text = """
            {"name":"a","upstream":"http://127.0.0.1:9","prices":[{"amount":"2"}]}
            """
        let old = try ServiceDefinition(json: JSONValue.parse(Array(text.utf8)))
        #expect(old.accepts == nil)
        #expect(old.pass == nil)
        #expect(old.json["accept"] == nil)
        #expect(old.json["pass"] == nil)
        var new = old
        new.accepts = [.cashu, .l402]
        for pass in [CallPass.calls(100), .seconds(3600)] {
            new.pass = pass
            #expect(try ServiceDefinition(json: new.json) == new)
        }
        for bad in [
            #""accept":["gold"]"#, #""accept":"cashu""#, #""pass":{}"#, #""pass":{"calls":"2","seconds":60}"#,
            #""pass":{"calls":"x"}"#, #""pass":{"days":1}"#,
        ] {
            let broken = text.replacingOccurrences(of: #""name""#, with: bad + #","name""#)
            #expect(throws: GatewayError.self) { try ServiceDefinition(json: JSONValue.parse(Array(broken.utf8))) }
        }
    }

    @Test("GRA-8: keys are rotated and revoked one by one, and lie sealed")
    func keys() async throws {
        try await withSeller(sellsOverLightning: true) { node, upstream, client, port in
            let first = try #require(try node.gateway.keys.entries.first)
            #expect(first.state == .active)
            let l402 = [("Authorization", try node.payL402(try await client.call(port)))]
            let charge = [("Authorization", try node.payCharge(try await client.call(port, "/s/weather/b")))]
            let rotated = try await client.call(port, "/api/paywall/keys", method: "POST").problem()
            #expect(rotated["state"]?.stringValue == "active")
            #expect(
                try await client.call(port, "/api/paywall/keys").problem()["keys"]?[0]?["state"]?.stringValue
                    == "retired"
            )
            // A retired key accepts.
            #expect(try await client.call(port, headers: l402).status == 200)
            #expect(try await client.call(port, "/s/weather/b", headers: charge).status == 200)
            let last = [("Authorization", try node.payL402(try await client.call(port, "/s/weather/c")))]
            let late = [("Authorization", try node.payCharge(try await client.call(port, "/s/weather/d")))]
            let id = try #require(rotated["id"]?.stringValue)
            let revoked = try await client.call(port, "/api/paywall/keys/\(id)/revoke", method: "POST")
            #expect(try revoked.problem()["state"]?.stringValue == "revoked")
            #expect(try await client.call(port, "/s/weather/c", headers: last).code == "credential-invalid")
            #expect(try await client.call(port, "/s/weather/d", headers: late).code == "challenge-unknown")
            // The one before was not revoked with it.
            #expect(try await client.call(port, headers: l402).header("Idempotent-Replayed") == "true")
            #expect(try await client.call(port, "/api/paywall/keys/00/revoke", method: "POST").status == 404)
            try await node.restart()
            #expect(try node.gateway.keys.entries.map(\.state) == [.retired, .revoked, .active])
            let sealed = try await node.database.read {
                try $0.rows("SELECT sealed FROM gateway_keys").map { try $0.blob(0) }
            }
            #expect(sealed.allSatisfy { $0.count == 32 + Sealing.overhead })
            #expect(Set(sealed).count == 3)
        }
    }

    @Test("GRA-8: with another vault's key the node does not start, rather than forget who paid")
    func otherVault() async throws {
        let node = try TestNode()
        try await node.start()
        try await node.database.write { connection in
            try connection.execute("UPDATE gateway_keys SET id = ?", .blob([UInt8](repeating: 1, count: 8)))
        }
        await #expect(throws: GatewayError.self) { try await node.restart() }
        try await node.stop()
    }

    @Test("GRA-6: the audit finds a grant that counts other calls than were claimed, and money that is not booked")
    func audit() async throws {
        try await withSeller(sellsOverLightning: true, service: { $0.pass = .calls(3) }) {
            node,
            upstream,
            client,
            port in
            let headers = [("Authorization", try node.payL402(try await client.call(port)))]
            #expect(try await client.call(port, headers: headers).status == 200)
            #expect(try await node.requireConservation() == [])
            try await node.database.write { try $0.execute("UPDATE gateway_grants SET used = 2") }
            #expect(try await node.requireConservation().count == 1)
            try await node.database.write { try $0.execute("UPDATE gateway_grants SET used = 1, prepaid = 1") }
            #expect(try await node.requireConservation().count == 1)
        }
    }

    @Test("GRA-6: claims of a store of before are read as ecash in X-Cashu")
    func olderStore() async throws {
        let node = try TestNode()
        let path = node.folder.path + "/node.sqlite"
        let older = try Database(path: path, migrations: Array(GatewayTables.migrations.prefix(2)), logger: quiet)
        try await older.write { connection in
            let digest = SQLValue.blob([UInt8](repeating: 1, count: 32))
            try connection.execute(
                """
                INSERT INTO gateway_claims (id, scope, request, payment, service, method, target, mint, unit, total, fee, price,
                    online, state, at)
                VALUES ('c1', ?, ?, ?, 'weather', 'GET', '/', 'http://127.0.0.1:3338', 'sat', 2, 0, 2, 0, 'served', 1)
                """,
                digest,
                digest,
                digest
            )
        }
        await older.close()
        try await node.start()
        let record = try await SQLiteClaimStore(database: node.database).record(claimID: "c1")
        #expect(record?.dialect == .cashu)
        #expect(record?.source == .ecash(node.mint.url))
        try await node.stop()
    }
}
