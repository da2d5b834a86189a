internal import Foundation
internal import Gateway
internal import Hummingbird
internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import ServiceLifecycle
internal import WebServer

/// The node's two doors: the public one over TCP and the operator's Unix socket.
enum Servers {
    /// Longest request line and header bytes together; over it the connection is refused with 431 by NIO.
    static let idleTimeoutSeconds: Int64 = 120

    static func publicServer<Responder: HTTPResponder>(
        _ responder: Responder,
        configuration: NodeConfiguration,
        webSockets: [WebSocketRoute],
        quickAnswers: [String: @Sendable () -> DoorAnswer?],
        gateway: Gateway,
        certificate: ServerCertificate?,
        logger: Logger,
        onListening: @escaping @Sendable (_ port: Int) async -> Void
    ) -> some Service
    where Responder.Context: InitializableFromSource<ApplicationRequestContextSource> {
        Application(
            responder: responder,
            server: serverBuilder(
                configuration,
                webSockets: webSockets,
                quickAnswers: quickAnswers,
                gateway: gateway,
                certificate: certificate
            ),
            configuration: ApplicationConfiguration(
                address: .hostname(configuration.host, port: configuration.port),
                serverName: nil,
                backlog: 1024,
                reuseAddress: true
            ),
            onServerRunning: { channel in await onListening(channel.localAddress?.port ?? configuration.port) },
            logger: logger
        )
    }

    /// The operator's socket: mode 0600 in a folder of mode 0700, so no token is needed there.
    static func operatorServer<Responder: HTTPResponder>(
        _ responder: Responder,
        path: String,
        logger: Logger,
        onListening: @escaping @Sendable () async -> Void
    ) throws(ConfigurationError) -> some Service
    where Responder.Context: InitializableFromSource<ApplicationRequestContextSource> {
        guard path.utf8.count <= NodeFiles.maximumSocketPathBytes else {
            throw ConfigurationError(
                "\(path) is too long for a socket (\(NodeFiles.maximumSocketPathBytes) bytes at most): choose a data"
                    + " directory with a shorter path"
            )
        }
        // What a killed process left; the directory's lock says that nobody listens there.
        unlink(path)
        return Application(
            responder: responder,
            server: .plain(idleTimeoutSeconds: idleTimeoutSeconds),
            configuration: ApplicationConfiguration(address: .unixDomainSocket(path: path), serverName: nil),
            onServerRunning: { _ in
                chmod(path, 0o600)
                await onListening()
            },
            logger: logger
        )
    }

    private static func serverBuilder(
        _ configuration: NodeConfiguration,
        webSockets: [WebSocketRoute],
        quickAnswers: [String: @Sendable () -> DoorAnswer?],
        gateway: Gateway,
        certificate: ServerCertificate?
    ) -> HTTPServerBuilder {
        var door = HTTPDoor(
            idleTimeoutSeconds: idleTimeoutSeconds,
            maximumConnections: maximumConnections(configuration),
            quickAnswers: quickAnswers,
            webSockets: webSockets
        )
        door.headSeconds = configuration.headSeconds
        door.isForeign = { gateway.sells(at: $0) }
        door.webSocketGate = gateway.webSocketGate
        guard let certificate else { return door.builder }
        return door.builder(certificate: certificate)
    }

    /// The certificate that the configuration names; nil where none is.
    static func certificate(_ configuration: NodeConfiguration) throws(ConfigurationError) -> ServerCertificate? {
        guard let certificatePath = configuration.tlsCertificatePath, let keyPath = configuration.tlsKeyPath else {
            return nil
        }
        do {
            return try ServerCertificate(certificatePath: certificatePath, keyPath: keyPath)
        } catch {
            throw ConfigurationError(
                "the TLS certificate \(certificatePath) and key \(keyPath) cannot be used (PEM is expected): \(error)"
            )
        }
    }

    /// Where nothing is set, half of what the process may open: an upstream, a mint or a file wants the other half. A busy
    /// connection takes some 30 KB.
    private static func maximumConnections(_ configuration: NodeConfiguration) -> Int {
        if let configured = configuration.maximumConnections { return configured }
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 512 }
        return Int(clamping: min(max(limit.rlim_cur / 2, 64), 2048))
    }

    /// Tries the public address before anything begins: what holds it may accept connections and never answer, and the
    /// node's own mint stands there.
    static func requireFreeAddress(_ configuration: NodeConfiguration) async throws {
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .bind(host: configuration.host, port: configuration.port).get()
        try await channel.close()
    }

    /// Says what to do about a server that could not start.
    static func explain(_ error: any Error, configuration: NodeConfiguration) -> any Error {
        guard let error = error as? IOError else { return error }
        let address = "\(configuration.host):\(configuration.port)"
        switch error.errnoCode {
        case EADDRINUSE:
            return ConfigurationError(
                "\(address) is in use by another program: stop it, or choose another with --port (http.port)"
            )
        case EACCES:
            return ConfigurationError("this user may not listen on \(address): choose a port above 1023")
        case EADDRNOTAVAIL:
            return ConfigurationError("this machine has no address \(configuration.host): correct http.host")
        default:
            return ConfigurationError("the node cannot listen on \(address): \(error.localizedDescription)")
        }
    }
}
