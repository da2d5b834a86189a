internal import Cashu
internal import Cryptography
internal import Encodings

/// What can be subscribed to.
enum WatchKey: Hashable, Sendable {
    case mintQuote(String)
    case meltQuote(String)
    /// Y, 33 bytes.
    case proof([UInt8])

    /// - Parameter filter: of the form that ``SubscriptionRequest`` lets through.
    init?(_ kind: SubscriptionKind, filter: String) {
        switch kind {
        case .mintQuote: self = .mintQuote(filter)
        case .meltQuote: self = .meltQuote(filter)
        case .proofState:
            guard let point = try? Hex.decode(filter) else { return nil }
            self = .proof(point)
        }
    }
}

/// Something that changed in the store, told after its commit.
struct MintChange: Sendable {
    enum Subject: Sendable {
        case one(WatchKey)
        /// A melt has ended, and with it its inputs' pending: they are not at hand then.
        case pendingProofs
    }

    var subject: Subject
    /// What a subscriber must see even where the next change follows at once, as JSON; nil: what the store says later.
    var passing: [UInt8]?

    static func mintQuote(_ id: String, passing: [UInt8]? = nil) -> MintChange {
        MintChange(subject: .one(.mintQuote(id)), passing: passing)
    }

    static func meltQuote(_ id: String, passing: [UInt8]? = nil) -> MintChange {
        MintChange(subject: .one(.meltQuote(id)), passing: passing)
    }

    static let meltEnded = MintChange(subject: .pendingProofs)
}

/// Who is told of what. A value without I/O: its owner reads the store and sends.
///
/// A change only marks what it touched; what is told last is always read from the store after that, so that changes
/// which are noted in another order than they were committed in end with the truth.
struct WatchTable {
    struct Subscriber: Hashable, Sendable {
        var connection: UInt64
        var subscription: String
    }

    private struct Watch {
        var subscribers: [Subscriber] = []
        /// SHA-256 of what was told last.
        var told: [UInt8] = []
    }

    private struct Connection {
        var subscriptions: [String: [WatchKey]] = [:]
        var filters = 0
    }

    /// What is to be told of one key: states in passing, then what the store says.
    struct Work {
        var key: WatchKey
        var passing: [[UInt8]]
    }

    /// Passing states that are kept for one key until they are told; later ones are left out.
    private static let passingStates = 4

    let limits: MintConfiguration.Subscriptions
    private var watches: [WatchKey: Watch] = [:]
    private var connections: [UInt64: Connection] = [:]
    private var filters = 0
    private var marked: [WatchKey: [[UInt8]]] = [:]
    /// Mint quotes that are not paid, and pending proofs.
    private(set) var unpaidQuotes: Set<String> = []
    private var pendingProofs: Set<WatchKey> = []

    init(_ limits: MintConfiguration.Subscriptions) {
        self.limits = limits
    }

    var isEmpty: Bool { watches.isEmpty }
    /// Filters of all subscriptions.
    var count: Int { filters }

    // MARK: Subscribers

    mutating func open(_ connection: UInt64) {
        connections[connection] = Connection()
    }

    mutating func add(_ subscriber: Subscriber, _ keys: [WatchKey]) throws(SubscriptionError) {
        // One that is gone meanwhile is told nothing.
        guard var connection = connections[subscriber.connection] else {
            throw SubscriptionError(SubscriptionError.internalError, "the connection is closed")
        }
        guard connection.subscriptions[subscriber.subscription] == nil else {
            throw SubscriptionError(
                SubscriptionError.invalidParameters,
                "there is a subscription of this `subId` already"
            )
        }
        guard connection.subscriptions.count < limits.perConnection else {
            throw SubscriptionError(
                SubscriptionError.limitReached,
                "a connection has at most \(limits.perConnection) subscriptions: unsubscribe from some"
            )
        }
        guard connection.filters + keys.count <= limits.filtersPerConnection else {
            throw SubscriptionError(
                SubscriptionError.limitReached,
                "a connection has at most \(limits.filtersPerConnection) filters: unsubscribe from some"
            )
        }
        guard filters + keys.count <= limits.filtersInAll else {
            throw SubscriptionError(
                SubscriptionError.limitReached,
                "the mint has too many subscriptions; try again later"
            )
        }
        connection.subscriptions[subscriber.subscription] = keys
        connection.filters += keys.count
        connections[subscriber.connection] = connection
        filters += keys.count
        for key in keys { watches[key, default: Watch()].subscribers.append(subscriber) }
    }

    /// - Returns: whether there was such a subscription.
    mutating func remove(_ subscriber: Subscriber) -> Bool {
        guard let keys = connections[subscriber.connection]?.subscriptions.removeValue(forKey: subscriber.subscription)
        else { return false }
        connections[subscriber.connection]?.filters -= keys.count
        forget(subscriber, keys)
        return true
    }

    mutating func close(_ connection: UInt64) {
        guard let gone = connections.removeValue(forKey: connection) else { return }
        for (subscription, keys) in gone.subscriptions {
            forget(Subscriber(connection: connection, subscription: subscription), keys)
        }
    }

    private mutating func forget(_ subscriber: Subscriber, _ keys: [WatchKey]) {
        filters -= keys.count
        for key in keys {
            guard let index = watches[key]?.subscribers.firstIndex(of: subscriber) else { continue }
            watches[key]?.subscribers.remove(at: index)
            guard watches[key]?.subscribers.isEmpty == true else { continue }
            watches[key] = nil
            marked[key] = nil
            pendingProofs.remove(key)
            if case .mintQuote(let id) = key { unpaidQuotes.remove(id) }
        }
    }

    // MARK: Changes

    /// - Returns: whether anything of it is watched.
    mutating func note(_ changes: [MintChange]) -> Bool {
        for change in changes {
            switch change.subject {
            case .one(let key):
                guard watches[key] != nil else { continue }
                var passing = marked[key] ?? []
                if let state = change.passing, passing.count < Self.passingStates { passing.append(state) }
                marked[key] = passing
            case .pendingProofs:
                for key in pendingProofs { marked[key, default: []] += [] }
            }
        }
        return !marked.isEmpty
    }

    /// Takes up to `count` of what is marked.
    mutating func take(_ count: Int) -> [Work] {
        let taken = marked.prefix(count).map { Work(key: $0.key, passing: $0.value) }
        for work in taken { marked[work.key] = nil }
        return taken
    }

    /// What the store, or a state in passing, says of a key.
    /// - Returns: who is to be told; nobody where it was told already.
    mutating func told(_ key: WatchKey, _ payload: [UInt8], isUnsettled: Bool) -> [Subscriber] {
        guard watches[key] != nil else { return [] }
        settle(key, isUnsettled: isUnsettled)
        let digest = Hashing.sha256(payload)
        guard watches[key]?.told != digest else { return [] }
        watches[key]?.told = digest
        return watches[key]?.subscribers ?? []
    }

    private mutating func settle(_ key: WatchKey, isUnsettled: Bool) {
        switch key {
        case .mintQuote(let id):
            if isUnsettled { unpaidQuotes.insert(id) } else { unpaidQuotes.remove(id) }
        case .proof:
            if isUnsettled { pendingProofs.insert(key) } else { pendingProofs.remove(key) }
        case .meltQuote: break
        }
    }
}
