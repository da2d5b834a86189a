import CanonicalJSON
import Cashu
import Encodings
import Paywall
import Testing

@Suite("Payment scheme: ecash")
struct CashuChargeTests {
    private func creq(amount: UInt64 = 3) throws -> String {
        try NUT24.challenge(
            id: "c-1",
            amount: amount,
            unit: .sat,
            mints: [MintURL("https://mint.example")],
            service: "weather",
            sellerKey: sellerKey()
        )
    }

    @Test("PMC-1, PMC-2, PMC-3: the request is the NUT-24 challenge with its amount and unit beside it")
    func request() throws {
        let shop = try Shop()
        let text = try creq()
        let request = try CashuCharge.request(paymentRequest: text)
        #expect(
            JSONValue.object(request)
                == ["amount": "3", "currency": "sat", "methodDetails": ["paymentRequest": .string(text)]]
        )
        let challenge = try shop.challenge("charge", method: "cashu", request: request)
        #expect(try CashuCharge.paymentRequest(of: challenge) == NUT24.parseChallenge(text))
        for (name, value) in [("amount", "4"), ("currency", "usd")] {
            var changed = request
            changed[name] = .string(value)
            let other = try shop.challenge("charge", method: "cashu", request: changed)
            #expect(refusalCode { _ = try CashuCharge.paymentRequest(of: other) } == .paymentMalformed)
        }
        let lightning = try shop.challenge("charge", request: request)
        #expect(refusalCode { _ = try CashuCharge.paymentRequest(of: lightning) } == .paymentMalformed)
        #expect(refusalCode { _ = try CashuCharge.request(paymentRequest: "lnbc1") } == .paymentMalformed)
    }

    @Test("PMC-4, PMC-5: the token is read where the challenge is ours, for this call and in time")
    func token() throws {
        let shop = try Shop()
        let mint = try TestMint()
        let token = try mint.token([mint.locked(2, to: sellerKey())])
        let challenge = try shop.challenge(
            "charge",
            method: "cashu",
            request: CashuCharge.request(paymentRequest: creq())
        )
        let credential = PaymentCredential(challenge: challenge, payload: CashuCharge.payload(token: token))
        let sent = try #require(try PaymentCredential.read(authorization: [credential.header()]))
        #expect(try CashuCharge.token(sent, context: shop.context()) == token)
        let elsewhere = PaymentScope(service: "weather", method: "POST", target: "/dear")
        #expect(
            refusalCode { _ = try CashuCharge.token(sent, context: shop.context(scope: elsewhere)) }
                == .challengeUnknown
        )
        #expect(
            refusalCode {
                _ = try CashuCharge.token(sent, context: shop.context(after: 60 + PaymentContext.graceSeconds))
            }
                == .credentialExpired
        )
        let bad: [(JSONObject, CallRefusal.Code)] = [
            ([:], .credentialMalformed), (["token": 1], .credentialMalformed),
            (["token": "cashuB"], .paymentMalformed), (["token": ""], .paymentMalformed),
        ]
        for (payload, expected) in bad {
            let credential = PaymentCredential(challenge: challenge, payload: payload)
            #expect(refusalCode { _ = try CashuCharge.token(credential, context: shop.context()) } == expected)
        }
        let lightning = PaymentCredential(
            challenge: try shop.challenge("charge", request: LightningCharge.request(invoice: shop.invoice())),
            payload: CashuCharge.payload(token: token)
        )
        #expect(refusalCode { _ = try CashuCharge.token(lightning, context: shop.context()) } == .methodUnsupported)
    }

    @Test("PMC-6: a receipt names the payment digest, never the token")
    func receipt() throws {
        let mint = try TestMint()
        let token = try mint.token([mint.locked(2, to: sellerKey())])
        let digest = try OfflineAcceptance.identity(of: token).digest
        let receipt = PaymentReceipt(method: CashuCharge.method, reference: "\(digest)", timestamp: Shop.now)
        #expect(try PaymentReceipt(header: receipt.header())?.reference == Hex.encode(digest.bytes))
    }
}
