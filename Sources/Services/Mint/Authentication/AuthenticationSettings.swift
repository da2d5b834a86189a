public import Cashu

extension MintConfiguration {
    /// Who may use the mint (NUT-21, NUT-22). Without it, everyone.
    public struct Authentication: Sendable, Equatable {
        /// Ends with `/.well-known/openid-configuration`; https, or http on loopback.
        public var discoveryURL: String
        /// What wallets call themselves at the issuer; a token must be for it.
        public var clientID: String
        /// Endpoints that ask for a token of the issuer.
        public var clear: [ProtectedEndpoint]
        /// Endpoints that ask for a blind token; none: there are no blind tokens.
        public var blind: [ProtectedEndpoint]
        /// Blind tokens that one request mints.
        public var maximumTokens: Int
        /// Blind tokens that one user mints in an hour.
        public var tokensPerHour: Int

        public init(
            discoveryURL: String,
            clientID: String,
            clear: [ProtectedEndpoint],
            blind: [ProtectedEndpoint] = [],
            maximumTokens: Int = 50,
            tokensPerHour: Int = 1000
        ) {
            self.discoveryURL = discoveryURL
            self.clientID = clientID
            self.clear = clear
            self.blind = blind
            self.maximumTokens = maximumTokens
            self.tokensPerHour = tokensPerHour
        }

        static let mintPath = "/v1/auth/blind/mint"
        static let discoverySuffix = "/.well-known/openid-configuration"

        /// Refuses what would lock everybody out, or nobody.
        func validate() throws(MintSetupError) {
            guard discoveryURL.hasSuffix(Self.discoverySuffix), OpenIDIssuer.isSafe(discoveryURL) else {
                throw setupError(
                    "the OpenID discovery address must end with \(Self.discoverySuffix) and be https (http on loopback only)"
                )
            }
            guard (1...256).contains(clientID.utf8.count) else {
                throw setupError("the OpenID client id must have 1 to 256 characters")
            }
            guard (1...CashuLimits.arrayLength).contains(maximumTokens), tokensPerHour >= maximumTokens else {
                throw setupError(
                    "blind tokens: 1 to \(CashuLimits.arrayLength) at once, and per hour no fewer than that"
                )
            }
            // Where a wallet learns what it needs to get in.
            for path in ["/v1/info", "/v1/auth/blind/keys", "/v1/auth/blind/keysets"] {
                if let endpoint = (clear + blind).first(where: { $0.matches(method: "GET", path: path) }) {
                    throw setupError("\(endpoint) would hide \(path), without which no wallet gets in")
                }
            }
            if let endpoint = blind.first(where: { $0.matches(method: "POST", path: Self.mintPath) }) {
                throw setupError("\(endpoint) would ask for a blind token to get a blind token")
            }
            if !blind.isEmpty, !clear.contains(where: { $0.matches(method: "POST", path: Self.mintPath) }) {
                throw setupError("blind tokens would be for everyone: protect POST \(Self.mintPath) with clear tokens")
            }
            if clear.isEmpty {
                throw setupError("an OpenID issuer is configured, but no endpoint asks for its tokens")
            }
        }

        private func setupError(_ message: String) -> MintSetupError { MintSetupError(.configuration, message) }
    }
}
