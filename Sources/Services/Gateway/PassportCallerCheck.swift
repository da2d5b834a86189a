internal import HTTPSignatures
public import Identity
internal import Passports
import SignedDocuments

/// Who calls, by RFC 9421 signatures and passports: the adapter over the identity service's gate.
public struct PassportCallerCheck: CallerCheck {
    private let gate: PassportGate

    public init(_ gate: PassportGate) {
        self.gate = gate
    }

    public func check(_ facts: CallFacts, requirement: PassportRequirement?) async -> CallerVerdict {
        var issuers: Set<DIDKey> = []
        for text in requirement?.trustedIssuers ?? [] {
            // One that can't be read trusts nobody.
            if let issuer = try? DIDKey(parsing: text) { issuers.insert(issuer) }
        }
        let rules = CallerRules(
            requiresPassport: requirement != nil,
            trustedIssuers: issuers,
            requiredCapabilities: requirement?.capability.map { [$0] } ?? [],
            maximumStatusAgeSeconds: requirement?.maximumStatusAgeSeconds
        )
        let request = RequestFacts(
            method: facts.method,
            targetURI: facts.targetURI,
            headers: facts.headers,
            hasBody: facts.body != .none
        )
        switch await gate.check(request, rules: rules) {
        case .anonymous:
            return .anonymous
        case .known(let caller):
            var identity = CallerIdentity(
                did: caller.did.string,
                agentID: caller.agentID,
                passportID: caller.passport?.id,
                passportIssuer: caller.passport?.issuer.string
            )
            identity.keysURL = caller.keys?.identifier
            return .accepted(identity)
        case .refused(let status, let reasons):
            return .refused(
                CallerRefusal(
                    status: status,
                    code: reasons.first?.code.rawValue ?? "refused",
                    message: reasons.map(\.message).joined(separator: "; ") + ". Nothing was taken.",
                    reasons: reasons.map(\.code.rawValue)
                )
            )
        }
    }
}
