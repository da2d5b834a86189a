import AsyncHTTPClient
import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Ethereum
import Foundation
import Gateway
import Hummingbird
import Lightning
import Paywall
import Receipts
import SignedDocuments
import Storage
import Synchronization
import Testing

@Suite("Selling over x402's exact")
struct X402SaleTests {
    @Test("XEX-1, XEX-3: one 402 for clients of both versions, with offers that can be checked, in fewer than 8 KB")
    func challenge() async throws {
        try await withTokenSeller(sellsOverLightning: true, accepts: [.x402Exact, .cashu, .l402, .paymentCashu]) {
            node,
            _,
            upstream,
            client,
            port in
            let answer = try await client.call(port, "/s/weather/today?q=1")
            #expect(answer.status == 402)
            let required = try answer.x402()
            #expect(required.resource?.url == "http://127.0.0.1:\(port)/s/weather/today?q=1")
            let way = try #require(required.accepts.first)
            #expect(required.accepts.count == 1)
            #expect(way.network == "eip155:84532")
            #expect(way.amount == UInt256(2080))
            #expect(try way.payTo == TestSale.payTo().description)
            #expect(way.extra?["name"] == "USDC")
            let older = try answer.olderX402()
            #expect(older.version == .v1)
            #expect(older.accepts.first?.network == "base-sepolia")
            #expect(older.accepts.first?.amount == UInt256(2080))
            #expect(older.accepts.first?.details?.resource == required.resource?.url)
            #expect(try answer.problem()["code"] == "payment-required")
            #expect(
                try answer.problem()["ways"]?.arrayValue?.compactMap(\.stringValue)
                    == ["cashu", "l402", "payment-cashu", "x402-exact"]
            )
            let bytes = answer.headers.reduce(0) { $0 + $1.name.utf8.count + $1.value.utf8.count + 4 }
            #expect(bytes < 8192)
            #expect(upstream.count == 0)
        }
        try await withTokenSeller { _, _, _, client, port in
            let required = try await client.call(port).x402()
            let extensions = try #require(required.extensions)
            #expect(extensions["payment-identifier"]?["info"]?["required"] == false)
            let declared = try #require(extensions["bazaar"]?.objectValue)
            #expect(try X402.Bazaar(json: declared).input == .query(method: "GET", parameters: nil))
            let signed = try #require(extensions["offer-receipt"]?["info"]?["offers"]?[0]?.objectValue)
            let artifact = try X402.OfferReceipt.Artifact(json: signed)
            let offer = try X402.OfferReceipt.Offer(json: artifact.payload())
            #expect(offer.matches(required.accepts[0]))
            #expect(offer.resourceURL == required.resource?.url)
            guard case .jws(let text) = artifact else {
                Issue.record("the offer is no JWS")
                return
            }
            try Self.requireSigned(text)
        }
    }

    /// Whether the node's identity signed a JWS.
    static func requireSigned(_ text: String) throws {
        let publicKey = try #require(identityKey).publicKey
        let jws = try JWS(compact: text)
        let did = DIDKey(publicKey).description
        let key = try JSONWebKey(
            json: [
                "kty": "OKP", "crv": "Ed25519", "x": .string(Base64URL.encode(publicKey.bytes)),
                "kid": .string(jws.keyID ?? ""),
            ]
        )
        #expect(jws.keyID?.hasPrefix(did + "#") == true)
        #expect(jws.isSigned(by: [key]))
    }

    @Test("XEX-2: a price is asked in the token's smallest unit, rounded up once; without a rate it is not sold")
    func amounts() throws {
        let asset = try X402.Asset(TestSale.text, chainID: TestSale.chainID)
        let rates = try PriceRates(["eur=11001"])
        #expect(try asset.amount(of: Price(amount: 3, unit: "usd"), rates: rates) == 30_000)
        #expect(try asset.amount(of: Price(amount: 7, unit: "sat"), rates: rates) == 7280)
        // 11001 msat at 1040 for 1000: 11441.04.
        #expect(try asset.amount(of: Price(amount: 1, unit: "eur"), rates: rates) == 11_442)
        #expect(try asset.amount(of: Price(amount: 1, unit: "msat"), rates: rates) == 2)
        #expect(throws: PriceError.self) { try asset.amount(of: Price(amount: 1, unit: "xau"), rates: rates) }
        #expect(throws: PriceError.self) {
            try asset.amount(of: Price(amount: Price.maximumAmount, unit: "usd"), rates: rates)
        }
        for text in [
            "usdc", "USDC:0x036CbD53842c5426634e7929541eC2318f3dCF7e:USDC:2:usd=1",
            "usdc:0x036CbD53842c5426634e7929541eC2318f3dCF7E:USDC:2:usd=1",
            "usdc:0x036CbD53842c5426634e7929541eC2318f3dCF7e:USDC:2",
            "usdc:0x036CbD53842c5426634e7929541eC2318f3dCF7e:USDC:2:usd=0",
            "usdc:0x036CbD53842c5426634e7929541eC2318f3dCF7e:USDC:2:usd=1:usd=2",
            "usdc:0x036CbD53842c5426634e7929541eC2318f3dCF7e::2:usd=1",
        ] { #expect(throws: PriceError.self) { try X402.Asset(text, chainID: TestSale.chainID) } }
    }

    @Test(
        "XEX-6, XEX-7: a payment is settled, then the call is made; the answer tells of both; again it is the same answer"
    )
    func paid() async throws {
        try await withTokenSeller { node, facilitator, upstream, client, port in
            let payer = try TestPayer()
            let required = try await client.call(port).x402()
            var payment = try payer.payment(required, now: node.clock.now)
            payment.extensions = required.extensions
            let answer = try await client.call(port, headers: payment.field())
            #expect(answer.status == 200)
            #expect(answer.text == "answer 1")
            let settlement = try answer.settlement()
            #expect(settlement.success)
            #expect(settlement.payer == payer.key.address.description)
            #expect(settlement.network == "eip155:84532")
            #expect(settlement.amount == "2080")
            #expect(facilitator.movedCount == 1)
            let receipt = try #require(answer.receipt)
            #expect(receipt.verdict().isValid)
            #expect(receipt.claims.dialect == "x402-exact")
            #expect(receipt.claims.amount == 2080)
            #expect(receipt.claims.unit == "usdc")
            #expect(try receipt.claims.paymentDigest == PaymentDigest(x402: payment).bytes)
            // Who asks for it gets the protocol's own signed receipt too.
            let signed = try #require(settlement.extensions?["offer-receipt"]?["info"]?["receipt"]?.objectValue)
            let artifact = try X402.OfferReceipt.Artifact(json: signed)
            let told = try X402.OfferReceipt.Receipt(json: artifact.payload())
            #expect(told.transaction == settlement.transaction)
            #expect(told.resourceURL == required.resource?.url)
            if case .jws(let text) = artifact { try Self.requireSigned(text) }

            let again = try await client.call(port, headers: payment.field())
            #expect(again.text == "answer 1")
            #expect(again.header("Idempotent-Replayed") == "true")
            #expect(try again.settlement().transaction == settlement.transaction)
            // Even when its time is long over.
            node.clock.advance(seconds: 3600)
            #expect(try await client.call(port, headers: payment.field()).text == "answer 1")
            #expect(upstream.count == 1)
            #expect(facilitator.askedCount == 1)
            #expect(
                upstream.seen.withLock { $0[0].headers.contains { $0.name.canonicalName.contains("payment") } } == false
            )
        }
    }

    @Test("XEX-6, XEX-7: version 1 in X-PAYMENT, and its answer in X-PAYMENT-RESPONSE")
    func older() async throws {
        try await withTokenSeller { node, facilitator, upstream, client, port in
            let required = try await client.call(port).olderX402()
            let payment = try TestPayer().payment(required, now: node.clock.now)
            let answer = try await client.call(port, headers: payment.field())
            #expect(answer.status == 200)
            #expect(try answer.settlement("X-PAYMENT-RESPONSE").success)
            #expect(answer.header("PAYMENT-RESPONSE") == nil)
            #expect(facilitator.movedCount == 1)
        }
    }

    @Test("XEX-7: a long answer is streamed, with the settlement in its head and the receipt behind it")
    func streamed() async throws {
        try await withTokenSeller { node, facilitator, _, client, port in
            let payment = try TestPayer().payment(
                try await client.call(port, "/s/weather/big").x402(),
                now: node.clock.now
            )
            let answer = try await client.call(port, "/s/weather/big", headers: payment.field())
            #expect(answer.body.count == 200_000)
            #expect(try answer.settlement().success)
            #expect(facilitator.movedCount == 1)
            let again = try await client.call(port, "/s/weather/big", headers: payment.field())
            #expect(again.body == answer.body)
            #expect(try again.settlement().transaction == answer.settlement().transaction)
        }
    }

    @Test("XEX-4: one payment sent 64 times at once buys one call", arguments: [nil, 1_000_000] as [UInt64?])
    func together(cap: UInt64?) async throws {
        try await withTokenSeller(cap: cap) { node, facilitator, upstream, client, port in
            facilitator.become(.isSlow(30))
            let payment = try TestPayer().payment(try await client.call(port).x402(), now: node.clock.now)
            let field = try payment.field()
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<64 { group.addTask { try await client.call(port, headers: field).status } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(upstream.count == 1)
            #expect(statuses.contains(200))
            #expect(Set(statuses).isSubset(of: [200, 409, 503]))
            #expect(facilitator.movedCount <= 1)
            #expect(try await client.call(port, headers: field).text == "answer 1")
        }
    }

    @Test("XEX-10: a payment identifier names one payment")
    func identifier() async throws {
        try await withTokenSeller(accepts: [.x402Exact, .x402Cashu]) { node, facilitator, upstream, client, port in
            let payer = try TestPayer()
            let required = try await client.call(port).x402()
            let name = "pay_7d5d747be160e280504c099d984bcfe0"
            let first = try payer.payment(required, now: node.clock.now) { $0.identifier = name }
            #expect(try await client.call(port, headers: first.field()).status == 200)
            #expect(try await client.call(port, headers: first.field()).text == "answer 1")
            let second = try payer.payment(required, now: node.clock.now) { $0.identifier = name }
            let refused = try await client.call(port, headers: second.field())
            #expect(refused.status == 409)
            #expect(refused.code == "payment-identifier-reused")
            #expect(refused.header("PAYMENT-REQUIRED") == nil)
            for bad in ["short", "with a space in it", String(repeating: "a", count: 129)] {
                let payment = try payer.payment(required, now: node.clock.now) { $0.identifier = bad }
                #expect(try await client.call(port, headers: payment.field()).status == 400)
            }
            // The same name before another way of paying.
            let way = try #require(required.accepts.first { $0.scheme == "cashu" })
            let token = try X402.CashuScheme.payment(
                Token(node.payment(2)),
                accepted: way,
                resource: required.resource,
                extensions: X402.PaymentIdentifier.adding(name, to: required.extensions)
            )
            #expect(try await client.call(port, headers: token.field()).status == 409)
            #expect(upstream.count == 1)
            #expect(facilitator.movedCount == 1)
        }
    }
}

@Suite("What a catalogue of x402 tells")
struct X402CatalogueTests {
    @Test(
        "XEX-11: every priced path of what is sold over x402, with its ways to pay and examples; nothing that is free or sold otherwise"
    )
    func catalogue() async throws {
        try await withTokenSeller(
            accepts: [.x402Exact, .x402Cashu],
            service: {
                $0.summary = "The weather"
                $0.discovery = ServiceDiscovery(
                    query: ["city": "Bern"],
                    output: ["type": "json"],
                    mimeType: "application/json"
                )
            }
        ) { node, _, _, client, port in
            try await node.sell("plain", upstream: 9) { $0.accepts = [.cashu] }
            try await node.sell("secret", upstream: 9) {
                $0.accepts = [.x402Exact]
                $0.listing = ServiceListing()
                $0.listing?.isListed = false
            }
            let found = await (try node.gateway).x402Catalogue()
            let item = try #require(found.first)
            #expect(found.count == 1)
            #expect(item.resource.hasSuffix("/s/weather/*"))
            #expect(item.accepts.map(\.scheme) == ["exact", "cashu"])
            #expect(item.accepts[0].amount == UInt256(2080))
            #expect(item.metadata?["description"] == "The weather")
            #expect(item.metadata?["input"]?["queryParams"]?["city"] == "Bern")
            let required = try await client.call(port).x402()
            #expect(required.resource?.description == "The weather")
            #expect(required.extensions?["bazaar"]?["info"]?["output"]?["type"] == "json")
            #expect(try await client.call(port).olderX402().accepts[0].details?.mimeType == "application/json")
        }
    }
}

@Suite("Our own schemes over x402")
struct X402OwnSchemesTests {
    @Test(
        "XCASH-4, XCASH-7: ecash in PAYMENT-SIGNATURE is the claim that it is in X-Cashu: taken once, whichever way it comes"
    )
    func cashu() async throws {
        try await withTokenSeller(accepts: [.x402Cashu, .cashu]) { node, facilitator, upstream, client, port in
            let required = try await client.call(port).x402()
            #expect(try await client.call(port).problem()["x402Version"] == nil)
            let way = try #require(required.accepts.first)
            #expect(way.scheme == "cashu")
            let text = try node.payment(2)
            let payment = try X402.CashuScheme.payment(Token(text), accepted: way, resource: required.resource)
            let answer = try await client.call(port, headers: payment.field())
            #expect(answer.status == 200)
            let settlement = try answer.settlement()
            #expect(settlement.success)
            #expect(settlement.transaction.count == 64)
            #expect(answer.receipt?.claims.dialect == "x402-cashu")
            #expect(answer.receipt.map { Hex.encode($0.claims.paymentDigest) } == settlement.transaction)
            #expect(try await client.call(port, headers: payment.field()).text == "answer 1")
            #expect(try await client.call(port, "/s/weather/b", payment: text).code == "payment-reused")
            // Less, more, and another's terms.
            for amount in [UInt64(1), 4] {
                let token = try Token(node.payment(amount))
                let other = X402.CashuScheme.payment(token, accepted: way, resource: required.resource)
                let refused = try await client.call(port, headers: other.field())
                #expect(refused.status == 402)
                #expect(try refused.settlement().errorReason == "invalid_cashu_payload_value_mismatch")
            }
            var cheap = way
            cheap.amount = UInt256(1)
            let forged = try X402.CashuScheme.payment(Token(node.payment(1)), accepted: cheap)
            #expect(try await client.call(port, headers: forged.field()).status == 402)
            let elsewhere = try X402.CashuScheme.payment(
                Token(node.payment(2)),
                accepted: way,
                resource: X402.Resource(url: "http://127.0.0.1:\(port)/s/weather/b")
            )
            #expect(try await client.call(port, headers: elsewhere.field()).status == 402)
            #expect(upstream.count == 1)
        }
    }

    @Test("XLIGHT-6, XLIGHT-7: a preimage in PAYMENT-SIGNATURE buys the resource that its invoice is tied to, once")
    func lightning() async throws {
        try await withTokenSeller(sellsOverLightning: true, accepts: [.x402Lightning]) {
            node,
            _,
            upstream,
            client,
            port in
            let required = try await client.call(port).x402()
            let resource = try #require(required.resource)
            let way = try #require(required.accepts.first)
            let invoice = try X402.LightningScheme.invoice(of: way, resource: resource, network: .simulated)
            // The same invoice again while it is good.
            #expect(try await client.call(port).x402().accepts.first == way)
            let preimage = try LightningPreimage(#require(node.lightning).pay(invoice))
            let payment = X402.LightningScheme.payment(preimage: preimage, accepted: way, resource: resource)
            let url = "http://127.0.0.1:\(port)/s/weather/other"
            var elsewhere = payment
            elsewhere.resource = X402.Resource(url: url, serviceName: "weather")
            #expect(try await client.call(port, "/s/weather/other", headers: elsewhere.field()).status == 402)
            var unsaid = payment
            unsaid.resource = nil
            #expect(try await client.call(port, "/s/weather/other", headers: unsaid.field()).status == 402)
            var wrong = payment
            wrong.payload["preimage"] = .string(String(repeating: "00", count: 32))
            #expect(try await client.call(port, headers: wrong.field()).status == 402)
            #expect(upstream.count == 0)
            let field = try payment.field()
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<64 { group.addTask { try await client.call(port, headers: field).status } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(statuses.contains(200))
            #expect(upstream.count == 1)
            let again = try await client.call(port, headers: field)
            #expect(again.text == "answer 1")
            #expect(try again.settlement().transaction == Hex.encode(invoice.paymentHash))
            #expect(again.receipt?.claims.dialect == "x402-lightning")
            #expect(try await client.call(port).x402().accepts.first != way)
            // A preimage that nobody paid for, of an invoice that was sold for something else, is none.
            #expect(try await client.call(port, "/s/weather/b", headers: field).status == 402)
        }
    }

    @Test("XLIGHT-7: the service fails: the preimage is good for the call once more")
    func lightningRestored() async throws {
        try await withTokenSeller(sellsOverLightning: true, accepts: [.x402Lightning]) {
            node,
            _,
            upstream,
            client,
            port in
            let required = try await client.call(port, "/s/weather/fail").x402()
            let way = try #require(required.accepts.first)
            let resource = try #require(required.resource)
            let invoice = try X402.LightningScheme.invoice(of: way, resource: resource, network: .simulated)
            let preimage = try LightningPreimage(#require(node.lightning).pay(invoice))
            let payment = X402.LightningScheme.payment(preimage: preimage, accepted: way, resource: resource)
            for round in 1...2 {
                let answer = try await client.call(port, "/s/weather/fail", headers: payment.field())
                #expect(answer.status == 502)
                #expect(try answer.problem()["refund"]?["form"] == "call-restored")
                #expect(upstream.count == round)
            }
        }
    }
}
