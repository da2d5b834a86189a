import Encodings
import Foundation
import Gateway
import HTTPTypes
import Hummingbird
import Lightning
import NIOCore
import Paywall
import Storage
import Synchronization
import TestSupport
import Testing

/// A price service whose answer a test sets.
private final class PriceService: Sendable {
    struct Said: Sendable {
        var status: HTTPResponse.Status = .ok
        var location: String?
        var body: String
    }

    let said = Mutex(Said(body: #"{"data":{"usd":"100000","eur":50000}}"#))

    func router() -> Router<BasicRequestContext> {
        let router = Router(context: BasicRequestContext.self)
        router.get("/price") { _, _ in
            let said = self.said.withLock { $0 }
            var headers = HTTPFields()
            headers[.location] = said.location
            return Response(
                status: said.status,
                headers: headers,
                body: ResponseBody(byteBuffer: ByteBuffer(string: said.body))
            )
        }
        return router
    }
}

@Suite("Sources of rates")
struct RateSourceTests {
    private static let entries = ["usd=/data/usd", "eur=/data/eur"]
    private static let text = #"{"data":{"usd":"100000","eur":50000}}"#

    /// What every source of rates keeps, whatever it reads.
    /// - Parameters:
    ///   - write: makes it say something else; nil where it can't.
    ///   - breakings: ways in which it may fail.
    private func conforms(
        _ source: some RateSource,
        write: ((String) throws -> Void)? = nil,
        breakings: [() throws -> Void] = []
    ) async throws {
        let now = WallClock.system.now()
        #expect(!source.name.isEmpty)
        #expect(source.units == ["usd", "eur"])
        let reading = try await source.reading(now: now)
        #expect(reading.msatPerUnit == ["usd": 10_000, "eur": 20_000])
        // A reading is not older than what it reads, and not of the future.
        #expect(abs(now.milliseconds(since: reading.at)) < 60_000)
        if let write {
            try write(#"{"data":{"usd":"200000","eur":50000}}"#)
            let next = try await source.reading(now: now.adding(seconds: 1))
            #expect(next.msatPerUnit == ["usd": 5_000, "eur": 20_000])
            // One of its units is missing: then it says nothing at all.
            for bad in [#"{"data":{"usd":"200000"}}"#, #"{"data":"#, "", String(repeating: " ", count: 70_000)] {
                try write(bad)
                await #expect(throws: (any Error).self) { try await source.reading(now: now) }
            }
        }
        for breaking in breakings {
            try breaking()
            await #expect(throws: (any Error).self) { try await source.reading(now: now) }
        }
        if let write {
            try write(Self.text)
            #expect(try await source.reading(now: now).msatPerUnit == reading.msatPerUnit)
        }
    }

    @Test("PRC-9: the fixed table")
    func fixed() async throws {
        try await conforms(FixedRateSource(["usd": 10_000, "eur": 20_000]))
    }

    @Test("PRC-9: a file is read anew, is as old as it is, and may be replaced or gone")
    func file() async throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/rates.json"
        func write(_ text: String) throws {
            try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
        }
        try write(Self.text)
        let source = FileRateSource(path: path, document: try RateDocument(Self.entries))
        try await conforms(source, write: write, breakings: [{ try FileManager.default.removeItem(atPath: path) }])
        // As old as the file, not as the reading.
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSince1970: 1_700_000_000)],
            ofItemAtPath: path
        )
        let reading = try await source.reading(now: WallClock.system.now())
        #expect(reading.at == Timestamp(secondsSince1970: 1_700_000_000))
        // A folder is no file.
        let other = FileRateSource(path: folder.path, document: try RateDocument(Self.entries))
        await #expect(throws: (any Error).self) { try await other.reading(now: WallClock.system.now()) }
    }

    @Test("PRC-9: an address is asked anew; another status, a redirect, or none there is nothing")
    func http() async throws {
        let service = PriceService()
        let port = try await withServer(service.router()) { port in
            let source = try HTTPRateSource(
                url: "http://127.0.0.1:\(port)/price",
                document: RateDocument(Self.entries)
            )
            func say(_ said: PriceService.Said) { service.said.withLock { $0 = said } }
            try await conforms(
                source,
                write: { say(.init(body: $0)) },
                breakings: [
                    { say(.init(status: .internalServerError, body: Self.text)) },
                    { say(.init(status: .found, location: "/price", body: Self.text)) },
                    { say(.init(status: .noContent, body: "")) },
                ]
            )
            return port
        }
        let gone = try HTTPRateSource(url: "http://127.0.0.1:\(port)/price", document: RateDocument(Self.entries))
        await #expect(throws: (any Error).self) { try await gone.reading(now: WallClock.system.now()) }
    }

    @Test("PRC-9: plain http beyond loopback, private addresses and other schemes are never asked")
    func addresses() throws {
        for url in [
            "http://rates.example/price", "https://10.0.0.1/price", "https://169.254.169.254/latest",
            "ftp://a.example/x",
            "https://user@rates.example/price", "https://127.1/price", "",
        ] {
            #expect(throws: PriceError.self, "\(url)") {
                try HTTPRateSource(url: url, document: RateDocument(Self.entries))
            }
        }
        #expect(throws: Never.self) {
            try HTTPRateSource(url: "https://rates.example/price", document: RateDocument(Self.entries))
        }
    }

    /// A source that a test sets.
    private final class SetSource: RateSource {
        let msat = Mutex<UInt64?>(10_000)
        let name = "a test"
        let units: Set<String> = ["usd"]

        func reading(now: Timestamp) async throws -> RateReading {
            guard let msat = msat.withLock({ $0 }) else { throw PriceError(.badRate, "Nothing.") }
            return RateReading(msatPerUnit: ["usd": msat], at: now)
        }
    }

    @Test(
        "PRC-9: a price in usd is asked over Lightning at the source's rate; too old or jumping it is 503, and then well again"
    )
    func stale() async throws {
        let source = SetSource()
        let node = try TestNode(sellsOverLightning: true) {
            $0.rateSource = source
            $0.rateBounds = RateBounds(maximumAgeSeconds: 60, maximumChangePercent: 20)
        }
        try await node.start()
        let upstream = TestUpstream()
        try await withServer(upstream.router()) { upstreamPort in
            let prices = try PriceList(flat: Price(amount: 3, unit: "usd"))
            try await node.sell(upstream: upstreamPort) {
                $0.prices = prices
                $0.accepts = [.l402]
            }
            try await withServer(try node.router()) { port in
                try await withClient { client in
                    let asked = try await client.call(port)
                    #expect(asked.status == 402)
                    let invoice = try #require(asked.l402).invoice
                    #expect(try BOLT11Invoice(decoding: invoice).amountMsat == 30_000)
                    let credential = try node.payL402(asked)
                    // It goes dark: the last rate holds a while, then nothing is asked, and nothing is taken.
                    source.msat.withLock { $0 = nil }
                    node.clock.advance(seconds: 50)
                    await (try node.gateway).housekeep()
                    #expect(try await client.call(port, "/s/weather/other").status == 402)
                    node.clock.advance(seconds: 20)
                    await (try node.gateway).housekeep()
                    let dark = try await client.call(port, "/s/weather/third")
                    #expect(dark.status == 503)
                    #expect(dark.code == "rate-stale")
                    #expect(dark.header("Retry-After") != nil)
                    let totals = try await client.call(port, "/api/gateway").text
                    #expect(totals.contains(#""stale":true"#))
                    // A service that needs the rate can't be added meanwhile.
                    await #expect(throws: GatewayError.self) {
                        try await node.sell("another", upstream: upstreamPort) {
                            $0.prices = prices
                            $0.accepts = [.l402]
                        }
                    }
                    // What was paid for is served.
                    let served = try await client.call(port, headers: [("Authorization", credential)])
                    #expect(served.status == 200)
                    // It comes back too far off: not taken.
                    source.msat.withLock { $0 = 13_000 }
                    node.clock.advance(seconds: 60)
                    await (try node.gateway).housekeep()
                    #expect(try await client.call(port, "/s/weather/third").code == "rate-stale")
                    source.msat.withLock { $0 = 11_000 }
                    node.clock.advance(seconds: 60)
                    await (try node.gateway).housekeep()
                    let back = try await client.call(port, "/s/weather/third")
                    #expect(back.status == 402)
                    #expect(try BOLT11Invoice(decoding: try #require(back.l402).invoice).amountMsat == 33_000)
                }
            }
        }
        try await node.stop()
    }
}
