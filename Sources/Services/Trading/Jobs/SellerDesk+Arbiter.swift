public import CanonicalJSON
internal import Encodings
internal import Market
internal import SignedDocuments
internal import Wallet

/// Selling in mode `arbiter` ([JOB-10] to [JOB-12]).
extension SellerDesk {
    @Sendable static func reference(_ terms: EscrowTerms) -> String { "sold:\(terms.job):0" }

    /// The open answer, with where this node wants the money.
    func openAnswer(_ stored: Sold, _ delivery: Signed<Delivery>, _ answer: [UInt8]) async throws -> JSONObject {
        [
            "job": .string(stored.engine.terms.job), "delivery": .object(delivery.document),
            "answer": .string(Base64URL.encode(answer)), "outputs": .object(try await joint.planned(stored).document),
        ]
    }

    /// Takes the buyer's signature ([JOB-11]): `{"signature"}` → `{"job", "phase", "ending"}`. The same again gives the same.
    /// - Throws: ``JobError``.
    public func release(_ name: String, _ body: JSONObject) async throws -> JSONObject {
        let stored = try await openAnswered(name)
        switch stored.engine.phase {
        case .delivered, .escalated:
            guard let token = stored.token, let hex = body["signature"]?.stringValue, hex.utf8.count == 128,
                let signature = try? Hex.decode(hex)
            else { throw JobError(.invalid, "`signature` has 128 hex digits.") }
            let outputs = try await joint.planned(stored).content.outputs
            let key = try Hex.decode(stored.engine.terms.refundKey)
            guard try await wallet.isCosigned(token, to: outputs, by: key, signature) else {
                throw JobError(.wrongSignature, "The signature is not the buyer's on the swap to the planned outputs.")
            }
            // On disk before the mint hears of it.
            try await book.apply(.released, to: stored.job) { job in
                if job.engine.phase == .claiming { job.signature = signature }
            }
            pace.restart(stored.job)
        case .claiming, .abandoned, .ended: break
        case .awaitingLock, .working: throw JobError(.notNow, "Nothing was delivered yet.")
        }
        try await proceed(stored.job)
        return try await shown(name)
    }

    /// Signs the whole lock back to the buyer where nothing is delivered ([JOB-11]): `{"outputs"}` → `{"signature"}`.
    /// - Throws: ``JobError``.
    public func refund(_ name: String, _ body: JSONObject) async throws -> JSONObject {
        let stored = try await openAnswered(name)
        guard stored.engine.ending?.kind == .refunded, let token = stored.token else {
            throw JobError(.notNow, "The money is not the buyer's: the job is not over without a delivery.")
        }
        let planned: Signed<PlannedOutputs> = try JobWire.signed(body["outputs"], "outputs")
        let terms = stored.engine.terms
        guard planned.content.party.string == terms.buyer, planned.content.job == stored.job,
            try await planned.content.amount == wallet.worth(of: token)
        else { throw JobError(.invalid, "`outputs` are the buyer's, for all that the lock comes to.") }
        let signature = try await wallet.cosign(token, to: planned.content.outputs)
        return ["signature": .string(Hex.encode(signature))]
    }

    /// Hears that the buyer went to the arbiter ([JOB-12]): `{"escalation"}` → `{"job", "phase", "ending"}`.
    /// - Throws: ``JobError``.
    public func dispute(_ name: String, _ body: JSONObject) async throws -> JSONObject {
        let stored = try await openAnswered(name)
        let said: Signed<Escalation> = try JobWire.signed(body["escalation"], "escalation")
        guard said.content.party.string == stored.engine.terms.buyer, said.content.job == stored.job else {
            throw JobError(.invalid, "The escalation is not the buyer's of this job.")
        }
        try await book.apply(.disputed, to: stored.job) { $0.note = "the buyer disputes it: \(said.content.reason)" }
        return try await shown(name)
    }

    private func openAnswered(_ name: String) async throws -> Sold {
        let stored = try await book.named(name)
        guard stored.engine.terms.mode == .arbiter else {
            throw JobError(.notNow, "The job is in the mode \(stored.engine.terms.mode.rawValue).")
        }
        return stored
    }

    // MARK: Going on

    func escalate(_ stored: Sold) async throws {
        let asked = try await arbiterLine.hear(
            stored,
            reason: "delivered, and not paid",
            pace,
            by: signer,
            clock: clock
        )
        guard let state = asked else { return }
        guard let ruling = state.ruling else { return pace.wait(stored.job, at: clock.now()) }
        pace.restart(stored.job)
        try await book.apply(.ruled(ruling), to: stored.job) { job in
            job.ruling = ruling
            job.note = "the arbiter ruled: \(ruling.content.reason)"
        }
        try await proceed(stored.job)
    }

    /// Swaps the lock with the buyer's signature, or the arbiter's.
    ///
    /// - Parameter amount: what the arbiter gave; nil where the buyer released all.
    /// - Returns: whether it is known who has the money.
    func claimSigned(_ stored: Sold, _ amount: UInt64?) async throws -> Bool {
        guard pace.isDue(stored.job, at: clock.now()) else { return false }
        pace.wait(stored.job, at: clock.now())
        let terms = stored.engine.terms
        let planned = try await joint.planned(stored, amount)
        var (outputs, signature, key) = (planned.content.outputs, stored.signature, terms.refundKey)
        if amount != nil {
            guard let origin = stored.arbiter, let arbiter = terms.arbiterKey else {
                throw JobError(.corrupt, "a job's arbiter is gone")
            }
            guard let swap = try await arbiterLine.plan(planned, at: origin, job: terms.job).swap else { return false }
            (outputs, signature, key) = (swap.outputs, swap.signature, arbiter)
        }
        guard let signature else { throw JobError(.corrupt, "a job's signature is gone") }
        do {
            try await joint.take(stored, planned.content, to: outputs, signature, by: key)
        } catch let error as WalletError {
            throw JobError(.claimPending, "The lock is not claimed yet: \(error.message)")
        }
        try await askMint(stored.job)
        guard let asked = try await book.find(stored.job), asked.isOpen else { return true }
        let now = try await book.mintSeconds(terms.mint)
        for case .restore in asked.engine.actions(at: now) { try await restore(asked) }
        return true
    }
}
