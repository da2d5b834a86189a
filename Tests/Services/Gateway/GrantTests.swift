import AsyncHTTPClient
import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Foundation
import Gateway
import Hummingbird
import Lightning
import Paywall
import Receipts
import Storage
import Synchronization
import Testing

@Suite("Calls that are paid over Lightning")
struct GrantTests {
    private func authorization(_ value: String) -> [(String, String)] { [("Authorization", value)] }

    @Test("CHS-1, GRA-2: one priced URL: a Cashu wallet, an L402 client and Payment clients can each pay it, once")
    func everyWay() async throws {
        try await withSeller(sellsOverLightning: true) { node, upstream, client, port in
            let asked = try await client.call(port)
            #expect(asked.status == 402)
            #expect(asked.header("X-Cashu") != nil)
            #expect(asked.headers.filter { $0.name.lowercased() == "cache-control" }.map(\.value) == ["no-store"])
            let accepts = try asked.problem()["ways"]?.arrayValue?.compactMap(\.stringValue)
            #expect(accepts == ["cashu", "l402", "payment-lightning", "payment-cashu"])

            #expect(try await client.call(port, payment: try node.payment(2)).status == 200)

            let l402 = try node.payL402(asked)
            let byL402 = try await client.call(port, headers: authorization(l402))
            #expect(byL402.status == 200)
            #expect(byL402.receipt?.claims.dialect == "l402")
            #expect(byL402.receipt?.claims.amount == 2000)
            #expect(byL402.receipt?.claims.unit == "msat")
            #expect(byL402.receipt?.verdict().isValid == true)
            #expect(byL402.header("Payment-Receipt") == nil)

            let other = try await client.call(port)
            let byCharge = try await client.call(port, headers: authorization(try node.payCharge(other)))
            #expect(byCharge.status == 200)
            #expect(byCharge.receipt?.claims.dialect == "payment-lightning")
            let receipt = try #require(byCharge.header("Payment-Receipt").flatMap(PaymentReceipt.init(header:)))
            #expect(receipt.method == "lightning")
            let hash = try LightningCharge.invoice(of: try #require(other.paymentChallenge("lightning"))).paymentHash
            #expect(receipt.reference == Hex.encode(hash))
            #expect(receipt.challengeID == other.paymentChallenge("lightning")?.id)

            let ecash = try #require(asked.paymentChallenge("cashu"))
            let token = try Token(try node.payment(2))
            let credential = try PaymentCredential(challenge: ecash, payload: CashuCharge.payload(token: token))
                .header()
            for isReplay in [false, true] {
                let byEcash = try await client.call(port, headers: authorization(credential))
                #expect(byEcash.status == 200)
                #expect((byEcash.header("Idempotent-Replayed") != nil) == isReplay)
                #expect(byEcash.receipt?.claims.dialect == "payment-cashu")
                let receipt = byEcash.header("Payment-Receipt").flatMap(PaymentReceipt.init(header:))
                #expect(receipt?.method == "cashu")
                #expect(receipt?.reference == byEcash.receipt.map { Hex.encode($0.claims.paymentDigest) })
            }
            #expect(upstream.count == 4)
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("GRA-4: one call: the same request gets the stored answer in either dialect, another one a fresh 402")
    func onceOnly() async throws {
        try await withSeller(sellsOverLightning: true) { node, upstream, client, port in
            let asked = try await client.call(port)
            let l402 = authorization(try node.payL402(asked))
            let charge = authorization(try node.payCharge(asked))
            #expect(try await client.call(port, headers: l402).text == "answer 1")
            for headers in [l402, charge, l402] {
                let again = try await client.call(port, headers: headers)
                #expect(again.status == 200)
                #expect(again.text == "answer 1")
                #expect(again.header("Idempotent-Replayed") == "true")
            }
            let another = try await client.call(port, "/s/weather/tomorrow", headers: l402)
            #expect(another.status == 402)
            #expect(another.code == "credential-used-up")
            #expect(another.l402 != nil)
            #expect(another.l402?.invoice != asked.l402?.invoice)
            let keyed = try await client.call(port, key: "k", headers: l402)
            #expect(keyed.status == 402)
            #expect(keyed.code == "credential-used-up")
            #expect(upstream.count == 1)
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("GRA-3, GRA-4: 32 clients with one credential: one call of the upstream")
    func race() async throws {
        try await withSeller(sellsOverLightning: true) { node, upstream, client, port in
            let asked = try await client.call(port, "/s/weather/slow")
            let ways = [try node.payL402(asked), try node.payCharge(asked)]
            let answers = try await withThrowingTaskGroup(of: Answer.self) { group in
                for index in 0..<32 {
                    let headers = authorization(ways[index % 2])
                    group.addTask { try await client.call(port, "/s/weather/slow", headers: headers) }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(upstream.count == 1)
            #expect(answers.count { $0.status == 200 } >= 1)
            #expect(answers.allSatisfy { $0.status == 200 || $0.code == "call-running" })
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("GRA-3, GRA-4: 32 clients with one pass of 5 calls, each a call of its own: 5 are made")
    func raceForPass() async throws {
        try await withSeller(sellsOverLightning: true, service: { $0.pass = .calls(5) }) {
            node,
            upstream,
            client,
            port in
            let asked = try await client.call(port)
            #expect(asked.paymentChallenge("lightning") == nil)
            #expect(try BOLT11Invoice(decoding: try #require(asked.l402).invoice).amountMsat == 10_000)
            let headers = authorization(try node.payL402(asked))
            let answers = try await withThrowingTaskGroup(of: Answer.self) { group in
                for index in 0..<32 {
                    group.addTask { try await client.call(port, "/s/weather/\(index)", headers: headers) }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(answers.count { $0.status == 200 } == 5)
            #expect(answers.filter { $0.status != 200 }.allSatisfy { $0.code == "credential-used-up" })
            #expect(upstream.count == 5)
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("GRA-1, GRA-4: a pass: each request is a new call, and one with a key is the same call")
    func pass() async throws {
        try await withSeller(sellsOverLightning: true, service: { $0.pass = .calls(3) }) {
            node,
            upstream,
            client,
            port in
            let headers = authorization(try node.payL402(try await client.call(port)))
            #expect(try await client.call(port, headers: headers).text == "answer 1")
            #expect(try await client.call(port, headers: headers).text == "answer 2")
            for _ in 0..<3 { #expect(try await client.call(port, key: "k", headers: headers).text == "answer 3") }
            #expect(try await client.call(port, "/s/weather/x", key: "k", headers: headers).status == 422)
            #expect(try await client.call(port, headers: headers).code == "credential-used-up")
            #expect(upstream.count == 3)
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("GRA-1, GRA-6: a pass for an hour is good for that hour, and what is left of its price is earned at its end")
    func hour() async throws {
        try await withSeller(sellsOverLightning: true, service: { $0.pass = .seconds(3600) }) {
            node,
            upstream,
            client,
            port in
            let asked = try await client.call(port)
            let headers = authorization(try node.payL402(asked))
            #expect(try BOLT11Invoice(decoding: try #require(asked.l402).invoice).amountMsat == 2000)
            for number in 1...3 { #expect(try await client.call(port, headers: headers).text == "answer \(number)") }
            // Paid at the last moment, it still lasts its hour.
            node.clock.advance(seconds: 600 + 3599)
            #expect(try await client.call(port, headers: headers).status == 200)
            node.clock.advance(seconds: 1)
            #expect(try await client.call(port, headers: headers).code == "credential-expired")
            let gateway = try node.gateway
            // Of the calls the first alone was claimed ([GRA-10]).
            #expect(try await prepaid(client, port) == "1999")
            await gateway.housekeep()
            #expect(try await prepaid(client, port) == "0")
            #expect(try await node.requireConservation() == [])
        }
    }

    private func prepaid(_ client: HTTPClient, _ port: Int) async throws -> String? {
        try await client.call(port, "/api/gateway").problem()["prepaidMsat"]?.stringValue
    }

    @Test(
        "LSAT-8, PAY-5: tampered, forged, for another service, expired, without a grant: 402, a fresh challenge and the reason"
    )
    func bad() async throws {
        try await withSeller(sellsOverLightning: true) { node, upstream, client, port in
            let asked = try await client.call(port)
            let challenge = try #require(asked.l402)
            let preimage = try node.preimage(of: challenge.invoice)
            let macaroon = try #require(challenge.macaroon)
            func call(_ macaroon: Macaroon, _ preimage: [UInt8], _ path: String = "/s/weather/today") async throws
                -> Answer
            {
                let header = try #require(L402Credential(macaroons: [macaroon], preimage: preimage)).header()
                return try await client.call(port, path, headers: authorization(header))
            }
            var bytes = try macaroon.serialized()
            bytes[bytes.count - 1] ^= 1
            #expect(try await call(Macaroon(serialized: bytes), preimage).code == "credential-invalid")
            #expect(try await call(macaroon, [UInt8](repeating: 4, count: 32)).code == "credential-invalid")
            #expect(
                try await call(macaroon.adding("weather_path=/yesterday"), preimage).code == "credential-insufficient"
            )
            #expect(try await call(macaroon.adding("weather_calls=0"), preimage).code == "credential-used-up")
            let unreadable = try await client.call(port, headers: authorization("L402 ???:\(Hex.encode(preimage))"))
            #expect(unreadable.code == "credential-malformed")
            #expect(unreadable.status == 402)
            #expect(unreadable.l402 != nil)
            var echo = try #require(asked.paymentChallenge("lightning"))
            let wrong = PaymentCredential(
                challenge: echo,
                payload: ["preimage": .string(String(repeating: "0", count: 64))]
            )
            #expect(try await client.call(port, headers: authorization(wrong.header())).code == "credential-invalid")
            echo = try #require(try await client.call(port, "/s/weather/else").paymentChallenge("lightning"))
            let elsewhere = PaymentCredential(challenge: echo, payload: ["preimage": .string(Hex.encode(preimage))])
            let refused = try await client.call(port, headers: authorization(elsewhere.header()))
            #expect(refused.code == "challenge-unknown")
            #expect(refused.status == 402)
            #expect(refused.paymentChallenge("lightning") != nil)
            #expect(try refused.problem()["type"]?.stringValue == "https://paymentauth.org/problems/invalid-challenge")
            #expect(try unreadable.problem()["type"]?.stringValue == "urn:mintmark:problem:credential-malformed")
            // Nothing of all this counted: the credential itself is good.
            #expect(upstream.count == 0)
            let good = authorization(challenge.authorization(preimage: preimage))
            #expect(try await client.call(port, headers: good).status == 200)
            let other = try await client.call(port)
            let unused = [try node.payL402(other), try node.payCharge(other)]
            node.clock.advance(seconds: 600 + 3600)
            for value in unused {
                let late = try await client.call(port, headers: authorization(value))
                #expect(late.status == 402)
                #expect(late.code == "credential-expired")
            }
            // An old friend is answered even then.
            #expect(try await client.call(port, headers: good).text == "answer 1")
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("LSAT-7, GRA-2: a credential of one service opens no other, and a dearer call is refused")
    func otherService() async throws {
        try await withSeller(sellsOverLightning: true) { node, upstream, client, port in
            let weather = try #require(node.gateway.service("weather"))
            var other = weather
            other.name = "maps"
            try await node.gateway.add(other)
            let headers = authorization(try node.payL402(try await client.call(port)))
            let refused = try await client.call(port, "/s/maps/today", headers: headers)
            #expect(refused.status == 402)
            #expect(refused.code == "credential-insufficient")
            var dearer = weather
            dearer.prices = try PriceList([PriceRule(pathPattern: "/*", price: Price(amount: 3))])
            try await node.gateway.add(dearer, replaces: true)
            #expect(try await client.call(port, headers: headers).code == "credential-insufficient")
            try await node.gateway.add(weather, replaces: true)
            #expect(try await client.call(port, headers: headers).status == 200)
            #expect(upstream.count == 1)
        }
    }

    @Test("CHS-3: two payments at once are refused, and so is a way that the service does not take; nothing is taken")
    func severalOrUntaken() async throws {
        try await withSeller(sellsOverLightning: true, service: { $0.accepts = [.cashu, .l402] }) {
            node,
            upstream,
            client,
            port in
            let asked = try await client.call(port)
            #expect(asked.paymentChallenge("lightning") == nil)
            let l402 = authorization(try node.payL402(asked))
            let token = try node.payment(2)
            let both = try await client.call(port, payment: token, headers: l402)
            #expect(both.status == 400)
            #expect(both.code == "several-payments")
            let x402 = try await client.call(port, headers: [("PAYMENT-SIGNATURE", "e30=")])
            #expect(x402.status == 400)
            #expect(x402.code == "method-unsupported")
            #expect(upstream.count == 0)
            #expect(try await client.call(port, payment: token).status == 200)
            #expect(try await client.call(port, headers: l402).status == 200)
        }
    }

    @Test("CHS-3, CALL-20: the upstream sees no credential, and an Authorization of another scheme goes on to it")
    func forwarded() async throws {
        try await withSeller(sellsOverLightning: true) { node, upstream, client, port in
            let asked = try await client.call(port)
            let both = [("Authorization", try node.payL402(asked)), ("Authorization", "Bearer upstream")]
            #expect(try await client.call(port, headers: both).status == 200)
            let other = try await client.call(port)
            let charge = [("Authorization", try node.payCharge(other)), ("authorization", "Basic dTpw")]
            #expect(try await client.call(port, headers: charge).status == 200)
            #expect(try await client.call(port, "/s/weather/free/a", headers: both).status == 200)
            let seen = upstream.seen.withLock { $0.map { $0.headers[values: .authorization] } }
            #expect(seen == [["Bearer upstream"], ["Basic dTpw"], ["Bearer upstream"]])
        }
    }
}
