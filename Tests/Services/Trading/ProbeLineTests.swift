import AsyncHTTPClient
import Cashu
import Encodings
import Market
import NIOCore
import Storage
import TestSupport
import Testing
import Wallet

@testable import Trading

/// A node's buyer without money, and a service at a server.
struct Asker {
    let folder: TemporaryFolder
    let client: HTTPClient
    let buyer: Buyer

    init() async throws {
        folder = try TemporaryFolder()
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: HTTPMint.clientConfiguration)
        let wallet = try await Wallet(
            database: Database(
                path: folder.path + "/wallet.sqlite",
                migrations: Wallet.migrations,
                logger: Sample.logger
            ),
            seed: [UInt8](repeating: 1, count: 64),
            mints: HTTPMintConnector(client: client),
            lightning: nil,
            clock: .system,
            configuration: WalletConfiguration(),
            logger: Sample.logger
        )
        buyer = Buyer(
            wallet: wallet,
            client: client,
            configuration: BuyerConfiguration(plainHTTPHosts: ["seller.localhost"], pause: { _ in })
        )
    }

    func target(_ port: Int, host: String = "127.0.0.1", amount: UInt64 = 20, path: String = "/*") throws -> ProbeTarget
    {
        let listing = Listing(
            urls: [try Sample.url("http://\(host):\(port)/s/weather")],
            prices: [.init(path: path, amount: amount)]
        )
        var random = SeededRandom(seed: 1)
        return try #require(ProbeTarget(listing, urls: listing.urls, using: &random))
    }

    /// What one probe of a server says.
    func why(
        _ reply: WordyServer.Reply,
        milliseconds: Int64 = 10_000,
        _ look: (WordyServer) -> Void = { _ in }
    ) async throws -> ProbeTarget.Why {
        let server = try await WordyServer(reply)
        let line = ProbeLine(buyer: buyer, allowsLocal: true, lookUp: nil, timeoutMilliseconds: milliseconds)
        let target = try target(server.port)
        let answer = await line.ask(target)
        look(server)
        await server.stop()
        return target.why(answer.answer)
    }

    static func head(_ status: String, _ headers: [String] = [], length: Int = 0) -> String {
        (["HTTP/1.1 \(status)", "Content-Length: \(length)"] + headers).joined(separator: "\r\n") + "\r\n\r\n"
    }

    static func challenge(_ amount: UInt64) throws -> String {
        let mint = try MintURL("https://mint.example")
        let request = try PaymentRequest(id: "c1", amount: amount, unit: .sat, mints: [mint])
        return "X-Cashu: " + request.serialized()
    }

    static func with(_ body: (Asker) async throws -> Void) async throws {
        let asker = try await Asker()
        do {
            try await body(asker)
        } catch {
            try await asker.client.shutdown()
            throw error
        }
        try await asker.client.shutdown()
    }
}

@Suite("A probe on the wire", .timeLimit(.minutes(2)))
struct ProbeLineTests {
    @Test("[LIV-2] [LIV-3] A paywall that asks what is listed is alive; one that asks more, and all else, is not")
    func answers() async throws {
        try await Asker.with { asker in
            let paywall = Asker.head("402 Payment Required", [try Asker.challenge(20)])
            #expect(try await asker.why(.bytes(paywall)) == .answered)
            let dear = Asker.head("402 Payment Required", [try Asker.challenge(100)])
            #expect(try await asker.why(.bytes(dear)) == .dear)
            #expect(try await asker.why(.bytes(Asker.head("402 Payment Required"))) == .noOffer)
            let nonsense = Asker.head("402 Payment Required", ["X-Cashu: creqAnonsense"])
            #expect(try await asker.why(.bytes(nonsense)) == .noOffer)
            #expect(try await asker.why(.bytes(Asker.head("500 Oh"))) == .serverError)
            #expect(try await asker.why(.bytes(Asker.head("200 OK"))) == .noPaywall)
            #expect(try await asker.why(.bytes(Asker.head("404 No"))) == .notThere)
            #expect(try await asker.why(.close) == .unreachable)
            #expect(try await asker.why(.bytes("I am no web server\r\n\r\n")) == .unreachable)
        }
    }

    @Test("[LIV-3] A seller that says one price and asks for another is found out")
    func twoPrices() async throws {
        try await Asker.with { asker in
            let body = #"{"price":{"amount":"20","unit":"sat"}}"#
            let problem = ["Content-Type: application/problem+json"]
            let honest = Asker.head("402 P", problem + [try Asker.challenge(20)], length: body.utf8.count) + body
            #expect(try await asker.why(.bytes(honest)) == .answered)
            let sly = Asker.head("402 P", problem + [try Asker.challenge(2_000)], length: body.utf8.count) + body
            #expect(try await asker.why(.bytes(sly)) == .dear)
        }
    }

    @Test("[LIV-2] [LIV-10] Nobody at the port, and a server that never answers, or never ends its answer, in time")
    func silence() async throws {
        try await Asker.with { asker in
            let line = ProbeLine(buyer: asker.buyer, allowsLocal: true)
            let gone = try await WordyServer(.nothing)
            let target = try asker.target(gone.port)
            await gone.stop()
            #expect(await line.ask(target).answer == .unreachable)
            #expect(try await asker.why(.nothing, milliseconds: 200) == .timeout)
            let half = Asker.head("402 P", ["Content-Type: application/problem+json"], length: 100) + "{"
            #expect(try await asker.why(.bytes(half), milliseconds: 200) == .timeout)
        }
    }

    @Test("[LIV-10] No redirect is followed, be it to a private address")
    func redirect() async throws {
        try await Asker.with { asker in
            let other = try await WordyServer(.bytes(Asker.head("402 P", [try Asker.challenge(1)])))
            let moved = Asker.head("302 Found", ["Location: http://127.0.0.1:\(other.port)/s/weather/"])
            #expect(try await asker.why(.bytes(moved)) == .redirect)
            #expect(other.heads.isEmpty)
            await other.stop()
        }
    }

    @Test("[LIV-10] Of a body of 100 MB next to nothing is read")
    func longBody() async throws {
        try await Asker.with { asker in
            let size = 100 << 20
            for (status, more, why) in [
                ("200 OK", [], ProbeTarget.Why.noPaywall),
                ("402 P", [try Asker.challenge(20)], .answered),
                ("402 P", [try Asker.challenge(20), "Content-Type: application/json"], .answered),
                ("402 P", [try Asker.challenge(20), "Content-Type: application/problem+json"], .answered),
                ("500 Oh", [], .serverError),
            ] as [(String, [String], ProbeTarget.Why)] {
                let head = Asker.head(status, more, length: size)
                let found = try await asker.why(.long(head, size)) { server in
                    // What lies in the buffers of two sockets, and some of our own.
                    #expect(server.sent < 24 << 20, "\(status) \(more)")
                }
                #expect(found == why, "\(status) \(more)")
            }
        }
    }

    @Test(
        "[LIV-10] A name that leads to a private address is not asked, and the connection goes to the address that was checked"
    )
    func addresses() async throws {
        try await Asker.with { asker in
            let server = try await WordyServer(.bytes(Asker.head("402 P", [try Asker.challenge(20)])))
            let port = server.port
            var listing = try Sample.listing(amount: 20, url: "https://seller.example:\(port)/s/weather")
            var random = SeededRandom(seed: 1)
            let named = try #require(ProbeTarget(listing, urls: listing.urls, using: &random))
            for address in [
                "127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "::1", "fd00::1", "::ffff:10.0.0.1",
            ] {
                let line = ProbeLine(
                    buyer: asker.buyer,
                    allowsLocal: false,
                    lookUp: { _, port in
                        [
                            try SocketAddress(ipAddress: "198.51.100.7", port: port),
                            try SocketAddress(ipAddress: address, port: port),
                        ]
                    }
                )
                #expect(await line.ask(named).answer == .forbidden, "\(address)")
            }
            // By its own text, without a look-up.
            let strict = ProbeLine(buyer: asker.buyer, allowsLocal: false)
            #expect(await strict.ask(try asker.target(port)).answer == .forbidden)
            #expect(server.heads.isEmpty)
            // A node on loopback goes where the name leads at the look-up.
            listing.urls = [try Sample.url("http://seller.localhost:\(port)/s/weather")]
            let local = try #require(ProbeTarget(listing, urls: listing.urls, using: &random))
            let line = ProbeLine(
                buyer: asker.buyer,
                allowsLocal: true,
                lookUp: { _, port in [try SocketAddress(ipAddress: "127.0.0.1", port: port)] }
            )
            let answer = await line.ask(local)
            #expect(local.why(answer.answer) == .answered)
            await server.stop()
        }
    }

    @Test("[LIV-1] A probe has the head of a customer's first call, to the letter but for the call's own random key")
    func indistinguishable() async throws {
        try await Asker.with { asker in
            let server = try await WordyServer(.bytes(Asker.head("404 No")))
            let line = ProbeLine(buyer: asker.buyer, allowsLocal: true)
            let target = try asker.target(server.port, path: "/today")
            _ = await line.ask(target)
            let paid = try await asker.buyer.pay(PaidRequest(url: target.url, maximum: 5))
            #expect(paid.status == 404)
            let heads = server.heads
            #expect(heads.count == 2)
            func masked(_ lines: [String]) -> [String] {
                lines.map { line in
                    guard line.lowercased().hasPrefix("idempotency-key: ") else { return line }
                    return "idempotency-key of \(line.utf8.count)"
                }
            }
            #expect(heads.first.map(masked) == heads.last.map(masked))
            #expect(heads.first != heads.last, "each call has a key of its own")
            #expect(heads.first?.first == "GET /s/weather/today HTTP/1.1")
            #expect(heads.first?.contains { $0.lowercased().contains("mintmark") } == false)
            await server.stop()
        }
    }
}
