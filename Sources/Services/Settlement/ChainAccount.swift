internal import Ethereum
internal import Logging
internal import Synchronization

/// An account of the operator's on a chain: prices its transactions within his limits, signs them, hands them in, and replaces
/// those that do not get into a block. Whose nonce is next stands in the store, for all that the account is used for.
final class ChainAccount: Sendable {
    let chain: any EVMChain
    let key: EthereumKey
    /// The most that is paid a gas, in wei, tip included.
    let maximumFeePerGas: UInt256
    /// How many blocks a transaction must stand in the chain, its own included, before its outcome counts.
    let confirmations: UInt64
    let logger: Logger
    private let isChainChecked = Mutex(false)

    init(
        chain: any EVMChain,
        key: EthereumKey,
        maximumFeePerGas: UInt256,
        confirmations: UInt64,
        logger: Logger
    ) {
        self.chain = chain
        self.key = key
        self.maximumFeePerGas = maximumFeePerGas
        self.confirmations = confirmations
        self.logger = logger
    }

    /// Asks the node once which chain it is on, before anything else is believed of it.
    func requireChain() async throws(SettlementError) {
        guard !isChainChecked.withLock({ $0 }) else { return }
        try await chain.checkChain()
        isChainChecked.withLock { $0 = true }
    }

    /// What a transaction offers, in wei.
    struct Offer: Sendable {
        var tip: UInt256
        /// Tip included.
        var maximum: UInt256
    }

    /// Twice the base fee and the tip, so that six full blocks in a row do not price it out; at most what is allowed.
    /// - Throws: `tooExpensive`.
    func offer() async throws -> Offer {
        let fees = try await chain.fees()
        let least = try fees.baseFee.adding(fees.tip)
        guard least <= maximumFeePerGas else {
            throw SettlementError(
                .tooExpensive,
                "gas costs \(least) wei, \(maximumFeePerGas) are allowed; nothing was sent"
            )
        }
        return Offer(tip: fees.tip, maximum: min(try least.adding(fees.baseFee), maximumFeePerGas))
    }

    /// - Throws: `tooExpensive` where the account can't pay for so much gas at this offer.
    func requireFunds(for gas: UInt64, at fees: Offer, kind: String) async throws {
        let cost = try fees.maximum.multiplied(by: gas)
        guard try await chain.balance(of: key.address) >= cost else {
            throw SettlementError(
                .tooExpensive,
                "the account \(key.address) holds less than the \(cost) wei that \(kind) may cost: fund it; nothing was sent"
            )
        }
    }

    /// Makes the transaction of a call for a nonce; the same for the same nonce, as signing is deterministic.
    func signer(call: EVMCall, gas: UInt64, fees: Offer) -> @Sendable (UInt64) -> SignedTransaction {
        let (chainID, key) = (chain.chainID, key)
        return { nonce in
            FeeMarketTransaction(
                chainID: chainID,
                nonce: nonce,
                maximumPriorityFeePerGas: fees.tip,
                maximumFeePerGas: fees.maximum,
                gasLimit: gas,
                to: call.to,
                data: call.data
            ).signed(by: key)
        }
    }

    /// Hands in a transaction that lies on disk.
    /// - Returns: whether the node took it. Where it did not, it may have it all the same.
    func send(_ signed: SignedTransaction) async -> Bool {
        do {
            try await chain.send(signed.raw)
            return true
        } catch {
            logger.notice(
                "the chain's node did not take a transaction; it will be sent again",
                metadata: ["transaction": "\(EthereumHex.text(signed.hash))", "error": "\(error)"]
            )
            return false
        }
    }

    /// The same transaction with a higher fee, for one that does not get into a block: nodes want a tenth more.
    /// - Returns: nil at the operator's limit: then it waits for gas to become cheaper.
    func raised(_ old: FeeMarketTransaction) async throws -> SignedTransaction? {
        let now = try await chain.fees()
        var raised = old
        raised.maximumPriorityFeePerGas = max(now.tip, try Self.raised(old.maximumPriorityFeePerGas))
        let wanted = try now.baseFee.multiplied(by: 2).adding(raised.maximumPriorityFeePerGas)
        raised.maximumFeePerGas = max(wanted, try Self.raised(old.maximumFeePerGas))
        if raised.maximumFeePerGas > maximumFeePerGas { raised.maximumFeePerGas = maximumFeePerGas }
        guard raised.maximumFeePerGas >= (try Self.raised(old.maximumFeePerGas)),
            raised.maximumPriorityFeePerGas <= raised.maximumFeePerGas
        else { return nil }
        return raised.signed(by: key)
    }

    /// An eighth more, rounded up.
    private static func raised(_ fee: UInt256) throws -> UInt256 {
        try fee.adding(fee.divided(by: 8)).adding(UInt256(1))
    }

    func isDeep(_ block: UInt64) async throws -> Bool {
        let head = try await chain.blockNumber()
        return head >= block && head - block + 1 >= confirmations
    }
}
