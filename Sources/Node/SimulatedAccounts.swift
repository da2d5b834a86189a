internal import AsyncHTTPClient
internal import Lightning
internal import LightningBackends
internal import Logging
internal import Storage

/// The node's two accounts at the simulated Lightning network: its mint's and its wallet's. They are two because the
/// wallet pays the mint's invoices, and nobody can pay himself over Lightning.
struct SimulatedAccounts: Sendable {
    let mint: SimulatedBackend
    let wallet: SimulatedBackend
    /// Their own, so that neither waits for a connection behind the wallet's calls to other mints.
    private let client: HTTPClient
    private let name: String
    private let url: String
    private let logger: Logger

    init(url: String, name: String, database: Database, logger: Logger) async throws {
        let client = HTTPClient(
            eventLoopGroupProvider: .singleton,
            configuration: SimulatedBackend.httpConfiguration
        )
        func backend(_ purpose: String) async throws -> SimulatedBackend {
            try SimulatedBackend(
                url: url,
                token: try await database.keep(SimulatedNetwork.newToken(), forKey: "lightning.simulated.\(purpose)"),
                httpClient: client,
                clock: .system,
                logger: logger
            )
        }
        do {
            mint = try await backend("mint")
            wallet = try await backend("wallet")
        } catch {
            try? await client.shutdown()
            throw error
        }
        self.client = client
        self.name = name
        self.url = url
        self.logger = logger
    }

    /// Opens the accounts where they are not open yet. A network that is not there is only noted: the node verifies,
    /// sells and takes ecash without it, and tries again.
    func openAccounts() async {
        do {
            try await mint.openAccount(name: "\(name) mint")
            try await wallet.openAccount(name: "\(name) wallet")
        } catch {
            logger.warning(
                "the Lightning simulator does not answer: start it with `mintmark lightning-simulator`",
                metadata: ["url": "\(url)", "error": "\(error)"]
            )
        }
    }

    func shutdown() async { try? await client.shutdown() }
}
