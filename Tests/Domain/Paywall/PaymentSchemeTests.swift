import CanonicalJSON
import Encodings
import Foundation
import Paywall
import TestSupport
import Testing

@Suite("Payment scheme: aperture's vectors")
struct PaymentVectorTests {
    private let vectors: JSONValue
    private let secrets: PaymentSecrets

    init() throws {
        vectors = try JSONValue.parse(
            Fixtures.bytes("payment-scheme/aperture.json"),
            limits: JSONLimits(acceptsUInt64: true)
        )
        secrets = try #require(PaymentSecrets(current: try Hex.decode(vectors.string("secret"))))
    }

    private func params(_ challenge: PaymentChallenge) -> JSONValue { .object(challenge.echo) }

    @Test("PAY-1: challenges are read and written byte for byte")
    func headers() throws {
        for vector in try vectors.array("challengeHeaders") {
            let header = try vector.string("header")
            let read = PaymentChallenge.read(wwwAuthenticate: [header])
            #expect(read.count == 1, "\(header)")
            #expect(try read.first.map(params) == vector.value("parsed"))
            #expect(try read.first?.header() == header)
        }
    }

    @Test("PAY-1: of lists, every complete challenge is found and nothing leaks from one into another")
    func lists() throws {
        for vector in try vectors.array("challengeLists") {
            let read = PaymentChallenge.read(wwwAuthenticate: [try vector.string("header")])
            let name = try vector.string("name")
            if try vector.optionalBool("error") == true {
                #expect(read.isEmpty, "\(name)")
            } else {
                #expect(try read.map(params) == vector.array("challenges"), "\(name)")
            }
        }
    }

    @Test("PAY-2: the id is the code over seven slots; a slot with the delimiter in it is bound by nothing")
    func ids() throws {
        for vector in try vectors.array("challengeIds") {
            let object = try vector.object("params")
            let fields = object.map { name, value in "\(name)=\"\(value.stringValue ?? "")\"" }
            let read = PaymentChallenge.read(wwwAuthenticate: ["Payment \(fields.joined(separator: ", "))"])
            let challenge = try #require(read.first)
            let hasPipe = try (object.string("realm") + object.string("method")).contains("|")
            let name = try vector.string("name")
            #expect(challenge.isBound(by: secrets) == !hasPipe, "\(name)")
        }
    }

    @Test("PAY-3: credentials are read and refused as there")
    func credentials() throws {
        for vector in try vectors.array("credentials") {
            let header = try vector.string("header")
            if try vector.optionalBool("error") == true {
                if header.hasPrefix("Bearer") {
                    #expect(try PaymentCredential.read(authorization: [header]) == nil)
                } else {
                    #expect(throws: CallRefusal.self) { try PaymentCredential.read(authorization: [header]) }
                }
                continue
            }
            let expected = try JSONValue.parse(vector.string("credentialJson"))
            let read = try #require(try PaymentCredential.read(authorization: [header]))
            #expect(try params(read.challenge) == expected.value("challenge"))
            #expect(try .object(read.payload) == expected.value("payload"))
            #expect(try read.source == expected.optionalString("source"))
            #expect(try PaymentCredential.read(authorization: [read.header()]) == read)
        }
    }

    @Test("PAY-6: receipts are read as written there, and ours say the same")
    func receipts() throws {
        for vector in try vectors.array("receipts") {
            let header = try vector.string("header")
            let text = try vector.string("receiptJson")
            guard text.contains("status"), !text.contains("9007199254740993"), !text.contains("9223372036854775807")
            else {
                // An event of a stream, or a number that JSON readers can't hold: no receipt.
                #expect(PaymentReceipt(header: header) == nil)
                continue
            }
            let read = try #require(PaymentReceipt(header: header))
            #expect(try .object(read.json) == JSONValue.parse(text))
            #expect(try PaymentReceipt(header: read.header()) == read)
        }
        let need = LightningSessionNeed(session: [0xaa, 0x11, 0xbb, 0x22], spentSats: 4860, requiredSats: 3)
        let event = try #require(
            try vectors.array("receipts").first { try $0.string("name") == "need top-up event" }
        )
        #expect(try .object(need.json) == JSONValue.parse(event.string("receiptJson")))
    }
}

@Suite("Payment scheme: challenges and credentials")
struct PaymentSchemeTests {
    private static let now = Timestamp(secondsSince1970: 1_800_000_000)
    private let scope = PaymentScope(service: "weather", method: "GET", target: "/today?x=1")

    private func secrets(_ byte: UInt8 = 1, previous: [UInt8] = []) throws -> PaymentSecrets {
        try #require(
            PaymentSecrets(
                current: [UInt8](repeating: byte, count: 32),
                previous: previous.map { [UInt8](repeating: $0, count: 32) }
            )
        )
    }

    /// Found by the fuzzer: a quotation mark before a combining mark is another `Character`, and closed the text.
    @Test(
        "PAY-1: a quotation mark in a text never closes it, whatever follows",
        arguments: ["\u{59a}", "\u{301}", "\u{200d}", "x"]
    )
    func quotation(mark: String) throws {
        let challenge = try challenge(text: "say \"\(mark), realm=\"other\"\(mark) \\\(mark)")
        #expect(try PaymentChallenge.read(wwwAuthenticate: [challenge.header()]) == [challenge])
    }

    private func challenge(
        realm: String = "node.example",
        method: String = "lightning",
        digest: String? = nil,
        text: String? = "Q&A \"now\"",
        opaque: [String: String]? = nil
    ) throws -> PaymentChallenge {
        try PaymentChallenge(
            realm: realm,
            method: method,
            intent: "charge",
            request: ["amount": "100"],
            expires: Self.now.adding(seconds: 60),
            digest: digest,
            text: text,
            opaque: opaque ?? scope.opaqueForCall,
            secrets: secrets()
        )
    }

    private func code(_ body: () throws -> Void) -> CallRefusal.Code? {
        do {
            try body()
            return nil
        } catch {
            return (error as? CallRefusal)?.code
        }
    }

    @Test("PAY-2: every field but the description is bound, and a secret of before still verifies")
    func binding() throws {
        let challenge = try challenge(digest: "sha-256=:AA==:")
        #expect(challenge.isBound(by: try secrets()))
        #expect(challenge.isBound(by: try secrets(2, previous: [1])))
        #expect(!challenge.isBound(by: try secrets(2)))
        let echo = challenge.echo
        for (name, value) in echo {
            for changed in [JSONValue.string((value.stringValue ?? "") + "A"), nil] {
                var other = echo
                other[name] = changed
                let credential: JSONObject = ["challenge": .object(other), "payload": [:]]
                let header = "Payment \(Base64URL.encode(try credential.canonicalized()))"
                guard let read = try? PaymentCredential.read(authorization: [header]) else { continue }
                #expect(read.challenge.isBound(by: try secrets()) == (name == "description"), "\(name)")
            }
        }
        #expect(PaymentSecrets(current: [UInt8](repeating: 1, count: 15)) == nil)
        #expect(!"\(try secrets())".contains("1, 1"))
    }

    @Test("PAY-1, PAY-2: what can't be bound or written is not made")
    func badChallenges() throws {
        for make in [
            { _ = try self.challenge(realm: "a|b") }, { _ = try self.challenge(realm: "") },
            { _ = try self.challenge(method: "Lightning") }, { _ = try self.challenge(method: "") },
            { _ = try self.challenge(realm: "a\r\nX: y") }, { _ = try self.challenge(digest: "a|b") },
            { _ = try self.challenge(text: String(repeating: "x", count: PaymentChallenge.maximumBytes)) },
        ] {
            #expect(throws: PaymentChallengeError.self) { try make() }
        }
    }

    @Test("PAY-3: the credential is found among other schemes, once, and in one form only")
    func reading() throws {
        let credential = PaymentCredential(
            challenge: try challenge(),
            source: "did:key:z6Mk",
            payload: ["preimage": "00"]
        )
        let header = try credential.header()
        for values in [
            [header], ["Bearer abc", header], [header, "L402 a:b"], ["Bearer abc, \(header)"], [header, header],
            [header.replacing("Payment ", with: "payment  ") + " "],
        ] {
            #expect(try PaymentCredential.read(authorization: values) == credential, "\(values)")
        }
        for values in [[], ["Bearer Payment"], ["Payments abc"], ["L402 Payment:1"]] {
            #expect(try PaymentCredential.read(authorization: values) == nil, "\(values)")
        }
        let other = PaymentCredential(challenge: try challenge(), payload: ["preimage": "01"])
        #expect(
            code { _ = try PaymentCredential.read(authorization: [header, other.header()]) } == .severalPayments
        )
        let long = "Payment " + String(repeating: "A", count: PaymentCredential.maximumBytes + 4)
        let deep = "Payment " + Base64URL.encode(Array((String(repeating: "[", count: 99)).utf8))
        for value in [
            "Payment", "Payment ", "Payment !", "Payment \(header)", long, deep, "Payment W10", "Payment e30",
        ] {
            #expect(
                code { _ = try PaymentCredential.read(authorization: [value]) } == .credentialMalformed,
                "\(value.prefix(30))"
            )
        }
        #expect(!"\(credential)".contains("preimage") && !String(reflecting: credential).contains("did:key"))
    }

    @Test("PAY-3: damaged credentials never crash and are never bound to something else")
    func fuzz() throws {
        let credential = PaymentCredential(challenge: try challenge(), payload: ["preimage": "00"])
        let header = Array(try credential.header().utf8)
        let secrets = try secrets()
        var random = SeededRandom(seed: 9)
        for _ in 0..<2000 {
            var copy = header
            for _ in 0...Int.random(in: 0...3, using: &random) {
                copy[Int.random(in: 8..<copy.count, using: &random)] = UInt8.random(in: 0x20...0x7e, using: &random)
            }
            guard let read = try? PaymentCredential.read(authorization: [String(decoding: copy, as: UTF8.self)]),
                read.challenge.isBound(by: secrets)
            else { continue }
            #expect(read.challenge.request == credential.challenge.request)
            #expect(read.challenge.opaque == credential.challenge.opaque)
        }
    }

    @Test("PAY-5: a refusal has the problem type of the draft")
    func problems() {
        let expected: [(CallRefusal.Code, Int, String?)] = [
            (.paymentRequired, 402, "payment-required"), (.credentialMalformed, 402, "malformed-credential"),
            (.challengeUnknown, 402, "invalid-challenge"), (.credentialExpired, 402, "payment-expired"),
            (.credentialInvalid, 402, "verification-failed"), (.credentialInsufficient, 402, "payment-insufficient"),
            (.methodUnsupported, 400, "method-unsupported"), (.sessionUnknown, 402, "lightning/session-not-found"),
            (.sessionClosed, 402, "lightning/session-closed"),
            (.returnInvoiceInvalid, 402, "lightning/invalid-return-invoice"), (.upstreamFailed, 502, nil),
        ]
        for (code, status, type) in expected {
            let refusal = CallRefusal(code, "x")
            #expect(refusal.status == status)
            #expect(refusal.paymentSchemeType == type.map { "https://paymentauth.org/problems/\($0)" })
        }
    }
}
