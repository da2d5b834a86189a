import CanonicalJSON
import Cryptography
import Encodings
import Foundation
import Gateway
import Lightning
import Paywall
import Synchronization
import Testing

/// A Lightning account in memory: its invoices are real ones, and who pays one is told its preimage.
final class TestInvoices: SellerInvoices {
    let amountStepMsat: UInt64 = 1000
    let clock: TestClock
    /// Every invoice made, in order.
    let made = Mutex<[BOLT11Invoice]>([])
    let isDown = Mutex(false)
    private let key: Secp256k1.Scalar
    private let preimages = Mutex<[[UInt8]: [UInt8]]>([:])

    init(clock: TestClock) throws {
        self.clock = clock
        key = try Secp256k1.Scalar(bytes: [UInt8](repeating: 5, count: 32))
    }

    var count: Int { made.withLock { $0.count } }

    /// How paying out ends, and what was paid out, by payment hash.
    let payout = Mutex<SellerPayout>(.paid(feeMsat: 0))
    let paidOut = Mutex<[[UInt8]: UInt64]>([:])
    let payoutCalls = Mutex(0)
    let canPayOut = Mutex(true)
    /// Whether what is being paid out goes on being paid.
    let isPayingHeld = Mutex(false)

    var paysOut: Bool { canPayOut.withLock { $0 } }

    func payOut(_ invoice: BOLT11Invoice, amountMsat: UInt64) async -> SellerPayout {
        payoutCalls.withLock { $0 += 1 }
        while isPayingHeld.withLock({ $0 }) { try? await Task.sleep(for: .milliseconds(5)) }
        let outcome = payout.withLock { $0 }
        guard case .paid = outcome else { return outcome }
        return paidOut.withLock { paid in
            // Once for its payment hash, as every backend does.
            if paid[invoice.paymentHash] == nil { paid[invoice.paymentHash] = amountMsat }
            return outcome
        }
    }

    func invoice(amountMsat: UInt64, description: String, expirySeconds: UInt32) async throws -> BOLT11Invoice {
        guard !isDown.withLock({ $0 }) else { throw LightningError(.backendFailure, "the Lightning node is away") }
        let preimage = made.withLock { Hashing.sha256(Array("preimage \($0.count)".utf8)) }
        let contents = InvoiceContents(
            currency: LightningNetwork.simulated.currency,
            amountMsat: amountMsat,
            timestamp: Timestamp(secondsSince1970: clock.now.secondsSince1970),
            paymentHash: Hashing.sha256(preimage),
            paymentSecret: [UInt8](repeating: 1, count: 32),
            purpose: .text(description),
            expirySeconds: UInt64(expirySeconds)
        )
        let invoice = try BOLT11Invoice.sign(contents, key: key)
        made.withLock { $0.append(invoice) }
        preimages.withLock { $0[invoice.paymentHash] = preimage }
        return invoice
    }

    /// Pays an invoice: the buyer learns the preimage.
    func pay(_ invoice: BOLT11Invoice) throws -> [UInt8] {
        try #require(preimages.withLock { $0[invoice.paymentHash] })
    }
}

extension Answer {
    var wwwAuthenticate: [String] {
        headers.filter { $0.name.lowercased() == "www-authenticate" }.map(\.value)
    }

    var l402: L402Challenge? { L402.challenges(wwwAuthenticate: wwwAuthenticate).first }

    func paymentChallenge(_ method: String) -> PaymentChallenge? {
        PaymentChallenge.read(wwwAuthenticate: wwwAuthenticate).first { $0.method == method }
    }

    var code: String? { (try? problem())?["code"]?.stringValue }
}

extension TestNode {
    func preimage(of text: String) throws -> [UInt8] {
        try #require(lightning).pay(BOLT11Invoice(decoding: text))
    }

    /// Pays the L402 challenge of a 402.
    /// - Returns: the value of `Authorization`.
    func payL402(_ answer: Answer) throws -> String {
        let challenge = try #require(answer.l402)
        return challenge.authorization(preimage: try preimage(of: challenge.invoice))
    }

    /// Pays the Lightning charge of a 402.
    func payCharge(_ answer: Answer) throws -> String {
        let challenge = try #require(answer.paymentChallenge("lightning"))
        let preimage = try #require(lightning).pay(try LightningCharge.invoice(of: challenge))
        return try PaymentCredential(
            challenge: challenge,
            payload: ["preimage": .string(Hex.encode(preimage))]
        ).header()
    }
}

extension Answer {
    func problem() throws -> JSONValue { try JSONValue.parse(body) }
}
