internal import CanonicalJSON
public import Cashu
internal import Cryptography
internal import Encodings
internal import Storage

/// Coins that two of three keys spend together by signatures over the whole swap (NUT-11, `n_sigs` 2, SIG_ALL): each party plans where its
/// part goes, two sign the swap to exactly that, and whoever has both signatures sends it. What a party planned it finds again at the
/// mint (NUT-09), whoever sent the swap.
extension Wallet {
    /// This wallet's key among the three, where it is an arbiter's: another than the one that money is locked to for it.
    public func arbiterKey() throws -> [UInt8] {
        Secp256k1.Point(multiplyingGeneratorBy: try keys.arbiter()).compressed
    }

    /// What a token's coins come to after the mint's fee.
    /// - Throws: `invalidToken`, `mintUnknown`, `belowFee`.
    public func worth(of token: String) async throws -> UInt64 {
        let (read, proofs) = try await shared(token)
        return try await planner(read).netWorth(of: proofs).amount
    }

    /// Outputs of this wallet for its part of a token's coins, on disk; the same again for the same reference and amount.
    /// - Throws: `invalidToken`, `mintUnknown`, `invalidArgument` where no keys share the coins.
    public func planShare(_ amount: UInt64, of token: String, reference: String) async throws -> [BlindedMessage] {
        let (read, proofs) = try await shared(token)
        let planner = try await planner(read)
        guard amount > 0, try amount <= planner.netWorth(of: proofs).amount else {
            throw WalletError(.invalidArgument, "a part is above zero, and no more than the coins come to")
        }
        let share = try await database.write { connection in
            if let known = try ShareStore.find(reference, amount, in: connection) { return known }
            let groups = [OutputGroup(use: .keep, amounts: try planner.keyset.split(amount))]
            let first = try Counters.take(OutputPlan.counters(of: groups), of: planner.keyset.id, in: connection)
            let plan = OutputPlan(keyset: planner.keyset.id, firstCounter: first, groups: groups)
            let share = Share(reference: reference, amount: amount, token: token, plan: plan)
            try ShareStore.insert(share, at: planner.at, in: connection)
            return share
        }
        return try outputs(of: share)
    }

    /// This wallet's signature on the swap of a token's coins to exactly these outputs, 64 bytes (BIP-340).
    ///
    /// - Parameter asArbiter: by ``arbiterKey()``.
    /// - Throws: `invalidToken`, `mintUnknown`, `invalidArgument` where no keys share the coins.
    public func cosign(_ token: String, to outputs: [BlindedMessage], asArbiter: Bool = false) async throws -> [UInt8] {
        let (_, proofs) = try await shared(token)
        return try Secp256k1.Schnorr.sign(
            message: Hashing.sha256(SpendingMessage.all(inputs: proofs, outputs: outputs)),
            key: asArbiter ? keys.arbiter() : keys.receiving(),
            auxiliary: nil
        )
    }

    /// Whether a signature on that swap is one by `key`.
    /// - Parameter key: compressed, 33 bytes.
    public func isCosigned(
        _ token: String,
        to outputs: [BlindedMessage],
        by key: [UInt8],
        _ signature: [UInt8]
    ) async throws -> Bool {
        let (_, proofs) = try await shared(token)
        let digest = Hashing.sha256(SpendingMessage.all(inputs: proofs, outputs: outputs))
        return Secp256k1.Schnorr.isValid(signature: signature, message: digest, publicKeyX: Array(key.dropFirst()))
    }

    /// Swaps the coins with another's signature and this wallet's own; the same again gives the same.
    ///
    /// - Parameters:
    ///   - outputs: all that was signed for, this wallet's planned ones among them.
    ///   - signature: by another of the keys, over all of it.
    /// - Returns: what came in.
    /// - Throws: `tokenSpent` where others have taken the coins; `outcomeUnknown`, `mintUnreachable`: then `recover` goes on with it.
    @discardableResult
    public func takeShare(
        _ amount: UInt64,
        reference: String,
        outputs all: [BlindedMessage],
        signature: [UInt8]
    ) async throws -> UInt64 {
        guard let share = try await share(reference, amount) else {
            throw WalletError(.invalidArgument, "this wallet has planned no such part")
        }
        let (read, proofs) = try await shared(share.token)
        let own = try outputs(of: share)
        guard let place = all.firstIndex(of: own[0]), all[place...].starts(with: own) else {
            throw WalletError(.invalidArgument, "the swap that was signed is to other outputs than this wallet planned")
        }
        var inputs = proofs
        inputs[0].witness = P2PKWitness(signatures: [signature]).serialized()
        var plan = share.plan
        (plan.othersBefore, plan.othersAfter) = (Array(all[..<place]), Array(all[(place + own.count)...]))
        return try await run(share.operation(read, inputs, plan, at: clock.now()))
    }

    /// What came into this wallet of the parts that were planned for a reference; where another sent the swap, it is found at the mint.
    ///
    /// To be asked once the mint says that the coins are spent.
    /// - Throws: `outcomeUnknown`, `mintUnreachable`.
    public func collectShares(reference: String) async throws -> UInt64 {
        let shares = try await database.read { connection in try ShareStore.all(reference, in: connection) }
        for share in shares {
            let (read, proofs) = try await shared(share.token)
            do {
                return try await run(share.operation(read, proofs, share.plan, at: clock.now()))
            } catch let error as WalletError where error.code != .outcomeUnknown && error.code != .mintUnreachable {
                // Nothing was made for these outputs.
                continue
            }
        }
        return 0
    }

    private func run(_ new: Operation) async throws -> UInt64 {
        let (operation, isFresh) = try await database.write { connection in
            if let known = try Operation.live(reference: new.reference ?? "", in: connection) { return (known, false) }
            try new.insert(in: connection)
            return (new, true)
        }
        defer { bell.ring() }
        let result = try await runner.run(operation, isFresh: isFresh)
        return try Amounts.sum(result.coins.map(\.proof.amount))
    }

    private func share(_ reference: String, _ amount: UInt64) async throws -> Share? {
        try await database.read { connection in try ShareStore.find(reference, amount, in: connection) }
    }

    private func outputs(of share: Share) throws -> [BlindedMessage] {
        try runner.maker.outputs(share.plan, operation: "").map { try $0.secret.output() }
    }

    private func planner(_ token: Token) async throws -> OperationPlanner {
        try OperationPlanner(
            terms: try await book.terms(token.mint),
            unit: token.unit,
            maximumInputs: configuration.maximumInputs,
            at: clock.now()
        )
    }

    /// Nothing else is signed for with these keys: what one key alone spends is not.
    private func shared(_ text: String) async throws -> (Token, [Proof]) {
        guard let token = try? Token(text) else { throw WalletError(.invalidToken, "this is not a token") }
        let proofs = try await verified(token, at: token.mint)
        guard !proofs.isEmpty,
            proofs.allSatisfy({ proof in
                let condition = SpendingCondition(ofSecret: proof.secret)
                return condition?.flag == .all && condition?.requiredSignatures == 2 && condition?.keys.count == 3
            })
        else { throw WalletError(.invalidArgument, "these coins are not ones that two of three keys spend together") }
        return (token, proofs)
    }
}

/// A wallet's part of coins that several keys spend together.
struct Share: Sendable {
    var reference: String
    var amount: UInt64
    var token: String
    var plan: OutputPlan

    /// In the operation's reference: at most one part of each amount comes in.
    private var operationReference: String { "share:\(reference):\(amount)" }

    func operation(_ token: Token, _ inputs: [Proof], _ plan: OutputPlan, at now: Timestamp) -> Operation {
        Operation(
            id: WalletID.random(),
            kind: .share,
            mint: token.mint,
            unit: token.unit,
            inputs: inputs,
            ownsInputs: false,
            plan: plan,
            reference: operationReference,
            inputSum: amount,
            fee: 0,
            plannedAt: now
        )
    }
}

/// The table `wallet_shares`.
enum ShareStore {
    static let tables = """
        CREATE TABLE wallet_shares (
            reference TEXT NOT NULL,
            amount INTEGER NOT NULL CHECK (amount > 0),
            token TEXT NOT NULL,
            -- The outputs, as they are kept of operations.
            plan TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            PRIMARY KEY (reference, amount)
        ) WITHOUT ROWID, STRICT;
        """

    static func insert(_ share: Share, at now: Timestamp, in connection: Connection) throws {
        try connection.execute(
            "INSERT INTO wallet_shares (reference, amount, token, plan, created_at) VALUES (?, ?, ?, ?, ?)",
            .text(share.reference),
            try .amount(share.amount),
            .text(share.token),
            .text(String(decoding: share.plan.json.serialized(), as: UTF8.self)),
            .integer(now.millisecondsSince1970)
        )
    }

    static func find(_ reference: String, _ amount: UInt64, in connection: Connection) throws -> Share? {
        try all(reference, in: connection).first { $0.amount == amount }
    }

    /// The largest first.
    static func all(_ reference: String, in connection: Connection) throws -> [Share] {
        try connection.rows(
            "SELECT amount, token, plan FROM wallet_shares WHERE reference = ? ORDER BY amount DESC",
            .text(reference)
        ).map { row in
            Share(
                reference: reference,
                amount: try row.uint64(0),
                token: try row.text(1),
                plan: try OutputPlan(json: JSONValue.parse(Array(row.text(2).utf8), limits: .walletTable))
            )
        }
    }
}
