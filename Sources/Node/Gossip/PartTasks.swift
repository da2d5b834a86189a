internal import Synchronization

/// What a part of the node does while it is on the network.
final class PartTasks: Sendable {
    private let running = Mutex<[Task<Void, Never>]>([])

    func begin(_ tasks: [Task<Void, Never>]) { running.withLock { $0 += tasks } }

    /// Cancels all and waits for their ends.
    func stop() async {
        let ending = running.withLock { tasks in
            defer { tasks = [] }
            return tasks
        }
        for task in ending { task.cancel() }
        for task in ending { await task.value }
    }
}
