public import Cashu
public import Encodings
internal import Lightning
internal import Logging
internal import Synchronization

/// What is known of one melt, for the operator who has to end it.
public struct MeltEvidence: Sendable {
    public var quote: String
    public var unit: CurrencyUnit
    public var amount: UInt64
    public var feeReserve: UInt64
    /// `unpaid`, `pending` or `paid`.
    public var state: String
    public var invoice: String
    /// Hex.
    public var paymentHash: String
    public var startedAt: Timestamp?
    public var invoiceExpiresAt: Timestamp?
    public var heldProofs: Int
    public var heldAmount: UInt64
    /// Whether a call to pay it is under way in this process.
    public var isBeingPaid: Bool
    /// What the backend said just now: `settled`, `pending`, `failed`, `no record` or `no answer`, and why.
    public var backendSays: String
    public var askedAt: Timestamp
    public var notes: [MeltNote]
}

/// How an operator ends a melt.
public enum MeltResolution: String, Sendable, CaseIterable {
    case settled, failed
}

/// Why the operator's command was not carried out.
public struct MintOperationError: Error, Sendable, CustomStringConvertible {
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        public static let quoteUnknown = Code(rawValue: "quote-unknown")
        public static let notPending = Code(rawValue: "not-pending")
        /// What is known says otherwise; no force overrides it.
        public static let contradicted = Code(rawValue: "evidence-contradicts")
        public static let evidenceMissing = Code(rawValue: "evidence-missing")
        public static let underWay = Code(rawValue: "under-way")
        public static let preimageWrong = Code(rawValue: "preimage-wrong")
    }

    public let code: Code
    public let message: String
    public var description: String { message }

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}

extension Mint {
    /// What an operator must say, word for word, to end a melt without evidence.
    public static let forceSentence = "I accept the loss if I am wrong"

    // MARK: Asking

    /// What the backend says of a payment, as a sentence, and as it is.
    private func answer(of quote: StoredMeltQuote) async -> (says: String, outcome: PaymentOutcome?, answered: Bool) {
        do {
            let outcome = try await lightning.paymentStatus(paymentHash: quote.paymentHash)
            switch outcome {
            case .settled(let preimage, let feeMsat)?:
                let proves = (try? Self.invoice(quote.request).isPaid(by: preimage)) ?? false
                return (
                    "settled, fee \(feeMsat) msat, "
                        + (proves ? "the preimage proves it" : "BUT the preimage proves nothing"),
                    proves ? outcome : .pending, true
                )
            case .pending?: return ("pending", outcome, true)
            case .failed(let failure)?: return ("failed: \(failure.message)", outcome, true)
            case nil: return ("no record of such a payment", nil, true)
            }
        } catch {
            return ("no answer: \(error.message)", nil, false)
        }
    }

    /// Notes what the backend said of a pending melt, where it is not what it said before.
    func noteAnswer(_ says: String, of quote: StoredMeltQuote) async throws {
        let last = try await store.notes(ofMelt: quote.id).last { $0.kind == .asked }
        guard last?.text != says else { return }
        try await store.add(MeltNote(at: clock.now(), kind: .asked, text: says), toMelt: quote.id)
    }

    /// Everything that is known of a melt; asks the backend now.
    /// - Throws: `MintOperationError` `quoteUnknown`; `StorageError`.
    public func evidence(onMelt id: String) async throws -> MeltEvidence {
        guard let quote = try await store.meltQuote(id) else {
            throw MintOperationError(.quoteUnknown, "the mint has no melt quote \(id.prefix(80))")
        }
        let asked = await answer(of: quote)
        if quote.state == .pending { try await noteAnswer(asked.says, of: quote) }
        let held = try await store.held(byMelt: id)
        return MeltEvidence(
            quote: id,
            unit: quote.unit,
            amount: quote.amount,
            feeReserve: quote.feeReserve,
            state: quote.state.name,
            invoice: quote.request,
            paymentHash: Hex.encode(quote.paymentHash),
            startedAt: quote.startedAt,
            invoiceExpiresAt: try? Self.invoice(quote.request).expiresAt,
            heldProofs: held.count,
            heldAmount: held.amount,
            isBeingPaid: paying.withLock { $0.contains(id) },
            backendSays: asked.says,
            askedAt: clock.now(),
            notes: try await store.notes(ofMelt: id)
        )
    }

    // MARK: Resolving

    /// Ends a pending melt on evidence, or, where there is none either way, on the operator's word.
    ///
    /// Evidence that it settled is the backend's preimage or the one given; that it failed, the backend's word, or that the
    /// backend has no record and the invoice expired long ago. What contradicts the evidence is refused, forced or not.
    /// - Parameters:
    ///   - preimage: 32 bytes, where the operator has it from elsewhere; it is checked.
    ///   - force: `forceSentence`, word for word.
    /// - Returns: the sentence that was noted.
    /// - Throws: `MintOperationError`; `StorageError`.
    public func resolve(
        melt id: String,
        as resolution: MeltResolution,
        preimage: [UInt8]? = nil,
        force: String? = nil
    ) async throws -> String {
        guard paying.withLock({ $0.insert(id).inserted }) else {
            throw MintOperationError(
                .underWay,
                "this process is paying or asking about that quote right now: try again, and if it hangs restart the node"
            )
        }
        defer { _ = paying.withLock { $0.remove(id) } }
        guard let quote = try await store.meltQuote(id) else {
            throw MintOperationError(.quoteUnknown, "the mint has no melt quote \(id.prefix(80))")
        }
        guard quote.state == .pending else {
            throw MintOperationError(.notPending, "that quote is \(quote.state.name): there is nothing to resolve")
        }
        let asked = await answer(of: quote)
        try await noteAnswer(asked.says, of: quote)
        switch resolution {
        case .settled: return try await resolveSettled(quote, asked, preimage: preimage, force: force)
        case .failed: return try await resolveFailed(quote, asked, force: force)
        }
    }

    private typealias Answer = (says: String, outcome: PaymentOutcome?, answered: Bool)

    private func resolveSettled(
        _ quote: StoredMeltQuote,
        _ asked: Answer,
        preimage: [UInt8]?,
        force: String?
    ) async throws -> String {
        if let preimage, try !Self.invoice(quote.request).isPaid(by: preimage) {
            throw MintOperationError(.preimageWrong, "that preimage does not hash to the invoice's payment hash")
        }
        if case .settled(let known, let feeMsat)? = asked.outcome {
            return try await settleByOperator(quote, known, feeMsat: feeMsat, .resolved, "settled: the backend says so")
        }
        // The reserve is what the payment may have cost; nothing is given back that may have been paid.
        let feeMsat = try rate(of: quote).msat(quote.feeReserve)
        if let preimage {
            return try await settleByOperator(
                quote,
                preimage,
                feeMsat: feeMsat,
                .resolved,
                "settled: the preimage proves it"
            )
        }
        if case .failed? = asked.outcome {
            throw MintOperationError(.contradicted, "the backend says \(asked.says): resolve it as failed")
        }
        try requireForce(force, asked)
        return try await settleByOperator(quote, nil, feeMsat: feeMsat, .forced, "settled, on the operator's word")
    }

    private func resolveFailed(_ quote: StoredMeltQuote, _ asked: Answer, force: String?) async throws -> String {
        if case .settled? = asked.outcome {
            throw MintOperationError(.contradicted, "the backend says \(asked.says): resolve it as settled")
        }
        var kind = MeltNote.Kind.resolved
        var why = "failed: the backend says \(asked.says)"
        if case .failed? = asked.outcome {
            // Its word is the evidence.
        } else if asked.answered, asked.outcome == nil, try isLongExpired(quote) {
            why = "failed: the backend has no record and the invoice expired long ago"
        } else {
            try requireForce(force, asked)
            kind = .forced
            why = "failed, on the operator's word; the backend said \(asked.says)"
        }
        // The reason is on the disk before the act.
        try await store.add(MeltNote(at: clock.now(), kind: kind, text: why), toMelt: quote.id)
        try await store.releaseMelt(quote.id, at: clock.now())
        announce(.meltQuote(quote.id), .meltEnded)
        logger.notice("a melt was resolved", metadata: ["quote": "\(quote.id)", "as": "\(why)"])
        return why
    }

    private func settleByOperator(
        _ quote: StoredMeltQuote,
        _ preimage: [UInt8]?,
        feeMsat: UInt64,
        _ kind: MeltNote.Kind,
        _ why: String
    ) async throws -> String {
        try await store.add(MeltNote(at: clock.now(), kind: kind, text: why), toMelt: quote.id)
        _ = try await settle(quote, preimage: preimage, feeMsat: feeMsat)
        logger.notice("a melt was resolved", metadata: ["quote": "\(quote.id)", "as": "\(why)"])
        return why
    }

    private func requireForce(_ sentence: String?, _ asked: Answer) throws(MintOperationError) {
        guard sentence == Self.forceSentence else {
            throw MintOperationError(
                .evidenceMissing,
                "the backend says \(asked.says), which proves neither; wait, or look at the Lightning node yourself and add"
                    + " --force \"\(Self.forceSentence)\""
            )
        }
    }

    // MARK: Late settlements

    /// Looks again at melts that were freed as failed: a backend that said so may have been wrong.
    package func watchFreedMelts() async throws {
        for watched in try await store.watchedMelts(dueBy: clock.now(), count: 20) {
            guard let quote = try await store.meltQuote(watched.quote), quote.state == .unpaid else {
                try await store.watch(nil, quote: watched.quote)
                continue
            }
            let asked = await answer(of: quote)
            guard case .settled(let preimage, let feeMsat)? = asked.outcome else {
                var next = watched
                next.waitSeconds = min(watched.waitSeconds * 2, 3600)
                next.nextAt = clock.now().adding(seconds: next.waitSeconds)
                try await store.watch(next, quote: quote.id)
                continue
            }
            let fee = try rate(of: quote).unitsRoundedUp(msat: feeMsat)
            if try await store.settleLate(quote.id, preimage: preimage, lightningFee: fee, at: clock.now()) {
                logger.critical(
                    "a payment settled that the Lightning node had reported failed; its amount is the operator's loss",
                    metadata: ["quote": "\(quote.id)", "amount": "\(quote.amount) \(quote.unit)"]
                )
                metrics.meltSettledLate()
                announce(.meltQuote(quote.id))
            }
        }
    }
}

extension StoredMeltQuote.State {
    package var name: String {
        switch self {
        case .unpaid: "unpaid"
        case .pending: "pending"
        case .paid: "paid"
        }
    }
}
