internal import Cashu
internal import Encodings
internal import Storage

/// Calls that are paid with coins of the seller's pool.
extension Buyer {
    /// Holds coins for a call and writes the intent.
    func reserve(_ call: Call, _ offer: EcashOffer) async throws -> PaymentRecord {
        try Self.requireAllowed(offer.terms, for: call.request)
        // In hand before it is written, so that nobody takes it for one that a crash left behind.
        let id = WalletID.random()
        _ = hold(id)
        do {
            return try await reserve(call, offer, id: id)
        } catch {
            release(id)
            throw error
        }
    }

    /// Holds coins for a call and writes the intent, in one transaction; fills the pool first where it is short.
    private func reserve(_ call: Call, _ offer: EcashOffer, id: String) async throws -> PaymentRecord {
        let terms = offer.terms
        let held = try await wallet.mints()
        let usable = terms.mints.filter { held.contains($0) }
        guard !usable.isEmpty else {
            let names = terms.mints.prefix(3).map(\.string).joined(separator: ", ")
            throw WalletError(.mintUnknown, "the seller takes ecash of \(names); this wallet has none of these mints")
        }
        var shortage: WalletError?
        for mint in usable {
            if let payment = try await reserve(call, offer, at: mint, id: id) {
                return payment
            }
        }
        for mint in usable {
            let key = SellerPool.Key(seller: terms.seller ?? [], mint: mint, unit: terms.unit)
            // Others may be quicker to take what was filled in; then there are fewer of them.
            for _ in 0..<64 {
                do {
                    try await pool.fill(key, amount: terms.amount, budget: try await budget(call, terms: terms))
                } catch let error as WalletError where error.code == .insufficientFunds {
                    shortage = error
                    break
                }
                if let payment = try await reserve(call, offer, at: mint, id: id) {
                    return payment
                }
            }
        }
        throw shortage
            ?? WalletError(.insufficientFunds, "the coins were taken by other calls: try again")
    }

    /// - Throws: `challengeUnusable` for another unit, `limitExceeded` above what the call may cost.
    static func requireAllowed(_ terms: PaymentTerms, for request: PaidRequest) throws {
        guard terms.unit == request.unit else {
            throw WalletError(
                .challengeUnusable,
                "the seller wants \(terms.unit), the call may be paid in \(request.unit)"
            )
        }
        guard terms.amount <= request.maximum else {
            throw WalletError(
                .limitExceeded,
                "the call costs \(terms.amount) \(terms.unit), more than the \(request.maximum) allowed; nothing was paid"
            )
        }
    }

    /// What may still be spent beyond this call by every limit it falls under; nil where there is none.
    private func budget(_ call: Call, terms: PaymentTerms) async throws -> UInt64? {
        let request = call.request
        let now = wallet.clock.now()
        return try await wallet.database.read { connection in
            var room = try SpendingLimits.room(for: call.spend(terms, at: now), in: connection)
            if let limit = request.spendingLimit {
                room = min(
                    room ?? .max,
                    try limit.room(for: request.agent, unit: request.unit, at: now, in: connection)
                )
            }
            return room
        }
    }

    private func reserve(
        _ call: Call,
        _ offer: EcashOffer,
        at mint: MintURL,
        id: String
    ) async throws -> PaymentRecord? {
        let terms = offer.terms
        let now = wallet.clock.now()
        let mintNow = try await wallet.book.terms(mint).mintSeconds(at: now)
        let minimumLocktime = mintNow + configuration.minimumLockSeconds
        let key = SellerPool.Key(seller: terms.seller ?? [], mint: mint, unit: terms.unit)
        return try await wallet.database.write { connection in
            if let limit = call.request.spendingLimit {
                try Self.requireRoom(call.request, amount: terms.amount, limit: limit, at: now, in: connection)
            }
            let spend = call.spend(terms, at: now)
            guard
                let coins = try SellerPool.choose(
                    key,
                    amount: terms.amount,
                    minimumLocktime: minimumLocktime,
                    at: now,
                    in: connection
                )
            else {
                // Known before a pool is filled for nothing.
                try SpendingLimits.requireRoom(for: spend, in: connection)
                return nil
            }
            try SpendingLimits.charge(spend, in: connection)
            let payment = call.record(id, paying: offer, mint: mint, ys: coins.map(\.y), at: now)
            try CoinStore.move(
                coins.map(\.y),
                from: .unspent,
                to: .reserved,
                holder: payment.id,
                at: now,
                in: connection
            )
            try PaymentStore.insert(payment, in: connection)
            return payment
        }
    }

    static func requireRoom(
        _ request: PaidRequest,
        amount: UInt64,
        limit: SpendingLimit,
        at now: Timestamp,
        in connection: Connection
    ) throws {
        let spent = try limit.spent(by: request.agent, unit: request.unit, at: now, in: connection)
        let (total, overflow) = spent.addingReportingOverflow(amount)
        guard !overflow, total <= limit.amount else {
            throw WalletError(
                .limitExceeded,
                "the agent has spent \(spent) of the \(limit.amount) \(request.unit) that it may in"
                    + " \(limit.windowSeconds) s; \(amount) more would be too much"
            )
        }
    }
}
