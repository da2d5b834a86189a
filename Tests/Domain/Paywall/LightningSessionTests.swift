import CanonicalJSON
import Cryptography
import Encodings
import Lightning
import Paywall
import Testing

@Suite("Payment scheme: a Lightning session")
struct LightningSessionTests {
    private func credential(
        _ shop: Shop,
        _ payload: JSONObject,
        deposit: [UInt8]? = nil,
        scope: PaymentScope? = nil
    ) throws -> PaymentCredential {
        PaymentCredential(
            challenge: try shop.challenge(
                "session",
                request: LightningSessionWire.request(
                    unitSats: 3,
                    unitName: "request",
                    deposit: shop.invoice(preimage: deposit),
                    idleSeconds: 300
                ),
                scope: scope
            ),
            payload: payload
        )
    }

    private func judge(_ shop: Shop, _ payload: JSONObject, after seconds: Int64 = 0) throws -> LightningSessionDemand {
        try LightningSessionWire.judge(credential(shop, payload), context: shop.context(after: seconds))
    }

    @Test("PAY-8: open, top-up, bearer and close are read and proven")
    func actions() throws {
        let shop = try Shop()
        let hash = Hashing.sha256(shop.preimage)
        let preimage = JSONValue.string(Hex.encode(shop.preimage))
        let id = JSONValue.string(Hex.encode(hash))
        let back = try shop.invoice(msat: nil, preimage: [UInt8](repeating: 7, count: 32))
        guard
            case .open(let deposit, let returnInvoice) = try judge(
                shop,
                ["action": "open", "preimage": preimage, "returnInvoice": .string(back.text), "unknown": 1]
            )
        else {
            Issue.record("no open")
            return
        }
        #expect(deposit.paymentHash == hash && deposit.amountSats == 100)
        #expect(returnInvoice == back.text)
        #expect(
            try judge(shop, ["action": "bearer", "sessionId": id, "preimage": preimage]) == .bearer(session: hash)
        )
        #expect(try judge(shop, ["action": "close", "sessionId": id, "preimage": preimage]) == .close(session: hash))
        let second = [UInt8](repeating: 6, count: 32)
        let topUp = try LightningSessionWire.judge(
            credential(
                shop,
                ["action": "topUp", "sessionId": id, "topUpPreimage": .string(Hex.encode(second))],
                deposit: second
            ),
            context: shop.context()
        )
        guard case .topUp(hash, let added) = topUp else {
            Issue.record("no top-up")
            return
        }
        #expect(added.paymentHash == Hashing.sha256(second) && added.amountSats == 100)
        // The challenge a bearer shows may be old: it pays nothing.
        #expect(
            try judge(shop, ["action": "bearer", "sessionId": id, "preimage": preimage], after: 1_000_000)
                == .bearer(session: hash)
        )
    }

    @Test("PAY-8: what is not proven, late, for another service or without a usable return invoice is refused")
    func refused() throws {
        let shop = try Shop()
        let preimage = JSONValue.string(Hex.encode(shop.preimage))
        let wrong = JSONValue.string(Hex.encode([UInt8](repeating: 6, count: 32)))
        let id = JSONValue.string(Hex.encode(Hashing.sha256(shop.preimage)))
        let back = JSONValue.string(try shop.invoice(msat: nil).text)
        let open: JSONObject = ["action": "open", "preimage": preimage, "returnInvoice": back]
        func changed(_ name: String, _ value: JSONValue?) -> JSONObject {
            var object = open
            object[name] = value
            return object
        }
        #expect(refusalCode { _ = try judge(shop, open) } == nil)
        #expect(refusalCode { _ = try judge(shop, changed("preimage", wrong)) } == .credentialInvalid)
        #expect(refusalCode { _ = try judge(shop, changed("preimage", nil)) } == .credentialMalformed)
        #expect(refusalCode { _ = try judge(shop, changed("action", "pay")) } == .credentialMalformed)
        #expect(
            refusalCode { _ = try judge(shop, open, after: 60 + PaymentContext.graceSeconds) } == .credentialExpired
        )
        for invoice in [
            nil, JSONValue.string("lnbc1"), .string(try shop.invoice(msat: 1000).text),
            .string(try shop.invoice(msat: nil, currency: .bitcoin).text),
            .string(try shop.invoice(msat: nil, after: -60).text),
        ] {
            #expect(refusalCode { _ = try judge(shop, changed("returnInvoice", invoice)) } == .returnInvoiceInvalid)
        }
        for action in ["bearer", "close"] {
            let payload: JSONObject = ["action": .string(action), "sessionId": id, "preimage": wrong]
            #expect(refusalCode { _ = try judge(shop, payload) } == .credentialInvalid)
            #expect(
                refusalCode { _ = try judge(shop, ["action": .string(action), "preimage": preimage]) }
                    == .credentialMalformed
            )
        }
        let elsewhere = PaymentScope(service: "maps", method: "POST", target: "/today?x=1")
        #expect(
            refusalCode {
                _ = try LightningSessionWire.judge(credential(shop, open, scope: elsewhere), context: shop.context())
            } == .challengeUnknown
        )
        // A deposit for one call's charge opens no session.
        let charge = PaymentCredential(
            challenge: try shop.challenge("charge", request: LightningCharge.request(invoice: shop.invoice())),
            payload: open
        )
        #expect(
            refusalCode { _ = try LightningSessionWire.judge(charge, context: shop.context()) } == .methodUnsupported
        )
    }

    @Test("PAY-8: a deposit is for whole sat and a unit at least, and one that disagrees with its invoice is not paid")
    func deposits() throws {
        let shop = try Shop()
        for (unit, invoice) in [
            (101, try shop.invoice()), (0, try shop.invoice()), (1, try shop.invoice(msat: nil)),
            (1, try shop.invoice(msat: 1500)), (1, try shop.invoice(currency: .testnet)),
        ] {
            #expect(throws: PaymentChallengeError.self) {
                try LightningSessionWire.request(
                    unitSats: UInt64(unit),
                    unitName: nil,
                    deposit: invoice,
                    idleSeconds: nil
                )
            }
        }
        let good = try credential(shop, [:]).challenge
        #expect(try LightningSessionWire.deposit(of: good) == shop.invoice())
        for (name, value) in [("depositAmount", "99"), ("paymentHash", "00"), ("currency", "usd")] {
            var request = try #require(good.requestObject)
            request[name] = .string(value)
            let challenge = try shop.challenge("session", request: request)
            #expect(throws: PaymentChallengeError.self) { try LightningSessionWire.deposit(of: challenge) }
        }
    }
}
