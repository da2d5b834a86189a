/// Comparison whose duration does not depend on where two secrets differ.
public enum ConstantTime {
    /// Whether both arrays hold the same bytes. The lengths are not treated as secret.
    @inline(never)
    public static func equal(_ first: [UInt8], _ second: [UInt8]) -> Bool {
        guard first.count == second.count else { return false }
        var difference: UInt8 = 0
        for index in first.indices {
            difference |= first[index] ^ second[index]
        }
        return difference == 0
    }
}
