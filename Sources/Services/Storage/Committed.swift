internal import Synchronization

/// Values as their last commit left them, so that what is at work is not read and decoded again at each step.
///
/// Inside its transaction a write says that it begins, before it changes anything, which takes the value out; once its commit
/// is durable it says what it left there, which is put in if no other write has begun since. So what is here is what is on
/// the disk, for readers and within the writer's transactions alike, and what is not here is read from there.
package final class Committed<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    package typealias Write = UInt64

    private struct State {
        var latest: Write = 0
        var values: Recent<Key, (write: Write, value: Value?)>
    }

    private let state: Mutex<State>

    /// - Parameter count: of those used last; twice as many are kept at most.
    package init(_ count: Int) {
        state = Mutex(State(values: Recent(count)))
    }

    package subscript(key: Key) -> Value? { state.withLock { $0.values[key]?.value } }

    package func begin(_ key: Key) -> Write {
        state.withLock { state in
            state.latest += 1
            state.values[key] = (state.latest, nil)
            return state.latest
        }
    }

    package func end(_ write: Write, _ key: Key, _ value: Value) {
        state.withLock { state in
            guard state.values[key]?.write == write else { return }
            state.values[key] = (write, value)
        }
    }

    package func removeAll() { state.withLock { $0.values.removeAll() } }
}
