import AsyncHTTPClient
import CanonicalJSON
import Cashu
import Encodings
import Foundation
import Gateway
import HTTPTypes
import Hummingbird
import Market
import NIOCore
import NIOHTTP1
import Paywall
import Receipts
import Storage
import Synchronization
import TestSupport
import Testing

/// An upstream whose answers take as long, by the seller's clock, as their query says: `late` seconds before the head, `slow`
/// seconds after it; `bad` answers against the schema.
private final class PromisedUpstream: Sendable {
    private let clock = Mutex<TestClock?>(nil)
    /// Whether the rest of a long answer waits.
    let isHeld = Mutex(false)
    let calls = Mutex(0)

    var count: Int { calls.withLock { $0 } }

    func use(_ clock: TestClock) { self.clock.withLock { $0 = clock } }

    func router() -> Router<BasicRequestContext> {
        let router = Router(context: BasicRequestContext.self)
        router.add(middleware: Answering(upstream: self))
        return router
    }

    struct Answering: RouterMiddleware {
        let upstream: PromisedUpstream

        func handle(
            _ request: Request,
            context: BasicRequestContext,
            next: (Request, BasicRequestContext) async throws -> Response
        ) async throws -> Response {
            upstream.calls.withLock { $0 += 1 }
            let query = request.uri.queryParameters
            func number(_ name: String) -> Int64 { query.get(name).flatMap { Int64($0) } ?? 0 }
            _ = try await request.body.collect(upTo: 1 << 24)
            let clock = upstream.clock.withLock { $0 }
            clock?.advance(seconds: number("late"))
            if request.method == .head { return Response(status: .ok) }
            if request.uri.path == "/fail" { return Response(status: .internalServerError) }
            let text = query.get("bad") == nil ? #"{"temperature": 12}"# : #"{"temperature": "warm"}"#
            var headers = HTTPFields()
            if let coding = query.get("coding") { headers[.contentEncoding] = coding }
            if query.get("long") != nil {
                let seconds = number("slow")
                return Response(
                    status: .ok,
                    headers: headers,
                    body: ResponseBody(contentLength: 100_000) { writer in
                        try await writer.write(ByteBuffer(repeating: 0x61, count: 50_000))
                        while upstream.isHeld.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(5)) }
                        clock?.advance(seconds: seconds)
                        try await writer.write(ByteBuffer(repeating: 0x61, count: 50_000))
                        try await writer.finish(nil)
                    }
                )
            }
            let status = query.get("status").flatMap { Int($0) } ?? 200
            return Response(
                status: HTTPResponse.Status(code: status),
                headers: headers,
                body: ResponseBody(byteBuffer: ByteBuffer(string: text))
            )
        }
    }
}

private let schema: JSONObject = [
    "type": "object", "properties": ["temperature": ["type": "number"]], "required": ["temperature"],
]

@Suite("What a seller gives back by itself")
struct BreachRefundTests {
    /// Calls cost 5 sat, and are promised within two seconds and by the schema.
    private func withPromise(
        _ refunds: String = "late=50%,schema=100%",
        price: UInt64 = 5,
        feePPK: UInt64 = 0,
        sellsOverLightning: Bool = false,
        origins: [String] = [],
        service change: @escaping @Sendable (inout ServiceDefinition) -> Void = { _ in },
        _ body: @escaping @Sendable (TestNode, PromisedUpstream, HTTPClientBox, Int) async throws -> Void
    ) async throws {
        let node = try TestNode(feePPK: feePPK, sellsOverLightning: sellsOverLightning) {
            $0.publicOrigins = origins
        }
        let upstream = PromisedUpstream()
        upstream.use(node.clock)
        try await node.start()
        do {
            try await withServer(upstream.router()) { upstreamPort in
                try await node.sell(upstream: upstreamPort, amount: price) { service in
                    service.sla = "deadline=2s"
                    service.refunds = SLARefunds(refunds)
                    service.listing = ServiceListing()
                    service.listing?.output = schema
                    change(&service)
                }
                try await withServer(try node.router()) { port in
                    try await withClient { client in try await body(node, upstream, HTTPClientBox(client), port) }
                }
            }
        } catch {
            try await node.stop()
            throw error
        }
        #expect(try await node.requireConservation() == [])
        try await node.stop()
    }

    private func back(_ answer: Answer) throws -> UInt64 {
        try answer.header("X-Cashu").map { try Token($0).amount() } ?? 0
    }

    private func breach(_ answer: Answer) -> ReceiptBreach? { answer.receipt?.claims.settlement?.breach }

    private func earned(_ node: TestNode) async throws -> Int64? {
        try await node.database.read { connection in
            try connection.first(
                "SELECT coalesce(sum(total - coalesce((SELECT change FROM gateway_quotes WHERE claim = id), 0)), 0) FROM gateway_claims WHERE state = 'served'"
            )?.int64(0)
        }
    }

    @Test("[SLA-11] [SLA-13] [RCPT-12] A late answer comes with its part of the price, once, and the receipt says so")
    func late() async throws {
        try await withPromise { node, upstream, box, port in
            let token = try node.payment(1, 4)
            let answer = try await box.client.call(port, "/s/weather/x?late=3", payment: token)
            #expect(answer.status == 200 && answer.text == #"{"temperature": 12}"#)
            // Half of five, rounded up for the buyer.
            #expect(try back(answer) == 3)
            let claims = try #require(answer.receipt?.claims)
            #expect(answer.receipt?.verdict().isValid == true)
            #expect(claims.amount == 2 && claims.outcome == .served)
            #expect(claims.settlement?.returned == 3 && claims.settlement?.form == "fresh-token")
            #expect(breach(answer) == ReceiptBreach(rule: "late", promised: 2_000, refund: 3))
            #expect(claims.respondedAt.milliseconds(since: claims.requestedAt) == 3_000)
            // The buyer finds the same in it, without asking anybody.
            let found = SLARules.breaches(of: .init(receipt: answer.receipt), promise: nil)
            #expect(found.map(\.rule) == [.late] && found.first?.measured == 3_000 && found.first?.promised == 2_000)
            // Asked again, also after a restart and a round of its own: the same token, and nothing more.
            try await node.restart()
            try await withServer(try node.router()) { port in
                for _ in 0..<2 {
                    let again = try await box.client.call(port, "/s/weather/x?late=3", payment: token)
                    #expect(again.header("Idempotent-Replayed") == "true")
                    #expect(again.header("X-Cashu") == answer.header("X-Cashu"))
                    await (try node.gateway).housekeep()
                }
            }
            #expect(upstream.count == 1)
            #expect(node.purse.refunds.withLock { $0.count } == 1)
            #expect(try await earned(node) == 2)
        }
    }

    @Test(
        "[SLA-12] What was kept gives nothing back, also at the deadline to the millisecond, and costs no word with the mint"
    )
    func kept() async throws {
        try await withPromise { node, upstream, box, port in
            for query in ["late=0", "late=2"] {
                let answer = try await box.client.call(port, "/s/weather/x?\(query)", payment: try node.payment(1, 4))
                #expect(answer.status == 200 && answer.header("X-Cashu") == nil)
                #expect(answer.receipt?.claims.amount == 5 && answer.receipt?.claims.settlement == nil)
            }
            #expect(node.purse.refunds.withLock { $0.count } == 0)
            #expect(node.purse.redeemedBatches.withLock { $0.count } == 0)
            #expect(try await earned(node) == 10)
        }
    }

    @Test("[SLA-7] [SLA-11] By the measure a late answer gives back the part that it was over, at twice the time all")
    func measured() async throws {
        try await withPromise("late") { node, upstream, box, port in
            for (seconds, expected) in [(3, 3), (4, 5), (60, 5)] as [(Int, UInt64)] {
                let answer = try await box.client.call(
                    port,
                    "/s/weather/x?late=\(seconds)",
                    payment: try node.payment(1, 4)
                )
                #expect(answer.status == 200)
                #expect(try back(answer) == expected)
                #expect(answer.receipt?.claims.amount == 5 - expected)
            }
        }
    }

    @Test(
        "[SLA-11] An answer against the schema gives all back, taken offline or redeemed first; of two breaches the greatest, once"
    )
    func againstSchema() async throws {
        try await withPromise { node, upstream, box, port in
            let offline = try await box.client.call(port, "/s/weather/x?bad=1", payment: try node.payment(1, 4))
            #expect(offline.status == 200 && offline.text == #"{"temperature": "warm"}"#)
            #expect(try back(offline) == 5)
            #expect(breach(offline) == ReceiptBreach(rule: "schema", promised: nil, refund: 5))
            #expect(offline.receipt?.claims.amount == 0)
            let open = try node.mint.token([node.mint.proof(1), node.mint.proof(4)])
            let online = try await box.client.call(port, "/s/weather/x?bad=2", payment: open)
            #expect(try back(online) == 5)
            let both = try await box.client.call(port, "/s/weather/x?bad=3&late=3", payment: try node.payment(1, 4))
            #expect(try back(both) == 5)
            #expect(breach(both)?.rule == "schema")
            #expect(try await earned(node) == 0)
        }
    }

    @Test(
        "[SLA-12] What the caller can bring about breaks no promise",
        arguments: [
            ("GET", "/x?bad=1&status=206"), ("GET", "/x?bad=1&coding=gzip"), ("GET", "/x?bad=1&status=404"),
            ("HEAD", "/x?bad=1"),
        ]
    )
    func broughtAbout(method: String, path: String) async throws {
        try await withPromise { node, upstream, box, port in
            let token = try node.payment(1, 4)
            let answer = try await box.client.call(port, "/s/weather" + path, method: method, payment: token)
            #expect(answer.header("X-Cashu") == nil)
            let again = try await box.client.call(port, "/s/weather" + path, method: method, payment: token)
            #expect(again.header("X-Cashu") == nil)
            #expect(again.receipt?.claims.amount == 5 && again.receipt?.claims.settlement == nil)
            #expect(try await earned(node) == 5)
        }
    }

    @Test("[SLA-12] An answer that its reader takes slowly is not late by it")
    func slowReader() async throws {
        try await withPromise { node, upstream, box, port in
            let (path, token) = ("/s/weather/x?long=1&slow=60", try node.payment(1, 4))
            upstream.isHeld.withLock { $0 = true }
            var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)\(path)")
            request.headers.add(name: "X-Cashu", value: token)
            // The head is here, so it was there in time.
            let response = try await box.client.execute(request, timeout: .seconds(60))
            upstream.isHeld.withLock { $0 = false }
            #expect(try await response.body.collect(upTo: 1 << 20).readableBytes == 100_000)
            // Its receipt was a trailer; asked again it is a field.
            let again = try await box.client.call(port, path, payment: token)
            #expect(again.header("X-Cashu") == nil)
            let claims = try #require(again.receipt?.claims)
            #expect(claims.amount == 5 && claims.settlement == nil)
            #expect(claims.respondedAt.milliseconds(since: claims.requestedAt) == 60_000)
        }
    }

    @Test("[SLA-12] A request that its caller sends while the upstream works is not late by it")
    func pacedRequest() async throws {
        try await withPromise { node, upstream, box, port in
            let body = [UInt8](repeating: 1, count: (1 << 20) + 1)
            let answer = try await box.client.call(
                port,
                "/s/weather/x?late=60",
                method: "POST",
                payment: try node.payment(1, 4),
                body: .bytes(ByteBuffer(bytes: body))
            )
            #expect(answer.status == 200 && answer.header("X-Cashu") == nil)
            #expect(answer.receipt?.claims.amount == 5)
        }
    }

    @Test(
        "[SLA-12] [SLA-13] An answer that is passed on is late where its head was; what goes back stands in the trailer"
    )
    func passedOn() async throws {
        try await withPromise { node, upstream, box, port in
            let token = try node.payment(1, 4)
            #expect(try await box.client.call(port, "/s/weather/x?long=1&late=3", payment: token).status == 200)
            let again = try await box.client.call(port, "/s/weather/x?long=1&late=3", payment: token)
            #expect(try back(again) == 3)
            #expect(breach(again)?.rule == "late")
            #expect(upstream.count == 1)
        }
    }

    @Test("[SLA-13] What can't be made at once is owed from the charge on, and made once after a kill")
    func owed() async throws {
        try await withPromise { node, upstream, box, port in
            let token = try node.payment(1, 4)
            node.purse.fault.withLock { $0 = .unreachable }
            let answer = try await box.client.call(port, "/s/weather/x?late=3", payment: token)
            #expect(answer.status == 200 && answer.header("X-Cashu") == nil)
            #expect(breach(answer)?.refund == 3)
            #expect(try await node.requireConservation() == [])
            try await node.restart()
            // Made, and the word of it lost: as a kill between making and booking leaves it.
            node.purse.fault.withLock { $0 = .lostToken }
            await (try node.gateway).housekeep()
            let made = node.purse.refunds.withLock { $0.values.first }
            #expect(made != nil)
            try await node.restart()
            node.purse.fault.withLock { $0 = .none }
            try await withServer(try node.router()) { port in
                await (try node.gateway).housekeep()
                await (try node.gateway).housekeep()
                let again = try await box.client.call(port, "/s/weather/x?late=3", payment: token)
                #expect(again.header("X-Cashu") == made)
                #expect(try back(again) == 3)
            }
            #expect(node.purse.refunds.withLock { $0.count } == 1)
        }
    }

    @Test("[SLA-11] A call that failed goes back whole by its own rule, and nothing besides")
    func failed() async throws {
        try await withPromise { node, upstream, box, port in
            let answer = try await box.client.call(port, "/s/weather/fail?late=3", payment: try node.payment(1, 4))
            #expect(answer.status == 502)
            #expect(try back(answer) == 5)
            #expect(answer.receipt?.claims.outcome == .refunded && breach(answer) == nil)
        }
    }

    @Test("[SLA-11] One late payment 32 times at once: one call, one refund")
    func race() async throws {
        try await withPromise { node, upstream, box, port in
            let token = try node.payment(1, 4)
            let answers = try await withThrowingTaskGroup(of: Answer.self) { group in
                for _ in 0..<32 {
                    group.addTask { try await box.client.call(port, "/s/weather/x?late=3", payment: token) }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(upstream.count == 1)
            #expect(Set(answers.compactMap { $0.header("X-Cashu") }).count == 1)
            #expect(node.purse.refunds.withLock { $0.count } == 1)
        }
    }

    @Test(
        "[SLA-11] [CHG-1] What is overpaid and what is late come in one token; a mint's fee for it that eats it all leaves nothing"
    )
    func withChange() async throws {
        try await withPromise { node, upstream, box, port in
            let answer = try await box.client.call(port, "/s/weather/x?late=3", payment: try node.payment(1, 4, 8))
            #expect(try back(answer) == 11)
            #expect(answer.receipt?.claims.settlement?.returned == 11 && breach(answer)?.refund == 3)
            #expect(answer.receipt?.claims.amount == 2)
        }
        try await withPromise("late=20%", feePPK: 500) { node, upstream, box, port in
            let asked = try await box.client.call(port, "/s/weather/x?late=3")
            let challenge = try NUT24.parseChallenge(#require(asked.header("X-Cashu")))
            let amounts = Amounts.split(try #require(challenge.amount))
            let token = try node.mint.token(
                amounts.map {
                    try node.mint.locked($0, to: (try node.gateway).sellerKey, tags: [])
                }
            )
            let answer = try await box.client.call(port, "/s/weather/x?late=3", payment: token)
            #expect(answer.status == 200 && answer.header("X-Cashu") == nil)
            #expect(answer.receipt?.claims.amount == 5 && breach(answer) == nil)
        }
    }

    // MARK: Other ways to pay

    private func prepaid(_ node: TestNode) async throws -> Int64? {
        try await node.database.read { try $0.first("SELECT sum(prepaid) FROM gateway_grants")?.int64(0) }
    }

    @Test("[SLA-13] Of a credit over L402 it goes back to the credit")
    func credit() async throws {
        try await withPromise(
            sellsOverLightning: true,
            service: {
                $0.accepts = [.cashu, .l402]
                $0.pass = .credit(Price(amount: 100))
            }
        ) { node, upstream, box, port in
            let headers = [("Authorization", try node.payL402(try await box.client.call(port, "/s/weather/x")))]
            let answer = try await box.client.call(port, "/s/weather/x?late=3", headers: headers)
            #expect(answer.status == 200 && answer.header("X-Cashu") == nil)
            #expect(breach(answer)?.refund == 3_000 && answer.receipt?.claims.amount == 2_000)
            #expect(answer.receipt?.claims.settlement?.form == "credit-kept")
            #expect(try await self.prepaid(node) == 98_000)
            #expect(try await box.client.call(port, "/s/weather/x?late=0", headers: headers).status == 200)
            #expect(try await self.prepaid(node) == 93_000)
            #expect(try await box.client.call(port, "/s/weather/x?bad=1", headers: headers).status == 200)
            #expect(try await self.prepaid(node) == 93_000)
        }
    }

    @Test("[SLA-13] Of a session it stays in the session")
    func session() async throws {
        try await withPromise(
            sellsOverLightning: true,
            service: {
                $0.accepts = [.cashu, .paymentSession]
                $0.session = SessionTerms(depositSats: 50, idleSeconds: 3_600)
            }
        ) { node, upstream, box, port in
            let session = try node.paySession(try await box.client.call(port, "/s/weather/x"))
            let opened = try await box.client.call(port, "/s/weather/x?late=3", headers: try session.open())
            #expect(opened.status == 200)
            #expect(breach(opened)?.refund == 3_000)
            #expect(try await self.prepaid(node) == 48_000)
            let broken = try await box.client.call(port, "/s/weather/x?bad=1", headers: try session.bearer())
            #expect(broken.status == 200)
            #expect(try await self.prepaid(node) == 48_000)
            #expect(try await box.client.call(port, "/s/weather/x", headers: try session.bearer()).status == 200)
            #expect(try await self.prepaid(node) == 43_000)
        }
    }

    @Test("[SLA-13] Ways that can give no part back are not offered, and the seller is told")
    func offered() async throws {
        try await withPromise(sellsOverLightning: true) { node, upstream, box, port in
            let asked = try await box.client.call(port, "/s/weather/x")
            #expect(asked.status == 402)
            #expect(try asked.problem()["ways"] == ["cashu", "payment-cashu"])
            let service = try #require(try node.gateway.service("weather"))
            #expect(try node.gateway.notes(on: service).first?.contains("l402, payment-lightning") == true)
            var lightning = service
            lightning.accepts = [.l402, .paymentLightning]
            let untold = lightning
            let error = await #expect(throws: GatewayError.self) {
                try await node.gateway.add(untold, replaces: true)
            }
            #expect(error?.code == .invalidService)
        }
    }

    @Test(
        "[SLA-11] [LST-6] The promise stands in the listing; a service keeps it, and one without what it is of is refused"
    )
    func described() async throws {
        try await withPromise(origins: ["https://seller.example"]) { node, upstream, box, port in
            let listing = try #require(try node.gateway.listings()["weather"]).get()
            #expect(listing.promise?.refunds == SLARefunds(late: .ppm(500_000), schema: .ppm(1_000_000)))
            let service = try #require(try node.gateway.service("weather"))
            #expect(service.json["slaRefund"] == "late=50%,schema=100%")
            #expect(try ServiceDefinition(json: service.json) == service)
            for (name, value) in [
                ("sla", nil), ("sla", "fast, mostly"), ("listing", nil),
                ("listing", ["output": ["pattern": "a"]]), ("slaRefund", "late=0%"), ("slaRefund", "speed=1%"),
            ] as [(String, JSONValue?)] {
                var object = try service.json.requireObject()
                object[name] = value
                let broken = object
                let error = #expect(throws: GatewayError.self) { try ServiceDefinition(json: .object(broken)) }
                #expect(error?.code == .invalidService, "\(name)")
            }
        }
    }
}
