import AsyncHTTPClient
import CanonicalJSON
import Cashu
import Encodings
import Foundation
import Gateway
import Hummingbird
import NIOCore
import Paywall
import Receipts
import Storage
import TestSockets
import TestSupport
import Testing
import WebServer

@Suite("WebSockets that are sold by the second")
struct SocketSecondsTests {
    /// 1 sat fixed and so much for each second.
    static func rule(_ perSecond: UInt64 = 1, maximum: UInt64 = 63, fixed: UInt64 = 1) throws -> PriceRule {
        try PriceRule(
            pathPattern: "/*",
            price: Price(amount: fixed),
            metering: PriceMetering(
                meters: [PriceMeter(.seconds, tiers: [.init(amount: perSecond)])],
                maximum: maximum
            )
        )
    }

    private func withEcho(
        _ rule: PriceRule,
        sellsOverLightning: Bool = false,
        change: @escaping @Sendable (inout ServiceDefinition) -> Void = { _ in },
        _ body: @escaping @Sendable (TestNode, Int) async throws -> Void
    ) async throws {
        let route = WebSocketRoute(path: "/live", respond: { Echo(peer: $0) })
        let prices = try PriceList([rule])
        try await withDoor(.init(context: BasicRequestContext.self), HTTPDoor(webSockets: [route])) { upstreamPort in
            try await withDoorSeller(
                upstream: upstreamPort,
                sellsOverLightning: sellsOverLightning,
                service: {
                    $0.proxy.webSockets = WebSocketRules()
                    $0.prices = prices
                    change(&$0)
                },
                body
            )
        }
    }

    /// The same request once the WebSocket was charged.
    private func ended(_ port: Int, payment: String? = nil, headers: [(String, String)] = []) async throws -> Answer {
        try await withClient { client in
            var answer = try await client.call(port, "/s/weather/live", payment: payment, headers: headers)
            for _ in 0..<500 where answer.code == "call-running" {
                try await Task.sleep(for: .milliseconds(20))
                answer = try await client.call(port, "/s/weather/live", payment: payment, headers: headers)
            }
            return answer
        }
    }

    private func change(_ answer: Answer) throws -> UInt64 {
        try answer.header("X-Cashu").map { try Token($0).amount() } ?? 0
    }

    @Test("GWY-14: charged for the seconds that it was open, the rest is change, and the receipt says so")
    func charged() async throws {
        try await withEcho(Self.rule()) { node, port in
            let token = try node.payment(1, 2, 4, 8, 16, 32)
            let began = ContinuousClock.now
            let peer = try await RawPeer.connect(port)
            let head = try await peer.openWebSocket("/s/weather/live", headers: ["X-Cashu: \(token)"])
            #expect(head.hasPrefix("HTTP/1.1 101"))
            #expect(!head.lowercased().contains("agent-receipt: "))
            let id = try #require(
                head.split(separator: "\r\n").first { $0.lowercased().hasPrefix("agent-receipt-id: ") }?.dropFirst(18)
            )
            try await peer.sendText("hello")
            #expect(try await peer.text() == "hello")
            // While it is open the payment is held, and buys nothing else.
            try await withClient { client in
                let running = try await client.call(port, "/s/weather/live", payment: token)
                #expect(running.status == 409)
                #expect(running.code == "call-running")
                #expect(running.header("Retry-After") != nil)
                #expect(try await client.call(port, "/receipts/\(id)").status == 404)
            }
            #expect(try await node.requireConservation() == [])
            try await Task.sleep(for: .milliseconds(1100))
            try await peer.sendFrame(8, [0x03, 0xE8])
            #expect(try await peer.frame().closeCode == 1000)
            #expect(await peer.isEnded())
            let answer = try await ended(port, payment: token)
            let longest = UInt64((ContinuousClock.now - began).components.seconds) + 1
            #expect(answer.status == 409)
            #expect(answer.code == "already-served")
            let receipt = try #require(answer.receipt)
            #expect(receipt.verdict().isValid)
            let seconds = try #require(receipt.claims.settlement?.measures["seconds"])
            #expect((2...longest).contains(seconds))
            #expect(receipt.claims.amount == 1 + seconds)
            #expect(receipt.claims.settlement?.quoted == 63)
            #expect(receipt.claims.settlement?.returned == 62 - seconds)
            #expect(try change(answer) == 62 - seconds)
            // Again it is the same token, and whoever has the id reads the receipt but no token.
            #expect(try await ended(port, payment: token).header("X-Cashu") == answer.header("X-Cashu"))
            try await withClient { client in
                let read = try await client.call(port, "/receipts/\(id)")
                #expect(read.status == 200)
                #expect(!read.text.contains("cashuB"))
            }
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("GWY-14: used up, it is closed with 4402, and all that a whole second costs is charged, nothing more")
    func usedUp() async throws {
        // Of 7 sat, 1 is fixed; two seconds at 3 sat are bought exactly. Of 63 at 40 sat one second is, and 22 are left.
        for (perSecond, proofs, maximum, charged) in [
            (3, [1, 2, 4], 7, 7), (40, [1, 2, 4, 8, 16, 32], 63, 41),
        ] as [(UInt64, [UInt64], UInt64, UInt64)] {
            try await withEcho(Self.rule(perSecond, maximum: maximum)) { node, port in
                let key = try node.gateway.sellerKey
                let token = try node.mint.token(proofs.map { try node.mint.locked($0, to: key) })
                let peer = try await RawPeer.connect(port)
                _ = try await peer.openWebSocket("/s/weather/live", headers: ["X-Cashu: \(token)"])
                #expect(try await peer.frame().closeCode == 4402)
                #expect(await peer.isEnded())
                let answer = try await ended(port, payment: token)
                #expect(answer.receipt?.claims.amount == charged)
                #expect(try change(answer) == maximum - charged)
                #expect(try await node.requireConservation() == [])
            }
        }
    }

    @Test("GWY-14, CALL-14: an upstream that does not take it is refunded whole")
    func refused() async throws {
        let upstream = RawUpstream()
        let prices = try PriceList([Self.rule()])
        try await upstream.whileServing({ _ in RawUpstream.Reply("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n") }) {
            upstreamPort in
            try await withDoorSeller(
                upstream: upstreamPort,
                service: {
                    $0.proxy.webSockets = WebSocketRules()
                    $0.prices = prices
                }
            ) { node, port in
                let token = try node.payment(1, 2, 4, 8, 16, 32)
                let peer = try await RawPeer.connect(port)
                let head = try await peer.openWebSocket("/s/weather/live", headers: ["X-Cashu: \(token)"])
                #expect(head.hasPrefix("HTTP/1.1 502"))
                let answer = try await ended(port, payment: token)
                #expect(answer.status == 502)
                #expect(try change(answer) == 63)
                #expect(try await node.requireConservation() == [])
            }
        }
    }

    @Test("GWY-14: a client that is gone, and an upstream that is gone, end the time that is charged")
    func gone() async throws {
        try await withEcho(Self.rule()) { node, port in
            let token = try node.payment(1, 2, 4, 8, 16, 32)
            let peer = try await RawPeer.connect(port)
            _ = try await peer.openWebSocket("/s/weather/live", headers: ["X-Cashu: \(token)"])
            try await peer.sendText("hello")
            #expect(try await peer.text() == "hello")
            await peer.close()
            let answer = try await ended(port, payment: token)
            let receipt = try #require(answer.receipt?.claims)
            #expect(try change(answer) == 63 - receipt.amount)
            #expect(receipt.amount == 1 + (receipt.settlement?.measures["seconds"] ?? 0))
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("GWY-14: over L402 the credit keeps what was not used")
    func credit() async throws {
        try await withEcho(
            Self.rule(),
            sellsOverLightning: true,
            change: {
                $0.accepts = [.l402]
                $0.pass = .credit(Price(amount: 100))
            }
        ) { node, port in
            let credential = try await withClient { client in
                let asked = try await client.call(port, "/s/weather/live")
                #expect(asked.status == 402)
                return try node.payL402(asked)
            }
            for _ in 0..<2 {
                // 63 of the 100 are held twice, one after the other: what the first did not use came back.
                let peer = try await RawPeer.connect(port)
                let head = try await peer.openWebSocket("/s/weather/live", headers: ["Authorization: \(credential)"])
                #expect(head.hasPrefix("HTTP/1.1 101"))
                try await peer.sendFrame(8, [0x03, 0xE8])
                #expect(await peer.isEnded())
                for _ in 0..<500 {
                    let open = try await node.database.read {
                        try $0.first("SELECT count(*) FROM gateway_claims WHERE state = 'running'")?.int(0)
                    }
                    if open == 0 { break }
                    try await Task.sleep(for: .milliseconds(20))
                }
            }
            let claims = try await node.database.read {
                try $0.rows("SELECT state FROM gateway_claims").map { try $0.text(0) }
            }
            #expect(claims == ["served", "served"])
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("GWY-14, CALL-9: killed while it is open, the payment comes back whole at the next start")
    func killed() async throws {
        let second = try TestNode()
        let rule = try Self.rule()
        try await withEcho(rule) { node, port in
            let token = try node.payment(1, 2, 4, 8, 16, 32)
            let peer = try await RawPeer.connect(port)
            _ = try await peer.openWebSocket("/s/weather/live", headers: ["X-Cashu: \(token)"])
            // What is on disk while it is open is what a new process finds.
            for file in ["node.sqlite", "node.sqlite-wal"] {
                try FileManager.default.copyItem(
                    atPath: node.folder.path + "/" + file,
                    toPath: second.folder.path + "/" + file
                )
            }
            await peer.close()
            try await second.start()
            try await withServer(try second.router()) { port in
                let answer = try await ended(port, payment: token)
                #expect(answer.status == 502)
                #expect(try change(answer) == 63)
                #expect(answer.receipt?.claims.settlement?.returned == 63)
            }
            #expect(try await second.requireConservation() == [])
            try await second.stop()
        }
    }

    @Test("CHG-1: what is overpaid for a connection comes back in the answer 101")
    func overpaid() async throws {
        let rule = try PriceRule(pathPattern: "/*", price: Price(amount: 2))
        try await withEcho(rule) { node, port in
            let peer = try await RawPeer.connect(port)
            let head = try await peer.openWebSocket(
                "/s/weather/live",
                headers: ["X-Cashu: \(try node.payment(2, 8))"]
            )
            #expect(head.hasPrefix("HTTP/1.1 101"))
            let line = try #require(head.split(separator: "\r\n").first { $0.lowercased().hasPrefix("x-cashu: ") })
            #expect(try Token(String(line.dropFirst(9))).amount() == 8)
            await peer.close()
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("GWY-14: what can't be sold by the second is refused when it is added")
    func refusals() async throws {
        let node = try TestNode()
        try await node.start()
        func meters(_ meters: [PriceMeter], maximum: UInt64 = 60, free: UInt64? = nil) throws -> PriceRule {
            try PriceRule(
                pathPattern: "/*",
                price: Price(amount: 1),
                metering: PriceMetering(meters: meters, maximum: maximum),
                freeCallsPerDay: free
            )
        }
        let second = try PriceMeter(.seconds, tiers: [.init(amount: 5)])
        let bad: [(PriceRule, WebSocketRules)] = [
            (try meters([PriceMeter(.responseBytes, tiers: [.init(amount: 1)])]), WebSocketRules()),
            (
                try meters([
                    PriceMeter(.seconds, tiers: [.init(amount: 2), .init(from: 10, amount: 1)], period: .day)
                ]), WebSocketRules()
            ),
            (try meters([PriceMeter(.seconds, tiers: [.init(amount: 0)])]), WebSocketRules()),
            // Five sat of the maximum of five are not left after the fixed one.
            (try meters([second], maximum: 5), WebSocketRules()),
            (try meters([second]), WebSocketRules(paidSeconds: 60)),
            (try meters([second], free: 3), WebSocketRules()),
        ]
        for (rule, rules) in bad {
            let prices = try PriceList([rule])
            await #expect(throws: GatewayError.self) {
                try await node.sell(upstream: 9) {
                    $0.prices = prices
                    $0.proxy.webSockets = rules
                }
            }
        }
        let prices = try PriceList([meters([second, PriceMeter(.calls, tiers: [.init(amount: 2)])])])
        try await node.sell(upstream: 9) {
            $0.prices = prices
            $0.proxy.webSockets = WebSocketRules()
        }
        try await node.stop()
    }
}

private struct Echo: WebSocketResponder {
    let peer: any WebSocketConnection
    func receive(_ text: [UInt8]) async { peer.send(text) }
    func closed() {}
}
