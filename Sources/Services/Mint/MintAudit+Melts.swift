internal import Cryptography
internal import Storage

/// Whether each melt, its inputs, its outputs, its proof and its bookings belong together.
extension SQLiteMintStore {
    /// The most melts that one kind of finding names.
    private static let namedFindings = 20

    /// Each query gives the ids of melts that are wrong in the way its sentence says.
    private static let meltChecks: [(sentence: String, sql: String)] = [
        (
            "holds or spent inputs that are not worth what it says",
            """
            SELECT q.id FROM mint_melt_quotes q
            LEFT JOIN (SELECT melt, sum(amount) AS total FROM mint_proofs WHERE melt IS NOT NULL GROUP BY melt) p
            ON p.melt = q.number WHERE q.state > 0 AND coalesce(p.total, 0) <> q.input_total
            """
        ),
        (
            "is not under way but holds inputs",
            """
            SELECT DISTINCT q.id FROM mint_proofs p JOIN mint_melt_quotes q ON q.number = p.melt
            WHERE p.melt IS NOT NULL AND p.pending = 1 AND q.state <> 1
            """
        ),
        (
            "is under way but has inputs that are spent already",
            """
            SELECT DISTINCT q.id FROM mint_melt_quotes q JOIN mint_proofs p ON p.melt = q.number
            WHERE q.state = 1 AND p.pending = 0
            """
        ),
        (
            "is not under way but holds outputs",
            """
            SELECT DISTINCT q.id FROM mint_promises b JOIN mint_melt_quotes q ON q.number = b.melt
            WHERE b.melt IS NOT NULL AND b.c IS NULL AND q.state <> 1
            """
        ),
        (
            "gave back more than was paid in above its amount",
            """
            SELECT q.id FROM mint_melt_quotes q
            JOIN (SELECT melt, sum(amount) AS total FROM mint_promises WHERE melt IS NOT NULL GROUP BY melt) c
            ON c.melt = q.number WHERE q.state = 2 AND q.preimage IS NOT NULL AND c.total > q.input_total - q.amount - q.input_fee
            """
        ),
        (
            "was paid over Lightning but is booked with less than its amount or more than its reserve allows",
            """
            SELECT q.id FROM mint_melt_quotes q
            LEFT JOIN (
                SELECT reference, sum(amount) AS total FROM ledger_transfers
                WHERE kind = 'mint-melt' AND credit = 'mint:lightning' GROUP BY reference
            ) t ON t.reference = q.id
            WHERE q.state = 2 AND q.preimage IS NOT NULL AND q.input_total > 0
            AND (t.total IS NULL OR t.total < q.amount OR t.total > q.amount + q.fee_reserve)
            """
        ),
        (
            "counts as paid without a preimage, a settlement inside the mint, or the operator's word",
            """
            SELECT q.id FROM mint_melt_quotes q WHERE q.state = 2 AND q.preimage IS NULL
            AND NOT EXISTS (SELECT 1 FROM mint_melt_notes n WHERE n.quote = q.id AND n.kind = 'forced')
            AND q.payment_hash NOT IN (SELECT payment_hash FROM mint_mint_quotes WHERE state > 0)
            """
        ),
    ]

    static func meltFindings(in connection: Connection) throws -> [String] {
        var findings: [String] = []
        for check in meltChecks {
            let ids = try connection.rows("\(check.sql) LIMIT \(namedFindings + 1)").map { try $0.text(0) }
            findings += ids.prefix(namedFindings).map { "melt \($0) \(check.sentence)" }
            if ids.count > namedFindings { findings.append("more melts: each \(check.sentence)") }
        }
        return findings + (try preimageFindings(in: connection))
    }

    /// A preimage that does not hash to its payment hash proves no payment.
    private static func preimageFindings(in connection: Connection) throws -> [String] {
        var findings: [String] = []
        var last: Int64 = 0
        while true {
            let rows = try connection.rows(
                """
                SELECT number, id, payment_hash, preimage FROM mint_melt_quotes
                WHERE number > ? AND preimage IS NOT NULL ORDER BY number LIMIT 2000
                """,
                .integer(last)
            )
            for row in rows where findings.count < namedFindings {
                if Hashing.sha256(try row.blob(3)) != (try row.blob(2)) {
                    findings.append("melt \(try row.text(1)) is paid with a preimage that is not its invoice's")
                }
            }
            guard let end = try rows.last?.int64(0) else { return findings }
            last = end
        }
    }
}
