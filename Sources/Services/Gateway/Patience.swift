import Synchronization

/// Waiting for work that may take longer than an answer can wait.
enum Patience {
    /// The task's value, or nil where it takes longer. The task goes on: its work is found done by whoever asks next.
    static func value<T: Sendable>(of task: Task<T?, Never>, milliseconds: Int64) async -> T? {
        let (answers, continuation) = AsyncStream<T?>.makeStream()
        let waiting = Task {
            continuation.yield(await task.value)
            continuation.finish()
        }
        let impatience = Task {
            try await Task.sleep(for: .milliseconds(milliseconds))
            continuation.finish()
        }
        defer {
            waiting.cancel()
            impatience.cancel()
        }
        for await answer in answers { return answer }
        return nil
    }
}

/// One at a time, in the order of asking.
final class Turnstile: Sendable {
    private struct State {
        var isTaken = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    func acquire() async {
        await withCheckedContinuation { continuation in
            let isFree = state.withLock { state in
                if state.isTaken {
                    state.waiting.append(continuation)
                    return false
                }
                state.isTaken = true
                return true
            }
            if isFree { continuation.resume() }
        }
    }

    func release() {
        let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
            if state.waiting.isEmpty {
                state.isTaken = false
                return nil
            }
            return state.waiting.removeFirst()
        }
        next?.resume()
    }
}
