import CanonicalJSON
import Cryptography
import Encodings
import TestSupport
import Testing

@testable import SignedDocuments

@Suite("SD-JWT (RFC 9901) and signed tokens")
struct SDJWTTests {
    private static let now = Timestamp(secondsSince1970: 1_795_219_200)
    private let issuer = DocumentKey(P256.PrivateKey())
    private let holder = DocumentKey(Ed25519.PrivateKey())

    @Test("the examples of RFC 9901: signatures, disclosures in their places, key binding")
    func publishedExamples() throws {
        let vectors = try JSONValue.parse(try Fixtures.bytes("rfc9901/sd-jwt.json"))
        let issuerKey = try DIDKey(jwk: try vectors.value("issuerKey"))
        let holderKey = try DIDKey(jwk: try vectors.value("holderKey"))
        var bound = 0
        for example in try vectors.array("examples") {
            let name = try example.string("name")
            let token = try SDJWT(try example.string("sdJWT"), types: ["example+sd-jwt", "vc+sd-jwt"])
            #expect(token.token.jws.isSigned(by: issuerKey), "\(name)")
            #expect(!token.token.jws.isSigned(by: holderKey))
            #expect(JSONValue.object(try token.claims()) == (try example.value("processed")), "\(name)")
            if token.keyBindingText != nil {
                bound += 1
                let binding = try SignedToken(try #require(token.keyBindingText), types: ["kb+jwt"])
                let made = Timestamp(secondsSince1970: try binding.payload.int64("iat"))
                let found = try token.keyBinding(
                    audience: try vectors.string("audience"),
                    nonce: try vectors.string("nonce"),
                    now: made
                )
                #expect(found == holderKey)
                // To another verifier, for another nonce, and later than it was made: its own reason each.
                func refusal(_ audience: String, _ nonce: String, after: Int64 = 0) -> DocumentError.Code? {
                    code {
                        _ = try token.keyBinding(audience: audience, nonce: nonce, now: made.adding(seconds: after))
                    }
                }
                let (audience, nonce) = (try vectors.string("audience"), try vectors.string("nonce"))
                #expect(refusal("https://other.example.org", nonce) == .wrongAudience, "\(name)")
                #expect(refusal(audience, "0987654321") == .wrongNonce, "\(name)")
                #expect(refusal(audience, nonce, after: 301) == .stalePresentation, "\(name)")
            } else {
                #expect(
                    code { _ = try token.keyBinding(audience: "a", nonce: "n", now: Self.now) } == .keyBindingMissing
                )
            }
            // None is of a type, or of an issuer whose key is known by its name, that our profile takes.
            #expect(code { _ = try read(try example.string("sdJWT")) } == .wrongTokenType, "\(name)")
            #expect(
                code { _ = try token.token.verify(issuer: "https://issuer.example.com") } == .unresolvedDID,
                "\(name)"
            )
        }
        #expect(bound == 2)
    }

    private func issue(_ change: (inout SDJWTBuilder, inout JSONObject) -> Void = { _, _ in }) throws -> String {
        var builder = SDJWTBuilder()
        var payload: JSONObject = ["iss": .string(issuer.did.string), "cnf": ["jwk": .object(holder.did.jwk)]]
        change(&builder, &payload)
        return try builder.issue(payload, type: "dc+sd-jwt", by: issuer)
    }

    private func read(_ text: String) throws -> SDJWT { try SDJWT(text, types: ["dc+sd-jwt"]) }

    @Test("claims are shown one by one, recursive ones only with what they lie in; decoys show nothing")
    func selectiveDisclosure() throws {
        let text = try issue { builder, payload in
            var address: JSONObject = ["country": "AT"]
            builder.hide([("street", "Ring 1")], in: &address, decoys: 2)
            payload["list"] = ["open", builder.hidden(element: "secret")]
            builder.hide([("address", .object(address)), ("name", "Ada")], in: &payload, decoys: 3)
        }
        let whole = try read(text)
        #expect(try whole.token.verify(issuer: issuer.did.string) == issuer.did)
        #expect(whole.disclosures.count == 4)
        let all = try whole.claims()
        #expect(all["address"] == ["country": "AT", "street": "Ring 1"])
        #expect(all["list"] == ["open", "secret"])
        let none = try read(whole.presenting { _ in false }).claims()
        #expect(none["address"] == nil && none["name"] == nil && none["list"] == ["open"])
        let outer = try read(whole.presenting { $0.name == "address" }).claims()
        #expect(outer["address"] == ["country": "AT"])
        // The street alone refers to nothing.
        #expect(code { _ = try read(whole.presenting { $0.name == "street" }).claims() } == .malformedDisclosure)
    }

    private func tampered(_ list: [JSONValue], _ change: (inout JSONObject, String) -> Void) throws -> DocumentError
        .Code?
    {
        let disclosure = Base64URL.encode(JSONValue.array(list).serialized())
        let digest = Base64URL.encode(Hashing.sha256(Array(disclosure.utf8)))
        var payload: JSONObject = ["iss": .string(issuer.did.string)]
        change(&payload, digest)
        let jwt = try SignedToken.sign(payload, type: "dc+sd-jwt", by: issuer)
        return code { _ = try read("\(jwt)~\(disclosure)~").claims() }
    }

    @Test("what RFC 9901 section 7.1 has a verifier refuse")
    func refusals() throws {
        let good: [JSONValue] = ["salt", "name", "Ada"]
        #expect(try tampered(good) { $0["_sd"] = [.string($1)] } == nil)
        #expect(try tampered(good) { $0["_sd"] = [.string($1), .string($1)] } == .malformedDisclosure)
        #expect(
            try tampered(good) {
                $0["_sd"] = [.string($1)]; $0["b"] = ["_sd": [.string($1)]]
            } == .malformedDisclosure
        )
        #expect(
            try tampered(good) {
                $0["_sd"] = [.string($1)]; $0["name"] = "Eve"
            } == .malformedDisclosure
        )
        #expect(try tampered(good) { payload, _ in payload["x"] = 1 } == .malformedDisclosure)
        #expect(try tampered(good) { $0["l"] = [["...": .string($1)]] } == .malformedDisclosure)
        #expect(try tampered(["salt", "Ada"]) { $0["_sd"] = [.string($1)] } == .malformedDisclosure)
        #expect(try tampered(["salt", "Ada"]) { $0["l"] = [["...": .string($1), "x": 1]] } == .malformedDisclosure)
        #expect(try tampered(["salt", "_sd", []]) { $0["_sd"] = [.string($1)] } == .malformedDisclosure)
        #expect(try tampered(["salt", "...", "x"]) { $0["_sd"] = [.string($1)] } == .malformedDisclosure)
        #expect(try tampered(["salt"]) { $0["_sd"] = [.string($1)] } == .malformedDisclosure)
        #expect(try tampered([1, "name", "x"]) { $0["_sd"] = [.string($1)] } == .malformedDisclosure)
        #expect(
            try tampered(good) {
                $0["_sd"] = [.string($1)]; $0["_sd_alg"] = "md5"
            } == .malformedDisclosure
        )
        #expect(try tampered(good) { $0["_sd"] = .string($1) } == .malformedDisclosure)
        #expect(try tampered(good) { $0["_sd"] = [.string($1), 7] } == .malformedDisclosure)
        #expect(
            try tampered(good) {
                $0["_sd"] = [.string($1)]; $0["..."] = "x"
            } == .malformedDisclosure
        )
        let text = try issue { builder, payload in builder.hide([("name", "Ada")], in: &payload) }
        let disclosure = try #require(try read(text).disclosures.first?.text)
        #expect(code { _ = try read(text + disclosure + "~").claims() } == .malformedDisclosure)
        #expect(
            code { _ = try read(String(text.dropLast())).keyBinding(audience: "a", nonce: "n", now: Self.now) }
                == .badKeyBinding
        )
        #expect(
            code { _ = try read(try SignedToken.sign(["a": 1], type: "dc+sd-jwt", by: issuer)) } == .malformedDisclosure
        )
        #expect(code { _ = try read(text + String(repeating: "WyJhIiwiYiJd~", count: 200)) } == .malformedDisclosure)
    }

    @Test("key binding: missing, by another key, for another verifier, nonce, time, or other disclosures")
    func keyBinding() throws {
        let text = try issue { builder, payload in builder.hide([("name", "Ada"), ("age", 7)], in: &payload) }
        let shown = try read(text).presenting { $0.name == "name" }
        let bound = try SDJWT.bind(shown, audience: "https://v.example", nonce: "n1", by: holder, now: Self.now)
        func check(_ text: String, _ audience: String = "https://v.example", _ nonce: String = "n1", after: Int64 = 0)
            -> DocumentError.Code?
        {
            code {
                _ = try read(text).keyBinding(audience: audience, nonce: nonce, now: Self.now.adding(seconds: after))
            }
        }
        #expect(check(bound) == nil)
        #expect(try read(bound).claims()["name"] == "Ada")
        #expect(check(shown) == .keyBindingMissing)
        #expect(check(bound, "https://w.example") == .wrongAudience)
        #expect(check(bound, "https://v.example", "n2") == .wrongNonce)
        #expect(check(bound, after: 301) == .stalePresentation)
        #expect(check(bound, after: -61) == .stalePresentation)
        #expect(
            check(
                try SDJWT.bind(
                    shown,
                    audience: "https://v.example",
                    nonce: "n1",
                    by: DocumentKey(Ed25519.PrivateKey()),
                    now: Self.now
                )
            ) == .badKeyBinding
        )
        // The binding of one choice of claims set under another.
        let binding = try #require(try read(bound).keyBindingText)
        #expect(check(text + binding) == .badKeyBinding)
        let typed = try SignedToken.sign(["aud": "https://v.example"], type: "JWT", by: holder)
        #expect(check(shown + typed) == .badKeyBinding)
    }

    @Test("tokens: alg none, key confusion, and headers that steer to another key are refused")
    func headers() throws {
        let payload: JSONObject = ["iss": .string(issuer.did.string)]
        func check(_ header: JSONObject, signedBy key: DocumentKey? = nil) -> DocumentError.Code? {
            code {
                var whole: JSONObject = ["alg": .string(issuer.algorithm.rawValue), "typ": "vc+jwt"]
                for (name, value) in header { whole[name] = value }
                let input = Base64URL.encode(whole.serialized()) + "." + Base64URL.encode(payload.serialized())
                let signature = try (key ?? issuer).sign(.token(Array(input.utf8)))
                _ = try SignedToken(input + "." + Base64URL.encode(signature), types: ["vc+jwt"])
                    .verify(issuer: issuer.did.string)
            }
        }
        let other = DocumentKey(P256.PrivateKey())
        #expect(check([:]) == nil)
        #expect(check(["typ": "application/VC+JWT"]) == nil)
        #expect(check(["kid": .string(issuer.verificationMethod)]) == nil)
        for name in ["none", "None", "HS256", "RS256", "ES384", ""] {
            #expect(check(["alg": .string(name)]) == .unsupportedProof, "\(name)")
        }
        // The right key under the name of the other algorithm.
        #expect(check(["alg": "EdDSA"]) == .badSignature)
        #expect(check(["alg": "EdDSA"], signedBy: holder) == .badSignature)
        #expect(check(["kid": .string(other.verificationMethod)], signedBy: other) == .wrongSigner)
        #expect(check(["kid": .string(issuer.verificationMethod)], signedBy: other) == .badSignature)
        #expect(check(["kid": "../../keys/1"]) == .wrongSigner)
        #expect(check(["kid": 7]) == .malformedProof)
        #expect(check(["jwk": .object(other.did.jwk)], signedBy: other) == .unsupportedProof)
        for name in ["jku", "x5c", "x5u", "crit", "b64", "zip", "x5t"] {
            #expect(check([name: "https://evil.example/keys"]) == .unsupportedProof, "\(name)")
        }
        #expect(check(["typ": "JWT"]) == .wrongTokenType)
        #expect(check(["typ": "kb+jwt"]) == .wrongTokenType)
        #expect(code { _ = try SignedToken("e30.e30.", types: ["vc+jwt"]) } == .unsupportedProof)
    }
}
