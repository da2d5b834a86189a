public import Cashu
public import Encodings
internal import Ledger
internal import Lightning

/// What an operator sees of a mint at a glance. Amounts are in the unit they stand beside.
public struct MintStatus: Sendable {
    public struct Unit: Sendable {
        public var unit: CurrencyUnit
        /// Ecash in circulation, over all keysets, by the ledger.
        public var outstanding: UInt64
        /// Paid quotes whose ecash was not asked for yet.
        public var unissued: UInt64
        /// What the mint earned: input fees, and what was paid above a melt's price.
        public var fees: UInt64
        /// What the operator lost to routing above the reserve, or to payments that settled late.
        public var losses: UInt64
        /// By the ledger, what should lie with the Lightning backend for it.
        public var lightning: UInt64
        /// What one unit is worth in millisatoshis; nil where Lightning does not settle it.
        public var msatPerUnit: UInt64?
    }

    public var units: [Unit]
    public var activeKeysets: Int
    public var keysets: Int
    /// In millisatoshis; nil where the backend does not answer.
    public var backendBalanceMsat: UInt64?
    /// Why there is no balance.
    public var backendError: String?
    public var network: String
    public var openMintQuotes: Int
    public var openMeltQuotes: Int
    /// Payments of unknown outcome, at most 1,000 counted.
    public var pendingMelts: Int
    public var lastEpoch: Int64?
    public var lastEpochClosedAt: Timestamp?
}

/// One line of a list of quotes.
public struct QuoteLine: Sendable {
    /// `mint` or `melt`.
    public var kind: String
    public var id: String
    public var unit: CurrencyUnit
    public var amount: UInt64
    public var state: String
    public var updatedAt: Timestamp
    public var startedAt: Timestamp?
}

extension QuoteLine {
    /// Every state that a quote of either kind can be in.
    public static let states = ["unpaid", "pending", "paid", "issued"]
}

/// One keyset with what its tables add up to.
public struct KeysetStatus: Sendable {
    public var sums: MintAudit.Keyset
    public var isActive: Bool
    public var inputFeePPK: UInt64
    /// Seconds since 1970.
    public var finalExpiry: UInt64?
    public var hasExpired: Bool
    public var createdAt: Timestamp?
    /// When the schedule puts another in its place; nil for none.
    public var rotatesAt: Timestamp?
}

extension Mint {
    /// Asks the backend for its balance; reads nothing large.
    /// - Throws: `StorageError`.
    public func status() async throws -> MintStatus {
        let accounts = try await store.accounts()
        func balance(_ unit: CurrencyUnit, _ matches: (String) -> Bool) -> UInt64 {
            accounts.filter { $0.unit == unit.name && matches($0.account.name) }.map(\.balance).reduce(0) { sum, next in
                let (total, overflow) = sum.addingReportingOverflow(next)
                return overflow ? .max : total
            }
        }
        let keysets = ring.all
        let units = Set(keysets.map(\.unit)).sorted { $0.name < $1.name }
        var backendBalance: UInt64?
        var backendError: String?
        do {
            backendBalance = try await backendGate.within { try await lightning.balanceMsat() }
        } catch {
            backendError = "\(error)"
        }
        let last = try await store.epoch(nil)
        return MintStatus(
            units: units.map { unit in
                MintStatus.Unit(
                    unit: unit,
                    outstanding: balance(unit) { $0.hasPrefix("mint:ecash:") },
                    unissued: balance(unit) { $0 == MintAccounts.unissued.name },
                    fees: balance(unit) { $0 == MintAccounts.fees.name },
                    losses: balance(unit) { $0 == MintAccounts.losses.name },
                    lightning: balance(unit) { $0 == MintAccounts.lightning.name },
                    msatPerUnit: try? rate(unit).msatPerUnit
                )
            },
            activeKeysets: keysets.filter(\.info.isActive).count,
            keysets: keysets.count,
            backendBalanceMsat: backendBalance,
            backendError: backendError,
            network: lightning.network.rawValue,
            openMintQuotes: try await store.unpaidMintQuoteCount(),
            openMeltQuotes: try await store.unpaidMeltQuoteCount(),
            pendingMelts: try await store.meltQuotes(in: .pending, count: 1000).count,
            lastEpoch: last?.number,
            lastEpochClosedAt: last?.closedAt
        )
    }

    /// Every keyset with what it issued and redeemed; reads all of the mint's rows.
    public func keysetStatuses() async throws -> [KeysetStatus] {
        let sums = try await store.audit().keysets
        let now = clock.now()
        let active = Set(activeKeysets.map(\.id))
        return try await store.keysets().compactMap { record in
            guard let sums = sums.first(where: { $0.id == record.info.id }) else { return nil }
            let interval = active.contains(record.info.id) ? configuration.rotationSeconds : nil
            return KeysetStatus(
                sums: sums,
                isActive: active.contains(record.info.id),
                inputFeePPK: record.info.inputFeePPK,
                finalExpiry: record.info.finalExpiry,
                hasExpired: record.info.hasExpired(now: now.unixSeconds),
                createdAt: record.createdAt,
                rotatesAt: interval.flatMap { seconds in record.createdAt?.adding(seconds: seconds) }
            )
        }
    }

    /// The latest quotes, newest first.
    /// - Parameters:
    ///   - kind: `mint` or `melt`; nil: both.
    ///   - state: such as `pending`; nil: all.
    ///   - count: 1 to 1,000, of each kind.
    public func quotes(kind: String?, state: String?, count: Int) async throws -> [QuoteLine] {
        let count = min(max(count, 1), 1000)
        var lines: [QuoteLine] = []
        let mintState = [StoredMintQuote.State.unpaid, .paid, .issued].first { $0.name == state }
        if kind != "melt", state == nil || mintState != nil {
            lines += try await store.mintQuotes(in: mintState, count: count).map {
                QuoteLine(
                    kind: "mint",
                    id: $0.id,
                    unit: $0.unit,
                    amount: $0.amount,
                    state: $0.state.name,
                    updatedAt: $0.updatedAt,
                    startedAt: nil
                )
            }
        }
        let meltState = [StoredMeltQuote.State.unpaid, .pending, .paid].first { $0.name == state }
        if kind != "mint", state == nil || meltState != nil {
            lines += try await store.meltQuotes(in: meltState, count: count).map {
                QuoteLine(
                    kind: "melt",
                    id: $0.id,
                    unit: $0.unit,
                    amount: $0.amount,
                    state: $0.state.name,
                    updatedAt: $0.updatedAt,
                    startedAt: $0.startedAt
                )
            }
        }
        return lines.sorted { $0.updatedAt > $1.updatedAt }
    }
}

extension StoredMintQuote.State {
    var name: String {
        switch self {
        case .unpaid: "unpaid"
        case .paid: "paid"
        case .issued: "issued"
        }
    }
}
