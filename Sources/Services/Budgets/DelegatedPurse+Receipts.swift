internal import CanonicalJSON
public import Delegation
internal import Storage

/// Where a seller's word on an invocation is found.
public struct InvocationReceiptPlace: Sendable, Hashable {
    /// The seller's scheme and authority, such as `https://shop.example`.
    public var origin: String
    /// The UUID of the paid call's receipt.
    public var receiptID: String

    public init(origin: String, receiptID: String) {
        self.origin = origin
        self.receiptID = receiptID
    }
}

/// Sellers' words on what became of invocations ([DLG-16]).
extension DelegatedPurse {
    /// How many are fetched in one round of settling.
    static let fetchesARound = 20

    /// The seller's word on the invocation of a call: as it is kept here, or fetched and kept from now on. Whether it holds, it
    /// says itself; one that does not is kept too, as evidence.
    /// - Returns: nil where the seller has none.
    /// - Throws: `BudgetError` `.unreachable`; `DelegationError` where what it gave is none.
    public func invocationReceipt(_ place: InvocationReceiptPlace) async throws -> InvocationReceipt? {
        let id = place.receiptID
        let kept = try await office.database.read { connection in
            try connection.first(
                "SELECT document FROM budget_invocation_receipts WHERE receipt = ?",
                .text(id)
            )?.blob(0)
        }
        if let kept { return try InvocationReceipt(bytes: kept) }
        let answer: (status: Int, body: [UInt8])
        do {
            answer = try await line.get(
                "\(place.origin)/receipts/\(id)/invocation",
                limit: InvocationReceipt.maximumBytes
            )
        } catch {
            throw BudgetError(.unreachable, "the seller at \(place.origin) can't be asked: \(error)")
        }
        guard answer.status == 200 else { return nil }
        let word = try InvocationReceipt(bytes: answer.body)
        guard word.says.receiptID == id else {
            throw DelegationError(
                .receiptMismatch,
                "the seller gave the word on another call",
                key: word.assertion.issuer
            )
        }
        let document = word.document.serialized()
        try await office.database.write { connection in
            try connection.execute(
                "INSERT INTO budget_invocation_receipts (receipt, document) VALUES (?, ?) ON CONFLICT DO NOTHING",
                .text(id),
                .blob(document)
            )
        }
        return word
    }
}
