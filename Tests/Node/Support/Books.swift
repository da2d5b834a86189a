import Foundation
import GRDB
import TestSupport

/// A node's database as it stands on disk, read past the node: while it works, and while it lies dead.
struct Books: Sendable {
    private let path: String

    init(_ node: TestedNode) {
        path = node.directory + "/node.sqlite"
    }

    init(path: String) {
        self.path = path
    }

    private static func open(_ path: String) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.readonly = true
        configuration.busyMode = .timeout(5)
        return try DatabaseQueue(path: path, configuration: configuration)
    }

    /// One whole number from one snapshot.
    func number(_ sql: String, _ arguments: [String] = []) throws -> Int64 {
        try Self.open(path).read { try Int64.fetchOne($0, sql: sql, arguments: StatementArguments(arguments)) ?? 0 }
    }

    func text(_ sql: String, _ arguments: [String] = []) throws -> String? {
        try Self.open(path).read { try String.fetchOne($0, sql: sql, arguments: StatementArguments(arguments)) }
    }

    func texts(_ sql: String, _ arguments: [String] = []) throws -> [String] {
        try Self.open(path).read { try String.fetchAll($0, sql: sql, arguments: StatementArguments(arguments)) }
    }

    /// Waits until the query finds a row.
    /// - Returns: false where it did not within the time.
    func waits(forRow sql: String, _ arguments: [String], timeoutSeconds: Double) async throws -> Bool {
        let queue = try Self.open(path)
        let deadline = ContinuousClock.now + .seconds(timeoutSeconds)
        while ContinuousClock.now < deadline {
            let found = try await queue.read { database in
                try Bool.fetchOne(
                    database,
                    sql: "SELECT EXISTS (\(sql))",
                    arguments: StatementArguments(arguments)
                )
            }
            if found == true { return true }
            try await Task.sleep(for: .microseconds(200))
        }
        return false
    }

    /// What the ledger has on accounts of one kind, by the sign that the books of a seller and a buyer have.
    struct Sums: Sendable, Equatable, CustomStringConvertible {
        /// Coins in the wallet, free or locked to a seller and not given out.
        var wallet: Int64 = 0
        /// Taken by the gateway and not yet redeemed.
        var unredeemed: Int64 = 0
        /// Owed to buyers whose calls are not settled.
        var escrow: Int64 = 0
        var revenue: Int64 = 0
        var losses: Int64 = 0
        /// Ecash of the node's own mint in circulation.
        var circulating: Int64 = 0
        /// Paid for at the mint, and not yet issued.
        var unissued: Int64 = 0
        /// Calls, payments, exchanges and redemptions without an end.
        var open: Int64 = 0

        var description: String {
            "wallet \(wallet), unredeemed \(unredeemed), escrow \(escrow), revenue \(revenue), losses \(losses), "
                + "circulating \(circulating), unissued \(unissued), open \(open)"
        }
    }

    /// Debits less credits over the accounts of these names.
    func sums(of accounts: [String]) throws -> Int64 {
        try accounts.reduce(0) { sum, name in
            try sum + number("SELECT coalesce(sum(debits - credits), 0) FROM ledger_accounts WHERE name = ?", [name])
        }
    }

    func sums() throws -> Sums {
        try Self.open(path).read { database in
            func assets(_ prefix: String) throws -> Int64 {
                try Int64.fetchOne(
                    database,
                    sql: "SELECT coalesce(sum(debits - credits), 0) FROM ledger_accounts WHERE name LIKE ?",
                    arguments: [prefix + "%"]
                ) ?? 0
            }
            func count(_ sql: String) throws -> Int64 { try Int64.fetchOne(database, sql: sql) ?? 0 }
            var sums = Sums()
            sums.wallet = try assets("wallet:ecash:") + assets("wallet:locked:")
            sums.unredeemed = try assets("gateway:unredeemed:")
            sums.escrow = -(try assets("gateway:escrow"))
            sums.revenue = -(try assets("gateway:revenue:"))
            sums.losses = try assets("gateway:losses") + assets("wallet:disputed") + assets("mint:losses")
            sums.circulating = -(try assets("mint:ecash:"))
            sums.unissued = -(try assets("mint:unissued"))
            sums.open =
                try count("SELECT count(*) FROM wallet_payments WHERE state IN ('sent', 'pending', 'refunding')")
                + count("SELECT count(*) FROM wallet_operations WHERE state = 'planned'")
                + count("SELECT count(*) FROM gateway_claims WHERE state NOT IN ('served', 'refunded')")
            return sums
        }
    }
}

extension World {
    /// What was paid over Lightning to the seller's mint, in sat, by the simulator's own books.
    func paidOverLightning() throws -> Int64 {
        let books = Books(path: folder.path + "/lightning-simulator/lightning.sqlite")
        return try books.number("SELECT coalesce(sum(amount_msat), 0) FROM simulated_payments WHERE state = 1") / 1000
    }
}
