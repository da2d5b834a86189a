import Cashu
import TestSupport
import Testing

@Suite("Amounts and fees")
struct AmountTests {
    @Test("a split is ascending powers of two that add up", arguments: 1...50)
    func split(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let amount = random.next() >> (random.next() % 64)
        let parts = Amounts.split(amount)
        #expect(try Amounts.sum(parts) == amount)
        #expect(parts.allSatisfy(Amounts.isPowerOfTwo))
        #expect(parts == parts.sorted() && Set(parts).count == parts.count)
    }

    @Test("the edges of 64 bits")
    func edges() throws {
        #expect(Amounts.split(0) == [])
        #expect(Amounts.split(.max).count == 64)
        #expect(Amounts.isPowerOfTwo(1 << 63))
        #expect(!Amounts.isPowerOfTwo(0))
        #expect(try Amounts.sum([.max, 0]) == .max)
        let error = #expect(throws: CashuError.self) { try Amounts.sum([.max, 1]) }
        #expect(error?.code == .amountOverflow)
        #expect(throws: CashuError.self) { try Amounts.sum([1 << 63, 1 << 63]) }
    }

    @Test("the fee is rounded up over the whole transaction (NUT-02)")
    func fees() throws {
        #expect(try Fees.total(inputFeesPPK: [] as [UInt64]) == 0)
        #expect(try Fees.total(inputFeesPPK: [100, 100, 100]) == 1)
        #expect(try Fees.total(inputs: 10, feePPK: 100) == 1)
        #expect(try Fees.total(inputs: 11, feePPK: 100) == 2)
        #expect(try Fees.total(inputFeesPPK: [999, 1]) == 1)
        #expect(try Fees.total(inputFeesPPK: [999, 2]) == 2)
        #expect(try Fees.total(inputFeesPPK: [UInt64.max]) == 18_446_744_073_709_552)
        #expect(throws: CashuError.self) { try Fees.total(inputs: 2, feePPK: .max) }
        #expect(throws: CashuError.self) { try Fees.total(inputs: -1, feePPK: 1) }
        #expect(throws: CashuError.self) { try Fees.total(inputFeesPPK: [UInt64.max, 1]) }
    }

    @Test("fees of parts never fall below the fee of the whole", arguments: 1...30)
    func feeAlgebra(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let fees = (0..<Int.random(in: 2...40, using: &random)).map { _ in UInt64.random(in: 0...2500, using: &random) }
        let cut = Int.random(in: 0...fees.count, using: &random)
        let whole = try Fees.total(inputFeesPPK: fees)
        let parts = try Fees.total(inputFeesPPK: fees[..<cut]) + Fees.total(inputFeesPPK: fees[cut...])
        #expect(parts >= whole && parts <= whole + 1)
        let sum = fees.reduce(0, +)
        #expect(whole * 1000 >= sum && whole * 1000 < sum + 1000)
    }

    @Test("a grossed-up price is the smallest amount whose split covers price and fee")
    func grossedUp() throws {
        for fee in [0, 1, 100, 500, 1000, 2500] as [UInt64] {
            for price in 0...600 as ClosedRange<UInt64> {
                let asked = try Fees.grossedUp(price: price, feePPK: fee)
                var expected = price
                while price > 0 {
                    let cost = try Fees.total(inputs: expected.nonzeroBitCount, feePPK: fee)
                    if expected >= price + cost { break }
                    expected += 1
                }
                #expect(asked == expected, "price \(price), fee \(fee)")
            }
        }
        #expect(try Fees.grossedUp(price: .max, feePPK: 0) == .max)
        #expect(try Fees.grossedUp(price: 1 << 63, feePPK: 100) == (1 << 63) + 1)
        #expect(throws: CashuError.self) { try Fees.grossedUp(price: .max, feePPK: 100) }
        // One input alone costs more than 2^54: the next power of two pays for itself.
        #expect(try Fees.grossedUp(price: 1, feePPK: .max) == 1 << 55)
    }

    @Test("blank outputs as NUT-08 counts them")
    func blankOutputs() {
        let expected: [(UInt64, Int)] = [
            (0, 0), (1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (1000, 10), (1024, 10), (1025, 11), (.max, 64),
        ]
        for (reserve, count) in expected {
            #expect(BlankOutputs.count(feeReserve: reserve) == count)
        }
    }

    @Test("units fold to lower case and refuse what no unit is")
    func units() throws {
        #expect(try CurrencyUnit("SAT") == .sat)
        for bad in ["", "sat|unit:usd", "s at", "é", String(repeating: "a", count: 33)] {
            #expect(throws: CashuError.self) { try CurrencyUnit(bad) }
        }
    }

    @Test("two spellings of a mint's address are one mint")
    func mintAddresses() throws {
        #expect(try MintURL("HTTPS://Mint.Example/Path//").string == "https://mint.example/Path")
        #expect(try MintURL("http://localhost:3338") == MintURL("http://LOCALHOST:3338/"))
        #expect(try MintURL("https://mint.example/A") != MintURL("https://mint.example/a"))
        for bad in [
            "", "mint.example", "ftp://mint.example", "https://", "https:///x", "https://a b",
            "https://user@mint.example",
            "https://m/?q", "https://m/#f", "https://m\n", "https://:80", "https://mïnt.example",
            "https://" + String(repeating: "a", count: 3000),
        ] {
            #expect(throws: CashuError.self) { try MintURL(bad) }
        }
    }
}
