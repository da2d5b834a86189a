public import Cashu
public import Encodings
public import Storage

/// Whose spending a limit bounds.
public enum LimitSubject: Hashable, Sendable {
    /// All that leaves this wallet.
    case wallet
    /// What is spent on an agent's account, by the name that `PaidRequest.agent` has.
    case agent(String)
    /// What goes to a seller's host: `shop.example` for all its ports, `shop.example:8443` for one. Lower case.
    case host(String)
    /// What goes to a seller's key, 33 bytes.
    case key([UInt8])

    /// As it stands in the tables and in answers: `wallet`, `agent:…`, `host:…`, `key:…`.
    public var text: String {
        switch self {
        case .wallet: "wallet"
        case .agent(let name): "agent:" + name
        case .host(let host): "host:" + host
        case .key(let key): "key:" + Hex.encode(key)
        }
    }

    /// - Throws: `invalidArgument` for what is no subject.
    public init(text: String) throws(WalletError) {
        let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
        let name = parts.count == 2 ? parts[1] : ""
        guard text.utf8.count <= 300 else {
            throw WalletError(.invalidArgument, "a limit's subject has at most 300 characters")
        }
        switch parts.first {
        case "wallet" where parts.count == 1: self = .wallet
        case "agent" where !name.isEmpty: self = .agent(name)
        case "host" where !name.isEmpty: self = .host(name.lowercased())
        case "key":
            guard let key = try? Hex.decode(name), key.count == 33 else {
                throw WalletError(.invalidArgument, "a seller's key has 66 hex digits")
            }
            self = .key(key)
        default:
            throw WalletError(.invalidArgument, "a limit is on wallet, agent:NAME, host:NAME or key:HEX")
        }
    }
}

/// The most that may be spent on a UTC day.
public struct DailyLimit: Sendable, Equatable {
    public var subject: LimitSubject
    public var unit: CurrencyUnit
    public var amount: UInt64
    /// What went out today, less what came back.
    public var spentToday: UInt64
}

/// A movement of money out of the wallet, as limits see it.
struct Spend: Sendable {
    /// Of the operation or token it belongs to; nil for a call, whose payment record says the same.
    var id: String?
    var agent: String = ""
    /// With its port.
    var host: (name: String, port: Int)?
    var key: [UInt8]?
    var unit: CurrencyUnit
    var amount: UInt64
    var at: Timestamp

    var subjects: [LimitSubject] {
        var subjects = [LimitSubject.wallet]
        if !agent.isEmpty { subjects.append(.agent(agent)) }
        if let host { subjects += [.host(host.name), .host("\(host.name):\(host.port)")] }
        if let key, !key.isEmpty { subjects.append(.key(key)) }
        return subjects
    }

    var day: Int64 { SpendingLimits.day(of: at) }

    /// Charges it under the id of what moves it.
    func charged(as id: String, in connection: Connection) throws {
        var spend = self
        spend.id = id
        try SpendingLimits.charge(spend, in: connection)
    }
}

/// Who a spend is charged to beyond the wallet itself; for callers of `send`, `payInvoice` and the like.
public struct SpendingAccount: Sendable {
    /// On whose account it goes; empty: the operator's own.
    public var agent: String

    public init(agent: String = "") { self.agent = agent }
}

/// The tables `wallet_limits` (the limits), `wallet_spent` (what was spent of each, by day) and `wallet_spends` (spends
/// that are no calls). All runs inside the transaction that records the intent, so that no two spends can both take the
/// last of a limit.
enum SpendingLimits {
    static func day(of time: Timestamp) -> Int64 {
        let seconds = time.secondsSince1970
        return seconds >= 0 ? seconds / 86_400 : (seconds - 86_399) / 86_400
    }

    /// Counts a spend against every limit it falls under.
    /// - Throws: `limitExceeded` where one has no room for it; then the caller's transaction must end.
    static func charge(_ spend: Spend, in connection: Connection) throws {
        let subjects = spend.subjects
        for (subject, limit) in try limits(on: subjects, unit: spend.unit, in: connection) {
            try require(limit, on: subject, for: spend, in: connection)
            try raise(subject, spend.unit, spend.day, by: spend.amount, in: connection)
        }
        guard let id = spend.id else { return }
        try connection.execute(
            "INSERT INTO wallet_spends (id, day, unit, amount, subjects) VALUES (?, ?, ?, ?, ?)",
            .text(id),
            .integer(spend.day),
            .text(spend.unit.name),
            try .amount(spend.amount),
            .text(subjects.map(\.text).joined(separator: "\n"))
        )
    }

    /// - Throws: `limitExceeded`, as `charge` would.
    static func requireRoom(for spend: Spend, in connection: Connection) throws {
        for (subject, limit) in try limits(on: spend.subjects, unit: spend.unit, in: connection) {
            try require(limit, on: subject, for: spend, in: connection)
        }
    }

    private static func require(_ limit: UInt64, on subject: String, for spend: Spend, in connection: Connection) throws
    {
        let spent = try spentToday(subject, spend.unit, spend.day, in: connection)
        let (total, overflow) = spent.addingReportingOverflow(spend.amount)
        guard !overflow, total <= limit else {
            throw WalletError(
                .limitExceeded,
                "\(subject) may spend \(limit) \(spend.unit) a day and has spent \(spent): \(spend.amount) more would be"
                    + " too much; nothing was paid"
            )
        }
    }

    /// What the tightest limit still allows; nil where none applies.
    static func room(for spend: Spend, in connection: Connection) throws -> UInt64? {
        var room: UInt64?
        for (subject, limit) in try limits(on: spend.subjects, unit: spend.unit, in: connection) {
            let spent = try spentToday(subject, spend.unit, spend.day, in: connection)
            room = min(room ?? .max, limit > spent ? limit - spent : 0)
        }
        return room
    }

    /// Gives back what was counted for a spend and is in the wallet again.
    static func giveBack(_ amount: UInt64, of spend: Spend, in connection: Connection) throws {
        guard amount > 0 else { return }
        for subject in spend.subjects {
            try lower(subject.text, spend.unit.name, spend.day, by: amount, in: connection)
        }
    }

    /// Sets what a spend that is no call came to in the end: 0 where it did not happen. It never goes up.
    static func settle(_ id: String, actual: UInt64, in connection: Connection) throws {
        let row = try connection.first("SELECT day, unit, amount, subjects FROM wallet_spends WHERE id = ?", .text(id))
        guard let row, try row.uint64(2) > actual else { return }
        let (day, unit, surplus) = (try row.int64(0), try row.text(1), try row.uint64(2) - actual)
        for subject in try row.text(3).split(separator: "\n") {
            try lower(String(subject), unit, day, by: surplus, in: connection)
        }
        try connection.execute("UPDATE wallet_spends SET amount = ? WHERE id = ?", try .amount(actual), .text(id))
    }

    /// Gives back a part of a spend that is no call.
    static func giveBack(_ amount: UInt64, id: String, in connection: Connection) throws {
        guard let spent = try connection.first("SELECT amount FROM wallet_spends WHERE id = ?", .text(id))?.uint64(0)
        else { return }
        try settle(id, actual: spent > amount ? spent - amount : 0, in: connection)
    }

    // MARK: The rows

    /// The limits on any of the subjects, by their text. A subject that has limits in other units only may spend nothing
    /// in this one: what cannot be counted against its limit must not go past it.
    private static func limits(
        on subjects: [LimitSubject],
        unit: CurrencyUnit,
        in connection: Connection
    ) throws -> [(String, UInt64)] {
        let names = subjects.map(\.text) + Array(repeating: "", count: max(0, 5 - subjects.count))
        let rows = try connection.rows(
            "SELECT subject, unit, amount FROM wallet_limits WHERE subject IN (?, ?, ?, ?, ?)",
            .text(names[0]),
            .text(names[1]),
            .text(names[2]),
            .text(names[3]),
            .text(names[4])
        )
        guard !rows.isEmpty else { return [] }
        var found: [String: UInt64] = [:]
        for row in rows {
            let subject = try row.text(0)
            if try row.text(1) == unit.name {
                found[subject] = try row.uint64(2)
            } else if found[subject] == nil {
                found[subject] = 0
            }
        }
        return found.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    private static func spentToday(_ subject: String, _ unit: CurrencyUnit, _ day: Int64, in connection: Connection)
        throws -> UInt64
    {
        try connection.first(
            "SELECT amount FROM wallet_spent WHERE subject = ? AND unit = ? AND day = ?",
            .text(subject),
            .text(unit.name),
            .integer(day)
        )?.uint64(0) ?? 0
    }

    private static func raise(
        _ subject: String,
        _ unit: CurrencyUnit,
        _ day: Int64,
        by amount: UInt64,
        in connection: Connection
    ) throws {
        try connection.execute(
            """
            INSERT INTO wallet_spent (subject, unit, day, amount) VALUES (?, ?, ?, ?)
            ON CONFLICT (subject, unit, day) DO UPDATE SET amount = amount + excluded.amount
            """,
            .text(subject),
            .text(unit.name),
            .integer(day),
            try .amount(amount)
        )
    }

    private static func lower(
        _ subject: String,
        _ unit: String,
        _ day: Int64,
        by amount: UInt64,
        in connection: Connection
    ) throws {
        try connection.execute(
            "UPDATE wallet_spent SET amount = max(0, amount - ?) WHERE subject = ? AND unit = ? AND day = ?",
            try .amount(amount),
            .text(subject),
            .text(unit),
            .integer(day)
        )
    }

    // MARK: The operator's side

    private static let maximumLimits: Int64 = 1000

    static func set(_ limit: DailyLimit, at now: Timestamp, in connection: Connection) throws {
        let count = try connection.first("SELECT count(*) FROM wallet_limits")?.int64(0) ?? 0
        guard count < maximumLimits else {
            throw WalletError(.invalidArgument, "the wallet holds \(maximumLimits) limits, which is the most it takes")
        }
        try connection.execute(
            """
            INSERT INTO wallet_limits (subject, unit, amount, set_at) VALUES (?, ?, ?, ?)
            ON CONFLICT (subject, unit) DO UPDATE SET amount = excluded.amount, set_at = excluded.set_at
            """,
            .text(limit.subject.text),
            .text(limit.unit.name),
            try .amount(limit.amount),
            .integer(now.millisecondsSince1970)
        )
        // What was spent today before there was a limit counts too.
        let day = day(of: now)
        let spent = try counted(limit.subject, limit.unit, day: day, in: connection)
        try connection.execute(
            """
            INSERT INTO wallet_spent (subject, unit, day, amount) VALUES (?, ?, ?, ?)
            ON CONFLICT (subject, unit, day) DO UPDATE SET amount = excluded.amount
            """,
            .text(limit.subject.text),
            .text(limit.unit.name),
            .integer(day),
            try .amount(spent)
        )
    }

    /// - Returns: false where there was none.
    static func remove(_ subject: LimitSubject, unit: CurrencyUnit, in connection: Connection) throws -> Bool {
        try connection.execute(
            "DELETE FROM wallet_limits WHERE subject = ? AND unit = ?",
            .text(subject.text),
            .text(unit.name)
        )
        let wasThere = connection.changes == 1
        try connection.execute(
            "DELETE FROM wallet_spent WHERE subject = ? AND unit = ?",
            .text(subject.text),
            .text(unit.name)
        )
        return wasThere
    }

    static func all(at now: Timestamp, in connection: Connection) throws -> [DailyLimit] {
        let day = day(of: now)
        return try connection.rows("SELECT subject, unit, amount FROM wallet_limits ORDER BY subject, unit").map {
            let unit = try CurrencyUnit($0.text(1))
            return DailyLimit(
                subject: try LimitSubject(text: $0.text(0)),
                unit: unit,
                amount: try $0.uint64(2),
                spentToday: try spentToday($0.text(0), unit, day, in: connection)
            )
        }
    }

    /// What a subject spent on a day by the records themselves: calls and the rest.
    static func counted(_ subject: LimitSubject, _ unit: CurrencyUnit, day: Int64, in connection: Connection) throws
        -> UInt64
    {
        var total: UInt64 = 0
        let calls = try connection.rows(
            """
            SELECT agent, url, seller, amount + fee, min(amount + fee, returned), created_at FROM wallet_payments
            WHERE unit = ? AND created_at >= ? AND created_at < ? AND state <> 'refused'
            """,
            .text(unit.name),
            .integer(day * 86_400_000),
            .integer((day + 1) * 86_400_000)
        )
        for row in calls {
            let spend = Spend(
                agent: try row.text(0),
                host: WebAddress.hostAndPort(try row.text(1)),
                key: try row.blob(2),
                unit: unit,
                amount: try row.uint64(3),
                at: Timestamp(millisecondsSince1970: try row.int64(5))
            )
            guard spend.subjects.contains(subject) else { continue }
            total = try Amounts.adding(total, spend.amount - row.uint64(4))
        }
        let others = try connection.rows(
            "SELECT amount, subjects FROM wallet_spends WHERE unit = ? AND day = ?",
            .text(unit.name),
            .integer(day)
        )
        for row in others where try row.text(1).split(separator: "\n").contains(subject.text[...]) {
            total = try Amounts.adding(total, row.uint64(0))
        }
        return total
    }

    /// Forgets what was spent on days long past.
    static func prune(at now: Timestamp, in connection: Connection) throws {
        let oldest = day(of: now) - 7
        try connection.execute("DELETE FROM wallet_spent WHERE day < ?", .integer(oldest))
        try connection.execute("DELETE FROM wallet_spends WHERE day < ?", .integer(oldest))
    }
}

extension PaymentRecord {
    /// The payment as limits see it.
    var spend: Spend {
        Spend(
            agent: agent,
            host: WebAddress.hostAndPort(url),
            key: seller,
            unit: unit,
            amount: amount + fee,
            at: createdAt
        )
    }
}

extension Wallet {
    /// Bounds what may be spent on a UTC day, from now on; what was spent today counts.
    /// - Throws: `invalidArgument`.
    public func setLimit(_ amount: UInt64, on subject: LimitSubject, unit: CurrencyUnit = .sat) async throws {
        guard amount <= UInt64(Int64.max) else { throw WalletError(.invalidArgument, "the limit is too large") }
        let now = clock.now()
        let limit = DailyLimit(subject: subject, unit: unit, amount: amount, spentToday: 0)
        try await database.write { connection in try SpendingLimits.set(limit, at: now, in: connection) }
    }

    /// - Throws: `notFound` where there is no such limit.
    public func removeLimit(on subject: LimitSubject, unit: CurrencyUnit = .sat) async throws {
        let wasThere = try await database.write { connection in
            try SpendingLimits.remove(subject, unit: unit, in: connection)
        }
        guard wasThere else {
            throw WalletError(.notFound, "there is no limit in \(unit) on \(subject.text)")
        }
    }

    /// What was paid on an agent's account since a moment, leaving out what came back.
    public static func spent(by agent: String, unit: String, since: Timestamp, in connection: Connection) throws
        -> UInt64
    {
        try PaymentStore.spent(by: agent, unit: CurrencyUnit(unit), since: since, in: connection)
    }

    /// The limits, with what was spent of each today.
    public func limits() async throws -> [DailyLimit] {
        let now = clock.now()
        return try await database.read { connection in try SpendingLimits.all(at: now, in: connection) }
    }
}
