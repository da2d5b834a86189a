import Synchronization

/// What follows when status lists have changed: news of it, told to others.
public final class StatusHooks: Sendable {
    private let bodies = Mutex<[@Sendable ([Int64]) -> Void]>([])

    init() {}

    /// Calls `body` with the numbers of lists that changed, each time, one change after the other.
    public func add(_ body: @escaping @Sendable ([Int64]) -> Void) { bodies.withLock { $0.append(body) } }

    func run(_ numbers: [Int64]) {
        guard !numbers.isEmpty else { return }
        for body in bodies.withLock({ $0 }) { body(numbers.sorted()) }
    }
}
