public import Cashu
internal import Cryptography
public import Encodings
internal import Paywall
internal import Storage

/// A request for payment that this wallet made (NUT-18).
public struct OwnRequest: Sendable {
    public enum State: String, Sendable {
        case open
        /// A single-use request that was paid.
        case paid
    }

    public var id: String
    /// `creqA…`.
    public var text: String
    public var amount: UInt64?
    public var unit: CurrencyUnit
    public var memo: String?
    public var isSingleUse: Bool
    /// Whether coins must be locked to this wallet's key.
    public var isLocked: Bool
    public var state: State
    /// What came in, after fees.
    public var received: UInt64
    public var createdAt: Timestamp

    /// The request itself, as it was made.
    /// - Throws: `corrupt`.
    public func request() throws(WalletError) -> PaymentRequest {
        do {
            return try PaymentRequest(text)
        } catch {
            throw WalletError(.corrupt, "a payment request of the wallet cannot be read", cause: error)
        }
    }
}

/// The table `wallet_requests`.
enum RequestStore {
    private static let columns =
        "id, text, amount, unit, memo, single_use, locked, state, received, created_at"
    static let maximumRequests: Int64 = 100_000

    static func insert(_ request: OwnRequest, in connection: Connection) throws {
        let count = try connection.first("SELECT count(*) FROM wallet_requests")?.int64(0) ?? 0
        guard count < maximumRequests else {
            throw WalletError(
                .invalidArgument,
                "the wallet holds \(count) payment requests, which is the most it takes"
            )
        }
        try connection.execute(
            "INSERT INTO wallet_requests (\(columns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            .text(request.id),
            .text(request.text),
            try request.amount.map { try .amount($0) } ?? .null,
            .text(request.unit.name),
            .optional(request.memo),
            .bool(request.isSingleUse),
            .bool(request.isLocked),
            .text(request.state.rawValue),
            try .amount(request.received),
            .integer(request.createdAt.millisecondsSince1970)
        )
    }

    static func find(_ id: String, in connection: Connection) throws -> OwnRequest? {
        try connection.first("SELECT \(columns) FROM wallet_requests WHERE id = ?", .text(id)).map(request(row:))
    }

    static func recent(limit: Int, in connection: Connection) throws -> [OwnRequest] {
        try connection.rows("SELECT \(columns) FROM wallet_requests ORDER BY created_at DESC LIMIT ?", .int(limit))
            .map(request(row:))
    }

    private static func request(row: Row) throws -> OwnRequest {
        guard let state = OwnRequest.State(rawValue: try row.text(7)) else {
            throw WalletError(.corrupt, "a payment request of the wallet is in an unknown state")
        }
        return OwnRequest(
            id: try row.text(0),
            text: try row.text(1),
            amount: try row.optionalInt64(2).map { UInt64(max(0, $0)) },
            unit: try CurrencyUnit(row.text(3)),
            memo: try row.optionalText(4),
            isSingleUse: try row.bool(5),
            isLocked: try row.bool(6),
            state: state,
            received: try row.uint64(8),
            createdAt: Timestamp(millisecondsSince1970: try row.int64(9))
        )
    }

    /// Lets one payment have a single-use request.
    /// - Throws: `requestPaid` where another has it.
    static func hold(_ id: String, for inbox: String, in connection: Connection) throws {
        try connection.execute(
            "UPDATE wallet_requests SET holder = ? WHERE id = ? AND single_use AND (holder IS NULL OR holder = ?)",
            .text(inbox),
            .text(id),
            .text(inbox)
        )
        guard connection.changes == 1 else {
            throw WalletError(.requestPaid, "this request was for one payment, and that was made")
        }
    }

    static func arrived(inbox: String, gain: UInt64, in connection: Connection) throws {
        try connection.execute(
            """
            UPDATE wallet_requests SET received = received + ?,
                state = CASE WHEN single_use THEN 'paid' ELSE state END
            WHERE id = (SELECT request FROM wallet_inbox WHERE id = ?)
            """,
            try .amount(gain),
            .text(inbox)
        )
    }

    /// The payment came to nothing: somebody else may pay.
    static func failed(inbox: String, in connection: Connection) throws {
        try connection.execute(
            "UPDATE wallet_requests SET holder = NULL WHERE holder = ? AND state = 'open'",
            .text(inbox)
        )
    }
}

/// What a payment request asks for.
public struct RequestTerms: Sendable {
    /// Nil: the payer decides.
    public var amount: UInt64?
    public var unit: CurrencyUnit
    public var memo: String?
    public var isSingleUse: Bool
    /// Ask for coins locked to this wallet's key (NUT-11).
    public var isLocked: Bool
    /// The mints to take from; empty: all that are trusted.
    public var mints: [MintURL]

    public init(
        amount: UInt64?,
        unit: CurrencyUnit = .sat,
        memo: String? = nil,
        isSingleUse: Bool = false,
        isLocked: Bool = false,
        mints: [MintURL] = []
    ) {
        self.amount = amount
        self.unit = unit
        self.memo = memo
        self.isSingleUse = isSingleUse
        self.isLocked = isLocked
        self.mints = mints
    }
}

extension Wallet {
    /// Makes a request for payment.
    /// - Parameter post: where payments are posted, given the request's id; nil: they come in band.
    /// - Throws: `invalidArgument`, `mintUntrusted`.
    public func createRequest(_ terms: RequestTerms, post: (@Sendable (String) -> String)?) async throws -> OwnRequest {
        let trusted = try await knownMints().filter(\.isTrusted).map(\.url)
        for mint in terms.mints where !trusted.contains(mint) { try await requireTrust(in: mint) }
        guard !trusted.isEmpty else {
            throw WalletError(.mintUnknown, "the wallet trusts no mint yet: nobody could pay it")
        }
        guard terms.amount.map({ $0 > 0 && $0 <= UInt64(Int64.max) }) ?? true else {
            throw WalletError(.invalidArgument, "an amount to ask for must be above zero")
        }
        guard (terms.memo?.utf8.count ?? 0) <= 500 else {
            throw WalletError(.invalidArgument, "a memo has at most 500 bytes")
        }
        let id = WalletID.random()
        let lock =
            terms.isLocked
            ? RequestedLock(kind: SpendingSecret.p2pk, data: Hex.encode(try receivingKey())) : nil
        let request = try PaymentRequest(
            id: id,
            amount: terms.amount,
            unit: terms.unit,
            isSingleUse: terms.isSingleUse,
            mints: terms.mints.isEmpty ? trusted : terms.mints,
            description: terms.memo,
            transports: post.map { [PaymentTransport(kind: "post", target: $0(id))] } ?? [],
            lock: lock
        )
        let own = OwnRequest(
            id: id,
            text: request.serialized(),
            amount: terms.amount,
            unit: terms.unit,
            memo: terms.memo,
            isSingleUse: terms.isSingleUse,
            isLocked: terms.isLocked,
            state: .open,
            received: 0,
            createdAt: clock.now()
        )
        try await database.write { connection in try RequestStore.insert(own, in: connection) }
        return own
    }

    /// The latest requests that were made here, newest first.
    public func requests(limit: Int = 50) async throws -> [OwnRequest] {
        let bounded = min(max(1, limit), 1000)
        return try await database.read { connection in try RequestStore.recent(limit: bounded, in: connection) }
    }

    /// Takes a payment for a request: checks it, puts it into the inbox and claims it. The same payment again has the
    /// same answer, and is counted once.
    /// - Returns: the inbox's entry, claimed, or waiting where the mint does not answer now.
    /// - Throws: `notFound`, `requestPaid`, `mintUntrusted`, `wrongPayment` (unit, amount, mint or lock are not those
    ///   asked for), `invalidToken`, `tokenSpent`, `tokenLocked`, `inboxFull`; then nothing was taken.
    public func takePayment(_ payload: PaymentRequestPayload, for id: String) async throws -> InboxEntry {
        guard let own = try await database.read({ connection in try RequestStore.find(id, in: connection) }) else {
            throw WalletError(.notFound, "there is no such payment request here")
        }
        let request = try own.request()
        guard payload.id == nil || payload.id == id, payload.unit == own.unit else {
            throw WalletError(.wrongPayment, "the payment is for another request, or in another unit than \(own.unit)")
        }
        guard request.mints.contains(payload.mint) else {
            throw WalletError(.wrongPayment, "ecash of \(payload.mint) is not taken for this request")
        }
        try await requireTrust(in: payload.mint)
        let token = try Token(mint: payload.mint, unit: payload.unit, proofs: payload.proofs)
        let inbox = InboxStore.id(of: token)
        if let earlier = try await database.read({ connection in try InboxStore.find(inbox, in: connection) }),
            earlier.request == id, earlier.state != .failed
        {
            return earlier.state == .waiting ? try await claimedOrWaiting(inbox) : earlier
        }
        try await check(token, own)
        let now = clock.now()
        let mint = payload.mint
        let entry = try await database.write { connection in
            let entry = try InboxStore.put(
                token,
                at: mint,
                preimage: nil,
                request: id,
                swapTo: nil,
                now: now,
                in: connection
            )
            guard entry.request == id, entry.state == .waiting else {
                throw WalletError(.tokenSpent, "these coins were given to this wallet before")
            }
            if own.isSingleUse { try RequestStore.hold(id, for: entry.id, in: connection) }
            return entry
        }
        return try await claimedOrWaiting(entry.id)
    }

    /// Claims an entry; where the mint does not answer, it waits.
    private func claimedOrWaiting(_ id: String) async throws -> InboxEntry {
        do {
            return try await claimEntry(id)
        } catch let error as WalletError {
            let entry = try await database.read { connection in try InboxStore.find(id, in: connection) }
            guard let entry, entry.state == .waiting else { throw error }
            return entry
        }
    }

    private func check(_ token: Token, _ own: OwnRequest) async throws {
        let proofs = try await verified(token, at: token.mint)
        _ = try sign(proofs, keys: [], preimage: nil)
        let key = Secp256k1.Point(multiplyingGeneratorBy: try keys.receiving()).xOnly
        if own.isLocked {
            for proof in proofs {
                guard let condition = SpendingCondition(ofSecret: proof.secret), condition.hash == nil,
                    proof.ephemeralKey == nil, condition.keys.map(\.xOnly) == [key], condition.flag == .inputs
                else {
                    throw WalletError(.wrongPayment, "the coins are not locked to the key that the request names")
                }
            }
        }
        let terms = try await book.terms(token.mint)
        let planner = try OperationPlanner(
            terms: terms,
            unit: token.unit,
            maximumInputs: configuration.maximumInputs,
            at: clock.now()
        )
        let net = try planner.netWorth(of: proofs).amount
        guard net >= own.amount ?? 1 else {
            throw WalletError(
                .wrongPayment,
                "the payment is worth \(net) \(own.unit) after the mint's fee, and \(own.amount ?? 1) are asked for"
            )
        }
    }
}
