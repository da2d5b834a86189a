public import AsyncHTTPClient
public import Encodings
public import Lightning
public import Logging
internal import NIOCore
internal import NIOSSL

/// How a Lightning node is reached: where it is, what opens its API, and whose network it must be on.
public struct NodeAccess: Sendable {
    /// Without a slash at the end.
    let base: String
    /// A macaroon, rune, key or password. Never logged, never in an error.
    let secret: String
    let network: LightningNetwork
    let httpClient: HTTPClient
    let clock: WallClock
    let logger: Logger
    let timeoutMilliseconds: Int64
    let paymentTimeoutMilliseconds: Int64

    /// - Parameters:
    ///   - url: `https://host:port`; `http://` only to this machine, as the secret would travel in the clear.
    ///   - secret: without line ends; 1 to 8192 printable ASCII characters.
    ///   - network: what the configuration says; the backend is held to it.
    ///   - httpClient: made by `httpClient(certificatePath:)`, and shut down by its owner.
    ///   - timeoutMilliseconds: for one question.
    ///   - paymentTimeoutMilliseconds: how long a payment's answer is waited for; then it is `pending`.
    /// - Throws: `invalidRequest`, saying what to write instead.
    public init(
        url: String,
        secret: String,
        network: LightningNetwork,
        httpClient: HTTPClient,
        clock: WallClock,
        logger: Logger,
        timeoutMilliseconds: Int64 = 15_000,
        paymentTimeoutMilliseconds: Int64 = 60_000
    ) throws(LightningError) {
        base = try SimulatedConnection.base(url, of: "a Lightning node")
        guard base.lowercased().hasPrefix("https://") || NodeAccess.isThisMachine(base) else {
            throw LightningError(
                .invalidRequest,
                "\(url) would send the node's secret in the clear: write https://, or reach the node through a tunnel that"
                    + " ends on this machine"
            )
        }
        guard (1...8192).contains(secret.utf8.count), secret.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
            throw LightningError(.invalidRequest, "the Lightning node's secret is empty, too long or no printable text")
        }
        self.secret = secret
        self.network = network
        self.httpClient = httpClient
        self.clock = clock
        self.logger = logger
        self.timeoutMilliseconds = timeoutMilliseconds
        self.paymentTimeoutMilliseconds = paymentTimeoutMilliseconds
    }

    /// A client for one node.
    /// - Parameter certificatePath: a PEM file with the node's own certificate (LND's `tls.cert`, Core Lightning's
    ///   `ca.pem`); then no other authority is believed. Nil: the system's authorities.
    /// - Throws: `invalidRequest` where the file holds no certificate.
    public static func httpClient(certificatePath: String?) throws(LightningError) -> HTTPClient {
        var configuration = SimulatedBackend.httpConfiguration
        // Shorter than what servers keep an idle connection for, so that a payment is not sent into one just closed.
        configuration.connectionPool.idleTimeout = .seconds(3)
        configuration.decompression = .disabled
        if let certificatePath {
            var tls = TLSConfiguration.makeClientConfiguration()
            do {
                let certificates = try NIOSSLCertificate.fromPEMFile(certificatePath)
                guard !certificates.isEmpty else { throw LightningError(.invalidRequest, "the file is empty") }
                tls.trustRoots = .certificates(certificates)
            } catch {
                throw LightningError(
                    .invalidRequest,
                    "\(certificatePath) holds no certificate in PEM form (\(error)): point lightning.tlsCertificate at"
                        + " the node's own",
                    cause: error
                )
            }
            configuration.tlsConfiguration = tls
        }
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    private static func isThisMachine(_ base: String) -> Bool {
        guard let rest = base.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false).last else {
            return false
        }
        let authority = rest.prefix { $0 != "/" }
        if authority.hasPrefix("[::1]") { return true }
        let host = authority.prefix { $0 != ":" }
        return host == "localhost"
            || (host.hasPrefix("127.") && host.split(separator: ".").count == 4
                && host.allSatisfy { $0.isNumber || $0 == "." })
    }
}
