import AsyncHTTPClient
import CanonicalJSON
import Encodings
import Foundation
import Hummingbird
import NIOCore
import Paywall
import Testing

@testable import Gateway

@Suite("Services for sale")
struct ServiceTests {
    private let text = """
        {"name":"weather","upstream":"http://127.0.0.1:9000/api/","prices":[{"path":"/v1/*","amount":"2","methods":["GET"]},\
        {"path":"/free","amount":0}],"passport":{"trustedIssuers":["did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"],\
        "capability":"pay"},"idempotent":true,"timeouts":{"totalSeconds":9},"rateLimit":{"perSecond":5},"sla":"p95=500ms"}
        """

    @Test("A definition survives its JSON form")
    func roundTrip() throws {
        let service = try ServiceDefinition(json: JSONValue.parse(Array(text.utf8)))
        #expect(service.upstream.description == "http://127.0.0.1:9000/api")
        #expect(service.prices.price(method: "GET", path: try RequestPath("/v1/a"))?.amount == 2)
        #expect(service.timeouts == CallTimeouts(connectSeconds: 5, idleSeconds: 30, totalSeconds: 9))
        #expect(service.rateLimit == RateLimit(perSecond: 5, burst: 5))
        #expect(service.passport?.capability == "pay")
        #expect(service.isIdempotent)
        #expect(try ServiceDefinition(json: service.json) == service)
    }

    @Test("[LST-7] What other nodes are told of a service survives too; where nothing was said the JSON is as before")
    func listing() throws {
        var object = try #require(JSONValue.parse(Array(text.utf8)).objectValue)
        #expect(try ServiceDefinition(json: .object(object)).json["listing"] == nil)
        object["listing"] = [
            "listed": false, "title": "Weather", "tags": ["weather"], "input": ["type": "object"],
            "output": ["type": "object"],
        ]
        let service = try ServiceDefinition(json: .object(object))
        #expect(service.listing?.isListed == false)
        #expect(service.json["listing"] == object["listing"])
        #expect(try ServiceDefinition(json: service.json) == service)
    }

    @Test(
        "A definition that can't be is refused with a reason",
        arguments: [
            #"{"name":"a","upstream":"http://a","prices":[{"amount":"1"}],"listing":{"tags":["Weather"]}}"#,
            #"{"name":"a","upstream":"http://a","prices":[{"amount":"1"}],"listing":{"title":"a\u001b[2J"}}"#,
            #"{"name":"a","upstream":"http://a","prices":[{"amount":"1"}],"listing":{"listed":"no"}}"#,
            #"{"name":"a","upstream":"http://a","prices":[{"amount":"1"}],"listing":{"urls":[]}}"#,
            #"{"name":"Weather","upstream":"http://a","prices":[{"amount":"1"}]}"#,
            #"{"name":"-a","upstream":"http://a","prices":[{"amount":"1"}]}"#,
            #"{"name":"a","upstream":"ftp://a","prices":[{"amount":"1"}]}"#,
            #"{"name":"a","upstream":"http://u@a","prices":[{"amount":"1"}]}"#,
            #"{"name":"a","upstream":"http://a:0","prices":[{"amount":"1"}]}"#,
            #"{"name":"a","upstream":"http://","prices":[{"amount":"1"}]}"#,
            #"{"name":"a","upstream":"http://a/../b","prices":[{"amount":"1"}]}"#,
            #"{"name":"a","upstream":"http://a","prices":[]}"#,
            #"{"name":"a","upstream":"http://a","prices":[{"amount":"-1"}]}"#,
            #"{"name":"a","upstream":"http://a","prices":[{"amount":1.5}]}"#,
            #"{"name":"a","upstream":"http://a","prices":[{"amount":"99999999999999999999"}]}"#,
            #"{"name":"a","upstream":"http://a","prices":[{"amount":"1"}],"tiemouts":{}}"#,
            #"{"name":"a","upstream":"http://a","prices":[{"amount":"1"}],"timeouts":{"totalSeconds":0}}"#,
            #"{"name":"a","upstream":"http://a","prices":[{"amount":"1"}],"passport":{"trustedIssuers":[]}}"#,
            #"{"name":"a","upstream":"http://a","prices":[{"amount":"1"}],"rateLimit":{"perSecond":0}}"#,
            #"{"name":"a","upstream":"http://a","prices":[{"amount":"1"}],"requestBodyLimitBytes":-1}"#,
            #"[]"#,
        ]
    )
    func refused(text: String) throws {
        let json = try JSONValue.parse(Array(text.utf8))
        #expect { try ServiceDefinition(json: json) } throws: { error in
            guard let error = error as? GatewayError else { return false }
            return error.code == .invalidService && !error.message.isEmpty
        }
    }

    @Test("The operator's routes add, list, show and remove services, and they survive a restart")
    func routes() async throws {
        let node = try TestNode()
        try await node.start()
        let definition = text
        try await withServer(try node.router()) { port in
            try await withClient { client in
                let body = HTTPClientRequest.Body.bytes(ByteBuffer(string: definition))
                let added = try await client.call(port, "/api/services", method: "POST", body: body)
                #expect(added.status == 201)
                let twice = try await client.call(port, "/api/services", method: "POST", body: body)
                #expect(twice.status == 409)
                let replaced = HTTPClientRequest.Body.bytes(
                    ByteBuffer(string: definition.dropLast() + #","replace":true}"#)
                )
                #expect(try await client.call(port, "/api/services", method: "POST", body: replaced).status == 201)
                let listed = try JSONValue.parse(try await client.call(port, "/api/services").body)
                #expect(listed["services"]?.arrayValue?.count == 1)
                let bad = HTTPClientRequest.Body.bytes(ByteBuffer(string: "{\"name\":\"a\"}"))
                #expect(try await client.call(port, "/api/services", method: "POST", body: bad).status == 400)
            }
        }
        try await node.restart()
        try await withServer(try node.router()) { port in
            try await withClient { client in
                let shown = try await client.call(port, "/api/services/weather")
                #expect(shown.status == 200)
                #expect(try await client.call(port, "/api/services/weather", method: "DELETE").status == 200)
                #expect(try await client.call(port, "/api/services/weather").status == 404)
                #expect(try await client.call(port, "/api/services/weather", method: "DELETE").status == 404)
                #expect(try await client.call(port, "/api/gateway/claims").status == 200)
            }
        }
        try await node.stop()
    }

    @Test("CALL-23: the table of callers is bounded, and a flood of new ones does not push out the known")
    func limiter() {
        let limiter = RateLimiter(maximumKeys: 8)
        let limit = RateLimit(perSecond: 1, burst: 2)
        let now = NIODeadline.now()
        #expect(limiter.take("known", limit: limit, now: now) == nil)
        #expect(limiter.take("known", limit: limit, now: now) == nil)
        #expect(limiter.take("known", limit: limit, now: now) == 1)
        for index in 0..<100 { _ = limiter.take("flood \(index)", limit: limit, now: now) }
        #expect(limiter.count <= 9)
        #expect(limiter.take("known", limit: limit, now: now) == 1)
        #expect(limiter.take("known", limit: limit, now: now + .milliseconds(1100)) == nil)
    }

    @Test("CALL-23: an IPv6 host's /64 is one caller")
    func addresses() {
        #expect(RateLimiter.group(address: "10.0.0.1") == "10.0.0.1")
        #expect(RateLimiter.group(address: "2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64")
        #expect(RateLimiter.group(address: "2001:db8:1:2::9") == "2001:db8:1:2::/64")
        #expect(RateLimiter.group(address: "2001:db8::9") == "2001:db8:0:0::/64")
        #expect(RateLimiter.group(address: "::1") == "0:0:0:0::/64")
    }

    @Test("A channel of pieces: bounded, ended by either side")
    func pieces() async throws {
        let channel = PieceChannel()
        let writer = Task {
            for index in 0..<100 { guard await channel.send(ByteBuffer(integer: index)) else { return index } }
            channel.finish()
            return 100
        }
        var count = 0
        for try await _ in channel { count += 1 }
        #expect(count == 100)
        #expect(await writer.value == 100)

        let closed = PieceChannel()
        let stuck = Task {
            var sent = 0
            while await closed.send(ByteBuffer(integer: sent)) { sent += 1 }
            return sent
        }
        var iterator = closed.makeAsyncIterator()
        _ = try await iterator.next()
        closed.close()
        #expect(await stuck.value <= 6)
        await #expect(throws: (any Error).self) { try await iterator.next() }
    }

    @Test("Ids are UUIDs version 7 that differ and sort by time")
    func ids() {
        let early = UUIDVersion7.make(at: Timestamp(secondsSince1970: 1_000))
        let late = UUIDVersion7.make(at: Timestamp(secondsSince1970: 2_000))
        #expect(early < late)
        #expect(UUIDVersion7.isUUID(early))
        #expect(Array(early)[14] == "7")
        #expect(Set((0..<1000).map { _ in UUIDVersion7.make(at: Timestamp(secondsSince1970: 1)) }).count == 1000)
    }
}
