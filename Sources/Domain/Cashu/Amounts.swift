// Amounts and input fees (NUT-00, NUT-02 "Fees"). An amount is a UInt64 of the keyset's unit; 2^63 is a valid one.

/// Exact arithmetic on amounts. Nothing here wraps around or rounds silently.
public enum Amounts {
    /// The sum, or ``CashuError/Code/amountOverflow`` beyond 2^64 − 1.
    public static func sum(_ amounts: some Sequence<UInt64>) throws(CashuError) -> UInt64 {
        var total: UInt64 = 0
        for amount in amounts {
            total = try adding(total, amount)
        }
        return total
    }

    /// `first + second`, or ``CashuError/Code/amountOverflow``.
    public static func adding(_ first: UInt64, _ second: UInt64) throws(CashuError) -> UInt64 {
        let (total, overflow) = first.addingReportingOverflow(second)
        guard !overflow else {
            throw CashuError(.amountOverflow, "the amounts add up to more than 2^64 − 1")
        }
        return total
    }

    /// True for 1, 2, 4 … 2^63.
    public static func isPowerOfTwo(_ amount: UInt64) -> Bool {
        amount.nonzeroBitCount == 1
    }

    /// The canonical split: the powers of two that add up to `amount`, ascending (NUT-03 asks for that order, so
    /// that a mint can't tell payment from change). Empty for 0.
    public static func split(_ amount: UInt64) -> [UInt64] {
        var parts: [UInt64] = []
        parts.reserveCapacity(amount.nonzeroBitCount)
        var rest = amount
        while rest != 0 {
            let lowest = rest & (~rest &+ 1)
            parts.append(lowest)
            rest &= rest - 1
        }
        return parts
    }
}

/// Input fees (NUT-02). `ppk` is parts per thousand of one unit, per input.
public enum Fees {
    /// `(Σ ppk + 999) / 1000`, over the fee of each input's own keyset.
    public static func total(inputFeesPPK: some Sequence<UInt64>) throws(CashuError) -> UInt64 {
        roundedUp(try Amounts.sum(inputFeesPPK))
    }

    /// The fee for `inputs` proofs of one keyset.
    public static func total(inputs: Int, feePPK: UInt64) throws(CashuError) -> UInt64 {
        guard let count = UInt64(exactly: inputs) else {
            throw CashuError(.malformed, "a number of inputs can't be negative")
        }
        let (product, overflow) = count.multipliedReportingOverflow(by: feePPK)
        guard !overflow else {
            throw CashuError(.amountOverflow, "the input fees exceed 2^64 − 1")
        }
        return roundedUp(product)
    }

    /// The smallest amount `a` whose canonical split still covers `price` once the fee for its own proofs is taken:
    /// `a − fee(proofs of a) ≥ price`. Asked for where the payee must redeem what it gets.
    public static func grossedUp(price: UInt64, feePPK: UInt64) throws(CashuError) -> UInt64 {
        guard price > 0 else { return 0 }
        var best: UInt64?
        for proofs in 1...64 {
            guard let fee = try? total(inputs: proofs, feePPK: feePPK) else { break }
            let (floor, overflow) = price.addingReportingOverflow(fee)
            guard !overflow else { break }
            guard let candidate = smallest(atLeast: floor, withBitsAtMost: proofs) else { continue }
            best = min(best ?? candidate, candidate)
        }
        guard let best else {
            throw CashuError(.amountOverflow, "the price with its input fees exceeds 2^64 − 1")
        }
        return best
    }

    private static func roundedUp(_ sumPPK: UInt64) -> UInt64 {
        sumPPK / 1000 + (sumPPK % 1000 == 0 ? 0 : 1)
    }

    /// The smallest number not below `floor` with at most `bits` bits set, nil where it leaves 64 bits.
    private static func smallest(atLeast floor: UInt64, withBitsAtMost bits: Int) -> UInt64? {
        var number = floor
        while number.nonzeroBitCount > bits {
            let (next, overflow) = number.addingReportingOverflow(number & (~number &+ 1))
            guard !overflow else { return nil }
            number = next
        }
        return number
    }
}

/// How many blank outputs a melt needs for its change (NUT-08).
public enum BlankOutputs {
    /// `max(ceil(log2(feeReserve)), 1)`, and 0 for a reserve of 0.
    public static func count(feeReserve: UInt64) -> Int {
        guard feeReserve > 0 else { return 0 }
        let bitsBelow = UInt64.bitWidth - (feeReserve - 1).leadingZeroBitCount
        return max(bitsBelow, 1)
    }
}
