package import Cashu
internal import Cryptography
package import Encodings
internal import Ledger
package import Storage

/// Ecash that the node takes for its own calls, at its own mint: held in the transaction that takes it, as a melt holds its
/// inputs, and spent in batches. In between it is `PENDING` to everybody else (NUT-07).
extension Mint {
    /// Whether this mint signed the proofs. Nothing of where they stand is looked at: that is the insert's that holds them.
    /// - Throws: `MintError` 10001, 12001; `SignatoryUnavailable`.
    package func recognise(_ proofs: [Proof]) async throws {
        _ = try await signatory.answer { (SignatoryBatch(proofs: proofs), ()) }
    }

    /// Spends held proofs and pays a mint quote with them, less their input fee: coins of the same mint for its own wallet.
    /// Asked again with the same reference it gives the same quote.
    /// - Parameters:
    ///   - ys: of proofs that are held, at least one; of one unit.
    ///   - reference: names the batch, at most once for any set of proofs.
    /// - Throws: `StorageError` where one of them is not held, or they are not worth their fee; then none is spent.
    package func redeem(held ys: [[UInt8]], reference: String) async throws -> MintQuote {
        let ring = ring
        let quote = try await store.redeem(held: ys, reference: reference, at: clock.now()) { ring[$0]?.info }
        announce(ys.map { MintChange(subject: .one(.proof($0))) })
        metrics.redeemed(held: ys.count)
        return try quote.onTheWire()
    }
}

/// What a mint's store does for a node that holds its ecash. All but ``redeem(held:reference:at:info:)`` is a part of the
/// caller's transaction, so that it is of use on the same database alone.
package protocol HoldingStore: Sendable {
    /// - Throws: `MintError` 11001, 11002 where one is spent or held already.
    func hold(_ proofs: [Proof], ys: [[UInt8]], in connection: Connection) throws
    /// Lets held proofs go, unspent.
    func release(_ ys: [[UInt8]], in connection: Connection) throws
    /// - Parameter info: of a keyset of this mint.
    func redeem(
        held ys: [[UInt8]],
        reference: String,
        at: Timestamp,
        info: @escaping @Sendable (KeysetID) -> KeysetInfo?
    ) async throws -> StoredMintQuote
}

extension SQLiteMintStore {
    package func hold(_ proofs: [Proof], ys: [[UInt8]], in connection: Connection) throws {
        for (proof, y) in zip(proofs, ys) {
            let spent = SpentProof(y: y, keyset: proof.keysetID, amount: proof.amount)
            try ProofRow(spent, keyset: entry(of: proof.keysetID), melt: nil, isPending: true).insert(in: connection)
        }
    }

    package func release(_ ys: [[UInt8]], in connection: Connection) throws {
        for y in ys {
            try connection.execute(
                "DELETE FROM mint_proofs WHERE y = ? AND pending = 1 AND melt IS NULL",
                .blob(y)
            )
            guard connection.changes == 1 else { throw Self.notHeld }
        }
    }

    private static let notHeld = StorageError(.statement, "a proof that was taken for a call is not held at the mint")

    package func redeem(
        held ys: [[UInt8]],
        reference: String,
        at: Timestamp,
        info: @escaping @Sendable (KeysetID) -> KeysetInfo?
    ) async throws -> StoredMintQuote {
        // Stands where an invoice's would, and finds the quote again; its id is a secret.
        let hash = Hashing.sha256(Array("mintmark v1 held ecash \(reference)".utf8))
        let id = try QuoteID(now: at, random: SecureRandom.bytes(10)).string
        return try await database.write { [self] connection in
            if let known = try Self.mintQuote("payment_hash = ?", .blob(hash), in: connection) { return known }
            let amounts = try ys.map { try spend(held: $0, in: connection) }
            let infos = try amounts.map { amount in
                guard let info = info(amount.keyset) else {
                    throw StorageError(.corrupt, "the mint holds ecash of keyset \(amount.keyset), which it has not")
                }
                return info
            }
            let total = try Amounts.sum(amounts.map(\.amount))
            let fee = try Fees.total(inputFeesPPK: infos.map(\.inputFeePPK))
            guard let unit = infos.first?.unit, infos.allSatisfy({ $0.unit == unit }), total > fee else {
                throw StorageError(.statement, "held ecash is redeemed in one unit, and for more than its fee \(fee)")
            }
            let quote = StoredMintQuote(
                id: id,
                unit: unit,
                amount: total - fee,
                request: "held:\(reference)",
                paymentHash: hash,
                state: .paid,
                expiry: at,
                updatedAt: at
            )
            try Self.insert(quote, in: connection)
            let plan = TransferPlan(unit: unit.name, kind: "inside", reference: "held:\(reference)", at: at)
            let transfers = try plan.transfers(
                debit: Self.ecashLegs(amounts),
                credit: [.init(MintAccounts.unissued, quote.amount), .init(MintAccounts.fees, fee)]
            )
            try Self.post(transfers, in: connection)
            return quote
        }
    }

    private func spend(
        held y: [UInt8],
        in connection: Connection
    ) throws -> (keyset: KeysetID, amount: UInt64) {
        let row = try connection.first(
            """
            UPDATE mint_proofs SET pending = 0, epoch = ? WHERE y = ? AND pending = 1 AND melt IS NULL
            RETURNING keyset, amount
            """,
            .integer(openEpoch.number),
            .blob(y)
        )
        guard let row else { throw Self.notHeld }
        return (try entry(number: row.int64(0)).id, try row.uint64(1))
    }
}
