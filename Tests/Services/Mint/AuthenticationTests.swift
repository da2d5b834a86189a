import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Mint
import Synchronization
import TestSockets
import TestSupport
import Testing

/// NUT-21 and NUT-22 over real sockets: an issuer, a mint and a wallet.
@Suite struct AuthenticationTests {
    private static let mintTokens = "auth/blind/mint"

    /// A mint that asks for a clear token to mint blind ones, and for a blind one to ask for quotes.
    private func world(
        _ change: (inout MintConfiguration.Authentication) -> Void = { _ in },
        _ work: @escaping @Sendable (TestIssuer, MintFixture, MintClient) async throws -> Void
    ) async throws {
        var settings = MintConfiguration.Authentication(
            discoveryURL: "",
            clientID: "cashu-client",
            clear: [try ProtectedEndpoint("POST /v1/auth/blind/mint"), try ProtectedEndpoint("GET /v1/keysets")],
            blind: [try ProtectedEndpoint("POST /v1/mint/*"), try ProtectedEndpoint("GET /v1/ws")]
        )
        change(&settings)
        let issuer = try TestIssuer()
        try await issuer.serve { [settings] in
            var settings = settings
            settings.discoveryURL = issuer.discoveryURL
            let fixture = try await MintFixture(MintConfiguration(authentication: settings))
            try await fixture.serve { client in try await work(issuer, fixture, client) }
        }
    }

    private static func clear(_ token: String) -> [(String, String)] { [("Clear-auth", token)] }
    private static func blind(_ token: BlindAuthToken) -> [(String, String)] { [("Blind-auth", token.serialized)] }
    private static let quote = Array("{\"amount\":8,\"unit\":\"sat\"}".utf8)

    private static func outputs(_ fixture: MintFixture, _ keyset: Keyset, _ count: Int) throws -> (
        [BlindingSecret], [UInt8]
    ) {
        let secrets = try (0..<count).map { _ in try fixture.secret(1, of: keyset.id) }
        return (secrets, BlindAuthMintRequest(outputs: try secrets.map { try $0.output() }).json.serialized())
    }

    private static func keyset(_ client: MintClient) async throws -> Keyset {
        let answer = try await client.get("auth/blind/keys")
        return try #require(try KeysResponse(json: answer.json).keysets.first)
    }

    private static func tokens(
        _ count: Int,
        _ issuer: TestIssuer,
        _ fixture: MintFixture,
        _ client: MintClient
    ) async throws -> [BlindAuthToken] {
        let keyset = try await keyset(client)
        let (secrets, body) = try outputs(fixture, keyset, count)
        let answer = try await client.post(mintTokens, body, headers: clear(try issuer.token(issuer.claims())))
        #expect(answer.status == 200, "\(answer.detail ?? "")")
        // Unblinding checks the DLEQ proofs, which NUT-22 demands.
        return try SignaturesResponse(json: answer.json).proofs(for: secrets) { _ in keyset }
            .map { BlindAuthToken(keysetID: $0.keysetID, secret: $0.secret, signature: $0.signature) }
    }

    @Test("Info tells issuer, endpoints and how many tokens; the auth keyset is of unit auth and has the one amount 1")
    func info() async throws {
        try await world { issuer, fixture, client in
            let nuts = try await client.get("info").json["nuts"]
            #expect(
                nuts?["21"] == [
                    "openid_discovery": .string(issuer.discoveryURL), "client_id": "cashu-client",
                    "protected_endpoints": [
                        ["method": "POST", "path": "/v1/auth/blind/mint"], ["method": "GET", "path": "/v1/keysets"],
                    ],
                ]
            )
            #expect(
                nuts?["22"] == [
                    "bat_max_mint": 50,
                    "protected_endpoints": [
                        ["method": "POST", "path": "/v1/mint/*"], ["method": "GET", "path": "/v1/ws"],
                    ],
                ]
            )
            let keyset = try await Self.keyset(client)
            #expect(keyset.unit == .auth)
            #expect(Array(keyset.keys.keys) == [1])
            #expect(try await client.get("auth/blind/keys/\(keyset.id)").json == client.get("auth/blind/keys").json)
            #expect(try await client.get("auth/blind/keys/00ffffffffffffff").code == 12001)
            #expect(
                try await KeysetsResponse(json: client.get("auth/blind/keysets").json).keysets.map(\.id) == [keyset.id]
            )
            // It is none of the mint's own.
            #expect(try await client.get("keys/\(keyset.id)").code == 12001)
        }
        let open = try await MintFixture()
        try await open.serve { client in
            let nuts = try await client.get("info").json["nuts"]
            #expect(nuts?["21"] == nil)
            #expect(nuts?["22"] == nil)
            #expect(try await client.get("auth/blind/keys").code == 12001)
        }
    }

    @Test(
        "A clear token of each algorithm lets in; the issuer's keys are fetched once",
        arguments: ["RS256", "ES256", "EdDSA"]
    )
    func clearToken(_ algorithm: String) async throws {
        try await world { issuer, fixture, client in
            let refused = try await client.get("keysets")
            #expect(refused.status == 400)
            #expect(refused.code == 30001)
            for _ in 0..<3 {
                let token = try issuer.token(issuer.claims(), algorithm: algorithm)
                #expect(try await client.get("keysets", headers: Self.clear(token)).status == 200)
            }
            #expect(issuer.asked == 1)
        }
    }

    @Test("Clear tokens that are not ours, not now, or not signed are 30002")
    func badClearTokens() async throws {
        try await world { issuer, fixture, client in
            let now = MintFixture.start.secondsSince1970
            let changes: [(String, (inout JSONObject) -> Void)] = [
                ("expired", { $0["exp"] = .integer(now - 31) }), ("no exp", { $0["exp"] = nil }),
                ("exp as text", { $0["exp"] = "9999999999" }), ("not yet", { $0["nbf"] = .integer(now + 31) }),
                ("made later", { $0["iat"] = .integer(now + 3600) }),
                ("other issuer", { $0["iss"] = "https://evil.example" }),
                ("no issuer", { $0["iss"] = nil }), ("other client", { $0["azp"] = "someone-else" }),
                (
                    "other client in RFC 9068",
                    {
                        $0["azp"] = nil; $0["client_id"] = "someone-else"
                    }
                ),
                ("no client", { $0["azp"] = nil }), ("no user", { $0["sub"] = nil }),
                ("empty user", { $0["sub"] = "" }),
            ]
            for (name, change) in changes {
                let answer = try await client.get(
                    "keysets",
                    headers: Self.clear(try issuer.token(issuer.claims(change)))
                )
                #expect((answer.status, answer.code) == (400, 30002), "\(name)")
            }
            for (name, change) in [
                (
                    "audience",
                    {
                        $0["azp"] = nil; $0["aud"] = "cashu-client"
                    }
                ),
                (
                    "audiences",
                    {
                        $0["azp"] = nil; $0["aud"] = ["x", "cashu-client"]
                    }
                ),
                ("fraction", { $0["exp"] = .double(Double(now) + 10.5) }),
            ] as [(String, (inout JSONObject) -> Void)] {
                let answer = try await client.get(
                    "keysets",
                    headers: Self.clear(try issuer.token(issuer.claims(change)))
                )
                #expect(answer.status == 200, "\(name)")
            }
            let stranger = try Ed25519.PrivateKey(seed: [UInt8](repeating: 8, count: 32))
            let modulus = try issuer.rsa.modulus
            let forged = [
                try issuer.token(issuer.claims(), algorithm: "none", keyID: "rsa"),
                // The public key as an HMAC's secret, the classic confusion.
                try issuer.token(issuer.claims(), algorithm: "HS256", keyID: "rsa") {
                    Hashing.hmacSHA256(key: modulus, $0)
                },
                try issuer.token(issuer.claims(), algorithm: "EdDSA") { try stranger.sign($0) },
                try issuer.token(issuer.claims(), algorithm: "EdDSA", keyID: "rsa"),
                "x", "a.b.c", try issuer.token(issuer.claims()) + "A",
            ]
            for token in forged {
                #expect(try await client.get("keysets", headers: Self.clear(token)).code == 30002)
            }
        }
    }

    @Test("A new key of the issuer is found, made-up key names do not make the mint ask for ever")
    func keyRotation() async throws {
        try await world { issuer, fixture, client in
            #expect(
                try await client.get("keysets", headers: Self.clear(try issuer.token(issuer.claims()))).status == 200
            )
            issuer.state.withLock { $0.keyIDs[2] = "new" }
            let token = try issuer.token(issuer.claims(), algorithm: "EdDSA", keyID: "new")
            // Within ten seconds of the last question nothing is asked.
            #expect(try await client.get("keysets", headers: Self.clear(token)).code == 30002)
            fixture.time.advance(seconds: 10)
            #expect(try await client.get("keysets", headers: Self.clear(token)).status == 200)
            #expect(issuer.asked == 2)
            for index in 0..<20 {
                let made = try issuer.token(issuer.claims(), algorithm: "EdDSA", keyID: "made up \(index)")
                #expect(try await client.get("keysets", headers: Self.clear(made)).code == 30002)
            }
            #expect(issuer.asked == 2)
        }
    }

    @Test("An issuer that does not answer, or is another, is 503 and never a pass; known keys go on for a day")
    func issuerAway() async throws {
        try await world { issuer, fixture, client in
            issuer.state.withLock { $0.issuer = "https://other.example" }
            let token = try issuer.token(issuer.claims())
            let refused = try await client.get("keysets", headers: Self.clear(token))
            #expect((refused.status, refused.retryAfter) == (503, "5"))
            issuer.state.withLock { $0.issuer = nil }
            fixture.time.advance(seconds: 2)
            #expect(try await client.get("keysets", headers: Self.clear(token)).status == 200)
            issuer.state.withLock { $0.isAway = true }
            fixture.time.advance(seconds: 7200)
            let later = try issuer.token(
                issuer.claims { $0["exp"] = .integer(MintFixture.start.secondsSince1970 + 200_000) }
            )
            #expect(try await client.get("keysets", headers: Self.clear(later)).status == 200)
            fixture.time.advance(seconds: 86_400)
            #expect(try await client.get("keysets", headers: Self.clear(later)).status == 503)
        }
    }

    @Test("A blind token is worth one request, at once or again, and over a restart")
    func blindToken() async throws {
        try await world { issuer, fixture, client in
            #expect(try await client.post("mint/quote/bolt11", Self.quote).code == 31001)
            let tokens = try await Self.tokens(3, issuer, fixture, client)
            #expect(
                try await client.post("mint/quote/bolt11", Self.quote, headers: Self.blind(tokens[0])).status == 200
            )
            let again = try await client.post("mint/quote/bolt11", Self.quote, headers: Self.blind(tokens[0]))
            #expect((again.status, again.code) == (400, 31002))
            // 16 at once with one token: one is let in.
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<16 {
                    group.addTask {
                        try await client.post("mint/quote/bolt11", Self.quote, headers: Self.blind(tokens[1])).status
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(statuses.filter { $0 == 200 }.count == 1)
            try await fixture.reopen()
            try await fixture.serve { try await Self.afterRestart($0, used: tokens[0], fresh: tokens[2]) }
        }
    }

    private static func afterRestart(_ client: MintClient, used: BlindAuthToken, fresh: BlindAuthToken) async throws {
        let refused = try await client.post("mint/quote/bolt11", quote, headers: blind(used))
        #expect(refused.code == 31002)
        // The padded form is taken too.
        let text = fresh.serialized
        let padding = String(repeating: "=", count: (4 - (text.utf8.count - 5) % 4) % 4)
        let taken = try await client.post("mint/quote/bolt11", quote, headers: [("Blind-auth", text + padding)])
        #expect(taken.status == 200)
    }

    @Test("A request that fails leaves the blind token usable")
    func failedRequest() async throws {
        try await world { issuer, fixture, client in
            let token = try await Self.tokens(1, issuer, fixture, client)[0]
            for body in ["{\"amount\":0,\"unit\":\"sat\"}", "{", "{\"amount\":8,\"unit\":\"nuts\"}"] {
                let refused = try await client.post("mint/quote/bolt11", Array(body.utf8), headers: Self.blind(token))
                #expect(refused.status == 400)
                #expect(refused.code != 31002)
            }
            fixture.lightning.setAway(true)
            #expect(try await client.post("mint/quote/bolt11", Self.quote, headers: Self.blind(token)).status == 503)
            fixture.lightning.setAway(false)
            #expect(try await client.post("mint/quote/bolt11", Self.quote, headers: Self.blind(token)).status == 200)
        }
    }

    @Test("Forged and foreign blind tokens, and coins in their place, are 31002")
    func badBlindTokens() async throws {
        try await world { issuer, fixture, client in
            let token = try await Self.tokens(1, issuer, fixture, client)[0]
            let coinKeyset = try fixture.keyset()
            let forged = [
                BlindAuthToken(keysetID: token.keysetID, secret: "another", signature: token.signature).serialized,
                BlindAuthToken(keysetID: coinKeyset.id, secret: token.secret, signature: token.signature).serialized,
                "authB" + token.serialized.dropFirst(5), "authA", "authA!!", "x", String(repeating: "a", count: 5000),
            ]
            for text in forged {
                let answer = try await client.post("mint/quote/bolt11", Self.quote, headers: [("Blind-auth", text)])
                #expect((answer.status, answer.code) == (400, 31002), "\(text.prefix(20))")
            }
            // A token cannot be swapped: its keyset is none of the mint's.
            let swap = SwapRequest(inputs: [token.proof], outputs: [try fixture.secret(1).output()]).json.serialized()
            #expect(try await client.post("swap", swap).code == 12001)
        }
    }

    @Test("Another spelling of an address is no way around, and a path is never a pattern")
    func spellings() async throws {
        try await world { issuer, fixture, client in
            for path in ["mint/quote/bolt11/", "/mint/quote/bolt11", "mint//quote/bolt11", "mint/quote/bolt11?x=1"] {
                let answer = try await client.post(path, Self.quote)
                #expect(answer.code == 31001 || answer.status == 404, "\(path)")
            }
            #expect(try await client.get("keysets/").code == 30001)
        }
        let prefix = try ProtectedEndpoint("POST /v1/mint/bolt*")
        #expect(prefix.matches(method: "POST", path: "/v1/mint/bolt11"))
        #expect(!prefix.matches(method: "GET", path: "/v1/mint/bolt11"))
        #expect(!prefix.matches(method: "POST", path: "/v1/mint/onchain"))
        let exact = try ProtectedEndpoint("POST /v1/swap")
        #expect(!exact.matches(method: "POST", path: "/v1/swapped"))
        for text in [
            "POST /v1/*/x", "POST /v1/sw(a)p", "post /v1/swap", "POST v1/swap", "POST", "POST /v1/a b",
        ] {
            #expect(throws: CashuError.self, "\(text)") { try ProtectedEndpoint(text) }
        }
        #expect(!(try ProtectedEndpoint("POST /v1/.*").matches(method: "POST", path: "/v1/swap")))
    }

    @Test("Blind tokens are bounded: at once 31003, in an hour 31004; of the right keyset and amount, none twice")
    func bounds() async throws {
        try await world {
            $0.maximumTokens = 4
            $0.tokensPerHour = 6
        } _: { issuer, fixture, client in
            let keyset = try await Self.keyset(client)
            let alice = Self.clear(try issuer.token(issuer.claims()))
            let bob = Self.clear(try issuer.token(issuer.claims { $0["sub"] = "bob" }))
            func mint(_ count: Int, _ headers: [(String, String)]) async throws -> Answer {
                try await client.post(Self.mintTokens, Self.outputs(fixture, keyset, count).1, headers: headers)
            }
            #expect(try await client.post(Self.mintTokens, Self.outputs(fixture, keyset, 1).1).code == 30001)
            #expect(try await mint(5, alice).code == 31003)
            #expect(try await mint(4, alice).status == 200)
            #expect(try await mint(3, alice).code == 31004)
            #expect(try await mint(2, alice).status == 200)
            #expect(try await mint(1, alice).code == 31004)
            #expect(try await mint(4, bob).status == 200)
            fixture.time.advance(seconds: 3600)
            let later = Self.clear(
                try issuer.token(issuer.claims { $0["exp"] = .integer(MintFixture.start.secondsSince1970 + 9000) })
            )
            #expect(try await mint(1, later).status == 200)

            func refusal(_ outputs: [BlindedMessage]) async throws -> Int64? {
                try await client.post(
                    Self.mintTokens,
                    BlindAuthMintRequest(outputs: outputs).json.serialized(),
                    headers: later
                ).code
            }
            let one = try fixture.secret(1, of: keyset.id).output()
            #expect(try await refusal([one, one]) == 11008)
            #expect(try await refusal([]) == 10000)
            #expect(try await refusal([fixture.secret(1).output()]) == 12001)
            #expect(try await refusal([fixture.secret(2, of: keyset.id).output()]) == 11006)
        }
    }

    @Test("The WebSocket asks for its token too")
    func socket() async throws {
        try await world { issuer, fixture, client in
            let stranger = try await RawPeer.connect(client.port)
            #expect(try await stranger.openWebSocket("/mint/v1/ws").hasPrefix("HTTP/1.1 400"))
            let token = try await Self.tokens(1, issuer, fixture, client)[0]
            let known = try await RawPeer.connect(client.port)
            let header = ["Blind-auth: \(token.serialized)"]
            #expect(try await known.openWebSocket("/mint/v1/ws", headers: header).hasPrefix("HTTP/1.1 101"))
            await known.close()
            let again = try await RawPeer.connect(client.port)
            #expect(try await again.openWebSocket("/mint/v1/ws", headers: header).hasPrefix("HTTP/1.1 400"))
        }
    }

    @Test("A configuration that locks everyone out, or nobody, is refused with a sentence")
    func configuration() async throws {
        let tokens = try ProtectedEndpoint("POST /v1/auth/blind/mint")
        let all = (try ProtectedEndpoint("GET /v1/*"), try ProtectedEndpoint("POST /v1/*"))
        let good = MintConfiguration.Authentication(
            discoveryURL: "https://issuer.example/realm/.well-known/openid-configuration",
            clientID: "c",
            clear: [tokens],
            blind: [try ProtectedEndpoint("POST /v1/swap")]
        )
        let changes: [(String, (inout MintConfiguration.Authentication) -> Void)] = [
            ("plain http", { $0.discoveryURL = "http://issuer.example/.well-known/openid-configuration" }),
            ("a user in it", { $0.discoveryURL = "http://127.0.0.1:80@x.example/.well-known/openid-configuration" }),
            ("not discovery", { $0.discoveryURL = "https://issuer.example/" }), ("no client", { $0.clientID = "" }),
            ("nothing protected", { $0.clear = [] }), ("info hidden", { $0.blind = [all.0] }),
            ("tokens for tokens", { $0.blind = [all.1] }), ("fewer an hour than at once", { $0.tokensPerHour = 10 }),
            ("more than an array holds", { ($0.maximumTokens, $0.tokensPerHour) = (1001, 5000) }),
        ]
        _ = try await MintFixture(MintConfiguration(authentication: good))
        for (name, change) in changes {
            var settings = good
            change(&settings)
            let isRefused: Bool
            do {
                _ = try await MintFixture(MintConfiguration(authentication: settings))
                isRefused = false
            } catch {
                isRefused = error is MintSetupError
            }
            #expect(isRefused, "\(name)")
        }
    }
}
