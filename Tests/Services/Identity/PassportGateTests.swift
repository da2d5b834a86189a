import CanonicalJSON
import Cryptography
import Encodings
import HTTPSignatures
import Identity
import Passports
import SignedDocuments
import TestSupport
import Testing

@Suite("Who asks")
struct PassportGateTests {
    private func facts(body: [UInt8]? = nil) -> RequestFacts {
        var headers: [(name: String, value: String)] = [("Host", "node.example")]
        if let body { headers.append(("Content-Digest", ContentDigest.header(for: body))) }
        return RequestFacts(
            method: body == nil ? "GET" : "POST",
            targetURI: "https://node.example/s/weather/today",
            headers: headers,
            hasBody: body != nil
        )
    }

    private func signed(_ credentials: AgentCredentials, _ bench: IdentityBench, body: [UInt8]? = nil) throws
        -> RequestFacts
    {
        var request = facts(body: body)
        request.headers.append(contentsOf: try credentials.headers(for: request, now: bench.clock.now))
        return request
    }

    private func rules(_ bench: IdentityBench, requires: Bool = true, capability: String? = nil, age: Int64? = nil)
        -> CallerRules
    {
        CallerRules(
            requiresPassport: requires,
            trustedIssuers: [bench.office.issuer],
            requiredCapabilities: capability.map { [$0] } ?? [],
            maximumStatusAgeSeconds: age
        )
    }

    /// The status and codes of a refusal; `[]` and 200 where the caller is known, 0 where it is anonymous.
    private func outcome(_ verdict: CallerVerdict) -> (status: Int, codes: [String]) {
        switch verdict {
        case .anonymous: (0, [])
        case .known: (200, [])
        case .refused(let status, let reasons): (status, reasons.map(\.code.rawValue))
        }
    }

    private func expect(
        _ verdict: CallerVerdict,
        _ status: Int,
        _ codes: [String] = [],
        at location: SourceLocation = #_sourceLocation
    ) {
        let found = outcome(verdict)
        #expect(found.status == status && found.codes == codes, "\(found)", sourceLocation: location)
    }

    @Test("[SIG-1] an agent with a passport and a signature is known by both")
    func known() async throws {
        let bench = try await IdentityBench()
        let (agent, passport) = try await bench.register()
        let credentials = try await bench.registry.credentials("planner")
        for body in [nil, [UInt8]("hello".utf8)] {
            let verdict = await bench.gate.check(
                try signed(credentials, bench, body: body),
                rules: rules(bench, capability: "pay")
            )
            guard case .known(let caller) = verdict else {
                Issue.record("not known: \(verdict)")
                return
            }
            #expect(caller.did == agent.did && caller.agentID == agent.id && caller.passport == passport)
        }
    }

    @Test("a passport that was seen before is that one alone: no other text is taken for it, whichever byte differs")
    func remembered() async throws {
        let bench = try await IdentityBench()
        let (_, passport) = try await bench.register()
        let header = Array(passport.encodedHeader.utf8)
        let rules = rules(bench)
        #expect(await bench.gate.passportReasons(passport.encodedHeader, rules: rules).isEmpty)
        for place in header.indices {
            var other = header
            other[place] = header[place] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            let reasons = await bench.gate.passportReasons(String(decoding: other, as: UTF8.self), rules: rules)
            #expect(!reasons.isEmpty, "byte \(place)")
        }
        for other in [passport.encodedHeader + "A", String(passport.encodedHeader.dropLast())] {
            #expect(await bench.gate.passportReasons(other, rules: rules).isEmpty == false)
        }
        #expect(await bench.gate.passportReasons(passport.encodedHeader, rules: rules).isEmpty)
    }

    @Test("[SIG-8] nothing shown: anonymous where that will do, 401 where a passport is asked for")
    func anonymous() async throws {
        let bench = try await IdentityBench()
        expect(await bench.gate.check(facts(), rules: rules(bench, requires: false)), 0)
        expect(await bench.gate.check(facts(), rules: rules(bench)), 401, ["passport-missing"])
    }

    @Test("a signature alone makes a caller known by its key, where no passport is asked for")
    func signatureAlone() async throws {
        let bench = try await IdentityBench()
        let key = Ed25519.PrivateKey()
        func request() throws -> RequestFacts {
            var request = facts()
            let now = bench.clock.now
            let made = try HTTPSignatures.sign(request, key: key, created: now, expires: now.adding(seconds: 30))
            request.headers += [("Signature-Input", made.signatureInput), ("Signature", made.signature)]
            return request
        }
        guard case .known(let caller) = await bench.gate.check(try request(), rules: rules(bench, requires: false))
        else {
            Issue.record("not known")
            return
        }
        #expect(caller.did == DIDKey(key.publicKey) && caller.passport == nil)
        expect(await bench.gate.check(try request(), rules: rules(bench)), 401, ["passport-missing"])
    }

    @Test("[SIG-4] a signature serves once, until it has ended")
    func replay() async throws {
        let bench = try await IdentityBench()
        _ = try await bench.register()
        let request = try signed(try await bench.registry.credentials("planner"), bench)
        expect(await bench.gate.check(request, rules: rules(bench)), 200)
        expect(await bench.gate.check(request, rules: rules(bench)), 401, ["signature-replayed"])
        bench.clock.advance(seconds: 59)
        expect(await bench.gate.check(request, rules: rules(bench)), 401, ["signature-replayed"])
        bench.clock.advance(seconds: 1)
        expect(await bench.gate.check(request, rules: rules(bench)), 401, ["signature-expired"])
    }

    @Test("[SIG-4] of a hundred copies at once, one is let in")
    func replayRace() async throws {
        let bench = try await IdentityBench()
        _ = try await bench.register()
        let request = try signed(try await bench.registry.credentials("planner"), bench)
        let rules = rules(bench)
        let known = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<100 {
                group.addTask { if case .known = await bench.gate.check(request, rules: rules) { true } else { false } }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(known == 1)
    }

    @Test("[SIG-4] a request refused for another reason does not use its signature up")
    func refusedKeepsNonce() async throws {
        let bench = try await IdentityBench()
        _ = try await bench.register(capabilities: ["pay"])
        let request = try signed(try await bench.registry.credentials("planner"), bench)
        expect(await bench.gate.check(request, rules: rules(bench, capability: "fly")), 403, ["capability-missing"])
        expect(await bench.gate.check(request, rules: rules(bench, capability: "pay")), 200)
    }

    @Test("[SIG-5] what was signed before the process began is refused: a restart opens no window")
    func restart() async throws {
        let bench = try await IdentityBench()
        _ = try await bench.register()
        let request = try signed(try await bench.registry.credentials("planner"), bench)
        expect(await bench.gate.check(request, rules: rules(bench)), 200)
        bench.clock.advance(seconds: 1)
        let again = try await bench.restarted()
        expect(await again.gate.check(request, rules: rules(again)), 401, ["signature-predates-start"])
        let fresh = try signed(try await again.registry.credentials("planner"), again)
        expect(await again.gate.check(fresh, rules: rules(again)), 200)
    }

    @Test("[PASS-12] the very next call after a revocation is refused, though the passport was checked before")
    func revoked() async throws {
        let bench = try await IdentityBench()
        let (_, passport) = try await bench.register()
        let credentials = try await bench.registry.credentials("planner")
        expect(await bench.gate.check(try signed(credentials, bench), rules: rules(bench, age: 1)), 200)
        try await bench.office.suspend(passport.id)
        expect(await bench.gate.check(try signed(credentials, bench), rules: rules(bench, age: 1)), 403, ["suspended"])
        try await bench.office.restore(passport.id)
        expect(await bench.gate.check(try signed(credentials, bench), rules: rules(bench, age: 1)), 200)
        try await bench.office.revoke(passport.id, reason: .keyCompromise)
        expect(await bench.gate.check(try signed(credentials, bench), rules: rules(bench, age: 1)), 403, ["revoked"])
        // Also where no passport is asked for: what is shown must be good.
        expect(
            await bench.gate.check(try signed(credentials, bench), rules: rules(bench, requires: false)),
            403,
            ["revoked"]
        )
    }

    @Test("dates are read on every call, though the signature is remembered")
    func dates() async throws {
        let bench = try await IdentityBench()
        _ = try await bench.register()
        let credentials = try await bench.registry.credentials("planner")
        expect(await bench.gate.check(try signed(credentials, bench), rules: rules(bench)), 200)
        bench.clock.advance(seconds: 86_399)
        expect(await bench.gate.check(try signed(credentials, bench), rules: rules(bench)), 200)
        bench.clock.advance(seconds: 1)
        #expect(!credentials.isCurrent(at: bench.clock.now))
        expect(await bench.gate.check(try signed(credentials, bench), rules: rules(bench)), 401, ["expired"])
    }

    @Test("[SIG-1] a passport borrowed from another agent, tampered with, or without a signature is refused")
    func borrowed() async throws {
        let bench = try await IdentityBench()
        _ = try await bench.register("planner")
        _ = try await bench.register("thief")
        let credentials = try await bench.registry.credentials("planner")
        let thief = try await bench.registry.credentials("thief")

        var request = facts()
        request.headers.append(("Agent-Passport", credentials.passport.encodedHeader))
        expect(await bench.gate.check(request, rules: rules(bench)), 401, ["signature-missing"])
        let now = bench.clock.now
        let made = try HTTPSignatures.sign(request, by: thief.signer, created: now, expires: now.adding(seconds: 60))
        request.headers += [("Signature-Input", made.signatureInput), ("Signature", made.signature)]
        expect(await bench.gate.check(request, rules: rules(bench)), 401, ["signature-key-mismatch"])

        var document = thief.passport.document
        var subject = try document.object("credentialSubject")
        subject["capability"] = ["everything"]
        document["credentialSubject"] = .object(subject)
        var forged = facts()
        forged.headers.append(("Agent-Passport", Base64URL.encode(document.serialized())))
        let forgedSignature = try HTTPSignatures.sign(
            forged,
            by: thief.signer,
            created: now,
            expires: now.adding(seconds: 60)
        )
        forged.headers += [
            ("Signature-Input", forgedSignature.signatureInput), ("Signature", forgedSignature.signature),
        ]
        expect(await bench.gate.check(forged, rules: rules(bench)), 401, ["bad-signature"])
        // Twice, so that a bad result is not remembered as a good one.
        expect(await bench.gate.check(forged, rules: rules(bench)), 401, ["bad-signature"])

        var garbled = try signed(credentials, bench)
        garbled.headers = garbled.headers.map { $0.name == "Agent-Passport" ? ($0.name, "%%%") : $0 }
        expect(await bench.gate.check(garbled, rules: rules(bench)), 401, ["malformed", "signature-invalid"])
        garbled.headers = garbled.headers.map {
            $0.name == "Agent-Passport" ? ($0.name, String(repeating: "A", count: 20_000)) : $0
        }
        expect(await bench.gate.check(garbled, rules: rules(bench)), 401, ["malformed", "signature-invalid"])
    }

    @Test(
        "an issuer that is not trusted: refused where a passport is asked for, passed over where not, never fetched from"
    )
    func untrusted() async throws {
        let bench = try await IdentityBench()
        let other = try await IdentityBench(seed: 2, clock: bench.clock, publicURL: "https://other.example")
        _ = try await other.register()
        let credentials = try await other.registry.credentials("planner")
        expect(await bench.gate.check(try signed(credentials, bench), rules: rules(bench)), 403, ["untrusted-issuer"])
        guard
            case .known(let caller) = await bench.gate.check(
                try signed(credentials, bench),
                rules: rules(bench, requires: false)
            )
        else {
            Issue.record("not known")
            return
        }
        #expect(caller.passport == nil && caller.did == credentials.signer.did)
        #expect(bench.lists.requests.isEmpty)
        let verdict = await bench.gate.verify(
            credentials.passport,
            trustedIssuers: [bench.office.issuer],
            checksStatus: true
        )
        #expect(verdict.reasons.map(\.code) == [.untrustedIssuer])
        #expect(await bench.gate.verify(credentials.passport, trustedIssuers: nil, checksStatus: false).isValid)
        #expect(bench.lists.requests.isEmpty)
    }

    @Test(
        "[STAT-3] [STAT-4] [STAT-10] a trusted issuer elsewhere: its lists are fetched, and every fault in them refuses"
    )
    func trustedElsewhere() async throws {
        let bench = try await IdentityBench()
        let other = try await IdentityBench(seed: 2, clock: bench.clock, publicURL: "https://other.example")
        let (_, passport) = try await other.register()
        let credentials = try await other.registry.credentials("planner")
        let rules = CallerRules(
            requiresPassport: true,
            trustedIssuers: [other.office.issuer],
            maximumStatusAgeSeconds: 120
        )
        func publish() throws {
            for number: Int64 in [1, 2] {
                let list = try #require(try other.office.publishedList(number))
                bench.lists.answer("https://other.example/status/\(number)", .document(list.bytes, etag: list.etag))
            }
        }
        func check() async throws -> CallerVerdict {
            await bench.gate.check(try signed(credentials, bench), rules: rules)
        }

        expect(try await check(), 403, ["status-unavailable", "status-unavailable"])
        bench.clock.advance(seconds: 2)
        try publish()
        expect(try await check(), 200)
        let old = try #require(try other.office.publishedList(1))
        try await other.office.revoke(passport.id, reason: .keyCompromise)
        try publish()
        expect(try await check(), 200)  // the copy still serves: this is the ttl's price
        bench.clock.advance(seconds: 60)
        try publish()
        expect(try await check(), 403, ["revoked"])
        bench.lists.answer("https://other.example/status/1", .document(old.bytes, etag: nil))
        bench.clock.advance(seconds: 60)
        expect(try await check(), 403, ["status-rolled-back"])
        bench.lists.answer("https://other.example/status/2", .failure)
        bench.lists.answer("https://other.example/status/1", .failure)
        bench.clock.advance(seconds: 61)
        expect(try await check(), 403, ["status-unavailable", "status-stale"])
        #expect(bench.lists.requests.allSatisfy { $0.url.hasPrefix("https://other.example/status/") })
    }

    @Test("the fetch is spared where dates or capabilities refuse already")
    func noFetchForLost() async throws {
        let bench = try await IdentityBench()
        let other = try await IdentityBench(seed: 2, clock: bench.clock, publicURL: "https://other.example")
        _ = try await other.register()
        let credentials = try await other.registry.credentials("planner")
        let rules = CallerRules(
            requiresPassport: true,
            trustedIssuers: [other.office.issuer],
            requiredCapabilities: ["fly"]
        )
        expect(await bench.gate.check(try signed(credentials, bench), rules: rules), 403, ["capability-missing"])
        #expect(bench.lists.requests.isEmpty)
    }

    @Test("more passports than the cache holds are all still checked")
    func cacheTurnover() async throws {
        let bench = try await IdentityBench()
        _ = try await bench.register()
        let credentials = try await bench.registry.credentials("planner")
        for round in 0..<30 {
            let (_, passport) = try await bench.register("agent \(round)")
            #expect(await bench.reasons(passport) == [])
        }
        expect(await bench.gate.check(try signed(credentials, bench), rules: rules(bench)), 200)
    }
}
