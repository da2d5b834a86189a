import CanonicalJSON
import Cryptography
import Encodings
import SignedDocuments
import Testing

@testable import Passports

@Suite("presentations that are a JWT (vp+jwt)")
struct PresentationTokenTests {
    private let holder = DocumentKey(Sample.key(2))
    private let audience = "https://shop.example"

    private func present(_ forms: [PassportForm] = [.jwt]) throws -> String {
        try Presentation.signToken(
            try forms.map { Presentation.item(try FormSample.passport($0)) },
            by: holder,
            audience: audience,
            nonce: "n-1",
            now: Sample.now
        )
    }

    private func reasons(
        _ value: JSONValue,
        nonce: String? = "n-1",
        audience: String? = "https://shop.example",
        after: Int64 = 1,
        methods: VerificationMethods = VerificationMethods()
    ) -> [PassportReason.Code] {
        do {
            return try Presentation(value).reasons(
                expecting: Presentation.Expectation(challenge: nonce, domain: audience),
                now: Sample.now.adding(seconds: after),
                methods: methods,
                states: nil
            ).map(\.code)
        } catch {
            return [error.code]
        }
    }

    /// The presentation signed again with a change.
    private func signed(
        type: String = "vp+jwt",
        by key: DocumentKey? = nil,
        header: JSONObject = JSONObject(),
        namesKey: Bool = true,
        _ change: (inout JSONObject) throws -> Void = { _ in }
    ) throws -> JSONValue {
        var payload = try SignedToken(try present(), types: ["vp+jwt"]).payload
        try change(&payload)
        return .string(
            try SignedToken.sign(payload, type: type, by: key ?? holder, header: header, namesKey: namesKey)
        )
    }

    @Test(
        "[FORM-9] it holds for its verifier, bare or enveloped, with passports in every form that a presentation holds"
    )
    func good() throws {
        let text = try present([.jwt, .jcs, .rdfc, .p256])
        #expect(reasons(.string(text)) == [])
        let enveloped: JSONValue = [
            "@context": "https://www.w3.org/ns/credentials/v2", "type": "EnvelopedVerifiablePresentation",
            "id": .string("data:application/vp+jwt,\(text)"),
        ]
        #expect(reasons(enveloped) == [])
        let presentation = try Presentation(token: text)
        #expect(presentation.holder == holder.controller && presentation.credentials.count == 4)
        #expect(try SignedToken(text, types: ["vp+jwt"]).jws.header["cty"] == "vp")
        #expect(try reasons(signed(namesKey: false)) == [])
        // Who presents is said once: by `holder` or by `iss`.
        #expect(try reasons(signed { $0["iss"] = nil }) == [])
        #expect(try reasons(signed { $0["holder"] = nil }) == [])
        #expect(try reasons(signed { $0["aud"] = [.string(audience)] }) == [])
    }

    @Test("[FORM-9] another nonce, audience, holder or time, each with its own reason")
    func bindings() throws {
        let text = JSONValue.string(try present())
        #expect(reasons(text, nonce: "n-2") == [.wrongChallenge])
        #expect(reasons(text, audience: "https://evil.example") == [.wrongDomain])
        #expect(reasons(text, after: 300) == [.expired], "at its `exp`")
        #expect(reasons(text, after: -61) == [.notYetValid, .notYetValid], "neither it nor the passport in it")
        #expect(try reasons(signed { $0["exp"] = nil }, after: 301) == [.expired], "by its `iat`")
        #expect(try reasons(signed { $0["nbf"] = .integer(Sample.now.secondsSince1970 + 100) }) == [.notYetValid])
        #expect(try reasons(signed { $0["nonce"] = nil }) == [.wrongChallenge])
        #expect(try reasons(signed { $0["aud"] = nil }) == [.wrongDomain])
        #expect(try reasons(signed { $0["aud"] = [.string(audience), "https://evil.example"] }) == [.claimsContradict])
        // A stolen passport, shown by whoever stole it under the thief's own name, or under the agent's.
        let thief = DocumentKey(Sample.key(9))
        let item = Presentation.item(try FormSample.passport(.jwt))
        let stolen = try Presentation.signToken([item], by: thief, audience: audience, nonce: "n-1", now: Sample.now)
        #expect(reasons(.string(stolen)) == [.wrongHolder])
        #expect(try reasons(signed(by: thief)) == [.wrongHolder])
        #expect(try reasons(signed(by: thief, namesKey: false)) == [.badSignature])
    }

    @Test("[FORM-9] no algorithm, another one, and headers that name, bring or change the key are refused")
    func headers() throws {
        let thief = DocumentKey(Sample.key(9))
        for algorithm in ["none", "HS256", "RS256", "ES384", ""] {
            #expect(try reasons(signed(header: ["alg": .string(algorithm)])) == [.unsupportedProof], "\(algorithm)")
        }
        // Unsigned, as `none` would have it.
        let parts = try present().split(separator: ".")
        let none = Base64URL.encode(Array(#"{"alg":"none","typ":"vp+jwt"}"#.utf8))
        #expect(reasons(.string("\(none).\(parts[1]).")) == [.unsupportedProof])
        // The public key as the secret of a MAC; the kind of key that the algorithm does not fit.
        let macHeader = Base64URL.encode(Array(#"{"alg":"HS256","typ":"vp+jwt"}"#.utf8))
        let mac = Hashing.hmacSHA256(key: holder.did.publicKey, Array("\(macHeader).\(parts[1])".utf8))
        #expect(reasons(.string("\(macHeader).\(parts[1]).\(Base64URL.encode(mac))")) == [.unsupportedProof])
        #expect(try reasons(signed(header: ["alg": "ES256"])) == [.badSignature])
        #expect(try reasons(signed(header: ["alg": "Ed25519"])) == [], "the same algorithm, by RFC 9864's name")
        let jwk = JSONValue.object(thief.did.jwk)
        for header: JSONObject in [
            ["jwk": jwk], ["jku": "https://evil.example"], ["x5c": ["AA"]], ["x5u": "https://evil.example"],
            ["crit": ["exp"]], ["b64": false], ["zip": "DEF"], ["cty": "vc"], ["cty": 7],
        ] {
            #expect(try reasons(signed(by: thief, header: header)) == [.unsupportedProof], "\(header.keys)")
        }
        for kid: JSONValue in [
            .string(thief.verificationMethod), .string("\(holder.did.string)#\(thief.did.multibaseKey)"), "", "#", 7,
            "did:web:evil.example#1", .string(holder.did.string), "../../key", "'; DROP TABLE keys; --",
        ] {
            let codes = try reasons(signed(by: thief, header: ["kid": kid]))
            #expect(codes == [.wrongHolder] || codes == [.badSignature], "\(kid)")
        }
        for type in ["vc+jwt", "dc+sd-jwt", "kb+jwt", "JWT", "openid4vci-proof+jwt", ""] {
            #expect(try reasons(signed(type: type)) == [.unsupportedProof], "\(type)")
        }
    }

    @Test(
        "[FORM-9] a token and an embedded proof of one content are not mixed, and the token's claims say nothing else"
    )
    func mixed() throws {
        let embedded = try Presentation.sign(
            [Presentation.item(try FormSample.passport(.jwt))],
            by: holder,
            suite: .eddsaJCS2022,
            challenge: "n-1",
            domain: audience,
            now: Sample.now
        )
        #expect(try reasons(signed { $0["proof"] = embedded["proof"] }) == [.claimsContradict])
        for name in ["vp", "vc"] {
            #expect(try reasons(signed { $0[name] = .object(embedded) }) == [.claimsContradict])
        }
        // The token as the proof, or as the credential, of a document.
        var confused = embedded
        confused["proof"] = .string(try present())
        #expect(reasons(.object(confused)) == [.badSignature])
        #expect(try reasons(signed { $0["verifiableCredential"] = [.string(try present())] }) == [.malformed])
        let asCredential: JSONValue = [
            "@context": "https://www.w3.org/ns/credentials/v2", "type": "EnvelopedVerifiableCredential",
            "id": .string("data:application/vp+jwt,\(try present())"),
        ]
        #expect(try reasons(signed { $0["verifiableCredential"] = [asCredential] }) == [.unsupportedProof])
        #expect(throws: PassportReason.self) { try Credential(token: try present()) }
        #expect(throws: PassportReason.self) { try Passport(bytes: Array(try present().utf8)) }
        // A passport is not its own presentation.
        let passport = try #require(try FormSample.passport(.jwt).token)
        #expect(reasons(.string(passport)) == [.unsupportedProof])
        for (name, value) in [
            ("iss", "did:key:z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2"), ("iss", 7), ("jti", "urn:uuid:1"),
            ("nonce", ["n-1"]), ("aud", []), ("iat", "now"), ("exp", -1), ("nbf", .double(1.5)),
        ] as [(String, JSONValue)] {
            #expect(try reasons(signed { $0[name] = value }) == [.claimsContradict], "\(name)")
        }
        #expect(
            try reasons(
                signed {
                    $0["iss"] = nil
                    $0["holder"] = nil
                }
            ) == [.claimsContradict]
        )
        #expect(try reasons(signed { $0["type"] = ["VerifiableCredential"] }) == [.malformed])
        #expect(try reasons(signed { $0["@context"] = nil }) == [.malformed])
    }

    @Test("[FORM-9] every byte of the token changed is refused")
    func bytes() throws {
        let text = Array(try present().utf8)
        for place in text.indices where text[place] != UInt8(ascii: ".") {
            var changed = text
            changed[place] = text[place] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            #expect(!reasons(.string(String(decoding: changed, as: UTF8.self))).isEmpty, "byte \(place)")
        }
    }

    @Test(
        "[FORM-9] a holder that is no key of its own is verified by its document, with a key for authentication alone"
    )
    func resolvedHolder() throws {
        let did = "did:web:agent.example"
        let value = try signed(header: ["kid": .string("\(did)#k")]) {
            $0["iss"] = nil
            $0["holder"] = .string(did)
            $0["verifiableCredential"] = nil
        }
        func methods(_ purpose: String) throws -> VerificationMethods {
            var methods = VerificationMethods()
            let method: JSONValue = [
                "id": .string("\(did)#k"), "type": "Multikey", "controller": .string(did),
                "publicKeyMultibase": .string(holder.did.multibaseKey),
            ]
            try methods.add(["id": .string(did), "verificationMethod": [method], purpose: ["#k"]], of: did)
            return methods
        }
        #expect(try Presentation(value).presenterOfToken == did)
        #expect(try reasons(value, methods: methods("authentication")) == [])
        #expect(try reasons(value, methods: methods("assertionMethod")) == [.badSignature])
        #expect(reasons(value) == [.badSignature], "not resolved")
    }
}
