internal import AsyncHTTPClient
internal import Identity
internal import Lightning
internal import LightningBackends
internal import Logging
internal import SignedDocuments
internal import Storage

/// The node's way to a Lightning network: its mint's account, and its wallet's where it has one.
///
/// The wallet pays the mint's invoices, and nobody pays himself over Lightning. On the simulated network they are two
/// accounts. A real node is the mint's alone: the wallet has none, so that funding it shows an invoice to pay from
/// elsewhere. What the mint is asked to pay of its own it settles inside; an invoice that its Lightning node made for
/// others than the mint is refused as a self-payment, at once.
struct NodeLightning: Sendable {
    let mint: any LightningBackend
    let wallet: (any LightningBackend)?
    /// For people.
    let shown: String
    private let simulated: SimulatedAccounts?
    private let client: HTTPClient?
    private let logger: Logger

    /// - Throws: where the settings cannot work, or the node is on another network than they say.
    init?(
        _ configuration: NodeConfiguration,
        nodeKeys: NodeKeys,
        database: Database,
        logger: Logger
    ) async throws {
        self.logger = logger
        if configuration.lightning == .simulated {
            let accounts = try await SimulatedAccounts(
                url: configuration.simulatedLightningURL,
                name: String(nodeKeys.node.did.string.suffix(24)),
                database: database,
                logger: logger
            )
            (mint, wallet, simulated, client) = (accounts.mint, accounts.wallet, accounts, nil)
            shown = accounts.mint.network.testMoneyNotice ?? ""
            await prepare()
            return
        }
        guard let settings = configuration.lightningNode,
            let network = LightningNetwork(rawValue: configuration.network.rawValue)
        else { return nil }
        if settings.isSecretOpen {
            logger.warning(
                "others on this machine can read the Lightning node's secret: chmod 600 it",
                metadata: ["file": "\(settings.secretPath ?? "")"]
            )
        }
        let secret = try settings.secret()
        let client = try NodeAccess.httpClient(certificatePath: settings.certificatePath)
        do {
            let access = try NodeAccess(
                url: settings.url,
                secret: secret,
                network: network,
                httpClient: client,
                clock: .system,
                logger: logger
            )
            mint = try Self.backend(configuration.lightning, access)
        } catch {
            try? await client.shutdown()
            throw error
        }
        wallet = nil
        simulated = nil
        self.client = client
        let notice = network.testMoneyNotice.map { ", " + $0 } ?? ""
        shown = "\(configuration.lightning.rawValue) on \(network.rawValue) at \(settings.url)\(notice)"
        do {
            try await mint.checkNetwork()
        } catch let error where error.code == .networkMismatch || error.code == .unauthorized {
            try? await client.shutdown()
            throw error
        } catch {
            logger.warning(
                "the Lightning node cannot be asked now; the node starts without it and tries again",
                metadata: ["error": "\(error)"]
            )
        }
    }

    private static func backend(
        _ kind: NodeConfiguration.LightningKind,
        _ access: NodeAccess
    ) throws -> any LightningBackend {
        switch kind {
        case .lnd: try LNDBackend(access)
        case .cln: CoreLightningBackend(access)
        case .lnbits: LNbitsBackend(access)
        case .phoenixd: PhoenixdBackend(access)
        case .simulated, .none:
            throw ConfigurationError("lightning.backend \(kind.rawValue) is no Lightning node")
        }
    }

    /// Does what could not be done at the start, where the network was not there yet.
    func prepare() async {
        if let simulated {
            await simulated.openAccounts()
            return
        }
        do {
            try await mint.checkNetwork()
        } catch {
            logger.warning("the Lightning node does not answer as it should", metadata: ["error": "\(error)"])
        }
    }

    func shutdown() async {
        await simulated?.shutdown()
        try? await client?.shutdown()
    }
}
