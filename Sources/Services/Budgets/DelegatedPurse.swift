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
    /// Reads a document under the same rules.
    func get(_ url: String, limit: Int) async throws -> (status: Int, body: [UInt8])
}

/// How a payment ended, for the account of its chain.
public enum DelegatedOutcome: Sendable {
    /// Not known yet.
    case open
    /// The seller has it; so much was given back as change. Where that is not final, more may still come back.
    case charged(returned: UInt64, isFinal: Bool)
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
    /// How often another node's account is asked for one ticket; asking again is no second debit.
    static let askings = 3

    let office: BudgetOffice
    let line: any AccountingLine
    let clock: WallClock
    let logger: Logger
    private let pause: @Sendable (Int) async -> Void

    /// - Parameter pause: waits so many milliseconds before another node is asked again.
    public init(
        office: BudgetOffice,
        line: any AccountingLine,
        clock: WallClock,
        logger: Logger,
        pause: @escaping @Sendable (Int) async -> Void = { try? await Task.sleep(for: .milliseconds($0)) }
    ) {
        self.office = office
        self.line = line
        self.clock = clock
        self.logger = logger
        self.pause = pause
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
                INSERT INTO budget_uses (payment, leaf, agent, call, node, amount, unit, state, at, look_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, 'open', ?, ?) ON CONFLICT (payment) DO NOTHING
                """,
                .text(payment.id),
                .optional(leaf?.cid.digest),
                .text(agent.string),
                .blob(name),
                .text(node.did == self.office.did ? "" : node.url),
                amount,
                .text(payment.unit),
                .integer(now.millisecondsSince1970),
                .integer(now.adding(seconds: 5).millisecondsSince1970)
            )
        }
    }

    private func ask(_ node: AccountingNode, _ call: DelegatedCall) async throws -> DelegationTicket {
        let answer = try await postUntilAnswered(
            node.url + "/delegations/debits",
            ["call": .string(try call.encodedHeader())]
        )
        guard let ticket = answer["ticket"]?.objectValue else {
            throw BudgetError(.unreachable, "\(node.url) gave no ticket")
        }
        return try DelegationTicket(document: ticket)
    }

    /// An answer may be lost after the debit was made. The same call asked for again is the same debit, so it is asked for
    /// until it is known: else money stood debited that nobody spends.
    private func postUntilAnswered(_ url: String, _ body: JSONObject) async throws -> JSONObject {
        var asking = 1
        while true {
            do {
                return try await post(url, body)
            } catch let error as BudgetError where error.code == .unreachable && asking < Self.askings {
                await pause(200 << asking)
                asking += 1
            }
        }
    }

    func post(_ url: String, _ body: JSONObject) async throws -> JSONObject {
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
}

extension BudgetOffice {
    /// The debit that an agent's call has here.
    func debit(agent: String, call: [UInt8]) async throws -> String? {
        let did = try DIDKey(parsing: agent)
        let key = Self.key(call, by: did)
        return try await database.read { try BudgetAccounts.find(key: key, in: $0)?.id }
    }
}
