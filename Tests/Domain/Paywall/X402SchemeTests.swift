import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Ethereum
import Lightning
import Paywall
import TestSupport
import Testing

@Suite("x402: ecash and Lightning on the same wire")
struct X402SchemeTests {
    typealias Cashu = X402.CashuScheme
    typealias Upfront = X402.LightningScheme

    private func requirements(_ mint: TestMint, amount: UInt64 = 3) throws -> X402.Requirements {
        Cashu.requirements(
            amount: amount,
            unit: .sat,
            mint: mint.url,
            sellerKey: try sellerKey(),
            maxTimeoutSeconds: 60
        )
    }

    @Test("XCASH-1, XCASH-2, XCASH-3: a mint is a network, the unit an asset, the seller's key the payee")
    func cashuTerms() throws {
        let mint = try TestMint()
        let asked = try requirements(mint)
        #expect(asked.network == "cashu:" + Hex.encode(Hashing.sha256(Array("http://127.0.0.1:3338".utf8)).prefix(16)))
        let read = try Cashu.terms(of: X402.Requirements(json: asked.json(.v2), version: .v2))
        #expect(read == Cashu.Terms(mint: mint.url, unit: .sat, amount: 3, sellerKey: try sellerKey()))
        func code(_ change: (inout X402.Requirements) -> Void) -> X402Refusal.Code? {
            var changed = asked
            change(&changed)
            return x402Code { _ = try Cashu.terms(of: changed) }
        }
        #expect(code { $0.scheme = "exact" } == .unsupportedScheme)
        #expect(code { $0.extra?["mint"] = "https://other.example" } == .invalidRequirements)
        #expect(code { $0.network = "cashu:00" } == .invalidRequirements)
        #expect(code { $0.asset = "s a t" } == .invalidRequirements)
        #expect(code { $0.payTo = "02" } == .invalidRequirements)
        #expect(code { $0.extra?["lock"] = "HTLC" } == .invalidRequirements)
        #expect(code { $0.amount = .zero } == .invalidRequirements)
        #expect(code { $0.amount = .max } == .invalidRequirements)
        #expect(code { $0.extra = nil } == .invalidRequirements)
    }

    @Test("XCASH-4, XCASH-5, XCASH-6: one token of that mint and unit, worth exactly the amount")
    func cashuPayments() throws {
        let mint = try TestMint()
        let asked = try requirements(mint)
        let key = try sellerKey()
        let token = try mint.token([mint.locked(2, to: key), mint.locked(1, to: key)])
        let payment = Cashu.payment(token, accepted: asked)
        let wire = try X402.PaymentPayload.payment(headerValues: [X402.header(payment.json)])
        let received = try #require(wire)
        #expect(try Cashu.token(of: received, against: asked) == token)
        func code(_ token: Token, against: X402.Requirements? = nil) -> X402Refusal.Code? {
            let asked = against ?? asked
            return x402Code { _ = try Cashu.token(of: Cashu.payment(token, accepted: asked), against: asked) }
        }
        #expect(try code(mint.token([mint.locked(2, to: key)])) == .tokenValueMismatch)
        #expect(try code(mint.token([mint.locked(4, to: key)])) == .tokenValueMismatch)
        #expect(try code(mint.token([mint.locked(2, to: key)], mint: MintURL("https://b.example"))) == .mintMismatch)
        #expect(try code(mint.token([mint.locked(2, to: key)], unit: .usd)) == .unitMismatch)
        for text: JSONValue in ["", "cashuB", "lnbc1", 7, .string("cashuA" + String(repeating: "A", count: 40_000))] {
            var changed = payment
            changed.payload["token"] = text
            #expect(x402Code { _ = try Cashu.token(of: changed, against: asked) } == .invalidToken)
        }
        let dearer = try requirements(mint, amount: 4)
        #expect(x402Code { _ = try Cashu.token(of: payment, against: dearer) } == .invalidRequirements)
        let elsewhere = try requirements(TestMint("http://127.0.0.1:4444"))
        #expect(x402Code { _ = try Cashu.token(of: payment, against: elsewhere) } == .networkMismatch)
    }

    @Test("XCASH-7: the settlement names the payment without spending it")
    func cashuSettlement() throws {
        let mint = try TestMint()
        let token = try mint.token([mint.locked(2, to: sellerKey())])
        let digest = try OfflineAcceptance.identity(of: token).digest
        let settled = Cashu.settled(try requirements(mint), digest: digest)
        #expect(settled.transaction == digest.description)
        #expect(settled.payer == nil)
        #expect(try X402.SettleResponse(json: settled.json) == settled)
    }

    private let resource = X402.Resource(url: "https://api.example.com/weather", mimeType: "application/json")
    private let preimage = LightningPreimage([UInt8](repeating: 9, count: 32))

    private func terms(_ amountMsat: UInt64 = 21_000) throws -> X402.Requirements {
        Upfront.terms(
            amountMsat: amountMsat,
            network: .simulated,
            payee: try sellerKey(),
            maxTimeoutSeconds: 60
        )
    }

    private func invoice(
        _ purpose: InvoicePurpose,
        amountMsat: UInt64 = 21_000,
        currency: InvoiceCurrency = .regtest,
        secret: [UInt8] = sellerSecret
    ) throws -> BOLT11Invoice {
        try BOLT11Invoice.sign(
            InvoiceContents(
                currency: currency,
                amountMsat: amountMsat,
                timestamp: testNow,
                paymentHash: preimage.paymentHash,
                paymentSecret: [UInt8](repeating: 8, count: 32),
                purpose: purpose,
                expirySeconds: 600
            ),
            key: Secp256k1.Scalar(bytes: secret)
        )
    }

    private func offered() throws -> X402.Requirements {
        let terms = try terms()
        let digest = try Upfront.requirementsHash(terms, resource: resource)
        let invoice = try invoice(.text(Upfront.invoiceDescription("weather", requirementsHash: digest)))
        return try Upfront.offer(terms, invoice: invoice, resource: resource, network: .simulated)
    }

    @Test("XLIGHT-1, XLIGHT-2: the network is that of the money, and test money is no chain's")
    func lightningNetworks() throws {
        let names = LightningNetwork.allCases.map(Upfront.network)
        #expect(Set(names).count == names.count)
        #expect(names.allSatisfy(X402.Network.isCAIP2))
        #expect(Upfront.network(.mainnet) == "bip122:000000000019d6689c085ae165831e93")
        #expect(Upfront.network(.simulated) == "mintmark:simulated")
        let terms = try terms()
        #expect(terms.amount == UInt256(21_000))
        #expect(terms.asset == "BTC")
        #expect(terms.payTo == Hex.encode(try sellerKey()))
    }

    @Test("XLIGHT-3, XLIGHT-4: the invoice is tied to terms and resource, by hash or by the end of its text")
    func lightningBinding() throws {
        let terms = try terms()
        let digest = try Upfront.requirementsHash(terms, resource: resource)
        #expect(try Upfront.requirementsHash(offered(), resource: resource) == digest)
        for purpose in [InvoicePurpose.hash(digest), .text("TEST MONEY tea x402:\(Hex.encode(digest))")] {
            let offer = try Upfront.offer(terms, invoice: invoice(purpose), resource: resource, network: .simulated)
            #expect(try Upfront.invoice(of: offer, resource: resource, network: .simulated).contents.purpose == purpose)
        }
        let loose: [InvoicePurpose] = [
            .text("tea"), .hash(Hashing.sha256([1])), .text("x402:\(Hex.encode(digest)) and more"),
            .text("ax402:\(Hex.encode(digest))"), .text(" x402:\(Hex.encode(digest).uppercased())"),
        ]
        for purpose in loose {
            #expect(
                x402Code {
                    _ = try Upfront.offer(terms, invoice: invoice(purpose), resource: resource, network: .simulated)
                } == .invalidInvoice
            )
        }
        var other = resource
        other.url += "/all"
        #expect(
            x402Code { _ = try Upfront.invoice(of: offered(), resource: other, network: .simulated) } == .invalidInvoice
        )
    }

    @Test("XLIGHT-5: a buyer finds every difference between the invoice and the terms before it pays")
    func lightningTerms() throws {
        let offer = try offered()
        func code(_ change: (inout X402.Requirements) throws -> Void) rethrows -> X402Refusal.Code? {
            var changed = offer
            try change(&changed)
            return x402Code { _ = try Upfront.invoice(of: changed, resource: resource, network: .simulated) }
        }
        #expect(code { _ in } == nil)
        #expect(code { $0.scheme = "exact" } == .unsupportedScheme)
        #expect(code { $0.asset = "USD" } == .unsupportedScheme)
        #expect(code { $0.network = Upfront.network(.mainnet) } == .networkMismatch)
        #expect(code { $0.amount = UInt256(20_000) } == .invalidInvoice)
        #expect(code { $0.payTo = "02" } == .invalidInvoice)
        #expect(code { $0.extra?["invoice"] = "lnbcrt1" } == .invalidInvoice)
        #expect(code { $0.extra?["paymentHash"] = "00" } == .invalidInvoice)
        #expect(code { $0.extra?["invoiceExpiry"] = 1 } == .invalidInvoice)
        #expect(code { $0.extra?["requirementsHash"] = "00" } == .invalidInvoice)
        #expect(code { $0.extra?["denomination"] = "sat" } == .invalidInvoice)
        let terms = try terms()
        let tied = InvoicePurpose.hash(try Upfront.requirementsHash(terms, resource: resource))
        let foreign = [UInt8](repeating: 5, count: 32)
        for invoice in try [
            invoice(tied, amountMsat: 22_000), invoice(tied, currency: .bitcoin), invoice(tied, secret: foreign),
        ] {
            #expect(
                x402Code { _ = try Upfront.offer(terms, invoice: invoice, resource: resource, network: .simulated) }
                    == .invalidInvoice
            )
        }
    }

    @Test("XLIGHT-6, XLIGHT-7, XLIGHT-8: the preimage proves the payment, until a while after the invoice expired")
    func lightningPayments() throws {
        let offer = try offered()
        let payment = Upfront.payment(preimage: preimage, accepted: offer, resource: resource)
        let wire = try #require(try X402.PaymentPayload.payment(headerValues: [X402.header(payment.json)]))
        func check(_ payment: X402.PaymentPayload, after seconds: Int64 = 0) throws -> [UInt8] {
            try Upfront.check(
                payment,
                against: offer,
                resource: resource,
                network: .simulated,
                now: testNow.adding(seconds: seconds)
            )
        }
        let hash = try check(wire)
        #expect(hash == preimage.paymentHash)
        #expect(try check(wire, after: 659) == hash)
        #expect(x402Code { _ = try check(wire, after: 660) } == .invoiceExpired)
        let wrong = Upfront.payment(preimage: LightningPreimage([1]), accepted: offer, resource: resource)
        #expect(x402Code { _ = try check(wrong) } == .invalidPreimage)
        for value: JSONValue in ["", "zz", 1, .string(String(repeating: "09", count: 33))] {
            var changed = payment
            changed.payload["preimage"] = value
            #expect(x402Code { _ = try check(changed) } == .invalidPreimage)
        }
        var forged = payment
        forged.payload["preimage"] = .string(String(repeating: "08", count: 32))
        #expect(x402Code { _ = try check(forged) } == .invalidPreimage)
        var hashless = payment
        hashless.payload["paymentHash"] = nil
        #expect(x402Code { _ = try check(hashless) } == .invalidPreimage)
        var other = payment
        other.accepted?.amount = UInt256(1)
        #expect(x402Code { _ = try check(other) } == .invalidRequirements)
        let settled = Upfront.settled(offer, paymentHash: hash)
        #expect(settled.transaction == Hex.encode(hash))
        #expect(settled.payer == nil)
        #expect(try X402.SettleResponse(json: settled.json) == settled)
    }
}
