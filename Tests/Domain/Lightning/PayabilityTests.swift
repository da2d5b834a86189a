import Cryptography
import Encodings
import Testing

@testable import Lightning

@Suite("Lightning: who may be paid, when, on which network")
struct PayabilityTests {
    private let made = Timestamp(secondsSince1970: 1_700_000_000)

    private func invoice(_ currency: InvoiceCurrency, _ amountMsat: UInt64?) throws -> BOLT11Invoice {
        try BOLT11Invoice.sign(
            InvoiceContents(
                currency: currency,
                amountMsat: amountMsat,
                timestamp: made,
                paymentHash: Hashing.sha256([UInt8](repeating: 5, count: 32)),
                paymentSecret: [UInt8](repeating: 1, count: 32),
                purpose: .text("tea"),
                expirySeconds: 60
            ),
            key: try InvoiceSealing.key()
        )
    }

    @Test("an invoice is payable on its own network, with an amount, until its expiry")
    func payable() throws {
        let invoice = try invoice(.regtest, 1_000)
        let last = made.adding(milliseconds: 59_999)
        #expect(try invoice.requirePayable(on: .simulated, at: last) == 1_000)
        #expect(try invoice.requirePayable(on: .regtest, at: made) == 1_000)
        #expect(!invoice.isExpired(at: last) && invoice.isExpired(at: made.adding(seconds: 60)))
        #expect(invoice.expiresAt == made.adding(seconds: 60))
        let late = #expect(throws: LightningError.self) {
            try invoice.requirePayable(on: .simulated, at: made.adding(seconds: 60))
        }
        #expect(late?.code == .expired)
        for network in [.mainnet, .testnet, .signet] as [LightningNetwork] {
            let error = #expect(throws: LightningError.self) { try invoice.requirePayable(on: network, at: made) }
            #expect(error?.code == .networkMismatch)
        }
        let open = try self.invoice(.bitcoin, nil)
        let error = #expect(throws: LightningError.self) { try open.requirePayable(on: .mainnet, at: made) }
        #expect(error?.code == .amountRequired)
    }

    @Test("only the preimage proves payment")
    func preimage() throws {
        let invoice = try invoice(.regtest, 1)
        #expect(invoice.isPaid(by: [UInt8](repeating: 5, count: 32)))
        #expect(!invoice.isPaid(by: [UInt8](repeating: 6, count: 32)))
        #expect(!invoice.isPaid(by: []))
        #expect(!LightningPreimage([1]).proves(Hashing.sha256([1])))
    }

    @Test("[SIM-4] a backend of another network than the configured one is refused")
    func networks() throws {
        for configured in LightningNetwork.allCases {
            for backend in LightningNetwork.allCases {
                if configured == backend {
                    #expect(throws: Never.self) {
                        try LightningNetwork.requireMatch(configured: configured, backend: backend)
                    }
                } else {
                    let error = #expect(throws: LightningError.self) {
                        try LightningNetwork.requireMatch(configured: configured, backend: backend)
                    }
                    #expect(error?.code == .networkMismatch)
                }
            }
        }
        let error = #expect(throws: LightningError.self) {
            try LightningNetwork.requireMatch(configured: .mainnet, backend: .simulated)
        }
        #expect(error?.message.contains("TEST MONEY") == true)
    }

    @Test("[SIM-2] every network but mainnet says TEST MONEY, and the simulated one looks like no public network")
    func notices() {
        for network in LightningNetwork.allCases {
            #expect((network.testMoneyNotice?.hasPrefix("TEST MONEY") ?? false) == (network != .mainnet))
        }
        #expect(LightningNetwork.simulated.currency == .regtest)
        #expect(!LightningNetwork.simulated.isRealMoney)
    }

    @Test("a description cannot steer a terminal or reorder a line")
    func printable() {
        let purpose = InvoicePurpose.text("tea\u{1B}[2J\n\u{202E}evil\u{2066}\u{0085}\u{E000} ok é 杯")
        #expect(purpose.printable == "tea\u{FFFD}[2J\u{FFFD}\u{FFFD}evil\u{FFFD}\u{FFFD}\u{FFFD} ok é 杯")
        #expect(InvoicePurpose.hash([0xAB]).printable == "description hash ab")
    }

    @Test("the bounds of an invoice to be made")
    func limits() {
        let text = String(repeating: "x", count: 500)
        #expect(throws: Never.self) {
            try LightningLimits.check(amountMsat: 1, description: text, expirySeconds: 604_800)
        }
        for (amount, text, expiry) in [
            (0, "", 1), (1_000_000_000_001, "", 1), (1, text + "x", 1), (1, "", 0), (1, "", 604_801),
        ] as [(UInt64, String, UInt32)] {
            let error = #expect(throws: LightningError.self) {
                try LightningLimits.check(amountMsat: amount, description: text, expirySeconds: expiry)
            }
            #expect(error?.code == .invalidRequest)
        }
    }
}
