public import CanonicalJSON
internal import Cryptography
public import Delegation
public import Encodings
internal import Identity
public import SignedDocuments
public import Storage

/// Whose authority a root has at this node.
public struct RootAuthority: Sendable {
    /// The agent that the key is of; nil for the node's own.
    public var agentID: String?
    /// What that agent may spend in a period, over all sellers.
    public var limit: Budget?
    /// What it spent of that beside its delegations since a moment; read in the debit's transaction.
    public var elsewhere: Elsewhere?

    public typealias Elsewhere = @Sendable (_ since: Timestamp, Connection) throws -> UInt64

    public init(agentID: String? = nil, limit: Budget? = nil, elsewhere: Elsewhere? = nil) {
        self.agentID = agentID
        self.limit = limit
        self.elsewhere = elsewhere
    }
}

/// The accounting node of delegations: debits every link of a chain in one transaction, and signs a ticket for it.
/// `Specs/delegation.md` has the rules. The same serves an agent's spend limit over all sellers.
public final class BudgetOffice: Sendable {
    /// How long a ticket is good for, in seconds.
    public static let ticketSeconds: Int64 = 300

    let database: Database
    let past: BudgetPast
    private let signer: DocumentSigner
    private let clock: WallClock
    private let authority: @Sendable (DIDKey) async throws -> RootAuthority?

    /// - Parameters:
    ///   - database: with ``BudgetTables/migrations`` and the identity service's.
    ///   - signer: the node's key; roots that name it have their account here.
    ///   - limits: how many debits are kept, and how long.
    ///   - authority: what a key is at this node; nil where it is nobody, and then no account is opened for it.
    public init(
        database: Database,
        signer: DocumentSigner,
        clock: WallClock,
        limits: BudgetLimits = BudgetLimits(),
        authority: @escaping @Sendable (DIDKey) async throws -> RootAuthority?
    ) {
        self.database = database
        past = BudgetPast(limits)
        self.signer = signer
        self.clock = clock
        self.authority = authority
    }

    public var did: DIDKey { signer.did }
    var now: Timestamp { clock.now() }

    func sign(_ document: JSONObject, at now: Timestamp) throws -> JSONObject {
        try DataIntegrity.sign(document, by: signer, created: now)
    }

    // MARK: Debits

    /// What is debited on an agent's own spend limit in the period that runs now.
    public static func spent(onLimitOf agentID: String, at now: Timestamp, in connection: Connection) throws -> UInt64 {
        try BudgetAccounts.spent(DebitLink.agentLimitKey(agentID), at: now, in: connection)
    }

    /// Debits a call over every link of its chain and signs a ticket. Asked again for the same call, it is the same debit.
    ///
    /// - Throws: `DelegationError` for what is wrong with the chain, the invocation or the budgets; `BudgetError`.
    public func ticket(_ invocation: Invocation, chain: DelegationChain) async throws -> DelegationTicket {
        let now = clock.now()
        let root = invocation.subject
        guard let standing = try await authority(root) else {
            throw DelegationError(.untrustedRoot, "\(root) has no account at this node", key: root)
        }
        if let named = chain.root.map({ _ in chain.accounting?.did }), named != signer.did {
            throw BudgetError(.wrongNode, "the root does not name this node, \(signer.did), to keep its account")
        }
        let bundle = DelegatedCall(invocation: invocation, chain: chain, ticket: nil)
        try bundle.requireShortLife(now: now)
        guard invocation.command == .paidCall else {
            throw DelegationError(
                .commandNotGiven,
                "a paid call is \(Command.paidCall), not \(invocation.command)",
                key: invocation.issuer
            )
        }
        try chain.verify(invocation, ChainRules(now: now, trustedRoots: [root]))
        let plan = try plan(invocation, chain, standing, at: now)
        let isFull = past.isFull
        let record = try await database.write { [limits = past.limits] connection in
            if isFull, try BudgetAccounts.find(key: plan.key, in: connection) == nil {
                throw BudgetError(.overloaded, "as many debits as are kept here are open: try again later")
            }
            let record = try BudgetAccounts.debit(plan, in: connection)
            try DelegationShelf.keep(chain, as: .seen, at: now, limits: limits, in: connection)
            return record
        }
        past.counted()
        return try DelegationTicket.issue(
            id: record.id,
            agent: invocation.issuer,
            chain: chain.cids,
            call: CallArguments(invocation.arguments),
            seller: invocation.recipient,
            issuedAt: now,
            expires: now.adding(seconds: Self.ticketSeconds),
            by: signer
        )
    }

    private func plan(
        _ invocation: Invocation,
        _ chain: DelegationChain,
        _ standing: RootAuthority,
        at now: Timestamp
    ) throws -> DebitPlan {
        let call = try CallArguments(invocation.arguments)
        var links: [DebitLink] = []
        if let agentID = standing.agentID, let limit = standing.limit {
            guard limit.unit == call.unit else {
                throw DelegationError(
                    .wrongUnit,
                    "the agent's spend limit is in \(limit.unit), not in \(call.unit)",
                    key: invocation.subject
                )
            }
            links.append(
                DebitLink(
                    key: DebitLink.agentLimitKey(agentID),
                    cap: limit.amount,
                    period: limit.periodSeconds,
                    window: limit.window(at: now),
                    index: nil,
                    expires: nil,
                    elsewhere: standing.elsewhere
                )
            )
        }
        for (index, link) in chain.links.enumerated() {
            let budget = link.terms.budget
            links.append(
                DebitLink(
                    key: link.cid.digest,
                    cap: budget?.amount,
                    period: budget?.periodSeconds,
                    window: budget?.window(at: now) ?? 0,
                    index: index,
                    // Under an outer link that has ended nothing is spent either.
                    expires: chain.links[...index].compactMap(\.expires).min()
                )
            )
        }
        return DebitPlan(
            id: UUIDText.random(),
            key: Self.key(call.call, by: invocation.issuer),
            request: try Self.requestDigest(call, invocation, chain),
            agent: invocation.issuer,
            seller: invocation.recipient,
            chain: chain.cids,
            issuers: chain.links.map(\.issuer),
            links: links,
            amount: call.amount,
            unit: call.unit,
            at: now
        )
    }

    /// What makes a call the same call: who asks, and the name it gives.
    static func key(_ call: [UInt8], by agent: DIDKey) -> [UInt8] {
        Hashing.sha256(Array("debit:\(agent.string):\(Hex.encode(call))".utf8))
    }

    /// What must be the same when it is asked again.
    private static func requestDigest(_ call: CallArguments, _ invocation: Invocation, _ chain: DelegationChain) throws
        -> [UInt8]
    {
        let seller: CBOR = invocation.recipient.map { .text($0.string) } ?? .null
        let parts: CBOR = .array([.map(call.pairs), seller, .array(chain.cids.map { .bytes($0.digest) })])
        return Hashing.sha256(try DAGCBOR.encode(parts))
    }

    /// Gives back a debit whose call was not charged, or the rest of one that was charged less. For whoever is trusted to
    /// know: this node's own buyer, and its operator.
    /// - Returns: what the debit stands at; settled before, as it was then.
    @discardableResult
    public func settle(debit id: String, charged: UInt64) async throws -> UInt64 {
        let now = clock.now()
        return try await database.write { connection in
            guard let debit = try BudgetAccounts.find(id: id, in: connection) else {
                throw BudgetError(.unknown, "there is no debit \(id.prefix(40))")
            }
            return try BudgetAccounts.settle(debit, charged: charged, at: now, in: connection)
        }
    }

    /// The same for anybody who shows the seller's receipt of that very debit ([DLG-12]): it names the ticket, and the seller
    /// that the invocation was meant for signed it.
    public func settle(debit id: String, receipt: JSONObject) async throws -> UInt64 {
        let charged = try Self.charged(by: receipt, debit: id)
        let now = clock.now()
        return try await database.write { connection in
            guard let debit = try BudgetAccounts.find(id: id, in: connection) else {
                throw BudgetError(.unknown, "there is no debit \(id.prefix(40))")
            }
            guard let seller = debit.seller, seller == charged.seller else {
                throw BudgetError(.forbidden, "the receipt is not by the seller that the invocation was meant for")
            }
            guard charged.unit == debit.unit else {
                throw BudgetError(.invalidRequest, "the receipt is in another unit")
            }
            return try BudgetAccounts.settle(debit, charged: charged.amount, at: now, in: connection)
        }
    }

    private static func charged(
        by receipt: JSONObject,
        debit id: String
    ) throws -> (seller: DIDKey, amount: UInt64, unit: String) {
        let proof: VerifiedProof
        do {
            proof = try DataIntegrity.verify(receipt)
        } catch {
            throw BudgetError(.forbidden, "the receipt is not signed: \(error.message)")
        }
        guard receipt["type"] == ["PaidCallReceipt"], receipt["seller"]?["id"]?.stringValue == proof.signer.string,
            receipt["delegation"]?["ticket"]?.stringValue == "urn:uuid:\(id)",
            let text = receipt["payment"]?["amount"]?.stringValue, let amount = UInt64(text),
            let unit = receipt["payment"]?["unit"]?.stringValue, let outcome = receipt["outcome"]?.stringValue
        else { throw BudgetError(.forbidden, "the receipt is not of the call that this debit is for") }
        switch outcome {
        case "refunded": return (proof.signer, 0, unit)
        case "served": return (proof.signer, amount, unit)
        default: throw BudgetError(.invalidRequest, "the receipt does not say how the call ended")
        }
    }

    /// Holds every account against its debits.
    public func audit() async throws -> [String] { try await database.read { try BudgetAccounts.audit(in: $0) } }

    // MARK: Delegations kept here

    /// Keeps a chain that was issued here or is held by an agent of this node. It must be good now.
    /// - Throws: `DelegationError`, `BudgetError` `.overloaded`.
    public func keep(_ chain: DelegationChain, as origin: KeptDelegation.Origin) async throws {
        let now = clock.now()
        try chain.verify(ChainRules(now: now))
        try await keep(chain, as: origin, at: now)
    }

    /// Keeps what a caller showed, so that a receipt's chain can be told later; failing that is no failure of the call.
    public func note(_ chain: DelegationChain) async {
        guard let leaf = chain.leaf else { return }
        let now = clock.now()
        let isKnown = try? await database.read { connection in
            try connection.first("SELECT 1 FROM budget_delegations WHERE cid = ?", .blob(leaf.cid.digest)) != nil
        }
        guard isKnown == false else { return }
        try? await keep(chain, as: .seen, at: now)
    }

    private func keep(_ chain: DelegationChain, as origin: KeptDelegation.Origin, at now: Timestamp) async throws {
        try await database.write { [limits = past.limits] connection in
            try DelegationShelf.keep(chain, as: origin, at: now, limits: limits, in: connection)
            if origin == .issued { try BudgetNotes.issued(chain, in: connection) }
        }
    }

    public func delegation(_ cid: CID) async throws -> KeptDelegation? {
        let now = clock.now()
        return try await database.read { try DelegationShelf.find(cid, at: now, in: $0) }
    }

    /// Every delegation that is kept, oldest first; at most 10,000.
    public func delegations() async throws -> [KeptDelegation] {
        let now = clock.now()
        return try await database.read { try DelegationShelf.list(after: 0, limit: 10_000, at: now, in: $0) }
    }

    /// - Throws: `BudgetError` `.unknown`.
    public func chain(to cid: CID) async throws -> DelegationChain {
        let now = clock.now()
        return try await database.read { try DelegationShelf.chain(to: cid, at: now, in: $0) }
    }
}
