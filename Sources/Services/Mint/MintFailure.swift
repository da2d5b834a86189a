package import Cashu
internal import Lightning
internal import Storage
internal import Synchronization
internal import Workers

/// What a request ends with when it does not succeed: the protocol's error and how HTTP says it.
package struct MintFailure: Error, Sendable, CustomStringConvertible {
    /// 400 for what the protocol refuses, 413 for a body that is too large, 503 for what may work later, 500 for a
    /// fault of the mint.
    package var status: Int
    package var error: MintError
    /// When to try again; nil where trying again does not help.
    package var retryAfterSeconds: Int?

    package init(status: Int = 400, _ error: MintError, retryAfterSeconds: Int? = nil) {
        self.status = status
        self.error = error
        self.retryAfterSeconds = retryAfterSeconds
    }

    /// Whether the operator must look: everything but a refusal and an overload, which a client could make by the
    /// thousand to fill the log.
    var isFault: Bool { status >= 500 && retryAfterSeconds != 1 }

    /// The mint has more to do than it can; nothing of the request was done.
    package static func overloaded(_ detail: String) -> MintFailure {
        MintFailure(status: 503, MintError(.malformedRequest, detail), retryAfterSeconds: 1)
    }

    /// The mint moves no money until its operator says so.
    static let closed = MintFailure(
        status: 503,
        MintError(.malformedRequest, "the mint is closed until its operator opens it again"),
        retryAfterSeconds: 30
    )

    /// Sorts what was thrown anywhere in the mint.
    package init(sorting error: any Error) {
        switch error {
        case let failure as MintFailure: self = failure
        case let refusal as MintError: self.init(refusal)
        case is SignatoryUnavailable:
            // Inputs are spent and quotes issued together with the signatures, which come first.
            self.init(
                status: 503,
                MintError(
                    .malformedRequest,
                    "the mint's keys cannot be reached now; nothing was taken; try again shortly"
                ),
                retryAfterSeconds: 2
            )
        case let error as WorkerPoolError: self = .overloaded("the mint is busy: \(error)")
        case let error as StorageError where error.code == .overloaded:
            self = .overloaded("the mint is busy; nothing was taken; try again shortly")
        case let error as StorageError where error.code == .ioFailure:
            // What reached the disk is known only once the store has been opened anew.
            self.init(
                status: 503,
                MintError(
                    .malformedRequest,
                    "the mint's disk failed; ask for the state of your proofs before trying again"
                ),
                retryAfterSeconds: 30
            )
        case let error as StorageError where [.full, .locked, .closed].contains(error.code):
            // The reason names files of this machine: it is for the log, not for the user.
            self.init(
                status: 503,
                MintError(.malformedRequest, "the mint cannot write to its disk; nothing was taken"),
                retryAfterSeconds: 30
            )
        case let error as LightningError:
            self.init(
                status: 503,
                MintError(
                    .lightningPaymentFailed,
                    "the mint's Lightning node does not answer as it should: \(error.code.rawValue)"
                ),
                retryAfterSeconds: 5
            )
        default:
            self.init(
                status: 500,
                MintError(.malformedRequest, "the mint failed; ask for the state of your proofs before trying again")
            )
        }
    }

    package var description: String { "\(status): \(error)" }
}

/// Lets a fixed number in and turns the rest away at once.
final class AdmissionGate: Sendable {
    private let inside = Mutex(0)
    private let limit: Int
    private let name: String

    init(limit: Int, name: String) {
        self.limit = limit
        self.name = name
    }

    /// - Throws: `MintFailure` 503 where the gate is full.
    func enter() throws(MintFailure) {
        let isAdmitted = inside.withLock { count in
            guard count < limit else { return false }
            count += 1
            return true
        }
        guard isAdmitted else {
            throw .overloaded("the mint is busy: \(limit) \(name) are under way; try again shortly")
        }
    }

    func leave() {
        inside.withLock { $0 -= 1 }
    }

    func within<T>(_ work: () async throws -> T) async throws -> T {
        try enter()
        defer { leave() }
        return try await work()
    }
}

/// Bytes that all requests together may hold.
final class ByteBudget: Sendable {
    private let held = Mutex(0)
    private let limit: Int

    init(limit: Int) {
        self.limit = limit
    }

    /// - Throws: `MintFailure` 503 where there are not that many left.
    func take(_ count: Int) throws(MintFailure) {
        let isThere = held.withLock { held in
            guard held + count <= limit else { return false }
            held += count
            return true
        }
        guard isThere else {
            throw .overloaded("the mint is busy: it holds \(limit) bytes of requests already; try again shortly")
        }
    }

    var bytesHeld: Int { held.withLock { $0 } }

    func giveBack(_ count: Int) {
        held.withLock { $0 -= count }
    }
}
