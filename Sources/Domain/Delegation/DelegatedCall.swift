internal import CanonicalJSON
public import Encodings
public import SignedDocuments

/// What travels in `Agent-Delegation`: an invocation, the chain that it rests on, and the accounting node's ticket
/// where there is one ([DLG-10]).
public struct DelegatedCall: Sendable, Equatable {
    /// The longest header value, in bytes.
    public static let maximumHeaderBytes = 16_384
    /// The name of the field.
    public static let headerName = "Agent-Delegation"

    public var invocation: Invocation
    public var chain: DelegationChain
    public var ticket: DelegationTicket?

    public init(invocation: Invocation, chain: DelegationChain, ticket: DelegationTicket?) {
        self.invocation = invocation
        self.chain = chain
        self.ticket = ticket
    }

    /// Reads the bytes of a bundle: a map in DAG-CBOR of `inv`, `prf` and perhaps `tkt`.
    /// - Throws: `DelegationError`.
    public init(bytes: [UInt8]) throws(DelegationError) {
        let item = try DAGCBOR.decode(bytes, maximumBytes: Self.maximumHeaderBytes)
        guard case .map(let pairs) = item, case .bytes(let invocation)? = item[text: "inv"],
            case .array(let proofs)? = item[text: "prf"], pairs.count == (item[text: "tkt"] == nil ? 2 : 3)
        else { throw DelegationError(.malformed, "a delegated call has `inv`, `prf` and perhaps `tkt`") }
        guard proofs.count <= DelegationChain.maximumLinks else {
            throw DelegationError(.tooDeep, "a chain has at most \(DelegationChain.maximumLinks) links here")
        }
        var links: [Delegation] = []
        for proof in proofs {
            guard case .bytes(let envelope) = proof else { throw DelegationError(.malformed, "`prf` holds envelopes") }
            do {
                links.append(try Delegation(bytes: envelope))
            } catch {
                throw error.at(links.count, nil)
            }
        }
        self.invocation = try Invocation(bytes: invocation)
        chain = try DelegationChain(of: self.invocation, from: links)
        if let value = item[text: "tkt"] {
            guard case .bytes(let text) = value else {
                throw DelegationError(.malformed, "`tkt` holds a ticket's bytes")
            }
            ticket = try DelegationTicket(bytes: text)
        }
    }

    /// Reads the value of the field: base64url of the bundle.
    public init(header: String) throws(DelegationError) {
        guard header.utf8.count <= Self.maximumHeaderBytes else {
            throw DelegationError(.tooLarge, "`\(Self.headerName)` has at most \(Self.maximumHeaderBytes) bytes")
        }
        guard let bytes = try? Base64URL.decode(header) else {
            throw DelegationError(.malformed, "`\(Self.headerName)` is base64url")
        }
        try self.init(bytes: bytes)
    }

    public func bytes() throws(DelegationError) -> [UInt8] {
        var pairs = [
            CBORPair("inv", .bytes(invocation.bytes)), CBORPair("prf", .array(chain.links.map { .bytes($0.bytes) })),
        ]
        if let ticket { pairs.append(CBORPair("tkt", .bytes(ticket.bytes))) }
        return try DAGCBOR.encode(.map(pairs))
    }

    /// The value of the field.
    /// - Throws: `.tooLarge` where the chain does not fit.
    public func encodedHeader() throws(DelegationError) -> String {
        let text = Base64URL.encode(try bytes())
        guard text.utf8.count <= Self.maximumHeaderBytes else {
            throw DelegationError(.tooLarge, "`\(Self.headerName)` has at most \(Self.maximumHeaderBytes) bytes")
        }
        return text
    }

    // MARK: As a seller reads it

    /// How far a seller could check a call.
    public enum Assurance: String, Sendable, CaseIterable {
        /// The accounting node's ticket says that every budget holds.
        case ticket
        /// No link has a budget: the chain alone says everything.
        case chain
        /// A link has a budget and there is no ticket: only the limit for one call was checked.
        case callLimit = "call-limit"
    }

    /// Checks everything that can be checked offline ([DLG-11]).
    ///
    /// - Parameters:
    ///   - caller: who signed the request.
    ///   - method: and the others: the request at hand.
    ///   - requiresTicket: whether a budget without a ticket is refused.
    ///   - passportIssuer: who issued the caller's passport, where the seller trusts it: the accounting node of an agent that
    ///     acts on its own authority ([DLG-14]).
    /// - Returns: how much is known.
    /// - Throws: `DelegationError`, the first.
    public func verify(
        caller: DIDKey,
        method: String,
        target: String,
        digest: [UInt8],
        rules: ChainRules,
        requiresTicket: Bool,
        passportIssuer: DIDKey? = nil
    ) throws(DelegationError) -> Assurance {
        guard invocation.issuer == caller else {
            throw DelegationError(
                .wrongAudience,
                "the invocation is by \(invocation.issuer), the request by \(caller)",
                key: caller
            )
        }
        guard invocation.command == .paidCall else {
            throw DelegationError(
                .commandNotGiven,
                "a paid call is \(Command.paidCall), not \(invocation.command)",
                key: caller
            )
        }
        try requireShortLife(now: rules.now)
        try CallArguments(invocation.arguments).expect(method: method, target: target, digest: digest)
        let isOwn = chain.links.isEmpty && passportIssuer != nil
        var rules = rules
        if isOwn { rules.trustedRoots = nil }
        try chain.verify(invocation, rules)
        guard let ticket else {
            guard chain.hasBudget || (isOwn && requiresTicket) else { return .chain }
            guard !requiresTicket else {
                throw DelegationError(
                    .ticketMissing,
                    "the chain has a budget, and there is no ticket of its accounting node",
                    key: caller
                )
            }
            return .callLimit
        }
        guard let node = isOwn ? passportIssuer : chain.accounting?.did else {
            throw DelegationError(
                .ticketWrongNode,
                "the root names no accounting node, and a ticket is there",
                key: ticket.issuer
            )
        }
        try ticket.verify(for: invocation, chain: chain.cids, node: node, now: rules.now)
        return .ticket
    }

    /// An invocation of a paid call ends soon, so that what was used need not be remembered for long.
    public func requireShortLife(now: Timestamp) throws(DelegationError) {
        guard let end = invocation.expires,
            end <= now.adding(seconds: DelegationTicket.maximumLifetimeSeconds + 60)
        else {
            throw DelegationError(
                .expiryTooFar,
                "an invocation of a paid call ends within \(DelegationTicket.maximumLifetimeSeconds) seconds",
                key: invocation.issuer
            )
        }
    }
}
