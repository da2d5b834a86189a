internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// Why a piece of work was not taken.
public struct WorkerPoolError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: String, Sendable { case overloaded, stopped }
    public let code: Code
    public var description: String {
        switch code {
        case .overloaded: "more work waits than can be done in time; try again shortly"
        case .stopped: "the worker pool has been stopped"
        }
    }
}

/// A bounded set of threads for whole requests of 50 µs of computing or more, so that curve arithmetic never
/// holds up the threads that answer health checks. Over its queue limit it refuses at once instead of queueing, and what
/// has waited longer than its time limit is not begun: the caller answers 503, and nothing is lost.
public final class WorkerPool: Sendable {
    private let threads: NIOThreadPool
    private let queued = Mutex(0)
    private let queueLimit: Int
    private let waitLimitNanoseconds: UInt64
    private let now: @Sendable () -> UInt64

    /// - Parameters:
    ///   - threads: 1 to 64; more than the machine's cores gains nothing.
    ///   - queueLimit: how many pieces of work may be waiting or running at once.
    ///   - waitLimitMilliseconds: how long a piece of work may wait before it begins.
    ///   - now: nanoseconds of a clock that never goes back; nil: the machine's.
    public init(
        threads: Int,
        queueLimit: Int = 4096,
        waitLimitMilliseconds: UInt64 = 5000,
        now: (@Sendable () -> UInt64)? = nil
    ) {
        waitLimitNanoseconds = waitLimitMilliseconds * 1_000_000
        self.now = now ?? { NIODeadline.now().uptimeNanoseconds }
        self.threads = NIOThreadPool(numberOfThreads: min(max(threads, 1), 64))
        self.queueLimit = max(queueLimit, 1)
        self.threads.start()
    }

    /// Runs `work` on one of the pool's threads.
    /// - Throws: `WorkerPoolError` where the work was not started; else what `work` throws.
    public func run<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
        let taken = queued.withLock { count in
            guard count < queueLimit else { return false }
            count += 1
            return true
        }
        guard taken else { throw WorkerPoolError(code: .overloaded) }
        defer { queued.withLock { $0 -= 1 } }
        let (limit, now, queuedAt) = (waitLimitNanoseconds, now, now())
        do {
            return try await threads.runIfActive {
                guard max(now(), queuedAt) - queuedAt <= limit else { throw WorkerPoolError(code: .overloaded) }
                return try work()
            }
        } catch is CancellationError {
            throw WorkerPoolError(code: .stopped)
        }
    }

    /// Pieces of work that wait or run.
    public var load: Int { queued.withLock { $0 } }

    /// Waits for what is running, then stops the threads.
    public func stop() async {
        try? await threads.shutdownGracefully()
    }
}
