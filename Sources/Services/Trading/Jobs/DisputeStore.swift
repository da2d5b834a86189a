internal import CanonicalJSON
internal import Encodings
internal import Foundation
internal import Market
internal import Storage

/// A dispute as its arbiter keeps it.
struct Dispute: Sendable {
    var quote: Signed<Quote>
    var acceptance: Signed<Acceptance>
    var token: String
    var engine: EscrowArbiter
    var delivery: Signed<Delivery>?
    /// What the buyer asked and the seller answered, as their signatures name it.
    var request: JSONObject?
    var answer: [UInt8]?
    var ruling: Signed<Ruling>?
    var createdAt: Timestamp

    var job: [UInt8] { acceptance.digest }

    /// In a list.
    var summary: JSONObject {
        let terms = engine.terms
        var json: JSONObject = [
            "job": .string(terms.job), "phase": .string(engine.phase.rawValue), "service": .string(terms.service),
            "buyer": .string(terms.buyer), "seller": .string(terms.provider), "amount": .string(String(engine.net)),
            "unit": .string(terms.unit), "mint": .string(terms.mint), "opened": .string(Self.time(engine.openedAt)),
            "ruleBy": .string(Self.time(engine.ruleBy)),
        ]
        guard let outcome = engine.outcome else { return json }
        json["outcome"] = .string(outcome.rawValue)
        json["sellerGets"] = .string(String(engine.provider))
        json["buyerGets"] = .string(String(engine.net - engine.provider))
        json["reason"] = .string(engine.reason)
        return json
    }

    /// With the evidence.
    var shown: JSONObject {
        let terms = engine.terms
        var json = summary
        json["deliverBy"] = .string(Self.time(terms.deliverBy))
        json["deliveredAt"] = engine.deliveredAt.map { .string(Self.time($0)) }
        json["locktime"] = .string(Self.time(terms.locktime))
        json["buyerSays"] = engine.statements[terms.buyer].map { .string($0) }
        json["sellerSays"] = engine.statements[terms.provider].map { .string($0) }
        json["request"] = request.map { .object($0) }
        if let answer, let response = try? JobResponse(bytes: answer) {
            var shown: JSONObject = [
                "status": .integer(Int64(response.status)), "body": .string(Base64URL.encode(response.body)),
            ]
            shown["type"] = response.contentType.map { .string($0) }
            json["answer"] = .object(shown)
        }
        json["ruling"] = ruling.map { .object($0.document) }
        return json
    }

    private static func time(_ seconds: UInt64) -> String {
        Timestamp(secondsSince1970: Int64(clamping: seconds)).rfc3339
    }
}

/// The table `disputes`.
enum DisputeStore {
    /// How long one that was ruled is kept.
    static let keepSeconds: Int64 = 90 * 86_400

    static let tables = """
        CREATE TABLE disputes (
            -- The acceptance's digest.
            job BLOB PRIMARY KEY CHECK (length(job) = 32),
            quote TEXT NOT NULL,
            acceptance TEXT NOT NULL,
            -- The locked money.
            token TEXT NOT NULL,
            -- The engine, as JSON.
            state TEXT NOT NULL,
            is_open INTEGER NOT NULL CHECK (is_open IN (0, 1)),
            delivery TEXT,
            request TEXT,
            answer BLOB,
            ruling TEXT,
            created_at INTEGER NOT NULL
        ) WITHOUT ROWID, STRICT;
        CREATE INDEX disputes_open ON disputes (created_at) WHERE is_open = 1;
        CREATE INDEX disputes_created ON disputes (created_at);
        """

    private static let columns =
        "quote, acceptance, token, state, delivery, request, answer, ruling, created_at"

    /// Does nothing where it is there.
    static func insert(_ dispute: Dispute, in connection: Connection) throws {
        try connection.execute(
            """
            INSERT INTO disputes (job, quote, acceptance, token, state, is_open, created_at)
            VALUES (?, ?, ?, ?, ?, 1, ?) ON CONFLICT DO NOTHING
            """,
            .blob(dispute.job),
            .text(String(decoding: dispute.quote.bytes, as: UTF8.self)),
            .text(String(decoding: dispute.acceptance.bytes, as: UTF8.self)),
            .text(dispute.token),
            .text(try text(dispute.engine)),
            .integer(dispute.createdAt.millisecondsSince1970)
        )
    }

    static func update(_ dispute: Dispute, in connection: Connection) throws {
        try connection.execute(
            "UPDATE disputes SET state = ?, is_open = ?, delivery = ?, request = ?, answer = ?, ruling = ? WHERE job = ?",
            .text(try text(dispute.engine)),
            .bool(dispute.engine.phase == .open),
            .optional(dispute.delivery.map { String(decoding: $0.bytes, as: UTF8.self) }),
            .optional(dispute.request.map { String(decoding: $0.serialized(), as: UTF8.self) }),
            .optional(dispute.answer),
            .optional(dispute.ruling.map { String(decoding: $0.bytes, as: UTF8.self) }),
            .blob(dispute.job)
        )
    }

    static func find(_ job: [UInt8], in connection: Connection) throws -> Dispute? {
        try connection.first("SELECT \(columns) FROM disputes WHERE job = ?", .blob(job)).map(dispute(row:))
    }

    /// Oldest first.
    static func open(limit: Int, in connection: Connection) throws -> [Dispute] {
        try connection.rows(
            "SELECT \(columns) FROM disputes WHERE is_open = 1 ORDER BY created_at LIMIT ?",
            .int(limit)
        ).map(dispute(row:))
    }

    /// Newest first.
    static func recent(limit: Int, in connection: Connection) throws -> [Dispute] {
        try connection.rows("SELECT \(columns) FROM disputes ORDER BY created_at DESC LIMIT ?", .int(limit))
            .map(dispute(row:))
    }

    static func countOpen(in connection: Connection) throws -> Int {
        try connection.first("SELECT count(*) FROM disputes WHERE is_open = 1")?.int(0) ?? 0
    }

    static func forget(before: Timestamp, in connection: Connection) throws {
        try connection.execute(
            "DELETE FROM disputes WHERE is_open = 0 AND created_at < ?",
            .integer(before.millisecondsSince1970)
        )
    }

    private static func text(_ engine: EscrowArbiter) throws -> String {
        String(decoding: try JSONEncoder().encode(engine), as: UTF8.self)
    }

    private static func dispute(row: Row) throws -> Dispute {
        do {
            return Dispute(
                quote: try Signed(kept: Array(row.text(0).utf8)),
                acceptance: try Signed(kept: Array(row.text(1).utf8)),
                token: try row.text(2),
                engine: try JSONDecoder().decode(EscrowArbiter.self, from: Data(row.text(3).utf8)),
                delivery: try row.optionalText(4).map { try Signed(kept: Array($0.utf8)) },
                request: try row.optionalText(5).flatMap {
                    try JSONValue.parse(Array($0.utf8), limits: JobWire.limits).objectValue
                },
                answer: try row.optionalBlob(6),
                ruling: try row.optionalText(7).map { try Signed(kept: Array($0.utf8)) },
                createdAt: Timestamp(millisecondsSince1970: try row.int64(8))
            )
        } catch {
            throw JobError(.corrupt, "a stored dispute can't be read: \(error)")
        }
    }
}
