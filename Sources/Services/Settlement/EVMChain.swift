public import Ethereum

/// An EVM chain, as far as settling needs it. Every question may be asked again; what is sent is a signed transaction, which
/// a chain carries out at most once.
///
/// Errors are `SettlementError`: `reverted` only where the contract itself says no; a node that does not answer, answers
/// nonsense or is busy says nothing about the chain.
public protocol EVMChain: Sendable {
    /// The chain that the configuration names; the adapter refuses to work on another.
    var chainID: UInt256 { get }

    /// Asks the node which chain it is on.
    /// - Throws: `wrongChain`, which nothing heals but another configuration.
    func checkChain() async throws(SettlementError)

    /// Carries a call out on the latest state, without keeping anything.
    /// - Throws: `reverted`.
    func call(_ call: EVMCall) async throws(SettlementError) -> [UInt8]

    /// The gas that a call would take now.
    /// - Throws: `reverted`.
    func estimateGas(_ call: EVMCall) async throws(SettlementError) -> UInt64

    /// The code of an account; empty where it is none of a contract.
    func code(at address: Address) async throws(SettlementError) -> [UInt8]

    /// What an account holds of the chain's own coin, in wei.
    func balance(of address: Address) async throws(SettlementError) -> UInt256

    /// How many transactions of an account are in blocks, or, with `pending`, are known to the node.
    func transactionCount(of address: Address, pending: Bool) async throws(SettlementError) -> UInt64

    /// What gas costs.
    func fees() async throws(SettlementError) -> GasFees

    /// The number of the latest block.
    func blockNumber() async throws(SettlementError) -> UInt64

    /// Hands in a signed transaction. That it was taken is no promise, and that it was refused no proof that it will not be
    /// carried out: only a receipt counts.
    func send(_ raw: [UInt8]) async throws(SettlementError)

    /// The receipt of a transaction; nil where it is in no block that the node knows now.
    /// - Parameter hash: 32 bytes.
    func receipt(of hash: [UInt8]) async throws(SettlementError) -> TransactionReceipt?

    /// The transactions in whose course a contract left an event with these topics, since a block.
    func events(of contract: Address, topics: [[UInt8]], since block: UInt64) async throws(SettlementError)
        -> [EventPlace]
}

/// A call of a contract.
public struct EVMCall: Hashable, Sendable {
    public var from: Address
    public var to: Address
    public var data: [UInt8]

    public init(from: Address, to: Address, data: [UInt8]) {
        self.from = from
        self.to = to
        self.data = data
    }
}

/// What gas costs now, in wei.
public struct GasFees: Hashable, Sendable {
    /// Of the latest block.
    public var baseFee: UInt256
    /// What a transaction should offer on top.
    public var tip: UInt256

    public init(baseFee: UInt256, tip: UInt256) {
        self.baseFee = baseFee
        self.tip = tip
    }
}

/// An event that a contract left.
public struct ReceiptLog: Hashable, Sendable {
    public var contract: Address
    /// 32 bytes each.
    public var topics: [[UInt8]]

    public init(contract: Address, topics: [[UInt8]]) {
        self.contract = contract
        self.topics = topics
    }
}

/// How a transaction that stands in a block ended.
public struct TransactionReceipt: Hashable, Sendable {
    /// 32 bytes.
    public var hash: [UInt8]
    public var block: UInt64
    public var succeeded: Bool
    public var logs: [ReceiptLog]

    public init(hash: [UInt8], block: UInt64, succeeded: Bool, logs: [ReceiptLog]) {
        self.hash = hash
        self.block = block
        self.succeeded = succeeded
        self.logs = logs
    }
}

/// Where an event stands.
public struct EventPlace: Hashable, Sendable {
    /// Of the transaction, 32 bytes.
    public var hash: [UInt8]
    public var block: UInt64

    public init(hash: [UInt8], block: UInt64) {
        self.hash = hash
        self.block = block
    }
}
