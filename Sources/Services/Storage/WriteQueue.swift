internal import Foundation
internal import Synchronization

/// One body waiting for the writer: it runs inside the shared transaction and is told how it ended only after
/// that transaction is on the disk.
struct WriteJob: Sendable {
    /// Runs the body and keeps its result; throws what the body throws.
    let run: @Sendable (Connection) throws -> Void
    /// Resumes the waiting caller: nil means that the commit is durable.
    let finish: @Sendable ((any Error)?) -> Void
}

/// The line in front of the single writer. Bodies that queue up while a commit is on its way to the disk share
/// the next one: natural group commit, with no timer.
final class WriteQueue: Sendable {
    private struct State {
        var jobs: [WriteJob] = []
        var isClosed = false
    }

    private let state = Mutex(State())
    private let signal = DispatchSemaphore(value: 0)
    private let limit: Int
    private let batchLimit: Int

    init(limit: Int, batchLimit: Int) {
        self.limit = limit
        self.batchLimit = batchLimit
    }

    func append(_ job: WriteJob) throws(StorageError) {
        let refusal: StorageError? = state.withLock { state in
            if state.isClosed { return StorageError(.closed, "the store is closed") }
            if state.jobs.count >= limit {
                return StorageError(.overloaded, "\(limit) writes are waiting already; try again shortly")
            }
            state.jobs.append(job)
            return nil
        }
        if let refusal { throw refusal }
        signal.signal()
    }

    /// Blocks until there is work; nil once the queue is closed and empty.
    func nextBatch() -> [WriteJob]? {
        while true {
            signal.wait()
            let (batch, isDone) = state.withLock { state in
                let batch = Array(state.jobs.prefix(batchLimit))
                state.jobs.removeFirst(batch.count)
                if !state.jobs.isEmpty { signal.signal() }
                return (batch, state.isClosed && batch.isEmpty)
            }
            if !batch.isEmpty { return batch }
            if isDone { return nil }
        }
    }

    /// Takes no more; what is queued is still written.
    func close() {
        state.withLock { $0.isClosed = true }
        signal.signal()
    }
}
