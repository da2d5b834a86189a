internal import AsyncHTTPClient
public import CanonicalJSON
internal import Foundation
internal import Hummingbird
internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import ServiceLifecycle
internal import UnixSignals

/// What a paying proxy may do.
public struct ProxySettings: Sendable {
    /// An address of this machine alone.
    public var host: String
    /// 0: the system chooses.
    public var port: Int
    public var unit: String
    /// The most that one call may cost, in `unit`, fees included.
    public var maximum: UInt64
    /// The most that all calls may cost while it runs; nil: no limit but the wallet's.
    public var budget: UInt64?
    /// The most that one host may get while it runs.
    public var perHost: UInt64?
    /// In whose name it calls.
    public var agent: String?
    /// The CID of the delegation that it acts on.
    public var delegation: String?
    /// The only way it may pay.
    public var via: String?
    /// What clients must send as the proxy's password; nil: whoever reaches it may use it.
    public var token: [UInt8]?
    public var timeoutSeconds: Int64

    public init(host: String, port: Int, unit: String, maximum: UInt64, timeoutSeconds: Int64 = 60) {
        self.host = host
        self.port = port
        self.unit = unit
        self.maximum = maximum
        self.timeoutSeconds = timeoutSeconds
    }
}

/// A forward proxy on this machine that pays what calls cost, out of the node's wallet, so that an HTTP client that knows nothing
/// of money can call paid services. Bodies stream both ways; the node has every payment on disk before it leaves.
public enum PayingProxy {
    /// - Parameters:
    ///   - directory: the data directory of a node that runs.
    ///   - onCall: is told of each call when it has ended.
    /// - Throws: `ConfigurationError` for an address that others can reach.
    public static func run(
        _ settings: ProxySettings,
        directory: String,
        onReady: @escaping @Sendable (_ port: Int) async -> Void,
        onCall: @escaping @Sendable (JSONValue) -> Void
    ) async throws {
        guard NodeConfiguration.isLoopback(settings.host) else {
            throw ConfigurationError(
                "\(settings.host) can be reached from elsewhere, and whoever reaches the proxy spends your money: it listens on"
                    + " loopback only"
            )
        }
        var configuration = HTTPClient.Configuration()
        configuration.timeout.connect = .seconds(5)
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 256
        let http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        let proxy = ProxyResponder(settings, directory: directory, http: http, onCall: onCall)
        let logger = Logger(label: "mintmark.proxy")
        let server = Application(
            responder: proxy,
            server: ProxyHeadHandler.server(idleTimeoutSeconds: Servers.idleTimeoutSeconds),
            configuration: ApplicationConfiguration(
                address: .hostname(settings.host, port: settings.port),
                serverName: nil,
                reuseAddress: true
            ),
            onServerRunning: { channel in await onReady(channel.localAddress?.port ?? settings.port) },
            logger: logger
        )
        var group = ServiceGroupConfiguration(
            services: [.init(service: server, successTerminationBehavior: .gracefullyShutdownGroup)],
            gracefulShutdownSignals: [.sigterm, .sigint],
            logger: logger
        )
        group.maximumGracefulShutdownDuration = .seconds(20)
        do {
            try await ServiceGroup(configuration: group).run()
        } catch let error as IOError where error.errnoCode == EADDRINUSE {
            try? await http.shutdown()
            throw ConfigurationError(
                "\(settings.host):\(settings.port) is in use by another program: choose another with --listen"
            )
        } catch {
            try? await http.shutdown()
            throw error
        }
        try await http.shutdown()
    }
}
