import AsyncHTTPClient
import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Foundation
import Gateway
import Hummingbird
import NIOCore
import Paywall
import Receipts
import Storage
import Synchronization
import Testing

/// An upstream that knows nothing of money, and counts.
final class TestUpstream: Sendable {
    let calls = Mutex(0)
    let seen = Mutex<[(method: String, path: String, headers: HTTPFields, body: [UInt8])]>([])
    /// Whether what was asked of `/slow` goes on waiting.
    let isHeld = Mutex(false)

    var count: Int { calls.withLock { $0 } }

    func router() -> Router<BasicRequestContext> {
        let router = Router(context: BasicRequestContext.self)
        router.add(middleware: Answering(upstream: self))
        return router
    }

    struct Answering: RouterMiddleware {
        let upstream: TestUpstream

        func handle(
            _ request: Request,
            context: BasicRequestContext,
            next: (Request, BasicRequestContext) async throws -> Response
        ) async throws -> Response {
            let number = upstream.calls.withLock { count in
                count += 1
                return count
            }
            let path = request.uri.path
            if path == "/slow" {
                try await Task.sleep(for: .milliseconds(400))
                while upstream.isHeld.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(5)) }
            }
            if path == "/fail" { return Response(status: .internalServerError) }
            if path == "/hang" { try await Task.sleep(for: .seconds(30)) }
            let body = try await request.body.collect(upTo: 1 << 24)
            upstream.seen.withLock {
                $0.append(
                    (request.method.rawValue, request.head.path ?? "", request.headers, Array(body.readableBytesView))
                )
            }
            if path.hasSuffix("/big") {
                return Response(
                    status: .ok,
                    body: ResponseBody { writer in
                        for _ in 0..<200 { try await writer.write(ByteBuffer(repeating: 0x61, count: 1000)) }
                        try await writer.finish(nil)
                    }
                )
            }
            if path == "/dies" {
                return Response(
                    status: .ok,
                    body: ResponseBody(contentLength: 200_000) { writer in
                        try await writer.write(ByteBuffer(repeating: 0x62, count: 100_000))
                        throw CancellationError()
                    }
                )
            }
            if path == "/dies-short" {
                return Response(
                    status: .ok,
                    body: ResponseBody(contentLength: 200) { writer in
                        try await writer.write(ByteBuffer(repeating: 0x62, count: 100))
                        throw CancellationError()
                    }
                )
            }
            if path == "/teapot" {
                return Response(status: .init(code: 418), body: .init(byteBuffer: .init(string: "short")))
            }
            return Response(
                status: .ok,
                headers: [.contentType: "text/plain", .cacheControl: "max-age=5"],
                body: .init(byteBuffer: ByteBuffer(string: "answer \(number)"))
            )
        }
    }
}

/// A seller with an upstream behind it, over real sockets.
func withSeller<T: Sendable>(
    feePPK: UInt64 = 0,
    idempotent: Bool = false,
    sellsOverLightning: Bool = false,
    configure: (inout GatewayConfiguration) -> Void = { _ in },
    service: @escaping @Sendable (inout ServiceDefinition) -> Void = { _ in },
    _ body: @escaping @Sendable (TestNode, TestUpstream, HTTPClient, Int) async throws -> T
) async throws -> T {
    let node = try TestNode(feePPK: feePPK, sellsOverLightning: sellsOverLightning, configure: configure)
    let upstream = TestUpstream()
    try await node.start()
    let result: T
    do {
        result = try await withServer(upstream.router()) { upstreamPort in
            try await node.sell(upstream: upstreamPort, idempotent: idempotent, configure: service)
            return try await withServer(try node.router()) { port in
                try await withClient { client in try await body(node, upstream, client, port) }
            }
        }
    } catch {
        try await node.stop()
        throw error
    }
    try await node.stop()
    return result
}

@Suite("A paid call over real sockets")
struct PaidCallTests {
    @Test("CALL-2: unpaid: 402 with a challenge that can be paid")
    func challenge() async throws {
        try await withSeller(feePPK: 100) { node, upstream, client, port in
            let answer = try await client.call(port)
            #expect(answer.status == 402)
            #expect(answer.header("Cache-Control") == "no-store")
            #expect(answer.header("Content-Type") == "application/problem+json")
            let problem = try JSONValue.parse(answer.body)
            #expect(problem["type"]?.stringValue == "urn:mintmark:problem:payment-required")
            #expect(problem["price"]?["amount"]?.stringValue == "2")
            #expect(problem["price"]?["unit"]?.stringValue == "sat")
            #expect(problem["service"]?.stringValue == "weather")
            let request = try NUT24.parseChallenge(try #require(answer.header("X-Cashu")))
            #expect(request.amount == 3)
            #expect(request.mints == [node.mint.url])
            let key = try #require(request.lock?.data)
            #expect(try key == Hex.encode(node.gateway.sellerKey))
            #expect(upstream.count == 0)
            let paid = try await client.call(port, payment: node.payment(1, 2))
            #expect(paid.status == 200)
        }
    }

    @Test("CALL-1, CALL-15: paid: the upstream's answer and a receipt that verifies")
    func served() async throws {
        try await withSeller { node, upstream, client, port in
            let token = try node.payment(2)
            let answer = try await client.call(port, "/s/weather/today?city=Bern", payment: token, key: "k")
            #expect(answer.status == 200)
            #expect(answer.text == "answer 1")
            #expect(answer.header("Cache-Control") == "max-age=5")
            let receipt = try #require(answer.receipt)
            #expect(receipt.verdict().isValid)
            #expect(receipt.claims.service == "weather")
            #expect(receipt.claims.target == "/today?city=Bern")
            #expect(receipt.claims.amount == 2)
            #expect(receipt.claims.outcome == .served)
            #expect(receipt.claims.status == 200)
            #expect(receipt.claims.responseDigest == Hashing.sha256(answer.body))
            #expect(receipt.claims.paymentDigest == (try OfflineAcceptance.identity(of: Token(token)).digest.bytes))
            #expect(answer.header("Agent-Receipt-ID") == receipt.id)
            let fetched = try await client.call(port, "/receipts/\(receipt.id)")
            #expect(fetched.body == receipt.bytes)
            #expect(try await client.call(port, "/receipts/00000000-0000-7000-8000-000000000000").status == 404)
            let outbox = try await node.database.read {
                try $0.rows("SELECT reference FROM gateway_outbox").map { try $0.text(0) }
            }
            #expect(outbox == [receipt.id])
            let sent = upstream.seen.withLock { $0 }
            #expect(sent.count == 1)
            #expect(sent[0].path == "/today?city=Bern")
            #expect(sent[0].headers[.init("X-Cashu")!] == nil)
            #expect(sent[0].headers[.init("Idempotency-Key")!] == "k")
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("CALL-8: 64 identical payments at once make one call, and the others get its answer or are told to wait")
    func stampede() async throws {
        try await withSeller { node, upstream, client, port in
            let token = try node.payment(2)
            let answers = try await withThrowingTaskGroup(of: Answer.self) { group in
                for _ in 0..<64 { group.addTask { try await client.call(port, "/s/weather/slow", payment: token) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(upstream.count == 1)
            #expect(answers.count { $0.status == 200 } >= 1)
            for answer in answers {
                switch answer.status {
                case 200: #expect(answer.text == "answer 1")
                case 409:
                    #expect(try JSONValue.parse(answer.body)["code"]?.stringValue == "call-running")
                    #expect(answer.header("Retry-After") != nil)
                default: Issue.record("unexpected \(answer.status): \(answer.text)")
                }
            }
            let again = try await client.call(port, "/s/weather/slow", payment: token)
            #expect(again.status == 200)
            #expect(again.text == "answer 1")
            #expect(again.header("Idempotent-Replayed") == "true")
            #expect(upstream.count == 1)
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("CALL-8: same payment, other request: 400; same key, other request: 422; nothing more is called")
    func reuse() async throws {
        try await withSeller { node, upstream, client, port in
            let token = try node.payment(2)
            let first = try await client.call(port, payment: token, key: "k1")
            #expect(first.status == 200)
            let otherKey = try await client.call(port, "/s/weather/tomorrow", payment: token, key: "k2")
            #expect(otherKey.status == 400)
            #expect(try JSONValue.parse(otherKey.body)["code"]?.stringValue == "payment-reused")
            #expect(otherKey.header("Agent-Receipt-ID") == first.header("Agent-Receipt-ID"))
            #expect(otherKey.receipt != nil)
            let otherTarget = try await client.call(port, "/s/weather/tomorrow", payment: token, key: "k1")
            #expect(otherTarget.status == 422)
            let otherBody = try await client.call(
                port,
                method: "POST",
                payment: token,
                key: "k1",
                body: .bytes(ByteBuffer(string: "x"))
            )
            #expect(otherBody.status == 422)
            #expect(upstream.count == 1)
        }
    }

    @Test("CALL-7: a payment that shares one proof with an earlier one is refused whole")
    func overlap() async throws {
        try await withSeller { node, upstream, client, port in
            let key = try node.gateway.sellerKey
            let shared = try node.mint.locked(1, to: key)
            let first = try node.mint.token([shared, node.mint.locked(1, to: key)])
            let fresh = try node.mint.locked(1, to: key)
            let second = try node.mint.token([fresh, shared])
            #expect(try await client.call(port, payment: first).status == 200)
            let refused = try await client.call(port, payment: second)
            #expect(refused.status == 400)
            #expect(try JSONValue.parse(refused.body)["code"]?.stringValue == "payment-reused")
            // The fresh proof was not taken with it.
            let third = try node.mint.token([fresh, node.mint.locked(1, to: key)])
            #expect(try await client.call(port, payment: third).status == 200)
            #expect(upstream.count == 2)
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("CALL-8: a signed caller's key is its own, and brings the answer back without a payment")
    func signedKeys() async throws {
        try await withSeller { node, upstream, client, port in
            let mine = [("Agent-Passport", "good did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp")]
            let theirs = [("Agent-Passport", "good did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK")]
            let first = try await client.call(port, payment: node.payment(2), key: "same", headers: mine)
            #expect(first.status == 200)
            #expect(first.receipt?.claims.buyer?.agentID == "urn:uuid:a")
            // Another payment under the same key is not taken; the answer is the first one's.
            let second = try await client.call(port, payment: node.payment(2), key: "same", headers: mine)
            #expect(second.text == "answer 1")
            #expect(second.header("Idempotent-Replayed") == "true")
            let bare = try await client.call(port, key: "same", headers: mine)
            #expect(bare.text == "answer 1")
            let other = try await client.call(port, payment: node.payment(2), key: "same", headers: theirs)
            #expect(other.text == "answer 2")
            #expect(try await client.call(port, key: "unknown", headers: mine).status == 402)
            #expect(upstream.count == 2)
            #expect(
                upstream.seen.withLock { $0[0].headers[.init("Agent-Caller")!] } == mine[0].1.dropFirst(5).description
            )
        }
    }

    @Test("CALL-6: what can't be taken is refused with its code, and nothing is claimed")
    func refused() async throws {
        try await withSeller { node, upstream, client, port in
            let key = try node.gateway.sellerKey
            let stranger = try TestMint("http://127.0.0.1:9999", seed: 8)
            let otherKey = Secp256k1.Point(multiplyingGeneratorBy: try .init(bytes: [UInt8](repeating: 5, count: 32)))
            let cases: [(String, String)] = [
                (try node.payment(1), "amount-too-low"),
                (try stranger.token([stranger.locked(2, to: key)]), "mint-not-accepted"),
                (try node.mint.token([node.mint.locked(2, to: otherKey.compressed)]), "wrong-lock"),
                ("cashuBgarbage", "payment-malformed"),
                (
                    try Token(mint: node.mint.url, unit: .usd, proofs: [node.mint.locked(2, to: key)]).serialized(),
                    "wrong-unit"
                ),
                (try node.mint.token([stranger.locked(2, to: key)]), "unknown-keyset"),
            ]
            for (token, code) in cases {
                let answer = try await client.call(port, payment: token)
                #expect(answer.status == 400)
                #expect(try JSONValue.parse(answer.body)["code"]?.stringValue == code)
            }
            #expect(upstream.count == 0)
            let claims = try await node.database.read { try $0.first("SELECT count(*) FROM gateway_claims")?.int(0) }
            #expect(claims == 0)
        }
    }

    @Test("A refused passport: 403 with its code, the payment untouched and good for the next call")
    func passports() async throws {
        try await withSeller(service: {
            $0.passport = PassportRequirement(trustedIssuers: [
                "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
            ])
        }) { node, upstream, client, port in
            let token = try node.payment(2)
            let none = try await client.call(port, payment: token)
            #expect(none.status == 401)
            #expect(none.header("WWW-Authenticate") != nil)
            #expect(try JSONValue.parse(none.body)["code"]?.stringValue == "passport-required")
            let revoked = try await client.call(port, payment: token, headers: [("Agent-Passport", "bad")])
            #expect(revoked.status == 403)
            #expect(try JSONValue.parse(revoked.body)["code"]?.stringValue == "revoked")
            #expect(upstream.count == 0)
            let good = [("Agent-Passport", "good did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK")]
            #expect(try await client.call(port, payment: token, headers: good).status == 200)
            let unpaid = try await client.call(port)
            #expect(unpaid.status == 402)
            #expect(try JSONValue.parse(unpaid.body)["passport"]?["trustedIssuers"]?.arrayValue?.count == 1)
        }
    }

    @Test("What is free needs no payment; what no rule names is not for sale; an unknown service is 404")
    func free() async throws {
        try await withSeller { node, upstream, client, port in
            let free = try await client.call(port, "/s/weather/free/a")
            #expect(free.status == 200)
            #expect(free.text == "answer 1")
            #expect(free.header("Agent-Receipt") == nil)
            #expect(try await client.call(port, "/s/nothing/").status == 404)
            let sneaky = try await client.call(port, "/s/weather/free/%2e%2e/today")
            #expect(sneaky.status == 400)
            #expect(upstream.count == 1)
        }
    }
}
