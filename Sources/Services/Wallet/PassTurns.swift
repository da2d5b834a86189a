internal import Cashu
internal import Storage
internal import Synchronization

/// One at a time buys what opens more than one call: whoever comes meanwhile waits, and finds the pass there.
final class PassTurns: Sendable {
    struct Key: Hashable, Sendable {
        var origin: String
        var scope: String
        var agent: String
    }

    /// The right to buy, until it is left.
    final class Turn: Sendable {
        private let turns: PassTurns
        private let key: Key

        fileprivate init(_ turns: PassTurns, _ key: Key) { (self.turns, self.key) = (turns, key) }

        /// Lets the next one go on; more than once is once.
        func leave() { turns.leave(key, self) }
    }

    private struct State {
        var taken: [Key: Turn] = [:]
        var ended: UInt64 = 0
        var waiting = 0
    }

    private let state = Mutex(State())
    private let bell = Bell()

    /// How many turns have ended: where it has changed, somebody may have bought something.
    var ended: UInt64 { state.withLock { $0.ended } }
    /// How many wait for their turn.
    var waiting: Int { state.withLock { $0.waiting } }

    /// Waits until nobody else has the turn.
    /// - Throws: `CancellationError`.
    func take(_ key: Key) async throws -> Turn {
        let turn = Turn(self, key)
        while true {
            let seen = bell.rings
            let isOurs = state.withLock { state in
                guard state.taken[key] == nil else {
                    state.waiting += 1
                    return false
                }
                state.taken[key] = turn
                return true
            }
            if isOurs { return turn }
            defer { state.withLock { $0.waiting -= 1 } }
            try Task.checkCancellation()
            await bell.wait(after: seen, milliseconds: 60_000)
        }
    }

    private func leave(_ key: Key, _ turn: Turn) {
        let hadIt = state.withLock { state in
            guard state.taken[key] === turn else { return false }
            state.taken[key] = nil
            state.ended += 1
            return true
        }
        if hadIt { bell.ring() }
    }
}

extension Buyer {
    /// What came of an invoice that is paid before its call is made.
    enum PaidAhead: Sendable {
        /// It is paid. Where the call is what opens a session, nobody else pays for one until the turn is left.
        case payment(PaymentRecord, PassTurns.Turn?)
        /// Somebody else has bought a pass meanwhile, which was good for the call.
        case response(PaidResponse)
    }

    /// Pays an invoice. What it buys may be good for more calls: of those that come at once, one pays.
    /// - Parameter seen: the turns that had ended when the call was looked for a pass.
    func payAhead(_ offer: InvoiceOffer, for call: Call, seen: UInt64) async throws -> PaidAhead {
        guard call.passWays.contains(offer.way), !call.hasAuthorization else {
            return .payment(try await payOrDeposit(offer, for: call), nil)
        }
        let key = PassTurns.Key(origin: call.address.origin, scope: call.passScope, agent: call.request.agent)
        var turn = try await passTurns.take(key)
        if passTurns.ended != seen, try await hasPass(for: call) {
            turn.leave()
            if let response = try await payByPass(call) { return .response(response) }
            turn = try await passTurns.take(key)
        }
        do {
            let payment = try await payOrDeposit(offer, for: call)
            guard offer.session == nil else { return .payment(payment, turn) }
            turn.leave()
            return .payment(payment, nil)
        } catch {
            turn.leave()
            throw error
        }
    }

    private func payOrDeposit(_ offer: InvoiceOffer, for call: Call) async throws -> PaymentRecord {
        guard let session = offer.session else { return try await pay(offer, for: call) }
        return try await deposit(offer, session, for: call)
    }

    /// Whether something that was bought before may pay for the call.
    func hasPass(for call: Call) async throws -> Bool {
        try await wallet.database.read { connection in
            try connection.first(
                "SELECT 1 FROM wallet_invoices WHERE pass = 'good' AND origin = ? AND scope = ? AND agent = ?",
                .text(call.address.origin),
                .text(call.passScope),
                .text(call.request.agent)
            ) != nil
        }
    }
}
