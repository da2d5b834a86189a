import NIOCore

/// Whether an upstream gets calls, from what became of the last ones ([GWY-7]). Knows no clock.
///
/// Closed: it gets calls. Open: it gets none until a time. After it, one look shows whether it is there again; if calls were
/// what failed, one call is let through alone (half-open) before it gets them all.
struct Circuit: Sendable, Equatable {
    enum State: Sendable, Equatable {
        case closed
        case open(until: NIODeadline)
        case halfOpen
    }

    /// The longest it stays open at a time, as a multiple of ``BreakerRules/openSeconds``.
    static let longest: Int64 = 10

    let rules: BreakerRules
    private(set) var state = State.closed
    /// Calls in a row that failed.
    private(set) var failures: Int64 = 0
    /// How often in a row it was opened.
    private var openings: Int64 = 0
    /// Whether calls failed though it took connections.
    private var needsTrial = false

    init(rules: BreakerRules) {
        self.rules = rules
    }

    /// A call was answered.
    mutating func answered() {
        state = .closed
        failures = 0
        openings = 0
        needsTrial = false
    }

    /// A call reached the upstream and was not answered.
    /// - Returns: whether this opened it.
    mutating func failed(now: NIODeadline) -> Bool {
        failures += 1
        guard failures >= rules.failures || state == .halfOpen else { return false }
        needsTrial = true
        return open(now)
    }

    /// It can't be reached.
    mutating func unreachable(now: NIODeadline) -> Bool {
        failures += 1
        return open(now)
    }

    /// A look at it showed that it takes connections, or is well.
    mutating func reachable() {
        guard state != .closed else { return }
        state = needsTrial ? .halfOpen : .closed
        if !needsTrial { (failures, openings) = (0, 0) }
    }

    private mutating func open(_ now: NIODeadline) -> Bool {
        if case .open(let until) = state, until > now { return false }
        openings += 1
        let factor = min(Self.longest, 1 << min(openings - 1, 8))
        state = .open(until: now + .seconds(rules.openSeconds * factor))
        return true
    }

    /// Whether it may be looked at now.
    func mayBeAsked(now: NIODeadline) -> Bool {
        if case .open(let until) = state { return until <= now }
        return true
    }
}
