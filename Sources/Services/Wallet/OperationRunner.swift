internal import Cashu
internal import Cryptography
internal import Encodings
internal import Logging
internal import Paywall
internal import Storage
internal import Synchronization

/// What came of an operation.
struct OperationResult: Sendable {
    var operation: Operation
    /// Its new coins, with what becomes of them.
    var coins: [StoredCoin]
    /// For a melt: proof that the invoice was paid.
    var preimage: String?
}

/// Carries operations out, and finishes those whose outcome was not known. Every step is safe to repeat.
final class OperationRunner: Sendable {
    let database: Database
    let book: MintBook
    let maker: OutputMaker
    let keys: WalletKeys
    let clock: WallClock
    let logger: Logger
    private let attempts: Int
    private let pause: @Sendable (Int) async -> Void
    private let running = Mutex<[String: Task<OperationResult, any Error>]>([:])
    /// Planned operations that were sent in this process: to nobody are they new any more.
    private let sent = Mutex<Set<String>>([])

    /// - Parameters:
    ///   - attempts: how often an operation is sent in one go while nothing is heard.
    ///   - pause: waits so many milliseconds.
    init(
        database: Database,
        book: MintBook,
        maker: OutputMaker,
        keys: WalletKeys,
        clock: WallClock,
        logger: Logger,
        attempts: Int,
        pause: @escaping @Sendable (Int) async -> Void
    ) {
        self.database = database
        self.book = book
        self.maker = maker
        self.keys = keys
        self.clock = clock
        self.logger = logger
        self.attempts = attempts
        self.pause = pause
    }

    /// Sends a planned operation until its outcome is known, and books it. Goes on where the caller is cancelled,
    /// since what has left cannot be called back. Callers with the same operation share one run.
    /// One that ended meanwhile is not sent: what came of it is answered, as far as it is on disk.
    /// - Parameter isFresh: as far as the caller knows, nothing of it was sent before.
    /// - Throws: a code that says nothing moved, or `outcomeUnknown`; then `resume` goes on with it.
    func run(_ operation: Operation, isFresh: Bool) async throws -> OperationResult {
        let task = running.withLock { running in
            if let task = running[operation.id] { return task }
            let task = Task {
                defer { _ = self.running.withLock { $0.removeValue(forKey: operation.id) } }
                return try await carryOut(operation, isFresh: isFresh)
            }
            running[operation.id] = task
            return task
        }
        return try await task.value
    }

    /// Finishes what can be finished of the planned operations.
    /// - Returns: how many ended, and how many are still unknown.
    func resume() async throws -> (ended: Int, unknown: Int) {
        let planned = try await database.read { connection in try Operation.planned(in: connection) }
        var ended = 0
        var unknown = 0
        // Parts of one invoice wait for one another at the payee: they go out at once, the rest one by one.
        let parts = Dictionary(grouping: planned.filter(\.isPart)) { $0.reference ?? "" }
        for group in planned.filter({ !$0.isPart }).map({ [$0] }) + parts.sorted(by: { $0.key < $1.key }).map(\.value) {
            for isKnown in try await takeUp(group) { if isKnown { ended += 1 } else { unknown += 1 } }
        }
        return (ended, unknown)
    }

    /// Goes on with several planned operations at once.
    /// - Parameter isFresh: nothing of them was sent before.
    /// - Returns: of each, in no order, whether its outcome is known now.
    func takeUp(_ operations: [Operation], isFresh: Bool = false) async throws -> [Bool] {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for operation in operations { group.addTask { try await self.takeUp(operation, isFresh: isFresh) } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
    }

    /// Goes on with a planned operation.
    /// - Returns: whether its outcome is known now, whatever it is.
    @discardableResult
    func takeUp(_ operation: Operation, isFresh: Bool = false) async throws -> Bool {
        do {
            _ = try await run(operation, isFresh: isFresh)
            return true
        } catch let error as WalletError {
            logger.notice(
                "an operation of the wallet was taken up again",
                metadata: [
                    "operation": "\(operation.id)", "kind": "\(operation.kind)", "outcome": "\(error.message)",
                ]
            )
            return error.code != .outcomeUnknown && error.code != .mintUnreachable
        } catch {
            // One that cannot be finished must not keep the others, nor what comes after them, from going on.
            logger.error(
                "an operation of the wallet cannot be finished",
                metadata: ["operation": "\(operation.id)", "kind": "\(operation.kind)", "error": "\(error)"]
            )
            return false
        }
    }

    /// Inside the single flight the state on disk is what counts: the caller's copy may be of before others ended it.
    private func carryOut(_ copy: Operation, isFresh: Bool) async throws -> OperationResult {
        let id = copy.id
        let found = try await database.read { connection in try Operation.find(id, in: connection) }
        guard var operation = found else {
            throw WalletError(.corrupt, "an operation of the wallet is gone from its tables")
        }
        guard operation.state == .planned else {
            // A done one has dropped its inputs.
            operation.inputs = copy.inputs
            return try await outcome(of: operation)
        }
        return try await send(operation, isFresh: isFresh && !sent.withLock { $0.contains(id) })
    }

    /// What is on disk of an operation that ended.
    private func outcome(of operation: Operation) async throws -> OperationResult {
        let reason = operation.reason ?? "no reason is known"
        switch operation.state {
        case .planned: throw Self.unknown(operation, "it is under way")
        case .done:
            let coins = try await database.read { connection in try CoinStore.made(by: operation.id, in: connection) }
            return OperationResult(operation: operation, coins: coins, preimage: operation.preimage)
        case .refused:
            throw WalletError(
                operation.kind == .melt ? .paymentFailed : .mintRefused,
                "the mint \(operation.mint) did not do it: \(reason)"
            )
        case .disputed:
            throw WalletError(
                .mintDishonest,
                "the mint \(operation.mint) answered with signatures that do not verify: \(reason)"
            )
        }
    }

    private func send(_ operation: Operation, isFresh: Bool) async throws -> OperationResult {
        let exchange: Exchange
        let keys: Exchange.Keys
        do {
            (exchange, keys) = (try await self.exchange(operation), try await signingKeys(for: operation))
        } catch {
            guard isFresh else { throw Self.unknown(operation, "\(error)") }
            try await refuse(operation, reason: "\(error)")
            throw error
        }
        var mayHaveLeft = !isFresh
        for attempt in 1... {
            do {
                _ = sent.withLock { $0.insert(operation.id) }
                return try await finish(exchange, with: try await exchange.send(keys: keys))
            } catch let error as MintAPIError {
                switch error.kind {
                case .refused:
                    return try await settle(exchange, refusal: error)
                case .notSent where !mayHaveLeft:
                    try await refuse(exchange.operation, reason: error.message)
                    throw WalletError(error, mint: operation.mint)
                case .notSent, .unknown:
                    if error.kind == .unknown { mayHaveLeft = true }
                    guard attempt < attempts else { throw Self.unknown(operation, error.message) }
                    await pause(min(10_000, 200 << min(attempt, 6)))
                }
            }
        }
        throw Self.unknown(operation, "no answer")
    }

    private func exchange(_ operation: Operation) async throws -> Exchange {
        let made = try maker.outputs(of: operation)
        return Exchange(
            operation: operation,
            made: made,
            outputs: try made.map { try $0.secret.output() },
            keyset: try await book.terms(operation.mint).keyset(operation.plan.keyset),
            client: await book.client(operation.mint)
        )
    }

    private func signingKeys(for operation: Operation) async throws -> Exchange.Keys {
        switch operation.kind {
        case .receive, .share: return Exchange.Keys(inputs: [try keys.receiving()])
        case .bond: return Exchange.Keys(inputs: [try keys.bond()])
        case .mint, .batch:
            let quotes = operation.mintQuotes
            let mint = operation.mint
            let nonces = try await database.read { connection in
                try quotes.map { try Funding.keyNonce($0, at: mint, in: connection) }
            }
            return Exchange.Keys(quotes: try nonces.map { try $0.map { try keys.quote(nonce: $0) } })
        case .swap, .lock, .redeem, .refund, .melt: return Exchange.Keys()
        }
    }

    // MARK: After a refusal

    /// Finds out what a refusal means: a replay of something that went through is refused too.
    private func settle(_ exchange: Exchange, refusal: MintAPIError) async throws -> OperationResult {
        let operation = exchange.operation
        do {
            switch operation.kind {
            case .mint, .batch: return try await settleMint(exchange, refusal: refusal)
            case .melt: return try await settleMelt(exchange, refusal: refusal)
            case .swap, .lock, .receive, .share, .bond, .redeem, .refund:
                return try await settleSwap(exchange, refusal: refusal)
            }
        } catch let error as MintAPIError {
            // The question itself found no answer.
            throw Self.unknown(operation, error.message)
        }
    }

    private func settleSwap(_ exchange: Exchange, refusal: MintAPIError) async throws -> OperationResult {
        let operation = exchange.operation
        let states = try await exchange.inputStates()
        if states.contains(where: { $0.state == .pending }) {
            throw Self.unknown(operation, "the mint says that the coins are in use: \(refusal.message)")
        }
        let spent = states.filter { $0.state == .spent }
        // A swap is all or nothing: if one input is unspent, ours did not happen.
        if spent.count == states.count, let coins = try await exchange.restoredOutputs() {
            return try await finish(exchange, with: Exchange.Answer(signatures: coins, needsDLEQ: false))
        }
        try await refuse(operation, reason: refusal.message, spent: spent.map(\.hashedSecret))
        if !spent.isEmpty {
            let part = spent.count == states.count ? "the coins were" : "\(spent.count) of \(states.count) coins were"
            throw WalletError(
                .tokenSpent,
                "\(part) spent before, by somebody else",
                mintCode: refusal.code,
                cause: refusal
            )
        }
        throw WalletError(refusal, mint: operation.mint)
    }

    private func settleMint(_ exchange: Exchange, refusal: MintAPIError) async throws -> OperationResult {
        let operation = exchange.operation
        // A batch is all or nothing: if one quote is not issued, ours did not happen.
        var isIssued = true
        for quote in operation.mintQuotes where isIssued {
            isIssued = try await exchange.client.mintQuote(quote).state == .issued
        }
        if isIssued, let coins = try await exchange.restoredOutputs() {
            return try await finish(exchange, with: Exchange.Answer(signatures: coins, needsDLEQ: false))
        }
        try await refuse(operation, reason: refusal.message)
        throw WalletError(refusal, mint: operation.mint)
    }

    private func settleMelt(_ exchange: Exchange, refusal: MintAPIError) async throws -> OperationResult {
        let operation = exchange.operation
        let quote = try await exchange.client.meltQuote(operation.requiredQuote())
        switch quote.state {
        case .paid:
            return try await finish(exchange, with: try await exchange.meltAnswer(quote))
        case .pending:
            throw Self.unknown(operation, "the mint is still paying the invoice")
        default:
            let states = try await exchange.inputStates()
            guard !states.contains(where: { $0.state == .pending }) else {
                throw Self.unknown(operation, "the mint still holds the coins of this payment")
            }
            let spent = states.filter { $0.state == .spent }.map(\.hashedSecret)
            try await refuse(operation, reason: refusal.message, spent: spent)
            throw WalletError(
                .paymentFailed,
                "the mint \(operation.mint) did not pay the invoice: \(refusal.message)",
                mintCode: refusal.code,
                cause: refusal
            )
        }
    }

    private static func unknown(_ operation: Operation, _ why: String) -> WalletError {
        WalletError(
            .outcomeUnknown,
            "it is not known yet whether \(operation.mint) did it (\(why)); the wallet asks again by itself"
        )
    }

    // MARK: Booking

    /// Turns the mint's signatures into coins and books them with everything that hangs on the operation.
    private func finish(_ exchange: Exchange, with answer: Exchange.Answer) async throws -> OperationResult {
        let operation = exchange.operation
        let coins: [StoredCoin]
        do {
            coins = try exchange.coins(from: answer)
        } catch let error as CashuError {
            try await dispute(operation, reason: error.message)
            throw WalletError(
                .mintDishonest,
                "the mint \(operation.mint) answered with signatures that do not verify: \(error.message)",
                cause: error
            )
        }
        let now = clock.now()
        let result = OperationResult(operation: operation, coins: coins, preimage: answer.preimage)
        try await database.write { connection in
            try OperationBooking(operation: operation, at: now).finish(coins, preimage: answer.preimage, in: connection)
        }
        forget(operation)
        return result
    }

    private func refuse(_ operation: Operation, reason: String, spent: [[UInt8]] = []) async throws {
        let now = clock.now()
        try await database.write { connection in
            try OperationBooking(operation: operation, at: now).refuse(reason: reason, spent: spent, in: connection)
        }
        forget(operation)
    }

    private func dispute(_ operation: Operation, reason: String) async throws {
        let now = clock.now()
        logger.error(
            "a mint's answer does not verify; its coins are set aside",
            metadata: ["operation": "\(operation.id)", "mint": "\(operation.mint)", "reason": "\(reason)"]
        )
        try await database.write { connection in
            try OperationBooking(operation: operation, at: now).dispute(reason: reason, in: connection)
        }
        forget(operation)
    }

    /// It is no planned one any more.
    private func forget(_ operation: Operation) { _ = sent.withLock { $0.remove(operation.id) } }
}
