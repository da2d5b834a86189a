import Storage
import Synchronization
import Testing

@testable import Node

/// What `/health` may say without waiting for the store.
@Suite("The health probe")
struct HealthProbeTests {
    /// A store that answers as the test says, on a clock that the test sets.
    private final class Store: Sendable {
        enum Mood { case well, failing, silent }

        private struct State {
            var mood = Mood.well
            var asked = 0
            var answered = 0
            var now = ContinuousClock.Instant.now
            var waiting: [CheckedContinuation<Void, Never>] = []
        }

        private let state = Mutex(State())

        var now: ContinuousClock.Instant { state.withLock { $0.now } }
        var asked: Int { state.withLock { $0.asked } }
        var answered: Int { state.withLock { $0.answered } }
        func set(_ mood: Mood) { state.withLock { $0.mood = mood } }
        func advance(_ duration: Duration) { state.withLock { $0.now += duration } }

        func answer() async throws {
            let mood = state.withLock { state in
                state.asked += 1
                return state.mood
            }
            if mood == .silent {
                await withCheckedContinuation { continuation in state.withLock { $0.waiting.append(continuation) } }
            }
            state.withLock { $0.answered += 1 }
            if mood == .failing { throw StorageError(.ioFailure, "the disk") }
        }

        /// Lets what waits for an answer have it.
        func speak() {
            let waiting = state.withLock { state in
                defer { state.waiting = [] }
                return state.waiting
            }
            for continuation in waiting { continuation.resume() }
        }
    }

    private let store = Store()
    private let probe: HealthProbe

    init() {
        let store = store
        probe = HealthProbe(now: { store.now }) { try await store.answer() }
    }

    private func untilAnswered(_ count: Int) async {
        while store.answered < count { await Task.yield() }
    }

    @Test("Nothing is known before the first answer; then it is known for a second, and asked anew behind the answer")
    func asksInTheBackground() async throws {
        #expect(!probe.isKnownGood && store.asked == 0)
        try await probe.check()
        for _ in 0..<10 { #expect(probe.isKnownGood) }
        #expect(store.asked == 1)
        store.advance(.seconds(1))
        store.set(.silent)
        // Good by the last answer, though the next one is not there.
        for _ in 0..<10 { #expect(probe.isKnownGood) }
        while store.asked < 2 { await Task.yield() }
        store.advance(.seconds(10))
        #expect(probe.isKnownGood)
        store.advance(.milliseconds(1))
        #expect(!probe.isKnownGood)
        let error = await #expect(throws: StorageError.self) { try await probe.check() }
        #expect(error?.code == .overloaded)
        #expect(store.asked == 2)
        store.set(.well)
        store.speak()
        await untilAnswered(2)
        while !probe.isKnownGood { await Task.yield() }
    }

    @Test("A store that fails is not known to be good, and who asks then waits for the new answer")
    func failure() async throws {
        try await probe.check()
        store.set(.failing)
        store.advance(.seconds(1))
        #expect(probe.isKnownGood)
        await untilAnswered(2)
        while probe.isKnownGood { await Task.yield() }
        // Looking asks nothing: the way that waits does.
        store.advance(.seconds(1))
        store.set(.well)
        #expect(!probe.isKnownGood && store.asked == 2)
        try await probe.check()
        #expect(store.asked == 3 && probe.isKnownGood)
    }
}
