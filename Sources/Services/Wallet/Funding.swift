public import Cashu
internal import Cryptography
public import Encodings
internal import Lightning
internal import Logging
internal import Storage

/// An invoice that puts money into the wallet once it is paid.
public struct Funding: Sendable {
    public enum State: String, Sendable {
        /// Waits for the payment.
        case open
        /// Our own Lightning backend was told to pay it.
        case paying
        /// The coins are in the wallet.
        case issued
        /// The invoice lapsed unpaid.
        case expired
    }

    public var mint: MintURL
    public var quote: QuoteID
    public var unit: CurrencyUnit
    public var amount: UInt64
    /// BOLT 11.
    public var invoice: String
    /// When the invoice lapses, where the mint says so.
    public var expiry: Timestamp?
    public var state: State

    /// What the quote's own key is made of (NUT-20); nil: it has none.
    var keyNonce: [UInt8]?

    static let columns = "mint, quote, unit, amount, invoice, expiry, state, key_nonce"

    init(mint: MintURL, quote: MintQuote, keyNonce: [UInt8]?) {
        self.keyNonce = keyNonce
        self.mint = mint
        self.quote = quote.quote
        unit = quote.unit
        amount = quote.amount
        invoice = quote.request
        expiry = quote.expiry.flatMap { Int64(exactly: $0) }.map { Timestamp(secondsSince1970: $0) }
        state = .open
    }

    init(row: Row) throws {
        guard let state = State(rawValue: try row.text(6)) else {
            throw WalletError(.corrupt, "a funding of the wallet is in an unknown state")
        }
        mint = try MintURL(stored: row.text(0))
        quote = try QuoteID(row.text(1))
        unit = try CurrencyUnit(row.text(2))
        amount = try row.uint64(3)
        invoice = try row.text(4)
        expiry = try row.optionalInt64(5).map { Timestamp(millisecondsSince1970: $0) }
        self.state = state
        keyNonce = try row.optionalBlob(7)
    }

    func insert(at now: Timestamp, in connection: Connection) throws {
        try connection.execute(
            "INSERT INTO wallet_fundings (\(Self.columns), created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            .text(mint.string),
            .text(quote.string),
            .text(unit.name),
            try .amount(amount),
            .text(invoice),
            .optional(expiry?.millisecondsSince1970),
            .text(state.rawValue),
            .optional(keyNonce),
            .integer(now.millisecondsSince1970)
        )
    }

    /// What the key of a quote is made of, where it has one.
    static func keyNonce(_ quote: QuoteID, at mint: MintURL, in connection: Connection) throws -> [UInt8]? {
        try connection.first(
            "SELECT key_nonce FROM wallet_fundings WHERE mint = ? AND quote = ?",
            .text(mint.string),
            .text(quote.string)
        )?.optionalBlob(0)
    }
}

extension Wallet {
    /// Asks a mint for an invoice over `amount`. Nothing moves until somebody pays it; then `collect` brings the coins.
    /// - Throws: `mintUnknown`, `mintUnreachable`, `mintRefused`, `mintDishonest` where the invoice is for something else.
    public func requestInvoice(_ amount: UInt64, at mint: MintURL, unit: CurrencyUnit = .sat) async throws -> Funding {
        guard amount > 0, amount <= UInt64(Int64.max) else {
            throw WalletError(.invalidArgument, "an amount to fund must be above zero")
        }
        try await requireTrust(in: mint)
        let terms = try await book.terms(mint)
        _ = try terms.keysetForNewCoins(unit: unit, at: clock.now())
        // With a key of its own, a quote whose id leaks is of use to nobody else (NUT-20).
        let nonce = try await book.info(mint)?.supports(20) == true ? SecureRandom.bytes(16) : nil
        let key = try nonce.map { Secp256k1.Point(multiplyingGeneratorBy: try keys.quote(nonce: $0)) }
        let quote: MintQuote
        do {
            let request = MintQuoteRequest(amount: amount, unit: unit, publicKey: key)
            quote = try await book.client(mint).requestMintQuote(request)
        } catch {
            throw WalletError(error, mint: mint)
        }
        guard quote.amount == amount, quote.unit == unit else {
            throw WalletError(
                .mintDishonest,
                "\(mint) made a quote for \(quote.amount) \(quote.unit) instead of \(amount) \(unit)"
            )
        }
        try requireInvoice(quote.request, asksFor: amount, unit: unit, mint: mint)
        let funding = Funding(mint: mint, quote: quote, keyNonce: nonce)
        let now = clock.now()
        try await database.write { connection in try funding.insert(at: now, in: connection) }
        bell.ring()
        return funding
    }

    /// An invoice in sat must not ask for more than its quote says.
    private func requireInvoice(_ text: String, asksFor amount: UInt64, unit: CurrencyUnit, mint: MintURL) throws {
        guard unit == .sat || unit == .msat, let invoice = try? BOLT11Invoice(decoding: text),
            let asked = invoice.amountMsat
        else {
            return
        }
        let (expected, overflow) = amount.multipliedReportingOverflow(by: unit == .sat ? 1000 : 1)
        guard !overflow, asked <= expected else {
            throw WalletError(.mintDishonest, "\(mint) made an invoice over \(asked) msat for \(amount) \(unit)")
        }
    }

    /// Fetches the coins of a quote that a mint paid to this wallet without an invoice, such as the node's own mint for its own
    /// ecash. Safe to call again with the same quote.
    /// - Throws: as ``collect(_:)``.
    public func collect(granted quote: MintQuote, at mint: MintURL) async throws -> UInt64 {
        let funding = Funding(mint: mint, quote: quote, keyNonce: nil)
        let now = clock.now()
        try await database.write { connection in
            let isKnown = try connection.first(
                "SELECT 1 FROM wallet_fundings WHERE mint = ? AND quote = ?",
                .text(mint.string),
                .text(quote.quote.string)
            )
            if isKnown == nil { try funding.insert(at: now, in: connection) }
        }
        return try await collect(funding)
    }

    /// Fetches the coins of a paid invoice.
    /// - Throws: `invoiceUnpaid`, `invoiceExpired`, or `outcomeUnknown`; in the last case the coins come by `recover`.
    public func collect(_ funding: Funding) async throws -> UInt64 {
        if try await isFetched(funding) { return funding.amount }
        let quote: MintQuote
        do {
            quote = try await book.client(funding.mint).mintQuote(funding.quote)
        } catch {
            throw WalletError(error, mint: funding.mint)
        }
        switch quote.state {
        case .unpaid:
            throw try await unpaid(funding)
        case .issued where quote.amountMintable == 0:
            // Perhaps to this wallet, which heard of the payment elsewhere while the mint was asked here.
            if try await isFetched(funding) { return funding.amount }
            throw WalletError(
                .mintRefused,
                "\(funding.mint) says that the coins of this invoice were issued before, but not to this wallet"
            )
        case .paid, .issued:
            do {
                _ = try await perform(at: funding.mint, unit: funding.unit) { planner, connection in
                    switch try Self.pendingMint(funding, in: connection) {
                    case .minting(let running): throw AlreadyMinting(operation: running)
                    case .issued: throw AlreadyIssued()
                    case .none: return try planner.mint(funding.amount, quote: funding.quote, in: connection)
                    }
                }
            } catch is AlreadyIssued {
                // Another caller was quicker.
            } catch let other as AlreadyMinting {
                // It may have been sent: no connection now says nothing of whether the coins were issued.
                _ = try await runner.run(other.operation, isFresh: false)
            }
            return funding.amount
        }
    }

    /// Whether the coins of a funding are here; where they are on their way, sees that to its end.
    private func isFetched(_ funding: Funding) async throws -> Bool {
        let found = try await database.write { connection in try Self.pendingMint(funding, in: connection) }
        switch found {
        case .issued: break
        case .minting(let operation): _ = try await runner.run(operation, isFresh: false)
        case .none: return false
        }
        return true
    }

    struct AlreadyIssued: Error {}

    /// Another caller has planned to fetch the coins.
    private struct AlreadyMinting: Error { var operation: Operation }

    enum PendingMint {
        case none
        case issued
        case minting(Operation)
    }

    /// Whether the coins of a funding are here or on their way.
    static func pendingMint(_ funding: Funding, in connection: Connection) throws -> PendingMint {
        let state = try connection.first(
            "SELECT state FROM wallet_fundings WHERE mint = ? AND quote = ?",
            .text(funding.mint.string),
            .text(funding.quote.string)
        )?.text(0)
        if state == Funding.State.issued.rawValue { return .issued }
        return try Operation.planned(minting: funding.quote, at: funding.mint, in: connection)
            .map { .minting($0) } ?? .none
    }

    /// What is to be said of a funding that nobody has paid; one that lapsed is closed.
    func unpaid(_ funding: Funding) async throws -> WalletError {
        let now = clock.now()
        let isAwaited = try await database.read { connection in
            try MintSwapStore.awaits(funding.quote, at: funding.mint, in: connection)
        }
        guard !isAwaited else {
            return WalletError(.invoiceUnpaid, "the other mint is still paying this invoice")
        }
        // A payment may settle a little after the invoice lapses; an hour later it will not.
        guard let expiry = funding.expiry, expiry.adding(seconds: 3600) < now else {
            return WalletError(.invoiceUnpaid, "the invoice over \(funding.amount) \(funding.unit) is not paid yet")
        }
        try await setState(of: funding, .expired)
        return WalletError(.invoiceExpired, "the invoice lapsed on \(expiry) and was never paid")
    }

    private func setState(of funding: Funding, _ state: Funding.State) async throws {
        try await database.write { connection in
            try connection.execute(
                "UPDATE wallet_fundings SET state = ? WHERE mint = ? AND quote = ? AND state <> 'issued'",
                .text(state.rawValue),
                .text(funding.mint.string),
                .text(funding.quote.string)
            )
        }
    }

    /// Puts `amount` into the wallet: asks the mint for an invoice, pays it over our Lightning backend, and fetches the
    /// coins.
    /// - Parameter maximumFeeMsat: what the Lightning payment may cost on top.
    /// - Throws: `paymentFailed`, with nothing paid; `outcomeUnknown` where the payment is still under way: then
    ///   `recover` fetches the coins.
    public func fund(
        _ amount: UInt64,
        at mint: MintURL,
        unit: CurrencyUnit = .sat,
        maximumFeeMsat: UInt64 = 10_000
    ) async throws -> Funding {
        guard let lightning else {
            throw WalletError(
                .invalidArgument,
                "this node has no Lightning backend: ask for an invoice and pay it elsewhere"
            )
        }
        var funding = try await requestInvoice(amount, at: mint, unit: unit)
        try await setState(of: funding, .paying)
        let invoice: BOLT11Invoice
        do {
            invoice = try BOLT11Invoice(decoding: funding.invoice)
        } catch {
            try await setState(of: funding, .expired)
            throw WalletError(.mintDishonest, "\(mint) gave an invoice that cannot be read: \(error)", cause: error)
        }
        do {
            let outcome = try await lightning.pay(invoice: invoice, maximumFeeMsat: maximumFeeMsat)
            if case .failed(let failure) = outcome {
                try await setState(of: funding, .expired)
                throw WalletError(.paymentFailed, "the invoice was not paid: \(failure.message)")
            }
        } catch let error as LightningError {
            try await setState(of: funding, .open)
            throw WalletError(.paymentFailed, "the invoice was not paid: \(error.message)", cause: error)
        }
        try await awaitCoins(of: funding)
        funding.state = .issued
        return funding
    }

    /// The mint may hear of the payment a little after our backend does.
    func awaitCoins(of funding: Funding) async throws {
        for attempt in 1... {
            do {
                _ = try await collect(funding)
                return
            } catch let error as WalletError where error.code == .invoiceUnpaid {
                guard attempt < 8 else {
                    throw WalletError(
                        .outcomeUnknown,
                        "the invoice is being paid and the mint has not heard of it yet; the coins come by themselves"
                    )
                }
                await configuration.pause(50 << attempt)
            }
        }
    }

    /// The fundings of the last weeks, newest first, at most 200.
    public func fundings() async throws -> [Funding] {
        try await database.read { connection in
            try connection.rows("SELECT \(Funding.columns) FROM wallet_fundings ORDER BY created_at DESC LIMIT 200")
                .map(Funding.init(row:))
        }
    }
}
