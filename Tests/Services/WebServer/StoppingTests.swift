import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOPosix
import Testing
import WebServer

/// A server is stopped while connections come in: those that it accepted and never began end, and the process goes on. NIO by
/// itself ends it (swift-nio #2637).
@Suite struct StoppingTests {
    enum Kind: CaseIterable {
        case door
        case plain

        var builder: HTTPServerBuilder {
            switch self {
            case .door: HTTPDoor().builder
            case .plain: .plain()
            }
        }
    }

    @Test("A server that stops drops what has not begun, and nothing else happens", arguments: Kind.allCases)
    func stops(_ kind: Kind) async throws {
        for _ in 0..<25 {
            let (ports, port) = AsyncStream.makeStream(of: Int.self)
            let application = Application(
                router: Router(),
                server: kind.builder,
                configuration: .init(address: .hostname("127.0.0.1", port: 0), backlog: 512),
                onServerRunning: { channel in port.yield(channel.localAddress?.port ?? 0) },
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            )
            let running = Task { try await application.run() }
            var iterator = ports.makeAsyncIterator()
            let bound = try #require(await iterator.next())
            let loop = MultiThreadedEventLoopGroup.singleton.next()
            let clients = (0..<64).map { _ in
                ClientBootstrap(group: loop).connect(host: "127.0.0.1", port: bound)
            }
            _ = try? await clients[0].get()
            running.cancel()
            _ = try? await running.value
            for client in clients { try? await client.get().close() }
        }
    }
}
