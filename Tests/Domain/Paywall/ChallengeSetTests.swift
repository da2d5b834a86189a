import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Lightning
import Paywall
import Testing

@Suite("One 402 in several dialects")
struct ChallengeSetTests {
    private func terms(_ shop: Shop, calls: UInt64 = 1, mints: Int = 1) throws -> ChallengeTerms {
        let invoice = try shop.invoice()
        let keyID = try #require(L402KeyID(bytes: [UInt8](repeating: 1, count: 8)))
        let key = try #require(L402RootKey(id: keyID, secret: [UInt8](repeating: 9, count: 32)))
        return ChallengeTerms(
            cashu: try NUT24.challenge(
                id: "c-1",
                amount: 100,
                unit: .sat,
                mints: (0..<mints).map {
                    try MintURL("https://mint-\($0).example/" + String(repeating: "m", count: 90))
                },
                service: "weather",
                sellerKey: sellerKey()
            ),
            invoice: invoice,
            invoiceMsat: 100_000,
            l402: .init(
                grant: L402Grant(
                    paymentHash: invoice.paymentHash,
                    service: "weather",
                    path: try PathPattern("/today"),
                    price: Price(amount: 100),
                    calls: calls
                ),
                key: key,
                nonce: [UInt8](repeating: 2, count: 24)
            ),
            session: .init(
                deposit: try shop.invoice(msat: 2_000_000, preimage: [UInt8](repeating: 6, count: 32)),
                unitSats: 100,
                unitName: "request"
            ),
            x402: "eyJ4NDAyVmVyc2lvbiI6Mn0=",
            realm: "node.example",
            secrets: shop.secrets,
            scope: shop.scope,
            bodyDigest: Hashing.sha256(Array("{}".utf8)),
            expires: Shop.now.adding(seconds: 3600)
        )
    }

    @Test("CHS-1: every dialect that is accepted has its line, L402 before Payment, and a buyer reads each")
    func everything() throws {
        let shop = try Shop()
        let terms = try terms(shop)
        let set = try ChallengeSet(terms, accepted: Set(PaymentDialect.allCases))
        #expect(set.omitted.isEmpty)
        #expect(set.lines.map(\.dialect) == PaymentDialect.allCases.filter { !PaymentDialect.overX402.contains($0) })
        #expect(
            set.headers.map(\.name) == ["Cache-Control", "X-Cashu"] + Array(repeating: "WWW-Authenticate", count: 4)
                + ["PAYMENT-REQUIRED"]
        )
        #expect(set.headers[0].value == "no-store")
        #expect(set.byteCount <= ChallengeSet.maximumBytes)
        let authenticate = set.headers.filter { $0.name == "WWW-Authenticate" }.map(\.value)
        #expect(L402.challenges(wwwAuthenticate: authenticate).map(\.invoice) == [terms.invoice?.text])
        let offers = PaymentChallenge.read(wwwAuthenticate: authenticate)
        #expect(
            offers.map { "\($0.method)/\($0.intent)" } == ["lightning/charge", "lightning/session", "cashu/charge"]
        )
        #expect(offers.allSatisfy { $0.isBound(by: shop.secrets) })
        #expect(try LightningCharge.invoice(of: offers[0]) == terms.invoice)
        #expect(try LightningSessionWire.deposit(of: offers[1]) == terms.session?.deposit)
        #expect(try CashuCharge.paymentRequest(of: offers[2]) == NUT24.parseChallenge(terms.cashu ?? ""))
        // Never longer than the invoice lives, and ecash as long as the terms say.
        #expect(offers[0].expires == Shop.now.adding(seconds: 60).rfc3339)
        #expect(offers[2].expires == Shop.now.adding(seconds: 3600).rfc3339)
        #expect(offers.map { $0.digest == nil } == [false, true, false])
    }

    @Test("CHS-1: what is not accepted or can't be offered is left out with its reason; nothing at all is 503")
    func omissions() throws {
        let shop = try Shop()
        var terms = try terms(shop)
        #expect(try ChallengeSet(terms, accepted: [.l402]).lines.map(\.dialect) == [.l402])
        func omitted(_ terms: ChallengeTerms) throws -> [PaymentDialect] {
            try ChallengeSet(terms, accepted: Set(PaymentDialect.allCases)).omitted.map(\.dialect)
        }
        var changed = terms
        changed.invoiceMsat = 99_000
        #expect(try omitted(changed) == [.l402, .paymentLightning])
        changed = terms
        changed.l402?.grant.paymentHash[0] ^= 1
        #expect(try omitted(changed) == [.l402])
        changed = terms
        changed.cashu = nil
        #expect(try omitted(changed) == [.cashu, .paymentCashu])
        changed = terms
        changed.session = nil
        #expect(try omitted(changed) == [.paymentSession])
        for value in ["", "a b", "a\r\nb", String(repeating: "A", count: ChallengeSet.maximumX402Bytes + 1)] {
            changed = terms
            changed.x402 = value
            #expect(try omitted(changed) == [.x402])
        }
        #expect(try omitted(self.terms(shop, calls: 2)) == [.paymentLightning])
        terms.realm = ""
        #expect(try omitted(terms) == [.paymentLightning, .paymentSession, .paymentCashu])
        #expect(refusalCode { _ = try ChallengeSet(terms, accepted: []) } == .mintUnavailable)
        #expect(refusalCode { _ = try ChallengeSet(terms, accepted: [.paymentCashu]) } == .mintUnavailable)
    }

    @Test("CHS-2: all lines together stay under 8 KiB, and what another line offers too is given up first")
    func size() throws {
        let shop = try Shop()
        var terms = try terms(shop, mints: 14)
        let all = Set(PaymentDialect.allCases)
        terms.x402 = String(repeating: "A", count: 2000)
        let set = try ChallengeSet(terms, accepted: all)
        #expect(set.byteCount <= ChallengeSet.maximumBytes)
        #expect(set.omitted.map(\.dialect) == [.paymentCashu])
        terms.x402 = String(repeating: "A", count: ChallengeSet.maximumX402Bytes)
        let small = try ChallengeSet(terms, accepted: all)
        #expect(small.byteCount <= ChallengeSet.maximumBytes)
        #expect(small.lines.map(\.dialect) == [.cashu, .l402])
        #expect(small.omitted.map(\.dialect) == [.paymentCashu, .paymentLightning, .paymentSession, .x402])
    }

    @Test("PRC-5: a maximum is offered only where the difference can go back")
    func maximum() throws {
        var terms = try terms(Shop())
        terms.isMaximum = true
        let set = try ChallengeSet(terms, accepted: Set(PaymentDialect.allCases))
        #expect(set.lines.map(\.dialect) == [.cashu, .paymentSession, .paymentCashu])
        #expect(set.omitted.map(\.dialect) == [.l402, .paymentLightning, .x402])
    }

    @Test("CHS-1: Accept-Payment orders and filters the lines of Payment and nothing else")
    func preference() throws {
        let terms = try terms(Shop())
        func lines(_ values: [String]) throws -> [PaymentDialect] {
            try ChallengeSet(
                terms,
                accepted: Set(PaymentDialect.allCases),
                preference: AcceptPayment(headerValues: values)
            ).lines.map(\.dialect).filter { ![.cashu, .l402, .x402].contains($0) }
        }
        let all: [PaymentDialect] = [.paymentLightning, .paymentSession, .paymentCashu]
        #expect(try lines([]) == all)
        #expect(try lines(["cashu/charge, lightning/*;q=0.5"]) == [.paymentCashu, .paymentLightning, .paymentSession])
        #expect(try lines(["lightning/*;q=0.3", "lightning/session;q=0.9"]) == [.paymentSession, .paymentLightning])
        #expect(try lines(["*/charge"]) == [.paymentLightning, .paymentCashu])
        #expect(try lines(["lightning/charge;q=0, */*"]) == [.paymentSession, .paymentCashu])
        // Nothing of ours wanted, or not readable: as if it were not there.
        #expect(try lines(["tempo/charge"]) == all)
        for bad in ["", "x", "a/b/c", "/charge", "cashu/charge;q=2", "cashu/charge;q=0.0001", "cashu/charge;v=1", ","] {
            #expect(try lines([bad]) == all, "\(bad)")
            #expect(AcceptPayment(headerValues: [bad]) == nil, "\(bad)")
        }
    }
}

@Suite("The one payment of a request")
struct IncomingPaymentTests {
    @Test("CHS-3: each dialect is found by its header, in any case, and an upstream's own credential is left alone")
    func found() throws {
        let mint = try TestMint()
        let token = try mint.token([mint.locked(2, to: sellerKey())])
        let sale = try Sale()
        let l402 = try #require(L402Credential(macaroons: [sale.macaroon()], preimage: sale.preimage))
        let shop = try Shop()
        let credential = PaymentCredential(
            challenge: try shop.challenge("charge", request: LightningCharge.request(invoice: shop.invoice())),
            payload: ["preimage": "00"]
        )
        let bearer = ("Authorization", "Bearer abc")
        let cases: [((String, String), IncomingPayment, PaymentDialect)] = [
            (("x-CASHU", token.serialized()), .cashu(token), .cashu),
            (("AUTHORIZATION", try l402.header()), .l402(l402), .l402),
            (("Authorization", try credential.header()), .payment(credential), .paymentLightning),
            (("Payment-Signature", "eyJ9"), .x402(headerName: "PAYMENT-SIGNATURE", value: "eyJ9"), .x402),
            (("X-Payment", "eyJ9"), .x402(headerName: "X-PAYMENT", value: "eyJ9"), .x402),
        ]
        for (header, expected, dialect) in cases {
            #expect(try IncomingPayment.read(headers: [bearer, header, ("Accept", "*/*")]) == expected)
            #expect(expected.dialect == dialect)
            try expected.require(among: [dialect])
            #expect(refusalCode { try expected.require(among: [.paymentCashu]) } == .methodUnsupported)
            // Any other one beside it makes two.
            for (other, _, _) in cases where other != header {
                #expect(refusalCode { _ = try IncomingPayment.read(headers: [header, other]) } == .severalPayments)
            }
        }
        #expect(try IncomingPayment.read(headers: []) == nil)
        #expect(try IncomingPayment.read(headers: [bearer, ("Authorization", "Basic dTpw")]) == nil)
        let values = ["Bearer abc", try l402.header(), "Basic dTpw", try credential.header()]
        #expect(IncomingPayment.upstreamAuthorization(values) == ["Bearer abc", "Basic dTpw"])
    }

    @Test("CHS-3: a worthless second payment is a second payment all the same, and the same one twice is one")
    func several() throws {
        let sale = try Sale()
        let header = try #require(L402Credential(macaroons: [sale.macaroon()], preimage: sale.preimage)).header()
        for second in [
            ("X-Cashu", ""), ("X-Cashu", "cashuB"), ("X-Payment", ""), ("Payment-Signature", "x"),
            ("Authorization", "Payment"), ("Authorization", "Payment !"),
        ] {
            #expect(
                refusalCode { _ = try IncomingPayment.read(headers: [("Authorization", header), second]) }
                    == .severalPayments,
                "\(second)"
            )
        }
        let twice = [("Authorization", header), ("Authorization", header.replacing("L402 ", with: "LSAT "))]
        #expect(try IncomingPayment.read(headers: twice)?.dialect == .l402)
        for (headers, expected) in [
            ([("X-Cashu", "cashuB")], CallRefusal.Code.paymentMalformed), ([("X-Payment", "")], .paymentMalformed),
            ([("X-Payment", "a"), ("X-Payment", "a")], .paymentMalformed),
            ([("Payment-Signature", String(repeating: "A", count: 32_769))], .paymentMalformed),
            ([("Authorization", "L402 x")], .credentialMalformed),
            ([("Authorization", "Payment x y")], .credentialMalformed),
        ] {
            #expect(refusalCode { _ = try IncomingPayment.read(headers: headers) } == expected, "\(headers.count)")
        }
    }

    @Test("CHS-3: a method of the scheme that nobody here knows is told from those that are")
    func unknownMethod() throws {
        let shop = try Shop()
        let payment = IncomingPayment.payment(
            PaymentCredential(challenge: try shop.challenge("charge", method: "tempo", request: [:]), payload: [:])
        )
        #expect(payment.dialect == nil)
        #expect(refusalCode { try payment.require(among: Set(PaymentDialect.allCases)) } == .methodUnsupported)
    }
}

@Suite("One line of a 402 for every way over x402")
struct X402LineTests {
    @Test("CHS-2, XEX-1: the line gives up what it can spare before any other line goes", arguments: [100, 3000])
    func leaner(bytes: Int) throws {
        let shop = try Shop()
        var terms = ChallengeTerms(
            cashu: String(repeating: "c", count: 4500),
            x402: String(repeating: "A", count: 6000),
            realm: "node.example",
            secrets: shop.secrets,
            scope: shop.scope,
            expires: Shop.now.adding(seconds: 60)
        )
        terms.x402Leaner = [String(repeating: "B", count: 5000), String(repeating: "C", count: bytes)]
        let set = try ChallengeSet(terms, accepted: [.cashu, .x402Exact, .x402Cashu])
        #expect(set.lines.map(\.dialect) == [.cashu, .x402])
        #expect(set.lines[1].value == String(repeating: "C", count: bytes))
        #expect(set.byteCount <= ChallengeSet.maximumBytes)
        // Where there is room, nothing is spared.
        terms.cashu = "c"
        #expect(try ChallengeSet(terms, accepted: [.cashu, .x402Exact]).lines[1].value.count == 6000)
    }
}
