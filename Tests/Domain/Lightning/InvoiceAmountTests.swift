import TestSupport
import Testing

@testable import Lightning

@Suite("BOLT 11: prefix and amount")
struct InvoiceAmountTests {
    @Test(
        "amounts are read with their multiplier",
        arguments: [
            ("lnbc", nil), ("lnbc1", 100_000_000_000), ("lnbc20m", 2_000_000_000), ("lnbc2500u", 250_000_000),
            ("lnbc1n", 100), ("lnbc10p", 1), ("lnbc9678785340p", 967_878_534), ("lntb20m", 2_000_000_000),
            ("lntbs1u", 100_000), ("lnbcrt500n", 50_000), ("lnbc21000000", 2_100_000_000_000_000_000),
            ("lnbc21000000000000000n", 2_100_000_000_000_000_000),
            ("lnbc21000000000000000000p", 2_100_000_000_000_000_000),
        ] as [(String, UInt64?)]
    )
    func reads(text: String, amount: UInt64?) throws {
        #expect(try InvoicePrefix(parsing: text).amountMsat == amount)
    }

    @Test(
        "anything else is refused",
        arguments: [
            "lnbc0", "lnbc0u", "lnbc01u", "lnbc1x", "lnbc1uu", "lnbc1u2", "lnbc1.5m",
            "lnbc1p", "lnbc2500000001p", "lnbc0p", "lnbc21000001", "lnbc21000000001m", "lnbc99999999999999999999",
            "lnbc18446744073709551616", "lnbc21000000000000000010p", "lnbc999999999999999999999p",
            "lnbc9999999999999999999999p", "lnbc1٣",
            "lnbc1 ",
        ]
    )
    func refuses(text: String) {
        let error = #expect(throws: LightningError.self) { try InvoicePrefix(parsing: text) }
        #expect(error?.code == .invalidAmount)
    }

    @Test(
        "an unknown prefix is refused",
        arguments: [
            "", "ln", "bc", "xnbc1u", "lnltc1u", "lnbcr1u", "lnbcrts1u", "ln1u", "lnbcm", "lnbcrtp", "lnbc-1u",
            "lnbc 1u",
        ]
    )
    func currencies(text: String) {
        let error = #expect(throws: LightningError.self) { try InvoicePrefix(parsing: text) }
        #expect(error?.code == .unknownCurrency)
    }

    @Test(
        "amounts are written in the shortest form",
        arguments: [
            (1, "10p"), (99, "990p"), (100, "1n"), (50_000, "500n"), (100_000, "1u"), (250_000_000, "2500u"),
            (2_000_000_000, "20m"), (100_000_000_000, "1"), (2_100_000_000_000_000_000, "21000000"),
        ] as [(UInt64, String)]
    )
    func writes(amount: UInt64, text: String) {
        #expect(InvoicePrefix(currency: .regtest, amountMsat: amount).text == "lnbcrt\(text)")
    }

    @Test("what is written is read back")
    func roundTrip() throws {
        var random = SeededRandom(seed: 11)
        for _ in 0..<2000 {
            let magnitude = UInt64.random(in: 0...60, using: &random)
            let amount = UInt64.random(in: 1...InvoicePrefix.maximumAmountMsat, using: &random) >> magnitude
            let prefix = InvoicePrefix(
                currency: InvoiceCurrency.allCases.randomElement(using: &random) ?? .regtest,
                amountMsat: max(amount, 1)
            )
            #expect(try InvoicePrefix(parsing: prefix.text) == prefix)
        }
    }
}
