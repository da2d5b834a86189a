internal import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import Encodings
internal import Market
internal import SignedDocuments

/// Asks another party's node.
struct JobLine: Sendable {
    /// What it is to this node: `seller`, `arbiter`.
    let party: String
    let post: BuyerDesk.Post

    struct Answer: Sendable {
        var status: Int
        var json: JSONValue
        fileprivate var party: String

        /// The `code` of a refusal.
        var code: String? { json["code"]?.stringValue }

        /// What the party said of a refusal, in its own words.
        var said: String { String((json["detail"]?.stringValue ?? "it answered \(status)").prefix(500)) }

        /// The refusal as a failure of the party.
        var error: JobError { JobError(.sellerFailed, "The \(party) did not do it: \(said)") }
    }

    func call(_ url: String, _ body: JSONObject) async throws -> Answer {
        let answer: (status: Int, body: [UInt8])
        do {
            answer = try await post(url, body.serialized())
        } catch {
            throw JobError(.sellerFailed, "The \(party) can't be reached at \(url): \(error)")
        }
        let json = try? JSONValue.parse(answer.body, limits: JobWire.limits)
        return Answer(status: answer.status, json: json ?? .null, party: party)
    }
}

/// A dispute as its arbiter tells it ([JOB-12]).
struct DisputeState: Sendable {
    var ruling: Signed<Ruling>?
    /// Once both have planned what the ruling gives them: what is swapped to, and the arbiter's signature on that.
    var swap: (outputs: [BlindedMessage], signature: [UInt8])?

    /// - Throws: ``JobError`` where the arbiter tells what none should.
    init(_ json: JSONValue) throws {
        if let document = json["ruling"] { ruling = try JobWire.signed(document, "ruling") }
        guard let swap = json["swap"] else { return }
        guard let outputs = try? swap["outputs"]?.arrayValue?.map(BlindedMessage.init(json:)), !outputs.isEmpty,
            let signature = swap["signature"]?.stringValue, signature.utf8.count == 128,
            let bytes = try? Hex.decode(signature)
        else { throw JobError(.sellerFailed, "The arbiter's swap can't be read.") }
        self.swap = (outputs, bytes)
    }
}

extension JobLine {
    /// Takes a job to its arbiter, with the evidence that this node has; again, it tells how the dispute stands.
    private func escalate<Engine: JobEngine>(
        _ job: StoredJob<Engine>,
        reason: String,
        by signer: DocumentSigner,
        clock: WallClock
    ) async throws -> DisputeState {
        guard let origin = job.arbiter, let token = job.token else {
            throw JobError(.corrupt, "a job's arbiter or lock is gone")
        }
        let said = try Signed<Escalation>.sign(of: job, reason: reason, by: signer, now: clock.now())
        var body: JSONObject = [
            "quote": .object(job.quote.document), "acceptance": .object(job.acceptance.document),
            "token": .string(token), "escalation": .object(said.document),
        ]
        body["delivery"] = job.delivery.map { .object($0.document) }
        if job.request != nil { body["request"] = try job.requestJSON }
        body["answer"] = job.sealed.map { .string(Base64URL.encode($0)) }
        let answer = try await call(origin + "/market/disputes", body)
        guard answer.status == 200 else { throw answer.error }
        return try DisputeState(answer.json)
    }

    /// How a dispute stands that the arbiter was shown before.
    func dispute(_ job: String, at origin: String) async throws -> DisputeState {
        let answer = try await call(origin + "/market/disputes/\(job)", [:])
        guard answer.status == 200 else { throw answer.error }
        return try DisputeState(answer.json)
    }

    /// Asks as the pace says: shows the evidence the first time.
    /// - Returns: nil where it is not time to ask.
    func hear<Engine: JobEngine>(
        _ job: StoredJob<Engine>,
        reason: String,
        _ pace: DisputePace,
        by signer: DocumentSigner,
        clock: WallClock
    ) async throws -> DisputeState? {
        guard pace.isDue(job.job, at: clock.now()) else { return nil }
        guard pace.knows(job.job), let origin = job.arbiter else {
            return try await escalate(job, reason: reason, by: signer, clock: clock)
        }
        return try await dispute(job.engine.terms.job, at: origin)
    }

    /// Tells the arbiter where this node wants its part.
    func plan(_ outputs: Signed<PlannedOutputs>, at origin: String, job: String) async throws -> DisputeState {
        let answer = try await call(
            origin + "/market/disputes/\(job)/outputs",
            ["outputs": .object(outputs.document)]
        )
        guard answer.status == 200 else { throw answer.error }
        return try DisputeState(answer.json)
    }
}

extension Signed<Escalation> {
    /// What a side says of a job to its arbiter.
    /// - Throws: `TradeRefusal` where the reason is no line.
    static func sign<Engine: JobEngine>(
        of job: StoredJob<Engine>,
        reason: String,
        by signer: DocumentSigner,
        now: Timestamp
    ) throws -> Self {
        let said = Escalation(
            party: signer.did,
            job: job.job,
            delivery: job.delivery?.digest,
            reason: reason,
            time: UInt64(max(0, now.secondsSince1970))
        )
        return try sign(said, by: signer, now: now)
    }
}
