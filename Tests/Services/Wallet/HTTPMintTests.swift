import AsyncHTTPClient
import Cashu
import Encodings
import Hummingbird
import Lightning
import Mint
import NIOCore
import Paywall
import Synchronization
import Testing
import WebServer

@testable import Wallet

@Suite("HTTPMint")
struct HTTPMintTests {
    /// Runs a test against the mint's own routes on a socket.
    private func withMint(_ body: @escaping @Sendable (WalletWorld, String, HTTPClient) async throws -> Void)
        async throws
    {
        let world = try await WalletWorld(feePPK: 100)
        let router = Router()
        MintRoutes(world.mint).add(to: router.group("mint"))
        let (ports, found) = AsyncStream<Int>.makeStream()
        let application = Application(
            router: router,
            server: .plain(),
            configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in
                found.yield(channel.localAddress?.port ?? 0)
                found.finish()
            },
            logger: WalletWorld.logger
        )
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: HTTPMint.clientConfiguration)
        let server = Task { try await application.run() }
        defer { server.cancel() }
        for await port in ports {
            do {
                try await body(world, "http://127.0.0.1:\(port)/mint", client)
            } catch {
                try? await client.shutdown()
                throw error
            }
        }
        try? await client.shutdown()
    }

    @Test("a wallet funds, sends, receives, pays and restores at a real mint over a real socket")
    func wholeWay() async throws {
        try await withMint { world, address, client in
            let connector = HTTPMintConnector(client: client)
            let alice = try await world.wallet(connector: connector)
            let bob = try await world.wallet("bob", connector: connector)
            let url = try await alice.wallet.addMint(address).mint
            try await bob.wallet.addMint(address)
            _ = try await alice.wallet.fund(1000, at: url)
            let token = try await alice.wallet.send(333, at: url)
            _ = try await bob.wallet.receive(token.token)
            let invoice = try world.lightning.invoice(100_000)
            _ = try await alice.wallet.payInvoice(invoice.text, from: url, maximumFee: 20)
            let twin = try await world.wallet("alice", file: "twin", connector: connector)
            try await twin.wallet.addMint(address)
            _ = try await twin.wallet.restore(from: url)
            #expect(try await twin.available == alice.available)
            #expect(try await world.circulating() == alice.available + bob.available)
            #expect(await walletError { _ = try await bob.wallet.receive(token.token) } == .tokenSpent)
            try await world.requireSound(alice, bob)
        }
    }

    @Test("errors keep the mint's code, and a dead mint is unreachable")
    func errors() async throws {
        try await withMint { world, address, client in
            let mint = HTTPMint(url: try MintURL(address), client: client)
            let unknown = try QuoteID("0198c0de-0000-7000-8000-000000000000")
            #expect(await failure { _ = try await mint.mintQuote(unknown) }?.code != nil)
            let nowhere = HTTPMint(url: try MintURL("http://127.0.0.1:1"), client: client)
            #expect(await failure { _ = try await nowhere.info() }?.kind == .notSent)
        }
    }

    @Test("a connection that the mint closes: what only asks is asked again, once; what moves money never is")
    func closed() async throws {
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: HTTPMint.clientConfiguration)
        let asked = Mutex<[String: Int]>([:])
        let server = try await RawServer { request in
            let count = asked.withLock { counts -> Int in
                counts[request.uri, default: 0] += 1
                return counts[request.uri] ?? 0
            }
            guard count > 1, !request.uri.hasPrefix("/gone") else { return .drop }
            return .answer(status: 200, body: Array(#"{"name":"a mint"}"#.utf8))
        }
        let mint = HTTPMint(url: try MintURL(server.origin), client: client)
        #expect(try await mint.info().name == "a mint")
        let gone = HTTPMint(url: try MintURL(server.origin + "/gone"), client: client)
        #expect(await failure { _ = try await gone.info() }?.kind == .unknown)
        #expect(await failure { _ = try await mint.swap(SwapRequest(inputs: [], outputs: [])) }?.kind == .unknown)
        #expect(asked.withLock { $0 } == ["/v1/info": 2, "/gone/v1/info": 2, "/v1/swap": 1])
        await server.stop()
        try await client.shutdown()
    }

    private func failure(_ body: () async throws -> Void) async -> MintAPIError? {
        do {
            try await body()
            return nil
        } catch {
            return error as? MintAPIError
        }
    }

    @Test(
        "only a 4xx with an error object is a refusal",
        arguments: [
            (400, #"{"detail":"no","code":11001}"#, MintAPIError.Kind.refused(code: 11001)),
            (400, #"{"detail":"no"}"#, .refused(code: 0)),
            (400, #"{"detail":"no","code":"11001"}"#, .refused(code: 10000)),
            (404, #"{"detail":"Not Found"}"#, .refused(code: 0)),
            (400, "nonsense", .unknown), (400, "{}", .unknown), (500, #"{"detail":"no","code":0}"#, .unknown),
            (503, #"{"detail":"busy","code":10000}"#, .unknown), (429, #"{"detail":"slow"}"#, .unknown),
            (302, "", .unknown), (200, "", .unknown), (200, "[]", .unknown), (200, #"{"signatures":5}"#, .unknown),
            (200, #"{"signatures":[{"amount":-1}]}"#, .unknown), (200, String(repeating: "[", count: 5000), .unknown),
        ] as [(Int, String, MintAPIError.Kind)]
    )
    func readings(status: Int, body: String, kind: MintAPIError.Kind) {
        do {
            _ = try HTTPMint.answer(status: status, body: Array(body.utf8)) { try SignaturesResponse(json: $0) }
            Issue.record("\(status) \(body) was taken for an answer")
        } catch {
            #expect(error.kind == kind)
        }
    }

    @Test("an answer that is too long, a redirect and a hang-up are unknown, never refused")
    func rude() async throws {
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: HTTPMint.clientConfiguration)
        let server = try await RawServer { request in
            switch request.uri {
            case "/long/v1/info": .answer(status: 200, body: Array(repeating: 0x20, count: 100_000))
            case "/moved/v1/info": .answer(status: 302, headers: [("Location", "/long/v1/info")])
            case "/cut/v1/info": .broken(status: 200, body: Array("{".utf8))
            default: .drop
            }
        }
        let limits = HTTPMintLimits(maximumAnswerBytes: 10_000)
        for path in ["/long", "/moved", "/cut", "/gone"] {
            let mint = HTTPMint(url: try MintURL(server.origin + path), client: client, limits: limits)
            let error = await failure { _ = try await mint.info() }
            #expect(error?.kind == .unknown, "\(path): \(String(describing: error))")
        }
        await server.stop()
        try await client.shutdown()
    }
}
