internal import Foundation
internal import GRDB
internal import GRDBSQLite
internal import Synchronization

/// What is known of the disk under a database, and the checkpoints of its log.
///
/// A failed write or flush ends all writing until the database is opened anew: the system may have dropped the pages
/// and call them clean from then on, so that a second flush "succeeds" without them. A full disk is another matter:
/// SQLite undoes the transaction, and the next one may find room.
final class DiskHealth: Sendable {
    /// Pages in the log that set off a checkpoint: 32 MB of log instead of SQLite's 4. Pages that each commit touches
    /// (accounts, the ends of indexes) go to the main file once instead of many times. Durability is the log's, not
    /// the file's.
    static let checkpointPages: Int32 = 8192

    private struct State {
        /// Set once the disk has failed.
        var failure: StorageError?
        /// Set while the last commit found no room.
        var fullness: StorageError?
        /// What SQLite answered to the last checkpoint, where that was an error.
        var checkpointResult: Int32 = SQLITE_OK
    }

    private let state = Mutex(State())

    var failure: StorageError? { state.withLock { $0.failure } }

    var refusal: StorageError? { state.withLock { $0.failure ?? $0.fullness } }

    /// A commit is on the disk.
    func wrote() {
        state.withLock { $0.fullness = nil }
    }

    /// - Returns: whether it is news that an operator must hear of.
    func note(_ error: StorageError) -> Bool {
        state.withLock { state in
            if error.endsWriting {
                defer { state.failure = state.failure ?? error }
                return state.failure == nil
            }
            guard error.code == .full else { return false }
            defer { state.fullness = error }
            return state.fullness == nil
        }
    }

    /// Takes SQLite's place in checkpointing after a commit, because SQLite passes over a checkpoint that fails: the
    /// log would grow and nobody would know that the disk is broken. The object must outlive the connection.
    func watchCheckpoints(of database: GRDB.Database) {
        let context = Unmanaged.passUnretained(self).toOpaque()
        _ = sqlite3_wal_hook(
            database.sqliteConnection,
            { context, connection, name, pages in
                guard pages >= DiskHealth.checkpointPages, let context else { return SQLITE_OK }
                let result = sqlite3_wal_checkpoint_v2(connection, name, SQLITE_CHECKPOINT_PASSIVE, nil, nil)
                Unmanaged<DiskHealth>.fromOpaque(context).takeUnretainedValue().checkpointEnded(result)
                // Not the checkpoint's own result: the commit is on the disk.
                return SQLITE_OK
            },
            context
        )
    }

    private func checkpointEnded(_ result: Int32) {
        let primary = result & 0xff
        guard primary != SQLITE_OK, primary != SQLITE_BUSY, primary != SQLITE_LOCKED else { return }
        state.withLock { $0.checkpointResult = result }
    }

    /// What went wrong with a checkpoint since the last call.
    func takeCheckpointError(path: String) -> StorageError? {
        let result = state.withLock { state in
            defer { state.checkpointResult = SQLITE_OK }
            return state.checkpointResult
        }
        guard result != SQLITE_OK else { return nil }
        return StorageError(DatabaseError(resultCode: ResultCode(rawValue: result)), path: path)
    }
}
