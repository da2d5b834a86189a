internal import AuditLog
internal import Configuration
public import Foundation
internal import Identity
internal import Market
internal import NIOCore
internal import NIOPosix
internal import SignedDocuments

/// A configuration that a node refuses to start with, in a sentence that says what to change.
public struct ConfigurationError: Error, Sendable, CustomStringConvertible {
    public let message: String
    public var description: String { message }

    public init(_ message: String) {
        self.message = message
    }
}

/// Everything an operator can set, each by flag, by environment (`MINTMARK_HTTP_PORT` for `http.port`) or in
/// `config.json` of the data directory, in that order of precedence.
public struct NodeConfiguration: Sendable {
    /// Which Lightning network the node's money is of. All but `mainnet` are test money.
    public enum Network: String, Sendable, CaseIterable { case simulated, mainnet, testnet, signet, regtest }
    public enum LightningKind: String, Sendable, CaseIterable { case simulated, none, lnd, cln, lnbits, phoenixd }
    public enum LogFormat: String, Sendable, CaseIterable { case text, json }

    public var dataDirectory: String
    public var host: String
    public var port: Int
    /// How others reach the node, without a slash at the end; links in credentials and receipts begin with it.
    public var publicURL: String
    public var tlsCertificatePath: String?
    public var tlsKeyPath: String?
    /// The proxy that speaks TLS for the node, where the node itself listens beyond loopback without it.
    public var behindProxy: String?
    /// Connections at once on the public address; nil: half of what the process may open, at most 2048.
    public var maximumConnections: Int?
    /// How long a client may take over the head of a request, in seconds.
    public var headSeconds: Int64
    /// Where upstreams of services may stand; empty for everywhere that services stand.
    public var upstreamNetworks: [String]
    /// Where the gateway gets rates from beside `mint.rates`; nil where it asks nobody.
    public var rates: RateSettings?
    public var network: Network
    public var lightning: LightningKind
    public var simulatedLightningURL: String
    /// Of a real Lightning node, and what it takes to reach it; nil without one.
    public var lightningNode: LightningNodeSettings?
    /// What a melt sets aside for routing: this many thousandths of the amount, and this many sat at least.
    public var feeReservePermille: UInt64
    public var feeReserveSat: UInt64
    public var isMintEnabled: Bool
    public var mintName: String
    /// Input fee of the mint's keysets, thousandths of a unit per proof (NUT-02).
    public var mintInputFeePPK: UInt64
    /// The units the mint deals in, such as `sat`, `msat` and `usd`.
    public var mintUnits: [String]
    /// What one unit is worth in millisatoshis, by unit, where it is neither `sat` nor `msat`.
    public var mintRates: [String: UInt64]
    /// How many days a keyset signs before another takes its place; nil: until the operator rotates it.
    public var mintRotateDays: Int64?
    /// How many days from its making a keyset is redeemed; nil: for ever.
    public var mintKeysetDays: Int64?
    /// Who may use the mint; nil: everyone.
    public var mintAuthentication: MintAuthenticationSettings?
    /// How many hours an epoch of the mint's proof of liabilities lasts; nil: until the operator ends it.
    public var mintEpochHours: Int64?
    /// Mints whose ecash the node's services take; its own is always among them where it is on.
    public var acceptedMints: [String]
    /// How much ecash, in sat, may lie accepted but not yet redeemed at one mint.
    public var offlineCap: UInt64
    public var redeemWithinSeconds: Int64
    public var passportLifetimeSeconds: Int64
    /// How agents that come by themselves are registered.
    var registration: RegistrationPolicy
    /// Whose key directories are fetched, for callers who sign in the Web Bot Auth profile.
    var signatureAgents: SignatureAgentPolicy
    /// How old a status list may be before a call that needs it is refused.
    public var statusMaximumAgeSeconds: Int64
    /// How long tokens that are locked to a seller stay locked.
    public var walletLockSeconds: Int64
    /// What the wallet may pay with on EVM chains, and what units are worth to it.
    var walletEVM: WalletEVMSettings
    /// Where x402 payments are settled; nil: the node is no facilitator.
    var settlement: SettlementSettings?
    /// The identity registry that agents are registered in; nil: none.
    var anchor: AnchorSettings?
    /// How the node meets others; nil: not at all.
    var gossip: GossipSettings?
    /// How often listings are probed; 0: never.
    var probesPerHour: Int
    /// What listed services are bought of to see what customers get, in satoshi a day; 0: nothing.
    var canaryBudget: UInt64
    /// Whether others are told what the probes showed.
    var sharesProbes: Bool
    /// How fast this node decides the disputes of others; nil: it decides none.
    var arbiterSeconds: UInt64?
    /// Whom the operator trusts beforehand as sellers and buyers.
    var reputationSeeds: Set<DIDKey>
    /// Whether this node tells everybody what it has sold.
    var isReputationPublic: Bool
    /// Whether this node publishes the receipts of what it buys, with what it says of them.
    var publishesReceipts: Bool
    /// The socket of the vault that has the issuer's and the mint's keys; nil: where the key file says.
    var vaultSocket: String?
    /// Who is asked to cosign the transparency log's checkpoints.
    var logWitnesses: [LogWitness]
    public var logLevel: String
    public var logFormat: LogFormat

    /// Whether `host` is this machine alone.
    public var isLoopback: Bool { Self.isLoopback(host) }

    public static func isLoopback(_ host: String) -> Bool {
        host == "localhost" || host == "::1" || (host.hasPrefix("127.") && host.split(separator: ".").count == 4)
    }

    /// Where a node lives when nothing else is said: `$MINTMARK_DATA`, else `~/.mintmark`.
    public static func defaultDataDirectory(environment: [String: String] = ProcessInfo.processInfo.environment)
        -> String
    {
        if let path = environment["MINTMARK_DATA"], !path.isEmpty { return path }
        return (environment["HOME"] ?? ".") + "/.mintmark"
    }

    /// Reads the three layers.
    /// - Parameters:
    ///   - flags: what stood on the command line, by key (`http.port`).
    ///   - environment: of the process.
    /// - Throws: `ConfigurationError` naming the key and where its value came from.
    public static func load(
        dataDirectory: String,
        flags: [String: String] = [:],
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(ConfigurationError) -> NodeConfiguration {
        let values = ConfigurationValues(
            reader: ConfigReader(providers: [
                ConfigurationFile.provider(named: "flags", values: flags),
                EnvironmentVariablesProvider(environmentVariables: environment).prefixKeys(with: "mintmark"),
                ConfigurationFile.provider(
                    named: "config.json",
                    values: try ConfigurationFile.read(dataDirectory + "/config.json")
                ),
            ])
        )
        for key in flags.keys where !ConfigurationKey.isKnown(key) {
            throw ConfigurationError("there is no setting named \(key)")
        }
        let configuration = try NodeConfiguration(
            values,
            dataDirectory: dataDirectory,
            lightningSecret: environment[LightningNodeSettings.secretVariable]
        )
        try configuration.validate()
        return configuration
    }

    private init(
        _ values: ConfigurationValues,
        dataDirectory: String,
        lightningSecret: String?
    ) throws(ConfigurationError) {
        self.dataDirectory = dataDirectory
        host = values.text(.host) ?? "127.0.0.1"
        port = Int(try values.number(.port, in: 0...65535) ?? 8402)
        tlsCertificatePath = values.text(.tlsCertificate)
        tlsKeyPath = values.text(.tlsKey)
        behindProxy = values.text(.behindProxy)
        maximumConnections = try values.number(.maximumConnections, in: 8...65_536).map { Int($0) }
        headSeconds = try values.number(.headSeconds, in: 1...120) ?? 10
        upstreamNetworks = values.list(.upstreamNetworks)
        rates = try RateSettings(values)
        let backend = try values.choice(.lightningBackend) ?? LightningKind.simulated
        lightning = backend
        network = try LightningNodeSettings.network(values, for: backend)
        simulatedLightningURL = values.text(.simulatedLightningURL) ?? "http://127.0.0.1:8499"
        lightningNode = try LightningNodeSettings(values, kind: backend, secret: lightningSecret)
        feeReservePermille = UInt64(try values.number(.feeReservePermille, in: 0...1000) ?? 10)
        feeReserveSat = UInt64(
            try values.number(.feeReserveSat, in: 0...1_000_000) ?? LightningNodeSettings.leastReserveSat(backend)
        )
        isMintEnabled = try values.flag(.mintEnabled) ?? true
        mintName = values.text(.mintName) ?? "mintmark"
        mintInputFeePPK = UInt64(try values.number(.mintInputFeePPK, in: 0...100_000) ?? 0)
        mintUnits = try MintUnitSettings.units(values.list(.mintUnits))
        mintRates = try MintUnitSettings.rates(values.list(.mintRates), units: mintUnits)
        let rotateDays = try values.number(.mintRotateDays, in: 0...3650) ?? 0
        let epochHours = try values.number(.mintEpochHours, in: 0...8760) ?? 24
        mintEpochHours = epochHours == 0 ? nil : epochHours
        let keysetDays = try values.number(.mintKeysetDays, in: 0...36_500) ?? 0
        mintRotateDays = rotateDays == 0 ? nil : rotateDays
        mintKeysetDays = keysetDays == 0 ? nil : keysetDays
        mintAuthentication = try MintAuthenticationSettings(values)
        acceptedMints = values.list(.acceptedMints)
        offlineCap = UInt64(try values.number(.offlineCap, in: 0...Int64.max) ?? 10_000)
        redeemWithinSeconds = try values.number(.redeemWithinSeconds, in: 1...86_400) ?? 600
        passportLifetimeSeconds = (try values.number(.passportLifetimeHours, in: 1...720) ?? 24) * 3600
        registration = try Self.registration(values)
        signatureAgents = try Self.signatureAgents(values.list(.signatureAgents))
        statusMaximumAgeSeconds = try values.number(.statusMaximumAgeSeconds, in: 0...86_400) ?? 60
        walletLockSeconds = (try values.number(.walletLockHours, in: 2...720) ?? 6) * 3600
        settlement = try SettlementSettings(values)
        anchor = try AnchorSettings(values, settlement: settlement)
        walletEVM = try WalletEVMSettings(values, mintRates: mintRates, settlement: settlement)
        gossip = try GossipSettings(values)
        probesPerHour = Int(try values.number(.marketProbesPerHour, in: 0...Int64(ProbePlan.maximumPerHour)) ?? 60)
        canaryBudget = UInt64(try values.number(.marketCanaryBudget, in: 0...1_000_000) ?? 0)
        sharesProbes = try values.flag(.marketShareProbes) ?? true
        arbiterSeconds = try values.number(.marketArbiterSeconds, in: 60...604_800).map(UInt64.init)
        reputationSeeds = try values.nodes(.reputationSeeds, atMost: 64)
        isReputationPublic = try values.flag(.reputationPublic) ?? false
        publishesReceipts = try values.flag(.reputationPublish) ?? false
        vaultSocket = values.text(.vault)
        logWitnesses = try Self.witnesses(values.list(.logWitnesses))
        logLevel = values.text(.logLevel) ?? "info"
        logFormat = try values.choice(.logFormat) ?? .text
        let scheme = tlsCertificatePath == nil ? "http" : "https"
        let shownHost = host.contains(":") ? "[\(host)]" : host
        publicURL = values.text(.publicURL) ?? "\(scheme)://\(shownHost):\(port)"
        while publicURL.hasSuffix("/") { publicURL.removeLast() }
    }

    /// What must never be run, whatever the layers say.
    private func validate() throws(ConfigurationError) {
        if !isLoopback, tlsCertificatePath == nil, behindProxy == nil {
            throw ConfigurationError(
                "\(host) can be reached from elsewhere, so the node needs TLS there: set http.tlsCertificate and"
                    + " http.tlsKey, or http.behindProxy to the proxy that speaks TLS for it"
            )
        }
        if (tlsCertificatePath == nil) != (tlsKeyPath == nil) {
            throw ConfigurationError("http.tlsCertificate and http.tlsKey go together: set both or neither")
        }
        if let mintKeysetDays, mintRotateDays.map({ mintKeysetDays <= $0 }) ?? true {
            throw ConfigurationError(
                "mint.keysetDays is \(mintKeysetDays), so mint.rotateDays must be set, and shorter: a keyset is followed by"
                    + " another before its ecash stops being redeemed"
            )
        }
        if network == .mainnet, lightning == .simulated {
            throw ConfigurationError(
                "lightning.backend is simulated, which is TEST MONEY, but network is mainnet: set network to"
                    + " simulated, or lightning.backend to none"
            )
        }
        if publishesReceipts, gossip == nil {
            throw ConfigurationError(
                "reputation.publish tells others by gossip, which is turned off: set gossip.enabled=true, or"
                    + " reputation.publish=false"
            )
        }
        guard publicURL.hasPrefix("http://") || publicURL.hasPrefix("https://"), publicURL.utf8.count <= 256 else {
            throw ConfigurationError("http.publicURL must begin with http:// or https:// (\(publicURL))")
        }
        for (key, url) in [(ConfigurationKey.simulatedLightningURL, simulatedLightningURL)]
            + acceptedMints.map({ (.acceptedMints, $0) })
        where !url.hasPrefix("http://") && !url.hasPrefix("https://") {
            throw ConfigurationError("\(key.rawValue): \(url) is not an http or https address")
        }
    }
}

extension NodeConfiguration {
    /// Every setting's name, for help texts.
    public static var settingNames: [String] { ConfigurationKey.allCases.map(\.rawValue) }

    /// Where the system may choose the port, chooses it now, because the node's own address stands in what it signs.
    mutating func settlePort() async throws {
        guard port == 0 else { return }
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .bind(host: host, port: 0).get()
        port = channel.localAddress?.port ?? 0
        try await channel.close()
        if publicURL.hasSuffix(":0") { publicURL = String(publicURL.dropLast(1)) + String(port) }
    }

    /// Where the node's own mint stands.
    var ownMintURL: String { publicURL + "/mint" }

    /// The mints whose ecash the node's services take, its own first.
    var allAcceptedMints: [String] {
        (isMintEnabled && lightning != .none ? [ownMintURL] : []) + acceptedMints.filter { $0 != ownMintURL }
    }

    /// Hosts besides loopback that the wallet may reach over plain http: only the node's own, where a proxy speaks TLS
    /// for it.
    var plainHTTPHosts: Set<String> {
        guard behindProxy != nil, let host = publicURL.split(separator: "/").dropFirst().first else { return [] }
        return [String(host.split(separator: ":").first ?? host)]
    }
}
