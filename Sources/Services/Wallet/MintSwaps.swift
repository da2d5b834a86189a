internal import CanonicalJSON
public import Cashu
internal import Encodings
internal import Lightning
internal import Logging
internal import Paywall
internal import Storage

/// Ecash of one mint for ecash of another, over Lightning: the source pays the target's invoice (NUT-05, NUT-04).
public struct MintSwap: Sendable, Equatable {
    public enum State: String, Sendable {
        /// Both mints have named their terms; nothing moved.
        case quoted
        /// The source was given the coins; it is not known yet what it did.
        case paying
        /// The source has paid; the target's coins are to be fetched.
        case paid
        case done
        /// Given up before anything moved.
        case dropped
    }

    public var id: String
    public var source: MintURL
    public var target: MintURL
    public var unit: CurrencyUnit
    /// What arrives at the target.
    public var amount: UInt64
    /// The most it costs on top, at the source.
    public var maximumFee: UInt64
    /// What it cost, once that is known.
    public var fee: UInt64?
    public var state: State
}

/// The table `wallet_crossings`.
enum MintSwapStore {
    struct Entry: Sendable {
        var swap: MintSwap
        /// The melt quote at the source.
        var quote: MeltQuote
        /// The mint quote at the target.
        var funding: QuoteID
    }

    static func insert(_ entry: Entry, at now: Timestamp, in connection: Connection) throws {
        let swap = entry.swap
        try connection.execute(
            """
            INSERT INTO wallet_crossings
                (id, source, target, unit, amount, maximum_fee, state, quote, funding, created_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (id) DO UPDATE SET amount = excluded.amount, maximum_fee = excluded.maximum_fee,
                state = excluded.state, quote = excluded.quote, funding = excluded.funding
            WHERE wallet_crossings.state IN ('quoted', 'dropped')
            """,
            .text(swap.id),
            .text(swap.source.string),
            .text(swap.target.string),
            .text(swap.unit.name),
            try .amount(swap.amount),
            try .amount(swap.maximumFee),
            .text(swap.state.rawValue),
            .text(String(decoding: entry.quote.json.serialized(), as: UTF8.self)),
            .text(entry.funding.string),
            .integer(now.millisecondsSince1970)
        )
        guard connection.changes == 1 else {
            throw WalletError(.invalidArgument, "the swap \(swap.id) is under way already")
        }
    }

    static func find(_ id: String, in connection: Connection) throws -> Entry? {
        try connection.first("SELECT \(columns) FROM wallet_crossings WHERE id = ?", .text(id)).map(entry(row:))
    }

    static func recent(limit: Int, in connection: Connection) throws -> [Entry] {
        try connection.rows(
            "SELECT \(columns) FROM wallet_crossings ORDER BY created_at DESC LIMIT ?",
            .int(limit)
        ).map(entry(row:))
    }

    private static let columns =
        "id, source, target, unit, amount, maximum_fee, fee, state, quote, funding"

    private static func entry(row: Row) throws -> Entry {
        guard let state = MintSwap.State(rawValue: try row.text(7)) else {
            throw WalletError(.corrupt, "a swap of the wallet is in an unknown state")
        }
        let swap = MintSwap(
            id: try row.text(0),
            source: try MintURL(stored: row.text(1)),
            target: try MintURL(stored: row.text(2)),
            unit: try CurrencyUnit(row.text(3)),
            amount: try row.uint64(4),
            maximumFee: try row.uint64(5),
            fee: try row.optionalInt64(6).map { UInt64(max(0, $0)) },
            state: state
        )
        return Entry(
            swap: swap,
            quote: try MeltQuote(json: JSONValue.parse(Array(row.text(8).utf8), limits: .walletTable)),
            funding: try QuoteID(row.text(9))
        )
    }

    /// Ties a swap to the melt that was just planned, in the same transaction.
    /// - Throws: `invalidArgument` where it is under way or over, or its terms are others than those the melt is for.
    static func begin(_ entry: Entry, operation: String, in connection: Connection) throws {
        try connection.execute(
            """
            UPDATE wallet_crossings SET state = 'paying', operation = ?
            WHERE id = ? AND state = 'quoted' AND funding = ?
            """,
            .text(operation),
            .text(entry.swap.id),
            .text(entry.funding.string)
        )
        guard connection.changes == 1 else {
            throw WalletError(.invalidArgument, "this swap is under way or over, or was quoted anew: ask for a new one")
        }
    }

    /// The melt went through.
    static func paid(operation: String, fee: UInt64, in connection: Connection) throws {
        try connection.execute(
            "UPDATE wallet_crossings SET state = 'paid', fee = ? WHERE operation = ? AND state = 'paying'",
            try .amount(fee),
            .text(operation)
        )
    }

    /// The melt did not happen.
    static func refused(operation: String, in connection: Connection) throws {
        try connection.execute(
            "UPDATE wallet_crossings SET state = 'quoted', operation = NULL WHERE operation = ? AND state = 'paying'",
            .text(operation)
        )
    }

    /// The target's coins are here.
    static func arrived(_ funding: QuoteID, at target: MintURL, in connection: Connection) throws {
        try connection.execute(
            "UPDATE wallet_crossings SET state = 'done' WHERE target = ? AND funding = ? AND state <> 'dropped'",
            .text(target.string),
            .text(funding.string)
        )
    }

    /// Whether the source may still pay, or has paid, the invoice of a funding.
    static func awaits(_ funding: QuoteID, at target: MintURL, in connection: Connection) throws -> Bool {
        try connection.first(
            "SELECT 1 FROM wallet_crossings WHERE target = ? AND funding = ? AND state IN ('paying', 'paid')",
            .text(target.string),
            .text(funding.string)
        ) != nil
    }

    static func drop(_ id: String, in connection: Connection) throws {
        try connection.execute(
            "UPDATE wallet_crossings SET state = 'dropped' WHERE id = ? AND state = 'quoted'",
            .text(id)
        )
    }
}

extension Wallet {
    /// Asks both mints what it takes to have `amount` more at `target`. Nothing moves; `perform` does it.
    /// - Throws: `mintUnknown`, `mintUntrusted` (the target), `mintUnreachable`, `mintRefused`, `mintDishonest`,
    ///   `insufficientFunds`.
    public func quoteSwap(
        _ amount: UInt64,
        from source: MintURL,
        to target: MintURL,
        unit: CurrencyUnit = .sat
    ) async throws -> MintSwap {
        let swap = try await quoteSwap(amount, from: source, to: target, unit: unit, id: WalletID.random())
        let need = try Amounts.adding(swap.amount, swap.maximumFee)
        let now = clock.now()
        let there = try await database.read { connection in
            try Amounts.sum(CoinStore.available(mint: source, unit: unit, at: now, in: connection).map(\.amount))
        }
        guard there >= need else {
            throw WalletError(
                .insufficientFunds,
                "\(swap.amount) \(unit) and up to \(swap.maximumFee) \(unit) of fees are needed at \(source),"
                    + " and \(there) \(unit) are there"
            )
        }
        return swap
    }

    func quoteSwap(
        _ amount: UInt64,
        from source: MintURL,
        to target: MintURL,
        unit: CurrencyUnit,
        id: String
    ) async throws -> MintSwap {
        guard source != target else { throw WalletError(.invalidArgument, "both mints are the same") }
        let terms = try await book.terms(source)
        let keyset = try terms.keysetForNewCoins(unit: unit, at: clock.now())
        let funding = try await requestInvoice(amount, at: target, unit: unit)
        let quote: MeltQuote
        do {
            let invoice = try BOLT11Invoice(decoding: funding.invoice)
            quote = try await book.client(source).requestMeltQuote(MeltQuoteRequest(request: invoice.text, unit: unit))
            try check(quote, asked: invoice.amountMsat ?? 0, unit: unit, maximumFee: .max, mint: source)
        } catch let error as MintAPIError {
            throw WalletError(error, mint: source)
        } catch let error as LightningError {
            throw WalletError(.mintDishonest, "\(target) gave an invoice that cannot be read: \(error)", cause: error)
        }
        // Coins are made to fit first, then given: each exchange has its input fee.
        let need = try Amounts.adding(quote.amount, quote.feeReserve)
        let fitted = try Fees.grossedUp(price: need, feePPK: keyset.info.inputFeePPK)
        let limit = configuration.maximumInputs
        let now = clock.now()
        let chosen = try await database.read { connection in
            let coins = try CoinStore.available(mint: source, unit: unit, at: now, in: connection)
            return try CoinSelection.covering(coins, target: fitted, maximumInputs: limit)
        }
        let making =
            try chosen.map { try Fees.total(inputFeesPPK: $0.map(\.feePPK)) }
            ?? Fees.total(inputs: fitted.nonzeroBitCount, feePPK: keyset.info.inputFeePPK)
        let most = try Amounts.adding(fitted - min(fitted, amount), making)
        let swap = MintSwap(
            id: id,
            source: source,
            target: target,
            unit: unit,
            amount: amount,
            maximumFee: most,
            state: .quoted
        )
        let entry = MintSwapStore.Entry(swap: swap, quote: quote, funding: funding.quote)
        try await database.write { connection in try MintSwapStore.insert(entry, at: now, in: connection) }
        return swap
    }

    /// Carries a quoted swap out, or finishes one that is under way. Safe to call again, whatever happened before.
    /// - Throws: `paymentFailed`, `insufficientFunds` and the like with nothing moved; `outcomeUnknown`: then `recover`
    ///   finishes it.
    public func performSwap(_ id: String) async throws -> MintSwap {
        guard let entry = try await database.read({ connection in try MintSwapStore.find(id, in: connection) }) else {
            throw WalletError(.notFound, "there is no swap \(id.prefix(80))")
        }
        let swap = entry.swap
        if swap.state == .quoted {
            try await prepareCoins(for: entry.quote, at: swap.source, unit: swap.unit)
            _ = try await perform(at: swap.source, unit: swap.unit) { planner, connection in
                let operation = try Self.planMelt(entry.quote, planner, in: connection)
                try MintSwapStore.begin(entry, operation: operation.id, in: connection)
                return operation
            }
        }
        guard swap.state != .dropped else {
            throw WalletError(.invalidArgument, "this swap was dropped: ask for a new one")
        }
        if swap.state != .done { try await collectSwap(entry) }
        return try await self.swap(id)
    }

    private func collectSwap(_ entry: MintSwapStore.Entry) async throws {
        let target = entry.swap.target
        let funding = try await database.read { connection in
            try connection.first(
                "SELECT \(Funding.columns) FROM wallet_fundings WHERE mint = ? AND quote = ?",
                .text(target.string),
                .text(entry.funding.string)
            ).map(Funding.init(row:))
        }
        guard let funding else { throw WalletError(.corrupt, "a swap of the wallet has lost its invoice") }
        try await awaitCoins(of: funding)
    }

    /// A swap by its id.
    public func swap(_ id: String) async throws -> MintSwap {
        guard let entry = try await database.read({ connection in try MintSwapStore.find(id, in: connection) }) else {
            throw WalletError(.notFound, "there is no swap \(id.prefix(80))")
        }
        return entry.swap
    }

    /// The latest swaps between mints, newest first.
    public func swaps(limit: Int = 50) async throws -> [MintSwap] {
        let bounded = min(max(1, limit), 1000)
        return try await database.read { connection in
            try MintSwapStore.recent(limit: bounded, in: connection).map(\.swap)
        }
    }

    /// Quotes a swap of as much as `budget` at the source pays for, fees and all.
    /// - Throws: `belowFee` where the fees would eat it.
    func quoteLargestSwap(
        budget: UInt64,
        from source: MintURL,
        to target: MintURL,
        unit: CurrencyUnit,
        id: String
    ) async throws -> MintSwap {
        var amount = budget
        for _ in 0..<6 where amount > 0 {
            let swap = try await quoteSwap(amount, from: source, to: target, unit: unit, id: id)
            let need = try Amounts.adding(swap.amount, swap.maximumFee)
            if need <= budget { return swap }
            amount -= min(amount, need - budget)
        }
        try await database.write { connection in try MintSwapStore.drop(id, in: connection) }
        throw WalletError(.belowFee, "the fees of a swap to \(target) would take all of these \(budget) \(unit)")
    }
}
