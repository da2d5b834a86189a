/// What the parser accepts before it gives up; every field is a bound on hostile input.
public struct JSONLimits: Sendable, Hashable {
    /// The longest text, in bytes.
    public var maximumBytes: Int
    /// How many arrays and objects may stand inside each other; at most 512 whatever is asked.
    public var maximumDepth: Int
    /// How many values the text may hold in all; member names do not count.
    public var maximumValues: Int
    /// Whether integers up to 2⁶⁴−1 (down to −2⁶³) are read, exactly. Otherwise integers beyond ±(2⁵³−1) are refused
    /// (RFC 7493 §2.2). Cashu amounts need it; what is signed by RFC 8785 must not use it.
    public var acceptsUInt64: Bool

    public init(
        maximumBytes: Int = 1 << 20,
        maximumDepth: Int = 64,
        maximumValues: Int = 100_000,
        acceptsUInt64: Bool = false
    ) {
        self.maximumBytes = maximumBytes
        self.maximumDepth = maximumDepth
        self.maximumValues = maximumValues
        self.acceptsUInt64 = acceptsUInt64
    }
}
