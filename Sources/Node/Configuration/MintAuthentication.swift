internal import Cashu
internal import Mint

/// Who may use the node's mint (NUT-21, NUT-22), as it is configured.
public struct MintAuthenticationSettings: Sendable, Equatable {
    /// The OpenID Connect issuer's discovery document.
    public var discoveryURL: String
    public var clientID: String
    /// Endpoints such as `POST /v1/swap`, with a `*` at the end for all that begin so.
    public var clearPaths: [String]
    public var blindPaths: [String]
    public var maximumTokens: Int
    public var tokensPerHour: Int

    /// Nil where no issuer is named: the mint is everyone's.
    init?(_ values: ConfigurationValues) throws(ConfigurationError) {
        let keys: [ConfigurationKey] = [
            .mintAuthClientID, .mintClearAuthPaths, .mintBlindAuthPaths, .mintBlindAuthMaximum, .mintBlindAuthPerHour,
        ]
        guard let discoveryURL = values.text(.mintAuthDiscovery) else {
            if let lost = keys.first(where: { values.text($0) != nil }) {
                throw ConfigurationError(
                    "\(lost.rawValue) is set, but no issuer: set mint.authDiscovery to its discovery address"
                )
            }
            return nil
        }
        guard let clientID = values.text(.mintAuthClientID) else {
            throw ConfigurationError("mint.authDiscovery needs mint.authClientID, the client that wallets log in as")
        }
        self.discoveryURL = discoveryURL
        self.clientID = clientID
        clearPaths = try Self.endpoints(values, .mintClearAuthPaths) ?? ["POST /v1/auth/blind/mint"]
        blindPaths = try Self.endpoints(values, .mintBlindAuthPaths) ?? []
        maximumTokens = Int(try values.number(.mintBlindAuthMaximum, in: 1...1000) ?? 50)
        tokensPerHour = Int(try values.number(.mintBlindAuthPerHour, in: 1...1_000_000) ?? 1000)
    }

    func settings() throws -> MintConfiguration.Authentication {
        MintConfiguration.Authentication(
            discoveryURL: discoveryURL,
            clientID: clientID,
            clear: try clearPaths.map { try ProtectedEndpoint($0) },
            blind: try blindPaths.map { try ProtectedEndpoint($0) },
            maximumTokens: maximumTokens,
            tokensPerHour: tokensPerHour
        )
    }

    private static func endpoints(
        _ values: ConfigurationValues,
        _ key: ConfigurationKey
    ) throws(ConfigurationError) -> [String]? {
        guard values.text(key) != nil else { return nil }
        let list = values.list(key)
        for text in list where (try? ProtectedEndpoint(text)) == nil {
            throw ConfigurationError(
                "\(key.rawValue): \(text) is not a method and a path of the mint, such as POST /v1/swap or GET /v1/mint/*"
            )
        }
        return list
    }
}
