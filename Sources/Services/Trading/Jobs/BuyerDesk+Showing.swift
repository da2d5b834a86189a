public import CanonicalJSON
internal import Encodings
internal import Market

/// What operators are shown of jobs.
extension BuyerDesk {
    /// A job, with its answer where it can be read: `{"job", "state", …, "answer": {"status", "type", "body"}}`.
    /// - Throws: ``JobError`` `unknown-job`.
    public func shown(_ name: String) async throws -> JSONObject {
        let stored = try await book.named(name)
        var json = Self.summary(stored)
        if let sealed = stored.sealed, let bytes = stored.engine.answer(sealed) {
            let answer = try JobResponse(bytes: bytes)
            var shown: JSONObject = ["status": .integer(Int64(answer.status))]
            shown["type"] = answer.contentType.map { .string($0) }
            shown["body"] = .string(Base64URL.encode(answer.body))
            json["answer"] = .object(shown)
        }
        if stored.engine.isFraud, let delivery = stored.delivery, let sealed = stored.sealed,
            let key = stored.engine.key.flatMap({ try? Hex.decode($0) }),
            let proof = try? FraudProof(acceptance: stored.acceptance, delivery: delivery, sealed: sealed, key: key)
        {
            json["fraudProof"] = .object(proof.document)
        }
        if let ruling = stored.ruling, let delivery = stored.delivery,
            (try? ruling.content.contradiction(stored.acceptance, delivery)) != nil
        {
            // Shows to anybody that the arbiter ruled against the seller's own signature ([ESC-15]).
            json["falseRuling"] = [
                "ruling": .object(ruling.document), "acceptance": .object(stored.acceptance.document),
                "delivery": .object(delivery.document),
            ]
        }
        return json
    }

    /// The latest jobs of both sides, newest first.
    public func list(limit: Int) async throws -> [JSONObject] {
        let bounded = min(max(1, limit), 1_000)
        let (mine, theirs) = (try await book.recent(limit: bounded), try await sold.recent(limit: bounded))
        let all = mine.map { ($0.createdAt, Self.summary($0)) } + theirs.map { ($0.createdAt, Self.summary($0)) }
        return all.sorted { $0.0 > $1.0 }.prefix(bounded).map(\.1)
    }

    private static func summary(_ stored: StoredJob<EscrowBuyer>) -> JSONObject {
        let engine = stored.engine
        var json = summary(engine.terms, stored.createdAt, note: stored.note)
        json["side"] = "bought"
        json["with"] = .string(engine.terms.provider)
        let isServed =
            engine.key != nil
            || (engine.terms.mode == .arbiter && (engine.phase == .releasing || engine.ending?.kind == .claimed))
        let state =
            engine.isFraud ? "fraud" : isServed ? "served" : engine.ending?.kind.rawValue ?? engine.phase.rawValue
        json["state"] = .string(state)
        json["complaint"] = engine.complaint.map { .string($0) }
        json["ruling"] = stored.ruling.map { .object($0.document) }
        json["ending"] = engine.ending.map { .string($0.kind.rawValue) }
        json["locked"] = .string(String(engine.locked))
        json["returned"] = .string(String(engine.returned))
        return json
    }

    private static func summary(_ stored: StoredJob<EscrowProvider>) -> JSONObject {
        let engine = stored.engine
        var json = summary(engine.terms, stored.createdAt, note: stored.note)
        json["side"] = "sold"
        json["with"] = .string(engine.terms.buyer)
        json["state"] = .string(engine.ending?.kind.rawValue ?? engine.phase.rawValue)
        json["ending"] = engine.ending.map { .string($0.kind.rawValue) }
        json["ruling"] = stored.ruling.map { .object($0.document) }
        return json
    }

    private static func summary(_ terms: EscrowTerms, _ created: Timestamp, note: String?) -> JSONObject {
        var json: JSONObject = [
            "job": .string(terms.job), "service": .string(terms.service), "price": .string(String(terms.price)),
            "unit": .string(terms.unit), "mint": .string(terms.mint), "created": .string(created.rfc3339),
            "deliverBy": .string(Timestamp(secondsSince1970: Int64(terms.deliverBy)).rfc3339),
            "locktime": .string(Timestamp(secondsSince1970: Int64(terms.locktime)).rfc3339),
            "mode": .string(terms.mode.rawValue),
        ]
        json["arbiter"] = terms.arbiter.map { .string($0) }
        json["note"] = note.map { .string($0) }
        return json
    }
}
