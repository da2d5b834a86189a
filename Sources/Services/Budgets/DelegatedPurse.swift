internal import CanonicalJSON
internal import Cryptography
public import Delegation
public import Encodings
internal import Identity
public import Logging
public import SignedDocuments
internal import Storage

/// One payment of an agent that acts on a chain.
public struct DelegatedPayment: Sendable {
    /// The buyer's id of the payment: its debit is one, however often it is sent.
    public var id: String
    public var amount: UInt64
    public var unit: String
    public var method: String
    public var url: String
    /// SHA-256 of the body.
    public var digest: [UInt8]
    /// The seller, where it is known; without it, a debit can be given back by this node's own account only.
    public var seller: DIDKey?

    public init(
        id: String,
        amount: UInt64,
        unit: String,
        method: String,
        url: String,
        digest: [UInt8],
        seller: DIDKey? = nil
    ) {
        self.id = id
        self.amount = amount
        self.unit = unit
        self.method = method
        self.url = url
        self.digest = digest
        self.seller = seller
    }
}

/// How another node's account is reached.
public protocol AccountingLine: Sendable {
    /// Posts JSON; follows no redirects, and gives up after some seconds.
    /// - Parameter limit: the longest answer read, in bytes.
    /// - Throws: where there was no answer in time.
    func post(_ url: String, _ body: [UInt8], limit: Int) async throws -> (status: Int, body: [UInt8])
}

/// How a payment ended, for the account of its chain.
public enum DelegatedOutcome: Sendable {
    /// Not known yet.
    case open
    /// The seller has it; so much was given back as change.
    case charged(returned: UInt64)
    /// Nothing was paid.
    case free
    /// The buyer knows nothing of it.
    case unknown
}

/// The buyer's side of budgets: gets tickets from the accounting node that a chain names, and settles what was not charged.
/// What is asked for is on disk before it is asked.
public final class DelegatedPurse: Sendable {
    /// How long an invocation is good for, in seconds.
    static let invocationSeconds: Int64 = 300
    static let maximumAnswerBytes = 65_536

    private let office: BudgetOffice
    private let line: any AccountingLine
    private let clock: WallClock
    private let logger: Logger

    public init(office: BudgetOffice, line: any AccountingLine, clock: WallClock, logger: Logger) {
        self.office = office
        self.line = line
        self.clock = clock
        self.logger = logger
    }

    /// What to send in `Agent-Delegation`: a fresh invocation, the chain, and a ticket where a budget counts.
    ///
    /// - Parameter signer: the agent that the chain's leaf was given to.
    /// - Throws: `DelegationError` where the chain does not let it pay so; `BudgetError` where the accounting node refuses or
    ///   can't be asked.
    public func call(_ payment: DelegatedPayment, on chain: DelegationChain, by signer: DocumentSigner) async throws
        -> DelegatedCall
    {
        let now = clock.now()
        guard let root = chain.root else { throw BudgetError(.invalidRequest, "the chain has no links") }
        let name = Self.name(payment.id)
        let arguments = CallArguments(
            amount: payment.amount,
            unit: payment.unit,
            depth: chain.links.count,
            method: payment.method,
            target: payment.url,
            digest: payment.digest,
            call: name
        )
        let invocation = try Invocation.issue(
            by: signer.key,
            subject: root.issuer,
            recipient: payment.seller,
            command: .paidCall,
            arguments: arguments.pairs,
            proofs: chain.cids,
            expires: now.adding(seconds: Self.invocationSeconds),
            issuedAt: now
        )
        try chain.verify(invocation, ChainRules(now: now))
        guard let node = chain.accounting else {
            return DelegatedCall(invocation: invocation, chain: chain, ticket: nil)
        }
        try await intend(payment, name: name, leaf: chain.leaf, agent: signer.did, node: node)
        let ticket =
            node.did == office.did
            ? try await office.ticket(invocation, chain: chain)
            : try await ask(node, DelegatedCall(invocation: invocation, chain: chain, ticket: nil))
        try ticket.verify(for: invocation, chain: chain.cids, node: node.did, now: max(now, clock.now()))
        let id = ticket.id
        try await office.database.write { connection in
            try connection.execute("UPDATE budget_uses SET debit = ? WHERE payment = ?", .text(id), .text(payment.id))
        }
        return DelegatedCall(invocation: invocation, chain: chain, ticket: ticket)
    }

    private static func name(_ paymentID: String) -> [UInt8] { Hashing.sha256(Array("payment:\(paymentID)".utf8)) }

    private func intend(
        _ payment: DelegatedPayment,
        name: [UInt8],
        leaf: Delegation?,
        agent: DIDKey,
        node: AccountingNode
    ) async throws {
        let now = clock.now()
        let amount = try SQLValue.amount(payment.amount)
        try await office.database.write { connection in
            try connection.execute(
                """
                INSERT INTO budget_uses (payment, leaf, agent, call, node, amount, unit, state, at)
                VALUES (?, ?, ?, ?, ?, ?, ?, 'open', ?) ON CONFLICT (payment) DO NOTHING
                """,
                .text(payment.id),
                .optional(leaf?.cid.digest),
                .text(agent.string),
                .blob(name),
                .text(node.did == self.office.did ? "" : node.url),
                amount,
                .text(payment.unit),
                .integer(now.millisecondsSince1970)
            )
        }
    }

    private func ask(_ node: AccountingNode, _ call: DelegatedCall) async throws -> DelegationTicket {
        let answer = try await post(
            node.url + "/delegations/debits",
            ["call": .string(try call.encodedHeader())]
        )
        guard let ticket = answer["ticket"]?.objectValue else {
            throw BudgetError(.unreachable, "\(node.url) gave no ticket")
        }
        return try DelegationTicket(document: ticket)
    }

    private func post(_ url: String, _ body: JSONObject) async throws -> JSONObject {
        let status: Int
        let bytes: [UInt8]
        do {
            (status, bytes) = try await line.post(url, body.serialized(), limit: Self.maximumAnswerBytes)
        } catch {
            throw BudgetError(.unreachable, "the accounting node at \(url) can't be asked: \(error)")
        }
        let limits = JSONLimits(maximumBytes: Self.maximumAnswerBytes, maximumDepth: 12, maximumValues: 1000)
        let json = (try? JSONValue.parse(bytes, limits: limits))?.objectValue ?? JSONObject()
        guard status == 200 else {
            let problem = ProblemDetails(json: json, responseStatus: status)
            let words = problem.detail ?? "it answered \(status)"
            throw BudgetError(
                status >= 500 ? .unreachable : .refused,
                "the accounting node refuses: \(words.prefix(500)) (\(problem.code.prefix(64)))"
            )
        }
        return json
    }

    /// The delegation that a payment was made on; nil for any other payment.
    public func leaf(ofPayment id: String) async throws -> CID? {
        try await office.database.read { connection in
            try connection.first("SELECT leaf FROM budget_uses WHERE payment = ?", .text(id))?.optionalBlob(0)
                .map { try CID(bytes: [0x01, 0x71, 0x12, 0x20] + $0) }
        }
    }

    // MARK: Settling

    private struct Use: Sendable {
        var payment: String
        var agent: String
        var call: [UInt8]
        /// Where it is accounted for; empty for this node.
        var node: String
        var debit: String?
        var amount: UInt64
    }

    /// Settles the debits of payments that have ended: to be called now and then.
    ///
    /// - Parameters:
    ///   - outcome: how a payment ended, by its id.
    ///   - receipt: the seller's receipt of it, as JSON.
    /// - Returns: how many were settled.
    @discardableResult
    public func settle(
        outcome: @Sendable (String) async throws -> DelegatedOutcome,
        receipt: @Sendable (String) async throws -> [UInt8]?
    ) async throws -> Int {
        var settled = 0
        for use in try await open() {
            let end: (state: String, charged: UInt64)
            switch try await outcome(use.payment) {
            case .open: continue
            case .charged(let returned): end = ("charged", use.amount - min(returned, use.amount))
            case .free, .unknown: end = ("released", 0)
            }
            do {
                try await finish(use, as: end.state, charged: end.charged, receipt: try await receipt(use.payment))
                settled += 1
            } catch {
                logger.warning(
                    "a delegation's debit is not settled",
                    metadata: ["payment": "\(use.payment)", "error": "\(error)"]
                )
            }
        }
        return settled
    }

    private func open() async throws -> [Use] {
        let before = clock.now().adding(seconds: -5)
        return try await office.database.read { connection in
            try connection.rows(
                """
                SELECT payment, agent, call, node, debit, amount FROM budget_uses
                WHERE state = 'open' AND at <= ? ORDER BY at LIMIT 500
                """,
                .integer(before.millisecondsSince1970)
            ).map { row in
                Use(
                    payment: try row.text(0),
                    agent: try row.text(1),
                    call: try row.blob(2),
                    node: try row.text(3),
                    debit: try row.optionalText(4),
                    amount: try row.uint64(5)
                )
            }
        }
    }

    private func finish(_ use: Use, as state: String, charged: UInt64, receipt: [UInt8]?) async throws {
        var state = state
        if use.node.isEmpty {
            // A crash may have come between the debit and its ticket: then the account alone knows it.
            let own = try await office.debit(agent: use.agent, call: use.call)
            if let id = use.debit ?? own { _ = try await office.settle(debit: id, charged: charged) }
        } else if charged < use.amount {
            // Elsewhere only the seller's word counts. Without it, or without a ticket, the debit stays.
            if let id = use.debit, let receipt, let document = try JSONValue.parse(receipt).objectValue {
                do {
                    _ = try await post("\(use.node)/delegations/debits/\(id)/settle", ["receipt": .object(document)])
                } catch let error as BudgetError where error.code == .refused {
                    state = "kept"
                }
            } else {
                state = "kept"
            }
        }
        let end = state
        try await office.database.write { connection in
            try connection.execute(
                "UPDATE budget_uses SET state = ? WHERE payment = ? AND state = 'open'",
                .text(end),
                .text(use.payment)
            )
        }
    }
}

extension BudgetOffice {
    /// The debit that an agent's call has here.
    func debit(agent: String, call: [UInt8]) async throws -> String? {
        let did = try DIDKey(parsing: agent)
        let key = Self.key(call, by: did)
        return try await database.read { try BudgetAccounts.find(key: key, in: $0)?.id }
    }
}
