import Encodings
import Ledger
import Testing

@Suite struct TransferTests {
    private let cash = Account("cash", .asset)
    private let owed = Account("owed", .liability)

    private func transfer(id: String = "t", amount: UInt64 = 1, credit: Account? = nil) -> Transfer {
        Transfer(
            id: id,
            debit: cash,
            credit: credit ?? owed,
            amount: amount,
            unit: "sat",
            kind: "test",
            at: Timestamp(millisecondsSince1970: 0)
        )
    }

    @Test("A transfer that moves nothing, too much, or to itself is refused")
    func malformed() throws {
        try transfer(amount: UInt64(Int64.max)).validate()
        for bad in [
            transfer(amount: 0), transfer(amount: UInt64(Int64.max) + 1), transfer(id: ""),
            transfer(id: String(repeating: "x", count: 257)), transfer(credit: cash),
        ] {
            #expect(throws: LedgerError.self) { try bad.validate() }
        }
    }

    @Test("No account goes below zero on the side its kind says; the world outside may")
    func belowZero() throws {
        func account(_ kind: AccountKind) -> AccountBalance {
            AccountBalance(account: Account("a", kind), unit: "sat", debits: 5, credits: 5)
        }
        #expect(try account(.asset).adding(debit: 1).balance == 1)
        #expect(try account(.liability).adding(credit: 2).balance == 2)
        #expect(try account(.external).adding(credit: 3).balance == 3)
        let taking = #expect(throws: LedgerError.self) { try account(.asset).adding(credit: 1) }
        #expect(taking?.code == .insufficient)
        let paying = #expect(throws: LedgerError.self) { try account(.liability).adding(debit: 1) }
        #expect(paying?.code == .insufficient)
    }

    @Test("A side never passes 2^63-1")
    func overflow() {
        let full = AccountBalance(account: cash, unit: "sat", debits: UInt64(Int64.max), credits: 0)
        let error = #expect(throws: LedgerError.self) { try full.adding(debit: 1) }
        #expect(error?.code == .overflow)
        let wrapped = #expect(throws: LedgerError.self) { try full.adding(debit: .max) }
        #expect(wrapped?.code == .overflow)
    }
}
