public import Ethereum

/// What the operator allows a settler to do, and at what price.
public struct SettlerConfiguration: Sendable {
    /// The tokens that are settled, by their contracts on the settler's chain: others are refused, as their code is not known.
    public var tokens: Set<Address>
    /// Whom payments may go to; nil lets anybody have payments settled at this account's cost.
    public var payees: Set<Address>?
    /// The most gas that one settlement may take.
    public var maximumGas: UInt64
    /// The most that is paid a gas, in wei, tip included.
    public var maximumFeePerGas: UInt256
    /// How many blocks a transaction must stand in the chain, its own included, before its outcome counts.
    public var confirmations: UInt64
    /// How long `settle` waits for the outcome before it answers `settlement_pending`.
    public var waitMilliseconds: Int64
    /// How often it looks meanwhile.
    public var pollMilliseconds: Int64
    /// After how many seconds without a block a transaction is sent again at a higher fee.
    public var raiseAfterSeconds: Int64
    /// How many settlements may be open at once; over it new ones are refused and nothing is lost.
    public var maximumOpen: Int

    public init(
        tokens: Set<Address>,
        payees: Set<Address>?,
        maximumFeePerGas: UInt256,
        maximumGas: UInt64 = 300_000,
        confirmations: UInt64 = 1,
        waitMilliseconds: Int64 = 25_000,
        pollMilliseconds: Int64 = 500,
        raiseAfterSeconds: Int64 = 30,
        maximumOpen: Int = 256
    ) {
        self.tokens = tokens
        self.payees = payees
        self.maximumGas = maximumGas
        self.maximumFeePerGas = maximumFeePerGas
        self.confirmations = max(1, confirmations)
        self.waitMilliseconds = waitMilliseconds
        self.pollMilliseconds = pollMilliseconds
        self.raiseAfterSeconds = raiseAfterSeconds
        self.maximumOpen = maximumOpen
    }
}
