internal import Cashu
internal import Encodings
internal import Logging
internal import Paywall
internal import Receipts
internal import Storage

/// Change of calls that were served: what a seller gives back of a payment that was more than the call cost ([CHG-2]).
extension Buyer {
    /// How often a seller is asked for change that its receipt names and its answer does not have.
    private static let askings = 3

    /// Takes change in: writes it down first, then swaps its coins for ours. What does not go now is taken up by the next
    /// `resumeAll`; the call itself is served whatever becomes of it.
    func takeChange(_ payment: PaymentRecord, token: String?) async {
        guard let token, token.hasPrefix("cashu") else { return }
        guard token.utf8.count <= NUT24.maximumTokenBytes else {
            wallet.logger.warning(
                "a seller's change is longer than a token may be",
                metadata: ["payment": "\(payment.id)"]
            )
            return
        }
        do {
            let isNew = try await wallet.database.write { connection in
                try connection.execute(
                    "UPDATE wallet_payments SET refund = ? WHERE id = ? AND refund IS NULL AND state = 'served'",
                    .text(token),
                    .text(payment.id)
                )
                let isNew = connection.changes == 1
                try OwedChange.forget(payment.id, in: connection)
                return isNew
            }
            if isNew { try await redeemRefund(payment.id, token: token) }
        } catch {
            wallet.logger.notice(
                "a call's change is kept and not taken in yet",
                metadata: ["payment": "\(payment.id)", "why": "\(error)"]
            )
        }
    }

    /// Asks the seller for change that its receipt names, with the same key and payment: it may have had to make it first.
    func askForChange(_ payment: PaymentRecord, _ call: Call) async {
        guard payment.invoice == nil, let kept = try? await self.payment(payment.id), kept.refund == nil,
            kept.receiptState == "verified",
            let receipt = kept.receipt.flatMap({ try? Receipt(bytes: Array($0.utf8)) }),
            let settlement = receipt.claims.settlement, settlement.returned > 0
        else { return }
        for asking in 0..<Self.askings {
            await configuration.pause(250 << asking)
            guard let answer = try? await send(call, payment: payment) else { continue }
            await takeChange(payment, token: answer.header(NUT24.headerName))
            // The body was read before; the connection wants it read all the same.
            do { for try await _ in PaidResponseBody(answer.source) {} } catch {}
            if answer.header(NUT24.headerName) != nil { return }
        }
        wallet.logger.warning(
            "a seller owes change that it does not give yet: it is asked again by and by",
            metadata: ["payment": "\(payment.id)", "amount": "\(settlement.returned)"]
        )
    }

    /// Takes in change that was written down and not claimed.
    func claimChanges() async {
        do {
            let open = try await wallet.database.read { connection in
                try connection.rows(
                    """
                    SELECT id, refund FROM wallet_payments
                    WHERE state = 'served' AND refund IS NOT NULL AND returned = 0 LIMIT 100
                    """
                ).map { (id: try $0.text(0), token: try $0.text(1)) }
            }
            for change in open {
                do {
                    try await redeemRefund(change.id, token: change.token)
                } catch {
                    wallet.logger.notice(
                        "a call's change can't be taken in yet",
                        metadata: ["payment": "\(change.id)", "why": "\(error)"]
                    )
                }
            }
        } catch {
            wallet.logger.error("the wallet's open change can't be read", metadata: ["why": "\(error)"])
        }
    }
}
