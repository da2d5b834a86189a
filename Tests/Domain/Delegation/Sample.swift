import Cryptography
import Delegation
import Encodings
import SignedDocuments

/// A node that lets a planner spend, which lets a worker spend, which lets a helper spend.
enum Sample {
    static let now = Timestamp(secondsSince1970: 1_800_000_000)
    static let keys: [Ed25519.PrivateKey] = (0..<6).compactMap { index in
        try? Ed25519.PrivateKey(seed: [UInt8](repeating: UInt8(index + 1), count: 32))
    }
    static var dids: [DIDKey] { keys.map { DIDKey($0.publicKey) } }
    static let target = "http://127.0.0.1:8402/s/weather/today"
    static let digest = Hashing.sha256([])

    static func accounting() throws -> AccountingNode { try AccountingNode(did: dids[0], url: "http://127.0.0.1:8402") }

    static func link(
        _ from: Int,
        _ to: Int,
        command: String = "/pay",
        subject: Int? = 0,
        limits: PaymentLimits = PaymentLimits(perCall: 100, unit: "sat", depth: 3),
        budget: UInt64? = nil,
        notBefore: Timestamp? = nil,
        expires: Timestamp? = now.adding(seconds: 3600),
        names accounting: AccountingNode? = nil
    ) throws -> Delegation {
        try Delegation.issue(
            by: keys[from],
            to: dids[to],
            subject: subject.map { dids[$0] },
            command: Command(command),
            policy: limits.policy(),
            notBefore: notBefore,
            expires: expires,
            terms: ProfileTerms(
                budget: try budget.map { try Budget($0, unit: "sat") },
                accounting: try accounting ?? (from == 0 ? Self.accounting() : nil)
            ),
            nonce: [UInt8](repeating: UInt8(16 * from + to), count: 12)
        )
    }

    /// 0 → 1 → 2 → 3, with a budget on each.
    static func links() throws -> [Delegation] {
        [
            try link(0, 1, budget: 1000), try link(1, 2, command: "/pay/call", budget: 500),
            try link(2, 3, command: "/pay/call", budget: 200),
        ]
    }

    static func arguments(_ amount: UInt64 = 2, depth: Int = 3) -> CallArguments {
        CallArguments(
            amount: amount,
            unit: "sat",
            depth: depth,
            method: "GET",
            target: target,
            digest: digest,
            call: [UInt8](repeating: 7, count: 32)
        )
    }

    static func invocation(
        by actor: Int = 3,
        _ links: [Delegation],
        arguments: CallArguments? = nil,
        subject: Int = 0,
        recipient: Int? = nil,
        command: Command = .paidCall,
        proofs: [CID]? = nil,
        expires: Timestamp? = now.adding(seconds: 300)
    ) throws -> Invocation {
        try Invocation.issue(
            by: keys[actor],
            subject: dids[subject],
            recipient: recipient.map { dids[$0] },
            command: command,
            arguments: (arguments ?? Self.arguments(depth: links.count)).pairs,
            proofs: proofs ?? links.map(\.cid),
            expires: expires,
            nonce: [UInt8](repeating: 9, count: 12)
        )
    }

    static func rules(_ change: (inout ChainRules) -> Void = { _ in }) -> ChainRules {
        var rules = ChainRules(now: now, trustedRoots: [dids[0]])
        change(&rules)
        return rules
    }

    /// The code with which a chain is refused; nil where it is good.
    static func code(
        _ links: [Delegation],
        _ invocation: Invocation? = nil,
        _ rules: ChainRules = rules()
    ) -> DelegationError.Code? {
        do throws(DelegationError) {
            if let invocation {
                try DelegationChain(links).verify(invocation, rules)
            } else {
                try DelegationChain(links).verify(rules)
            }
            return nil
        } catch {
            return error.code
        }
    }
}
