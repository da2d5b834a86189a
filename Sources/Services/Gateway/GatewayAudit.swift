internal import Cashu
internal import Ledger
public import Storage

extension GatewayTables {
    /// Holds the gateway's tables against the ledger: what was taken and is not redeemed yet, per mint, and what is owed
    /// for calls without an end. Read in one snapshot, so it may run while calls are made.
    /// - Returns: a sentence for each thing that does not add up; none where all is well.
    public static func audit(in connection: Connection) throws -> [String] {
        var findings: [String] = []
        var held: [String: UInt64] = [:]
        for row in try connection.rows(
            """
            SELECT mint, unit, sum(amount) FROM gateway_proofs WHERE state IN ('held', 'due', 'sent') GROUP BY mint, unit
            """
        ) {
            let account = GatewayAccounts.unredeemed(try MintURL(row.text(0)))
            held["\(account.name) \(try row.text(1))"] = try row.uint64(2)
        }
        var booked: [String: UInt64] = [:]
        for entry in try LedgerStore.accounts(prefix: "gateway:unredeemed:", in: connection) where entry.balance > 0 {
            booked["\(entry.account.name) \(entry.unit)"] = entry.balance
        }
        for key in Set(held.keys).union(booked.keys).sorted() where held[key] != booked[key] {
            findings.append("\(key): the gateway holds \(held[key] ?? 0), the ledger has \(booked[key] ?? 0)")
        }
        var open: [String: UInt64] = [:]
        for row in try connection.rows(
            """
            SELECT unit, sum(amount) FROM (
                SELECT unit, total AS amount FROM gateway_claims WHERE state IN ('running', 'interrupted', 'refunding')
                UNION ALL
                SELECT unit, change FROM gateway_quotes, gateway_claims
                WHERE gateway_quotes.state = 'due' AND gateway_claims.id = gateway_quotes.claim
            ) GROUP BY unit
            """
        ) {
            open[try row.text(0)] = try row.uint64(1)
        }
        for entry in try LedgerStore.accounts(prefix: GatewayAccounts.escrow.name, in: connection) {
            let owed = open.removeValue(forKey: entry.unit) ?? 0
            if owed != entry.balance {
                findings.append("calls worth \(owed) \(entry.unit) are open, the ledger has \(entry.balance)")
            }
        }
        for (unit, owed) in open.sorted(by: { $0.key < $1.key }) {
            findings.append("calls worth \(owed) \(unit) are open, the ledger has 0")
        }
        return findings + (try auditGrants(in: connection)) + (try auditExact(in: connection))
    }

    /// What is reserved and not settled, and what is owed for calls that were given back, in each token ([XEX-9]).
    private static func auditExact(in connection: Connection) throws -> [String] {
        var findings: [String] = []
        let parts = [
            (
                GatewayAccounts.exactReserved, "reserved",
                "state = 'reserved'"
            ),
            (GatewayAccounts.exactPrepaid, "given back", "credit_until IS NOT NULL"),
        ]
        for (account, word, condition) in parts {
            var held: [String: UInt64] = [:]
            for row in try connection.rows(
                "SELECT unit, sum(amount) FROM gateway_x402 WHERE \(condition) GROUP BY unit"
            ) {
                held[try row.text(0)] = try row.uint64(1)
            }
            for entry in try LedgerStore.accounts(prefix: account.name, in: connection) {
                let found = held.removeValue(forKey: entry.unit) ?? 0
                if found != entry.balance {
                    findings.append(
                        "x402 payments of \(found) \(entry.unit) are \(word), the ledger has \(entry.balance)"
                    )
                }
            }
            for (unit, found) in held.sorted(by: { $0.key < $1.key }) {
                findings.append("x402 payments of \(found) \(unit) are \(word), the ledger has 0")
            }
        }
        return findings
    }

    /// What is prepaid, and whether each grant counted exactly the calls that were claimed of it.
    private static func auditGrants(in connection: Connection) throws -> [String] {
        var findings: [String] = []
        let prepaid = try connection.first("SELECT coalesce(sum(prepaid), 0) FROM gateway_grants")?.uint64(0) ?? 0
        let booked = try LedgerStore.balance(
            of: GatewayAccounts.prepaid,
            unit: GatewayAccounts.grantUnit,
            in: connection
        )
        if prepaid != booked {
            findings.append("calls for \(prepaid) msat are paid and not made, the ledger has \(booked)")
        }
        let owed =
            try connection.first(
                "SELECT coalesce(sum(refund_msat), 0) FROM gateway_sessions WHERE payout IN ('due', 'sending', 'failed')"
            )?.uint64(0) ?? 0
        let returning = try LedgerStore.balance(
            of: GatewayAccounts.returning,
            unit: GatewayAccounts.grantUnit,
            in: connection
        )
        if owed != returning {
            findings.append("\(owed) msat are to be returned to payers of sessions, the ledger has \(returning)")
        }
        let miscounted = try connection.rows(
            """
            SELECT hex(payment_hash), used, (
                SELECT CASE WHEN credit THEN
                        coalesce(sum(total - coalesce((SELECT change FROM gateway_quotes WHERE claim = id), 0)), 0) / call_msat
                    ELSE count(*) END
                FROM gateway_claims WHERE grant_hash = payment_hash AND state <> 'refunded'
            ) AS claimed
            FROM gateway_grants WHERE paid_at IS NOT NULL AND used <> claimed LIMIT 100
            """
        )
        for row in miscounted {
            findings.append(
                "the grant \(try row.text(0)) counts \(try row.int64(1)) calls, and \(try row.int64(2)) were claimed"
            )
        }
        return findings
    }
}
