internal import Synchronization

/// Wakes whoever waits for something of the wallet's to change. It says only that: who wakes looks for himself.
final class Bell: Sendable {
    private struct State {
        var rings: UInt64 = 0
        var next: UInt64 = 0
        var waiting: [UInt64: AsyncStream<Void>.Continuation] = [:]
    }

    private let state = Mutex(State())

    /// How often it has rung; given to `wait`, no ring is missed that came while one looked.
    var rings: UInt64 { state.withLock { $0.rings } }

    func ring() {
        let waiting = state.withLock { state in
            state.rings += 1
            let waiting = state.waiting
            state.waiting = [:]
            return waiting
        }
        for continuation in waiting.values { continuation.finish() }
    }

    /// Returns once it has rung more often than `seen` times, after so many milliseconds, or when the task is cancelled.
    func wait(after seen: UInt64, milliseconds: Int64) async {
        let (stream, continuation) = AsyncStream<Void>.makeStream()
        let place = state.withLock { state -> UInt64? in
            guard state.rings == seen else { return nil }
            state.next += 1
            state.waiting[state.next] = continuation
            return state.next
        }
        guard let place else { return }
        let alarm = Task {
            try? await Task.sleep(for: .milliseconds(milliseconds))
            continuation.finish()
        }
        for await _ in stream {}
        alarm.cancel()
        _ = state.withLock { $0.waiting.removeValue(forKey: place) }
    }
}
