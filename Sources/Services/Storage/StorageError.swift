internal import GRDB

/// Why the store did not do what was asked. Nothing of the refused work is in the store.
public struct StorageError: Error, Sendable, CustomStringConvertible {
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        /// A uniqueness, check or foreign key rule said no: the row is there already, or may not be.
        public static let constraint = Code(rawValue: "constraint")
        /// The disk or the quota is full.
        public static let full = Code(rawValue: "full")
        /// Another process holds the file.
        public static let locked = Code(rawValue: "locked")
        /// The disk failed; the store takes no more writes until it is opened anew.
        public static let ioFailure = Code(rawValue: "io-failure")
        /// The file is damaged, or a value in it is not what the program wrote.
        public static let corrupt = Code(rawValue: "corrupt")
        /// The file belongs to another program or another node.
        public static let foreign = Code(rawValue: "foreign")
        /// The file was made by a newer version of this program.
        public static let newer = Code(rawValue: "newer")
        /// The file or folder cannot be read or written.
        public static let notPermitted = Code(rawValue: "not-permitted")
        /// More work is waiting than the limit allows; try again shortly.
        public static let overloaded = Code(rawValue: "overloaded")
        /// The store has been closed.
        public static let closed = Code(rawValue: "closed")
        /// A number does not fit SQLite's 64-bit signed integer.
        public static let outOfRange = Code(rawValue: "out-of-range")
        /// A statement is wrong: a defect of this program.
        public static let statement = Code(rawValue: "statement")
    }

    public let code: Code
    public let message: String
    public var description: String { message }

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// Names what SQLite answered so that an operator can act on it.
    package init(_ error: any Error, path: String) {
        guard let error = error as? DatabaseError else {
            if let error = error as? StorageError {
                self = error
            } else {
                self.init(.statement, "\(error)")
            }
            return
        }
        let said = error.message ?? "\(error.resultCode)"
        switch error.resultCode {
        case .SQLITE_CONSTRAINT:
            self.init(.constraint, said)
        case .SQLITE_FULL:
            self.init(
                .full,
                "there is no room for \(path): free some space on its disk, or raise the file's own limit; nothing was written"
            )
        case .SQLITE_BUSY, .SQLITE_LOCKED:
            self.init(.locked, "\(path) is held by another process: stop it, or wait until it is done")
        case .SQLITE_IOERR:
            self.init(.ioFailure, "the disk failed under \(path) (\(said)): check the disk, then start again")
        case .SQLITE_CORRUPT:
            self.init(.corrupt, "\(path) is damaged (\(said)): restore it from a backup")
        case .SQLITE_NOTADB:
            self.init(.foreign, "\(path) is not a database of this program: choose another data directory")
        case .SQLITE_CANTOPEN, .SQLITE_READONLY, .SQLITE_PERM, .SQLITE_AUTH:
            self.init(.notPermitted, "\(path) cannot be opened for writing (\(said)): check its owner and mode")
        default:
            self.init(.statement, "\(path): \(said)")
        }
    }

    /// Whether the store must be opened anew before it can be trusted with another write.
    var endsWriting: Bool {
        code == .ioFailure || code == .corrupt || code == .foreign
    }
}
