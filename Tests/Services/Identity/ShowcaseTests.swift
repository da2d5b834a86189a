import AsyncHTTPClient
import CanonicalJSON
import Cryptography
import Encodings
import HTTPSignatures
import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTP1
import Passports
import SignedDocuments
import Testing

@testable import Identity

private struct FixedStore: Storefront {
    let version = "1.0"
    var places: [ChainRegistration] = []

    func services() async -> [OfferedService] {
        [
            OfferedService(
                name: "weather",
                summary: nil,
                url: "https://node.example/s/weather",
                prices: [OfferedService.Price(methods: ["GET"], path: "/*", text: "2 sat")],
                accepts: ["cashu", "x402-exact"]
            )
        ]
    }

    func sellsOverX402() async -> Bool { true }
    func registrations(of agentID: String) async throws -> [ChainRegistration] { places }
    func registrations(limit: Int) async throws -> [ChainRegistration] { Array(places.prefix(limit)) }
}

@Suite("What a node shows", .serialized)
struct ShowcaseTests {
    private struct Running {
        let port: Int

        func get(_ path: String, _ headers: [(String, String)] = [], method: HTTPMethod = .GET) async throws -> (
            status: Int, headers: HTTPHeaders, body: [UInt8], json: JSONValue
        ) {
            var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)\(path)")
            request.method = method
            for (name, value) in headers { request.headers.add(name: name, value: value) }
            let response = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
            let bytes = Array(try await response.body.collect(upTo: 1 << 20).readableBytesView)
            return (Int(response.status.code), response.headers, bytes, (try? JSONValue.parse(bytes)) ?? .null)
        }
    }

    private func run(
        _ bench: IdentityBench,
        _ store: FixedStore = FixedStore(),
        _ body: @Sendable (Running) async throws -> Void
    ) async throws {
        let router = Router()
        IdentityRoutes(bench.service).addPublicRoutes(to: router)
        ShowcaseRoutes(Showcase(bench.service, store: store), identity: bench.service).addPublicRoutes(to: router)
        try await IdentityRoutesTests.serve(router) { try await body(Running(port: $0)) }
    }

    private func bare(_ id: String) -> String { String(id.dropFirst("urn:uuid:".count)) }

    @Test("[BOT-3] the directory over HTTP: its type, a proof of each key for the node's own name, ETag and 304")
    func directory() async throws {
        let bench = try await IdentityBench()
        let agent = try await bench.register().agent
        try await run(bench) { node in
            // Whatever host the request names, the proof is for node.example.
            let answer = try await node.get(SignatureAgent.directoryPath, [("Host", "thief.example")])
            #expect(answer.status == 200)
            #expect(answer.headers.first(name: "content-type") == SignatureAgent.directoryMediaType)
            #expect(answer.headers.first(name: "cache-control") == "public, max-age=60")
            let digest = ContentDigest.header(for: answer.body)
            #expect(answer.headers.first(name: "content-digest") == digest)
            let input = try #require(answer.headers.first(name: "signature-input"))
            let signature = try #require(answer.headers.first(name: "signature"))
            let base = """
                "@authority";req: node.example
                "content-digest": \(digest)
                "@signature-params": \(input.dropFirst("binding0=".count))
                """
            let bytes = try Base64.decode(String(signature.dropFirst("binding0=:".count).dropLast()))
            #expect(agent.did.ed25519?.isValid(signature: bytes, for: Array(base.utf8)) == true)
            let created = bench.clock.now.secondsSince1970
            #expect(input.contains(";created=\(created);expires=\(created + 3600);"), "\(input)")
            let etag = try #require(answer.headers.first(name: "etag"))
            let again = try await node.get(SignatureAgent.directoryPath, [("If-None-Match", etag)])
            #expect(again.status == 304 && again.body.isEmpty)
            let head = try await node.get(SignatureAgent.directoryPath, method: .HEAD)
            #expect(head.status == 200 && head.body.isEmpty)
        }
    }

    @Test("[CARD-1] the node's card lists what it sells, signed by the key at its jku")
    func nodeCard() async throws {
        let bench = try await IdentityBench()
        try await run(bench) { node in
            let answer = try await node.get("/.well-known/agent-card.json")
            let card = try AgentCard(bytes: answer.body)
            #expect(card.problem(by: bench.office.issuer) == nil)
            #expect(card.document["skills"]?[0]?["id"] == "weather")
            #expect(card.document["supportedInterfaces"]?[0]?["url"] == "https://node.example/s/weather")
            #expect(card.document["supportedInterfaces"]?[0]?["protocolBinding"] == "urn:mintmark:http-402:1")
            let sold = card.document["capabilities"]?["extensions"]?.arrayValue?.first {
                $0["uri"] == "urn:mintmark:a2a:http-402:1"
            }?["params"]?["services"]?[0]
            #expect(sold?["prices"] == [["path": "/*", "price": "2 sat", "methods": ["GET"]]])
            #expect(sold?["accepts"] == ["cashu", "x402-exact"])
            #expect(card.signatures.first?.keysURL == "https://node.example/.well-known/jwks.json")
            let keys = try PublicKeySet(try await node.get("/.well-known/jwks.json").body)
            #expect(card.problem(by: keys) == nil)
            let etag = try #require(answer.headers.first(name: "etag"))
            #expect(try await node.get("/.well-known/agent-card.json", [("If-None-Match", etag)]).status == 304)
        }
    }

    @Test(
        "[CARD-4] an agent's card stands while it has standing: suspended 403, revoked 410, unknown 404; its keys go with it"
    )
    func agentCard() async throws {
        let bench = try await IdentityBench()
        let (agent, passport) = try await bench.register()
        try await run(bench) { node in
            let path = "/agents/\(bare(agent.id))"
            let cardPath = path + "/.well-known/agent-card.json"
            let card = try AgentCard(bytes: try await node.get(cardPath).body)
            #expect(card.problem(by: agent.did) == nil && card.problem(by: bench.office.issuer) == nil)
            // [CARD-2] The agent first, then its node; and whose card it is, in its own words.
            #expect(card.signatures.map(\.keyID) == [agent.did.thumbprint, bench.office.issuer.thumbprint])
            #expect(card.did == agent.did && card.agentID == agent.id && card.node == bench.office.issuer)
            let keys = try await node.get(path + "/jwks.json")
            #expect(keys.headers.first(name: "content-type") == "application/jwk-set+json")
            #expect(card.problem(by: try PublicKeySet(keys.body)) == nil)
            #expect(try await node.get("/agents/planner/.well-known/agent-card.json").status == 200)
            #expect(try await node.get("/agents/nobody/.well-known/agent-card.json").status == 404)
            #expect(try await node.get("/agents/nobody/jwks.json").status == 404)

            _ = try await bench.office.suspend(passport.id, reason: "looking")
            let suspended = try await node.get(cardPath)
            #expect(suspended.status == 403 && suspended.json["code"] == "agent-suspended")
            #expect(suspended.headers.first(name: "cache-control") == "no-store")
            #expect(try await node.get(path + "/jwks.json").json == ["keys": []])
            #expect(try await node.get(path + "/registration.json").json["active"] == false)

            _ = try await bench.office.revoke(passport.id, reason: .keyCompromise)
            let gone = try await node.get(cardPath)
            #expect(gone.status == 410 && gone.json["code"] == "agent-revoked")
            let keysAfter = try await node.get(path + "/jwks.json")
            #expect(keysAfter.status == 200 && keysAfter.json == ["keys": []])
        }
    }

    @Test("[CARD-2] an agent that keeps its key itself is vouched for by its node alone")
    func ownKey() async throws {
        let bench = try await IdentityBench()
        let key = Ed25519.PrivateKey()
        let agent = try await bench.registry.register(AgentDescription(name: "scout"), key: try bench.ownKey(key)).agent
        let card = try await Showcase(bench.service, store: FixedStore()).card(of: "scout")
        #expect(card.signatures.count == 1 && card.problem(by: bench.office.issuer) == nil)
        #expect(card.did == agent.did && card.problem(by: agent.did)?.code == .wrongSigner)
    }

    @Test(
        "[ANC-2] the registration file: DID, card, the passport's digest, where it is anchored, and whether it is active"
    )
    func registration() async throws {
        let bench = try await IdentityBench()
        let (agent, passport) = try await bench.register()
        let digest = try Showcase.digest(of: passport)
        let place = ChainRegistration(
            agentID: "22",
            registry: "eip155:8453:0x8004A169FB4a3325136EB29fA0ceB6D2e539a432",
            passportDigest: digest,
            transaction: "0x" + String(repeating: "ab", count: 32)
        )
        try await run(bench, FixedStore(places: [place])) { node in
            let path = "/agents/\(bare(agent.id))/registration.json"
            let file = try await node.get(path).json
            #expect(file["type"] == "https://eips.ethereum.org/EIPS/eip-8004#registration-v1")
            for name in ["name", "description", "image"] { #expect(file[name]?.stringValue?.isEmpty == false) }
            #expect(file["active"] == true && file["x402Support"] == true)
            #expect(file["registrations"] == [["agentId": 22, "agentRegistry": .string(place.registry)]])
            let services = file["services"]?.arrayValue ?? []
            #expect(services.contains { $0["name"] == "DID" && $0["endpoint"]?.stringValue == agent.did.string })
            let web = "did:web:node.example:agents:\(bare(agent.id))"
            #expect(services.contains { $0["name"] == "DID" && $0["endpoint"]?.stringValue == web })
            let card = try #require(services.first { $0["name"] == "A2A" }?["endpoint"]?.stringValue)
            #expect(try await node.get(String(card.dropFirst("https://node.example".count))).status == 200)
            // [ANC-1] The digest is of the passport as its agent shows it.
            let canonical = try JSONValue.object(passport.document).canonicalized()
            #expect(file["passport"]?["sha256"]?.stringValue == Hex.encode(Hashing.sha256(canonical)))
            #expect(file["passport"]?["anchors"]?[0]?["sha256"]?.stringValue == Hex.encode(digest))
            let domain = try await node.get("/.well-known/agent-registration.json")
            #expect(domain.json["registrations"] == file["registrations"])
            let etag = try #require(domain.headers.first(name: "etag"))
            #expect(try await node.get("/.well-known/agent-registration.json", [("If-None-Match", etag)]).status == 304)
            // [ANC-3] A revoked agent's file stays, because the chain leads to it, and says so.
            _ = try await bench.office.revoke(passport.id, reason: .keyCompromise)
            let after = try await node.get(path).json
            #expect(after["active"] == false && after["passport"]?["state"] == "revoked")
            #expect(after["passport"]?["sha256"] == nil)
            #expect(after["services"]?.arrayValue?.count == 1)
        }
    }
}
