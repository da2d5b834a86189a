internal import Foundation
internal import GRDB
internal import GRDBSQLite
internal import Synchronization

/// Copies the log into the main file, on a connection and a thread of its own, so that no commit waits for it.
///
/// With millions of rows under random keys nearly every page of a log lies elsewhere in the file: writing a full log
/// back takes longer than the commits between two checkpoints. SQLite would do it inside a commit, with every payment
/// waiting. Here the writer goes on meanwhile. What it adds to the log the next round copies, each round shorter than the
/// one before; the last few pages are the writer's own, since only a checkpoint with no commit beside it empties the log.
final class Checkpointer: Sendable {
    /// Pages in the log that set off a checkpoint: 32 MB of log instead of SQLite's 4. Pages that each commit touches
    /// (accounts, the ends of indexes) go to the main file once instead of many times. Durability is the log's, not
    /// the file's.
    static let startPages: Int32 = 8192
    /// Pages in the log at which the writer waits for the copying to end, so that the log is bounded (128 MB).
    static let limitPages: Int32 = 4 * startPages
    /// A round that left no more than this to copy is the last.
    private static let restPages: Int32 = 512
    private static let maximumRounds = 6

    private enum Phase {
        /// Nothing to do: the log is short.
        case idle
        /// The thread copies.
        case copying
        /// All but the last pages are copied: the writer's next commit copies the rest.
        case finishing
        /// The thread is gone, or the disk has failed under a checkpoint. Another one might find the disk well and the
        /// pages of the first gone, and give up the log that still has them.
        case ended
    }

    private let phase = Mutex(Phase.idle)
    /// Wakes the thread.
    private let wake = DispatchSemaphore(value: 0)
    /// Signalled where the thread has copied, for a writer that waits.
    private let copied = DispatchSemaphore(value: 0)
    private let ended = DispatchSemaphore(value: 0)
    private let path: String
    private let queue: DatabaseQueue
    private let failed: @Sendable (StorageError) -> Void

    /// - Parameter failed: told once, on any thread, when the disk has failed under a checkpoint.
    /// - Throws: where the file can't be opened a second time.
    init(path: String, failed: @escaping @Sendable (StorageError) -> Void) throws {
        var configuration = GRDB.Configuration()
        configuration.busyMode = .immediateError
        queue = try DatabaseQueue(path: path, configuration: configuration)
        self.path = path
        self.failed = failed
        try queue.inDatabase { database in
            // The main file is flushed before the log is given up.
            try database.execute(sql: "PRAGMA synchronous = FULL")
            try database.execute(sql: "PRAGMA wal_autocheckpoint = 0")
        }
        let thread = Thread { [self] in run() }
        thread.name = "mintmark-checkpointer"
        thread.start()
    }

    /// Takes SQLite's place in checkpointing after a commit of the writer, because SQLite passes over a checkpoint that
    /// fails: the log would grow and nobody would know that the disk is broken. The object must outlive the connection.
    func watch(_ writer: GRDB.Database) {
        let context = Unmanaged.passUnretained(self).toOpaque()
        _ = sqlite3_wal_hook(
            writer.sqliteConnection,
            { context, connection, name, pages in
                guard let context else { return SQLITE_OK }
                let checkpointer = Unmanaged<Checkpointer>.fromOpaque(context).takeUnretainedValue()
                if checkpointer.isWriterDue(pages: pages) {
                    let result = sqlite3_wal_checkpoint_v2(connection, name, SQLITE_CHECKPOINT_PASSIVE, nil, nil)
                    checkpointer.checkpointEnded(result)
                }
                // Not the checkpoint's own result: the commit is on the disk.
                return SQLITE_OK
            },
            context
        )
    }

    /// Decides after a commit which left so many pages in the log. Sets the thread off where it is time for it, and waits
    /// for it where the log is at its bound: two checkpoints never run at once.
    private func isWriterDue(pages: Int32) -> Bool {
        while true {
            let found = phase.withLock { phase in
                defer {
                    switch phase {
                    case .finishing: phase = .idle
                    case .idle where pages >= Self.startPages: phase = .copying
                    default: break
                    }
                }
                return phase
            }
            switch found {
            case .finishing: return true
            case .ended: return false
            case .idle:
                if pages >= Self.startPages { wake.signal() }
                return false
            case .copying:
                guard pages >= Self.limitPages else { return false }
                _ = copied.wait(timeout: .now() + 1)
            }
        }
    }

    private func checkpointEnded(_ result: Int32) {
        let primary = result & 0xff
        // That somebody else is at it, or reads an old state, is no failure.
        guard primary != SQLITE_OK, primary != SQLITE_BUSY, primary != SQLITE_LOCKED else { return }
        let isFirst = phase.withLock { phase in
            defer { phase = .ended }
            if case .ended = phase { return false }
            return true
        }
        guard isFirst else { return }
        failed(StorageError(DatabaseError(resultCode: ResultCode(rawValue: result)), path: path))
    }

    /// Ends the thread, at the end of its round, and closes its connection. Blocks until then; harmless when repeated.
    func close() {
        phase.withLock { $0 = .ended }
        wake.signal()
        ended.wait()
        ended.signal()
    }

    // MARK: The thread

    private func run() {
        while true {
            wake.wait()
            guard phase.withLock({ $0 == .copying }) else { break }
            copyAllButTheRest()
            phase.withLock { if $0 == .copying { $0 = .finishing } }
            copied.signal()
        }
        // Where the disk has failed the pool is kept open, so that this is not the last connection and copies nothing.
        try? queue.close()
        ended.signal()
    }

    private func copyAllButTheRest() {
        var copied: Int32 = 0
        for _ in 0..<Self.maximumRounds {
            let (result, log, done) = queue.inDatabase { database in
                var log: Int32 = 0
                var done: Int32 = 0
                let result = sqlite3_wal_checkpoint_v2(
                    database.sqliteConnection,
                    nil,
                    SQLITE_CHECKPOINT_PASSIVE,
                    &log,
                    &done
                )
                return (result, log, done)
            }
            checkpointEnded(result)
            // A reader that still needs an older state holds the copying up: the rest is for another time.
            guard result == SQLITE_OK, done > copied, log - copied > Self.restPages else { return }
            copied = done
        }
    }
}
