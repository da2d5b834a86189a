/// What a paying proxy may spend: on one call, on one host, and in all. Money is set aside before a call and counted when it
/// is known what the call cost, so that no two calls can both spend the last of it.
actor ProxyBudget {
    /// Hosts that spending is counted of; beyond it, calls to others are refused while there is a limit per host.
    static let maximumHosts = 10_000
    /// Calls that wait until money that is set aside comes free.
    static let maximumWaiting = 1000
    /// Payments that are remembered, so that a repeated call is not counted twice.
    private static let maximumPayments = 10_000

    struct Allowance: Sendable {
        let host: String
        /// The most that the call may cost.
        let amount: UInt64
    }

    struct Totals: Sendable, Equatable {
        var spent: UInt64 = 0
        var reserved: UInt64 = 0
        var calls: UInt64 = 0
    }

    private let perCall: UInt64
    private let inAll: UInt64?
    private let perHost: UInt64?
    private var all = Totals()
    private var hosts: [String: Totals] = [:]
    private var counted: [String: UInt64] = [:]
    private var order: [String] = []
    /// Payments of ``counted`` whose change was taken off again.
    private var changeSeen: Set<String> = []
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(perCall: UInt64, inAll: UInt64?, perHost: UInt64?) {
        self.perCall = perCall
        self.inAll = inAll
        self.perHost = perHost
    }

    var totals: Totals { all }

    /// Sets money aside for a call: as much as one may cost, or what is left. Waits while other calls hold what may come free.
    /// - Returns: nil where too many wait, or too many hosts are counted.
    func allow(_ host: String) async -> Allowance? {
        while true {
            guard perHost == nil || hosts[host] != nil || hosts.count < Self.maximumHosts else { return nil }
            let left = left(for: host)
            guard left.now < min(perCall, left.atMost) else { return take(min(perCall, left.now), for: host) }
            guard waiting.count < Self.maximumWaiting else { return nil }
            await withCheckedContinuation { waiting.append($0) }
        }
    }

    private func take(_ amount: UInt64, for host: String) -> Allowance {
        all.reserved += amount
        if perHost != nil { hosts[host, default: Totals()].reserved += amount }
        return Allowance(host: host, amount: amount)
    }

    /// What is left now, and what it may become when nothing of what is set aside is spent.
    private func left(for host: String) -> (now: UInt64, atMost: UInt64) {
        func left(_ limit: UInt64?, _ totals: Totals) -> (now: UInt64, atMost: UInt64) {
            guard let limit else { return (.max, .max) }
            let atMost = limit > totals.spent ? limit - totals.spent : 0
            return (atMost > totals.reserved ? atMost - totals.reserved : 0, atMost)
        }
        let (whole, single) = (left(inAll, all), left(perHost, hosts[host] ?? Totals()))
        return (min(whole.now, single.now), min(whole.atMost, single.atMost))
    }

    /// Counts what a call came to.
    /// - Parameters:
    ///   - payment: its id; one that was counted before is not counted again.
    ///   - spent: fees included.
    func settle(_ allowance: Allowance, payment: String?, spent: UInt64) {
        var fresh = spent
        if let payment {
            let before = counted[payment] ?? 0
            fresh = spent > before ? spent - before : 0
            remember(payment, max(spent, before))
        }
        all.reserved -= min(all.reserved, allowance.amount)
        all.spent = Self.sum(all.spent, fresh)
        all.calls += 1
        if perHost != nil {
            var totals = hosts[allowance.host] ?? Totals()
            totals.reserved -= min(totals.reserved, allowance.amount)
            totals.spent = Self.sum(totals.spent, fresh)
            // A host that nothing was spent at is forgotten, so that names alone fill no table.
            hosts[allowance.host] = totals == Totals() ? nil : totals
        }
        wakeAll()
    }

    /// Takes back what a call was counted with and what came back of it as change. Once for a payment, however often it is told.
    func giveBack(_ returned: UInt64, of payment: String, host: String) {
        guard returned > 0, let before = counted[payment], changeSeen.insert(payment).inserted else { return }
        let amount = min(returned, before)
        all.spent -= min(all.spent, amount)
        if var totals = hosts[host] {
            totals.spent -= min(totals.spent, amount)
            hosts[host] = totals == Totals() ? nil : totals
        }
        wakeAll()
    }

    private func wakeAll() {
        let woken = waiting
        waiting = []
        for continuation in woken { continuation.resume() }
    }

    private func remember(_ payment: String, _ amount: UInt64) {
        if counted.updateValue(amount, forKey: payment) == nil { order.append(payment) }
        guard order.count > Self.maximumPayments else { return }
        let oldest = order.removeFirst()
        counted[oldest] = nil
        changeSeen.remove(oldest)
    }

    private static func sum(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let (sum, overflow) = left.addingReportingOverflow(right)
        return overflow ? .max : sum
    }
}
