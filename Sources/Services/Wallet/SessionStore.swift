internal import Encodings
internal import Lightning
internal import Storage

extension WalletTables {
    /// Sessions of the `Payment` scheme, beside the invoices of their deposits; and deposits that were added to one.
    static let sessions = """
        CREATE TABLE wallet_sessions (
            invoice TEXT PRIMARY KEY,
            return_invoice TEXT NOT NULL,
            tops_up TEXT,
            deposit_msat INTEGER NOT NULL CHECK (deposit_msat > 0),
            state TEXT NOT NULL CHECK (state IN ('new', 'open', 'added', 'closed')),
            spent_sat INTEGER NOT NULL DEFAULT 0 CHECK (spent_sat >= 0),
            refund_sat INTEGER,
            refund_status TEXT,
            closed_at INTEGER
        ) WITHOUT ROWID, STRICT;
        CREATE INDEX wallet_sessions_added ON wallet_sessions (tops_up) WHERE tops_up IS NOT NULL;
        """
}

/// What an offer of a session, and the intent to pay its deposit, say beside the invoice.
struct SessionIntent: Sendable, Equatable {
    /// What one call costs at most, by the seller's word.
    var callMsat: UInt64
    var depositMsat: UInt64
    /// Where the rest goes, BOLT 11; made before the deposit is paid.
    var returnInvoice = ""
    /// The invoice of the session that the deposit is added to; nil: it opens one.
    var topsUp: String?
}

/// A row of `wallet_sessions`.
struct SessionRow: Sendable {
    enum State: String, Sendable {
        /// Not shown to the seller yet, as far as is known.
        case new
        case open
        /// Added to another session.
        case added
        case closed
    }

    var invoice: String
    var returnInvoice: String
    var topsUp: String?
    var depositMsat: UInt64
    var state: State
    var spentSats: UInt64
    var refundSats: UInt64?
    var refundStatus: String?
    var closedAt: Timestamp?
}

enum SessionStore {
    private static let columns = """
        invoice, return_invoice, tops_up, deposit_msat, state, spent_sat, refund_sat, refund_status, closed_at
        """

    static func insert(_ intent: SessionIntent, of invoice: String, in connection: Connection) throws {
        try connection.execute(
            "INSERT INTO wallet_sessions (invoice, return_invoice, tops_up, deposit_msat, state) VALUES (?, ?, ?, ?, 'new')",
            .text(invoice),
            .text(intent.returnInvoice),
            .optional(intent.topsUp),
            try .amount(intent.depositMsat)
        )
    }

    static func find(_ invoice: String, in connection: Connection) throws -> SessionRow? {
        try connection.first("SELECT \(columns) FROM wallet_sessions WHERE invoice = ?", .text(invoice)).map(row)
    }

    private static func row(_ row: Row) throws -> SessionRow {
        guard let state = SessionRow.State(rawValue: try row.text(4)) else {
            throw WalletError(.corrupt, "a session of the wallet is in an unknown state")
        }
        return SessionRow(
            invoice: try row.text(0),
            returnInvoice: try row.text(1),
            topsUp: try row.optionalText(2),
            depositMsat: try row.uint64(3),
            state: state,
            spentSats: try row.uint64(5),
            refundSats: try row.optionalInt64(6).map { UInt64(clamping: $0) },
            refundStatus: try row.optionalText(7),
            closedAt: try row.optionalInt64(8).map { Timestamp(millisecondsSince1970: $0) }
        )
    }

    /// Sessions, without the deposits that were added to them; newest first.
    static func sessions(limit: Int, in connection: Connection) throws -> [(CallInvoice, SessionRow)] {
        let ids = try connection.rows(
            """
            SELECT s.invoice FROM wallet_sessions s JOIN wallet_invoices i ON i.id = s.invoice
            WHERE s.tops_up IS NULL AND i.state <> 'failed' ORDER BY i.created_at DESC LIMIT ?
            """,
            .int(limit)
        ).map { try $0.text(0) }
        return try ids.compactMap { id in
            guard let invoice = try InvoiceStore.find(id, in: connection), let row = try find(id, in: connection) else {
                return nil
            }
            return (invoice, row)
        }
    }

    /// All that was deposited in a session, in msat.
    static func deposits(of invoice: String, in connection: Connection) throws -> UInt64 {
        try connection.first(
            """
            SELECT coalesce(sum(deposit_msat), 0) FROM wallet_sessions
            WHERE invoice = ?1 OR tops_up = ?1 AND state = 'added'
            """,
            .text(invoice)
        )?.uint64(0) ?? 0
    }

    /// The seller took a call of it: it is open, and good for more.
    static func used(_ invoice: String, spentSats: UInt64, at now: Timestamp, in connection: Connection) throws {
        try connection.execute(
            "UPDATE wallet_sessions SET state = 'open', spent_sat = spent_sat + ? WHERE invoice = ? AND state IN ('new', 'open')",
            try .amount(spentSats),
            .text(invoice)
        )
        guard connection.changes == 1 else { return }
        try connection.execute(
            "UPDATE wallet_invoices SET pass = 'good' WHERE id = ? AND pass = 'none' AND preimage IS NOT NULL",
            .text(invoice)
        )
        try InvoiceStore.used(invoice, at: now, in: connection)
    }

    static func added(_ invoice: String, in connection: Connection) throws {
        try connection.execute(
            "UPDATE wallet_sessions SET state = 'added' WHERE invoice = ? AND state = 'new'",
            .text(invoice)
        )
    }

    /// What was to be added to a session that is over opens one of its own.
    static func detach(_ invoice: String, in connection: Connection) throws {
        try connection.execute(
            "UPDATE wallet_sessions SET tops_up = NULL WHERE invoice = ? AND state = 'new'",
            .text(invoice)
        )
    }

    /// It takes nothing more. How its rest went may be told later.
    static func closed(
        _ invoice: String,
        refundSats: UInt64?,
        status: String?,
        at now: Timestamp,
        in connection: Connection
    ) throws {
        try connection.execute(
            """
            UPDATE wallet_sessions SET state = 'closed', refund_sat = coalesce(?, refund_sat),
                refund_status = coalesce(?, refund_status), closed_at = coalesce(closed_at, ?) WHERE invoice = ?
            """,
            .optional(refundSats.map { Int64(clamping: $0) }),
            .optional(status),
            .integer(now.millisecondsSince1970),
            .text(invoice)
        )
        try InvoiceStore.set(.refused, invoice, in: connection)
    }

    static func renew(_ invoice: String, returnInvoice: String, in connection: Connection) throws {
        try connection.execute(
            "UPDATE wallet_sessions SET return_invoice = ? WHERE invoice = ?",
            .text(returnInvoice),
            .text(invoice)
        )
    }
}
