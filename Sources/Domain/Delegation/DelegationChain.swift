public import Encodings
public import SignedDocuments

/// What a verifier goes by.
public struct ChainRules: Sendable {
    public var now: Timestamp
    /// Whose authority counts as a root; nil: anybody's over itself.
    public var trustedRoots: Set<DIDKey>?
    /// Whether our profile's rules count besides UCAN's ([DLG-2] to [DLG-8]).
    public var appliesProfile: Bool
    /// Who executes; an invocation that names another recipient is refused. nil: not looked at.
    public var recipient: DIDKey?
    /// What was taken back, as far as the verifier knows.
    public var isRevoked: @Sendable (CID) -> Bool
    public var isKeyRevoked: @Sendable (DIDKey) -> Bool

    public init(
        now: Timestamp,
        trustedRoots: Set<DIDKey>? = nil,
        appliesProfile: Bool = true,
        recipient: DIDKey? = nil,
        isRevoked: @escaping @Sendable (CID) -> Bool = { _ in false },
        isKeyRevoked: @escaping @Sendable (DIDKey) -> Bool = { _ in false }
    ) {
        self.now = now
        self.trustedRoots = trustedRoots
        self.appliesProfile = appliesProfile
        self.recipient = recipient
        self.isRevoked = isRevoked
        self.isKeyRevoked = isKeyRevoked
    }
}

/// Delegations from the root, which the subject issued, to the leaf, whose audience acts. Checked offline.
public struct DelegationChain: Sendable, Equatable {
    /// The most links that our profile takes.
    public static let maximumLinks = 8

    public let links: [Delegation]

    public init(_ links: [Delegation]) {
        self.links = links
    }

    public var root: Delegation? { links.first }
    public var leaf: Delegation? { links.last }
    public var cids: [CID] { links.map(\.cid) }
    /// The node that keeps the account, as the root names it.
    public var accounting: AccountingNode? { links.first?.terms.accounting }
    /// Whether some link has a budget, so that a ticket says more than the chain alone.
    public var hasBudget: Bool { links.contains { $0.terms.budget != nil } }

    /// Checks the chain by itself, as it stands when nobody acts on it.
    /// - Throws: the first `DelegationError`.
    public func verify(_ rules: ChainRules) throws(DelegationError) {
        if let error = examine(nil, rules, findsAll: false).first { throw error }
    }

    /// Checks an invocation that rests on this chain.
    /// - Throws: the first `DelegationError`.
    public func verify(_ invocation: Invocation, _ rules: ChainRules) throws(DelegationError) {
        if let error = examine(invocation, rules, findsAll: false).first { throw error }
    }

    /// As ``verify(_:_:)``, with everything that is wrong.
    public func problems(_ invocation: Invocation? = nil, _ rules: ChainRules) -> [DelegationError] {
        examine(invocation, rules, findsAll: true)
    }

    /// Picks from `proofs` what an invocation names, in its order.
    /// - Throws: `.proofUnavailable`, `.proofSurplus`.
    public init(of invocation: Invocation, from proofs: [Delegation], allowsSurplus: Bool = false)
        throws(DelegationError)
    {
        var links: [Delegation] = []
        for cid in invocation.proofs {
            guard let link = proofs.first(where: { $0.cid == cid }) else {
                throw DelegationError(
                    .proofUnavailable,
                    "the delegation \(cid) is named and not there",
                    link: links.count
                )
            }
            links.append(link)
        }
        guard allowsSurplus || proofs.count == links.count else {
            throw DelegationError(.proofSurplus, "delegations are there that the invocation does not name")
        }
        self.init(links)
    }

    // MARK: The rules

    private func examine(_ invocation: Invocation?, _ rules: ChainRules, findsAll: Bool) -> [DelegationError] {
        var found: [DelegationError] = []
        // The links' signatures last: they cost the most.
        let steps: [() -> [DelegationError]] = [
            // An invocation that its issuer did not make says nothing at all.
            { signature(of: invocation) },
            { shape(rules) },
            { invocation.map { binding($0, rules) } ?? [] },
            { times(invocation, rules) },
            { revocations(rules) },
            { rules.appliesProfile ? profile() : [] },
            { invocation.map { demands(of: $0, rules) } ?? [] },
            { signatures() },
        ]
        for step in steps {
            found += step()
            if !findsAll, !found.isEmpty { return found }
        }
        return found
    }

    /// Who gave to whom, and what.
    private func shape(_ rules: ChainRules) -> [DelegationError] {
        var found: [DelegationError] = []
        let limit = rules.appliesProfile ? Self.maximumLinks : Invocation.maximumProofs
        if links.count > limit {
            return [DelegationError(.tooDeep, "a chain has at most \(limit) links here, this has \(links.count)")]
        }
        guard let root = links.first else { return [] }
        if isReordered {
            return [DelegationError(.reordered, "the links stand in another order than they were given in")]
        }
        if root.subject == nil {
            found.append(
                DelegationError(.subjectMissing, "the first delegation names no subject", link: 0, key: root.issuer)
            )
        } else if root.subject != root.issuer {
            found.append(
                DelegationError(
                    .selfIssued,
                    "\(root.issuer) gives what is \(root.subject?.string ?? "nobody")'s: a chain begins with its subject",
                    link: 0,
                    key: root.issuer
                )
            )
        } else if let trusted = rules.trustedRoots, !trusted.contains(root.issuer) {
            found.append(
                DelegationError(
                    .untrustedRoot,
                    "\(root.issuer) is no root that is trusted here",
                    link: 0,
                    key: root.issuer
                )
            )
        }
        for (index, link) in links.enumerated().dropFirst() {
            let parent = links[index - 1]
            if link.issuer != parent.audience {
                found.append(
                    DelegationError(
                        .brokenChain,
                        "link \(index) is issued by \(link.issuer); link \(index - 1) was given to \(parent.audience)",
                        link: index,
                        key: link.issuer
                    )
                )
            }
            if let subject = link.subject, subject != root.subject {
                found.append(
                    DelegationError(.wrongSubject, "link \(index) is about \(subject)", link: index, key: link.issuer)
                )
            }
            if !parent.command.covers(link.command) {
                found.append(
                    DelegationError(
                        .commandWidened,
                        "link \(index) gives \(link.command), where its issuer may only \(parent.command)",
                        link: index,
                        key: link.issuer
                    )
                )
            }
        }
        return found
    }

    /// Whether the links make a chain, in another order than this.
    private var isReordered: Bool {
        func isChain(_ links: [Delegation]) -> Bool {
            guard let root = links.first, root.subject == root.issuer else { return false }
            return zip(links, links.dropFirst()).allSatisfy { $0.audience == $1.issuer }
        }
        guard links.count > 1, !isChain(links) else { return false }
        for start in links.indices where links[start].subject == links[start].issuer {
            var rest = links
            var ordered = [rest.remove(at: start)]
            while let next = rest.firstIndex(where: { $0.issuer == ordered[ordered.count - 1].audience }) {
                ordered.append(rest.remove(at: next))
            }
            if rest.isEmpty { return true }
        }
        return false
    }

    /// Whether the invocation's issuer may act on this chain.
    private func binding(_ invocation: Invocation, _ rules: ChainRules) -> [DelegationError] {
        var found: [DelegationError] = []
        let issuer = invocation.issuer
        if links.isEmpty, issuer != invocation.subject {
            return [
                DelegationError(
                    .proofMissing,
                    "\(issuer) acts for \(invocation.subject) and shows no delegation",
                    key: issuer
                )
            ]
        }
        if links.isEmpty, let trusted = rules.trustedRoots, !trusted.contains(issuer) {
            found.append(DelegationError(.untrustedRoot, "\(issuer) is no root that is trusted here", key: issuer))
        }
        if let leaf = links.last, leaf.audience != issuer {
            found.append(
                DelegationError(
                    .wrongAudience,
                    "the last link was given to \(leaf.audience), not to \(issuer)",
                    link: links.count - 1,
                    key: issuer
                )
            )
        }
        if let subject = links.first?.subject, subject != invocation.subject {
            found.append(
                DelegationError(
                    .wrongSubject,
                    "the chain is about \(subject), the call about \(invocation.subject)",
                    key: issuer
                )
            )
        }
        if let recipient = rules.recipient, let named = invocation.recipient, named != recipient {
            found.append(DelegationError(.wrongRecipient, "the invocation is meant for \(named)", key: issuer))
        }
        for (index, link) in links.enumerated() where !link.command.covers(invocation.command) {
            found.append(
                DelegationError(
                    .commandNotGiven,
                    "link \(index) gives \(link.command), not \(invocation.command)",
                    link: index,
                    key: issuer
                )
            )
        }
        return found
    }

    private func times(_ invocation: Invocation?, _ rules: ChainRules) -> [DelegationError] {
        var found: [DelegationError] = []
        for (index, link) in links.enumerated() {
            if let end = link.expires, rules.now >= end {
                found.append(
                    DelegationError(.expired, "link \(index) ended at \(end.rfc3339)", link: index, key: link.issuer)
                )
            }
            if let start = link.notBefore, rules.now < start {
                found.append(
                    DelegationError(
                        .notYetValid,
                        "link \(index) begins at \(start.rfc3339)",
                        link: index,
                        key: link.issuer
                    )
                )
            }
        }
        if let invocation, let end = invocation.expires, rules.now >= end {
            found.append(DelegationError(.expired, "the invocation ended at \(end.rfc3339)", key: invocation.issuer))
        }
        return found
    }

    private func revocations(_ rules: ChainRules) -> [DelegationError] {
        links.enumerated().compactMap { index, link in
            if rules.isRevoked(link.cid) {
                return DelegationError(
                    .revoked,
                    "link \(index), \(link.cid), was taken back",
                    link: index,
                    key: link.issuer
                )
            }
            guard rules.isKeyRevoked(link.issuer) else { return nil }
            return DelegationError(
                .keyRevoked,
                "the key \(link.issuer) was taken back, and link \(index) with it",
                link: index,
                key: link.issuer
            )
        }
    }

    /// What our profile asks of the links themselves ([DLG-4], [DLG-5]).
    private func profile() -> [DelegationError] {
        var found: [DelegationError] = []
        var outer: Budget?
        for (index, link) in links.enumerated() {
            if let named = link.terms.accounting, named != accounting {
                found.append(
                    DelegationError(
                        .accountingChanged,
                        "link \(index) names another accounting node than the root",
                        link: index,
                        key: link.issuer
                    )
                )
            }
            guard let budget = link.terms.budget else { continue }
            if accounting == nil {
                found.append(
                    DelegationError(
                        .accountingMissing,
                        "link \(index) has a budget, and the root names no accounting node",
                        link: index,
                        key: link.issuer
                    )
                )
            }
            if let outer, outer.unit == budget.unit, outer.periodSeconds == budget.periodSeconds,
                budget.amount > outer.amount
            {
                found.append(
                    DelegationError(
                        .budgetWidened,
                        "link \(index) gives \(budget.amount)\(budget.unit), where its issuer has \(outer.amount)\(outer.unit)",
                        link: index,
                        key: link.issuer
                    )
                )
            }
            outer = budget
        }
        return found
    }

    /// What the links demand of the invocation's arguments.
    private func demands(of invocation: Invocation, _ rules: ChainRules) -> [DelegationError] {
        var found: [DelegationError] = []
        let key = invocation.issuer
        if rules.appliesProfile {
            do {
                let call = try CallArguments(invocation.arguments)
                if call.depth != links.count {
                    found.append(
                        DelegationError(
                            .wrongDepth,
                            "the invocation says depth \(call.depth), its chain has \(links.count) links",
                            key: key
                        )
                    )
                }
                for (index, link) in links.enumerated() {
                    if let unit = link.terms.budget?.unit, unit != call.unit {
                        found.append(
                            DelegationError(
                                .wrongUnit,
                                "link \(index) counts \(unit), not \(call.unit)",
                                link: index,
                                key: key
                            )
                        )
                    }
                }
            } catch {
                found.append(error.at(nil, key))
            }
        }
        for (index, link) in links.enumerated() {
            guard let statement = link.policy.violated(by: invocation.arguments) else { continue }
            found.append(Self.violation(of: statement, at: index, key: key, isProfile: rules.appliesProfile))
        }
        return found
    }

    private static func violation(of statement: PolicyStatement, at index: Int, key: DIDKey, isProfile: Bool)
        -> DelegationError
    {
        if isProfile, case .compare(let comparison, let selector, let limit) = statement {
            let number = PolicyNumber(limit.cbor).map { Int64($0.value) } ?? 0
            switch (comparison, selector.text) {
            case (.atMost, ".depth"):
                return DelegationError(
                    .tooDeep,
                    "link \(index) allows a chain of \(number) links",
                    link: index,
                    key: key
                )
            case (.atMost, ".amount"):
                return DelegationError(
                    .overCallLimit,
                    "link \(index) allows \(number) for one call",
                    link: index,
                    key: key
                )
            case (.equal, ".unit"):
                return DelegationError(
                    .wrongUnit,
                    "link \(index) counts in \(limit.cbor.textValue ?? "another unit")",
                    link: index,
                    key: key
                )
            default: break
            }
        }
        return DelegationError(.policyViolated, "the policy of link \(index) does not hold", link: index, key: key)
    }

    private func signature(of invocation: Invocation?) -> [DelegationError] {
        do {
            try invocation?.verifySignature()
            return []
        } catch {
            return [error.at(nil, invocation?.issuer)]
        }
    }

    private func signatures() -> [DelegationError] {
        var found: [DelegationError] = []
        for (index, link) in links.enumerated() {
            do {
                try link.verifySignature()
            } catch {
                found.append(error.at(index, link.issuer))
            }
        }
        return found
    }
}
