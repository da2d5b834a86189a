import Encodings
import Paywall
import Synchronization

/// Passes for a time whose payment is booked, and how many calls were made on them without a claim ([GRA-10]).
///
/// The number of calls bounds the load of a pass and moves no money, so that it is counted here and written down later.
final class OpenPasses: Sendable {
    /// A pass beyond these is claimed call by call until another one ends.
    static let limit = 4096

    private struct Pass {
        var grant: StoredGrant
        /// Calls without a claim, with those that are written down.
        var calls: UInt64
        var isWritten: Bool
        /// The one that a call was last let through with.
        var macaroon: Macaroon?
    }

    private let passes = Mutex<[[UInt8]: Pass]>([:])

    /// Whether a pass that was paid for with a hash is open, and the macaroon it was last used with.
    func find(_ paymentHash: [UInt8]) -> (isOpen: Bool, known: Macaroon?) {
        passes.withLock { passes in
            let pass = passes[paymentHash]
            return (pass != nil, pass?.macaroon)
        }
    }

    /// Opens a pass, or tells of one that more of its calls were claimed.
    /// - Parameters:
    ///   - grant: as it was before.
    ///   - claimed: what was claimed of it since.
    func open(_ grant: StoredGrant, claimed: UInt64) {
        passes.withLock { passes in
            let hash = grant.terms.paymentHash
            if let used = passes[hash]?.grant.used {
                passes[hash]?.grant.used = max(used, grant.used + claimed)
            } else if passes.count < Self.limit {
                passes[hash] = Pass(grant: grant, calls: grant.counted, isWritten: true)
                passes[hash]?.grant.used += claimed
            }
        }
    }

    /// Counts a call of an open pass, or says why it can't be made.
    /// - Returns: false where the pass is not open any more.
    func take(
        _ allowed: L402Allowance,
        by macaroon: Macaroon?,
        request: L402Request,
        now: Timestamp
    ) throws(CallRefusal) -> Bool {
        let hash = allowed.identifier.paymentHash
        let verdict: Result<Bool, CallRefusal> = passes.withLock { passes in
            guard let pass = passes[hash] else { return .success(false) }
            let (used, overflow) = pass.grant.used.addingReportingOverflow(pass.calls)
            let terms = pass.grant.terms
            if let refusal = terms.refusal(allowed, request: request, used: overflow ? .max : used, now: now) {
                return .failure(refusal)
            }
            passes[hash]?.calls += 1
            passes[hash]?.isWritten = false
            if let macaroon { passes[hash]?.macaroon = macaroon }
            return .success(true)
        }
        return try verdict.get()
    }

    /// The numbers that are to be written down; ``written(_:now:)`` tells that they are.
    func unwritten() -> [[UInt8]: UInt64] {
        passes.withLock { $0.filter { !$0.value.isWritten }.mapValues(\.calls) }
    }

    /// Notes what is on disk, and forgets the passes whose time is over.
    func written(_ calls: [[UInt8]: UInt64], now: Timestamp) {
        passes.withLock { passes in
            for (hash, number) in calls where passes[hash]?.calls == number { passes[hash]?.isWritten = true }
            passes = passes.filter { _, pass in
                !pass.isWritten || pass.grant.terms.validUntil.map { now < $0 } ?? true
            }
        }
    }
}
