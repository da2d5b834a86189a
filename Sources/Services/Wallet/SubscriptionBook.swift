internal import CanonicalJSON
internal import Cashu

/// What a wallet wants to be told of by one mint.
struct Wants: Sendable, Equatable {
    /// The most filters for one mint, whatever waits: the rest is asked about by polling.
    static let maximumFilters = 1000

    /// Ids of quotes, points in hex.
    var filters: [SubscriptionKind: Set<String>] = [:]

    var isEmpty: Bool { filters.values.allSatisfy(\.isEmpty) }
    var count: Int { filters.values.reduce(0) { $0 + $1.count } }

    /// Takes as many as there is room for.
    mutating func add(_ kind: SubscriptionKind, _ some: some Sequence<String>) {
        for filter in some {
            guard count < Self.maximumFilters else { return }
            filters[kind, default: []].insert(filter)
        }
    }
}

/// The wallet's side of NUT-17 on one connection, without the connection: takes what is wanted and what the mint says, and
/// answers what is to be sent and what is to be looked at.
struct SubscriptionBook: Sendable {
    enum Action: Equatable {
        case send([UInt8])
        /// The mint hints that something came of this.
        case look(SubscriptionKind, String)
    }

    /// The mint breaks the protocol, or floods: the connection is to be given up.
    struct Nonsense: Error, CustomStringConvertible {
        var description: String
    }

    /// Filters in one subscription: 500 points are some 34 kB.
    private static let filtersOfOne = 500
    /// Subscriptions on one connection; over it they are made anew, in as few as it takes. Mints take 100 or so.
    private static let maximumSubscriptions = 24
    /// Messages beyond two for each filter that a mint may send on one connection before it must be opened anew.
    private static let idleMessages = 2000

    private struct Subscription {
        var kind: SubscriptionKind
        var filters: Set<String>
        var request: Int64
        var isConfirmed = false
    }

    private var subscriptions: [String: Subscription] = [:]
    /// What the mint would not be subscribed to on this connection.
    private var refused: [SubscriptionKind: Set<String>] = [:]
    private var wants = Wants()
    private var lastRequest: Int64 = 0
    private var messages = 0
    private var allowance = idleMessages

    /// Whether the mint has said that it tells of this.
    func isWatching(_ kind: SubscriptionKind, _ filter: String) -> Bool {
        subscriptions.values.contains { $0.isConfirmed && $0.kind == kind && $0.filters.contains(filter) }
    }

    /// Whether a request was not answered yet.
    var isWaiting: Bool { subscriptions.values.contains { !$0.isConfirmed } }

    // MARK: What is wanted

    mutating func want(_ wants: Wants) -> [Action] {
        self.wants = wants
        var actions: [Action] = []
        for (name, subscription) in subscriptions.sorted(by: { $0.key < $1.key })
        where subscription.filters.isDisjoint(with: wants.filters[subscription.kind] ?? []) {
            actions.append(unsubscribe(name))
        }
        var missing = missingFilters()
        let more = missing.values.reduce(0) { $0 + ($1.count + Self.filtersOfOne - 1) / Self.filtersOfOne }
        if more > 0, subscriptions.count + more > Self.maximumSubscriptions {
            actions += subscriptions.keys.sorted().map { unsubscribe($0) }
            missing = missingFilters()
        }
        for kind in SubscriptionKind.allCases {
            for part in (missing[kind] ?? []).sorted().chunks(of: Self.filtersOfOne) {
                actions.append(subscribe(kind, part))
            }
        }
        return actions
    }

    private func missingFilters() -> [SubscriptionKind: Set<String>] {
        var missing = wants.filters
        for subscription in subscriptions.values { missing[subscription.kind]?.subtract(subscription.filters) }
        for (kind, filters) in refused { missing[kind]?.subtract(filters) }
        return missing
    }

    private mutating func subscribe(_ kind: SubscriptionKind, _ filters: [String]) -> Action {
        lastRequest += 1
        allowance += 2 * filters.count
        let name = "mintmark-\(lastRequest)"
        subscriptions[name] = Subscription(kind: kind, filters: Set(filters), request: lastRequest)
        return request(name, .subscribe(kind, filters: filters))
    }

    private mutating func unsubscribe(_ name: String) -> Action {
        lastRequest += 1
        subscriptions[name] = nil
        return request(name, .unsubscribe)
    }

    private func request(_ name: String, _ command: SubscriptionRequest.Command) -> Action {
        .send(SubscriptionRequest(id: .number(lastRequest), subscription: name, command: command).json.serialized())
    }

    // MARK: What the mint says

    /// - Throws: `Nonsense`.
    mutating func receive(_ message: [UInt8]) throws(Nonsense) -> [Action] {
        messages += 1
        guard messages <= allowance else {
            throw Nonsense(description: "the mint sends more than there can be to tell")
        }
        let news: SubscriptionNews
        do {
            news = try SubscriptionNews(message: message)
        } catch {
            throw Nonsense(description: error.message)
        }
        switch news {
        case .accepted(let id):
            for (name, subscription) in subscriptions where id == .number(subscription.request) {
                subscriptions[name]?.isConfirmed = true
            }
        case .refused(let id, _):
            for (name, subscription) in subscriptions where id == .number(subscription.request) {
                subscriptions[name] = nil
                refused[subscription.kind, default: []].formUnion(subscription.filters)
            }
        case .notification(let name, let payload):
            // One of a subscription that was just given up is no news.
            guard let subscription = subscriptions[name],
                let subject = subscription.kind.subject(of: payload), subscription.filters.contains(subject),
                subscription.kind.isOver(payload)
            else { break }
            return [.look(subscription.kind, subject)]
        }
        return []
    }
}
