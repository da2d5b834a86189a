public import Encodings
internal import Ledger
public import Lightning
public import Logging
public import Storage
internal import Synchronization

/// A simulated Lightning network: TEST MONEY in one database, for trying, demonstrating and testing with no chain, no
/// channels and no account anywhere.
///
/// Each account is a node of its own with its own key; its invoices are real, signed BOLT 11 with the currency of
/// regtest (`lnbcrt…`, see `LightningNetwork.simulated`). As on the real network, a preimage is released to a payer
/// only in the transaction that debits the payer and credits the payee, and a payment is made at most once a payment
/// hash. Every movement is a double-entry transfer in the ledger. What a method returned is durable; a crash between
/// two steps of a payment leaves it pending, and it goes on when the network is opened again.
public final class SimulatedNetwork: Sendable {
    /// Bounds and terms. The defaults suit one machine's tests and demonstrations.
    public struct Terms: Sendable {
        /// What a new account is given, in msat. Default: one million sat.
        public var faucetMsat: UInt64 = 1_000_000_000
        /// Over it no more accounts are opened.
        public var maximumAccounts = 10_000
        /// Invoices of one account that are neither paid nor cleared away.
        public var maximumUnpaidInvoices = 100_000
        /// Unpaid invoices are forgotten this long after their expiry.
        public var forgetsExpiredAfterSeconds: Int64 = 86_400
        /// Failed payments that are remembered for one account; older ones give way.
        public var maximumFailedPayments = 1000
        /// Movements in the whole ledger; over it the network takes no more payments.
        public var maximumTransfers: Int64 = 50_000_000
        /// What a payment costs the payer besides its amount.
        public var feeBaseMsat: UInt64 = 0
        /// Of the amount, rounded up to a whole msat. At most 1,000,000 counts.
        public var feePartsPerMillion: UInt64 = 0

        public init() {}
    }

    /// Stands before everything that a user may see.
    public static let notice = "TEST MONEY"
    static let unit = "msat"
    static let issued = Account("simulated:issued", .external)
    static let held = Account("simulated:held", .liability)
    static let fees = Account("simulated:fees", .liability)

    public let terms: Terms
    let database: Database
    let clock: WallClock
    /// Those that were asked for, by their token's digest; at most `Terms.maximumAccounts`. They never change, so that a
    /// request needs no reader of the database to know whose it is.
    let accounts = Mutex<[[UInt8]: SimulatedAccount]>([:])

    /// - Parameter database: opened with `SimulatedNetwork.migrations`, and used by nothing else.
    public init(database: Database, clock: WallClock, terms: Terms = Terms()) {
        self.database = database
        self.clock = clock
        self.terms = terms
    }

    /// Opens the network's own database, or creates it.
    /// - Parameter path: the file; its folder must exist.
    /// - Throws: `StorageError` with a sentence that says what to do.
    public convenience init(
        path: String,
        clock: WallClock,
        logger: Logger,
        terms: Terms = Terms()
    ) throws(StorageError) {
        let database = try Database(path: path, migrations: Self.migrations, logger: logger)
        self.init(database: database, clock: clock, terms: terms)
    }

    /// Writes what is queued and closes the database.
    public func close() async { await database.close() }

    static func holdings(_ account: String) -> Account { Account("simulated:account:\(account)", .liability) }

    /// Recomputes every balance from the transfers, and holds what is held against the payments that hold it.
    /// - Returns: sentences saying what does not add up; none where all is well.
    public func audit() async throws(LightningError) -> [String] {
        try await read { connection in
            var findings = try LedgerStore.audit(in: connection)
            let held = try LedgerStore.balance(of: Self.held, unit: Self.unit, in: connection)
            let row = try connection.first(
                "SELECT coalesce(sum(amount_msat + fee_msat), 0) FROM simulated_payments WHERE state = 0"
            )
            let pending = try row?.uint64(0) ?? 0
            if held != pending {
                findings.append("\(held) msat are held, but the pending payments hold \(pending) msat")
            }
            return findings
        }
    }

    /// What payers have paid in fees so far, in msat.
    public func feesMsat() async throws(LightningError) -> UInt64 {
        try await read { try LedgerStore.balance(of: Self.fees, unit: Self.unit, in: $0) }
    }

    // MARK: The database

    func write<T: Sendable>(
        _ body: @escaping @Sendable (Connection) throws -> T
    ) async throws(LightningError) -> T {
        do {
            return try await database.write(body)
        } catch {
            throw LightningError(simulatedNetwork: error)
        }
    }

    func read<T: Sendable>(
        _ body: @escaping @Sendable (Connection) throws -> T
    ) async throws(LightningError) -> T {
        do {
            return try await database.read(body)
        } catch {
            throw LightningError(simulatedNetwork: error)
        }
    }
}

extension LightningError {
    /// Names a failure inside the simulated network for whoever called it.
    init(simulatedNetwork error: any Error) {
        if let error = error as? LightningError {
            self = error
        } else if let error = error as? StorageError, error.code == .overloaded || error.code == .full {
            self.init(.limitReached, "the \(SimulatedNetwork.notice) network cannot take more: \(error)", cause: error)
        } else {
            self.init(.backendFailure, "the \(SimulatedNetwork.notice) network failed: \(error)", cause: error)
        }
    }
}
