internal import Encodings
internal import Ethereum
internal import Logging
internal import Paywall

// What happens to a payment that is recorded, until its outcome is known.
extension ChainSettler {
    /// Looks whether the outcome of an intent is known now, and keeps it.
    /// - Returns: the intent as it stands.
    /// - Throws: where the chain could not be asked; nothing is known then.
    func advance(_ intent: SettlementIntent) async throws -> SettlementIntent {
        guard let current = try await store.intent(intent.id), current.state == .open else {
            return try await store.intent(intent.id) ?? intent
        }
        for transaction in try await store.transactions(of: current.id).reversed() {
            guard let receipt = try await chain.receipt(of: transaction.signed.hash) else { continue }
            guard try await desk.isDeep(receipt.block) else { return current }
            if receipt.succeeded, receipt.logs.contains(Self.used(current)) {
                return try await end(current, .settled(hash: receipt.hash))
            }
            return try await settleElsewhere(current, otherwise: receipt.hash)
        }
        return current
    }

    /// Decides on a payment whose transaction was undone, or can't come any more: somebody else may have carried the same
    /// authorisation out, which pays the payee just as well.
    /// - Parameter otherwise: our transaction that was undone.
    private func settleElsewhere(
        _ intent: SettlementIntent,
        otherwise hash: [UInt8]?
    ) async throws -> SettlementIntent {
        guard try await isUsed(intent.contract, intent.payer, intent.authorization) else {
            guard let hash else { return intent }
            return try await end(intent, .failed(reason: X402Refusal.Code.transactionFailed.rawValue, hash: hash))
        }
        let topics = Self.used(intent).topics
        for place in try await chain.events(of: intent.contract, topics: topics, since: intent.since) {
            guard try await desk.isDeep(place.block) else { return intent }
            return try await end(intent, .settled(hash: place.hash))
        }
        let cancelled = [TokenCalls.authorizationCanceledTopic] + topics.dropFirst()
        for place in try await chain.events(of: intent.contract, topics: cancelled, since: intent.since) {
            guard try await desk.isDeep(place.block) else { return intent }
            return try await end(intent, .failed(reason: X402Refusal.Code.nonceUsed.rawValue, hash: hash))
        }
        // Used, and no trace of it: the node does not know all it should. Nothing is known then.
        return intent
    }

    private func end(
        _ intent: SettlementIntent,
        _ state: SettlementIntent.State
    ) async throws -> SettlementIntent {
        try await store.end(intent.id, state, at: clock.now()) ?? intent
    }

    /// The event that the token's contract leaves where the authorisation is used.
    private static func used(_ intent: SettlementIntent) -> ReceiptLog {
        ReceiptLog(
            contract: intent.contract,
            topics: [TokenCalls.authorizationUsedTopic, intent.payer.word, intent.authorization]
        )
    }

    // MARK: Keeping at it

    /// Looks after every open settlement, those of earlier runs too: asks for outcomes, sends again what the node may have
    /// dropped, raises the fee of the one whose turn it is. To be called every few seconds, and at the start.
    public func maintain() async {
        do {
            let open = try await store.openIntents(chainID: chain.chainID)
            guard !open.isEmpty else { return }
            try await desk.requireChain()
            let mined = try await chain.transactionCount(of: account, pending: false)
            for intent in open {
                do {
                    try await maintain(intent, mined: mined)
                } catch {
                    logger.notice(
                        "a settlement could not be looked after",
                        metadata: ["settlement": "\(intent.id)", "error": "\(error)"]
                    )
                }
            }
        } catch {
            logger.warning("open settlements could not be looked after", metadata: ["error": "\(error)"])
        }
    }

    /// Looks after open settlements until its task is cancelled.
    public func run(everyMilliseconds milliseconds: Int64 = 5_000) async {
        while !Task.isCancelled {
            await maintain()
            guard (try? await sleep(milliseconds)) != nil else { return }
        }
    }

    /// Forgets settlements that ended more than so many days ago. A payment that is asked for after that counts as used, by
    /// the chain's word. To be called now and then.
    public func forget(olderThanDays days: Int64 = 30) async throws {
        try await store.forget(endedBefore: clock.now().adding(seconds: -86_400 * days))
    }

    /// - Parameter mined: how many transactions of the account are in blocks.
    private func maintain(_ intent: SettlementIntent, mined: UInt64) async throws {
        let current = try await advance(intent)
        let transactions = try await store.transactions(of: current.id)
        guard current.state == .open, let latest = transactions.last else { return }
        let age = clock.now().milliseconds(since: latest.at) / 1000
        if current.nonce < mined {
            // Its place is taken. The receipt may be late, or the block be undone: only after a while is it given up.
            guard age >= configuration.raiseAfterSeconds else { return }
            try await reassign(current, instead: latest.signed, mined: mined)
        } else if current.nonce == mined, age >= configuration.raiseAfterSeconds {
            try await raise(current, transactions)
        } else {
            _ = await desk.send(latest.signed)
        }
    }

    /// Puts a transaction with a higher fee in the place of one that does not get into a block. At the operator's limit the
    /// same one is sent again.
    private func raise(_ intent: SettlementIntent, _ transactions: [StoredTransaction]) async throws {
        guard let latest = transactions.last?.signed else { return }
        guard let raised = try await desk.raised(latest.transaction) else {
            _ = await desk.send(latest)
            return
        }
        guard try await store.replace(intent, seen: transactions.count, with: raised, at: clock.now()) else { return }
        _ = await desk.send(raised)
    }

    /// Gives a payment whose nonce another transaction of the account has taken a new one, unless it was carried out by
    /// another.
    private func reassign(
        _ intent: SettlementIntent,
        instead old: SignedTransaction,
        mined: UInt64
    ) async throws {
        let current = try await settleElsewhere(intent, otherwise: nil)
        guard current.state == .open else { return }
        guard try await !isUsed(intent.contract, intent.payer, intent.authorization) else { return }
        let call = EVMCall(from: account, to: intent.contract, data: intent.call)
        let fees = try await desk.offer()
        let signed = try await store.reassign(
            intent,
            account: account,
            chainCount: mined,
            at: clock.now(),
            sign: desk.signer(call: call, gas: old.transaction.gasLimit, fees: fees)
        )
        guard let signed else { return }
        _ = await desk.send(signed)
    }
}
