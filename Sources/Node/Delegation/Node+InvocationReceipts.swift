internal import Budgets
internal import Delegation
internal import Foundation
internal import Gateway
internal import Receipts
internal import Wallet

extension Node {
    /// The seller's word on the invocation of a call that this node sold or bought, by the id of its receipt.
    /// - Returns: nil where the call was on nobody's delegation, or is not known.
    func invocationReceipt(_ id: String) async throws -> InvocationReceipt? {
        if let sold = try await gateway.invocationReceipt(id: id) { return sold }
        let bought = try await buyer.payments(limit: 1000).first { $0.receiptID == id || $0.id == id }
        guard let place = bought.flatMap(InvocationReceiptPlace.init) else { return nil }
        return try await delegatedPurse.invocationReceipt(place)
    }
}

extension InvocationReceiptPlace {
    /// nil where the payment has no receipt that names a chain.
    init?(_ payment: PaymentRecord) {
        guard let text = payment.receipt, let receipt = try? Receipt(bytes: Array(text.utf8)),
            receipt.claims.delegation != nil,
            let scheme = payment.url.range(of: "://")
        else { return nil }
        let start = scheme.upperBound
        let authority = payment.url[start...].prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        self.init(origin: String(payment.url[..<start] + authority), receiptID: receipt.id)
    }
}
