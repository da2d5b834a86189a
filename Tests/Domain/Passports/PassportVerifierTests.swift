import CanonicalJSON
import Cryptography
import Encodings
import Passports
import SignedDocuments
import TestSupport
import Testing

@Suite("Passport verification")
struct PassportVerifierTests {
    private let verifier = PassportVerifier(
        trustedIssuers: [Sample.issuer.did],
        requiredCapability: "pay",
        maximumStatusAgeSeconds: 300
    )

    private func lists(
        _ revocation: (inout VerifiedStatusList) -> Void = { _ in },
        suspension: (inout VerifiedStatusList) -> Void = { _ in }
    ) -> [String: VerifiedStatusList] {
        [
            Sample.listURL: Sample.list(.revocation, revocation),
            Sample.suspensionURL: Sample.list(.suspension, suspension),
        ]
    }

    private func codes(
        _ passport: Passport,
        at now: Timestamp = Sample.now.adding(seconds: 10),
        _ lists: [String: VerifiedStatusList]? = nil,
        verifier: PassportVerifier? = nil
    ) -> [PassportReason.Code] {
        (verifier ?? self.verifier).verify(passport, now: now, statusLists: lists ?? self.lists()).reasons.map(\.code)
    }

    @Test("a good passport is valid; a free place beside a set bit says nothing of it")
    func good() throws {
        let passport = try Sample.passport()
        #expect(codes(passport) == [])
        let neighbours = lists {
            $0.bitmap.set(94_566)
            $0.bitmap.set(94_568)
        }
        #expect(codes(passport, neighbours) == [])
    }

    @Test("[PASS-9] dates: a minute of grace at the beginning, none at the end")
    func dates() throws {
        let passport = try Sample.passport()
        let ageless = PassportVerifier(trustedIssuers: nil, statusPolicy: .skipped)
        func at(_ seconds: Int64) -> [PassportReason.Code] {
            codes(passport, at: Sample.now.adding(seconds: seconds), verifier: ageless)
        }
        #expect(at(-61) == [.notYetValid])
        #expect(at(-60) == [])
        #expect(at(86_399) == [])
        #expect(at(86_400) == [.expired])
        #expect(at(1_000_000) == [.expired])
    }

    @Test("[PASS-10] every reason is found, not the first alone")
    func allReasons() throws {
        let passport = try Sample.passport { $0.capabilities = ["invoke"] }
        var document = passport.document
        document["validUntil"] = "2026-11-21T00:00:01Z"
        let tampered = try Passport(document: document)
        let strict = PassportVerifier(trustedIssuers: [], requiredCapabilities: ["pay", "fly"])
        #expect(
            codes(tampered, [:], verifier: strict) == [
                .badSignature, .untrustedIssuer, .expired, .capabilityMissing, .capabilityMissing, .statusUnavailable,
                .statusUnavailable,
            ]
        )
    }

    @Test("[PASS-7] a passport that another key signed, or that names another issuer, is refused")
    func issuers() throws {
        let passport = try Sample.passport()
        let stranger = DocumentSigner(Sample.key(9))
        var document = passport.document
        document["proof"] = nil
        let resigned = try Passport(document: try DataIntegrity.sign(document, by: stranger, created: Sample.now))
        #expect(codes(resigned) == [.wrongIssuer])
        document["issuer"] = .string(stranger.did.string)
        let foreign = try Passport(document: try DataIntegrity.sign(document, by: stranger, created: Sample.now))
        #expect(codes(foreign) == [.untrustedIssuer, .statusInvalid, .statusInvalid])
        document["proof"] = passport.document["proof"]
        #expect(codes(try Passport(document: document)).first == .badSignature)
    }

    @Test("[PASS-7] a proof for another purpose, or with an end of its own, is refused")
    func otherProofs() throws {
        var document = try Sample.passport().document
        document["proof"] = nil
        let signed = try DataIntegrity.sign(document, by: Sample.issuer, purpose: .authentication, created: Sample.now)
        #expect(codes(try Passport(document: signed)) == [.badSignature])
    }

    @Test("a subject whose key cannot sign requests is refused")
    func subjectKeys() throws {
        let passport = try Sample.passport {
            $0.subject = try DIDKey(parsing: "did:key:zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv")
        }
        #expect(codes(passport) == [.subjectKeyUnsupported])
    }

    @Test("[STAT-7] set bits refuse, each by its purpose, stale list or not")
    func bits() throws {
        let passport = try Sample.passport()
        #expect(codes(passport, lists { $0.bitmap.set(94_567) }) == [.revoked])
        #expect(codes(passport, lists(suspension: { $0.bitmap.set(7) })) == [.suspended])
        let later = Sample.now.adding(seconds: 3_600)
        #expect(codes(passport, at: later, lists({ $0.bitmap.set(94_567) })) == [.revoked, .statusStale])
    }

    @Test("[STAT-3] a list too old for the verifier, lapsed, or from the future is not relied on")
    func staleLists() throws {
        let passport = try Sample.passport()
        #expect(codes(passport, at: Sample.now.adding(seconds: 300)) == [])
        #expect(codes(passport, at: Sample.now.adding(seconds: 301)) == [.statusStale, .statusStale])
        let patient = PassportVerifier(trustedIssuers: nil, statusPolicy: .required(maximumAgeSeconds: nil))
        #expect(codes(passport, at: Sample.now.adding(seconds: 3_599), verifier: patient) == [])
        #expect(
            codes(passport, at: Sample.now.adding(seconds: 3_600), verifier: patient) == [.statusStale, .statusStale]
        )
        let ahead = lists({ $0.validFrom = Sample.now.adding(seconds: 100) })
        #expect(codes(passport, at: Sample.now, ahead) == [.statusInvalid])
    }

    @Test("[STAT-6] a list of another issuer, purpose, place or length is not this passport's")
    func foreignLists() throws {
        let passport = try Sample.passport()
        #expect(codes(passport, lists { $0.issuer = DIDKey(Sample.key(9).publicKey) }) == [.statusInvalid])
        #expect(codes(passport, lists { $0.purpose = .suspension }) == [.statusInvalid])
        #expect(codes(passport, lists { $0.url = "https://node.example/status/9" }) == [.statusInvalid])
        let far = try Sample.passport { $0.status[0].index = 131_072 }
        #expect(codes(far) == [.statusInvalid])
    }

    @Test("[STAT-10] a list that is not at hand, or refused for a reason, refuses the passport with that reason")
    func missingLists() throws {
        let passport = try Sample.passport()
        var some = lists()
        some[Sample.suspensionURL] = nil
        #expect(codes(passport, some) == [.statusUnavailable])
        let verdict = verifier.verify(
            passport,
            now: Sample.now,
            states: [
                Sample.listURL: .refused(PassportReason(.statusRolledBack, "older")),
                Sample.suspensionURL: .list(Sample.list(.suspension)),
            ]
        )
        #expect(verdict.reasons.map(\.code) == [.statusRolledBack])
        let bare = try Sample.passport { $0.status = [] }
        #expect(codes(bare) == [.statusMissing])
        #expect(codes(try Sample.passport { $0.status.removeFirst() }) == [.statusMissing])
    }

    @Test("[PASS-14] possession: the signature is for one use, challenge, node and key")
    func possession() throws {
        let key = Sample.key(5)
        let did = DIDKey(key.publicKey)
        let node = Sample.issuer.did
        let signature = try PossessionProof.sign(.registration, challenge: "c1", node: node, key: key)
        #expect(PossessionProof.isValid(signature, .registration, challenge: "c1", node: node, key: did))
        #expect(!PossessionProof.isValid(signature, .rotation, challenge: "c1", node: node, key: did))
        #expect(!PossessionProof.isValid(signature, .registration, challenge: "c2", node: node, key: did))
        #expect(!PossessionProof.isValid(signature, .registration, challenge: "c1", node: did, key: did))
        #expect(!PossessionProof.isValid(signature, .registration, challenge: "c1", node: node, key: node))
        #expect(!PossessionProof.isValid("", .registration, challenge: "c1", node: node, key: did))
        #expect(!PossessionProof.isValid("%", .registration, challenge: "c1", node: node, key: did))
        let text = String(
            decoding: PossessionProof.message(.registration, challenge: "c1", node: node, key: did),
            as: UTF8.self
        )
        #expect(text == "mintmark key possession v1\nregistration\nc1\n\(node)\n\(did)")
    }
}
