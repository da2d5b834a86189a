internal import Cashu
internal import Encodings
internal import Storage

/// The table `wallet_payments`.
enum PaymentStore {
    static let refundPrefix = "refund:"

    /// Notes that a refund's coins are in the wallet.
    /// - Returns: false where the operation is no refund of a payment.
    static func refundArrived(_ operation: Operation, gain: Int64, at now: Timestamp, in connection: Connection) throws
        -> Bool
    {
        guard let reference = operation.reference, reference.hasPrefix(refundPrefix) else { return false }
        try connection.execute(
            """
            UPDATE wallet_payments SET returned = returned + ?, changed_at = ?,
                state = CASE state WHEN 'refunding' THEN 'refunded' ELSE state END
            WHERE id = ?
            """,
            .integer(max(0, gain)),
            .integer(now.millisecondsSince1970),
            .text(String(reference.dropFirst(refundPrefix.count)))
        )
        return true
    }
}
