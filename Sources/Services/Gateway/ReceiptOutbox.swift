internal import CanonicalJSON
internal import Receipts
public import Storage

/// The receipts that wait for the transparency log. The outbox holds their ids only: the receipts are on file.
public struct ReceiptOutbox: OutboxSource {
    public init() {}

    public func pending(limit: Int, in connection: Connection) throws -> [OutboxEntry] {
        try connection.rows(
            """
            SELECT o.sequence, o.kind, o.reference, r.document FROM gateway_outbox o
            JOIN gateway_receipts r ON r.id = o.reference ORDER BY o.sequence LIMIT ?
            """,
            .int(limit)
        ).map {
            let document = try $0.blob(3)
            // The salt that the receipt itself names, so that its holder finds it in the log alone.
            let promise = (try? JSONValue.parse(document)).flatMap { InclusionPromise(document: $0) }
            return OutboxEntry(
                sequence: try $0.int64(0),
                kind: try $0.text(1),
                reference: try $0.text(2),
                document: document,
                salt: promise?.salt
            )
        }
    }

    public func remove(_ entries: [OutboxEntry], in connection: Connection) throws {
        for entry in entries {
            try connection.execute("DELETE FROM gateway_outbox WHERE sequence = ?", .integer(entry.sequence))
        }
    }

    public func count(in connection: Connection) throws -> Int {
        try connection.first("SELECT count(*) FROM gateway_outbox")?.int(0) ?? 0
    }
}
