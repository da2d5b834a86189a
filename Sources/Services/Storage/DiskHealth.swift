internal import Synchronization

/// What is known of the disk under a database.
///
/// A failed write or flush ends all writing until the database is opened anew: the system may have dropped the pages
/// and call them clean from then on, so that a second flush "succeeds" without them. A full disk is another matter:
/// SQLite undoes the transaction, and the next one may find room.
final class DiskHealth: Sendable {
    private struct State {
        /// Set once the disk has failed.
        var failure: StorageError?
        /// Set while the last commit found no room.
        var fullness: StorageError?
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
}
