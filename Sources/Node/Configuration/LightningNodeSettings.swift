internal import Encodings
internal import Foundation

/// Where the node's Lightning node is, and what opens its API.
public struct LightningNodeSettings: Sendable {
    /// Holds the secret itself, for where files are awkward; a file that is named wins.
    static let secretVariable = "MINTMARK_LIGHTNING_SECRET"
    private static let maximumSecretBytes = 16_384

    public var url: String
    /// A macaroon, rune, key or password; nil: it is in the environment.
    public var secretPath: String?
    /// The only certificate that is believed; nil: what the system believes.
    public var certificatePath: String?
    /// Not for showing.
    private let secretText: String?

    /// - Returns: nil where the backend is no node.
    /// - Throws: naming the setting that is missing.
    init?(
        _ values: ConfigurationValues,
        kind: NodeConfiguration.LightningKind,
        secret: String?
    ) throws(ConfigurationError) {
        guard kind != .simulated, kind != .none else {
            for key in [ConfigurationKey.lightningURL, .lightningSecretFile, .lightningCertificate]
            where values.text(key) != nil {
                throw ConfigurationError(
                    "\(key.rawValue) is set, but lightning.backend is \(kind.rawValue): set it to lnd, cln, lnbits or phoenixd"
                )
            }
            return nil
        }
        guard let url = values.text(.lightningURL) else {
            throw ConfigurationError(
                "lightning.backend is \(kind.rawValue), so lightning.url must say where it is, such as"
                    + " https://127.0.0.1:8080"
            )
        }
        secretPath = values.text(.lightningSecretFile)
        guard secretPath != nil || secret?.isEmpty == false else {
            throw ConfigurationError(
                "lightning.backend is \(kind.rawValue), so lightning.secretFile must name the file with its \(Self.name(kind)),"
                    + " or \(Self.secretVariable) hold it"
            )
        }
        self.url = url
        secretText = secret
        certificatePath = values.text(.lightningCertificate)
    }

    private static func name(_ kind: NodeConfiguration.LightningKind) -> String {
        switch kind {
        case .lnd: "macaroon"
        case .cln: "rune"
        case .lnbits: "admin key"
        default: "password"
        }
    }

    /// Which network the money is of: with a real node it must be said, as a mistake would cost real money.
    static func network(
        _ values: ConfigurationValues,
        for kind: NodeConfiguration.LightningKind
    ) throws(ConfigurationError) -> NodeConfiguration.Network {
        let network: NodeConfiguration.Network? = try values.choice(.network)
        guard kind != .simulated, kind != .none else {
            if let network, kind == .simulated, network != .simulated, network != .mainnet {
                throw ConfigurationError(
                    "network is \(network.rawValue), but lightning.backend is simulated, which is a network of its own:"
                        + " set network to simulated, or lightning.backend to a node on \(network.rawValue) (on mainnet,"
                        + " money is real)"
                )
            }
            return network ?? .simulated
        }
        guard let network, network != .simulated else {
            throw ConfigurationError(
                "lightning.backend is \(kind.rawValue), so network must say which network it is on: mainnet (real money),"
                    + " testnet, signet or regtest"
            )
        }
        return network
    }

    /// phoenixd pays 4 sat and 0.4 %, which 1 % covers from 7 sat on.
    static func leastReserveSat(_ kind: NodeConfiguration.LightningKind) -> Int64 { kind == .phoenixd ? 7 : 2 }

    /// Reads the secret. A binary macaroon comes out as hex.
    /// - Throws: naming the file, never what is in it.
    func secret() throws(ConfigurationError) -> String {
        guard let secretPath else {
            return (secretText ?? "").trimmingCharacters(in: .whitespacesAndNewlines)
        }
        guard let data = FileManager.default.contents(atPath: secretPath) else {
            throw ConfigurationError(
                "lightning.secretFile: \(secretPath) cannot be read: check its path, owner and mode"
            )
        }
        guard (1...Self.maximumSecretBytes).contains(data.count) else {
            throw ConfigurationError("lightning.secretFile: \(secretPath) is empty or larger than 16 KiB")
        }
        let isText = data.allSatisfy { (0x20...0x7E).contains($0) || $0 == 0x0A || $0 == 0x0D || $0 == 0x09 }
        guard isText else { return Hex.encode([UInt8](data)) }
        return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Whether others on this machine may read the file.
    var isSecretOpen: Bool {
        guard let secretPath,
            let mode = try? FileManager.default.attributesOfItem(atPath: secretPath)[.posixPermissions] as? Int
        else { return false }
        return mode & 0o077 != 0
    }
}
