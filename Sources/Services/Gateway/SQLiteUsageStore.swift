internal import Encodings
internal import Paywall
public import Storage

/// What holders of passports used: free calls, and the quantities that tiers go by ([PRC-3], [PRC-4]). Durable, each function
/// one transaction.
public struct SQLiteUsageStore: Sendable {
    let database: Database

    /// - Parameter database: opened with ``GatewayTables/migrations``.
    public init(database: Database) {
        self.database = database
    }

    /// The measure that free calls are counted under.
    static let freeCalls = "free"
    /// How long a period is kept after its end, in seconds.
    private static let keepSeconds: Int64 = 86_400

    // MARK: Free calls

    /// Takes one of today's free calls, to be ended by ``endFree(id:isServed:usage:now:)``.
    /// - Parameters:
    ///   - id: fresh.
    ///   - limit: how many a day.
    /// - Returns: false where there is none left: nothing is counted then.
    func takeFree(id: String, service: String, holder: String, limit: UInt64, now: Timestamp) async throws -> Bool {
        let start = PricePeriod.day.start(now)
        return try await database.write { connection in
            let key: [SQLValue] = [
                .text(service), .text(holder), .text(Self.freeCalls), .integer(start.secondsSince1970),
            ]
            try connection.execute(
                """
                INSERT INTO gateway_usage (service, holder, measure, start, quantity, ends) VALUES (?, ?, ?, ?, 1, ?)
                ON CONFLICT (service, holder, measure, start) DO UPDATE SET quantity = quantity + 1 WHERE quantity < ?
                """,
                key[0],
                key[1],
                key[2],
                key[3],
                .integer(start.adding(seconds: 86_400).secondsSince1970),
                try .amount(limit)
            )
            guard connection.changes == 1 else { return false }
            try connection.execute(
                "INSERT INTO gateway_free (id, service, holder, start) VALUES (?, ?, ?, ?)",
                .text(id),
                key[0],
                key[1],
                key[3]
            )
            return true
        }
    }

    /// Ends a free call: one that was not served is given back. A second end does nothing.
    func endFree(id: String, isServed: Bool, usage: [UsageEntry], now: Timestamp) async throws {
        try await database.write { connection in
            try Self.end(id, isServed: isServed, in: connection)
            if isServed { try Self.add(usage, at: now, in: connection) }
        }
    }

    private static func end(_ id: String, isServed: Bool, in connection: Connection) throws {
        let row = try connection.first(
            "DELETE FROM gateway_free WHERE id = ? RETURNING service, holder, start",
            .text(id)
        )
        guard let row, !isServed else { return }
        try connection.execute(
            """
            UPDATE gateway_usage SET quantity = quantity - 1
            WHERE service = ? AND holder = ? AND measure = ? AND start = ? AND quantity > 0
            """,
            .text(try row.text(0)),
            .text(try row.text(1)),
            .text(freeCalls),
            .integer(try row.int64(2))
        )
    }

    /// At start: free calls that a stop cut short were not served.
    func recover() async throws {
        try await database.write { connection in
            for row in try connection.rows("SELECT id FROM gateway_free") {
                try Self.end(try row.text(0), isServed: false, in: connection)
            }
        }
    }

    // MARK: Tiers

    /// What a holder used of each measure in its period.
    func used(
        service: String,
        holder: String,
        meters: [PriceMeter],
        now: Timestamp
    ) async throws -> [PriceMeasure: UInt64] {
        try await database.read { connection in
            var used: [PriceMeasure: UInt64] = [:]
            for meter in meters {
                guard let period = meter.period else { continue }
                let row = try connection.first(
                    "SELECT quantity FROM gateway_usage WHERE service = ? AND holder = ? AND measure = ? AND start = ?",
                    .text(service),
                    .text(holder),
                    .text(Self.name(meter.measure.key, period)),
                    .integer(period.start(now).secondsSince1970)
                )
                if let row { used[meter.measure] = try row.uint64(0) }
            }
            return used
        }
    }

    /// The free calls that a holder made today.
    func freeCalls(service: String, holder: String, now: Timestamp) async throws -> UInt64 {
        try await database.read { connection in
            try connection.first(
                "SELECT quantity FROM gateway_usage WHERE service = ? AND holder = ? AND measure = ? AND start = ?",
                .text(service),
                .text(holder),
                .text(Self.freeCalls),
                .integer(PricePeriod.day.start(now).secondsSince1970)
            )?.uint64(0) ?? 0
        }
    }

    /// Adds up what a call used. A sum past what a column holds stays at its most.
    static func add(_ entries: [UsageEntry], at now: Timestamp, in connection: Connection) throws {
        for entry in entries where entry.quantity > 0 {
            let start = entry.period.start(now)
            let end = entry.period.start(start.adding(seconds: entry.period == .day ? 86_400 : 32 * 86_400))
            let quantity = SQLValue.integer(Int64(clamping: min(entry.quantity, Price.maximumAmount)))
            try connection.execute(
                """
                INSERT INTO gateway_usage (service, holder, measure, start, quantity, ends) VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT (service, holder, measure, start) DO UPDATE SET quantity = min(quantity + ?, ?)
                """,
                .text(entry.service),
                .text(entry.holder),
                .text(name(entry.measure, entry.period)),
                .integer(start.secondsSince1970),
                quantity,
                .integer(end.secondsSince1970),
                quantity,
                try .amount(Price.maximumAmount)
            )
        }
    }

    private static func name(_ measure: String, _ period: PricePeriod) -> String { "\(period.rawValue) \(measure)" }

    /// Forgets periods that are over.
    func prune(now: Timestamp) async throws {
        let before = SQLValue.integer(now.adding(seconds: -Self.keepSeconds).secondsSince1970)
        // A look without the writer first: most rounds find nothing.
        let isThere = try await database.read { connection in
            try connection.first("SELECT 1 FROM gateway_usage WHERE ends <= ? LIMIT 1", before) != nil
        }
        guard isThere else { return }
        try await database.write { connection in
            try connection.execute("DELETE FROM gateway_usage WHERE ends <= ?", before)
        }
    }
}
