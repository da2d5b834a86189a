import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Mint
import TestSockets
import TestSupport
import Testing
import WebServer

/// NUT-17 over real sockets.
@Suite struct SubscriptionTests {
    /// A wallet's side of the protocol.
    private struct Subscriber {
        let peer: RawPeer

        static func open(_ port: Int) async throws -> Subscriber {
            let peer = try await RawPeer.connect(port)
            #expect(try await peer.openWebSocket("/mint/v1/ws").hasPrefix("HTTP/1.1 101"))
            return Subscriber(peer: peer)
        }

        func send(_ id: Int64, _ name: String, _ command: SubscriptionRequest.Command) async throws {
            let request = SubscriptionRequest(id: .number(id), subscription: name, command: command)
            try await peer.sendText(String(decoding: request.json.serialized(), as: UTF8.self))
        }

        func subscribe(_ id: Int64, _ name: String, _ kind: SubscriptionKind, _ filters: [String]) async throws {
            try await send(id, name, .subscribe(kind, filters: filters))
            let answer = try await next()
            let expected: JSONValue = [
                "jsonrpc": "2.0", "result": ["status": "OK", "subId": .string(name)], "id": .integer(id),
            ]
            #expect(answer == expected)
        }

        func next() async throws -> JSONValue {
            try JSONValue.parse(Array(await peer.text().utf8), limits: .amounts)
        }

        /// The payload of the next notification, which must be of this subscription.
        func news(_ name: String) async throws -> JSONValue {
            let message = try await next()
            #expect(message["jsonrpc"] == "2.0")
            #expect(message["method"] == "subscribe")
            #expect(message["id"] == nil)
            #expect(message["params"]?["subId"]?.stringValue == name)
            return message["params"]?["payload"] ?? .null
        }
    }

    private static func configuration(_ change: (inout MintConfiguration.Subscriptions) -> Void = { _ in })
        -> MintConfiguration
    {
        var subscriptions = MintConfiguration.Subscriptions(areOn: true)
        change(&subscriptions)
        return MintConfiguration(subscriptions: subscriptions)
    }

    @Test("Info says exactly what can be subscribed to, and nothing where it is off")
    func info() async throws {
        let expected: JSONValue = [
            "supported": [
                [
                    "method": "bolt11", "unit": "sat",
                    "commands": ["bolt11_mint_quote", "bolt11_melt_quote", "proof_state"],
                ]
            ]
        ]
        #expect(try await MintFixture(Self.configuration()).mint.info.nuts["17"] == expected)
        #expect(try await MintFixture().mint.info.nuts["17"] == nil)
    }

    @Test("A mint quote: unpaid at once, paid when the invoice is, issued when the ecash is")
    func mintQuote() async throws {
        let fixture = try await MintFixture(Self.configuration())
        try await fixture.serve { client in
            let wallet = try await Subscriber.open(client.port)
            let quote = try await fixture.mint.requestMintQuote(MintQuoteRequest(amount: 8, unit: .sat))
            try await wallet.subscribe(1, "a", .mintQuote, [quote.quote.string])
            let first = try await wallet.news("a")
            #expect(first == (try await client.get("mint/quote/bolt11/\(quote.quote)").json))
            #expect(first["state"] == "UNPAID")
            try fixture.lightning.receive(quote.request)
            // Nobody asks for the quote: the mint asks its backend about what is watched.
            try await fixture.mint.askAboutWatchedQuotes()
            #expect(try await wallet.news("a")["state"] == "PAID")
            let secrets = try fixture.secrets([8])
            #expect(try await client.post("mint/bolt11", fixture.mintBody(quote, secrets)).status == 200)
            let last = try await wallet.news("a")
            #expect(last["state"] == "ISSUED")
            #expect(last["amount_issued"]?.uint64Value == 8)
            await wallet.peer.close()
        }
    }

    @Test("A melt: its quote and its inputs are pending, then paid and spent")
    func melt() async throws {
        let fixture = try await MintFixture(Self.configuration())
        try await fixture.serve { client in
            let proofs = try await fixture.issue([64, 8])
            let (quote, _) = try await fixture.meltQuote(60)
            let wallet = try await Subscriber.open(client.port)
            let points = try proofs.map { Hex.encode(try $0.hashedSecret().compressed) }
            try await wallet.subscribe(1, "quote", .meltQuote, [quote.quote.string])
            #expect(try await wallet.news("quote")["state"] == "UNPAID")
            try await wallet.subscribe(2, "coins", .proofState, points)
            for point in points {
                let news = try await wallet.news("coins")
                #expect(news == ["Y": .string(point), "state": "UNSPENT", "witness": nil])
            }
            _ = try await client.post("melt/bolt11", fixture.meltBody(quote, proofs))
            var states: [String: [String]] = [:]
            while states.values.map(\.count).reduce(0, +) < 6 {
                let message = try await wallet.next()
                let payload = try #require(message["params"]?["payload"])
                let subject = payload["Y"]?.stringValue ?? payload["quote"]?.stringValue ?? "?"
                states[subject, default: []].append(payload["state"]?.stringValue ?? "?")
            }
            #expect(states[quote.quote.string] == ["PENDING", "PAID"])
            for point in points { #expect(states[point] == ["PENDING", "SPENT"]) }
            await wallet.peer.close()
        }
    }

    @Test("A payment that fails frees the proofs, and their subscribers hear it")
    func failedMelt() async throws {
        let fixture = try await MintFixture(Self.configuration())
        try await fixture.serve { client in
            let proofs = try await fixture.issue([64, 8])
            let (quote, _) = try await fixture.meltQuote(60)
            let wallet = try await Subscriber.open(client.port)
            let point = Hex.encode(try proofs[0].hashedSecret().compressed)
            try await wallet.subscribe(1, "coin", .proofState, [point])
            #expect(try await wallet.news("coin")["state"] == "UNSPENT")
            fixture.lightning.set(.fails)
            #expect(try await client.post("melt/bolt11", fixture.meltBody(quote, proofs)).code == 20004)
            #expect(try await wallet.news("coin")["state"] == "PENDING")
            #expect(try await wallet.news("coin")["state"] == "UNSPENT")
            await wallet.peer.close()
        }
    }

    @Test("A swap is told to all who watch, once each, and not after unsubscribing")
    func swap() async throws {
        let fixture = try await MintFixture(Self.configuration())
        try await fixture.serve { client in
            let proofs = try await fixture.issue([8, 4])
            let points = try proofs.map { Hex.encode(try $0.hashedSecret().compressed) }
            let first = try await Subscriber.open(client.port)
            let second = try await Subscriber.open(client.port)
            try await first.subscribe(1, "x", .proofState, points)
            for _ in points { #expect(try await first.news("x")["state"] == "UNSPENT") }
            try await second.subscribe(1, "y", .proofState, [points[0]])
            #expect(try await second.news("y")["state"] == "UNSPENT")
            try await first.send(2, "x", .unsubscribe)
            #expect(try await first.next()["result"]?["status"] == "OK")
            _ = try await fixture.swap(proofs, into: fixture.secrets([8, 4]))
            #expect(try await second.news("y")["state"] == "SPENT")
            // What comes next on the first is the answer to its next request: it was told nothing.
            try await first.send(3, "x", .unsubscribe)
            #expect(try await first.next()["error"]?["code"]?.int64Value == -32602)
            await first.peer.close()
            await second.peer.close()
        }
    }

    @Test("Melting the mint's own invoice tells who waits for its quote")
    func inside() async throws {
        let fixture = try await MintFixture(Self.configuration())
        try await fixture.serve { client in
            let proofs = try await fixture.issue([8])
            let own = try await fixture.mint.requestMintQuote(MintQuoteRequest(amount: 8, unit: .sat))
            let melt = try await fixture.mint.requestMeltQuote(MeltQuoteRequest(request: own.request, unit: .sat))
            let payee = try await Subscriber.open(client.port)
            try await payee.subscribe(1, "q", .mintQuote, [own.quote.string])
            #expect(try await payee.news("q")["state"] == "UNPAID")
            _ = try await fixture.melt(melt, proofs)
            #expect(try await payee.news("q")["state"] == "PAID")
            await payee.peer.close()
        }
    }

    @Test("Requests that cannot be answered get JSON-RPC's codes, and the connection goes on")
    func refusals() async throws {
        let fixture = try await MintFixture(Self.configuration())
        try await fixture.serve { client in
            let wallet = try await Subscriber.open(client.port)
            let point = "02" + String(repeating: "ab", count: 32)
            let subscribe = "\"jsonrpc\":\"2.0\",\"method\":\"subscribe\",\"id\":7"
            let cases: [(String, Int64)] = [
                ("{", -32700),
                ("[]", -32600),
                ("{\"jsonrpc\":\"1.0\",\"method\":\"subscribe\",\"id\":7}", -32600),
                ("{\"jsonrpc\":\"2.0\",\"method\":\"subscribe\"}", -32600),
                ("{\"jsonrpc\":\"2.0\",\"method\":\"listen\",\"id\":7,\"params\":{}}", -32601),
                ("{\(subscribe)}", -32602),
                (
                    "{\(subscribe),\"params\":{\"subId\":\"s\",\"kind\":\"bolt12_mint_quote\",\"filters\":[\"a\"]}}",
                    -32602
                ),
                ("{\(subscribe),\"params\":{\"subId\":\"s\",\"kind\":\"proof_state\",\"filters\":[]}}", -32602),
                ("{\(subscribe),\"params\":{\"subId\":\"s\",\"kind\":\"proof_state\",\"filters\":[\"02ab\"]}}", -32602),
                (
                    "{\(subscribe),\"params\":{\"subId\":\"s\",\"kind\":\"bolt11_mint_quote\",\"filters\":[\"no\"]}}",
                    -32602
                ),
            ]
            for (text, code) in cases {
                try await wallet.peer.sendText(text)
                let answer = try await wallet.next()
                #expect(answer["error"]?["code"]?.int64Value == code, "\(text)")
                #expect(answer["error"]?["message"]?.stringValue?.isEmpty == false)
                if text.contains("\"id\":7") { #expect(answer["id"] == 7) }
            }
            // Where a subscription was refused, its name is free; a name that is taken is not.
            try await wallet.subscribe(8, "s", .proofState, [point])
            #expect(try await wallet.news("s")["state"] == "UNSPENT")
            try await wallet.send(9, "s", .subscribe(.proofState, filters: [point]))
            #expect(try await wallet.next()["error"]?["code"]?.int64Value == -32602)
            await wallet.peer.close()
        }
    }

    @Test("A flood of subscriptions meets its limits and leaves nothing behind")
    func flood() async throws {
        let fixture = try await MintFixture(
            Self.configuration {
                $0.perConnection = 20
                $0.filtersPerSubscription = 10
                $0.filtersPerConnection = 50
                $0.filtersInAll = 80
                $0.socket.connections = 3
            }
        )
        try await fixture.serve { client in
            func points(_ count: Int) -> [String] {
                (0..<count).map { _ in "02" + Hex.encode(fixture.randomBytes(32)) }
            }
            let first = try await Subscriber.open(client.port)
            try await first.send(0, "big", .subscribe(.proofState, filters: points(11)))
            #expect(try await first.next()["error"]?["code"]?.int64Value == -32000)
            for index in 0..<5 {
                try await first.subscribe(1, "s\(index)", .proofState, points(10))
                for _ in 0..<10 { _ = try await first.news("s\(index)") }
            }
            try await first.send(2, "more", .subscribe(.proofState, filters: points(1)))
            #expect(try await first.next()["error"]?["code"]?.int64Value == -32000)
            // Another connection may have what is left of the whole, and not more.
            let second = try await Subscriber.open(client.port)
            for index in 0..<3 {
                try await second.subscribe(1, "s\(index)", .proofState, points(10))
                for _ in 0..<10 { _ = try await second.news("s\(index)") }
            }
            try await second.send(2, "more", .subscribe(.proofState, filters: points(1)))
            #expect(try await second.next()["error"]?["code"]?.int64Value == -32000)
            let many = try await Subscriber.open(client.port)
            for index in 0..<30 { try await many.send(Int64(index), "\(index)", .unsubscribe) }
            for _ in 0..<30 { #expect(try await many.next()["error"] != nil) }
            let refused = try await RawPeer.connect(client.port)
            #expect(try await refused.openWebSocket("/mint/v1/ws").hasPrefix("HTTP/1.1 503"))
            // When the first goes, its filters go with it.
            try await first.peer.sendFrame(8, [0x03, 0xE8])
            #expect(await first.peer.isEnded())
            while try fixture.mint.watchedFilters > 30 { await Task.yield() }
            try await second.subscribe(3, "more", .proofState, points(1))
            await second.peer.close()
            await many.peer.close()
            while try fixture.mint.watchedFilters > 0 { await Task.yield() }
        }
    }

    @Test("A subscription is counted once however often it is repeated", arguments: [2, 5])
    func onePerName(_ times: Int) async throws {
        let fixture = try await MintFixture(Self.configuration { $0.perConnection = 1 })
        try await fixture.serve { client in
            let wallet = try await Subscriber.open(client.port)
            let point = "02" + Hex.encode(fixture.randomBytes(32))
            for index in 0..<times {
                try await wallet.subscribe(Int64(index), "s", .proofState, [point, point.uppercased()])
                #expect(try await wallet.news("s")["Y"]?.stringValue == point)
                try await wallet.send(1, "s", .unsubscribe)
                #expect(try await wallet.next()["result"] != nil)
            }
            await wallet.peer.close()
        }
    }
}
