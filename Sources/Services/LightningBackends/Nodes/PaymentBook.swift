internal import Lightning
internal import Synchronization

/// What this process knows of its own payments that a node does not say by itself: which calls are running, and why the
/// last ones failed.
final class PaymentBook: Sendable {
    /// Failures that are remembered, the oldest forgotten first; afterwards the node's own word is all there is.
    static let maximumFailures = 1000

    private struct State {
        var running: Set<[UInt8]> = []
        var failures: [[UInt8]: PaymentFailure] = [:]
        var order: [[UInt8]] = []
    }

    private let state = Mutex(State())

    /// - Returns: false where a call of this process is paying the hash already.
    func begin(_ hash: [UInt8]) -> Bool {
        state.withLock { state in
            guard state.running.insert(hash).inserted else { return false }
            return true
        }
    }

    func end(_ hash: [UInt8]) { state.withLock { _ = $0.running.remove(hash) } }

    func isRunning(_ hash: [UInt8]) -> Bool { state.withLock { $0.running.contains(hash) } }

    /// Why the last attempt failed, as its own call was told.
    func failure(_ hash: [UInt8]) -> PaymentFailure? { state.withLock { $0.failures[hash] } }

    func remember(_ failure: PaymentFailure, of hash: [UInt8]) {
        state.withLock { state in
            if state.failures.updateValue(failure, forKey: hash) == nil { state.order.append(hash) }
            if state.order.count > Self.maximumFailures {
                state.failures[state.order.removeFirst()] = nil
            }
        }
    }

    func forget(_ hash: [UInt8]) {
        state.withLock { state in
            guard state.failures.removeValue(forKey: hash) != nil else { return }
            state.order.removeAll { $0 == hash }
        }
    }
}
