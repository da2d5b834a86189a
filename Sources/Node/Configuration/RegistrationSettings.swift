internal import HTTPSignatures
internal import Identity
internal import Passports

extension NodeConfiguration {
    /// Reads `agents.registration` and what belongs to it.
    static func registration(_ values: ConfigurationValues) throws(ConfigurationError) -> RegistrationPolicy {
        var policy = RegistrationPolicy()
        policy.mode = try values.choice(.registration) ?? .off
        policy.capabilities = Set(values.list(.registrationCapabilities))
        policy.perAddressHourly = try values.number(.registrationHourly, in: 1...1_000_000) ?? policy.perAddressHourly
        policy.hourly = max(policy.hourly, policy.perAddressHourly)
        do {
            try PassportClaims.check(name: "agent", operatorName: nil, capabilities: policy.capabilities.sorted())
        } catch {
            throw ConfigurationError("agents.registrationCapabilities: \(error.message)")
        }
        return policy
    }

    /// Reads `agents.signatureAgents`: origins, or `*` for any.
    static func signatureAgents(_ list: [String]) throws(ConfigurationError) -> SignatureAgentPolicy {
        if list == ["*"] { return .any }
        var origins: Set<String> = []
        for text in list {
            do {
                origins.insert(try SignatureAgent(.directory, uri: text).origin)
            } catch {
                throw ConfigurationError("agents.signatureAgents: \(text): \(error.message), or * alone for any")
            }
        }
        return .origins(origins)
    }
}
