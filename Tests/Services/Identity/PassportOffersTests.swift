import AsyncHTTPClient
import CanonicalJSON
import Cryptography
import Encodings
import Hummingbird
import NIOCore
import NIOHTTP1
import Passports
import SignedDocuments
import Storage
import Testing

@testable import Identity

@Suite("OpenID4VCI: an outside wallet fetches its passport", .serialized)
struct PassportOffersTests {
    private typealias Answer = (status: Int, headers: HTTPHeaders, json: JSONValue)

    private static let seed = [UInt8](repeating: 5, count: 32)
    private static let grant = "urn:ietf:params:oauth:grant-type:pre-authorized_code"
    private static let sdJWT = "agent-passport-sd-jwt"

    /// A wallet that holds an agent's key.
    private struct Wallet {
        let bench: IdentityBench
        let port: Int
        let passport: Passport
        let key: DocumentKey

        func call(
            _ method: HTTPMethod,
            _ path: String,
            _ body: [UInt8] = [],
            type: String = "application/json",
            token: String? = nil
        ) async throws -> Answer {
            var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)\(path)")
            request.method = method
            if let token { request.headers.add(name: "Authorization", value: "BEARER \(token)") }
            if method == .POST {
                request.headers.add(name: "Content-Type", value: type)
                request.body = .bytes(ByteBuffer(bytes: body))
            }
            let response = try await HTTPClient.shared.execute(request, timeout: .seconds(60))
            let bytes = Array(try await response.body.collect(upTo: 1 << 20).readableBytesView)
            return (Int(response.status.code), response.headers, (try? JSONValue.parse(bytes)) ?? .null)
        }

        /// What the operator hands over: the link, and the number.
        func link(withNumber: Bool = false) async throws -> (path: String, number: String?) {
            let body: JSONObject = ["transactionCode": .bool(withNumber)]
            let made = try await call(.POST, "/api/passports/\(passport.id)/offer", body.serialized())
            #expect(made.status == 201, "\(made.json)")
            let secret = try PassportOffersTests.secret(try made.json.string("offer"))
            return ("/openid4vci/offers/" + secret, made.json["transactionCode"]?.stringValue)
        }

        /// A fresh pre-authorised code, and the number.
        func code(withNumber: Bool = false) async throws -> (code: String, number: String?) {
            let link = try await link(withNumber: withNumber)
            let offer = try await call(.GET, link.path).json
            #expect(offer["credential_issuer"] == "https://node.example")
            let grant = try #require(offer["grants"]?[PassportOffersTests.grant])
            #expect((grant["tx_code"] != nil) == withNumber)
            return (try grant.string("pre-authorized_code"), link.number)
        }

        func token(_ code: String, number: String? = nil) async throws -> Answer {
            let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Apre-authorized_code"
            let form = "grant_type=\(grant)&pre-authorized_code=\(code)" + (number.map { "&tx_code=\($0)" } ?? "")
            return try await call(
                .POST,
                "/openid4vci/token",
                Array(form.utf8),
                type: "application/x-www-form-urlencoded; charset=utf-8"
            )
        }

        func granted() async throws -> String {
            try await token(try await code().code).json.string("access_token")
        }

        func nonce() async throws -> String { try await call(.POST, "/openid4vci/nonce").json.string("c_nonce") }

        func proof(
            by other: DocumentKey? = nil,
            header: JSONObject = JSONObject(),
            namesKey: Bool = true,
            type: String = "openid4vci-proof+jwt",
            _ change: (inout JSONObject) -> Void = { _ in }
        ) async throws -> String {
            var payload: JSONObject = [
                "aud": "https://node.example", "iat": .integer(bench.clock.now.secondsSince1970),
                "nonce": .string(try await nonce()),
            ]
            change(&payload)
            return try SignedToken.sign(payload, type: type, by: other ?? key, header: header, namesKey: namesKey)
        }

        func fetch(
            _ token: String,
            _ id: String = PassportOffersTests.sdJWT,
            proof: String,
            _ change: (inout JSONObject) -> Void = { _ in }
        ) async throws -> Answer {
            var body: JSONObject = [
                "credential_configuration_id": .string(id), "proofs": ["jwt": [.string(proof)]],
            ]
            change(&body)
            return try await call(.POST, "/openid4vci/credential", body.serialized(), token: token)
        }

        /// The error that a fetch ends with, or `none`.
        func error(
            _ token: String,
            by other: DocumentKey? = nil,
            header: JSONObject = JSONObject(),
            namesKey: Bool = true,
            type: String = "openid4vci-proof+jwt",
            _ change: (inout JSONObject) -> Void = { _ in }
        ) async throws -> String {
            let made = try await proof(by: other, header: header, namesKey: namesKey, type: type, change)
            return PassportOffersTests.error(try await fetch(token, proof: made))
        }
    }

    /// What a link carries.
    private static func secret(_ link: String) throws -> String {
        let prefix =
            "openid-credential-offer://?credential_offer_uri=https%3A%2F%2Fnode.example%2Fopenid4vci%2Foffers%2F"
        #expect(link.hasPrefix(prefix))
        return String(link.dropFirst(prefix.count))
    }

    private static func error(_ answer: Answer) -> String { answer.json["error"]?.stringValue ?? "none" }

    private func serve(_ bench: IdentityBench, _ passport: Passport, _ body: @Sendable (Wallet) async throws -> Void)
        async throws
    {
        let router = Router()
        IdentityRoutes(bench.service).addPublicRoutes(to: router)
        IdentityRoutes(bench.service).addOperatorRoutes(to: router.group("/api"))
        let key = DocumentKey(try Ed25519.PrivateKey(seed: Self.seed))
        try await IdentityRoutesTests.serve(router) { port in
            try await body(Wallet(bench: bench, port: port, passport: passport, key: key))
        }
    }

    private func bench() async throws -> (bench: IdentityBench, passport: Passport) {
        let bench = try await IdentityBench()
        let own = try bench.ownKey(try Ed25519.PrivateKey(seed: Self.seed))
        let description = AgentDescription(name: "planner", capabilities: ["pay"])
        return (bench, try await bench.registry.register(description, key: own).passport)
    }

    private func run(_ body: @Sendable (Wallet) async throws -> Void) async throws {
        let (bench, passport) = try await bench()
        try await serve(bench, passport, body)
    }

    @Test("[OFFER-1] the metadata names what is there, and a wallet fetches each format with its key, by kid or jwk")
    func formats() async throws {
        try await run { wallet in
            let metadata = try await wallet.call(.GET, "/.well-known/openid-credential-issuer").json
            let server = try await wallet.call(.GET, "/.well-known/oauth-authorization-server").json
            #expect(server["token_endpoint"] == "https://node.example/openid4vci/token")
            #expect(metadata["credential_issuer"] == server["issuer"])
            let supported = try metadata.object("credential_configurations_supported")
            #expect(supported.map { $0.value["format"]?.stringValue } == ["dc+sd-jwt", "jwt_vc_json", "ldp_vc"])
            let granted = try await wallet.token(try await wallet.code().code)
            #expect(granted.status == 200 && granted.json["token_type"] == "Bearer")
            #expect(granted.headers.first(name: "cache-control") == "no-store")
            let token = try granted.json.string("access_token")
            for (number, id) in supported.keys.enumerated() {
                let proof =
                    number == 0
                    ? try await wallet.proof(header: ["jwk": .object(wallet.key.did.jwk)], namesKey: false)
                    : try await wallet.proof()
                let answer = try await wallet.fetch(token, id, proof: proof)
                #expect(answer.status == 200, "\(answer.json)")
                let credential = try #require(answer.json["credentials"]?[0]?["credential"])
                let bytes = credential.stringValue.map { Array($0.utf8) } ?? credential.serialized()
                let passport = try Passport(bytes: bytes)
                #expect(passport.subject == wallet.key.did && passport.id == wallet.passport.id)
                #expect(PassportVerifier.signatureReason(passport) == nil)
            }
        }
    }

    @Test("[OFFER-2] a link and its code serve once, also when asked for at the same time, and end after ten minutes")
    func once() async throws {
        try await run { wallet in
            let link = try await wallet.link()
            let offer = try await wallet.call(.GET, link.path)
            let looked = try await wallet.call(.GET, link.path)
            #expect(offer.status == 200 && offer.json == looked.json, "it can be looked at")
            let code = try #require(offer.json["grants"]?[Self.grant]).string("pre-authorized_code")
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<12 { group.addTask { try await wallet.token(code).status } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(statuses.sorted() == [200] + [Int](repeating: 400, count: 11))
            #expect(try await wallet.call(.GET, link.path).status == 404)
            #expect(try await wallet.call(.GET, "/openid4vci/offers/guessed").status == 404)
            let late = try await wallet.code()
            wallet.bench.clock.advance(seconds: 600)
            #expect(Self.error(try await wallet.token(late.code)) == "invalid_grant")
            let token = try await wallet.granted()
            wallet.bench.clock.advance(seconds: 300)
            #expect(try await wallet.error(token) == "invalid_token")
        }
    }

    @Test(
        "[OFFER-3] the number must be right; the fifth wrong one ends the offer, and one that is not asked for is refused"
    )
    func numbers() async throws {
        try await run { wallet in
            let offer = try await wallet.code(withNumber: true)
            #expect(offer.number?.utf8.count == 6)
            #expect(Self.error(try await wallet.token(offer.code)) == "invalid_request")
            for _ in 0..<5 {
                #expect(Self.error(try await wallet.token(offer.code, number: "wrong")) == "invalid_grant")
            }
            let late = try await wallet.token(offer.code, number: offer.number)
            #expect(Self.error(late) == "invalid_grant", "the offer ended with the fifth wrong number")
            let other = try await wallet.code(withNumber: true)
            for _ in 0..<4 { _ = try await wallet.token(other.code, number: "wrong") }
            #expect(try await wallet.token(other.code, number: other.number).status == 200)
            let plain = try await wallet.code()
            #expect(Self.error(try await wallet.token(plain.code, number: "123456")) == "invalid_request")
            #expect(try await wallet.token(plain.code).status == 200)
        }
    }

    @Test(
        "[OFFER-4] a proof by another key, for another, stale, replayed, of another type or steered by its header is refused"
    )
    func proofs() async throws {
        try await run { wallet in
            let thief = DocumentKey(Ed25519.PrivateKey())
            var token = try await wallet.granted()
            #expect(try await wallet.error(token, by: thief) == "invalid_proof")
            // The thief's signature under the agent's name.
            #expect(
                try await wallet.error(
                    token,
                    by: thief,
                    header: ["kid": .string(wallet.key.verificationMethod)],
                    namesKey: false
                ) == "invalid_proof"
            )
            #expect(try await wallet.error(token, header: ["jwk": .object(wallet.key.did.jwk)]) == "invalid_proof")
            #expect(try await wallet.error(token, namesKey: false) == "invalid_proof")
            #expect(try await wallet.error(token, header: ["jku": "https://evil.example"]) == "invalid_proof")
            #expect(try await wallet.error(token, header: ["alg": "none"]) == "invalid_proof")
            #expect(try await wallet.error(token, header: ["alg": "HS256"]) == "invalid_proof")
            #expect(try await wallet.error(token, type: "JWT") == "invalid_proof")
            #expect(try await wallet.error(token) { $0["aud"] = "https://evil.example" } == "invalid_proof")
            #expect(try await wallet.error(token) { $0["iat"] = 1 } == "invalid_proof")
            #expect(try await wallet.error(token) { $0["iat"] = .integer(.min) } == "invalid_proof")
            #expect(try await wallet.error(token) { $0["iss"] = "someone" } == "invalid_proof")
            #expect(try await wallet.error(token) { $0["nonce"] = nil } == "invalid_proof")
            token = try await wallet.granted()
            #expect(try await wallet.error(token) { $0["nonce"] = "guessed" } == "invalid_nonce")
            let nonce = try await wallet.nonce()
            var forged = Array(try Base64URL.decode(nonce))
            forged[7] ^= 1
            let longer = Base64URL.encode(forged)
            #expect(try await wallet.error(token) { $0["nonce"] = .string(longer) } == "invalid_nonce")
            #expect(try await wallet.error(token) { $0["nonce"] = .string(nonce) } == "none")
            #expect(try await wallet.error(token) { $0["nonce"] = .string(nonce) } == "invalid_nonce")
            let old = try await wallet.nonce()
            wallet.bench.clock.advance(seconds: 300)
            token = try await wallet.granted()
            #expect(try await wallet.error(token) { $0["nonce"] = .string(old) } == "invalid_nonce")
        }
    }

    @Test(
        "[OFFER-5] requests that are not well formed are refused with the errors of the standard, and tokens are used up"
    )
    func requests() async throws {
        try await run { wallet in
            let token = try await wallet.granted()
            let proof = try await wallet.proof()
            func error(_ change: (inout JSONObject) -> Void) async throws -> String {
                Self.error(try await wallet.fetch(token, proof: proof, change))
            }
            #expect(
                try await error { $0["credential_configuration_id"] = "other" } == "unknown_credential_configuration"
            )
            #expect(try await error { $0["credential_configuration_id"] = nil } == "invalid_credential_request")
            #expect(try await error { $0["credential_identifier"] = "x" } == "unknown_credential_identifier")
            #expect(try await error { $0["credential_response_encryption"] = [:] } == "invalid_encryption_parameters")
            #expect(try await error { $0["proofs"] = nil } == "invalid_proof")
            #expect(try await error { $0["proofs"] = ["jwt": [.string(proof), .string(proof)]] } == "invalid_proof")
            #expect(try await error { $0["proofs"] = ["jwt": [.string(proof)], "cwt": ["x"]] } == "invalid_proof")
            #expect(try await error { $0["proofs"] = ["jwt": ["e30.e30.e30"]] } == "invalid_proof")
            let broken = try await wallet.call(.POST, "/openid4vci/credential", Array("{".utf8), token: token)
            #expect(Self.error(broken) == "invalid_credential_request")
            let stranger = try await wallet.fetch("guessed", proof: proof)
            #expect(stranger.status == 401 && Self.error(stranger) == "invalid_token")
            #expect(stranger.headers.first(name: "www-authenticate")?.hasPrefix("Bearer") == true)
            #expect(try await wallet.call(.POST, "/openid4vci/credential").status == 401)
            #expect(try await error { _ in } == "none")
            for _ in 0..<16 { _ = try await wallet.fetch(token, proof: proof) }
            #expect(Self.error(try await wallet.fetch(token, proof: proof)) == "invalid_token")

            func form(_ text: String, type: String = "application/x-www-form-urlencoded") async throws -> String {
                Self.error(try await wallet.call(.POST, "/openid4vci/token", Array(text.utf8), type: type))
            }
            #expect(try await form("") == "invalid_request")
            #expect(try await form("grant_type=authorization_code&code=x") == "unsupported_grant_type")
            #expect(try await form("grant_type=\(Self.grant)") == "invalid_request")
            #expect(try await form("grant_type=\(Self.grant)&pre-authorized_code=guessed") == "invalid_grant")
            #expect(try await form("grant_type=a&grant_type=b") == "invalid_request")
            #expect(try await form("grant_type=%zz") == "invalid_request")
            #expect(try await form("{}", type: "application/json") == "invalid_request")
            #expect(try await form("a=" + String(repeating: "x", count: 9_000)) == "invalid_request")
        }
    }

    @Test("[OFFER-6] only a live passport is offered and given out: suspended, revoked or lapsed ones are not")
    func liveOnly() async throws {
        try await run { wallet in
            let token = try await wallet.granted()
            let office = wallet.bench.office
            try await office.suspend(wallet.passport.id)
            #expect(try await wallet.error(token) == "credential_request_denied")
            #expect(
                await identityCode {
                    _ = try await wallet.bench.service.offers.offer(wallet.passport.id, withNumber: false)
                }
                    == .passportFinal
            )
            try await office.restore(wallet.passport.id)
            #expect(try await wallet.error(token) == "none")
            try await office.revoke(wallet.passport.id, reason: .unspecified)
            #expect(try await wallet.error(token) == "credential_request_denied")
            let body = JSONObject().serialized()
            #expect(try await wallet.call(.POST, "/api/passports/\(wallet.passport.id)/offer", body).status == 409)
            #expect(try await wallet.call(.POST, "/api/passports/none/offer", body).status == 404)
        }
        let (bench, passport) = try await bench()
        let lapse = passport.validUntil.secondsSince1970 - bench.clock.now.secondsSince1970
        bench.clock.advance(seconds: lapse - 1)
        let made = try await bench.service.offers.offer(passport.id, withNumber: false)
        bench.clock.advance(seconds: 1)
        #expect(made.until > bench.clock.now)
        #expect(
            await identityCode { _ = try await bench.service.offers.offer(passport.id, withNumber: false) }
                == .passportFinal
        )
    }

    @Test(
        "[OFFER-7] offers and tokens outlive a restart, nonces do not; no secret is on the disk, and what ended is forgotten"
    )
    func restart() async throws {
        let (bench, passport) = try await bench()
        let offers = bench.service.offers
        let made = try await offers.offer(passport.id, withNumber: true)
        let secret = try Self.secret(made.link)
        let held = try await offers.offer(passport.id, withNumber: false)
        let shown = try #require(try await offers.shown(try Self.secret(held.link)))
        let code = try #require(shown["grants"]?[Self.grant]).string("pre-authorized_code")
        let token = try await offers.token(code: code, number: nil)
        let nonce = offers.nonce()
        let rows = try await bench.database.read { connection in
            try connection.rows("SELECT id, code, number, token FROM identity_offers").map { row in
                try (0..<4).map { try row.optionalBlob($0) ?? [] }
            }
        }
        let numberBytes = Array(try #require(made.number).utf8)
        for column in rows.joined() {
            for text in [secret, code, token] { #expect(!String(decoding: column, as: UTF8.self).contains(text)) }
            #expect(
                column != Hashing.sha256(numberBytes),
                "a number of six digits is soon guessed from its bare digest"
            )
        }
        let again = try await bench.restarted()
        try await serve(again, passport) { wallet in
            let ended = try await wallet.error(token) { $0["nonce"] = .string(nonce) }
            #expect(ended == "invalid_nonce")
            let fetched = try await wallet.error(token)
            #expect(fetched == "none")
        }
        again.clock.advance(seconds: 601)
        await again.service.maintain()
        let left = try await again.database.read { try PassportOfferStore.count(in: $0) }
        #expect(left == 0)
    }
}
