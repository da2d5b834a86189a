import Encodings
import Lightning
import Synchronization

/// A payee somewhere on the network who takes the parts of one invoice, all or none (BOLT 4, "Basic Multi-Part
/// Payments"), and who the parts come from.
final class StandInParts: Sendable {
    private struct Part {
        var payer: ObjectIdentifier
        var amountMsat: UInt64
    }

    private struct State {
        var parts: [Part] = []
        var outcomes: [ObjectIdentifier: PaymentOutcome] = [:]
    }

    let invoice: BOLT11Invoice
    private let preimage: [UInt8]
    let feeMsat: UInt64
    let waitSeconds: Double
    private let state = Mutex(State())

    init(invoice: BOLT11Invoice, preimage: [UInt8], feeMsat: UInt64 = 3, waitSeconds: Double = 60) {
        self.invoice = invoice
        self.preimage = preimage
        self.feeMsat = feeMsat
        self.waitSeconds = waitSeconds
    }

    var arrivedMsat: UInt64 { state.withLock { $0.parts.reduce(0) { $0 + $1.amountMsat } } }

    func outcome(_ hash: [UInt8], of payer: StandInAccount) -> PaymentOutcome? {
        guard hash == invoice.paymentHash else { return nil }
        return state.withLock { $0.outcomes[ObjectIdentifier(payer)] }
    }

    /// Holds a part until all have arrived, or the payee gives up.
    func pay(
        _ hash: [UInt8],
        secret: [UInt8],
        amountMsat: UInt64,
        totalMsat: UInt64,
        from payer: StandInAccount
    ) async -> PaymentOutcome {
        let id = ObjectIdentifier(payer)
        guard hash == invoice.paymentHash, secret == invoice.contents.paymentSecret, totalMsat == invoice.amountMsat
        else {
            let failed = PaymentOutcome.failed(PaymentFailure(.unknownInvoice, "not the payee's terms"))
            state.withLock { $0.outcomes[id] = failed }
            return failed
        }
        state.withLock { state in
            state.outcomes[id] = .pending
            state.parts.append(Part(payer: id, amountMsat: amountMsat))
        }
        for _ in 0..<Int(waitSeconds * 100) {
            if arrivedMsat == totalMsat {
                let settled = PaymentOutcome.settled(preimage: preimage, feeMsat: feeMsat)
                state.withLock { $0.outcomes[id] = settled }
                return settled
            }
            try? await Task.sleep(for: .milliseconds(10))
        }
        let failed = PaymentOutcome.failed(PaymentFailure(.rejected, "the other parts did not arrive"))
        state.withLock { state in
            state.outcomes[id] = failed
            state.parts.removeAll { $0.payer == id }
        }
        return failed
    }
}
