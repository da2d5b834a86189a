public import Receipts
internal import Storage

/// A payment whose seller gave a receipt, for whoever keeps count of how calls went.
public struct SettledPayment: Sendable {
    /// Rises with each payment, and again where a later receipt took the place of the first.
    public var sequence: Int64
    /// The payment's id.
    public var payment: String
    public var receipt: Receipt
    /// Whether the receipt is signed by its seller and is of the call, the answer and the payment that were made.
    public var isSound: Bool
    /// From before the money left until the payment was settled, by the wallet's clock.
    public var milliseconds: Int64
}

/// The table `wallet_receipts_told`: the payments with a receipt, in the order in which the receipts came.
enum SettledPayments {
    static let tables = """
        CREATE TABLE wallet_receipts_told (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            payment TEXT NOT NULL UNIQUE
        ) STRICT;
        INSERT INTO wallet_receipts_told (payment)
            SELECT id FROM wallet_payments WHERE receipt IS NOT NULL ORDER BY created_at, id;
        CREATE TRIGGER wallet_receipts_kept AFTER UPDATE OF receipt ON wallet_payments
            WHEN NEW.receipt IS NOT NULL AND NEW.receipt IS NOT OLD.receipt BEGIN
                DELETE FROM wallet_receipts_told WHERE payment = NEW.id;
                INSERT INTO wallet_receipts_told (payment) VALUES (NEW.id);
            END;
        """

    /// - Returns: what is read, and the sequence of the last row that was looked at; nil where none was.
    static func after(
        _ sequence: Int64,
        limit: Int,
        in connection: Connection
    ) throws -> (payments: [SettledPayment], last: Int64?) {
        let rows = try connection.rows(
            """
            SELECT t.sequence, p.id, p.receipt, p.receipt_state, p.changed_at - p.created_at
            FROM wallet_receipts_told t JOIN wallet_payments p ON p.id = t.payment
            WHERE t.sequence > ? ORDER BY t.sequence LIMIT ?
            """,
            .integer(sequence),
            .int(limit)
        )
        // What is no receipt was kept as text for people to look at.
        let payments = try rows.compactMap { row -> SettledPayment? in
            guard let text = try row.optionalText(2), let receipt = try? Receipt(bytes: Array(text.utf8)) else {
                return nil
            }
            return SettledPayment(
                sequence: try row.int64(0),
                payment: try row.text(1),
                receipt: receipt,
                isSound: try row.text(3) == "verified",
                milliseconds: max(0, try row.int64(4))
            )
        }
        return (payments, try rows.last?.int64(0))
    }
}

extension Buyer {
    /// The payments whose receipts came after those of `sequence`, in that order.
    ///
    /// - Returns: at most `limit`, and the sequence to go on from; nil where nothing came.
    /// - Throws: `StorageError`.
    public func settledPayments(
        after sequence: Int64,
        limit: Int
    ) async throws -> (payments: [SettledPayment], last: Int64?) {
        let bounded = min(max(1, limit), 1_000)
        return try await wallet.database.read { connection in
            try SettledPayments.after(sequence, limit: bounded, in: connection)
        }
    }
}
