/// The feature bits of an invoice (BOLT 11 `9` field, BOLT 9): even bits are required of the payer, odd ones offered.
public struct InvoiceFeatures: Hashable, Sendable {
    /// A `9` field holds at most 1023 words of 5 bits.
    static let maximumBit = 1023 * 5 - 1

    /// The features whose even bit may stand in an invoice that is paid here: those that BOLT 9 lets an invoice
    /// carry, and those that BOLT 9 assumes of every node.
    public static let known: [Int: String] = [
        0: "option_data_loss_protect", 8: "var_onion_optin", 12: "option_static_remotekey", 14: "payment_secret",
        16: "basic_mpp", 24: "option_route_blinding", 36: "option_attribution_data", 44: "option_channel_type",
        48: "option_payment_metadata",
    ]

    /// The bits that are set, ascending, each 0 to 5114.
    public let bits: [Int]

    /// - Throws: `malformedField` where a bit is out of range.
    public init(bits: some Sequence<Int>) throws(LightningError) {
        let bits = Set(bits).sorted()
        guard bits.allSatisfy({ (0...Self.maximumBit).contains($0) }) else {
            throw LightningError(.malformedField, "an invoice's feature bits are 0 to \(Self.maximumBit)")
        }
        self.bits = bits
    }

    /// None.
    public init() { bits = [] }

    /// What a plain invoice of ours says: `var_onion_optin` and `payment_secret`, as BOLT 11's own examples do.
    public static let standard = InvoiceFeatures(unchecked: [8, 14])

    private init(unchecked bits: [Int]) { self.bits = bits }

    /// - Parameter words: the field's 5-bit words, big-endian.
    init(words: some BidirectionalCollection<UInt8>) {
        var bits: [Int] = []
        for (place, word) in words.reversed().enumerated() {
            for bit in 0..<5 where word >> bit & 1 == 1 { bits.append(place * 5 + bit) }
        }
        self.bits = bits
    }

    /// The fewest words that hold the bits, big-endian.
    var words: [UInt8] {
        guard let highest = bits.last else { return [] }
        var words = [UInt8](repeating: 0, count: highest / 5 + 1)
        for bit in bits { words[words.count - 1 - bit / 5] |= 1 << UInt8(bit % 5) }
        return words
    }

    public func contains(_ bit: Int) -> Bool { bits.contains(bit) }

    /// Even bits that no payer here understands; an invoice with one must not be paid.
    public var unknownRequiredBits: [Int] { bits.filter { $0.isMultiple(of: 2) && Self.known[$0] == nil } }
}
