import Cashu
import Hummingbird
import Mint
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import NIOWebSocket
import Synchronization
import Testing
import WebServer

@testable import Wallet

/// A world whose mint is spoken to in the same process, with every call counted, but for its WebSocket, which is a real
/// one that can be taken away.
final class SocketWorld: Sendable {
    /// Quick, so that a test of a lost connection is.
    static let pace = WatchPace(
        firstPauseMilliseconds: 20,
        longestPauseMilliseconds: 40,
        answerMilliseconds: 5000,
        lookMilliseconds: 1,
        roundMilliseconds: 50
    )

    struct Connector: MintConnector {
        let api: LocalMint
        let world: SocketWorld

        func mint(at url: MintURL) -> any MintAPI { api }

        func openSocket(at url: MintURL, _ body: @Sendable @escaping (any MintSocket) async throws -> Void)
            async throws
        {
            world.attempts.wrappingAdd(1, ordering: .relaxed)
            guard let port = world.port.withLock({ $0 }) else { throw MintSocketError("no server") }
            try await WebSocketClient().open(MintURL("http://127.0.0.1:\(port)/mint"), body)
        }
    }

    let world: WalletWorld
    let attempts = Atomic<Int>(0)
    private let port = Mutex<Int?>(nil)

    init() async throws { world = try await WalletWorld() }

    func wallet(_ name: String = "alice") async throws -> TestWallet {
        let connector = Connector(api: world.api, world: self)
        let wallet = try await world.wallet(name, connector: connector, pace: Self.pace)
        try await wallet.wallet.addMint(world.url.string)
        return wallet
    }

    /// Serves the mint's WebSocket while `body` runs.
    func serve(_ body: @escaping @Sendable () async throws -> Void) async throws {
        let (ports, found) = AsyncStream<Int>.makeStream()
        let application = Application(
            router: Router(),
            server: HTTPDoor(webSockets: [world.mint.subscriptionRoute(under: "/mint")]).builder,
            configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in
                found.yield(channel.localAddress?.port ?? 0)
                found.finish()
            },
            logger: WalletWorld.logger
        )
        let server = Task { try await application.run() }
        for await bound in ports { port.withLock { $0 = bound } }
        let result: Result<Void, any Error>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        port.withLock { $0 = nil }
        server.cancel()
        _ = try? await server.value
        try result.get()
    }

    /// Runs `body` while the wallet is told by its mints.
    func watching(_ wallet: TestWallet, _ body: () async throws -> Void) async throws {
        let watch = Task { await wallet.wallet.watch() }
        let result: Result<Void, any Error>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        watch.cancel()
        await watch.value
        try result.get()
    }

    /// Waits until it is so; a busy machine may take long.
    func until(_ what: String, location: SourceLocation = #_sourceLocation, _ isSo: () async throws -> Bool)
        async throws
    {
        for _ in 0..<3000 {
            if try await isSo() { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        Issue.record("it never came to this: \(what)", sourceLocation: location)
    }
}

/// A WebSocket server that says what a test wants, whatever it is told.
final class RudeSocketServer: Sendable {
    private let channel: any Channel
    let port: Int
    let url: MintURL

    /// - Parameters:
    ///   - tls: speaks TLS with `certificate`.
    ///   - script: runs once a handshake is done.
    init(tls: Bool = false, _ script: @escaping @Sendable (any Channel) async throws -> Void) async throws {
        var context: NIOSSLContext?
        if tls {
            let chain = try NIOSSLCertificate.fromPEMBytes(Array(Self.certificate.utf8))
            context = try NIOSSLContext(
                configuration: .makeServerConfiguration(
                    certificateChain: chain.map { .certificate($0) },
                    privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(Self.key.utf8), format: .pem))
                )
            )
        }
        let secured = context
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                let upgrader = NIOWebSocketServerUpgrader(
                    shouldUpgrade: { channel, _ in channel.eventLoop.makeSucceededFuture(HTTPHeaders()) },
                    upgradePipelineHandler: { channel, _ in
                        Task { try? await script(channel) }
                        return channel.eventLoop.makeSucceededVoidFuture()
                    }
                )
                if let secured {
                    do {
                        try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: secured))
                    } catch {
                        return channel.eventLoop.makeFailedFuture(error)
                    }
                }
                return channel.pipeline.configureHTTPServerPipeline(
                    withServerUpgrade: (upgraders: [upgrader], completionHandler: { _ in })
                )
            }
            .bind(host: "0.0.0.0", port: 0).get()
        port = channel.localAddress?.port ?? 0
        url = try MintURL("http://127.0.0.1:\(port)/mint")
    }

    func stop() async { try? await channel.close().get() }

    static func frame(_ opcode: WebSocketOpcode, _ text: String, fin: Bool = true, masked: Bool = false)
        -> WebSocketFrame
    {
        WebSocketFrame(fin: fin, opcode: opcode, maskKey: masked ? [1, 2, 3, 4] : nil, data: ByteBuffer(string: text))
    }

    /// Made for these tests alone, for 127.0.0.1 and localhost; its key guards nothing.
    static let certificate = """
        -----BEGIN CERTIFICATE-----
        MIIBmjCCAUGgAwIBAgIUJK2YdAvS4uc9o6LfDYz3d+WrXY0wCgYIKoZIzj0EAwIw
        FDESMBAGA1UEAwwJMTI3LjAuMC4xMCAXDTI2MTEyODIyMjYxMVoYDzIxMjYxMTA0
        MjIyNjExWjAUMRIwEAYDVQQDDAkxMjcuMC4wLjEwWTATBgcqhkjOPQIBBggqhkjO
        PQMBBwNCAASdQkucQ0ySzJZcZn9PT0ahjrzzx8Q1FFuSG/8k8yQTR9HnHCq96dHt
        wA+8f+P+9Chs3Cqp4ovkTWMWODvEeMj3o28wbTAdBgNVHQ4EFgQUfV5fiAmlg1F8
        mqwREwoPKNqeLMowHwYDVR0jBBgwFoAUfV5fiAmlg1F8mqwREwoPKNqeLMowDwYD
        VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARhwR/AAABgglsb2NhbGhvc3QwCgYIKoZI
        zj0EAwIDRwAwRAIgEW80kwgqFmzWgQA64f1VhUWf1IDsafeQeOBLeXyPcgsCIE5o
        lLqO6HQ2JGpdeilfHidIp19S4MeZsm5xaOItrZrv
        -----END CERTIFICATE-----
        """
    private static let key = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg+4hCk45bN8KdfyE/
        XqA/A1dipgZwDYgywy8deE/0fO+hRANCAASdQkucQ0ySzJZcZn9PT0ahjrzzx8Q1
        FFuSG/8k8yQTR9HnHCq96dHtwA+8f+P+9Chs3Cqp4ovkTWMWODvEeMj3
        -----END PRIVATE KEY-----
        """
}
