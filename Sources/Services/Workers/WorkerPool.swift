internal import NIOPosix
internal import Synchronization

/// Why a piece of work was not taken.
public struct WorkerPoolError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: String, Sendable { case overloaded, stopped }
    public let code: Code
    public var description: String {
        switch code {
        case .overloaded: "the worker queue is full; try again shortly"
        case .stopped: "the worker pool has been stopped"
        }
    }
}

/// A bounded set of threads for whole requests of 50 µs of computing or more, so that curve arithmetic never
/// holds up the threads that answer health checks. Over its queue limit it refuses at once instead of queueing:
/// the caller answers 503 and nothing is lost.
public final class WorkerPool: Sendable {
    private let threads: NIOThreadPool
    private let queued = Mutex(0)
    private let queueLimit: Int

    /// - Parameters:
    ///   - threads: 1 to 64; more than the machine's cores gains nothing.
    ///   - queueLimit: how many pieces of work may be waiting or running at once.
    public init(threads: Int, queueLimit: Int = 4096) {
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
        do {
            return try await threads.runIfActive(work)
        } catch is CancellationError {
            throw WorkerPoolError(code: .stopped)
        }
    }

    /// Waits for what is running, then stops the threads.
    public func stop() async {
        try? await threads.shutdownGracefully()
    }
}
