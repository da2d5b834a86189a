import CanonicalJSON
import Cryptography
import Encodings
import Passports
import SignedDocuments
import TestSupport
import Testing

/// What the tests of this room share.
enum Sample {
    static let now = Timestamp(secondsSince1970: 1_795_219_200)
    static let issuer = DocumentSigner(key(1))
    static let listURL = "https://node.example/status/1"
    static let suspensionURL = "https://node.example/status/2"

    static func key(_ byte: UInt8) -> Ed25519.PrivateKey {
        // A seed of 32 bytes always makes a key.
        (try? Ed25519.PrivateKey(seed: [UInt8](repeating: byte, count: 32))) ?? Ed25519.PrivateKey()
    }

    static func claims(_ change: (inout PassportClaims) throws -> Void = { _ in }) throws -> PassportClaims {
        var claims = PassportClaims(
            id: "urn:uuid:7f2c1c1e-8a6e-4a7e-9b1c-0a9d1d6a3f01",
            agentID: "urn:uuid:00000000-0000-4000-8000-000000000001",
            subject: DIDKey(key(2).publicKey),
            name: "route-planner",
            operatorName: "did:web:operator.example",
            capabilities: ["pay", "invoke"],
            spendLimit: try .satoshi(5000),
            nextKeyDigest: MultihashDigest.commitment(to: DIDKey(key(3).publicKey)),
            validFrom: now,
            validUntil: now.adding(seconds: 86_400),
            status: [
                StatusEntry(purpose: .revocation, listURL: listURL, index: 94_567),
                StatusEntry(purpose: .suspension, listURL: suspensionURL, index: 7),
            ]
        )
        try change(&claims)
        return claims
    }

    static func passport(_ change: (inout PassportClaims) throws -> Void = { _ in }) throws -> Passport {
        try Passport.issue(try claims(change), by: issuer, now: now)
    }

    static func list(
        _ purpose: StatusPurpose = .revocation,
        sequence: UInt64 = 5,
        signedAt: Timestamp = now,
        _ change: (inout VerifiedStatusList) -> Void = { _ in }
    ) -> VerifiedStatusList {
        var list = VerifiedStatusList(
            url: purpose == .revocation ? listURL : suspensionURL,
            issuer: issuer.did,
            purpose: purpose,
            sequence: sequence,
            validFrom: signedAt,
            validUntil: signedAt.adding(seconds: 3600),
            ttlMilliseconds: 60_000,
            bitmap: StatusBitmap()
        )
        change(&list)
        return list
    }
}

/// The code a body throws, or nil.
func reasonCode(_ body: () throws -> Void) -> PassportReason.Code? {
    do {
        try body()
        return nil
    } catch let reason as PassportReason {
        return reason.code
    } catch {
        Issue.record("another error: \(error)")
        return nil
    }
}

@Suite("Passport documents")
struct PassportTests {
    @Test("[PASS-1] the passport that other implementations accepted verifies here, and says what it says")
    func acceptedElsewhere() throws {
        let fixture = try JSONValue.parse(try Fixtures.bytes("passport/accepted-elsewhere.json"))
        let passport = try Passport(document: try fixture.object("passport"))
        #expect(PassportVerifier.signatureReason(passport) == nil)
        #expect(passport.name == "route-planner")
        #expect(passport.operatorName == "did:web:operator.example")
        #expect(passport.capabilities == ["pay", "invoke"])
        #expect(passport.spendLimit?.amountMinor == 50_000)
        #expect(passport.spendLimit?.unit == "usd")
        #expect(passport.agentID == passport.subject.string)  // [PASS-4] it names no agentId
        #expect(passport.nextKeyDigest == nil)
        #expect(passport.statusEntry(.revocation)?.index == 94_567)
        let verdict = PassportVerifier(trustedIssuers: [passport.issuer], statusPolicy: .skipped)
            .verify(passport, now: try Timestamp(rfc3339: "2026-12-01T00:00:00Z"), statusLists: [:])
        #expect(verdict.isValid)
    }

    @Test("[PASS-11] what is issued comes back from bytes and from the header, with all its claims")
    func roundTrip() throws {
        let claims = try Sample.claims()
        let passport = try Sample.passport()
        for read in [passport, try Passport(bytes: passport.bytes), try Passport(header: passport.encodedHeader)] {
            #expect(read == passport)
            #expect(read.id == claims.id)
            #expect(read.agentID == claims.agentID)
            #expect(read.issuer == Sample.issuer.did)
            #expect(read.subject == claims.subject)
            #expect(read.spendLimit == claims.spendLimit)
            #expect(read.spendLimit?.unit == "sat")
            #expect(read.validFrom == claims.validFrom && read.validUntil == claims.validUntil)
            #expect(read.status == claims.status)
            #expect(read.capabilities == claims.capabilities)
            #expect(PassportVerifier.signatureReason(read) == nil)
        }
        #expect(passport.bytes.count < 2_048)
        #expect(passport.document["proof"]?["@context"] == passport.document["@context"])  // [PASS-8]
        #expect(!passport.encodedHeader.contains("="))
    }

    @Test("[PASS-5] the commitment fits the next key and no other")
    func preRotation() throws {
        let passport = try Sample.passport()
        #expect(passport.commits(to: DIDKey(Sample.key(3).publicKey)))
        #expect(!passport.commits(to: DIDKey(Sample.key(4).publicKey)))
        #expect(!(try Sample.passport { $0.nextKeyDigest = nil }).commits(to: DIDKey(Sample.key(3).publicKey)))
    }

    private func refused(_ change: (inout JSONObject) throws -> Void) throws -> String? {
        var document = try Sample.passport().document
        try change(&document)
        do throws(PassportReason) {
            _ = try Passport(document: document)
            return nil
        } catch {
            #expect(error.code == .malformed)
            return error.message
        }
    }

    private func subject(_ change: (inout JSONObject) throws -> Void) throws -> String? {
        try refused { document in
            var subject = try document.object("credentialSubject")
            try change(&subject)
            document["credentialSubject"] = .object(subject)
        }
    }

    @Test("[PASS-2] unknown members at the top are refused, in the subject they pass")
    func unknownMembers() throws {
        for name in ["termsOfUse", "evidence", "credentialSchema", "Issuer", "validfrom"] {
            #expect(try refused { $0[name] = [:] }?.contains(name) == true)
        }
        #expect(try refused { $0["name"] = "a name" } == nil)
        #expect(try subject { $0["shoeSize"] = 43 } == nil)
    }

    @Test("each member out of shape is refused by name")
    func shapes() throws {
        let contexts: [JSONValue] = [
            "https://www.w3.org/ns/credentials/v2", ["https://www.w3.org/2018/credentials/v1"], [], .null,
            ["https://www.w3.org/ns/credentials/v2", ["inline": "object"]],
        ]
        for bad in contexts { #expect(try refused { $0["@context"] = bad }?.contains("@context") == true) }
        #expect(try refused { $0["type"] = ["VerifiableCredential"] }?.contains("type") == true)
        #expect(try refused { $0["type"] = "AgentPassportCredential" }?.contains("type") == true)
        for bad: JSONValue in [
            "", "no-colon", "urn:uuid:with space", .integer(5), .string("u:" + String(repeating: "x", count: 300)),
        ] {
            #expect(try refused { $0["id"] = bad }?.contains("`id`") == true)
        }
        #expect(try refused { $0["issuer"] = "did:web:node.example" }?.contains("issuer") == true)
        #expect(try refused { $0["issuer"] = ["id": .string(Sample.issuer.did.string)] } == nil)
        for bad: JSONValue in ["2026-11-21", "2026-11-21T00:00:00", "2026-13-21T00:00:00Z", 5, .null] {
            #expect(try refused { $0["validFrom"] = bad }?.contains("validFrom") == true)
            #expect(try refused { $0["validUntil"] = bad }?.contains("validUntil") == true)
        }
        #expect(try refused { $0["validUntil"] = $0["validFrom"] }?.contains("validUntil") == true)
        #expect(try refused { $0["proof"] = [] }?.contains("proof") == true)
        #expect(try refused { $0["credentialSubject"] = [] }?.contains("credentialSubject") == true)
        #expect(try refused { $0["credentialStatus"] = [] }?.contains("credentialStatus") == true)
    }

    @Test("[PASS-3] claims out of bounds are refused, when reading and when issuing")
    func claims() throws {
        let names: [JSONValue] = [
            "", 5, "a\u{0}b", "a\nb", "right\u{202E}left", .string(String(repeating: "n", count: 129)),
        ]
        for bad in names {
            #expect(try subject { $0["agentName"] = bad }?.contains("agentName") == true)
            if let text = bad.stringValue {
                #expect(throws: PassportReason.self) { try Sample.passport { $0.name = text } }
            }
        }
        #expect(
            try subject { $0["operator"] = .string(String(repeating: "o", count: 257)) }?.contains("operator") == true
        )
        let lists: [JSONValue] = [
            ["pay", "pay"], ["Pay"], [""], [5], 5, ["a b"], .array((0..<33).map { .string("c\($0)") }),
            [.string(String(repeating: "c", count: 65))],
        ]
        for bad in lists { #expect(try subject { $0["capability"] = bad }?.contains("capability") == true) }
        #expect(try subject { $0["capability"] = "pay" } == nil)
        #expect(try subject { _ = $0.removeValue(forKey: "capability") } == nil)
        #expect(try subject { $0["nextKeyHash"] = "uEi" }?.contains("nextKeyHash") == true)
        #expect(try subject { $0["id"] = "did:key:z6Mk" }?.contains("credentialSubject.id") == true)
        #expect(try subject { $0["agentId"] = 5 }?.contains("agentId") == true)
    }

    @Test("[PASS-6] spend limits: currency, amount and period within bounds")
    func spendLimits() throws {
        for (period, seconds) in [
            ("P1D", 86_400), ("PT1H", 3_600), ("PT90M", 5_400), ("P2W", 1_209_600), ("P366D", 31_622_400),
        ] {
            #expect(try SpendLimit(currency: "XBT", amountMinor: 1, period: period).periodSeconds == Int64(seconds))
        }
        for period in [
            "", "P", "1D", "P0D", "P01D", "P1Y", "P1M", "PT1S", "P-1D", "P1DT1H", "P367D", "P99999999999D", "PT", "PTD",
        ] {
            #expect(throws: PassportReason.self) { try SpendLimit(currency: "XBT", amountMinor: 1, period: period) }
        }
        for amount: JSONValue in ["-1", "1.5", "01", "", "1e3", 5, "18446744073709551616", "１"] {
            #expect(throws: PassportReason.self) {
                try SpendLimit(json: ["currency": "XBT", "amountMinor": amount, "period": "P1D"])
            }
        }
        #expect(throws: PassportReason.self) { try SpendLimit(currency: "xbt", amountMinor: 1, period: "P1D") }
        let most = try SpendLimit(currency: "EUR", amountMinor: .max, period: "P1D")
        #expect(try SpendLimit(json: most.json) == most)
        #expect(SpendLimit.currency(ofUnit: "sat") == "XBT")
    }

    @Test("status entries out of shape are refused")
    func statusEntries() throws {
        func entry(_ change: (inout JSONObject) -> Void) throws -> String? {
            try refused { document in
                var entry = try #require(document["credentialStatus"]?[0]?.objectValue)
                change(&entry)
                document["credentialStatus"] = .object(entry)
            }
        }
        #expect(try entry { _ in } == nil)
        #expect(try entry { $0["type"] = "StatusList2021Entry" } != nil)
        #expect(try entry { $0["statusPurpose"] = "message" } != nil)
        for index: JSONValue in ["-1", "1048576", 5, "", "9999999999999999999999", "1.0"] {
            #expect(try entry { $0["statusListIndex"] = index } != nil)
        }
        for url: JSONValue in [
            "ftp://node.example/1", "https://", "/status/1", "https://a b/", "https://node.example/1#2", 5,
        ] {
            #expect(try entry { $0["statusListCredential"] = url } != nil)
        }
        #expect(try entry { $0["statusSize"] = 2 } != nil)
        #expect(
            try refused {
                $0["credentialStatus"] = .array([
                    $0["credentialStatus"]?[0] ?? .null, $0["credentialStatus"]?[0] ?? .null,
                ])
            } != nil
        )
    }

    @Test("[PASS-1] text that is too long, too deep, or no strict JSON is refused")
    func hostileText() throws {
        let passport = try Sample.passport()
        let text = String(decoding: passport.bytes, as: UTF8.self)
        let hostile = [
            "", "null", "[]", "{", text + " x", text.replacingFirst("{", with: "{\"id\":\"urn:x\","),
            text.replacingFirst("\"capability\":[", with: "\"capability\":[" + String(repeating: "[", count: 50)),
            text + String(repeating: " ", count: 8_192), "{\"a\":\"\\ud800\"}",
        ]
        for bad in hostile {
            #expect(reasonCode { _ = try Passport(bytes: Array(bad.utf8)) } == .malformed)
            #expect(reasonCode { _ = try Passport(header: Base64URL.encode(Array(bad.utf8))) } == .malformed)
        }
        for header in [
            "", "=", "%%%", passport.encodedHeader + ", " + passport.encodedHeader,
            String(repeating: "A", count: 20_000),
        ] {
            #expect(reasonCode { _ = try Passport(header: header) } == .malformed)
        }
    }

    @Test("random damage to a passport never verifies and never traps")
    func randomDamage() throws {
        var random = SeededRandom(seed: 11)
        let bytes = try Sample.passport().bytes
        for _ in 0..<2_000 {
            var damaged = bytes
            let place = Int.random(in: 0..<damaged.count, using: &random)
            switch Int.random(in: 0..<3, using: &random) {
            case 0: damaged[place] ^= UInt8.random(in: 1...255, using: &random)
            case 1: damaged.remove(at: place)
            default: damaged.insert(UInt8.random(in: 0...255, using: &random), at: place)
            }
            guard let passport = try? Passport(bytes: damaged) else { continue }
            // White space and escapes of the same characters change nothing that is signed.
            if try JSONValue.object(passport.document).canonicalized()
                != JSONValue.object(Sample.passport().document).canonicalized()
            {
                #expect(PassportVerifier.signatureReason(passport) != nil)
            }
        }
    }
}

extension String {
    func replacingFirst(_ text: String, with other: String) -> String {
        guard let range = firstRange(of: text) else { return self }
        return replacingCharacters(range, other)
    }

    private func replacingCharacters(_ range: Range<String.Index>, _ other: String) -> String {
        var copy = self
        copy.replaceSubrange(range, with: other)
        return copy
    }
}
