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
}
