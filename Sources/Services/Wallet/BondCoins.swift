public import Cashu
internal import Cryptography
internal import Encodings
internal import Storage

/// Coins of a bond: this wallet's key alone spends them until a time, then another's. They are not this wallet's money; it pays parts of
/// them out, and locks the rest again as it was.
extension Wallet {
    /// The key that bonds are locked to for this node, 33 bytes: of no other use.
    public func bondKey() throws -> [UInt8] {
        Secp256k1.Point(multiplyingGeneratorBy: try keys.bond()).compressed
    }

    /// Looks at a bond's coins, and asks nobody whether they are unspent.
    /// - Throws: `invalidToken`, `mintUnknown`, `belowFee`, `invalidArgument` where they are not a bond's for this node.
    public func bondCoins(_ token: String) async throws -> BondCoins {
        let bond = try await bond(token)
        let planner = try await bondPlanner(bond.token)
        return BondCoins(
            mint: bond.token.mint,
            unit: bond.token.unit,
            worth: try planner.netWorth(of: bond.proofs).amount,
            locktime: bond.lock.locktime ?? 0,
            isSigned: bond.proofs.allSatisfy { $0.dleq?.blindingFactor != nil },
            expiry: try bond.proofs.compactMap { try planner.terms.keyset($0.keysetID).info.finalExpiry }.min(),
            ys: try bond.proofs.map { try $0.hashedSecret().compressed }
        )
    }

    /// Pays a part of a bond to a key, and locks the rest as the bond is; the same again for the same reference gives the same.
    ///
    /// - Parameters:
    ///   - amount: 1 to what the bond is worth.
    ///   - key: who gets the part, 33 bytes compressed.
    /// - Returns: the part as a token, and what the bond is from now on; nil where nothing is left.
    /// - Throws: `tokenSpent` where the coins are gone; `outcomeUnknown`, `mintUnreachable`: then it is to be asked for again.
    public func payOut(
        _ amount: UInt64,
        of token: String,
        to key: [UInt8],
        reference: String
    ) async throws -> (paid: String, rest: String?) {
        let bond = try await bond(token)
        let planner = try await bondPlanner(bond.token)
        let worth = try planner.netWorth(of: bond.proofs).amount
        guard amount > 0, amount <= worth, key != bond.lock.key, (try? Secp256k1.Point(compressed: key)) != nil else {
            throw WalletError(.invalidArgument, "a part is above zero, no more than the bond, and for another's key")
        }
        let (operation, isFresh) = try await database.write { connection in
            if let known = try Operation.live(reference: reference, in: connection) { return (known, false) }
            var groups = [
                OutputGroup(use: .send, amounts: try planner.keyset.split(amount), lock: CoinLock(key: key))
            ]
            if amount < worth {
                groups.append(
                    OutputGroup(use: .send, amounts: try planner.keyset.split(worth - amount), lock: bond.lock)
                )
            }
            let new = Operation(
                id: WalletID.random(),
                kind: .bond,
                mint: bond.token.mint,
                unit: bond.token.unit,
                inputs: bond.proofs,
                ownsInputs: false,
                // Locked outputs need no counters.
                plan: OutputPlan(keyset: planner.keyset.id, firstCounter: 0, groups: groups),
                reference: reference,
                // The mint's fee is the bond's, not this wallet's.
                inputSum: worth,
                fee: 0,
                plannedAt: planner.at
            )
            try new.insert(in: connection)
            return (new, true)
        }
        defer { bell.ring() }
        let coins = try await runner.run(operation, isFresh: isFresh).coins
        func text(for owner: [UInt8]) throws -> String? {
            // In one order, whoever tells them: the mint's answer or the tables.
            let proofs = coins.filter { $0.seller == owner }.map(\.proof)
                .sorted { ($0.amount, $0.secret) < ($1.amount, $1.secret) }
            guard !proofs.isEmpty else { return nil }
            return try Token(mint: bond.token.mint, unit: bond.token.unit, proofs: proofs).serialized()
        }
        guard let paid = try text(for: key) else {
            throw WalletError(.corrupt, "what was paid out of a bond is not in the wallet's tables")
        }
        return (paid, try text(for: bond.lock.key))
    }

    private func bondPlanner(_ token: Token) async throws -> OperationPlanner {
        try OperationPlanner(
            terms: try await book.terms(token.mint),
            unit: token.unit,
            maximumInputs: configuration.maximumInputs,
            at: clock.now()
        )
    }

    /// Nothing else is spent with this key: all coins have one lock, which names it alone, and a way back.
    private func bond(_ text: String) async throws -> (token: Token, proofs: [Proof], lock: CoinLock) {
        guard let token = try? Token(text) else { throw WalletError(.invalidToken, "this is not a token") }
        let proofs = try await verified(token, at: token.mint)
        let locks = try proofs.map { try Self.bondLock($0, key: bondKey()) }
        guard let first = locks.first, let lock = first, locks.allSatisfy({ $0 == lock }) else {
            throw WalletError(
                .invalidArgument,
                "these coins are not a bond's: locked to its keeper alone until one time"
            )
        }
        return (token, proofs, lock)
    }

    private static func bondLock(_ proof: Proof, key: [UInt8]) throws -> CoinLock? {
        guard proof.ephemeralKey == nil, case .p2pk(let lock)? = SpendingCondition(ofSecret: proof.secret),
            lock.keys == [try Secp256k1.Point(compressed: key)], lock.flag == .inputs, lock.otherTags.isEmpty,
            let locktime = lock.locktime.flatMap({ Int64(exactly: $0) }), let refund = lock.refundKeys,
            refund.count == 1, lock.requiredRefundSignatures == 1
        else { return nil }
        return CoinLock(key: key, refundKey: refund[0].compressed, locktime: locktime)
    }
}

/// What a bond's coins are.
public struct BondCoins: Sendable {
    public var mint: MintURL
    public var unit: CurrencyUnit
    /// After the mint's fee: the most that can be paid out.
    public var worth: UInt64
    /// From when on they are the other's, seconds since 1970.
    public var locktime: Int64
    /// Whether each shows by itself that the mint signed it (NUT-12).
    public var isSigned: Bool
    /// When the mint owes nothing for them any more; nil: never.
    public var expiry: UInt64?
    /// NUT-07 knows them by these.
    public var ys: [[UInt8]]
}
