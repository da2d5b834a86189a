import CanonicalJSON
import Cryptography
import Encodings
import SignedDocuments
import TestSupport
import Testing

@testable import Passports

/// What the tests of the forms share.
enum FormSample {
    static let edwards = DocumentKey(Sample.issuer)
    static let p256 = DocumentKey((try? P256.PrivateKey(bytes: [UInt8](repeating: 7, count: 32))) ?? P256.PrivateKey())
    static let tokenURL = "https://node.example/status/1/token"

    static func key(_ form: PassportForm) -> DocumentKey { form.keyKind == .ed25519 ? edwards : p256 }

    static func passport(_ form: PassportForm) throws -> Passport {
        let claims = try Sample.claims {
            if form.statusFormat == .token {
                $0.status = [StatusEntry(purpose: .revocation, listURL: tokenURL, index: 94_567, format: .token)]
            }
        }
        return try Passport.issue(claims, form: form, by: key(form), now: Sample.now)
    }

    static func lists(
        _ form: PassportForm,
        _ change: (inout VerifiedStatusList) -> Void = { _ in }
    ) -> [String: VerifiedStatusList] {
        if form.statusFormat == .token {
            var list = Sample.list()
            list.url = tokenURL
            list.issuer = p256.did
            list.suspensions = StatusBitmap()
            change(&list)
            return [tokenURL: list]
        }
        var result: [String: VerifiedStatusList] = [:]
        for purpose in [StatusPurpose.revocation, .suspension] {
            var list = Sample.list(purpose)
            list.issuer = key(form).did
            change(&list)
            result[list.url] = list
        }
        return result
    }

    static func verifier(_ form: PassportForm) -> PassportVerifier {
        PassportVerifier(trustedIssuers: [key(form).did], requiredCapability: "pay", maximumStatusAgeSeconds: 300)
    }

    static func reasons(
        _ passport: Passport,
        _ form: PassportForm,
        _ change: (inout VerifiedStatusList) -> Void = { _ in }
    ) -> [PassportReason.Code] {
        verifier(form).verify(passport, now: Sample.now, statusLists: lists(form, change)).reasons.map(\.code)
    }
}

@Suite("the forms of a passport")
struct PassportFormTests {
    @Test(
        "[FORM-1] each form is issued, carried in the header, read back and verified, and says the same",
        arguments: PassportForm.allCases
    )
    func roundTrip(form: PassportForm) throws {
        let passport = try FormSample.passport(form)
        #expect(passport.form == form)
        #expect(FormSample.reasons(passport, form) == [])
        let carried = try Passport(header: passport.encodedHeader)
        #expect(carried == passport)
        #expect(try Passport(bytes: passport.bytes) == passport)
        let claims = try Sample.claims()
        #expect(carried.id == claims.id && carried.agentID == claims.agentID && carried.subject == claims.subject)
        #expect(carried.name == claims.name && carried.operatorName == claims.operatorName)
        #expect(Set(carried.capabilities) == Set(claims.capabilities) && carried.spendLimit == claims.spendLimit)
        #expect(carried.validFrom == claims.validFrom && carried.validUntil == claims.validUntil)
        #expect(carried.commits(to: DIDKey(Sample.key(3).publicKey)))
    }

    @Test(
        "each form is refused when it is revoked, suspended, expired, early, or of an issuer not trusted",
        arguments: PassportForm.allCases
    )
    func live(form: PassportForm) throws {
        let passport = try FormSample.passport(form)
        #expect(
            FormSample.reasons(passport, form) { if $0.purpose == .revocation { $0.bitmap.set(94_567) } } == [.revoked]
        )
        #expect(
            FormSample.reasons(passport, form) {
                if $0.purpose == .suspension { $0.bitmap.set(7) }
                $0.suspensions?.set(94_567)
            } == [.suspended]
        )
        let verifier = FormSample.verifier(form)
        let late = verifier.verify(passport, now: passport.validUntil, statusLists: FormSample.lists(form))
        #expect(late.contains(.expired))
        let early = verifier.verify(
            passport,
            now: passport.validFrom.adding(seconds: -61),
            statusLists: FormSample.lists(form)
        )
        #expect(early.contains(.notYetValid))
        var other = verifier
        other.trustedIssuers = [DIDKey(Sample.key(9).publicKey)]
        #expect(other.verify(passport, now: Sample.now, statusLists: FormSample.lists(form)).contains(.untrustedIssuer))
        #expect(verifier.verify(passport, now: Sample.now, statusLists: [:]).contains(.statusUnavailable))
        // A list of another issuer, under the right URL.
        #expect(
            Set(FormSample.reasons(passport, form) { $0.issuer = DIDKey(Sample.key(9).publicKey) }) == [.statusInvalid]
        )
    }

    @Test(
        "[FORM-8] a token with any byte changed is refused for its shape or its signature",
        arguments: [PassportForm.jwt, .sdJWT]
    )
    func tokenBytes(form: PassportForm) throws {
        let text = Array(try #require(try FormSample.passport(form).token).utf8)
        let expected: Set<PassportReason.Code> = [
            .malformed, .unsupportedProof, .claimsContradict, .badSignature, .wrongIssuer,
        ]
        for place in text.indices where text[place] != UInt8(ascii: ".") {
            var bytes = text
            bytes[place] = bytes[place] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            let found: PassportReason.Code?
            do throws(PassportReason) {
                found = FormSample.reasons(try Passport(bytes: bytes), form).first
            } catch {
                found = error.code
            }
            #expect(found.map(expected.contains) == true, "byte \(place): \(found?.rawValue ?? "valid")")
        }
    }

    @Test("[FORM-4] JWT and embedded proof mixed, and claims that say otherwise, each with its reason")
    func mixed() throws {
        let document = try Sample.claims().document(issuer: FormSample.edwards.did)
        func sign(_ change: (inout JSONObject) -> Void) throws -> PassportReason.Code? {
            var payload = document
            change(&payload)
            let token = try SignedToken.sign(payload, type: "vc+jwt", by: FormSample.edwards)
            do {
                let passport = try Passport(bytes: Array(token.utf8))
                return FormSample.reasons(passport, .jwt).first
            } catch {
                return error.code
            }
        }
        #expect(try sign { _ in } == nil)
        let embedded = try DataIntegrity.sign(
            document,
            by: FormSample.edwards,
            suite: .eddsaJCS2022,
            created: Sample.now
        )
        #expect(try sign { $0["proof"] = embedded["proof"] } == .claimsContradict)
        #expect(try sign { $0["vc"] = .object(document) } == .claimsContradict)
        #expect(
            try sign { $0["iss"] = "did:key:z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2" } == .claimsContradict
        )
        #expect(try sign { $0["sub"] = .string(FormSample.p256.did.string) } == .claimsContradict)
        #expect(try sign { $0["jti"] = "urn:uuid:other" } == .claimsContradict)
        #expect(try sign { $0["nbf"] = .integer(Sample.now.secondsSince1970 - 1) } == .claimsContradict)
        #expect(try sign { $0["exp"] = .integer(Sample.now.secondsSince1970 + 1_000_000) } == .claimsContradict)
        #expect(try sign { $0["exp"] = "never" } == .claimsContradict)
        #expect(try sign { $0["issuer"] = .string(FormSample.p256.did.string) } == .wrongIssuer)
        #expect(try sign { $0["scope"] = "all" } == .malformed)
        // The proof of a token set into the document, and the document's as a token.
        var confused = document
        confused["proof"] = .string(try SignedToken.sign(document, type: "vc+jwt", by: FormSample.edwards))
        #expect(throws: PassportReason.self) { try Passport(document: confused) }
        #expect(throws: PassportReason.self) {
            try Passport(
                bytes: Array(try SignedToken.sign(document, type: "statuslist+jwt", by: FormSample.edwards).utf8)
            )
        }
    }

    @Test("[FORM-5] an SD-JWT passport shows what its holder likes, but never hides a limit, its status or its key")
    func withholding() throws {
        let text = try #require(try FormSample.passport(.sdJWT).token)
        let whole = try SDJWT(text, types: ["dc+sd-jwt"])
        #expect(
            Set(whole.disclosures.map { $0.name ?? $0.value.stringValue ?? "" }) == [
                "agentName", "operator", "pay", "invoke",
            ]
        )
        let little = try Passport(bytes: Array(whole.presenting { $0.value == "pay" }.utf8))
        #expect(little.capabilities == ["pay"] && little.operatorName == nil && little.name == little.agentID)
        #expect(little.spendLimit == (try SpendLimit.satoshi(5000)))
        #expect(FormSample.reasons(little, .sdJWT) == [])
        let none = try Passport(bytes: Array(whole.presenting { _ in false }.utf8))
        #expect(FormSample.reasons(none, .sdJWT) == [.capabilityMissing])
        // An issuer that hides a limit makes no passport.
        for (name, value) in [
            ("spendLimit", try SpendLimit.satoshi(1).json), ("exp", 1),
            ("status", ["status_list": ["idx": 1, "uri": "https://a.example/1"]]),
        ] as [(String, JSONValue)] {
            var builder = SDJWTBuilder()
            var payload = whole.token.payload
            payload.removeValue(forKey: name)
            payload.removeValue(forKey: "_sd")
            payload["capability"] = []
            builder.hide([(name, value)], in: &payload)
            let made = try builder.issue(payload, type: "dc+sd-jwt", by: FormSample.p256)
            #expect(throws: PassportReason.self, "\(name)") { try Passport(bytes: Array(made.utf8)) }
        }
        var payload = whole.token.payload
        payload["cnf"] = ["jwk": .object(DIDKey(Sample.key(9).publicKey).jwk)]
        let stolen = try SignedToken.sign(payload, type: "dc+sd-jwt", by: FormSample.p256) + "~"
        #expect(throws: PassportReason.self) { try Passport(bytes: Array(stolen.utf8)) }
    }
}

@Suite("Token Status Lists")
struct TokenStatusListTests {
    @Test("the draft's vectors: all widths, byte for byte")
    func publishedVectors() throws {
        let vectors = try JSONValue.parse(try Fixtures.bytes("token-status-list/token-status-list.json"))
        for vector in try vectors.array("short") {
            let bits = Int(try vector.int64("bits"))
            let bytes = try TokenStatusList.decode(try vector.string("lst"), bits: bits)
            #expect(Hex.encode(bytes) == (try vector.string("bytes")))
        }
        for vector in try vectors.array("long") {
            let bits = Int(try vector.int64("bits"))
            let bytes = try TokenStatusList.decode(try vector.string("lst"), bits: bits)
            #expect(bytes.count == (1 << 20) * bits / 8)
            var others = 0
            let entries = try vector.object("entries")
            for index in 0..<(1 << 20) {
                let value = TokenStatusList.entry(index, of: bytes, bits: bits)
                if value != 0, !entries.contains(String(index)) { others += 1 }
            }
            #expect(others == 0)
            for (index, value) in entries {
                let found = TokenStatusList.entry(try #require(Int(index)), of: bytes, bits: bits)
                #expect(found.map(Int64.init) == value.int64Value, "\(bits) bits at \(index)")
            }
            #expect(TokenStatusList.entry(1 << 20, of: bytes, bits: bits) == nil)
        }
        let token = try SignedToken(try vectors.string("jwt"), types: ["statuslist+jwt"])
        #expect(token.payload["sub"] == "https://example.com/statuslists/1")
        // Its signature holds by the draft's key, and by no other; as a list of ours it is refused for its issuer, which is
        // not its own key.
        #expect(token.jws.isSigned(by: try DIDKey(jwk: try vectors.value("jwtKey"))))
        #expect(!token.jws.isSigned(by: FormSample.p256.did))
        let bytes = Array(try vectors.string("jwt").utf8)
        #expect(
            reasonCode {
                _ = try StatusListCredential.verify(bytes: bytes, url: "https://example.com/statuslists/1")
            } == .statusInvalid
        )
    }

    private func list(_ change: (inout VerifiedStatusList) -> Void = { _ in }) -> VerifiedStatusList {
        FormSample.lists(.sdJWT, change)[FormSample.tokenURL] ?? Sample.list()
    }

    @Test("[FORM-6] the bits of both Bitstring lists come back from the token, revoked before suspended")
    func sameBits() throws {
        var random = SeededRandom(seed: 11)
        let list = list {
            for _ in 0..<500 { $0.bitmap.set(Int(random.next() % 131_072)) }
            for _ in 0..<500 { $0.suspensions?.set(Int(random.next() % 131_072)) }
            $0.bitmap.set(0)
            $0.suspensions?.set(131_071)
        }
        let text = try TokenStatusList.issue(list, by: FormSample.p256)
        let read = try StatusListCredential.verify(bytes: Array(text.utf8), url: list.url)
        #expect(read.bitmap == list.bitmap && read.sequence == list.sequence && read.issuer == list.issuer)
        for index in 0..<131_072 {
            let suspended = list.suspensions?.isSet(index) == true && list.bitmap.isSet(index) == false
            #expect(read.suspensions?.isSet(index) == suspended)
        }
    }

    private func refusal(
        _ url: String = FormSample.tokenURL,
        type: String = "statuslist+jwt",
        by key: DocumentKey = FormSample.p256,
        _ change: (inout JSONObject) throws -> Void
    ) throws -> PassportReason.Code? {
        let text = try TokenStatusList.issue(list(), by: FormSample.p256)
        var payload = try SignedToken(text, types: ["statuslist+jwt"]).payload
        try change(&payload)
        let changed = try SignedToken.sign(payload, type: type, by: key)
        do {
            _ = try StatusListCredential.verify(bytes: Array(changed.utf8), url: url)
            return nil
        } catch {
            return error.code
        }
    }

    @Test("of another issuer, for another URL, too short, a bomb, without bounds, or of another type: refused")
    func attacks() throws {
        #expect(try refusal { _ in } == nil)
        #expect(try refusal(by: FormSample.edwards) { _ in } == .statusInvalid)
        #expect(try refusal("https://node.example/status/2/token") { _ in } == .statusInvalid)
        #expect(try refusal(type: "vc+jwt") { _ in } == .statusInvalid)
        func lst(_ bytes: [UInt8], bits: Int64 = 2) throws -> JSONValue {
            ["bits": .integer(bits), "lst": .string(try TokenStatusList.encode(bytes))]
        }
        #expect(try refusal { $0["status_list"] = try lst([0xb9, 0xa3], bits: 1) } == .statusInvalid)
        #expect(try refusal { $0["status_list"] = try lst([UInt8](repeating: 0, count: 64 << 20)) } == .statusInvalid)
        #expect(
            try refusal { $0["status_list"] = try lst([UInt8](repeating: 0, count: 32_768), bits: 3) } == .statusInvalid
        )
        #expect(try refusal { $0["status_list"] = ["bits": 2, "lst": "%%"] } == .statusInvalid)
        #expect(try refusal { $0["exp"] = nil } == .statusInvalid)
        #expect(try refusal { $0["exp"] = .integer(Sample.now.secondsSince1970 + 32 * 86_400) } == .statusInvalid)
        #expect(try refusal { $0["iat"] = .integer(.max) } == .statusInvalid)
        #expect(try refusal { $0["ttl"] = "soon" } == .statusInvalid)
        #expect(try refusal { $0["sequence"] = -1 } == .statusInvalid)
        // Raw deflate and gzip are not zlib.
        #expect(
            try refusal {
                $0["status_list"] = [
                    "bits": 2,
                    "lst": .string(Base64URL.encode(try Gzip.compress([UInt8](repeating: 0, count: 32_768)))),
                ]
            } == .statusInvalid
        )
    }

    @Test("a Bitstring passport is not looked up in a token list, nor the other way round")
    func notations() throws {
        let passport = try FormSample.passport(.sdJWT)
        #expect(FormSample.reasons(passport, .sdJWT) { $0.suspensions = nil } == [.statusInvalid])
        let embedded = try FormSample.passport(.jcs)
        #expect(
            FormSample.reasons(embedded, .jcs) { $0.suspensions = StatusBitmap() } == [.statusInvalid, .statusInvalid]
        )
    }
}
