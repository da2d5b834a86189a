import AsyncHTTPClient
import CanonicalJSON
import Cryptography
import Encodings
import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTP1
import Passports
import SignedDocuments
import Synchronization
import TestSupport
import Testing

@testable import Identity

@Suite("Passports in other forms, and the DIDs of a node", .serialized)
struct PassportFormsTests {
    /// The check of any form by the node that issued it.
    private func reasons(_ passport: Passport, _ bench: IdentityBench) async -> [PassportReason.Code] {
        await bench.gate.verify(passport, trustedIssuers: Set(bench.office.issuers), checksStatus: true).reasons.map(
            \.code
        )
    }

    @Test(
        "every form says the same, and is suspended, restored and revoked with the passport",
        arguments: PassportForm.allCases
    )
    func oneStatus(form: PassportForm) async throws {
        let bench = try await IdentityBench()
        let made = try await bench.register()
        let passport = try await bench.office.passport(made.passport.id, form: form)
        #expect(passport.form == form && passport.id == made.passport.id && passport.subject == made.agent.did)
        #expect(await reasons(passport, bench) == [])
        try await bench.office.suspend(passport.id)
        #expect(await reasons(passport, bench) == [.suspended])
        let again = try await bench.restarted()
        #expect(await reasons(passport, again) == [.suspended])
        try await again.office.restore(passport.id)
        #expect(await reasons(passport, again) == [])
        try await again.office.revoke(passport.id, reason: .unspecified)
        #expect(await reasons(passport, again) == [.revoked])
        if form != .jcs {
            #expect(
                await identityCode { _ = try await again.office.passport(passport.id, form: form) } == .passportFinal
            )
        }
    }

    @Test("[FORM-7] another node checks each form by this one's lists", arguments: PassportForm.allCases)
    func elsewhere(form: PassportForm) async throws {
        let bench = try await IdentityBench()
        let other = try await IdentityBench(seed: 2, clock: bench.clock)
        let made = try await bench.register()
        let passport = try await bench.office.passport(made.passport.id, form: form)
        func publish() throws {
            for entry in passport.status {
                let path = entry.listURL.dropFirst("https://node.example/status/".count).split(separator: "/")
                let notation = path.count > 1 ? ListNotation(rawValue: String(path[1])) : .bitstring
                let number = try #require(Int64(path[0]))
                let found = try bench.office.publishedList(number, notation: try #require(notation))
                let list = try #require(found)
                other.lists.answer(entry.listURL, .document(list.bytes, etag: nil))
            }
        }
        try publish()
        #expect(await other.gate.verify(passport, trustedIssuers: [passport.issuer], checksStatus: true).isValid)
        try await bench.office.suspend(passport.id)
        bench.clock.advance(seconds: 120)
        try publish()
        #expect(
            await other.gate.verify(passport, trustedIssuers: [passport.issuer], checksStatus: true).reasons.map(\.code)
                == [.suspended]
        )
        // A list from before: rolled back.
        #expect(await other.gate.verify(passport, trustedIssuers: [], checksStatus: true).contains(.untrustedIssuer))
    }

    // MARK: DIDs

    /// Answers what a test has set up, and counts.
    private final class ScriptedDocuments: DIDFetching {
        let documents = Mutex<[String: [UInt8]]>([:])
        let count = Mutex(0)

        func fetch(_ url: String, maximumBytes: Int) async throws -> [UInt8] {
            count.withLock { $0 += 1 }
            guard let bytes = documents.withLock({ $0[url] }) else {
                throw FetchError(description: "no such document")
            }
            guard bytes.count <= maximumBytes else { throw FetchError(description: "too long") }
            return bytes
        }
    }

    @Test("the node's did:web is served and resolves to the keys it issues with; a document of another DID does not")
    func webDocuments() async throws {
        let bench = try await IdentityBench()
        let web = try #require(bench.service.documents.node)
        #expect(web.string == "did:web:node.example" && web.url == "https://node.example/.well-known/did.json")
        let documents = ScriptedDocuments()
        let bytes = try #require(bench.service.documents.nodeDocument()).serialized()
        documents.documents.withLock {
            $0[web.url] = bytes
            $0["https://evil.example/.well-known/did.json"] = bytes
        }
        let resolver = DIDResolver(fetcher: documents, clock: bench.clock.clock)
        let methods = try await resolver.methods(for: [web.string + "#x", web.string])
        #expect(Set(methods.keys(of: web.string, purpose: .assertionMethod)) == Set(bench.office.issuers))
        #expect(documents.count.withLock { $0 } == 1)
        _ = try await resolver.resolve(web.string)
        #expect(documents.count.withLock { $0 } == 1, "remembered for a minute")
        await #expect(throws: DocumentError.self) { try await resolver.resolve("did:web:evil.example") }
        await #expect(throws: DocumentError.self) { try await resolver.resolve("did:web:none.example") }
        await #expect(throws: DocumentError.self) { try await resolver.resolve("did:web:127.0.0.1") }
        await #expect(throws: DocumentError.self) {
            try await resolver.methods(for: (0..<5).map { "did:web:a\($0).example" })
        }
        let key = DIDKey(Ed25519.PrivateKey().publicKey)
        #expect(try await resolver.resolve(key.string).did == key.string)
        #expect(try await resolver.resolve(DIDJWK(key).string).did == DIDJWK(key).string)
        // A node behind an address has no did:web.
        let bare = try await IdentityBench(seed: 3, publicURL: "http://127.0.0.1:8402")
        #expect(bare.service.documents.node == nil)
        #expect(await identityCode { _ = try await bare.service.operatorDID.create() } == .invalidRequest)
    }

    @Test("the node's did:webvh is made once, rotates to the key it committed to, survives a restart, and resolves")
    func operatorDID() async throws {
        let bench = try await IdentityBench()
        #expect(await identityCode { _ = try await bench.service.operatorDID.rotate() } == .didNotFound)
        let made = try await bench.service.operatorDID.create()
        #expect(await identityCode { _ = try await bench.service.operatorDID.create() } == .didExists)
        let rotated = try await bench.service.operatorDID.rotate()
        #expect(rotated.number == 2 && rotated.did == made.did && rotated.updateKeys != made.updateKeys)
        let again = try await bench.restarted()
        let log = try #require(try await again.service.operatorDID.log())
        #expect(log.versionID == rotated.versionID)
        let documents = ScriptedDocuments()
        documents.documents.withLock { $0[log.did.url] = log.bytes }
        let resolver = DIDResolver(fetcher: documents, clock: again.clock.clock)
        let found = try await resolver.resolve(log.did.string)
        #expect(found.versionID == log.versionID && found.document == log.document)
        var methods = VerificationMethods()
        try methods.add(found.document, of: found.did)
        #expect(methods.keys(of: found.did, purpose: .assertionMethod).contains(again.office.issuer))
    }

    @Test("a did:webvh with witnesses resolves with their proofs, which are fetched only where the log names witnesses")
    func witnessedDID() async throws {
        let vectors = try JSONValue.parse(try Fixtures.bytes("did-webvh/did-webvh.json")).array("valid")
        let vector = try #require(vectors.first { $0["name"] == "witness-threshold/ts" })
        let did = try WebDID(parsing: try vector.string("did"))
        let proofs = Array(try vector.string("witness").utf8)
        let log = Array(try vector.string("log").utf8)
        func resolve(_ file: [UInt8]?) async throws(DocumentError) -> (ResolvedDID, fetches: Int) {
            let documents = ScriptedDocuments()
            documents.documents.withLock {
                $0[did.url] = log
                $0[did.witnessURL] = file
            }
            let found = try await DIDResolver(fetcher: documents, clock: ManualClock().clock).resolve(did.string)
            return (found, documents.count.withLock { $0 })
        }
        let found = try await resolve(proofs)
        #expect(found.0.versionID == (try vector.string("versionId")) && found.fetches == 2)
        for (file, code) in [(nil, .unresolvedDID), (Array("[]".utf8), .badLog), (log, .badLog)]
            as [([UInt8]?, DocumentError.Code)]
        {
            do throws(DocumentError) {
                _ = try await resolve(file)
                Issue.record("it resolved without its witnesses")
            } catch {
                #expect(error.code == code)
            }
        }
    }

    @Test("a name that leads to a private address, a redirect there, and a document of 100 MB are refused")
    func fetching() async throws {
        for address in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:127.0.0.1"] {
            let found = try SocketAddress(ipAddress: address, port: 443)
            let fetcher = HTTPDIDFetcher(allowsLocal: false) { _, _ in [found] }
            await #expect(throws: FetchError.self, "\(address)") {
                try await fetcher.fetch(
                    "https://shop.example/.well-known/did.json",
                    maximumBytes: 1_000
                )
            }
        }
        // One public address beside a private one is no excuse.
        let mixed = HTTPDIDFetcher(allowsLocal: false) { _, _ in
            [try SocketAddress(ipAddress: "8.8.8.8", port: 443), try SocketAddress(ipAddress: "10.0.0.1", port: 443)]
        }
        await #expect(throws: FetchError.self) {
            try await mixed.fetch(
                "https://shop.example/.well-known/did.json",
                maximumBytes: 1_000
            )
        }
        let router = Router()
        let reached = Mutex(0)
        router.get("/redirect") { _, _ in
            Response(status: .found, headers: [.location: "http://localhost/private"])
        }
        router.get("/private") { _, _ in
            reached.withLock { $0 += 1 }
            return "{}"
        }
        router.get("/huge") { _, _ in
            Response(
                status: .ok,
                body: ResponseBody { writer in
                    for _ in 0..<100 { try await writer.write(ByteBuffer(repeating: 0x20, count: 1 << 20)) }
                    try await writer.finish(nil)
                }
            )
        }
        router.get("/small") { _, _ in "{\"id\":1}" }
        try await IdentityRoutesTests.serve(router) { (port: Int) async throws -> Void in
            let fetcher = HTTPDIDFetcher(allowsLocal: true) { host, port in
                [try SocketAddress(ipAddress: "127.0.0.1", port: port)]
            }
            func fetch(_ path: String) async throws -> [UInt8] {
                try await fetcher.fetch(
                    "https://localhost:\(port)\(path)",
                    maximumBytes: 64 * 1_024
                )
            }
            let small = try await fetch("/small")
            #expect(small == Array("{\"id\":1}".utf8))
            await #expect(throws: FetchError.self) { try await fetch("/redirect") }
            await #expect(throws: (any Error).self) { try await fetch("/huge") }
        }
        #expect(reached.withLock { $0 } == 0)
    }
}

@Suite("The VC-API, presentations and DIDs over HTTP", .serialized)
struct CredentialRoutesTests {
    private struct Running {
        let bench: IdentityBench
        let port: Int

        func call(_ method: HTTPMethod, _ path: String, _ body: JSONObject? = nil) async throws -> (
            status: Int, type: String, json: JSONValue, text: String
        ) {
            var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)\(path)")
            request.method = method
            if let body { request.body = .bytes(ByteBuffer(bytes: body.serialized())) }
            let response = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
            let bytes = Array(try await response.body.collect(upTo: 1 << 20).readableBytesView)
            return (
                Int(response.status.code), response.headers.first(name: "content-type") ?? "",
                (try? JSONValue.parse(bytes)) ?? .null, String(decoding: bytes, as: UTF8.self)
            )
        }
    }

    private func run(_ publicURL: String = "https://node.example", _ body: @Sendable (Running) async throws -> Void)
        async throws
    {
        let bench = try await IdentityBench(publicURL: publicURL)
        let router = Router()
        IdentityRoutes(bench.service).addPublicRoutes(to: router)
        IdentityRoutes(bench.service).addOperatorRoutes(to: router.group("/api"))
        CredentialRoutes(bench.service, mayFetch: false).addPublicRoutes(to: router)
        CredentialRoutes(bench.service, mayFetch: true).addOperatorRoutes(to: router.group("/credentials"))
        try await IdentityRoutesTests.serve(router) { port in try await body(Running(bench: bench, port: port)) }
    }

    private static let credential: JSONObject = [
        "@context": ["https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/undefined-terms/v2"],
        "type": ["VerifiableCredential"], "issuer": "did:example:whoever", "credentialSubject": ["member": "Ada"],
    ]

    @Test(
        "a credential is issued in each form, verified, and refused with every kind of change, as the W3C's suites ask"
    )
    func issueAndVerify() async throws {
        try await run { node in
            for form in PassportForm.allCases where form != .sdJWT {
                let issued = try await node.call(
                    .POST,
                    "/credentials/issue",
                    ["credential": .object(Self.credential), "options": ["cryptosuite": .string(form.rawValue)]]
                )
                #expect(issued.status == 201, "\(issued.text)")
                let credential = try issued.json.value("verifiableCredential")
                let verified = try await node.call(
                    .POST,
                    "/credentials/verify",
                    ["verifiableCredential": credential, "options": [:]]
                )
                #expect(verified.status == 200 && verified.json["verified"] == true, "\(form) \(verified.text)")
            }
            let issued = try await node.call(.POST, "/credentials/issue", ["credential": .object(Self.credential)])
            var changed = try issued.json.object("verifiableCredential")
            changed["credentialSubject"] = ["member": "Eve"]
            let refused = try await node.call(.POST, "/credentials/verify", ["verifiableCredential": .object(changed)])
            #expect(refused.status == 400 && refused.type == "application/problem+json")
            #expect(refused.json["type"] == "https://www.w3.org/TR/vc-data-model#CRYPTOGRAPHIC_SECURITY_ERROR")
            for (name, value) in [
                ("type", ["Other"]), ("credentialSubject", [:]), ("issuer", "who"), ("validFrom", "soon"),
                ("evidence", ["id": "urn:x:1"]),
            ] as [(String, JSONValue)] {
                var bad = Self.credential
                bad[name] = value
                let answer = try await node.call(.POST, "/credentials/issue", ["credential": .object(bad)])
                #expect(answer.status == 400, "\(name)")
            }
            // Nobody gets a passport this way.
            var passport = Self.credential
            passport["type"] = ["VerifiableCredential", "AgentPassportCredential"]
            #expect(try await node.call(.POST, "/credentials/issue", ["credential": .object(passport)]).status == 400)
            #expect(try await node.call(.POST, "/credentials/verify", [:]).status == 400)
        }
        try await run("http://127.0.0.1:8402") { node in
            let issued = try await node.call(.POST, "/credentials/issue", ["credential": .object(Self.credential)])
            #expect(issued.status == 201 && issued.json["proof"]?["cryptosuite"] == "eddsa-jcs-2022")
        }
    }

    @Test("a stranger's question fetches nothing: lists and DIDs of others are refused unfetched")
    func strangers() async throws {
        try await run { node in
            let key = DocumentKey(Ed25519.PrivateKey())
            var credential = Self.credential
            credential["issuer"] = .string(key.did.string)
            credential["credentialStatus"] =
                StatusEntry(purpose: .revocation, listURL: "https://evil.example/list", index: 1).json
            let signed = try DataIntegrity.sign(
                credential,
                by: key,
                suite: .eddsaJCS2022,
                created: node.bench.clock.now
            )
            let answer = try await node.call(.POST, "/credentials/verify", ["verifiableCredential": .object(signed)])
            #expect(answer.status == 400 && answer.json["code"] == "status-unavailable")
            #expect(node.bench.lists.requests.isEmpty)
        }
    }

    @Test("passports in every form over HTTP: shown, presented with chosen claims, verified, revoked by the VC-API")
    func presenting() async throws {
        try await run { node in
            let made = try await node.bench.register()
            let path = "/api/passports/\(made.passport.id)"
            for form in PassportForm.allCases {
                let shown = try await node.call(.GET, path + "?form=" + form.rawValue.replacing("+", with: "%2B"))
                #expect(shown.status == 200 && shown.json["mediaType"]?.stringValue == form.mediaType, "\(shown.text)")
                let passport = try shown.json.value("passport")
                let trusted = JSONValue(node.bench.office.issuers.map(\.string))
                let verified = try await node.call(
                    .POST,
                    "/api/passports/verify",
                    ["passport": passport, "trustedIssuers": trusted]
                )
                #expect(verified.json["valid"] == true, "\(form) \(verified.text)")
            }
            #expect(try await node.call(.GET, path + "?form=pdf").status == 400)
            let ask: JSONObject = ["audience": "https://shop.example", "nonce": "n-1", "claims": ["capability:pay"]]
            let shown = try await node.call(.POST, path + "/present", ask)
            let token = try SDJWT(try shown.json.string("presentation"), types: ["dc+sd-jwt"])
            #expect(
                try token.keyBinding(audience: "https://shop.example", nonce: "n-1", now: node.bench.clock.now)
                    == made.agent.did
            )
            let claims = try token.claims()
            #expect(claims["capability"] == ["pay"] && claims["agentName"] == nil)
            var wrong = ask
            wrong["claims"] = ["spendLimit"]
            #expect(try await node.call(.POST, path + "/present", wrong).status == 400)
            // A presentation, to this node.
            let whole = try await node.call(
                .POST,
                path + "/present",
                ["audience": "https://shop.example", "nonce": "n-2", "form": "vc+jwt"]
            )
            let presentation = try whole.json.value("presentation")
            func verify(
                _ presentation: JSONValue,
                _ challenge: String,
                _ domain: String = "https://shop.example"
            ) async throws -> (Int, JSONValue?) {
                let answer = try await node.call(
                    .POST,
                    "/presentations/verify",
                    [
                        "verifiablePresentation": presentation,
                        "options": ["challenge": .string(challenge), "domain": .string(domain)],
                    ]
                )
                return (answer.status, answer.json["code"])
            }
            #expect(try await verify(presentation, "n-2") == (200, nil))
            #expect(try await verify(presentation, "n-3") == (400, "wrong-challenge"))
            #expect(try await verify(presentation, "n-2", "https://evil.example") == (400, "wrong-domain"))
            // The same as one JWT.
            let bare = try await node.call(
                .POST,
                path + "/present",
                ["audience": "https://shop.example", "nonce": "n-2", "form": "vp+jwt"]
            )
            let jwt = try bare.json.value("presentation")
            #expect(try await verify(jwt, "n-2") == (200, nil))
            #expect(try await verify(jwt, "n-3") == (400, "wrong-challenge"))
            #expect(try await verify(jwt, "n-2", "https://evil.example") == (400, "wrong-domain"))
            let revoked = try await node.call(
                .POST,
                "/credentials/status",
                [
                    "credentialId": .string(made.passport.id),
                    "credentialStatus": ["statusPurpose": "revocation", "status": true],
                ]
            )
            #expect(revoked.status == 200)
            #expect(try await verify(presentation, "n-2") == (400, "revoked"))
            #expect(try await verify(jwt, "n-2") == (400, "revoked"))
            #expect(
                try await node.call(
                    .POST,
                    "/credentials/status",
                    ["credentialId": .string(made.passport.id), "credentialStatus": ["status": false]]
                ).status == 409
            )
        }
    }

    @Test("status lists in each notation, and DID documents, with their media types")
    func documents() async throws {
        try await run { node in
            let made = try await node.bench.register()
            let list = try #require(made.passport.statusEntry(.revocation)).listURL.dropFirst(
                "https://node.example".count
            )
            #expect(try await node.call(.GET, String(list)).type == "application/vc")
            #expect(try await node.call(.GET, list + "/p256").json["proof"]?["cryptosuite"] == "ecdsa-jcs-2019")
            let token = try await node.call(.GET, list + "/token")
            #expect(token.type == "application/statuslist+jwt")
            let url = "https://node.example\(list)/token"
            #expect(try StatusListCredential.verify(bytes: Array(token.text.utf8), url: url).suspensions != nil)
            #expect(try await node.call(.GET, list + "/other").status == 404)
            let suspensions = try #require(made.passport.statusEntry(.suspension)).listURL.dropFirst(
                "https://node.example".count
            )
            #expect(try await node.call(.GET, suspensions + "/token").status == 404)
            let web = try await node.call(.GET, "/.well-known/did.json")
            #expect(web.type == "application/did+json" && web.json["id"] == "did:web:node.example")
            let agent = try await node.call(.GET, "/agents/\(made.agent.id.dropFirst(9))/did.json")
            #expect(agent.json["alsoKnownAs"] == [.string(made.agent.did.string)])
            #expect(try await node.call(.GET, "/agents/none/did.json").status == 404)
            #expect(try await node.call(.GET, "/.well-known/did.jsonl").status == 404)
            let created = try await node.call(.POST, "/api/dids", [:])
            #expect(created.status == 201, "\(created.text)")
            let log = try await node.call(.GET, "/.well-known/did.jsonl")
            let did = try WebDID(parsing: try created.json.string("did"))
            #expect(log.type == "text/jsonl")
            _ = try WebVHLog(Array(log.text.utf8), resolving: did, now: node.bench.clock.now)
            #expect(try await node.call(.POST, "/api/dids/rotate", [:]).status == 200)
            let own = try await node.call(.GET, "/api/dids")
            #expect(own.json["web"] == "did:web:node.example" && own.json["webvh"]?.stringValue == did.string)
            let key = try await node.call(.GET, "/api/dids?did=\(made.agent.did.string)")
            #expect(key.json["document"]?["id"]?.stringValue == made.agent.did.string)
            #expect(try await node.call(.GET, "/api/dids?did=did:web:127.0.0.1").status == 422)
        }
    }
}
