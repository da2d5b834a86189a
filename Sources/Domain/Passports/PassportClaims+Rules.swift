extension PassportClaims {
    /// Whether a passport could carry these texts; for whoever registers an agent before its first passport.
    ///
    /// - Throws: `PassportReason` with `.malformed`, naming the member.
    public static func check(name: String, operatorName: String?, capabilities: [String]) throws(PassportReason) {
        _ = try PassportText.label(name, "agentName", limit: 128)
        if let operatorName { _ = try PassportText.label(operatorName, "operator", limit: 256) }
        _ = try PassportText.capabilities(capabilities)
    }
}
