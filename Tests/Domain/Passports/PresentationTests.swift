import CanonicalJSON
import Cryptography
import Encodings
import SignedDocuments
import Testing

@testable import Passports

@Suite("presentations and credentials of every kind")
struct PresentationTests {
    private let holder = DocumentKey(Sample.key(2))
    private let challenge = "c-1"
    private let domain = "https://shop.example"

    private func present(
        _ forms: [PassportForm] = [.jcs],
        by key: DocumentKey? = nil,
        suite: Cryptosuite = .eddsaJCS2022
    ) throws -> JSONObject {
        try Presentation.sign(
            try forms.map { Presentation.item(try FormSample.passport($0)) },
            by: key ?? holder,
            suite: suite,
            challenge: challenge,
            domain: domain,
            now: Sample.now
        )
    }

    private func reasons(
        _ document: JSONObject,
        challenge: String? = "c-1",
        domain: String? = "https://shop.example",
        after: Int64 = 1,
        states: [String: StatusListState]? = nil
    ) -> [PassportReason.Code] {
        do {
            return try Presentation(.object(document)).reasons(
                expecting: Presentation.Expectation(challenge: challenge, domain: domain),
                now: Sample.now.adding(seconds: after),
                states: states
            ).map(\.code)
        } catch {
            return [error.code]
        }
    }

    @Test("a presentation of passports in every embedded and JWT form holds for its verifier")
    func good() throws {
        let document = try present([.jcs, .rdfc, .p256, .jwt])
        #expect(reasons(document) == [])
        #expect(reasons(try present([.rdfc], suite: .eddsaRDFC2022)) == [])
        var states = FormSample.lists(.jcs).mapValues { StatusListState.list($0) }
        #expect(reasons(try present(), states: states) == [])
        states = FormSample.lists(.jcs) { $0.bitmap.set(94_567) }.mapValues { .list($0) }
        #expect(reasons(try present(), states: states) == [.revoked])
        #expect(reasons(try present(), states: [:]) == [.statusUnavailable, .statusUnavailable])
    }

    @Test("another challenge, domain, holder or time, each with its own reason")
    func attacks() throws {
        let document = try present()
        #expect(reasons(document, challenge: "c-2") == [.wrongChallenge])
        #expect(reasons(document, domain: "https://evil.example") == [.wrongDomain])
        #expect(reasons(document, after: 301) == [.expired])
        #expect(reasons(document, after: -61).contains(.notYetValid))
        // A stolen passport, shown by whoever stole it.
        #expect(reasons(try present(by: DocumentKey(Sample.key(9)))) == [.wrongHolder])
        var renamed = document
        renamed["holder"] = .string(DIDKey(Sample.key(9).publicKey).string)
        #expect(reasons(renamed).contains(.badSignature))
        var bare = document
        bare.removeValue(forKey: "proof")
        #expect(reasons(bare) == [.badSignature])
        // A proof made for saying something is none for showing it.
        var asserted = document
        asserted.removeValue(forKey: "proof")
        asserted = try DataIntegrity.sign(
            asserted,
            by: holder,
            suite: .eddsaJCS2022,
            created: Sample.now,
            answering: (challenge, domain)
        )
        #expect(reasons(asserted) == [.badSignature])
    }

    @Test(
        "a presentation over canonical RDF holds passports of every form: a proof that repeats its document's contexts, too"
    )
    func mixedSuites() throws {
        let document = try present([.jcs, .rdfc, .p256, .jwt], suite: .eddsaRDFC2022)
        #expect(reasons(document) == [])
        // Other contexts than the document's would be other statements: those stay refused.
        for context: JSONValue in [
            ["https://www.w3.org/ns/credentials/v2"], "https://www.w3.org/ns/credentials/v2",
            [
                "https://www.w3.org/ns/credentials/undefined-terms/v2", "https://www.w3.org/ns/credentials/v2",
            ],
        ] {
            var passport = try FormSample.passport(.jcs).document
            var proof = try passport.object("proof")
            proof["@context"] = context
            passport["proof"] = .object(proof)
            #expect(throws: DocumentError.self) {
                try Presentation.sign(
                    [.object(passport)],
                    by: holder,
                    suite: .eddsaRDFC2022,
                    challenge: challenge,
                    domain: domain,
                    now: Sample.now
                )
            }
        }
        for (name, value) in try FormSample.passport(.jcs).document {
            var changed = document
            var list = try document.array("verifiableCredential")
            var passport = try list[0].requireObject("a passport")
            passport[name] = value.stringValue.map { .string($0 + "x") } ?? [:]
            list[0] = .object(passport)
            changed["verifiableCredential"] = .array(list)
            #expect(!reasons(changed).isEmpty, "\(name)")
        }
    }

    @Test("the data model's rules for credentials: what the W3C's suite has refused")
    func shapes() throws {
        let good: JSONObject = [
            "@context": [
                "https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/undefined-terms/v2",
            ],
            "type": ["VerifiableCredential"], "issuer": ["id": "did:example:i", "name": "I"],
            "credentialSubject": ["id": "did:example:s", "a": 1],
        ]
        func refused(_ change: (inout JSONObject) -> Void) -> Bool {
            var copy = good
            change(&copy)
            do {
                try CredentialShape.check(copy)
                return false
            } catch {
                return error.code == .malformed
            }
        }
        #expect(!refused { _ in })
        #expect(!refused { $0["type"] = "VerifiableCredential" })
        #expect(!refused { $0["credentialSubject"] = [["a": 1], ["id": "https://s.example/1"]] })
        #expect(!refused { $0["name"] = ["@value": "N", "@language": "en"] })
        #expect(!refused { $0["credentialSchema"] = ["id": "https://s.example/1", "type": "JsonSchema"] })
        #expect(refused { $0["@context"] = "https://www.w3.org/ns/credentials/v2" })
        #expect(refused { $0["@context"] = ["https://www.w3.org/2018/credentials/v1"] })
        #expect(refused { $0["@context"] = ["https://www.w3.org/ns/credentials/v2", "not a url"] })
        #expect(refused { $0["type"] = ["Other"] })
        #expect(refused { $0["type"] = nil })
        #expect(refused { $0["id"] = "no url" })
        #expect(refused { $0["id"] = ["https://a.example/1"] })
        #expect(refused { $0["issuer"] = nil })
        #expect(refused { $0["issuer"] = "someone" })
        #expect(refused { $0["issuer"] = [["id": "did:example:i"]] })
        #expect(refused { $0["credentialSubject"] = nil })
        #expect(refused { $0["credentialSubject"] = [:] })
        #expect(refused { $0["credentialSubject"] = [["a": 1], [:]] })
        #expect(refused { $0["credentialSubject"] = "did:example:s" })
        #expect(refused { $0["credentialSubject"] = ["id": "who", "a": 1] })
        #expect(refused { $0["validFrom"] = "2026-01-01" })
        #expect(refused { $0["validUntil"] = "tomorrow" })
        #expect(
            refused {
                $0["validFrom"] = "2027-01-01T00:00:00Z"; $0["validUntil"] = "2026-01-01T00:00:00Z"
            }
        )
        for name in ["termsOfUse", "evidence", "refreshService", "credentialSchema", "credentialStatus"] {
            #expect(refused { $0[name] = ["id": "https://a.example/1"] }, "\(name)")
            #expect(refused { $0[name] = "https://a.example/1" }, "\(name)")
        }
        #expect(refused { $0["credentialSchema"] = ["type": "JsonSchema"] })
        #expect(refused { $0["name"] = 7 })
        #expect(refused { $0["relatedResource"] = [["id": "https://a.example/1"]] })
        #expect(refused { $0["relatedResource"] = [["id": "https://a.example/1", "digestSRI": "sha256-AAAA"]] })
        let digest = "sha256-" + Base64.encode(Hashing.sha256([]))
        #expect(!refused { $0["relatedResource"] = [["id": "https://a.example/1", "digestSRI": .string(digest)]] })
        #expect(
            refused {
                let one: JSONValue = ["id": "https://a.example/1", "digestSRI": .string(digest)]
                $0["relatedResource"] = [one, one]
            }
        )
    }

    @Test("a credential of anybody is verified by its issuer's document, in either form")
    func credentials() throws {
        let document: JSONObject = [
            "@context": [
                "https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/undefined-terms/v2",
            ],
            "type": ["VerifiableCredential"], "issuer": .string(FormSample.p256.did.string),
            "credentialSubject": ["a": 1], "validFrom": .string(Sample.now.rfc3339),
        ]
        let embedded = try DataIntegrity.sign(document, by: FormSample.p256, suite: .ecdsaJCS2019, created: Sample.now)
        #expect(try Credential(.object(embedded)).reasons(now: Sample.now, states: nil) == [])
        let token = try SignedToken.sign(document, type: "vc+jwt", by: FormSample.p256)
        #expect(try Credential(.string(token)).reasons(now: Sample.now, states: nil) == [])
        var foreign = document
        foreign["issuer"] = "did:web:node.example"
        let signed = try DataIntegrity.sign(foreign, by: FormSample.p256, suite: .ecdsaJCS2019, created: Sample.now)
        #expect(try Credential(.object(signed)).reasons(now: Sample.now, states: nil).map(\.code) == [.wrongIssuer])
        let enveloped: JSONValue = [
            "@context": ["https://www.w3.org/ns/credentials/v2"], "type": "EnvelopedVerifiableCredential",
            "id": .string("data:application/vc+jwt,\(token)"),
        ]
        #expect(try Credential(enveloped).reasons(now: Sample.now, states: nil) == [])
        #expect(throws: PassportReason.self) {
            try Credential(["type": "EnvelopedVerifiableCredential", "id": "https://a.example/1"])
        }
    }
}
