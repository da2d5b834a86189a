/// An unsigned number of 256 bits, as Ethereum counts: amounts in a token's smallest unit, gas, times, nonces. Arithmetic
/// is checked; nothing wraps. Four limbs are all that is needed here, so that no big-integer package is.
public struct UInt256: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Least significant limb first.
    private var limbs: (UInt64, UInt64, UInt64, UInt64)

    /// The longest decimal text: 2²⁵⁶−1 has 78 digits.
    public static let maximumDigits = 78
    public static let zero = UInt256(0)
    public static let max = UInt256(limbs: (.max, .max, .max, .max))

    private init(limbs: (UInt64, UInt64, UInt64, UInt64)) {
        self.limbs = limbs
    }

    public init(_ value: UInt64) {
        limbs = (value, 0, 0, 0)
    }

    /// Reads big-endian bytes, at most 32; none are zero.
    /// - Throws: `invalidNumber` for more than 32.
    public init(bigEndian bytes: some Collection<UInt8>) throws(EthereumError) {
        guard bytes.count <= 32 else {
            throw EthereumError(.invalidNumber, "a number has at most 32 bytes, this has \(bytes.count)")
        }
        var number = UInt256.zero
        for byte in bytes {
            number = number.shiftedByByte(adding: byte)
        }
        self = number
    }

    /// Reads decimal digits as x402 writes amounts: no sign, no space, no leading zero.
    /// - Throws: `invalidNumber`.
    public init(decimal text: String) throws(EthereumError) {
        let digits = Array(text.utf8.prefix(Self.maximumDigits + 1))
        guard !digits.isEmpty, digits.count <= Self.maximumDigits, digits.allSatisfy({ 0x30...0x39 ~= $0 }),
            digits.count == 1 || digits[0] != 0x30
        else {
            throw EthereumError(.invalidNumber, "an amount is written in decimal digits, without a leading zero")
        }
        var number = UInt256.zero
        for digit in digits {
            guard let next = number.multipliedOrNil(by: 10, adding: UInt64(digit - 0x30)) else {
                throw EthereumError(.invalidNumber, "the amount is beyond 256 bits")
            }
            number = next
        }
        self = number
    }

    /// Reads a JSON-RPC quantity: `0x` and hex digits without leading zeros, `0x0` for zero.
    /// - Throws: `invalidNumber`.
    public init(quantity text: String) throws(EthereumError) {
        let digits = Array(text.utf8.prefix(67))
        guard digits.count >= 3, digits.count <= 66, digits[0] == 0x30, digits[1] == 0x78,
            digits.count == 3 || digits[2] != 0x30
        else {
            throw EthereumError(.invalidNumber, "a quantity is written as 0x and hex digits, without a leading zero")
        }
        var number = UInt256.zero
        for digit in digits.dropFirst(2) {
            guard let value = Character(Unicode.Scalar(digit)).hexDigitValue,
                let next = number.multipliedOrNil(by: 16, adding: UInt64(value))
            else {
                throw EthereumError(.invalidNumber, "a quantity is written in hex digits")
            }
            number = next
        }
        self = number
    }

    /// 32 bytes, big-endian: a word of the ABI.
    public var word: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(32)
        for limb in [limbs.3, limbs.2, limbs.1, limbs.0] {
            for shift in stride(from: UInt64(56), through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: limb >> shift))
            }
        }
        return bytes
    }

    /// Big-endian bytes without leading zeros, none for zero: RLP's form of a number.
    public var minimalBytes: [UInt8] {
        Array(word.drop { $0 == 0 })
    }

    /// The number where 64 bits hold it.
    public var uint64Value: UInt64? {
        limbs.1 | limbs.2 | limbs.3 == 0 ? limbs.0 : nil
    }

    /// As a JSON-RPC quantity: `0x` and hex digits without leading zeros.
    public var quantity: String {
        let digits = EthereumHex.text(word).dropFirst(2).drop { $0 == "0" }
        return digits.isEmpty ? "0x0" : "0x" + digits
    }

    /// Decimal digits.
    public var description: String {
        var number = self
        var digits: [UInt8] = []
        repeat {
            let digit = number.divide(by: 10)
            digits.append(0x30 + UInt8(digit))
        } while number != .zero
        return String(decoding: digits.reversed(), as: UTF8.self)
    }

    /// - Throws: `overflow` beyond 256 bits.
    public func adding(_ other: UInt256) throws(EthereumError) -> UInt256 {
        var sum = self
        let carry = sum.addReportingCarry(other)
        guard !carry else { throw EthereumError(.overflow, "the sum is beyond 256 bits") }
        return sum
    }

    /// - Throws: `overflow` below zero.
    public func subtracting(_ other: UInt256) throws(EthereumError) -> UInt256 {
        guard other <= self else { throw EthereumError(.overflow, "the difference is below zero") }
        // self + (2²⁵⁶ − 1 − other) + 1, whose carry is the 2²⁵⁶ to leave aside.
        var complement = UInt256(limbs: (~other.limbs.0, ~other.limbs.1, ~other.limbs.2, ~other.limbs.3))
        _ = complement.addReportingCarry(UInt256(1))
        var difference = self
        _ = difference.addReportingCarry(complement)
        return difference
    }

    /// - Throws: `overflow` beyond 256 bits.
    public func multiplied(by factor: UInt64) throws(EthereumError) -> UInt256 {
        guard let product = multipliedOrNil(by: factor, adding: 0) else {
            throw EthereumError(.overflow, "the product is beyond 256 bits")
        }
        return product
    }

    /// The quotient, rounded down.
    /// - Parameter divisor: not zero; a mistake in the calling code otherwise.
    public func divided(by divisor: UInt64) -> UInt256 {
        var number = self
        _ = number.divide(by: divisor)
        return number
    }

    public static func < (left: UInt256, right: UInt256) -> Bool {
        (left.limbs.3, left.limbs.2, left.limbs.1, left.limbs.0)
            < (right.limbs.3, right.limbs.2, right.limbs.1, right.limbs.0)
    }

    public static func == (left: UInt256, right: UInt256) -> Bool {
        left.limbs == right.limbs
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(limbs.0)
        hasher.combine(limbs.1)
        hasher.combine(limbs.2)
        hasher.combine(limbs.3)
    }

    /// self · 256 + byte, where the top byte is known to be zero.
    private func shiftedByByte(adding byte: UInt8) -> UInt256 {
        UInt256(
            limbs: (
                limbs.0 << 8 | UInt64(byte), limbs.1 << 8 | limbs.0 >> 56, limbs.2 << 8 | limbs.1 >> 56,
                limbs.3 << 8 | limbs.2 >> 56
            )
        )
    }

    private mutating func addReportingCarry(_ other: UInt256) -> Bool {
        var carry: UInt64 = 0
        limbs.0 = Self.add(limbs.0, other.limbs.0, &carry)
        limbs.1 = Self.add(limbs.1, other.limbs.1, &carry)
        limbs.2 = Self.add(limbs.2, other.limbs.2, &carry)
        limbs.3 = Self.add(limbs.3, other.limbs.3, &carry)
        return carry != 0
    }

    private static func add(_ first: UInt64, _ second: UInt64, _ carry: inout UInt64) -> UInt64 {
        let (partial, overflow) = first.addingReportingOverflow(second)
        let (sum, overflowAgain) = partial.addingReportingOverflow(carry)
        carry = overflow || overflowAgain ? 1 : 0
        return sum
    }

    /// self · factor + addend, nil beyond 256 bits.
    private func multipliedOrNil(by factor: UInt64, adding addend: UInt64) -> UInt256? {
        var carry = addend
        let first = Self.multiply(limbs.0, factor, &carry)
        let second = Self.multiply(limbs.1, factor, &carry)
        let third = Self.multiply(limbs.2, factor, &carry)
        let fourth = Self.multiply(limbs.3, factor, &carry)
        return carry == 0 ? UInt256(limbs: (first, second, third, fourth)) : nil
    }

    private static func multiply(_ limb: UInt64, _ factor: UInt64, _ carry: inout UInt64) -> UInt64 {
        let (high, low) = limb.multipliedFullWidth(by: factor)
        let (sum, overflow) = low.addingReportingOverflow(carry)
        // (2⁶⁴−1)² + 2⁶⁴−1 < 2¹²⁸: the carry fits.
        carry = high &+ (overflow ? 1 : 0)
        return sum
    }

    /// Divides in place and returns the remainder.
    private mutating func divide(by divisor: UInt64) -> UInt64 {
        var remainder: UInt64 = 0
        (limbs.3, remainder) = divisor.dividingFullWidth((remainder, limbs.3))
        (limbs.2, remainder) = divisor.dividingFullWidth((remainder, limbs.2))
        (limbs.1, remainder) = divisor.dividingFullWidth((remainder, limbs.1))
        (limbs.0, remainder) = divisor.dividingFullWidth((remainder, limbs.0))
        return remainder
    }
}
