internal import Storage
internal import Synchronization

/// Whether the store answers, without waiting in its line: a question is asked at most once a second, and meanwhile the
/// last answer is given. So `/health` stays quick while the store is busy, and says so where it stands still.
final class HealthProbe: Sendable {
    private static let fresh = Duration.seconds(1)
    /// How long the store may take before it counts as standing still.
    private static let patience = Duration.seconds(10)

    private struct State {
        /// When the last question was asked, and when the last good answer came.
        var asked: ContinuousClock.Instant?
        var good: ContinuousClock.Instant?
        var failure: (any Error)?
        var isAsking = false

        /// What is known at this time; for `ask` the question counts as asked.
        mutating func verdict(at time: ContinuousClock.Instant) -> Verdict {
            if !isAsking, asked.map({ $0.duration(to: time) >= HealthProbe.fresh }) ?? true {
                isAsking = true
                asked = time
                // Only the first caller, and the ones after a failure, wait for the answer.
                return .ask(isFirst: good == nil || failure != nil)
            }
            if let failure { return .failed(failure) }
            if let asked, isAsking, asked.duration(to: time) > HealthProbe.patience {
                return .failed(StorageError(.overloaded, "the store has not answered for ten seconds"))
            }
            return .known
        }
    }

    private enum Verdict {
        case ask(isFirst: Bool)
        case known
        case failed(any Error)
    }

    private let state = Mutex(State())
    private let question: @Sendable () async throws -> Void
    private let now: @Sendable () -> ContinuousClock.Instant

    init(
        now: @escaping @Sendable () -> ContinuousClock.Instant = { .now },
        _ question: @escaping @Sendable () async throws -> Void
    ) {
        self.now = now
        self.question = question
    }

    /// - Throws: what the store's last answer was where it failed; `StorageError` `overloaded` where none has come for
    ///   ten seconds.
    func check() async throws {
        let time = now()
        switch state.withLock({ $0.verdict(at: time) }) {
        case .known: return
        case .failed(let error): throw error
        case .ask(isFirst: true): try await ask()
        case .ask(isFirst: false): Task { try? await ask() }
        }
    }

    /// Whether all is well, as far as that is known without waiting; else `check` finds out.
    var isKnownGood: Bool {
        let time = now()
        let verdict: Verdict? = state.withLock { state in
            guard state.good != nil, state.failure == nil else { return nil }
            return state.verdict(at: time)
        }
        switch verdict {
        case .known: return true
        case .ask:
            Task { try? await ask() }
            return true
        case .failed, nil: return false
        }
    }

    private func ask() async throws {
        do {
            try await question()
            let time = now()
            state.withLock { state in
                state.good = time
                state.failure = nil
                state.isAsking = false
            }
        } catch {
            state.withLock { state in
                state.failure = error
                state.isAsking = false
            }
            throw error
        }
    }
}
