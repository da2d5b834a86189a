internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Logging
internal import Storage
internal import Synchronization
internal import WebServer

/// Who is told of changes, and what waits to be told (NUT-17).
struct MintFeed {
    /// A subscription that waits for its first states.
    struct Request {
        var id: RequestID
        var subscriber: WatchTable.Subscriber
        var keys: [WatchKey]
        var done: CheckedContinuation<Void, Never>
    }

    var table: WatchTable
    var peers: [UInt64: any WebSocketConnection] = [:]
    var requests: [Request] = []
    var isPumping = false

    init(_ limits: MintConfiguration.Subscriptions) {
        table = WatchTable(limits)
    }
}

/// Subscriptions (NUT-17).
///
/// Whatever changes a quote or a proof calls ``announce(_:)`` after its commit. One task at a time then reads what is
/// watched of it, once however many watch it, and sends it; so nothing is told that is not on the disk.
extension Mint {
    /// States that one reading of the store asks for.
    private static let batch = 500

    /// Tells subscribers of what was committed. Costs a lock where nobody watches.
    func announce(_ changes: MintChange...) {
        announce(changes)
    }

    func announce(_ changes: [MintChange]) {
        feed.withLock { feed in
            guard !feed.table.isEmpty, feed.table.note(changes) else { return }
            startPump(&feed)
        }
    }

    /// That proofs were spent, or are held by a payment.
    func announce(spent proofs: [SpentProof], arePending: Bool = false) {
        guard feed.withLock({ !$0.table.isEmpty }) else { return }
        announce(
            proofs.map { proof in
                let pending = ProofState(hashedSecret: proof.y, state: .pending).json.serialized()
                return MintChange(subject: .one(.proof(proof.y)), passing: arePending ? pending : nil)
            }
        )
    }

    /// A melt that paid a quote of this mint: both are announced, and the inputs.
    func announce(settledInside quote: StoredMeltQuote, spending proofs: [SpentProof]) async {
        guard feed.withLock({ !$0.table.isEmpty }) else { return }
        announce(spent: proofs)
        announce(.meltQuote(quote.id))
        do {
            if let own = try await store.mintQuote(paymentHash: quote.paymentHash) { announce(.mintQuote(own.id)) }
        } catch {
            logger.warning("subscribers of a quote are not told", metadata: ["error": "\(error)"])
        }
    }

    private func startPump(_ feed: inout MintFeed) {
        guard !feed.isPumping else { return }
        feed.isPumping = true
        Task { await pump() }
    }

    // MARK: Connections

    func openSubscriptions(_ peer: any WebSocketConnection) {
        feed.withLock { feed in
            feed.table.open(peer.id)
            feed.peers[peer.id] = peer
        }
    }

    func closeSubscriptions(_ peer: any WebSocketConnection) {
        feed.withLock { feed in
            feed.table.close(peer.id)
            feed.peers[peer.id] = nil
        }
    }

    /// Answers one message; returns once the first states of a new subscription are on their way.
    func receive(_ message: [UInt8], from peer: any WebSocketConnection) async {
        let request: SubscriptionRequest
        do {
            request = try SubscriptionRequest(
                message: message,
                filterLimit: configuration.subscriptions.filtersPerSubscription
            )
        } catch {
            return peer.send(SubscriptionMessage.refused(error.id, error.error))
        }
        let subscriber = WatchTable.Subscriber(connection: peer.id, subscription: request.subscription)
        switch request.command {
        case .unsubscribe:
            let wasThere = feed.withLock { $0.table.remove(subscriber) }
            peer.send(
                wasThere
                    ? SubscriptionMessage.accepted(request.id, subscription: request.subscription)
                    : SubscriptionMessage.refused(
                        request.id,
                        SubscriptionError(
                            SubscriptionError.invalidParameters,
                            "there is no subscription of this `subId`"
                        )
                    )
            )
        case .subscribe(let kind, let filters):
            let keys = filters.compactMap { WatchKey(kind, filter: $0) }
            await withCheckedContinuation { done in
                feed.withLock { feed in
                    feed.requests.append(
                        MintFeed.Request(id: request.id, subscriber: subscriber, keys: keys, done: done)
                    )
                    startPump(&feed)
                }
            }
        }
    }

    // MARK: Telling

    private enum Step {
        case subscribe(MintFeed.Request)
        case tell([WatchTable.Work])
    }

    private func pump() async {
        while let step = nextStep() {
            switch step {
            case .subscribe(let request):
                await subscribe(request)
                request.done.resume()
            case .tell(let work):
                await tell(work)
            }
        }
    }

    private func nextStep() -> Step? {
        feed.withLock { feed in
            if !feed.requests.isEmpty { return .subscribe(feed.requests.removeFirst()) }
            let work = feed.table.take(Self.batch)
            if work.isEmpty { feed.isPumping = false }
            return work.isEmpty ? nil : .tell(work)
        }
    }

    private func subscribe(_ request: MintFeed.Request) async {
        let subscriber = request.subscriber
        let peer = feed.withLock { $0.peers[subscriber.connection] }
        do {
            // First the watch, then the reading: what is committed in between is noted.
            try feed.withLock { feed throws(SubscriptionError) in try feed.table.add(subscriber, request.keys) }
        } catch {
            peer?.send(SubscriptionMessage.refused(request.id, error))
            return
        }
        do {
            let states = try await watchedStates(request.keys)
            guard request.keys.allSatisfy({ states[$0] != nil }) else {
                throw SubscriptionError(SubscriptionError.invalidParameters, MintError.quoteUnknown.detail)
            }
            metrics.subscribed()
            peer?.send(SubscriptionMessage.accepted(request.id, subscription: subscriber.subscription))
            for key in request.keys {
                if let state = states[key] { deliver(key, state, to: subscriber) }
            }
        } catch {
            _ = feed.withLock { $0.table.remove(subscriber) }
            if !(error is SubscriptionError) {
                logger.warning("a subscription failed", metadata: ["error": "\(error)"])
            }
            let failure = SubscriptionError(SubscriptionError.internalError, "the mint could not read its store")
            peer?.send(SubscriptionMessage.refused(request.id, error as? SubscriptionError ?? failure))
        }
    }

    private func tell(_ work: [WatchTable.Work]) async {
        for item in work {
            for state in item.passing { deliver(item.key, WatchedState(payload: state, isUnsettled: true), to: nil) }
        }
        do {
            for (key, state) in try await watchedStates(work.map(\.key)) { deliver(key, state, to: nil) }
        } catch {
            logger.warning("subscribers are told later", metadata: ["error": "\(error)"])
            if let error = error as? StorageError, error.code == .closed { return }
            try? await Task.sleep(for: .seconds(1))
            feed.withLock { feed in
                _ = feed.table.note(work.map { MintChange(subject: .one($0.key)) })
            }
        }
    }

    /// Sends a state to all who have not heard it, and in any case to `newcomer`.
    private func deliver(_ key: WatchKey, _ state: WatchedState, to newcomer: WatchTable.Subscriber?) {
        let receivers = feed.withLock { feed in
            var subscribers = feed.table.told(key, state.payload, isUnsettled: state.isUnsettled)
            if let newcomer, !subscribers.contains(newcomer) { subscribers.append(newcomer) }
            return subscribers.compactMap { subscriber in
                feed.peers[subscriber.connection].map { (peer: $0, subscription: subscriber.subscription) }
            }
        }
        metrics.notified(receivers.count)
        for receiver in receivers {
            receiver.peer.send(SubscriptionMessage.notification(receiver.subscription, payload: state.payload))
        }
    }

    // MARK: Reading

    struct WatchedState {
        /// A quote or a proof's state, as JSON.
        var payload: [UInt8]
        /// An unpaid mint quote or a pending proof.
        var isUnsettled: Bool
    }

    /// What the store says of each now; quotes that it does not know are left out.
    private func watchedStates(_ keys: [WatchKey]) async throws -> [WatchKey: WatchedState] {
        var result: [WatchKey: WatchedState] = [:]
        var points: [[UInt8]] = []
        for key in keys {
            switch key {
            case .proof(let y): points.append(y)
            case .mintQuote(let id):
                guard let quote = try await store.mintQuote(id) else { continue }
                result[key] = WatchedState(
                    payload: try quote.onTheWire().json.quoteAnswer(),
                    isUnsettled: quote.state == .unpaid
                )
            case .meltQuote(let id):
                guard let quote = try await store.meltQuote(id) else { continue }
                result[key] = WatchedState(payload: try await answer(quote), isUnsettled: quote.state == .pending)
            }
        }
        guard !points.isEmpty else { return result }
        for (y, found) in zip(points, try await store.states(of: points)) {
            let state = ProofState(hashedSecret: y, state: found.state, witness: found.witness)
            result[.proof(y)] = WatchedState(
                payload: state.json.serialized(),
                isUnsettled: found.state == .pending
            )
        }
        return result
    }

    /// Filters of all subscriptions, for an operator and for tests.
    package var watchedFilters: Int { feed.withLock { $0.table.count } }

    // MARK: Payments that nobody announces

    /// Mint quotes of a round.
    private static let questions = 64

    /// Asks the backend about unpaid quotes that somebody watches: once each, however many do.
    package func askAboutWatchedQuotes() async {
        var ids = feed.withLock { $0.table.unpaidQuotes }
        while ids.count > Self.questions, let some = ids.randomElement() { ids.remove(some) }
        await withTaskGroup(of: Void.self) { group in
            for (index, id) in ids.enumerated() {
                if index >= 8 { await group.next() }
                group.addTask { [self] in
                    // A failure is the backend's, and is asked about again in the next round.
                    guard let quote = try? await store.mintQuote(id) else { return }
                    _ = try? await refreshed(quote)
                }
            }
        }
    }

    /// Asks every second until the task is cancelled.
    func watchQuotes() async {
        while !Task.isCancelled {
            await askAboutWatchedQuotes()
            try? await Task.sleep(for: .seconds(1))
        }
    }
}
