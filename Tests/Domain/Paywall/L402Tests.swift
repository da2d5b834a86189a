import CanonicalJSON
import Cryptography
import Encodings
import Paywall
import TestSupport
import Testing

@Suite("L402: credentials")
struct L402Tests {
    @Test("LSAT-2: the identifier is version, payment hash and token id, and no other version is read")
    func identifiers() throws {
        let hash = (1...32).map { UInt8($0) }
        let token = (33...64).map { UInt8($0) }
        let identifier = try #require(L402Identifier(paymentHash: hash, tokenID: token))
        #expect(identifier.bytes == [0, 0] + hash + token)
        #expect(L402Identifier(bytes: identifier.bytes) == identifier)
        #expect(identifier.keyID.bytes == Array(token.prefix(8)))
        #expect(L402Identifier(bytes: [0, 1] + hash + token) == nil)
        #expect(L402Identifier(bytes: [0, 0] + hash + token + [0]) == nil)
        #expect(L402Identifier(bytes: []) == nil)
        #expect(L402Identifier(paymentHash: hash, key: identifier.keyID, nonce: Array(token.prefix(23))) == nil)
    }

    @Test("LSAT-3, LSAT-5: a macaroon states its grant and is accepted with the preimage")
    func accepted() throws {
        let sale = try Sale()
        let macaroon = try sale.macaroon()
        #expect(
            macaroon.caveats.map { String(decoding: $0.identifier, as: UTF8.self) } == [
                "services=weather:0", "weather_method=GET", "weather_path=/today/*", "weather_price=2sat",
                "weather_calls=3", "weather_valid_until=1800000060",
            ]
        )
        guard case .accepted(let allowed) = try sale.judge([macaroon]) else {
            Issue.record("refused")
            return
        }
        #expect(allowed.identifier.paymentHash == sale.grant.paymentHash)
        #expect(allowed.identifier.keyID == sale.keyID)
        #expect(allowed.calls == 3)
        #expect(allowed.validUntil == sale.grant.validUntil)
        #expect(sale.grant.refusal(allowed, request: try sale.request(), used: 2, now: Sale.now) == nil)
    }

    @Test("LSAT-1, LSAT-3: pymacaroons makes the same macaroon of the same grant")
    func otherLibrary() throws {
        let vector = try JSONValue.parse(Fixtures.bytes("macaroons/pymacaroons.json"))
        #expect(try Base64URL.encode(Sale().macaroon().serialized()) == vector.string("macaroon"))
    }

    @Test("LSAT-3: keys are retired and revoked one by one; forged, revoked and unpaid look the same")
    func keys() throws {
        let sale = try Sale()
        let macaroon = try sale.macaroon()
        var retired = sale.key
        retired.state = .retired
        guard case .accepted = try sale.judge([macaroon], keys: L402KeyRing([retired])) else {
            Issue.record("a retired key's macaroon was refused")
            return
        }
        #expect(throws: MacaroonError.self) {
            try sale.grant.macaroon(key: retired, nonce: [UInt8](repeating: 1, count: 24))
        }
        var revoked = sale.key
        revoked.state = .revoked
        let other = try #require(L402RootKey(id: sale.keyID, secret: [UInt8](repeating: 8, count: 32)))
        let answers = [
            try sale.judge([macaroon], keys: L402KeyRing([revoked])),
            try sale.judge([macaroon], keys: L402KeyRing()),
            try sale.judge([macaroon], keys: L402KeyRing([other])),
            try sale.judge([macaroon], preimage: [UInt8](repeating: 6, count: 32)),
            try sale.judge([Macaroon(rootKey: [1], identifier: macaroon.identifier)]),
            try sale.judge([Macaroon(rootKey: [1], identifier: [1, 2, 3])]),
        ]
        for answer in answers {
            #expect(answer == answers[0])
            guard case .refused(let refusal) = answer else { continue }
            #expect(refusal.code == .credentialInvalid && refusal.status == 402)
        }
        #expect(!"\(sale.key)".contains("9, 9"))
    }

    @Test("LSAT-5: each caveat of ours holds for what it names and for nothing else")
    func caveats() throws {
        let sale = try Sale()
        #expect(try sale.code(adding: []) == nil)
        #expect(try sale.code(adding: [], request: sale.request("HEAD")) == nil)
        #expect(try sale.code(adding: [], request: sale.request("POST")) == .credentialInsufficient)
        #expect(try sale.code(adding: [], request: sale.request("GET", "/tomorrow")) == .credentialInsufficient)
        #expect(try sale.code(adding: [], request: sale.request("GET", "/TODAY")) == nil)
        #expect(try sale.code(adding: [], request: sale.request(service: "maps")) == .credentialInsufficient)
        #expect(
            try sale.code(adding: [], request: sale.request(price: Price(amount: 3))) == .credentialInsufficient
        )
        #expect(
            try sale.code(adding: [], request: sale.request(price: Price(amount: 2, unit: "usd")))
                == .credentialInsufficient
        )
        #expect(try sale.code(adding: [], now: Sale.now.adding(seconds: 59)) == nil)
        #expect(try sale.code(adding: [], now: Sale.now.adding(seconds: 60)) == .credentialExpired)
        #expect(try sale.code(adding: ["weather_capabilities=a,b"]) == .credentialInsufficient)
        #expect(try sale.code(adding: ["weather_capabilities=a,b"], request: sale.request(capability: "b")) == nil)
        #expect(
            try sale.code(adding: ["weather_capabilities=a,b"], request: sale.request(capability: "c"))
                == .credentialInsufficient
        )
    }

    @Test("LSAT-5: what another application added is skipped, also where it is no text")
    func unknownCaveats() throws {
        let sale = try Sale()
        #expect(
            try sale.code(adding: ["maps_valid_until=1", "ip=10.0.0.1", "nonsense", "", "weatherx_calls=0"]) == nil
        )
        let macaroon = try sale.macaroon().adding([0xff, 0xfe])
        guard case .accepted = try sale.judge([macaroon]) else {
            Issue.record("a caveat that is no text was not skipped")
            return
        }
    }

    @Test("LSAT-5: a known caveat that can't be read does not hold, and spaces do not hide one")
    func unreadable() throws {
        let sale = try Sale()
        for caveat in [
            "services=", "services=weather", "services=weather:256", "services=weather:x", "services=weather:0,",
            "weather_method=", "weather_path=", "weather_path=today", "weather_path=/a*", "weather_price=2",
            "weather_price=sat", "weather_price=-1sat", "weather_price=99999999999999999sat", "weather_calls=",
            "weather_calls=+1", "weather_calls=1.5", "weather_valid_until=soon", "weather_valid_until=",
            "weather_capabilities=",
        ] {
            #expect(try sale.code(adding: [caveat]) == .credentialInsufficient, "\(caveat)")
        }
        #expect(try sale.code(adding: ["weather_valid_until = 1800000000"]) == .credentialExpired)
        #expect(try sale.code(adding: [" weather_method = POST"]) == .credentialInsufficient)
    }

    @Test("LSAT-5: a macaroon that names no service, or has a caveat for another party, is good for nothing")
    func bare() throws {
        let sale = try Sale()
        let identifier = try #require(
            L402Identifier(
                paymentHash: sale.grant.paymentHash,
                key: sale.keyID,
                nonce: [UInt8](repeating: 1, count: 24)
            )
        )
        let root = Hashing.hmacSHA256(
            key: [UInt8](repeating: 9, count: 32),
            Array("mintmark-l402-macaroon-1".utf8) + [0] + identifier.bytes
        )
        let plain = try Macaroon(rootKey: root, identifier: identifier.bytes)
        guard case .refused(let refusal) = try sale.judge([plain]) else {
            Issue.record("accepted")
            return
        }
        #expect(refusal.code == .credentialInsufficient)
        // Its chain is right and only the discharge is missing.
        let caveat = try sale.macaroon().serialized()
        let signature = Array(caveat.suffix(32))
        let third =
            Hashing.hmacSHA256(key: signature, [7]) + Hashing.hmacSHA256(key: signature, Array("x".utf8))
        let chained = Hashing.hmacSHA256(key: signature, third)
        let bytes = Array(caveat.dropLast(35)) + [2, 1, UInt8(ascii: "x"), 4, 1, 7, 0, 0, 6, 32] + chained
        guard case .refused(let second) = try sale.judge([Macaroon(serialized: bytes)]) else {
            Issue.record("accepted")
            return
        }
        #expect(second.code == .credentialInsufficient)
    }

    @Test("LSAT-6: repeats narrow, and a wider one refuses the whole")
    func narrowing() throws {
        let sale = try Sale()
        for narrower in [
            "services=weather:0", "weather_method=GET", "weather_method=HEAD,GET", "weather_path=/today/*/*",
            "weather_path=/today/berlin", "weather_price=2sat", "weather_calls=1", "weather_valid_until=1800000001",
        ] {
            #expect(try sale.code(adding: [narrower]) == nil, "\(narrower)")
        }
        for wider in [
            "services=weather:0,maps:0", "services=weather:1", "weather_method=GET,POST", "weather_path=/*",
            "weather_path=/*/berlin", "weather_price=3sat", "weather_price=2usd", "weather_calls=4",
            "weather_valid_until=1800000061",
        ] {
            #expect(try sale.code(adding: [wider]) == .credentialInsufficient, "\(wider)")
        }
        #expect(try sale.code(adding: ["weather_calls=1", "weather_calls=2"]) == .credentialInsufficient)
        #expect(
            try sale.code(
                adding: ["weather_capabilities=a", "weather_capabilities=a,b"],
                request: sale.request(capability: "a")
            ) == .credentialInsufficient
        )
    }

    @Test("LSAT-6: a pattern is within another only if it names nothing else")
    func patterns() throws {
        let pieces = ["a", "b", "*"]
        var random = SeededRandom(seed: 66)
        func pattern() throws -> PathPattern {
            let count = Int.random(in: 0...3, using: &random)
            let text = (0..<count).map { _ in "/" + (pieces.randomElement(using: &random) ?? "a") }.joined()
            return try PathPattern(text.isEmpty ? "/" : text)
        }
        let paths = try ["/", "/a", "/b", "/a/a", "/a/b", "/b/a", "/A/b/a", "/a/b/b", "/b/b/b", "/a/b/a/b"].map {
            try RequestPath($0)
        }
        var contained = 0
        for _ in 0..<3000 {
            let (outer, inner) = (try pattern(), try pattern())
            guard outer.contains(inner) else { continue }
            contained += 1
            for path in paths where inner.matches(path) { #expect(outer.matches(path), "\(outer) \(inner)") }
        }
        #expect(contained > 200)
        #expect(try PathPattern("/*").contains(PathPattern("/a/*")))
        #expect(try !PathPattern("/a/*").contains(PathPattern("/*")))
    }

    @Test("LSAT-6: whatever is added, no call is let through that was refused before")
    func neverWider() throws {
        let sale = try Sale()
        let pool = [
            "services=weather:0", "services=weather:0,maps:0", "weather_method=POST", "weather_method=GET,POST",
            "weather_path=/*", "weather_path=/today", "weather_price=100sat", "weather_price=1sat", "weather_calls=9",
            "weather_valid_until=9999999999", "weather_valid_until=1800000001", "other=1",
        ]
        var random = SeededRandom(seed: 6)
        for _ in 0..<400 {
            let added = (0..<Int.random(in: 1...4, using: &random)).compactMap { _ in pool.randomElement(using: &random)
            }
            let request = try sale.request(
                ["GET", "POST", "HEAD"].randomElement(using: &random) ?? "GET",
                ["/today", "/today/berlin", "/", "/tomorrow"].randomElement(using: &random) ?? "/",
                price: Price(amount: UInt64.random(in: 0...3, using: &random))
            )
            let now = Sale.now.adding(seconds: Int64.random(in: -5...70, using: &random))
            if try sale.code(adding: [], request: request, now: now) != nil {
                #expect(try sale.code(adding: added, request: request, now: now) != nil, "\(added)")
            }
        }
    }

    @Test("LSAT-7: the stored grant counts the calls of a payment, whichever macaroon is shown")
    func grant() throws {
        let sale = try Sale()
        let request = try sale.request()
        func allowed(_ macaroon: Macaroon) throws -> L402Allowance {
            guard case .accepted(let allowed) = try sale.judge([macaroon]) else {
                throw CallRefusal(.credentialInvalid, "refused")
            }
            return allowed
        }
        let own = try allowed(sale.macaroon())
        let handedOn = try allowed(sale.macaroon().adding("weather_calls=2"))
        func code(_ allowed: L402Allowance, used: UInt64, request: L402Request? = nil, now: Timestamp = Sale.now)
            throws -> CallRefusal.Code?
        {
            try sale.grant.refusal(allowed, request: request ?? sale.request(), used: used, now: now)?.code
        }
        #expect(try code(own, used: 2) == nil)
        #expect(try code(own, used: 3) == .credentialUsedUp)
        #expect(try code(handedOn, used: 1) == nil)
        #expect(try code(handedOn, used: 2) == .credentialUsedUp)
        // Caveats are skipped by some and absent in others: the grant alone must refuse these too.
        let bare = L402Allowance(identifier: own.identifier)
        #expect(try code(bare, used: 3) == .credentialUsedUp)
        #expect(try code(bare, used: 0, request: sale.request("POST")) == .credentialInsufficient)
        #expect(try code(bare, used: 0, request: sale.request("GET", "/x")) == .credentialInsufficient)
        #expect(try code(bare, used: 0, request: sale.request(service: "maps")) == .credentialInsufficient)
        #expect(
            try code(bare, used: 0, request: sale.request(price: Price(amount: 3))) == .credentialInsufficient
        )
        #expect(try code(bare, used: 0, now: Sale.now.adding(seconds: 60)) == .credentialExpired)
        var other = sale.grant
        other.paymentHash[0] ^= 1
        #expect(other.refusal(own, request: request, used: 0, now: Sale.now)?.code == .credentialInvalid)
    }
}
