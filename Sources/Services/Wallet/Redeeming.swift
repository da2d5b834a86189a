public import Cashu
public import Cryptography
internal import Encodings
internal import Logging
internal import Storage

/// What came of redeeming a batch of coins that were locked to us. Every coin stands in exactly one list.
public struct RedemptionReport: Sendable, Equatable {
    /// A coin that will never be money.
    public struct Failure: Sendable, Equatable {
        /// `hash_to_curve(secret)`, 33 bytes.
        public var y: [UInt8]
        public var reason: String
    }

    /// In the wallet now, by `Y`.
    public var redeemed: [[UInt8]] = []
    public var failed: [Failure] = []
    /// Not known yet, or not worth the fee alone: call again with the same coins.
    public var pending: [[UInt8]] = []
    /// What this call brought, after fees. Coins redeemed by an earlier call are not counted again.
    public var amount: UInt64 = 0
    public var fee: UInt64 = 0

    public init() {}
}

extension Wallet {
    /// Redeems coins that buyers locked to `key`, or did not lock at all: signs, swaps them for coins of ours, and tells what became of each.
    /// Safe to call again with the same coins after a crash: none is counted twice, and a bad coin sinks only itself.
    /// - Parameter key: the seller's key, that the coins are locked to.
    /// - Throws: `mintUnknown` where the mint was never added. What the mint says stands in the report.
    public func redeem(
        lockedProofs proofs: [Proof],
        at mint: MintURL,
        unit: CurrencyUnit = .sat,
        key: Secp256k1.Scalar
    ) async throws -> RedemptionReport {
        var report = RedemptionReport()
        var coins: [RedeemableCoin] = []
        var seen: Set<[UInt8]> = []
        for proof in proofs {
            let y = try proof.hashedSecret().compressed
            guard seen.insert(y).inserted else { continue }
            guard !proof.needsSignatureOverAll else {
                report.failed.append(.init(y: y, reason: "its lock asks for a signature over a whole transaction"))
                continue
            }
            let signed = try SpendingSigner.sign(inputs: [proof], outputs: [], key: key)
            coins.append(RedeemableCoin(y: y, proof: signed[0]))
        }
        _ = try await book.terms(mint)
        try await finishEarlier(coins, report: &report)
        let settled = Set(report.redeemed + report.failed.map(\.y) + report.pending)
        for batch in coins.filter({ !settled.contains($0.y) }).chunks(of: configuration.maximumInputs) {
            try await redeem(batch, at: mint, unit: unit, report: &report)
        }
        return report
    }

    private struct RedeemableCoin: Sendable {
        var y: [UInt8]
        var proof: Proof
    }

    /// What earlier calls did with these coins; their open operations are taken up first.
    private func finishEarlier(_ coins: [RedeemableCoin], report: inout RedemptionReport) async throws {
        let ys = coins.map(\.y)
        let open = try await database.read { connection in
            try ys.compactMap { y in
                try connection.first(
                    "SELECT operation FROM wallet_redemptions WHERE y = ? AND state = 'pending'",
                    .blob(y)
                )?.text(0)
            }
        }
        for id in Set(open).sorted() {
            guard let operation = try await database.read({ connection in try Operation.find(id, in: connection) }),
                operation.state == .planned
            else { continue }
            do {
                let result = try await runner.run(operation, isFresh: false)
                try add(result, to: &report)
            } catch let error as WalletError {
                logger.notice("an earlier redemption is not settled", metadata: ["why": "\(error.message)"])
            }
        }
        let states = try await database.read { connection in
            try ys.map { y in
                try connection.first("SELECT state, reason FROM wallet_redemptions WHERE y = ?", .blob(y))
                    .map { (try $0.text(0), try $0.optionalText(1)) }
            }
        }
        for (y, state) in zip(ys, states) {
            switch state?.0 {
            case "redeemed": report.redeemed.append(y)
            case "failed": report.failed.append(.init(y: y, reason: state?.1 ?? "the mint refused it"))
            case "pending": report.pending.append(y)
            default: break
            }
        }
    }

    private func add(_ result: OperationResult, to report: inout RedemptionReport) throws {
        report.amount = try Amounts.adding(report.amount, Amounts.sum(result.coins.map(\.proof.amount)))
        report.fee = try Amounts.adding(report.fee, result.operation.fee)
    }

    /// Redeems a batch; where the mint refuses it, finds the bad coins and goes on with the others.
    private func redeem(
        _ batch: [RedeemableCoin],
        at mint: MintURL,
        unit: CurrencyUnit,
        report: inout RedemptionReport
    ) async throws {
        guard !batch.isEmpty else { return }
        do {
            let result = try await perform(at: mint, unit: unit) { planner, connection in
                let inputs = batch.map(\.proof)
                let operation = try planner.claim(.redeem, inputs: inputs, reference: nil, in: connection)
                for coin in batch { try Self.noteRedemption(coin.y, operation: operation.id, in: connection) }
                return operation
            }
            report.redeemed += batch.map(\.y)
            try add(result, to: &report)
        } catch let error as WalletError {
            switch error.code {
            case .tokenSpent, .mintRefused, .invalidToken:
                try await separate(batch, at: mint, unit: unit, refusal: error, report: &report)
            case .mintDishonest:
                report.failed += batch.map { .init(y: $0.y, reason: error.message) }
            default:
                report.pending += batch.map(\.y)
            }
        } catch let error as StorageError where error.code == .constraint {
            // Another call is redeeming one of these right now.
            report.pending += batch.map(\.y)
        }
    }

    private static func noteRedemption(_ y: [UInt8], operation: String, in connection: Connection) throws {
        try connection.execute(
            "INSERT INTO wallet_redemptions (y, operation, state) VALUES (?, ?, 'pending')",
            .blob(y),
            .text(operation)
        )
    }

    /// The mint refused a batch: takes out what is spent, and halves it where nothing shows.
    private func separate(
        _ batch: [RedeemableCoin],
        at mint: MintURL,
        unit: CurrencyUnit,
        refusal: WalletError,
        report: inout RedemptionReport
    ) async throws {
        guard batch.count > 1 else {
            try await fail(batch, reason: refusal.message, report: &report)
            return
        }
        let states: [ProofState]
        do {
            states = try await book.client(mint).checkState(batch.map(\.y))
        } catch {
            report.pending += batch.map(\.y)
            return
        }
        let spent = Set(states.filter { $0.state == .spent }.map(\.hashedSecret))
        guard spent.isEmpty else {
            try await fail(batch.filter { spent.contains($0.y) }, reason: "it was spent before", report: &report)
            try await redeem(batch.filter { !spent.contains($0.y) }, at: mint, unit: unit, report: &report)
            return
        }
        let half = batch.count / 2
        try await redeem(Array(batch.prefix(half)), at: mint, unit: unit, report: &report)
        try await redeem(Array(batch.dropFirst(half)), at: mint, unit: unit, report: &report)
    }

    private func fail(_ coins: [RedeemableCoin], reason: String, report: inout RedemptionReport) async throws {
        report.failed += coins.map { .init(y: $0.y, reason: reason) }
        try await database.write { connection in
            for coin in coins {
                try connection.execute(
                    """
                    INSERT INTO wallet_redemptions (y, operation, state, reason) VALUES (?, '', 'failed', ?)
                    ON CONFLICT (y) DO NOTHING
                    """,
                    .blob(coin.y),
                    .text(String(reason.prefix(1000)))
                )
            }
        }
    }
}
