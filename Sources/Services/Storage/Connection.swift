internal import GRDB

/// A value bound to a statement's `?`.
public enum SQLValue: Sendable, Hashable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByNilLiteral, ExpressibleByBooleanLiteral
{
    case null
    case integer(Int64)
    case text(String)
    case blob([UInt8])

    public init(stringLiteral value: String) { self = .text(value) }
    public init(integerLiteral value: Int64) { self = .integer(value) }
    public init(nilLiteral: ()) { self = .null }
    public init(booleanLiteral value: Bool) { self = .integer(value ? 1 : 0) }

    /// An amount.
    /// - Throws: `outOfRange` past 2^63−1, which SQLite cannot hold exactly.
    public static func amount(_ value: UInt64) throws(StorageError) -> SQLValue {
        guard let signed = Int64(exactly: value) else {
            throw StorageError(.outOfRange, "\(value) is more than 2^63-1")
        }
        return .integer(signed)
    }

    public static func bool(_ value: Bool) -> SQLValue { .integer(value ? 1 : 0) }
    public static func int(_ value: Int) -> SQLValue { .integer(Int64(value)) }
    public static func optional(_ text: String?) -> SQLValue { text.map { .text($0) } ?? .null }
    public static func optional(_ number: Int64?) -> SQLValue { number.map { .integer($0) } ?? .null }
    public static func optional(_ bytes: [UInt8]?) -> SQLValue { bytes.map { .blob($0) } ?? .null }
}

/// A row of a result, copied out of the database.
public struct Row: Sendable {
    private let values: [SQLValue]

    init(values: [SQLValue]) {
        self.values = values
    }

    private func wrongType(_ column: Int, _ wanted: String) -> StorageError {
        StorageError(.corrupt, "column \(column) of a row is not \(wanted)")
    }

    public subscript(column: Int) -> SQLValue { values[column] }

    public func isNull(_ column: Int) -> Bool { values[column] == .null }

    public func int64(_ column: Int) throws -> Int64 {
        guard case .integer(let value) = values[column] else { throw wrongType(column, "an integer") }
        return value
    }

    public func int(_ column: Int) throws -> Int { Int(try int64(column)) }

    /// An amount: an integer that is not negative.
    public func uint64(_ column: Int) throws -> UInt64 {
        guard let value = UInt64(exactly: try int64(column)) else { throw wrongType(column, "an amount") }
        return value
    }

    public func bool(_ column: Int) throws -> Bool { try int64(column) != 0 }

    public func text(_ column: Int) throws -> String {
        guard case .text(let value) = values[column] else { throw wrongType(column, "text") }
        return value
    }

    public func blob(_ column: Int) throws -> [UInt8] {
        guard case .blob(let value) = values[column] else { throw wrongType(column, "bytes") }
        return value
    }

    public func optionalInt64(_ column: Int) throws -> Int64? { isNull(column) ? nil : try int64(column) }
    public func optionalUInt64(_ column: Int) throws -> UInt64? { isNull(column) ? nil : try uint64(column) }
    public func optionalText(_ column: Int) throws -> String? { isNull(column) ? nil : try text(column) }
    public func optionalBlob(_ column: Int) throws -> [UInt8]? { isNull(column) ? nil : try blob(column) }
}

/// The database inside one `Database.read` or `write`. Valid only there.
public final class Connection {
    let database: GRDB.Database
    private let path: String

    init(_ database: GRDB.Database, path: String) {
        self.database = database
        self.path = path
    }

    /// Runs one statement, prepared once and kept.
    /// - Throws: `StorageError`, `constraint` where a rule of the schema says no.
    public func execute(_ sql: String, _ arguments: SQLValue...) throws {
        try execute(sql, arguments: arguments)
    }

    public func execute(_ sql: String, arguments: [SQLValue]) throws {
        try run(sql, arguments) { _ in true }
    }

    /// How many rows the last statement changed.
    public var changes: Int { database.changesCount }

    /// The row id of the last insert.
    public var lastInsertedRowID: Int64 { database.lastInsertedRowID }

    public func rows(_ sql: String, _ arguments: SQLValue...) throws -> [Row] {
        try rows(sql, arguments: arguments)
    }

    public func rows(_ sql: String, arguments: [SQLValue]) throws -> [Row] {
        var rows: [Row] = []
        try run(sql, arguments) { row in
            rows.append(row)
            return true
        }
        return rows
    }

    /// Hands the rows over one by one, for results that are too large to hold.
    /// - Throws: what `body` throws, with the first such row as the last.
    public func each(_ sql: String, _ arguments: SQLValue..., body: (Row) throws -> Void) throws {
        try each(sql, arguments: arguments, body: body)
    }

    public func each(_ sql: String, arguments: [SQLValue], body: (Row) throws -> Void) throws {
        var failure: (any Error)?
        try run(sql, arguments) { row in
            do {
                try body(row)
                return true
            } catch {
                failure = error
                return false
            }
        }
        if let failure { throw failure }
    }

    /// The first row, or nil where there is none.
    public func first(_ sql: String, _ arguments: SQLValue...) throws -> Row? {
        try first(sql, arguments: arguments)
    }

    public func first(_ sql: String, arguments: [SQLValue]) throws -> Row? {
        var found: Row?
        try run(sql, arguments) { row in
            found = row
            return false
        }
        return found
    }

    /// Binds, steps and resets a statement; `onRow` says whether to go on.
    private func run(_ sql: String, _ arguments: [SQLValue], onRow: (Row) -> Bool) throws {
        do {
            try PreparedStatement(sql, in: database).run(arguments, onRow: onRow)
        } catch {
            throw StorageError(error, path: path)
        }
    }
}
