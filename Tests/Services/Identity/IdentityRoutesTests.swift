import AsyncHTTPClient
import CanonicalJSON
import Cryptography
import Encodings
import HTTPSignatures
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import NIOHTTP1
import Passports
import SignedDocuments
import Synchronization
import Testing
import WebServer

@testable import Identity

/// An identity service behind a real socket on loopback.
private struct RunningNode {
    let bench: IdentityBench
    let port: Int

    /// Runs `body` against a node that listens on a port of the system's choice.
    static func run(
        _ bench: IdentityBench,
        _ body: @Sendable (RunningNode) async throws -> Void
    ) async throws {
        let router = Router()
        let routes = IdentityRoutes(bench.service)
        routes.addPublicRoutes(to: router)
        routes.addOperatorRoutes(to: router.group("/api"))
        try await IdentityRoutesTests.serve(router) { port in
            try await body(RunningNode(bench: bench, port: port))
        }
    }

    func call(
        _ method: HTTPMethod,
        _ path: String,
        _ body: JSONObject? = nil,
        raw: [UInt8]? = nil,
        headers: [(String, String)] = []
    ) async throws -> (status: Int, headers: HTTPHeaders, body: [UInt8], json: JSONValue) {
        var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)\(path)")
        request.method = method
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        if let bytes = raw ?? body?.serialized() { request.body = .bytes(ByteBuffer(bytes: bytes)) }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
        let bytes = Array(try await response.body.collect(upTo: 1 << 20).readableBytesView)
        return (Int(response.status.code), response.headers, bytes, (try? JSONValue.parse(bytes)) ?? .null)
    }
}

@Suite("Identity over HTTP", .serialized)
struct IdentityRoutesTests {
    @Test("agents and passports by the operator's API, from registration to revocation")
    func tour() async throws {
        try await RunningNode.run(try await IdentityBench()) { node in
            let made = try await node.call(
                .POST,
                "/api/agents",
                [
                    "name": "planner", "operator": "Example", "capabilities": ["pay"],
                    "spendLimit": ["currency": "XBT", "amountMinor": "5000", "period": "P1D"],
                ]
            )
            #expect(made.status == 201 && made.headers.first(name: "cache-control") == "no-store")
            let agentID = try made.json.object("agent").string("id")
            let passport = try Passport(document: try made.json.object("passport"))
            #expect(try made.json.object("agent").string("keyHeldBy") == "node")
            #expect(passport.spendLimit?.amountMinor == 5_000)

            #expect(try await node.call(.POST, "/api/agents", ["name": "planner"]).json["code"] == "agent-exists")
            let list = try await node.call(.GET, "/api/agents")
            #expect(try list.json.array("agents").count == 1)
            #expect(try await node.call(.GET, "/api/agents?after=\(agentID)").json.array("agents").isEmpty)
            let shown = try await node.call(.GET, "/api/agents/planner")
            #expect(shown.json["agent"]?["id"]?.stringValue == agentID)
            #expect(try shown.json.array("passports").count == 1)
            #expect(shown.json["passports"]?[0]?["passport"] == nil)
            #expect(try await node.call(.GET, "/api/agents/\(agentID)").status == 200)
            #expect(try await node.call(.GET, "/api/agents/nobody").status == 404)
            #expect(try await node.call(.POST, "/api/agents/planner/renew").status == 200)

            let path = "/api/passports/\(passport.id)"
            #expect(try await node.call(.GET, path).json["state"] == "active")
            #expect(
                try await node.call(.GET, "/api/passports/\(passport.id.dropFirst(9))").json["passport"]
                    == .object(passport.document)
            )
            #expect(try await node.call(.GET, "/api/passports/none").status == 404)
            func verify(_ body: JSONObject) async throws -> JSONValue {
                try await node.call(.POST, "/api/passports/verify", body).json
            }
            #expect(try await verify(["passport": .object(passport.document)])["valid"] == true)
            #expect(try await node.call(.POST, path + "/suspend", ["reason": "odd"]).json["state"] == "suspended")
            #expect(try await verify(["passport": .object(passport.document)])["reasons"]?[0]?["code"] == "suspended")
            #expect(try await verify(["passport": .object(passport.document), "status": false])["valid"] == true)
            #expect(try await node.call(.POST, path + "/restore").json["state"] == "active")
            #expect(try await node.call(.POST, path + "/revoke", ["reason": "because"]).status == 400)
            let revoked = try await node.call(.POST, path + "/revoke", ["reason": "keyCompromise"])
            #expect(revoked.json["state"] == "revoked" && revoked.json["reason"] == "keyCompromise")
            let verdict = try await verify(["passport": .object(passport.document), "capability": "fly"])
            #expect(verdict["valid"] == false)
            #expect(try verdict.array("reasons").map { $0["code"]?.stringValue } == ["capability-missing", "revoked"])
            #expect(try await node.call(.POST, path + "/restore").status == 409)
            #expect(try await node.call(.POST, "/api/agents/planner/renew").status == 409)
            let rotated = try await node.call(.POST, "/api/agents/planner/rotate")
            #expect(rotated.status == 200 && rotated.json["agent"]?["state"] == "active")
        }
    }

    @Test("[PASS-14] an agent with its own key registers over the API")
    func ownKey() async throws {
        try await RunningNode.run(try await IdentityBench()) { node in
            let asked = try await node.call(.POST, "/api/agents/challenge")
            #expect(asked.status == 201)
            let key = Ed25519.PrivateKey()
            let challenge = try asked.json.string("challenge")
            var body: JSONObject = [
                "name": "own", "did": .string(DIDKey(key.publicKey).string), "challenge": .string(challenge),
                "signature": .string(
                    try PossessionProof.sign(
                        .registration,
                        challenge: challenge,
                        node: try DIDKey(parsing: try asked.json.string("node")),
                        key: key
                    )
                ),
            ]
            let made = try await node.call(.POST, "/api/agents", body)
            #expect(made.status == 201 && made.json["agent"]?["keyHeldBy"] == "agent")
            #expect(try await node.call(.POST, "/api/agents", body).status == 401)
            body["did"] = nil
            #expect(try await node.call(.POST, "/api/agents", body).status == 400)
            body["did"] = "did:web:x"
            #expect(try await node.call(.POST, "/api/agents", body).status == 400)
        }
    }

    @Test("bad requests get a problem document that says what is wrong")
    func badRequests() async throws {
        try await RunningNode.run(try await IdentityBench()) { node in
            for raw in [
                "", "[]", "{", "{\"name\":5}", "{\"name\":\"a\",\"name\":\"b\"}",
                "{\"name\":\"a\",\"capabilities\":\"pay\"}", "{\"name\":\"a\",\"spendLimit\":{}}",
            ] {
                let answer = try await node.call(.POST, "/api/agents", raw: Array(raw.utf8))
                #expect(answer.status == 400, "\(raw)")
                #expect(answer.headers.first(name: "content-type") == "application/problem+json")
                #expect(answer.json["type"] == "urn:mintmark:problem:invalid-request")
                #expect(answer.json["detail"]?.stringValue?.isEmpty == false)
            }
            let huge = try await node.call(.POST, "/api/agents", raw: [UInt8](repeating: 0x20, count: 100_000))
            #expect(huge.status == 413)
            let malformed = try await node.call(.POST, "/api/passports/verify", ["passport": [:]])
            #expect(malformed.status == 200 && malformed.json["reasons"]?[0]?["code"] == "malformed")
        }
    }

    @Test("[STAT-8] a list is served with its validators; an unchanged one costs 304")
    func statusList() async throws {
        try await RunningNode.run(try await IdentityBench()) { node in
            #expect(try await node.call(.GET, "/status/1").status == 404)
            _ = try await node.bench.register()
            let list = try await node.call(.GET, "/status/1")
            #expect(list.status == 200 && list.headers.first(name: "content-type") == "application/vc")
            #expect(list.headers.first(name: "cache-control") == "public, max-age=30")
            #expect(list.headers.first(name: "last-modified") == "Sat, 21 Nov 2026 00:00:00 GMT")
            #expect(list.headers.first(name: "expires") == "Sat, 21 Nov 2026 01:00:00 GMT")
            #expect(
                try StatusListCredential.verify(bytes: list.body, url: "https://node.example/status/1").purpose
                    == .revocation
            )
            let etag = try #require(list.headers.first(name: "etag"))
            for tags in [etag, "\"x\", \(etag)", "W/\(etag)", "*"] {
                let unchanged = try await node.call(.GET, "/status/1", headers: [("If-None-Match", tags)])
                #expect(
                    unchanged.status == 304 && unchanged.body.isEmpty && unchanged.headers.first(name: "etag") == etag
                )
            }
            #expect(try await node.call(.GET, "/status/1", headers: [("If-None-Match", "\"x\"")]).status == 200)
            let head = try await node.call(.HEAD, "/status/1")
            #expect(head.status == 200 && head.body.isEmpty && head.headers.first(name: "etag") == etag)
            for path in ["0", "01", "-1", "99", "abc", "1e0", "99999999999999999999"] {
                #expect(try await node.call(.GET, "/status/\(path)").status == 404)
            }
        }
    }

    @Test("[STAT-9] [STAT-10] another node fetches the list over HTTP, and refuses a revoked agent once its copy ends")
    func twoNodes() async throws {
        let clock = ManualClock()
        // The issuer's own URL has the port that the system chose, so its routes are found when they are called.
        let issuerService = Mutex<IdentityService?>(nil)
        let router = Router()
        router.get("/status/:number") { request, context in
            guard let service = issuerService.withLock({ $0 }),
                let list = try service.office.publishedList(Int64(try context.parameters.require("number")) ?? 0)
            else { return Response(status: .notFound) }
            return Response(
                status: .ok,
                headers: [.eTag: list.etag],
                body: ResponseBody(byteBuffer: ByteBuffer(bytes: list.bytes))
            )
        }
        try await Self.serve(router) { port in
            let issuer = try await IdentityBench(seed: 2, clock: clock, publicURL: "http://127.0.0.1:\(port)")
            issuerService.withLock { $0 = issuer.service }
            let (_, passport) = try await issuer.register()
            let credentials = try await issuer.registry.credentials("planner")
            let seller = try await IdentityBench(clock: clock)
            var logger = Logger(label: "test")
            logger.logLevel = .critical
            func codes(_ gate: PassportGate) async throws -> [PassportReason.Code] {
                var request = RequestFacts(method: "GET", targetURI: "http://h/s/x", headers: [])
                request.headers = try credentials.headers(for: request, now: clock.now)
                let rules = CallerRules(requiresPassport: true, trustedIssuers: [issuer.office.issuer])
                if case .refused(_, let reasons) = await gate.check(request, rules: rules) {
                    return reasons.map(\.code)
                }
                return []
            }
            func gate(_ fetcher: HTTPStatusListFetcher) -> PassportGate {
                let cache = StatusListCache(
                    database: seller.database,
                    fetcher: fetcher,
                    clock: clock.clock,
                    logger: logger
                )
                return PassportGate(resolver: StatusResolver(office: seller.office, cache: cache), clock: clock.clock)
            }
            let strict = HTTPStatusListFetcher(allowsLocalLists: false)
            #expect(try await codes(gate(strict)) == [.statusUnavailable, .statusUnavailable])

            let fetcher = HTTPStatusListFetcher(allowsLocalLists: true)
            let open = gate(fetcher)
            #expect(try await codes(open) == [])
            try await issuer.office.revoke(passport.id, reason: .keyCompromise)
            clock.advance(seconds: 60)
            #expect(try await codes(open) == [.revoked])
        }
    }

    /// Serves a router on a port of the system's choice while `body` runs.
    static func serve(_ router: Router<BasicRequestContext>, _ body: @Sendable (Int) async throws -> Void)
        async throws
    {
        let (ports, continuation) = AsyncStream<Int>.makeStream()
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let application = Application(
            router: router,
            server: .plain(),
            configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { continuation.yield($0.localAddress?.port ?? 0) },
            logger: logger
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await application.runService(gracefulShutdownSignals: []) }
            try await body(await ports.first { _ in true } ?? 0)
            group.cancelAll()
            do { try await group.waitForAll() } catch is CancellationError {}
        }
    }

    @Test("[STAT-9] the fetcher follows no redirect, and takes neither errors nor bodies beyond the bound")
    func fetcher() async throws {
        let router = Router()
        router.get("/redirect") { _, _ in Response(status: .found, headers: [.location: "/good"]) }
        router.get("/error") { _, _ in Response(status: .internalServerError) }
        router.get("/unasked") { _, _ in Response(status: .notModified) }
        router.get("/huge") { _, _ in
            Response(
                status: .ok,
                body: ResponseBody(
                    byteBuffer: ByteBuffer(repeating: 0x20, count: StatusListCredential.maximumBytes + 1)
                )
            )
        }
        router.get("/good") { request, _ in
            let isKnown = request.headers[.ifNoneMatch] == "\"t\""
            return Response(
                status: isKnown ? .notModified : .ok,
                headers: [.eTag: "\"t\""],
                body: isKnown ? ResponseBody() : ResponseBody(byteBuffer: ByteBuffer(string: "{}"))
            )
        }
        try await Self.serve(router) { port in
            let base = "http://127.0.0.1:\(port)"
            let fetcher = HTTPStatusListFetcher(allowsLocalLists: true)
            for path in ["/redirect", "/error", "/unasked", "/huge", "/none"] {
                await #expect(throws: (any Error).self) { try await fetcher.fetch(base + path, etag: nil) }
            }
            guard case .document(let bytes, let etag) = try await fetcher.fetch(base + "/good", etag: nil),
                case .notModified = try await fetcher.fetch(base + "/good", etag: "\"t\"")
            else {
                Issue.record("not fetched")
                return
            }
            #expect(bytes == Array("{}".utf8) && etag == "\"t\"")
            let strict = HTTPStatusListFetcher(allowsLocalLists: false)
            await #expect(throws: (any Error).self) { try await strict.fetch(base + "/good", etag: nil) }
        }
    }

    @Test("[STAT-9] a name that leads to a private address is not asked for a list")
    func privateAddress() async throws {
        for address in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1"] {
            let found = try SocketAddress(ipAddress: address, port: 443)
            let fetcher = HTTPStatusListFetcher(allowsLocalLists: false) { _, _ in [found] }
            await #expect(throws: FetchError.self, "\(address)") {
                try await fetcher.fetch("https://issuer.example/status/1", etag: nil)
            }
        }
    }

    @Test("dates of HTTP headers over leap years and centuries")
    func httpDates() {
        #expect(IdentityRoutes.httpDate(784_111_777) == "Sun, 06 Nov 1994 08:49:37 GMT")
        #expect(IdentityRoutes.httpDate(0) == "Thu, 01 Jan 1970 00:00:00 GMT")
        #expect(IdentityRoutes.httpDate(951_782_400) == "Tue, 29 Feb 2000 00:00:00 GMT")
        #expect(IdentityRoutes.httpDate(4_107_542_400) == "Mon, 01 Mar 2100 00:00:00 GMT")
        #expect(IdentityRoutes.httpDate(-1) == "Wed, 31 Dec 1969 23:59:59 GMT")
    }
}
