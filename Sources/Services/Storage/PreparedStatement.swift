internal import GRDB
internal import GRDBSQLite

/// One of the connection's prepared statements, bound and stepped by SQLite's own calls: GRDB's way through existential
/// arguments and rows costs more than SQLite's work on a small statement, and the one writer runs some twenty a call.
struct PreparedStatement {
    private let statement: OpaquePointer
    private let database: GRDB.Database

    /// Takes the statement from the connection's cache, or prepares it.
    /// - Throws: `DatabaseError` where the SQL is wrong.
    init(_ sql: String, in database: GRDB.Database) throws {
        statement = try database.cachedStatement(sql: sql).sqliteStatement
        self.database = database
    }

    /// Runs the statement to its end, or until `onRow` says false. It is left as it was found, whatever happens.
    /// - Throws: `DatabaseError`; `StorageError` for a wrong number of arguments or a value that is never written.
    func run(_ arguments: [SQLValue], onRow: (Row) -> Bool) throws {
        guard sqlite3_bind_parameter_count(statement) == arguments.count else {
            throw StorageError(.statement, "a statement got \(arguments.count) arguments, not as many as it has")
        }
        defer {
            sqlite3_reset(statement)
            sqlite3_clear_bindings(statement)
        }
        for (index, argument) in arguments.enumerated() {
            try check(bind(argument, at: Int32(index + 1)))
        }
        while true {
            switch sqlite3_step(statement) {
            case SQLITE_ROW: if try !onRow(row()) { return }
            case SQLITE_DONE: return
            case let code: try check(code)
            }
        }
    }

    private func check(_ code: Int32) throws {
        guard code != SQLITE_OK else { return }
        throw DatabaseError(resultCode: ResultCode(rawValue: code), message: database.lastErrorMessage)
    }

    private func bind(_ value: SQLValue, at index: Int32) -> Int32 {
        switch value {
        case .null: return sqlite3_bind_null(statement, index)
        case .integer(let number): return sqlite3_bind_int64(statement, index, number)
        case .text(var text):
            return text.withUTF8 { bytes in
                // SQLite takes no pointer for NULL, not for an empty text.
                guard let start = bytes.baseAddress else {
                    return sqlite3_bind_text(statement, index, "", 0, Self.copied)
                }
                return start.withMemoryRebound(to: CChar.self, capacity: bytes.count) {
                    sqlite3_bind_text64(statement, index, $0, UInt64(bytes.count), Self.copied, UInt8(SQLITE_UTF8))
                }
            }
        case .blob(let bytes):
            guard !bytes.isEmpty else { return sqlite3_bind_zeroblob(statement, index, 0) }
            return bytes.withUnsafeBytes {
                sqlite3_bind_blob64(statement, index, $0.baseAddress, UInt64($0.count), Self.copied)
            }
        }
    }

    private func row() throws -> Row {
        var values: [SQLValue] = []
        let count = sqlite3_column_count(statement)
        values.reserveCapacity(Int(count))
        for column in 0..<count { values.append(try value(column)) }
        return Row(values: values)
    }

    private func value(_ column: Int32) throws -> SQLValue {
        switch sqlite3_column_type(statement, column) {
        case SQLITE_NULL: return .null
        case SQLITE_INTEGER: return .integer(sqlite3_column_int64(statement, column))
        case SQLITE_TEXT:
            guard let text = sqlite3_column_text(statement, column) else { throw outOfMemory }
            let bytes = UnsafeBufferPointer(start: text, count: Int(sqlite3_column_bytes(statement, column)))
            return .text(String(decoding: bytes, as: UTF8.self))
        case SQLITE_BLOB:
            let count = Int(sqlite3_column_bytes(statement, column))
            guard count > 0 else { return .blob([]) }
            guard let blob = sqlite3_column_blob(statement, column) else { throw outOfMemory }
            return .blob([UInt8](UnsafeRawBufferPointer(start: blob, count: count)))
        default:
            throw StorageError(.corrupt, "a column holds a floating-point number; none is ever written")
        }
    }

    private var outOfMemory: DatabaseError { DatabaseError(resultCode: .SQLITE_NOMEM) }

    /// SQLITE_TRANSIENT: SQLite makes its own copy, since Swift's buffers live for the call only.
    private static var copied: sqlite3_destructor_type { unsafeBitCast(-1, to: sqlite3_destructor_type.self) }
}
