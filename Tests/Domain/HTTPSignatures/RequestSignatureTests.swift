import Cryptography
import Encodings
import HTTPSignatures
import SignedDocuments
import TestSupport
import Testing

@Suite("Signed requests")
struct RequestSignatureTests {
    private static let now = Timestamp(secondsSince1970: 1_795_219_200)
    private let signer: DocumentSigner

    init() throws {
        signer = DocumentSigner(try Ed25519.PrivateKey(seed: [UInt8](repeating: 6, count: 32)))
    }

    private func facts() -> RequestFacts {
        RequestFacts(
            method: "POST",
            targetURI: "http://node.example:8402/s/weather/today?city=Bern",
            headers: [
                ("Host", "node.example:8402"), ("Content-Digest", ContentDigest.header(for: [1, 2, 3])),
                ("Agent-Passport", "eyJ9"), ("Idempotency-Key", "k-1"), ("X-Cashu", "cashuBo2F0"),
                ("Accept", "text/plain"),
            ],
            hasBody: true
        )
    }

    private func signed(
        _ facts: RequestFacts? = nil,
        created: Timestamp = now,
        lifetime: Int64 = 60,
        nonce: [UInt8] = [UInt8](repeating: 7, count: 16)
    ) throws -> RequestFacts {
        var facts = facts ?? self.facts()
        let headers = try HTTPSignatures.sign(
            facts,
            by: signer,
            created: created,
            expires: created.adding(seconds: lifetime),
            nonce: nonce
        )
        facts.headers.append(("Signature-Input", headers.signatureInput))
        facts.headers.append(("Signature", headers.signature))
        return facts
    }

    private func code(_ facts: RequestFacts, at now: Timestamp = now.adding(seconds: 1)) -> HTTPSignatureError.Code? {
        do throws(HTTPSignatureError) {
            _ = try HTTPSignatures.verify(facts, now: now)
            return nil
        } catch {
            return error.code
        }
    }

    @Test("[SIG-1] what is signed verifies and names key, nonce and end")
    func roundTrip() throws {
        let facts = try signed()
        let verified = try HTTPSignatures.verify(facts, now: Self.now)
        #expect(verified.keyID == signer.did)
        #expect(verified.nonce == Base64URL.encode([UInt8](repeating: 7, count: 16)))
        #expect(verified.expires == Self.now.adding(seconds: 60))
        let input = try #require(facts.value("signature-input"))
        #expect(
            input.hasPrefix(
                "mintmark=(\"@method\" \"@target-uri\" \"content-digest\" \"agent-passport\" \"idempotency-key\" \"x-cashu\");created="
            )
        )
        #expect(input.hasSuffix(";tag=\"mintmark-call\""))
    }

    @Test("[SIG-2] a change of anything covered is noticed, of anything else not")
    func tampering() throws {
        let good = try signed()
        #expect(code(good) == nil)
        var changed = good
        changed.method = "PUT"
        #expect(code(changed) == .invalid)
        for target in [
            "http://node.example:8402/s/weather/today?city=Basel", "http://node.example:8403/s/weather/today?city=Bern",
            "https://node.example:8402/s/weather/today?city=Bern",
        ] {
            changed = good
            changed.targetURI = target
            #expect(code(changed) == .invalid)
        }
        for name in ["content-digest", "agent-passport", "idempotency-key", "x-cashu"] {
            changed = good
            let place = try #require(changed.headers.firstIndex { $0.name.lowercased() == name })
            changed.headers[place].value += "x"
            #expect(code(changed) == .invalid)
            changed = good
            changed.headers.append((name, "second"))
            #expect(code(changed) == .invalid)
            changed = good
            changed.headers.removeAll { $0.name.lowercased() == name }
            #expect(code(changed) == .unsupportedComponent || code(changed) == .notCovered)
        }
        changed = good
        changed.headers.removeAll { $0.name == "Accept" }
        #expect(code(changed) == nil)
    }

    @Test(
        "[SIG-2] a sensitive header that was added after signing is refused",
        arguments: HTTPSignatures.sensitiveHeaders
    )
    func uncoveredHeader(name: String) throws {
        var facts = try signed(RequestFacts(method: "GET", targetURI: "http://h/", headers: []))
        #expect(code(facts) == nil)
        facts.headers.append((name.uppercased(), "x"))
        #expect(code(facts) == .notCovered)
    }

    @Test("[SIG-2] a body without a covered digest is refused")
    func uncoveredBody() throws {
        var facts = try signed(RequestFacts(method: "POST", targetURI: "http://h/", headers: []))
        #expect(code(facts) == nil)
        facts.hasBody = true
        #expect(code(facts) == .notCovered)
        facts.headers.append(("Content-Digest", ContentDigest.header(for: [])))
        #expect(code(facts) == .notCovered)
        #expect(throws: HTTPSignatureError.self) {
            try signed(RequestFacts(method: "POST", targetURI: "http://h/", headers: [], hasBody: true))
        }
    }

    @Test("[SIG-3] created and expires: sixty seconds at most, fifteen of grace ahead, none behind")
    func times() throws {
        let facts = try signed()
        #expect(code(facts, at: Self.now.adding(seconds: -15)) == nil)
        #expect(code(facts, at: Self.now.adding(seconds: -16)) == .fromFuture)
        #expect(code(facts, at: Self.now.adding(milliseconds: 59_999)) == nil)
        #expect(code(facts, at: Self.now.adding(seconds: 60)) == .expired)
        #expect(throws: HTTPSignatureError.self) { try signed(lifetime: 61) }
        #expect(throws: HTTPSignatureError.self) { try signed(lifetime: 0) }
    }

    /// Signs a request with parameters of the test's own making.
    private func custom(_ parameters: String, components: String = #""@method" "@target-uri""#, label: String = "a")
        throws -> RequestFacts
    {
        var facts = RequestFacts(method: "GET", targetURI: "http://h/", headers: [("X-A", "1")])
        let input = "(\(components));\(parameters)"
        var base = ""
        for name in components.split(separator: " ").map({ $0.split(separator: ";")[0].trimmingQuotes() }) {
            let value = name == "@method" ? "GET" : name == "@target-uri" ? "http://h/" : "1"
            base += "\"\(name)\": \(value)\n"
        }
        base += "\"@signature-params\": \(input)"
        let signature = Base64.encode(try signer.key.sign(.request(Array(base.utf8))))
        facts.headers.append(("Signature-Input", "\(label)=\(input)"))
        facts.headers.append(("Signature", "\(label)=:\(signature):"))
        return facts
    }

    private func parameters(
        created: String = ";created=1795219200",
        expires: String = ";expires=1795219260",
        nonce: String = #";nonce="0123456789abcdef""#,
        keyid: String? = nil,
        tag: String = #";tag="mintmark-call""#,
        more: String = ""
    ) -> String {
        String((created + expires + nonce + (keyid ?? ";keyid=\"\(signer.did)\"") + tag + more).dropFirst())
    }

    @Test("a signature by another hand, within the profile, is taken whatever its label and order")
    func otherHand() throws {
        #expect(code(try custom(parameters())) == nil)
        #expect(
            code(
                try custom(
                    parameters(more: ";alg=\"ed25519\""),
                    components: #""x-a" "@target-uri" "@method""#,
                    label: "sig-1"
                )
            ) == nil
        )
    }

    @Test("[SIG-3] [SIG-4] [SIG-6] each parameter missing, out of bounds or unknown has its code")
    func badParameters() throws {
        #expect(code(try custom(parameters(created: ""))) == .badParameter)
        #expect(code(try custom(parameters(created: ";created=-1"))) == .badParameter)
        #expect(code(try custom(parameters(created: ";created=\"1795219200\""))) == .badParameter)
        #expect(code(try custom(parameters(created: ";created=1795219200.5"))) == .malformed)
        #expect(code(try custom(parameters(expires: ""))) == .badParameter)
        #expect(code(try custom(parameters(expires: ";expires=1795219261"))) == .badParameter)
        #expect(code(try custom(parameters(expires: ";expires=1795219200"))) == .badParameter)
        #expect(code(try custom(parameters(nonce: ""))) == .badParameter)
        #expect(code(try custom(parameters(nonce: ";nonce=\"short\""))) == .badParameter)
        #expect(
            code(try custom(parameters(nonce: ";nonce=\"\(String(repeating: "n", count: 129))\""))) == .badParameter
        )
        #expect(code(try custom(parameters(keyid: ""))) == .unsupportedKey)
        #expect(code(try custom(parameters(keyid: ";keyid=\"test-key-ed25519\""))) == .unsupportedKey)
        #expect(code(try custom(parameters(keyid: ";keyid=\"\(signer.did.verificationMethod)\""))) == .unsupportedKey)
        #expect(
            code(try custom(parameters(keyid: ";keyid=\"did:key:zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv\"")))
                == .unsupportedKey
        )
        #expect(code(try custom(parameters(more: ";alg=\"hmac-sha256\""))) == .unsupportedKey)
        #expect(code(try custom(parameters(more: ";color=\"red\""))) == .badParameter)
        #expect(code(try custom(parameters(tag: ""))) == .missing)
        #expect(code(try custom(parameters(tag: ";tag=\"web-bot-auth\""))) == .missing)
    }

    @Test("[SIG-6] components: strings in lower case, known, without parameters, none twice")
    func badComponents() throws {
        func covering(_ components: String) throws -> HTTPSignatureError.Code? {
            code(try custom(parameters(), components: components))
        }
        #expect(try covering(#""@method""#) == .notCovered)
        #expect(try covering(#""@target-uri""#) == .notCovered)
        #expect(try covering(#""@method" "@target-uri" "x-a" "x-a""#) == .malformed)
        #expect(try covering(#""@method" "@target-uri" "X-A""#) == .unsupportedComponent)
        #expect(try covering(#""@method" "@target-uri" "x-a";sf"#) == .unsupportedComponent)
        #expect(try covering(#""@method" "@target-uri" "x-b""#) == .unsupportedComponent)
        #expect(try covering(#""@method" "@target-uri" "@status""#) == .unsupportedComponent)
        #expect(try covering(#""@method" "@target-uri" x-a"#) == .unsupportedComponent)
    }

    @Test("[SIG-1] signatures of others are passed over; two of ours are refused; ours must be whole")
    func manySignatures() throws {
        var facts = try signed(RequestFacts(method: "GET", targetURI: "http://h/", headers: []))
        facts.headers.append(("Signature-Input", "proxy=(\"@authority\");created=1;tag=\"proxy\""))
        facts.headers.append(("Signature", "proxy=:AAAA:"))
        #expect(code(facts) == nil)
        let second = try custom(parameters())
        facts.headers.append(contentsOf: second.headers)
        #expect(code(facts) == .malformed)
        for signature in [
            "mintmark=:AAAA:", "other=:AAAA:", "mintmark=1", "",
            "mintmark=:\(Base64.encode([UInt8](repeating: 0, count: 65))):",
        ] {
            var broken = try signed(RequestFacts(method: "GET", targetURI: "http://h/", headers: []))
            broken.headers.removeAll { $0.name == "Signature" }
            broken.headers.append(("Signature", signature))
            #expect(code(broken) == .malformed)
        }
        var zero = try signed(RequestFacts(method: "GET", targetURI: "http://h/", headers: []))
        zero.headers.removeAll { $0.name == "Signature" }
        #expect(code(zero) == .missing)
        zero.headers.append(("Signature", "mintmark=:\(Base64.encode([UInt8](repeating: 0, count: 64))):"))
        #expect(code(zero) == .invalid)
    }

    @Test(
        "[SIG-6] fields that are no strict structured fields are refused",
        arguments: [
            "a", "a=", "a=(", "a=(\"@method\"", "a=(\"@method\"\"@path\")", "a=()x", "a=();", "a=();A=1", "a=(),",
            "a=(),,b=()",
            "a=() b=()", "a=(),a=()", "A=()", "a=(\"\u{e9}\")", "a=(\"x)", "a=(\"\\x\")", "a=();b=1234567890123456",
            "a=();b=--1",
            "a=();b=?2", "a=();b=:A:", "a=();b=:AAA", "a=();b=@1", "a=();b=%\"x\"", "=()", ";a=()",
            "a=(\"@method\"\t\"@path\")",
            "a=();tag=\"mintmark-call\"\n",
        ]
    )
    func malformedFields(text: String) throws {
        var facts = RequestFacts(method: "GET", targetURI: "http://h/", headers: [])
        facts.headers = [("Signature-Input", text), ("Signature", "a=:AAAA:")]
        #expect(code(facts) == .malformed)
    }

    @Test("[SIG-6] fields beyond their bounds are refused")
    func hugeFields() throws {
        for text in [
            "a=(" + String(repeating: "\"x\" ", count: 33) + ")", "a=()" + String(repeating: ";a", count: 33),
            (0..<33).map { "a\($0)=()" }.joined(separator: ", "),
            "a=(\"" + String(repeating: "x", count: 5_000) + "\")",
            String(repeating: "a", count: 70) + "=()",
        ] {
            var facts = RequestFacts(method: "GET", targetURI: "http://h/", headers: [])
            facts.headers = [("Signature-Input", text), ("Signature", "a=:AAAA:")]
            #expect(code(facts) == .malformed)
        }
    }

    @Test("[SIG-6] random damage to the fields never verifies and never traps")
    func randomDamage() throws {
        var random = SeededRandom(seed: 5)
        let good = try signed()
        for _ in 0..<2_000 {
            var facts = good
            let place = facts.headers.count - 1 - Int.random(in: 0...1, using: &random)
            var bytes = Array(facts.headers[place].value.utf8)
            let index = Int.random(in: 0..<bytes.count, using: &random)
            let old = bytes[index]
            bytes[index] = UInt8.random(in: 0x20...0x7E, using: &random)
            facts.headers[place].value = String(decoding: bytes, as: UTF8.self)
            if bytes[index] != old { #expect(code(facts) != nil) }
        }
    }

    @Test("[SIG-7] a digest beside others is found, and must be the body's")
    func digest() throws {
        let header = "sha-512=:AAAA:, " + ContentDigest.header(for: [1, 2, 3])
        try ContentDigest.check(header, sha256: Hashing.sha256([1, 2, 3]))
        #expect(throws: HTTPSignatureError.self) { try ContentDigest.check(header, sha256: Hashing.sha256([1, 2])) }
        #expect(throws: HTTPSignatureError.self) {
            try ContentDigest.check("sha-512=:AAAA:", sha256: Hashing.sha256([]))
        }
    }
}

extension Substring {
    fileprivate func trimmingQuotes() -> String {
        String(self.filter { $0 != "\"" })
    }
}
