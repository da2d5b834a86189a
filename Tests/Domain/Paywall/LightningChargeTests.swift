import CanonicalJSON
import Cryptography
import Encodings
import Lightning
import Paywall
import Testing

@Suite("Payment scheme: a Lightning charge")
struct LightningChargeTests {
    private func credential(_ shop: Shop, digest: String? = nil, preimage: String? = nil) throws -> PaymentCredential {
        PaymentCredential(
            challenge: try shop.challenge(
                "charge",
                request: LightningCharge.request(invoice: shop.invoice(), text: "weather"),
                digest: digest
            ),
            payload: ["preimage": .string(preimage ?? Hex.encode(shop.preimage))]
        )
    }

    @Test("PAY-7: the request is the invoice's, and the preimage proves it")
    func charge() throws {
        let shop = try Shop()
        let credential = try credential(shop)
        let object = try #require(credential.challenge.requestObject)
        #expect(try object.string("amount") == "100")
        #expect(try object.string("currency") == "sat")
        #expect(try object.object("methodDetails").string("network") == "regtest")
        #expect(try LightningCharge.invoice(of: credential.challenge) == shop.invoice())
        let accepted = try LightningCharge.judge(credential, context: shop.context())
        #expect(accepted.paymentHash == Hashing.sha256(shop.preimage))
        #expect(accepted.amountSats == 100)
        #expect(accepted.challengeID == credential.challenge.id)
    }

    @Test("PAY-4: a challenge is for one realm, service, method, target and body")
    func scope() throws {
        let shop = try Shop()
        let plain = try credential(shop)
        let scopes = [
            PaymentScope(service: "maps", method: "POST", target: "/today?x=1"),
            PaymentScope(service: "weather", method: "GET", target: "/today?x=1"),
            PaymentScope(service: "weather", method: "POST", target: "/today?x=2"),
            PaymentScope(service: "weather", method: "POST/", target: "today?x=1"),
        ]
        for scope in scopes {
            #expect(
                refusalCode { _ = try LightningCharge.judge(plain, context: shop.context(scope: scope)) }
                    == .challengeUnknown
            )
        }
        #expect(
            refusalCode { _ = try LightningCharge.judge(plain, context: shop.context(realm: "other")) }
                == .challengeUnknown
        )
        let body = Array("{}".utf8)
        let bound = try credential(shop, digest: PaymentContext.digestField(Hashing.sha256(body)))
        #expect(refusalCode { _ = try LightningCharge.judge(bound, context: shop.context(body: body)) } == nil)
        #expect(
            refusalCode { _ = try LightningCharge.judge(bound, context: shop.context(body: [1])) } == .challengeUnknown
        )
        #expect(refusalCode { _ = try LightningCharge.judge(bound, context: shop.context()) } == .challengeUnknown)
    }

    @Test("PAY-4: where the price depends on more than the call, a challenge for less is not enough")
    func minimum() throws {
        let shop = try Shop()
        let credential = try credential(shop)
        var context = shop.context()
        context.minimumMsat = 100_000
        #expect(try LightningCharge.judge(credential, context: context).amountSats == 100)
        context.minimumMsat = 100_001
        #expect(refusalCode { _ = try LightningCharge.judge(credential, context: context) } == .credentialInsufficient)
    }

    @Test("PAY-5, PAY-7: a wrong preimage, a late or a foreign credential is refused with its reason")
    func refused() throws {
        let shop = try Shop()
        let other = Hex.encode([UInt8](repeating: 6, count: 32))
        #expect(
            refusalCode { _ = try LightningCharge.judge(credential(shop, preimage: other), context: shop.context()) }
                == .credentialInvalid
        )
        for bad in ["", "00", Hex.encode(shop.preimage).uppercased().replacing("0", with: "A"), other + "00"] {
            #expect(
                refusalCode { _ = try LightningCharge.judge(credential(shop, preimage: bad), context: shop.context()) }
                    == .credentialMalformed
            )
        }
        let good = try credential(shop)
        let grace = PaymentContext.graceSeconds
        #expect(refusalCode { _ = try LightningCharge.judge(good, context: shop.context(after: 59 + grace)) } == nil)
        #expect(
            refusalCode { _ = try LightningCharge.judge(good, context: shop.context(after: 60 + grace)) }
                == .credentialExpired
        )
        let session = PaymentCredential(
            challenge: try shop.challenge("session", request: [:]),
            payload: good.payload
        )
        #expect(refusalCode { _ = try LightningCharge.judge(session, context: shop.context()) } == .methodUnsupported)
        let empty = PaymentCredential(challenge: try shop.challenge("charge", request: [:]), payload: good.payload)
        #expect(refusalCode { _ = try LightningCharge.judge(empty, context: shop.context()) } == .challengeUnknown)
    }

    @Test(
        "PAY-7: an invoice without whole sat, or of an unnamed network, makes no challenge; one that disagrees is not paid"
    )
    func badRequests() throws {
        let shop = try Shop()
        for invoice in [
            try shop.invoice(msat: nil), try shop.invoice(msat: 1500), try shop.invoice(currency: .testnet),
        ] {
            #expect(throws: PaymentChallengeError.self) { try LightningCharge.request(invoice: invoice) }
        }
        let good = try LightningCharge.request(invoice: shop.invoice())
        var changes: [JSONObject] = []
        for (name, value) in [("amount", "99"), ("currency", "usd")] {
            var changed = good
            changed[name] = .string(value)
            changes.append(changed)
        }
        for (name, value) in [("paymentHash", "00"), ("network", "mainnet"), ("network", nil), ("invoice", "lnbc1")] {
            var changed = good
            var details = try good.object("methodDetails")
            details[name] = value.map { .string($0) }
            changed["methodDetails"] = .object(details)
            changes.append(changed)
        }
        for request in changes {
            let challenge = try shop.challenge("charge", request: request)
            #expect(throws: PaymentChallengeError.self) { try LightningCharge.invoice(of: challenge) }
        }
    }
}
