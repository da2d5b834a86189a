internal import Cashu
internal import Logging
internal import Synchronization

/// How a watch behaves; tests put shorter times here.
struct WatchPace: Sendable {
    /// After a connection that failed; doubled each time, up to `longestPauseMilliseconds`.
    var firstPauseMilliseconds: Int64 = 1000
    var longestPauseMilliseconds: Int64 = 300_000
    /// A connection that lasted so long was of use: after it the pauses begin anew.
    var steadyMilliseconds: Int64 = 60_000
    /// How long a mint has to answer a subscription.
    var answerMilliseconds: Int64 = 10_000
    /// Between two looks at what the mint hints at, so that hints cannot make us ask without end.
    var lookMilliseconds: Int64 = 100
    /// How often what is waited for is read again, whatever rings.
    var roundMilliseconds: Int64 = 15_000
}

/// Keeps one mint's WebSocket open while there is something to be told of (NUT-17): connects, subscribes, and looks at
/// what the mint hints at. Where it does not work nothing is lost but time, as the wallet asks by itself too.
final class MintWatch: Sendable {
    typealias Look = @Sendable ([SubscriptionKind: Set<String>]) async -> Void

    private struct State {
        var wants = Wants()
        /// Of the connection that is open; nil: none is.
        var book: SubscriptionBook?
        var looks: [SubscriptionKind: Set<String>] = [:]
    }

    let mint: MintURL
    private let connector: any MintConnector
    private let pace: WatchPace
    private let logger: Logger
    private let look: Look
    private let state = Mutex(State())
    /// Rings for new wants.
    private let wanted = Bell()
    /// Rings for new hints.
    private let hinted = Bell()

    init(_ mint: MintURL, connector: any MintConnector, pace: WatchPace, logger: Logger, look: @escaping Look) {
        self.mint = mint
        self.connector = connector
        self.pace = pace
        self.logger = logger
        self.look = look
    }

    func set(_ wants: Wants) {
        let isNew = state.withLock { state in
            defer { state.wants = wants }
            return state.wants != wants
        }
        if isNew { wanted.ring() }
    }

    /// Whether the mint tells of this by itself now.
    func isWatching(_ kind: SubscriptionKind, _ filter: String) -> Bool {
        state.withLock { $0.book?.isWatching(kind, filter) ?? false }
    }

    /// Until cancelled.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.connect() }
            group.addTask { await self.lookAtHints() }
        }
    }

    // MARK: The connection

    private func connect() async {
        var failures = 0
        while !Task.isCancelled {
            let seen = wanted.rings
            guard state.withLock({ !$0.wants.isEmpty }) else {
                await wanted.wait(after: seen, milliseconds: 3_600_000)
                continue
            }
            let opened = ContinuousClock.now
            do {
                try await connector.openSocket(at: mint) { socket in try await self.converse(socket) }
            } catch {
                logger.debug("a mint's WebSocket is of no use", metadata: ["mint": "\(mint)", "why": "\(error)"])
            }
            let isOver = state.withLock { state in
                state.book = nil
                return state.wants.isEmpty
            }
            let wasSteady = ContinuousClock.now - opened >= .milliseconds(pace.steadyMilliseconds)
            failures = isOver ? 0 : wasSteady ? 1 : failures + 1
            guard failures > 0, !Task.isCancelled else { continue }
            let longest = min(pace.longestPauseMilliseconds, pace.firstPauseMilliseconds << min(failures - 1, 20))
            // Not all wallets of a mint that comes back at the same moment.
            try? await Task.sleep(for: .milliseconds(Int64.random(in: longest / 2...longest)))
        }
    }

    private func converse(_ socket: any MintSocket) async throws {
        state.withLock { $0.book = SubscriptionBook() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await socket.read { message in
                    try await self.act(self.state.withLock { try $0.book?.receive(message) ?? [] }, on: socket)
                }
            }
            group.addTask { try await self.keepSubscribed(socket) }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// Until nothing is wanted any more.
    private func keepSubscribed(_ socket: any MintSocket) async throws {
        while true {
            let seen = wanted.rings
            let (actions, isOver) = state.withLock { state in
                (state.book?.want(state.wants) ?? [], state.wants.isEmpty)
            }
            guard !isOver else { return }
            try await act(actions, on: socket)
            await wanted.wait(after: seen, milliseconds: pace.answerMilliseconds)
            try Task.checkCancellation()
            guard actions.isEmpty || wanted.rings != seen || state.withLock({ $0.book?.isWaiting == false }) else {
                throw MintSocketError("the mint does not answer a subscription")
            }
        }
    }

    private func act(_ actions: [SubscriptionBook.Action], on socket: any MintSocket) async throws {
        for action in actions {
            switch action {
            case .send(let text): try await socket.send(text)
            case .look(let kind, let subject):
                state.withLock { _ = $0.looks[kind, default: []].insert(subject) }
                hinted.ring()
            }
        }
    }

    // MARK: What comes of it

    private func lookAtHints() async {
        while !Task.isCancelled {
            let seen = hinted.rings
            let looks = state.withLock { state in
                defer { state.looks = [:] }
                return state.looks
            }
            guard looks.isEmpty else {
                await look(looks)
                try? await Task.sleep(for: .milliseconds(pace.lookMilliseconds))
                continue
            }
            await hinted.wait(after: seen, milliseconds: 3_600_000)
        }
    }
}
