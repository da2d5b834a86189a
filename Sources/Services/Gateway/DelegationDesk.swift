import Budgets
import Cryptography
import Delegation
import Encodings
import HTTPTypes
import SignedDocuments

/// Checks the chains that callers show, offline, for a seller.
struct DelegationDesk: Sendable {
    /// The seller, whom invocations may name as their recipient.
    let did: DIDKey
    /// What this node knows to be taken back; nil where it keeps no such list.
    let office: BudgetOffice?
    let clock: WallClock

    /// - Parameters:
    ///   - header: the value of `Agent-Delegation`.
    ///   - caller: who signed the request, over that field among others.
    ///   - digest: SHA-256 of the body.
    func check(
        _ header: String,
        caller: CallerIdentity,
        method: String,
        targetURI: String,
        digest: [UInt8],
        requirement: DelegationRequirement?
    ) async throws(CallerRefusal) -> CallerDelegation {
        do throws(DelegationError) {
            let call = try DelegatedCall(header: header)
            guard let did = try? DIDKey(parsing: caller.did) else {
                throw DelegationError(.unsupportedSignature, "the caller is no did:key")
            }
            let roots = requirement.map { Set($0.trustedRoots.compactMap { try? DIDKey(parsing: $0) }) } ?? []
            var rules = ChainRules(
                now: clock.now(),
                trustedRoots: roots.isEmpty ? nil : roots,
                recipient: self.did
            )
            if let office {
                let revoked: (cids: Set<CID>, keys: Set<DIDKey>)
                do {
                    revoked = try await office.revoked(in: call.chain)
                } catch {
                    throw DelegationError(.revoked, "what was taken back can't be read now: ask again shortly")
                }
                rules.isRevoked = { revoked.cids.contains($0) }
                rules.isKeyRevoked = { revoked.keys.contains($0) }
            }
            let issuer = caller.passportIssuer.flatMap { try? DIDKey(parsing: $0) }
            let assurance = try call.verify(
                caller: did,
                method: method,
                target: targetURI,
                digest: digest,
                rules: rules,
                requiresTicket: requirement?.requiresTicket ?? false,
                passportIssuer: issuer
            )
            await office?.note(call.chain)
            let arguments = try CallArguments(call.invocation.arguments)
            return CallerDelegation(
                chain: call.chain.cids.map(\.description),
                ticket: call.ticket?.id,
                checked: assurance.rawValue,
                amount: arguments.amount,
                unit: arguments.unit,
                key: Hashing.sha256(Array("\(caller.did) \(Hex.encode(arguments.call))".utf8)),
                invocation: call.invocation.bytes
            )
        } catch {
            throw Self.refusal(error)
        }
    }

    static func refusal(_ error: DelegationError) -> CallerRefusal {
        let link = error.link.map { " (link \($0))" } ?? ""
        return CallerRefusal(
            status: error.problemStatus,
            code: error.code.rawValue,
            message: "The delegation does not hold\(link): \(error.message). Nothing was taken.",
            reasons: [error.code.rawValue]
        )
    }

    static let required = CallerRefusal(
        status: 401,
        code: "delegation-required",
        message:
            "This service asks for a chain of delegations in Agent-Delegation, and a signed request. Nothing was taken."
    )

    static let unsigned = CallerRefusal(
        status: 401,
        code: "delegation-unsigned",
        message: "Agent-Delegation is there, and the request is not signed by whom it was given to. Nothing was taken."
    )
}

extension BodyFact {
    /// What an invocation must name; one that is not known is nobody's.
    var delegatedDigest: [UInt8] {
        switch self {
        case .none: IntakeBody.emptyDigest
        case .digest(let digest), .promised(let digest): digest
        case .unread: []
        }
    }
}

extension IncomingCall {
    private static let name = HTTPField.Name(DelegatedCall.headerName)

    /// The value of `Agent-Delegation`; nil where there is none.
    func delegationHeader() throws(CallerRefusal) -> String? {
        guard let name = Self.name else { return nil }
        let values = headers[values: name]
        guard values.count <= 1 else {
            throw CallerRefusal(status: 400, code: "malformed", message: "Agent-Delegation is there twice.")
        }
        return values.first
    }
}
