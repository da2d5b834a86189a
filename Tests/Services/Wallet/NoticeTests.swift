import CanonicalJSON
import Cashu
import Lightning
import Mint
import NIOCore
import NIOSSL
import NIOWebSocket
import Storage
import Synchronization
import Testing

@testable import Wallet

@Suite("Wallet: told by its mint over a WebSocket (NUT-17)", .serialized)
struct NoticeTests {
    private func pay(_ funding: Funding, in world: WalletWorld) async throws {
        _ = try await world.lightning.pay(invoice: .init(decoding: funding.invoice), maximumFeeMsat: 0)
    }

    private func isWatched(_ funding: Funding, by alice: TestWallet) -> Bool {
        alice.wallet.isWatched(.mintQuote, funding.quote.string, at: funding.mint)
    }

    @Test("a payment is heard of: the coins come with one question after the notice, and none before")
    func funding() async throws {
        let sockets = try await SocketWorld()
        let world = sockets.world
        let alice = try await sockets.wallet()
        try await sockets.serve {
            try await sockets.watching(alice) {
                let funding = try await alice.wallet.requestInvoice(300, at: world.url)
                try await sockets.until("subscribed") { isWatched(funding, by: alice) }
                async let waited = alice.wallet.awaitFunding(funding.quote.string, seconds: 60)
                try await sockets.until("asked once") { world.api.count("mintQuote") == 1 }
                _ = try await alice.wallet.recover()
                let asked = world.api.count("mintQuote")
                // The node's round leaves a watched invoice to its mint.
                for _ in 0..<5 { _ = try await alice.wallet.recover() }
                #expect(world.api.count("mintQuote") == asked)
                try await pay(funding, in: world)
                await world.mint.askAboutWatchedQuotes()
                #expect(try await waited.state == .issued)
                #expect(try await alice.available == 300)
                #expect(world.api.count("mintQuote") <= asked + 1)
                // Nothing is wanted any more, and nothing is open.
                try await sockets.until("over") { !isWatched(funding, by: alice) }
                #expect(sockets.attempts.load(ordering: .relaxed) == 1)
            }
        }
        try await world.requireSound(alice)
    }

    @Test(
        "a melt that was pending and a token that was claimed are heard of"
    )
    func others() async throws {
        let sockets = try await SocketWorld()
        let world = sockets.world
        let alice = try await sockets.wallet()
        let bob = try await world.funded(0, "bob")
        _ = try await alice.wallet.fund(1000, at: world.url)
        try await sockets.serve {
            try await sockets.watching(alice) {
                let token = try await alice.wallet.send(100, at: world.url)
                let coins = try await alice.database.read { connection in
                    try CoinStore.held(by: token.id, in: connection).filter { $0.state == .sent }
                }
                let invoice = try world.lightning.invoice(50_000).text
                world.lightning.setOutcome(.pending)
                #expect(
                    await walletError {
                        _ = try await alice.wallet.payInvoice(invoice, from: world.url, maximumFee: 20)
                    } == .outcomeUnknown
                )
                let watch = try #require(alice.wallet.watches.withLock { $0.byMint[world.url] })
                try await sockets.until("subscribed") {
                    try await alice.wallet.wants()[world.url]?.filters.allSatisfy { kind, filters in
                        filters.allSatisfy { watch.isWatching(kind, $0) }
                    } == true
                }
                #expect(try await alice.wallet.wants()[world.url]?.filters[.proofState]?.count == coins.count)
                _ = try await bob.wallet.receive(token.token)
                try await sockets.until("claimed") { try await alice.wallet.sentTokens().isEmpty }
                #expect(try await alice.balance()?.sentUnclaimed == 0)
                world.lightning.setOutcome(nil)
                _ = try await world.lightning.pay(invoice: .init(decoding: invoice), maximumFeeMsat: 0)
                await world.mint.recoverPendingMelts()
                try await sockets.until("paid") { try await alice.balance()?.inFlight == 0 }
                #expect(try await alice.wallet.history().contains { $0.kind == .paidInvoice })
            }
        }
        try await world.requireSound(alice, bob)
    }

    @Test("a connection that is lost is opened again, and what came meanwhile is told")
    func reconnecting() async throws {
        let sockets = try await SocketWorld()
        let world = sockets.world
        let alice = try await sockets.wallet()
        let funding = try await alice.wallet.requestInvoice(300, at: world.url)
        try await sockets.watching(alice) {
            try await sockets.until("tried") { sockets.attempts.load(ordering: .relaxed) > 1 }
            try await sockets.serve {
                try await sockets.until("subscribed") { isWatched(funding, by: alice) }
            }
            try await sockets.until("lost") { !isWatched(funding, by: alice) }
            try await pay(funding, in: world)
            try await sockets.serve {
                try await sockets.until("subscribed again") { isWatched(funding, by: alice) }
                await world.mint.askAboutWatchedQuotes()
                try await sockets.until("issued") { try await alice.available == 300 }
            }
        }
        try await world.requireSound(alice)
    }

    @Test("without a WebSocket the mint is asked as before, and a mint that says nothing of NUT-17 is not tried")
    func polling() async throws {
        let sockets = try await SocketWorld()
        let world = sockets.world
        let alice = try await sockets.wallet()
        try await sockets.watching(alice) {
            let funding = try await alice.wallet.requestInvoice(300, at: world.url)
            async let waited = alice.wallet.awaitFunding(funding.quote.string, seconds: 60)
            try await sockets.until("asked again") { world.api.count("mintQuote") > 1 }
            try await pay(funding, in: world)
            #expect(try await waited.state == .issued)
            let open = try await alice.wallet.requestInvoice(4, at: world.url)
            #expect(try await alice.wallet.awaitFunding(open.quote.string, seconds: 0).state == .open)
            #expect(await walletError { _ = try await alice.wallet.awaitFunding("x", seconds: 0) } == .notFound)
        }
        world.api.setNUT(
            "17",
            to: ["supported": [["method": "bolt11", "unit": "usd", "commands": ["bolt11_mint_quote"]]]]
        )
        _ = try await alice.wallet.terms(of: world.url, maximumAgeSeconds: -1)
        #expect(try await alice.wallet.wants().isEmpty)
    }

    @Test("a notice of a payment that was not made moves nothing, however often it comes")
    func lies() async throws {
        let sockets = try await SocketWorld()
        let world = sockets.world
        let alice = try await sockets.wallet()
        let funding = try await alice.wallet.requestInvoice(300, at: world.url)
        let watch = MintWatch(
            world.url,
            connector: Liar(quote: funding.quote.string),
            pace: SocketWorld.pace,
            logger: WalletWorld.logger
        ) {
            _ = try? await alice.wallet.collect(
                $0[.mintQuote]?.contains(funding.quote.string) == true ? [funding] : []
            )
        }
        var wants = Wants()
        wants.add(.mintQuote, [funding.quote.string])
        watch.set(wants)
        let running = Task { await watch.run() }
        try await sockets.until("looked") { world.api.count("mintQuote") > 3 }
        running.cancel()
        await running.value
        #expect(try await alice.available == 0)
        try await world.requireSound(alice)
    }

    /// Says again and again that a quote is paid.
    private struct Liar: MintConnector, MintSocket {
        let quote: String
        func mint(at url: MintURL) -> any MintAPI { LocalMint(url: url) { throw MintSocketError("not here") } }
        func openSocket(at url: MintURL, _ body: @Sendable @escaping (any MintSocket) async throws -> Void)
            async throws
        {
            try await body(self)
        }
        func send(_ text: [UInt8]) async throws {}
        func read(_ handle: @Sendable @escaping ([UInt8]) async throws -> Void) async throws {
            while true {
                try await handle(
                    SubscriptionMessage.notification(
                        "mintmark-1",
                        payload: Array(#"{"quote":"\#(quote)","state":"PAID"}"#.utf8)
                    )
                )
                try await Task.sleep(for: .milliseconds(1))
            }
        }
    }
}

@Suite("Wallet: the WebSocket's client (RFC 6455)")
struct WebSocketClientTests {
    /// What came of a conversation with a server that follows a script.
    private func heard(
        _ limits: MintSocketLimits = .init(),
        _ script: @escaping @Sendable (any Channel) async throws -> Void
    )
        async throws -> (texts: [String], failed: Bool)
    {
        let server = try await RudeSocketServer(script)
        let texts = Mutex<[String]>([])
        var failed = false
        do {
            try await WebSocketClient(limits: limits).open(server.url) { socket in
                try await socket.read { text in texts.withLock { $0.append(String(decoding: text, as: UTF8.self)) } }
            }
        } catch {
            failed = true
        }
        await server.stop()
        return (texts.withLock { $0 }, failed)
    }

    private static func frame(_ opcode: WebSocketOpcode, _ text: String, fin: Bool = true, masked: Bool = false)
        -> WebSocketFrame
    {
        RudeSocketServer.frame(opcode, text, fin: fin, masked: masked)
    }

    @Test("messages come whole, in one frame or in several, also those that follow the handshake at once")
    func messages() async throws {
        let result = try await heard { channel in
            try await channel.writeAndFlush(Self.frame(.text, "one"))
            try await channel.writeAndFlush(Self.frame(.text, "t", fin: false))
            try await channel.writeAndFlush(Self.frame(.ping, "are you there"))
            try await channel.writeAndFlush(Self.frame(.continuation, "w", fin: false))
            try await channel.writeAndFlush(Self.frame(.continuation, "o"))
            try await channel.writeAndFlush(Self.frame(.connectionClose, ""))
        }
        #expect(result.texts == ["one", "two"] && !result.failed)
    }

    @Test("what breaks the rules, is too large, or falls silent, ends the connection", arguments: 0..<6)
    func rude(case number: Int) async throws {
        let result = try await heard(.init(messageBytes: 1000, pingMilliseconds: 200)) { channel in
            try await channel.writeAndFlush(Self.frame(.text, "before"))
            switch number {
            case 0: try await channel.writeAndFlush(Self.frame(.text, "masked", masked: true))
            case 1: try await channel.writeAndFlush(Self.frame(.continuation, "of nothing"))
            case 2: try await channel.writeAndFlush(Self.frame(.text, String(repeating: "x", count: 1001)))
            case 3:
                for _ in 0..<3 {
                    try await channel.writeAndFlush(Self.frame(.text, String(repeating: "x", count: 600), fin: false))
                }
            case 4: try await channel.writeAndFlush(Self.frame(.binary, "bytes"))
            // Nothing more is said, and no ping is answered.
            default: break
            }
        }
        #expect(result.texts == ["before"] && result.failed)
    }

    @Test(
        "over TLS the certificate must be one that is believed, and of the host",
        arguments: ["127.0.0.1", "localhost"]
    )
    func tls(host: String) async throws {
        let server = try await RudeSocketServer(tls: true) { channel in
            try await channel.writeAndFlush(Self.frame(.text, "quietly"))
            try await channel.writeAndFlush(Self.frame(.connectionClose, ""))
        }
        let url = try MintURL("https://\(host):\(server.port)/mint")
        var trusting = TLSConfiguration.makeClientConfiguration()
        trusting.trustRoots = .certificates(
            try NIOSSLCertificate.fromPEMBytes(Array(RudeSocketServer.certificate.utf8))
        )
        let texts = Mutex<[String]>([])
        try await WebSocketClient(tls: trusting).open(url) { socket in
            try await socket.read { text in texts.withLock { $0.append(String(decoding: text, as: UTF8.self)) } }
        }
        #expect(texts.withLock { $0 } == ["quietly"])
        await #expect(throws: (any Error).self) {
            try await WebSocketClient().open(url) { _ in Issue.record("it was opened") }
        }
        let other = try MintURL("https://127.0.0.2:\(server.port)/mint")
        await #expect(throws: (any Error).self) {
            try await WebSocketClient(tls: trusting).open(other) { _ in Issue.record("it was opened") }
        }
        await server.stop()
    }

    @Test("a server that opens no WebSocket, says nothing, or is not there, is given up in time")
    func handshake() async throws {
        let client = WebSocketClient(limits: .init(openSeconds: 1))
        let plain = try await RawServer { _ in .answer(status: 200, body: Array("{}".utf8)) }
        let silent = try await RawServer { _ in
            try? await Task.sleep(for: .seconds(60))
            return .drop
        }
        for origin in [plain.origin, silent.origin, "http://127.0.0.1:1"] {
            await #expect(throws: (any Error).self, "\(origin)") {
                try await client.open(MintURL(origin)) { _ in Issue.record("it was opened") }
            }
        }
        await plain.stop()
        await silent.stop()
    }
}
