internal import Cashu
internal import Cryptography
internal import Encodings
internal import Ledger
internal import Storage

/// Ends operations in the database: coins, ledger, history and whatever waits for them, in one transaction.
struct OperationBooking: Sendable {
    let operation: Operation
    let at: Timestamp

    // MARK: Done

    func finish(_ coins: [StoredCoin], preimage: String?, in connection: Connection) throws {
        guard try operation.end(.done, reason: nil, at: at, in: connection) else { return }
        let giving = try takeInputs(in: connection)
        for coin in coins where try !isGone(restored: coin, in: connection) {
            // A token locked to somebody is not ours to count; it is kept so that it can be shown again.
            try CoinStore.insert(coin, madeBy: operation.id, at: at, in: connection)
        }
        let kept = try Amounts.sum(coins.filter { $0.state == .unspent && $0.seller == nil }.map(\.proof.amount))
        let sent = try Amounts.sum(coins.filter { $0.state == .sent }.map(\.proof.amount))
        let pooled = Dictionary(grouping: coins.filter { $0.state == .unspent && $0.seller != nil }) { $0.seller ?? [] }

        let ecash = WalletAccounts.ecash(operation.mint)
        var booking = Booking(
            reference: operation.id,
            kind: operation.kind.rawValue,
            unit: operation.unit.name,
            at: at
        )
        for (account, amount) in giving { booking.move(amount, from: account, to: ecash) }
        var leaving = try Amounts.adding(sent, operation.meltAmount)
        booking.move(leaving, from: ecash, to: WalletAccounts.external)
        for (seller, group) in pooled {
            let amount = try Amounts.sum(group.map(\.proof.amount))
            booking.move(amount, from: ecash, to: WalletAccounts.locked(seller))
            leaving = try Amounts.adding(leaving, amount)
        }
        let (fee, underflow) = operation.inputSum.subtractingReportingOverflow(try Amounts.adding(kept, leaving))
        guard !underflow else {
            throw WalletError(.corrupt, "an operation of the wallet would give out more than it took in")
        }
        booking.move(fee, from: ecash, to: WalletAccounts.fees)
        try LedgerStore.post(booking.transfers, in: connection)
        try settleDependents(coins, sent: sent, fee: fee, preimage: preimage, in: connection)
    }

    /// Earlier versions' restores took also the coins of operations under way, as coins from outside. That is undone; a
    /// coin that was given away meanwhile stays away.
    /// - Returns: whether the coin stands in the table and is not to be inserted.
    private func isGone(restored coin: StoredCoin, in connection: Connection) throws -> Bool {
        guard let there = try CoinStore.find(restored: coin.y, in: connection) else { return false }
        if there.state == .unspent { try CoinStore.drop(restored: coin.y, in: connection) }
        // What the operation sends leaves the books by itself, and has left them before where it is gone.
        guard there.state == .unspent || coin.state != .sent else { return true }
        let reference = operation.id + ":" + Hex.encode(coin.y)
        var booking = Booking(reference: reference, kind: "restore-undone", unit: operation.unit.name, at: at)
        booking.move(coin.proof.amount, from: WalletAccounts.ecash(operation.mint), to: WalletAccounts.external)
        try LedgerStore.post(booking.transfers, in: connection)
        try History.note(
            .restored,
            mint: operation.mint,
            unit: operation.unit,
            change: -Int64(coin.proof.amount),
            fee: 0,
            reference: reference,
            at: at,
            in: connection
        )
        return there.state != .unspent
    }

    /// Marks the inputs spent.
    /// - Returns: the accounts they stood on, with their amounts.
    private func takeInputs(in connection: Connection) throws -> [(Account, UInt64)] {
        guard operation.ownsInputs else {
            // A token of ours that came back: nobody else will spend it now.
            for input in operation.inputs {
                let y = try input.hashedSecret().compressed
                try CoinStore.mark(y, .spent, at: at, in: connection)
            }
            return operation.inputSum == 0 ? [] : [(WalletAccounts.external, operation.inputSum)]
        }
        return try release(to: .spent, in: connection)
    }

    /// Moves the coins this operation holds to a state.
    private func release(to state: StoredCoin.State, in connection: Connection) throws -> [(Account, UInt64)] {
        let held = try CoinStore.held(by: operation.id, in: connection).filter { $0.state == .reserved }
        let holder = state == .unspent ? nil : operation.id
        try CoinStore.move(held.map(\.y), from: .reserved, to: state, holder: holder, at: at, in: connection)
        let groups = Dictionary(grouping: held) { coin in
            coin.seller.map(WalletAccounts.locked) ?? WalletAccounts.ecash(coin.mint)
        }
        return try groups.map { ($0.key, try Amounts.sum($0.value.map(\.proof.amount))) }
            .sorted { $0.0.name < $1.0.name }
    }

    /// What waits for the operation: a token to hand over, a funding, a redemption, a refund.
    private func settleDependents(
        _ coins: [StoredCoin],
        sent: UInt64,
        fee: UInt64,
        preimage: String?,
        in connection: Connection
    ) throws {
        switch operation.kind {
        case .swap:
            if sent > 0 { try storeToken(coins.filter { $0.state == .sent }, in: connection) }
            try note(
                sent > 0 ? .sent : .swapped,
                change: -Int64(try Amounts.adding(sent, fee)),
                fee: fee,
                in: connection
            )
        case .lock:
            try note(.locked, change: -Int64(fee), fee: fee, in: connection)
        case .refund:
            try note(.unlocked, change: -Int64(fee), fee: fee, in: connection)
        case .receive:
            let gain = Int64(operation.inputSum) - Int64(fee)
            if try !PaymentStore.refundArrived(operation, gain: gain, at: at, in: connection) {
                try note(.received, change: gain, fee: fee, in: connection)
                try reclaimed(gain, in: connection)
                let amount = UInt64(max(0, gain))
                try InboxStore.arrived(operation, gain: amount, fee: fee, at: at, in: connection)
            } else {
                try note(.refunded, change: gain, fee: fee, in: connection)
            }
        case .share:
            try note(.received, change: Int64(operation.inputSum), fee: 0, in: connection)
        // It was never this wallet's.
        case .bond: break
        case .redeem:
            try connection.execute(
                "UPDATE wallet_redemptions SET state = 'redeemed' WHERE operation = ?",
                .text(operation.id)
            )
            try note(.redeemed, change: Int64(operation.inputSum) - Int64(fee), fee: fee, in: connection)
        case .mint, .batch:
            for quote in operation.mintQuotes {
                try connection.execute(
                    "UPDATE wallet_fundings SET state = 'issued' WHERE mint = ? AND quote = ?",
                    .text(operation.mint.string),
                    .text(quote.string)
                )
                try MintSwapStore.arrived(quote, at: operation.mint, in: connection)
            }
            try note(.funded, change: Int64(operation.inputSum), fee: fee, in: connection)
        case .melt:
            try MintSwapStore.paid(operation: operation.id, fee: fee, in: connection)
            try SpendingLimits.settle(
                operation.id,
                actual: Amounts.adding(operation.meltAmount, fee),
                in: connection
            )
            // What pays a call is written down as that.
            let isOfCall = try InvoiceStore.paid(
                operation: operation.id,
                fee: fee,
                preimage: preimage,
                at: at,
                in: connection
            )
            if !isOfCall {
                try note(
                    .paidInvoice,
                    change: -Int64(try Amounts.adding(operation.meltAmount, fee)),
                    fee: fee,
                    in: connection
                )
            }
            if let preimage {
                try connection.execute(
                    "UPDATE wallet_operations SET reason = ? WHERE id = ?",
                    .text("preimage:" + preimage.prefix(128)),
                    .text(operation.id)
                )
            }
        }
    }

    /// A token that we sent came home.
    private func reclaimed(_ gain: Int64, in connection: Connection) throws {
        guard let (id, isLast) = operation.purpose(TokenStore.reclaimPrefix) else { return }
        if isLast {
            // Whoever asked the mint meanwhile saw the coins spent, and took them for claimed by somebody else.
            try connection.execute(
                "UPDATE wallet_tokens SET state = 'reclaimed' WHERE id = ? AND state IN ('sent', 'claimed')",
                .text(id)
            )
        }
        try SpendingLimits.giveBack(UInt64(max(0, gain)), id: id, in: connection)
    }

    private func storeToken(_ coins: [StoredCoin], in connection: Connection) throws {
        try TokenStore.insert(
            id: operation.id,
            mint: operation.mint,
            unit: operation.unit,
            proofs: coins.map(\.proof),
            reference: operation.reference,
            at: at,
            in: connection
        )
    }

    private func note(_ kind: HistoryEntry.Kind, change: Int64, fee: UInt64, in connection: Connection) throws {
        try History.note(
            kind,
            mint: operation.mint,
            unit: operation.unit,
            change: change,
            fee: fee,
            reference: operation.id,
            at: at,
            in: connection
        )
    }

    // MARK: Not done

    /// Gives the inputs back. Those that the mint knows as spent are gone: somebody else had them too.
    func refuse(reason: String, spent: [[UInt8]], in connection: Connection) throws {
        guard try operation.end(.refused, reason: reason, at: at, in: connection) else { return }
        try SpendingLimits.settle(operation.id, actual: 0, in: connection)
        try MintSwapStore.refused(operation: operation.id, in: connection)
        try InvoiceStore.failed(operation: operation.id, at: at, in: connection)
        if operation.ownsInputs {
            let gone = try spent.compactMap { try CoinStore.find($0, in: connection) }.filter {
                $0.holder == operation.id
            }
            _ = try release(to: .unspent, in: connection)
            try writeOff(gone, to: WalletAccounts.external, kind: "spent-elsewhere", in: connection)
        }
        try connection.execute(
            "DELETE FROM wallet_redemptions WHERE operation = ? AND state = 'pending'",
            .text(operation.id)
        )
    }

    /// Sets aside what a mint took without giving valid signatures. The operation keeps its inputs as evidence.
    func dispute(reason: String, in connection: Connection) throws {
        guard try operation.end(.disputed, reason: reason, at: at, in: connection) else { return }
        guard operation.ownsInputs else {
            try connection.execute(
                "UPDATE wallet_redemptions SET state = 'failed', reason = ? WHERE operation = ?",
                .text(String(reason.prefix(1000))),
                .text(operation.id)
            )
            return
        }
        let held = try CoinStore.held(by: operation.id, in: connection).filter { $0.state == .reserved }
        _ = try release(to: .unspent, in: connection)
        try writeOff(held, to: WalletAccounts.disputed, kind: "disputed", in: connection)
    }

    private func writeOff(_ coins: [StoredCoin], to account: Account, kind: String, in connection: Connection) throws {
        guard !coins.isEmpty else { return }
        var booking = Booking(reference: operation.id, kind: kind, unit: operation.unit.name, at: at)
        for coin in coins {
            let from = coin.seller.map(WalletAccounts.locked) ?? WalletAccounts.ecash(coin.mint)
            booking.move(coin.proof.amount, from: from, to: account)
        }
        try CoinStore.move(coins.map(\.y), from: .unspent, to: .spent, holder: operation.id, at: at, in: connection)
        try LedgerStore.post(booking.transfers, in: connection)
        let lost = try Amounts.sum(coins.map(\.proof.amount))
        try note(.lost, change: -Int64(lost), fee: 0, in: connection)
    }
}
