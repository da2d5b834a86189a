import CanonicalJSON
import Ethereum
import TestSupport
import Testing

@Suite struct NumberTests {
    @Test func readsAndWritesDecimals() throws {
        let texts = [
            "0", "1", "9", "10", "10000", "18446744073709551615", "18446744073709551616",
            "340282366920938463463374607431768211456",
            "115792089237316195423570985008687907853269984665640564039457584007913129639935",
        ]
        for text in texts { #expect(try UInt256(decimal: text).description == text) }
        #expect(try UInt256(decimal: texts[8]) == .max)
        let bad = [
            "", "00", "01", "-1", "+1", " 1", "1 ", "1.0", "1e3", "0x1", "١", "ten",
            "115792089237316195423570985008687907853269984665640564039457584007913129639936",
            String(repeating: "9", count: 79), String(repeating: "1", count: 100_000),
        ]
        for text in bad { #expect(code { _ = try UInt256(decimal: text) } == .invalidNumber, "\(text.prefix(90))") }
    }

    @Test func readsAndWritesQuantities() throws {
        let pairs: [(String, String)] = [
            ("0x0", "0"), ("0x1", "1"), ("0x10", "16"), ("0xff", "255"), ("0x14a34", "84532"),
            ("0x" + String(repeating: "f", count: 64), UInt256.max.description),
        ]
        for (quantity, decimal) in pairs {
            #expect(try UInt256(quantity: quantity).description == decimal)
            #expect(try UInt256(decimal: decimal).quantity == quantity)
        }
        for text in ["", "0x", "0x00", "0x01", "1", "0X1", "0xg", "-0x1", "0x1" + String(repeating: "0", count: 64)] {
            #expect(code { _ = try UInt256(quantity: text) } == .invalidNumber, "\(text)")
        }
    }

    /// Against the machine's own 128 bits, and at the upper end by the laws of arithmetic.
    @Test func calculates() throws {
        var random = SeededRandom(seed: 256)
        func wide(_ value: UInt128) throws -> UInt256 { try UInt256(decimal: value.description) }
        for _ in 0..<500 {
            let first =
                UInt128.random(in: 0...(.max >> 1), using: &random) >> UInt128.random(in: 0...120, using: &random)
            let second =
                UInt128.random(in: 0...(.max >> 1), using: &random) >> UInt128.random(in: 0...120, using: &random)
            let (a, b) = (try wide(first), try wide(second))
            #expect(try a.adding(b) == wide(first + second))
            #expect((a < b) == (first < second))
            if first >= second {
                #expect(try a.subtracting(b) == wide(first - second))
            } else {
                #expect(code { _ = try a.subtracting(b) } == .overflow)
            }
            let factor = UInt64(truncatingIfNeeded: second)
            let (product, overflow) = first.multipliedReportingOverflow(by: UInt128(factor))
            if !overflow { #expect(try a.multiplied(by: factor) == wide(product)) }
            if factor > 0 { #expect(try a.divided(by: factor) == wide(first / UInt128(factor))) }
            let bytes = random.bytes(32)
            let number = try UInt256(bigEndian: bytes)
            #expect(number.word == bytes)
            #expect(try UInt256(decimal: number.description) == number)
            #expect(try UInt256(quantity: number.quantity) == number)
            #expect(try UInt256.max.subtracting(number).adding(number) == .max)
        }
        #expect(code { _ = try UInt256.max.adding(UInt256(1)) } == .overflow)
        #expect(code { _ = try UInt256.max.multiplied(by: 2) } == .overflow)
        #expect(try UInt256.max.multiplied(by: 0) == .zero)
        #expect(UInt256.max.uint64Value == nil)
        #expect(UInt256(.max).uint64Value == .max)
        #expect(UInt256.zero.minimalBytes == [])
        #expect(code { _ = try UInt256(bigEndian: [UInt8](repeating: 0, count: 33)) } == .invalidNumber)
    }

    @Test func hexIsStrict() throws {
        #expect(try EthereumHex.bytes("0x") == [])
        #expect(try EthereumHex.bytes("0xAb01") == [0xAB, 1])
        for text in ["", "ab", "0xa", "0xzz", "0x ab", "0Xab", "0xáb"] {
            #expect(code { _ = try EthereumHex.bytes(text) } == .invalidHex, "\(text)")
        }
        #expect(code { _ = try EthereumHex.bytes("0xabcd", count: 1) } == .invalidHex)
        #expect(code { _ = try EthereumHex.bytes("0xab", count: 2) } == .invalidHex)
        #expect(code { _ = try EthereumHex.bytes("0xabcdef", maximum: 2) } == .invalidHex)
    }
}
