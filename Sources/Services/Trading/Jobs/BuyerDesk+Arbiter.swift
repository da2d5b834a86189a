public import CanonicalJSON
internal import Encodings
internal import Market
internal import SignedDocuments
internal import Wallet

extension StoredJob<EscrowBuyer> {
    /// A person is to say something, or an arbiter: there is nothing to wait for by the second.
    var waitsForPeople: Bool { engine.phase == .disputed || (engine.phase == .judging && isReviewed) }
}

/// Buying in mode `arbiter` ([JOB-10] to [JOB-12]).
extension BuyerDesk {
    /// Shows the seller the acceptance before money is locked: one that it does not take costs nothing.
    /// - Returns: whether it takes it.
    func announce(_ stored: Bought) async throws -> Bool {
        let answer = try await line.call((stored.origin ?? "") + "/market/jobs", try Self.body(stored))
        switch answer.status {
        case 200: return true
        case 409, 429, 503: try await book.note(answer.error.message, stored.job)
        default: try await book.apply(.lockFailed, to: stored.job) { $0.note = answer.error.message }
        }
        return false
    }

    /// With the lock; the answer comes open, with where the seller wants the money.
    func askOpenDelivery(_ stored: Bought) async throws {
        guard let token = stored.token else { throw JobError(.corrupt, "a job's lock is gone") }
        let terms = stored.engine.terms
        var body = try Self.body(stored)
        body["token"] = .string(token)
        do {
            let answer = try await line.call((stored.origin ?? "") + "/market/jobs", body)
            switch answer.status {
            case 200: return try await take(answer.json, stored)
            default:
                try await book.note(answer.error.message, stored.job)
                if answer.code == JobError.Code.failed.rawValue { try await askRefund(stored) }
            }
        } catch let error as JobError where error.code == .sellerFailed {
            try await book.note(error.message, stored.job)
        }
        if try await book.mintSeconds(terms.mint) > terms.deliverBy + TradeBounds.skewSeconds {
            try await book.apply(.judged(isGood: false, reason: "nothing was delivered in time"), to: stored.job)
        }
    }

    private func take(_ json: JSONValue, _ stored: Bought) async throws {
        let delivery: Signed<Delivery> = try JobWire.signed(json["delivery"], "delivery")
        let outputs: Signed<PlannedOutputs> = try JobWire.signed(json["outputs"], "outputs")
        guard let text = json["answer"]?.stringValue, let answer = try? Base64URL.decode(text) else {
            throw JobError(.sellerFailed, "The seller's delivery has no answer.")
        }
        do {
            try await book.apply(.delivered(delivery, beside: answer), to: stored.job) { job in
                job.delivery = delivery
                job.sealed = answer
                job.outputs = outputs
                job.note = nil
            }
        } catch let error as TradeRefusal {
            // Its own signature shows what is wrong with it.
            let why = "the delivery is not what was agreed: \(error.message)"
            try await book.apply(.judged(isGood: false, reason: why), to: stored.job) { job in
                if delivery.content.job == job.job { job.delivery = delivery }
                job.note = why
            }
        }
    }

    /// A seller that can't deliver signs the money back.
    private func askRefund(_ stored: Bought) async throws {
        let planned = try await joint.planned(stored)
        let answer = try await line.call(
            (stored.origin ?? "") + "/market/jobs/\(stored.engine.terms.job)/refund",
            ["outputs": .object(planned.document)]
        )
        guard answer.status == 200, let signature = try? Hex.decode(answer.json["signature"]?.stringValue ?? "") else {
            return
        }
        let (outputs, key) = (planned.content.outputs, stored.engine.terms.providerKey)
        try await joint.take(stored, planned.content, to: outputs, signature, by: key)
        try await settle(stored.job)
    }

    /// Signs the swap of the whole lock to the seller's outputs.
    func release(_ stored: Bought) async throws {
        guard let token = stored.token, let planned = stored.outputs?.content else {
            throw JobError(.corrupt, "a job's lock is gone")
        }
        guard planned.party.string == stored.engine.terms.provider, planned.job == stored.job,
            try await planned.amount == wallet.worth(of: token)
        else {
            // With no place to pay to, nothing is signed: the seller takes it to the arbiter.
            return try await book.note("the seller planned outputs of another amount", stored.job)
        }
        let signature = try await wallet.cosign(token, to: planned.outputs)
        let answer: JobLine.Answer
        do {
            answer = try await line.call(
                (stored.origin ?? "") + "/market/jobs/\(stored.engine.terms.job)/release",
                ["signature": .string(Hex.encode(signature))]
            )
        } catch {
            return try await book.note("\(error)", stored.job)
        }
        guard answer.status == 200 else { return try await book.note(answer.error.message, stored.job) }
        try await settle(stored.job)
    }

    func escalate(_ stored: Bought, _ reason: String) async throws {
        let why = reason.isEmpty ? "the answer is not what was agreed" : reason
        if !pace.knows(stored.job) { await tellSeller(stored, why) }
        let asked = try await arbiterLine.hear(stored, reason: why, pace, by: signer, clock: clock)
        guard let state = asked else { return }
        guard let ruling = state.ruling else { return pace.wait(stored.job, at: clock.now()) }
        pace.restart(stored.job)
        try await book.apply(.ruled(ruling), to: stored.job) { job in
            job.ruling = ruling
            job.note = "the arbiter ruled: \(ruling.content.reason)"
        }
    }

    private func tellSeller(_ stored: Bought, _ why: String) async {
        // Where it does not hear of it, it goes to the arbiter by itself in time ([ESC-4]).
        let said = try? Signed<Escalation>.sign(of: stored, reason: why, by: signer, now: clock.now())
        guard let document = said?.document else { return }
        _ = try? await line.call(
            (stored.origin ?? "") + "/market/jobs/\(stored.engine.terms.job)/dispute",
            ["escalation": .object(document)]
        )
    }

    /// Takes what the arbiter gave.
    func claimRuling(_ stored: Bought, _ amount: UInt64) async throws {
        guard pace.isDue(stored.job, at: clock.now()) else { return }
        pace.wait(stored.job, at: clock.now())
        let terms = stored.engine.terms
        guard let origin = stored.arbiter, let key = terms.arbiterKey else {
            throw JobError(.corrupt, "a job's arbiter is gone")
        }
        let planned = try await joint.planned(stored, amount)
        guard let swap = try await arbiterLine.plan(planned, at: origin, job: terms.job).swap else { return }
        try await joint.take(stored, planned.content, to: swap.outputs, swap.signature, by: key)
        try await settle(stored.job)
    }

    /// What the mint says of the coins, and who has them.
    private func settle(_ job: [UInt8]) async throws {
        guard let stored = try await book.find(job), stored.isOpen else { return }
        try await askMint(stored)
        guard let asked = try await book.find(job), asked.isOpen else { return }
        for case .restore in asked.engine.actions(at: try await book.mintSeconds(asked.engine.terms.mint)) {
            try await book.apply(.restored(try await cameBack(asked)), to: job)
        }
    }

    // MARK: What people say

    /// The answer is good: the seller is paid.
    /// - Throws: ``JobError``.
    public func accept(_ name: String) async throws -> JSONObject {
        let stored = try await judgeable(name, in: [.judging])
        try await book.apply(.judged(isGood: true, reason: ""), to: stored.job)
        try? await step(stored.job)
        return try await shown(name)
    }

    /// The answer is not what was agreed, or none came: the arbiter decides.
    /// - Throws: ``JobError``.
    public func dispute(_ name: String, reason: String) async throws -> JSONObject {
        let why = reason.split(whereSeparator: \.isNewline).joined(separator: " ")
        guard !why.isEmpty, why.utf8.count <= 200 else {
            throw JobError(.invalid, "A reason has 1 to 200 bytes.")
        }
        let stored = try await judgeable(name, in: [.judging, .funded])
        // What the arbiter would not take is not said.
        do {
            _ = try Signed<Escalation>.sign(of: stored, reason: why, by: signer, now: clock.now())
        } catch let error as TradeRefusal {
            throw JobError(.invalid, "The reason: \(error.message).")
        }
        pace.restart(stored.job)
        try await book.apply(.judged(isGood: false, reason: why), to: stored.job)
        do {
            try await step(stored.job)
        } catch {
            try await book.note("the arbiter is asked again: \(error)", stored.job)
        }
        return try await shown(name)
    }

    private func judgeable(_ name: String, in phases: [EscrowBuyer.Phase]) async throws -> Bought {
        let stored = try await book.named(name)
        let engine = stored.engine
        guard engine.terms.mode == .arbiter, phases.contains(engine.phase) else {
            let state = engine.ending?.kind.rawValue ?? engine.phase.rawValue
            throw JobError(
                .notNow,
                "There is nothing to judge: the job is in the mode \(engine.terms.mode.rawValue), \(state)."
            )
        }
        return stored
    }
}
