package import Cashu
package import Encodings
package import Ledger

/// A keyset as the store keeps it: everything but its keys, which derive from the mint's seed.
package struct KeysetRecord: Sendable, Equatable {
    package var info: KeysetInfo
    /// Which of the seed's keysets of this unit it is, from 0.
    package var counter: UInt32
    /// When it was made, for the rotation; nil where that is not known.
    package var createdAt: Timestamp?

    package init(info: KeysetInfo, counter: UInt32, createdAt: Timestamp? = nil) {
        self.info = info
        self.counter = counter
        self.createdAt = createdAt
    }
}

/// An input that has been verified and is to be spent.
package struct SpentProof: Sendable, Equatable {
    /// `hash_to_curve(secret)`, 33 bytes: what makes it unique.
    package var y: [UInt8]
    package var keyset: KeysetID
    package var amount: UInt64
    /// What unlocked it, kept for NUT-07 where the secret is a spending condition.
    package var witness: String?

    package init(y: [UInt8], keyset: KeysetID, amount: UInt64, witness: String? = nil) {
        self.y = y
        self.keyset = keyset
        self.amount = amount
        self.witness = witness
    }
}

/// An output with the mint's signature on it, kept for NUT-09.
package struct IssuedPromise: Sendable, Equatable {
    /// The blinded message B_, 33 bytes: what makes it unique.
    package var blinded: [UInt8]
    package var keyset: KeysetID
    package var amount: UInt64
    /// The blind signature C_, 33 bytes.
    package var signature: [UInt8]
    /// The DLEQ proof's e, 32 bytes (NUT-12).
    package var challenge: [UInt8]
    /// The DLEQ proof's s, 32 bytes (NUT-12).
    package var response: [UInt8]

    package init(
        blinded: [UInt8],
        keyset: KeysetID,
        amount: UInt64,
        signature: [UInt8],
        challenge: [UInt8],
        response: [UInt8]
    ) {
        self.blinded = blinded
        self.keyset = keyset
        self.amount = amount
        self.signature = signature
        self.challenge = challenge
        self.response = response
    }
}

/// An output whose amount the mint fills in once a melt's true cost is known (NUT-08).
package struct BlankOutput: Sendable, Equatable {
    package var blinded: [UInt8]
    package var keyset: KeysetID

    package init(blinded: [UInt8], keyset: KeysetID) {
        self.blinded = blinded
        self.keyset = keyset
    }
}

/// Where a proof stands (NUT-07).
package struct StoredProofState: Sendable, Equatable {
    package var state: ProofState.State
    package var witness: String?

    package init(state: ProofState.State, witness: String?) {
        self.state = state
        self.witness = witness
    }
}

/// A promise to issue ecash once an invoice is paid (NUT-04, NUT-23).
package struct StoredMintQuote: Sendable, Equatable {
    package enum State: Int64, Sendable { case unpaid = 0, paid = 1, issued = 2 }
    package var id: String
    package var unit: CurrencyUnit
    package var amount: UInt64
    /// The BOLT11 invoice.
    package var request: String
    /// 32 bytes, unique.
    package var paymentHash: [UInt8]
    package var state: State
    /// Until when the invoice can be paid.
    package var expiry: Timestamp
    package var updatedAt: Timestamp
    /// The key that must sign for the ecash (NUT-20), 33 bytes.
    package var publicKey: [UInt8]?

    package init(
        id: String,
        unit: CurrencyUnit,
        amount: UInt64,
        request: String,
        paymentHash: [UInt8],
        state: State,
        expiry: Timestamp,
        updatedAt: Timestamp,
        publicKey: [UInt8]? = nil
    ) {
        self.id = id
        self.unit = unit
        self.amount = amount
        self.request = request
        self.paymentHash = paymentHash
        self.state = state
        self.expiry = expiry
        self.updatedAt = updatedAt
        self.publicKey = publicKey
    }
}

/// An offer to pay an invoice for ecash (NUT-05, NUT-23).
package struct StoredMeltQuote: Sendable, Equatable {
    package enum State: Int64, Sendable { case unpaid = 0, pending = 1, paid = 2 }
    package var id: String
    package var unit: CurrencyUnit
    package var amount: UInt64
    package var feeReserve: UInt64
    /// The BOLT11 invoice.
    package var request: String
    /// 32 bytes; only one quote for it can be pending or paid.
    package var paymentHash: [UInt8]
    package var state: State
    package var expiry: Timestamp
    package var updatedAt: Timestamp
    /// When the payment was last begun; meaningful while pending.
    package var startedAt: Timestamp?
    /// Σ of the inputs held or spent for it.
    package var inputTotal: UInt64
    /// The NUT-02 fee of those inputs.
    package var inputFee: UInt64
    /// 32 bytes once paid over Lightning; nil where it was settled inside the mint.
    package var preimage: [UInt8]?
    /// What one unit was worth when the quote was made; nil for units that are worth what they are.
    package var msatPerUnit: UInt64?
    /// What of the invoice is paid, where others pay the rest (NUT-15); nil: the whole.
    package var partMsat: UInt64?

    package init(
        id: String,
        unit: CurrencyUnit,
        amount: UInt64,
        feeReserve: UInt64,
        request: String,
        paymentHash: [UInt8],
        state: State = .unpaid,
        expiry: Timestamp,
        updatedAt: Timestamp,
        startedAt: Timestamp? = nil,
        inputTotal: UInt64 = 0,
        inputFee: UInt64 = 0,
        preimage: [UInt8]? = nil,
        msatPerUnit: UInt64? = nil,
        partMsat: UInt64? = nil
    ) {
        self.id = id
        self.unit = unit
        self.amount = amount
        self.feeReserve = feeReserve
        self.request = request
        self.paymentHash = paymentHash
        self.state = state
        self.expiry = expiry
        self.updatedAt = updatedAt
        self.startedAt = startedAt
        self.inputTotal = inputTotal
        self.inputFee = inputFee
        self.preimage = preimage
        self.msatPerUnit = msatPerUnit
        self.partMsat = partMsat
    }
}

/// How a melt begins: with a payment over Lightning, or, where the invoice is one of the mint's own, at once.
package enum MeltStart: Sendable, Equatable {
    case pay(StoredMeltQuote)
    case settledInside(StoredMeltQuote)
}

/// What the mint remembers. Each call is one transaction: it happens whole and is on the disk when the call
/// returns, or throws and nothing of it is kept. Every movement of value is booked in the same transaction.
///
/// Refusals that the protocol has a code for are thrown as `MintError`.
package protocol MintStore: MeltEvidenceStore, LiabilityStore, HoldingStore {
    // MARK: Keysets (NUT-01, NUT-02)

    /// All keysets ever used, oldest first.
    func keysets() async throws -> [KeysetRecord]
    /// Keeps a new keyset; where it is active, it takes the place of the unit's active one.
    func add(_ keyset: KeysetRecord) async throws

    // MARK: Swaps (NUT-03)

    /// Spends the proofs and keeps the promises. The difference is the mint's fee.
    /// - Parameter request: what the request is known by when it comes again (NUT-19), kept in the same transaction.
    /// - Throws: `MintError` 11001, 11002 (a proof is spent or pending), 11003, 11004 (an output is signed or
    ///   pending), 10001 where a keyset would redeem more than it issued.
    func spend(
        _ proofs: [SpentProof],
        issuing promises: [IssuedPromise],
        unit: CurrencyUnit,
        answering request: RequestDigest?,
        at: Timestamp
    ) async throws

    // MARK: State and restore (NUT-07, NUT-09)

    /// The state of each, in the order asked.
    func states(of ys: [[UInt8]]) async throws -> [StoredProofState]
    /// The promise on each blinded message, in the order asked; nil where none was made.
    func promises(on blinded: [[UInt8]]) async throws -> [IssuedPromise?]

    // MARK: Mint quotes (NUT-04)

    func add(_ quote: StoredMintQuote) async throws
    func mintQuote(_ id: String) async throws -> StoredMintQuote?
    func mintQuote(paymentHash: [UInt8]) async throws -> StoredMintQuote?
    /// Notes that the invoice was paid over Lightning. Does nothing where that is known already.
    func markPaid(mintQuote id: String, at: Timestamp) async throws
    /// Keeps the promises and marks the quotes issued; the promises' sum must be that of the quotes' amounts.
    /// - Parameters:
    ///   - quotes: at least one, none twice (NUT-29).
    ///   - request: as with `spend`.
    /// - Throws: `MintError` 20001 not paid, 20002 issued already, 11003, 11004, 11005, 11009 quotes of several units.
    func issue(
        _ promises: [IssuedPromise],
        for quotes: [String],
        answering request: RequestDigest?,
        at: Timestamp
    ) async throws
    /// Unpaid quotes whose expiry is before `limit`, oldest first.
    func unpaidMintQuotes(expiredBefore limit: Timestamp, count: Int) async throws -> [StoredMintQuote]
    /// Forgets a quote that is still unpaid.
    func removeUnpaid(mintQuote id: String) async throws
    func unpaidMintQuoteCount() async throws -> Int

    // MARK: Melt quotes (NUT-05)

    func add(_ quote: StoredMeltQuote) async throws
    func meltQuote(_ id: String) async throws -> StoredMeltQuote?
    /// Holds the proofs and blank outputs for the quote, durably, before any payment is begun. Where the invoice
    /// belongs to an unpaid mint quote of the same mint, both are settled at once instead.
    /// - Parameters:
    ///   - fee: the NUT-02 fee of the proofs.
    ///   - changeInside: what is given back where the melt is settled inside.
    ///   - request: as with `spend`.
    /// - Throws: `MintError` 20005 pending, 20006 paid, 20007 expired or unknown, 11001–11005.
    func beginMelt(
        _ quote: String,
        holding proofs: [SpentProof],
        fee: UInt64,
        blanks: [BlankOutput],
        changeInside: [IssuedPromise],
        answering request: RequestDigest?,
        at: Timestamp
    ) async throws -> MeltStart
    /// Ends a pending melt as paid: its proofs are spent and its change issued. Does nothing where it is paid already.
    /// - Parameters:
    ///   - preimage: nil only where the operator says that it settled, without proof.
    ///   - lightningFee: what the payment cost above the amount, in the quote's unit.
    func settleMelt(
        _ quote: String,
        preimage: [UInt8]?,
        lightningFee: UInt64,
        change: [IssuedPromise],
        at: Timestamp
    ) async throws -> StoredMeltQuote
    /// Ends a pending melt as not paid: its proofs and outputs are free again and the quote can be tried anew.
    func releaseMelt(_ quote: String, at: Timestamp) async throws
    /// Up to `count` pending melts whose id is after `id`, by id.
    func pendingMelts(after id: String, count: Int) async throws -> [StoredMeltQuote]
    /// The blank outputs that a pending melt holds, in the wallet's order.
    func blanks(ofMelt quote: String) async throws -> [BlankOutput]
    /// The change that a paid melt gave, in the wallet's order.
    func change(ofMelt quote: String) async throws -> [IssuedPromise]
    /// Forgets unpaid melt quotes whose expiry is before `limit`; returns how many.
    func removeUnpaidMeltQuotes(expiredBefore limit: Timestamp, count: Int) async throws -> Int
    func unpaidMeltQuoteCount() async throws -> Int

    // MARK: Answers (NUT-19)

    /// Whether a swap of this digest succeeded between the two moments; periods at the edges may count whole.
    func hasAnswered(swap digest: RequestDigest, from: Timestamp, to: Timestamp) async throws -> Bool
    /// Whether the quote was issued by a request of this digest.
    func hasAnswered(mint digest: RequestDigest, quote: String) async throws -> Bool
    /// Whether the quote is being paid, or was, by a request of this digest.
    func hasAnswered(melt digest: RequestDigest, quote: String) async throws -> Bool
    /// Forgets at most `count` swaps' digests: those before `limit`, and the oldest beyond `keeping`. Returns how many it
    /// forgot; there may be more until that is 0.
    func forgetAnswers(before limit: Timestamp, keeping: Int, count: Int) async throws -> Int

    // MARK: Blind authentication (NUT-22)

    /// Uses a blind token up, by its Y.
    /// - Returns: false where it was used before.
    func claimAuthToken(_ y: [UInt8], at: Timestamp) async throws -> Bool
    /// Makes a token usable again whose request failed.
    func releaseAuthToken(_ y: [UInt8]) async throws

    // MARK: Audit

    /// The tables' sums, the ledger's balances and every sentence about what does not add up.
    func audit() async throws -> MintAudit
    /// The mint's accounts in the ledger.
    func accounts() async throws -> [AccountBalance]
}

extension MintStore {
    /// Without a trace of the request.
    package func spend(
        _ proofs: [SpentProof],
        issuing promises: [IssuedPromise],
        unit: CurrencyUnit,
        at: Timestamp
    ) async throws {
        try await spend(proofs, issuing: promises, unit: unit, answering: nil, at: at)
    }

    /// One quote, without a trace of the request.
    package func issue(_ promises: [IssuedPromise], for quote: String, at: Timestamp) async throws {
        try await issue(promises, for: [quote], answering: nil, at: at)
    }

    /// Without a trace of the request.
    package func beginMelt(
        _ quote: String,
        holding proofs: [SpentProof],
        fee: UInt64,
        blanks: [BlankOutput],
        changeInside: [IssuedPromise],
        at: Timestamp
    ) async throws -> MeltStart {
        try await beginMelt(
            quote,
            holding: proofs,
            fee: fee,
            blanks: blanks,
            changeInside: changeInside,
            answering: nil,
            at: at
        )
    }
}
