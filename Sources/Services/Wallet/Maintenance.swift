public import Cashu
internal import Cryptography
internal import Encodings
internal import Ledger
internal import Logging
internal import Paywall
internal import Storage

/// What `check` found.
public struct CheckReport: Sendable, Equatable {
    /// Coins asked about.
    public var checkedCoins = 0
    /// Coins of ours that somebody else has spent; they are written off.
    public var lostCoins = 0
    public var lostAmount: UInt64 = 0
    /// Tokens we sent that were claimed meanwhile.
    public var claimedTokens = 0

    public init() {}
}

/// What a restore brought back from one keyset.
public struct RestoredKeyset: Sendable, Equatable {
    public var keyset: String
    public var unit: CurrencyUnit
    /// Coins that were unspent and not in the wallet.
    public var coins: Int
    public var amount: UInt64
}

extension Wallet {
    // MARK: Coming back from sellers' pools

    /// A mint's clock may run behind ours by what it told us and a little more.
    private static let locktimeMarginSeconds: Int64 = 60

    /// Brings home locked coins that were never given to their seller, once their locktime has passed.
    /// - Returns: how many came back.
    public func returnLapsedCoins() async throws -> Int {
        let horizon = clock.now().secondsSince1970
        let lapsed = try await database.read { connection in
            try CoinStore.lapsed(before: horizon, limit: 2000, in: connection)
        }
        var returned = 0
        let groups = Dictionary(grouping: lapsed) { MintUnit(mint: $0.mint, unit: $0.unit) }
        for (place, coins) in groups.sorted(by: { $0.key < $1.key }) {
            guard let terms = try? await book.terms(place.mint) else { continue }
            let mintNow = terms.mintSeconds(at: clock.now())
            let due = coins.filter { ($0.locktime ?? .max) < mintNow - Self.locktimeMarginSeconds }
            for batch in due.chunks(of: configuration.maximumInputs) {
                do {
                    returned += try await returnHome(batch, at: place)
                } catch let error as WalletError {
                    logger.notice("locked coins stay out for now", metadata: ["why": "\(error.message)"])
                }
            }
        }
        return returned
    }

    private func returnHome(_ coins: [StoredCoin], at place: MintUnit) async throws -> Int {
        let keys = keys
        let result = try await perform(at: place.mint, unit: place.unit) { planner, connection in
            let still = try coins.filter { try CoinStore.find($0.y, in: connection)?.state == .unspent }
            let net = try planner.netWorth(of: still.map(\.proof))
            return try planner.own(
                .refund,
                still.map(\.coin),
                groups: [OutputGroup(use: .keep, amounts: try planner.keyset.split(net.amount))],
                fee: net.fee,
                reference: nil,
                prepare: { proof, coin in try proof.signed(by: keys.refund(seller: coin.seller ?? [])) },
                in: connection
            )
        }
        return result.operation.inputs.count
    }

    private struct MintUnit: Hashable, Comparable {
        var mint: MintURL
        var unit: CurrencyUnit
        static func < (left: MintUnit, right: MintUnit) -> Bool {
            (left.mint.string, left.unit.name) < (right.mint.string, right.unit.name)
        }
    }

    // MARK: Asking the mints (NUT-07)

    /// Asks the mints whether what stands in the wallet is still there, and whether tokens that were sent were claimed.
    public func check() async throws -> CheckReport {
        var report = CheckReport()
        for mint in try await mints() {
            try await checkCoins(at: mint, report: &report)
        }
        for token in try await sentTokens() {
            if try await isClaimed(token) { report.claimedTokens += 1 }
        }
        return report
    }

    private func checkCoins(at mint: MintURL, report: inout CheckReport) async throws {
        let coins = try await database.read { connection in
            try connection.rows("SELECT y FROM wallet_proofs WHERE mint = ? AND state = 'unspent'", .text(mint.string))
                .map { try $0.blob(0) }
        }
        let now = clock.now()
        for batch in coins.chunks(of: 200) {
            let states: [ProofState]
            do {
                states = try await book.client(mint).checkState(batch)
            } catch {
                throw WalletError(error, mint: mint)
            }
            report.checkedCoins += batch.count
            let spent = states.filter { $0.state == .spent }.map(\.hashedSecret)
            let lost = try await database.write { connection in
                try Self.writeOff(spent, at: now, in: connection)
            }
            report.lostCoins += lost.count
            report.lostAmount = try Amounts.adding(report.lostAmount, lost.amount)
        }
    }

    /// Books coins that somebody else spent as lost.
    private static func writeOff(
        _ ys: [[UInt8]],
        at now: Timestamp,
        in connection: Connection
    ) throws -> (count: Int, amount: UInt64) {
        var count = 0
        var amount: UInt64 = 0
        for y in ys {
            guard let coin = try CoinStore.find(y, in: connection), coin.state == .unspent else { continue }
            let reference = Hex.encode(y)
            var booking = Booking(reference: reference, kind: "lost", unit: coin.unit.name, at: now)
            let from = coin.seller.map(WalletAccounts.locked) ?? WalletAccounts.ecash(coin.mint)
            booking.move(coin.proof.amount, from: from, to: WalletAccounts.external)
            try LedgerStore.post(booking.transfers, in: connection)
            try CoinStore.move([y], from: .unspent, to: .spent, holder: nil, at: now, in: connection)
            try History.note(
                .lost,
                mint: coin.mint,
                unit: coin.unit,
                change: -Int64(coin.proof.amount),
                fee: 0,
                reference: reference,
                at: now,
                in: connection
            )
            count += 1
            amount = try Amounts.adding(amount, coin.proof.amount)
        }
        return (count, amount)
    }

    /// Asks whether somebody has spent all of a token's coins, and notes it.
    func isClaimed(_ token: SentToken) async throws -> Bool {
        let ys = try await database.read { connection in try CoinStore.held(by: token.id, in: connection).map(\.y) }
        let states: [ProofState]
        do {
            states = try await book.client(token.mint).checkState(ys)
        } catch {
            throw WalletError(error, mint: token.mint)
        }
        guard !states.isEmpty, states.allSatisfy({ $0.state == .spent }) else { return false }
        let now = clock.now()
        try await database.write { connection in
            try connection.execute(
                "UPDATE wallet_tokens SET state = 'claimed' WHERE id = ? AND state = 'sent'",
                .text(token.id)
            )
            for y in ys { try CoinStore.mark(y, .spent, at: now, in: connection) }
        }
        return true
    }

    /// Takes back a token that nobody claimed.
    /// - Throws: `tokenSpent` where somebody did.
    public func reclaim(_ tokenID: String) async throws -> ReceivedToken {
        guard let token = try await database.read({ connection in try TokenStore.find(tokenID, in: connection) }) else {
            throw WalletError(.notFound, "no token with the id \(tokenID) was sent from this wallet")
        }
        guard token.state == .sent else {
            throw WalletError(.tokenSpent, "the token was \(token.state.rawValue) before")
        }
        let proofs = try await verified(try Token(token.token), at: token.mint)
        return try await claim(proofs, at: token.mint, unit: token.unit, reference: TokenStore.reclaimPrefix + tokenID)
    }

    // MARK: From the words alone (NUT-09, NUT-13)

    /// Walks the seed's secrets of every keyset of a mint and brings back what is unspent.
    /// - Parameter emptyBatches: stop after so many batches of 100 in which the mint knows nothing.
    public func restore(from mint: MintURL, emptyBatches: Int = 3) async throws -> [RestoredKeyset] {
        let terms = try await book.refresh(mint)
        var restored: [RestoredKeyset] = []
        for keyset in terms.keysets.values.sorted(by: { $0.id < $1.id }) {
            let found = try await restore(keyset, at: mint, emptyBatches: emptyBatches)
            if found.coins > 0 { restored.append(found) }
        }
        return restored
    }

    private func restore(_ keyset: Keyset, at mint: MintURL, emptyBatches: Int) async throws -> RestoredKeyset {
        var result = RestoredKeyset(keyset: keyset.id.hex, unit: keyset.unit, coins: 0, amount: 0)
        let client = await book.client(mint)
        let size: UInt64 = 100
        var walk = CounterWalk(size: size, emptyBatches: emptyBatches)
        while let counter = walk.next {
            let secrets = try runner.maker.plainSecrets(keyset: keyset.id, from: counter, count: size)
            let outputs = try secrets.map { try $0.output() }
            do {
                let answers = try await client.restore(outputs)
                let response = RestoreResponse(outputs: answers.map(\.output), signatures: answers.map(\.signature))
                let found = try response.proofs(for: secrets, requiresDLEQ: false) { $0 == keyset.id ? keyset : nil }
                walk.ended(found: !found.isEmpty)
                if let last = found.map(\.index).max() {
                    let states = try await client.checkState(found.map { try $0.proof.hashedSecret().compressed })
                    let unspent = zip(found, states).filter { $1.state == .unspent }.map {
                        (counter: counter + UInt64($0.0.index), proof: $0.0.proof)
                    }
                    let brought = try await keep(unspent, keyset: keyset, at: mint, next: counter + UInt64(last) + 1)
                    result.coins += brought.count
                    result.amount = try Amounts.adding(result.amount, brought.amount)
                }
            } catch let error as MintAPIError {
                throw WalletError(error, mint: mint)
            } catch let error as CashuError {
                throw WalletError(.mintDishonest, "what \(mint) restored is wrong: \(error.message)", cause: error)
            }
        }
        return result
    }

    /// Takes coins into the wallet. Those of an operation whose outcome is not known are left to it: it brings them
    /// itself, and some may be for somebody else.
    private func keep(
        _ proofs: [(counter: UInt64, proof: Proof)],
        keyset: Keyset,
        at mint: MintURL,
        next: UInt64
    ) async throws -> (count: Int, amount: UInt64) {
        let now = clock.now()
        return try await database.write { connection in
            try Counters.raise(to: next, of: keyset.id, in: connection)
            let underWay = try Operation.planned(limit: .max, in: connection).map(\.plan).filter {
                $0.keyset == keyset.id
            }
            var fresh: [Proof] = []
            for (counter, proof) in proofs where !underWay.contains(where: { $0.counters.contains(counter) }) {
                let y = try proof.hashedSecret().compressed
                guard try CoinStore.find(y, in: connection) == nil else { continue }
                let coin = StoredCoin(
                    proof: proof,
                    y: y,
                    mint: mint,
                    unit: keyset.unit,
                    feePPK: keyset.info.inputFeePPK,
                    state: .unspent
                )
                try CoinStore.insert(coin, madeBy: "restore", at: now, in: connection)
                let reference = Hex.encode(y)
                var booking = Booking(reference: reference, kind: "restore", unit: keyset.unit.name, at: now)
                booking.move(proof.amount, from: WalletAccounts.external, to: WalletAccounts.ecash(mint))
                try LedgerStore.post(booking.transfers, in: connection)
                try History.note(
                    .restored,
                    mint: mint,
                    unit: keyset.unit,
                    change: Int64(proof.amount),
                    fee: 0,
                    reference: reference,
                    at: now,
                    in: connection
                )
                fresh.append(proof)
            }
            return (fresh.count, try Amounts.sum(fresh.map(\.amount)))
        }
    }

    // MARK: Audit

    /// Holds the coins against the ledger.
    /// - Returns: sentences that say what does not add up; empty where all is well.
    public func audit() async throws -> [String] {
        try await database.read { connection in
            var findings = try LedgerStore.audit(in: connection)
            var held: [String: UInt64] = [:]
            let rows = try connection.rows(
                "SELECT mint, unit, seller, sum(amount) FROM wallet_proofs WHERE state IN ('unspent', 'reserved') GROUP BY 1, 2, 3"
            )
            for row in rows {
                let account =
                    try row.optionalBlob(2).map(WalletAccounts.locked)
                    ?? WalletAccounts.ecash(MintURL(stored: row.text(0)))
                held["\(account.name) in \(try row.text(1))", default: 0] += try row.uint64(3)
            }
            let accounts = try LedgerStore.accounts(prefix: "wallet:", in: connection).filter {
                $0.account.kind == .asset
            }
            for account in accounts {
                let name = "\(account.account.name) in \(account.unit)"
                let coins = held.removeValue(forKey: name) ?? 0
                guard coins != account.balance else { continue }
                findings.append("\(name) is booked as \(account.balance) and the coins make \(coins)")
            }
            for (name, coins) in held.sorted(by: { $0.key < $1.key }) where coins > 0 {
                findings.append("\(name) is not booked and the coins make \(coins)")
            }
            return findings
        }
    }
}
