public import Cashu
public import Encodings

/// What a seller knows of a mint, fetched at one moment: enough to judge a token without asking again ([CALL-13]).
public struct MintTerms: Sendable {
    public var mint: MintURL
    /// When NUT-06 and the keysets were fetched, on our clock.
    public var fetchedAt: Timestamp
    /// The mint's clock minus ours, in milliseconds; nil where the mint did not tell its time.
    public var clockOffsetMilliseconds: Int64?
    /// Whether the mint says it keeps NUT-10 spending conditions.
    public var supportsSpendingConditions: Bool
    /// Whether the mint says it keeps NUT-11 locks.
    public var supportsP2PK: Bool
    /// Whether the mint says it gives NUT-12 proofs.
    public var supportsDLEQ: Bool
    /// Every keyset whose keys were fetched and whose id was found right.
    public var keysets: [KeysetID: Keyset]

    public init(
        mint: MintURL,
        fetchedAt: Timestamp,
        clockOffsetMilliseconds: Int64?,
        supportsSpendingConditions: Bool,
        supportsP2PK: Bool,
        supportsDLEQ: Bool,
        keysets: [KeysetID: Keyset]
    ) {
        self.mint = mint
        self.fetchedAt = fetchedAt
        self.clockOffsetMilliseconds = clockOffsetMilliseconds
        self.supportsSpendingConditions = supportsSpendingConditions
        self.supportsP2PK = supportsP2PK
        self.supportsDLEQ = supportsDLEQ
        self.keysets = keysets
    }

    /// The highest input fee among the mint's active keysets of `unit`, in parts per thousand; nil where it has none.
    public func highestInputFeePPK(unit: CurrencyUnit) -> UInt64? {
        keysets.values.filter { $0.unit == unit && $0.info.isActive }.map(\.info.inputFeePPK).max()
    }
}
