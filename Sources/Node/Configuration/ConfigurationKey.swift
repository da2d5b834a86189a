internal import CanonicalJSON
internal import Configuration
internal import Foundation
internal import SignedDocuments

/// The settings by their names in `config.json` (nested at the dots) and in the environment.
package enum ConfigurationKey: String, CaseIterable, Sendable {
    case host = "http.host"
    case port = "http.port"
    case publicURL = "http.publicURL"
    case tlsCertificate = "http.tlsCertificate"
    case tlsKey = "http.tlsKey"
    case behindProxy = "http.behindProxy"
    case maximumConnections = "http.maximumConnections"
    case headSeconds = "http.headSeconds"
    case upstreamNetworks = "gateway.upstreamNetworks"
    case rateSource = "gateway.rateSource"
    case rateUnits = "gateway.rateUnits"
    case rateMaximumAgeSeconds = "gateway.rateMaximumAgeSeconds"
    case rateMaximumChangePercent = "gateway.rateMaximumChangePercent"
    case network
    case lightningBackend = "lightning.backend"
    case simulatedLightningURL = "lightning.simulatedURL"
    case lightningURL = "lightning.url"
    case lightningSecretFile = "lightning.secretFile"
    case lightningCertificate = "lightning.tlsCertificate"
    case feeReservePermille = "lightning.feeReservePermille"
    case feeReserveSat = "lightning.feeReserveSat"
    case mintEnabled = "mint.enabled"
    case mintName = "mint.name"
    case mintInputFeePPK = "mint.inputFeePPK"
    case mintUnits = "mint.units"
    case mintRates = "mint.rates"
    case mintRotateDays = "mint.rotateDays"
    case mintKeysetDays = "mint.keysetDays"
    case mintAuthDiscovery = "mint.authDiscovery"
    case mintAuthClientID = "mint.authClientID"
    case mintClearAuthPaths = "mint.clearAuthPaths"
    case mintBlindAuthPaths = "mint.blindAuthPaths"
    case mintBlindAuthMaximum = "mint.blindAuthMaximum"
    case mintBlindAuthPerHour = "mint.blindAuthPerHour"
    case mintEpochHours = "mint.epochHours"
    case acceptedMints = "ecash.acceptedMints"
    case offlineCap = "ecash.offlineCap"
    case redeemWithinSeconds = "ecash.redeemWithinSeconds"
    case passportLifetimeHours = "passport.lifetimeHours"
    case registration = "agents.registration"
    case registrationCapabilities = "agents.registrationCapabilities"
    case registrationHourly = "agents.registrationsPerHour"
    case signatureAgents = "agents.signatureAgents"
    case statusMaximumAgeSeconds = "passport.statusMaximumAgeSeconds"
    case walletLockHours = "wallet.lockHours"
    case walletRates = "wallet.rates"
    case walletEVMAssets = "wallet.evmAssets"
    case walletEVMRPC = "wallet.evmRPC"
    case x402ChainURL = "x402.chainURL"
    case x402ChainID = "x402.chainID"
    case x402Tokens = "x402.tokens"
    case x402Payees = "x402.payees"
    case x402MaximumFeeGwei = "x402.maximumFeeGwei"
    case x402Confirmations = "x402.confirmations"
    case x402Assets = "x402.assets"
    case x402PayTo = "x402.payTo"
    case x402Facilitator = "x402.facilitator"
    case x402ReserveCaps = "x402.reserveCaps"
    case anchorRegistry = "anchor.registry"
    case anchorChainURL = "anchor.chainURL"
    case anchorChainID = "anchor.chainID"
    case anchorMaximumFeeGwei = "anchor.maximumFeeGwei"
    case anchorConfirmations = "anchor.confirmations"
    case gossipEnabled = "gossip.enabled"
    case gossipListen = "gossip.listen"
    case gossipAnnounce = "gossip.announce"
    case gossipBootstrap = "gossip.bootstrap"
    case gossipMDNS = "gossip.mdns"
    case gossipOutbound = "gossip.outbound"
    case gossipConnections = "gossip.connections"
    case gossipConnectionsPerAddress = "gossip.connectionsPerAddress"
    case gossipCacheMegabytes = "gossip.cacheMegabytes"
    case gossipTrustedIssuers = "gossip.trustedIssuers"
    case gossipEntryNodes = "gossip.entryNodes"
    case gossipMinimumPostage = "gossip.minimumPostage"
    case gossipEntry = "gossip.entry"
    case gossipEntryMaximum = "gossip.entryMaximum"
    case marketProbesPerHour = "market.probesPerHour"
    case marketCanaryBudget = "market.canaryBudget"
    case marketShareProbes = "market.shareProbes"
    case marketArbiterSeconds = "market.arbiterSeconds"
    case reputationSeeds = "reputation.seeds"
    case reputationPublic = "reputation.public"
    case reputationPublish = "reputation.publish"
    case vault = "keys.vault"
    case logWitnesses = "log.witnesses"
    case logLevel = "log.level"
    case logFormat = "log.format"

    static func isKnown(_ name: String) -> Bool { Self(rawValue: name) != nil }
}

/// Reads `config.json` strictly: a key that does not exist is an error, not a silence.
enum ConfigurationFile {
    private static let maximumBytes = 64 * 1024

    /// - Returns: the settings by key; none where the file is missing.
    static func read(_ path: String) throws(ConfigurationError) -> [String: String] {
        guard FileManager.default.fileExists(atPath: path) else { return [:] }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw ConfigurationError("\(path) cannot be read: check its owner and mode")
        }
        guard data.count <= maximumBytes else { throw ConfigurationError("\(path) is larger than 64 KiB") }
        let document: JSONValue
        do {
            document = try JSONValue.parse([UInt8](data))
        } catch {
            throw ConfigurationError("\(path) is not valid JSON: \(error)")
        }
        guard case .object(let object) = document else { throw ConfigurationError("\(path) must hold a JSON object") }
        var values: [String: String] = [:]
        try flatten(object, prefix: "", path: path, into: &values)
        return values
    }

    private static func flatten(
        _ object: JSONObject,
        prefix: String,
        path: String,
        into values: inout [String: String]
    ) throws(ConfigurationError) {
        for (name, value) in object {
            let key = prefix + name
            if case .object(let inner) = value {
                guard prefix.isEmpty else { throw ConfigurationError("\(path): there is no setting named \(key)") }
                try flatten(inner, prefix: name + ".", path: path, into: &values)
                continue
            }
            guard ConfigurationKey.isKnown(key) else {
                throw ConfigurationError("\(path): there is no setting named \(key)")
            }
            switch value {
            case .string(let text): values[key] = text
            case .integer(let number): values[key] = String(number)
            case .bool(let flag): values[key] = flag ? "true" : "false"
            case .array(let items):
                let texts = items.compactMap(\.stringValue)
                guard texts.count == items.count else { throw ConfigurationError("\(path): \(key) must list strings") }
                values[key] = texts.joined(separator: ",")
            default:
                throw ConfigurationError("\(path): \(key) must be text, a whole number, true, false or a list of text")
            }
        }
    }

    static func provider(named name: String, values: [String: String]) -> InMemoryProvider {
        var settings: [AbsoluteConfigKey: ConfigValue] = [:]
        for (key, value) in values {
            settings[AbsoluteConfigKey(key.split(separator: ".").map(String.init))] = ConfigValue(
                .string(value),
                isSecret: false
            )
        }
        return InMemoryProvider(name: name, values: settings)
    }
}

/// The layered values, read as text and parsed strictly, so that a typing error is said and not passed over.
struct ConfigurationValues {
    let reader: ConfigReader

    func text(_ key: ConfigurationKey) -> String? {
        guard let text = reader.string(forKey: ConfigKey(key.rawValue)), !text.isEmpty else { return nil }
        return text
    }

    func list(_ key: ConfigurationKey) -> [String] {
        (text(key) ?? "").split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
    }

    /// Nodes by the did:key that they issue with.
    func nodes(_ key: ConfigurationKey, atMost count: Int) throws(ConfigurationError) -> Set<DIDKey> {
        let texts = list(key).filter { !$0.isEmpty }
        guard texts.count <= count else { throw ConfigurationError("\(key.rawValue) lists at most \(count)") }
        var nodes: Set<DIDKey> = []
        for text in texts {
            guard let node = try? DIDKey(parsing: text), node.kind == .ed25519 else {
                throw ConfigurationError("\(key.rawValue) lists nodes such as did:key:z6Mk…, not \(text)")
            }
            nodes.insert(node)
        }
        return nodes
    }

    func number(_ key: ConfigurationKey, in range: ClosedRange<Int64>) throws(ConfigurationError) -> Int64? {
        guard let text = text(key) else { return nil }
        guard let number = Int64(text), range.contains(number) else {
            let bounds = "\(range.lowerBound) to \(range.upperBound)"
            throw ConfigurationError("\(key.rawValue) must be a whole number from \(bounds), not \(text)")
        }
        return number
    }

    func flag(_ key: ConfigurationKey) throws(ConfigurationError) -> Bool? {
        switch text(key)?.lowercased() {
        case nil: return nil
        case "true", "yes", "1": return true
        case "false", "no", "0": return false
        case .some(let other): throw ConfigurationError("\(key.rawValue) must be true or false, not \(other)")
        }
    }

    func choice<Choice: RawRepresentable & CaseIterable>(
        _ key: ConfigurationKey
    ) throws(ConfigurationError) -> Choice? where Choice.RawValue == String {
        guard let text = text(key) else { return nil }
        guard let choice = Choice(rawValue: text) else {
            let choices = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw ConfigurationError("\(key.rawValue) must be one of \(choices), not \(text)")
        }
        return choice
    }
}
