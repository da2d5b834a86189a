internal import Libp2p
internal import P2PTransport
internal import Synchronization

/// Who watches what passes.
final class Watchers: Sendable {
    static let maximum = 16
    /// Messages that wait for who watches; over it the newest are left out.
    private static let waiting = 1_024

    private struct State {
        var next = 0
        var all: [Int: (topic: String?, continuation: AsyncStream<GossipPassage>.Continuation)] = [:]
    }

    private let state = Mutex(State())

    func add(_ topic: String?) -> (Int, AsyncStream<GossipPassage>)? {
        let (stream, continuation) = AsyncStream.makeStream(
            of: GossipPassage.self,
            bufferingPolicy: .bufferingOldest(Self.waiting)
        )
        return state.withLock { state in
            guard state.all.count < Self.maximum else { return nil }
            state.next += 1
            state.all[state.next] = (topic, continuation)
            return (state.next, stream)
        }
    }

    /// - Parameter end: is called once, when nobody reads any more.
    func onEnd(_ number: Int, _ end: @escaping @Sendable () -> Void) {
        guard let entry = state.withLock({ $0.all[number] }) else { return end() }
        entry.continuation.onTermination = { [weak self] _ in
            self?.remove(number)
            end()
        }
    }

    func remove(_ number: Int) { state.withLock { _ = $0.all.removeValue(forKey: number) } }

    func tell(_ passage: GossipPassage) {
        let (topic, all) = (passage.message.topic, state.withLock { Array($0.all.values) })
        for watcher in all where watcher.topic == nil || watcher.topic == topic { watcher.continuation.yield(passage) }
    }

    func end() {
        let all = state.withLock { Array($0.all.values) }
        for watcher in all { watcher.continuation.finish() }
    }
}
