internal import Cryptography
public import Encodings
public import Ethereum
public import Logging
public import Storage

/// Writes digests of passports into an ERC-8004 identity registry with the account that pays for settlements, in the same way:
/// signed and on disk before anything is sent, one nonce after the other, known by its receipt alone, gone on with after a
/// restart. At most one is under way for an agent, so that none is registered twice.
public final class ChainAnchor: Sendable {
    /// What the operator allows.
    public struct Configuration: Sendable {
        /// The registry's contract.
        public var registry: Address
        /// The most that is paid a gas, in wei, tip included.
        public var maximumFeePerGas: UInt256
        /// The most gas that one anchor may take.
        public var maximumGas: UInt64
        /// How many blocks a transaction must stand in the chain, its own included, before its outcome counts.
        public var confirmations: UInt64
        /// How long ``anchor(_:uri:digest:token:)`` waits for the outcome, and how often it looks.
        public var waitMilliseconds: Int64
        public var pollMilliseconds: Int64
        /// After how many seconds without a block a transaction is sent again at a higher fee.
        public var raiseAfterSeconds: Int64

        public init(
            registry: Address,
            maximumFeePerGas: UInt256,
            maximumGas: UInt64 = 1_000_000,
            confirmations: UInt64 = 1,
            waitMilliseconds: Int64 = 25_000,
            pollMilliseconds: Int64 = 500,
            raiseAfterSeconds: Int64 = 30
        ) {
            self.registry = registry
            self.maximumFeePerGas = maximumFeePerGas
            self.maximumGas = maximumGas
            self.confirmations = max(1, confirmations)
            self.waitMilliseconds = waitMilliseconds
            self.pollMilliseconds = pollMilliseconds
            self.raiseAfterSeconds = raiseAfterSeconds
        }
    }

    /// The most anchors under way at once.
    static let maximumOpen = 64
    static let maximumURIBytes = 1_024
    /// What any transaction takes.
    private static let leastGas: UInt64 = 21_000

    private let configuration: Configuration
    private let key: String
    private let desk: ChainAccount
    private let store: AnchorStore
    private let clock: WallClock
    private let logger: Logger
    private let sleep: @Sendable (Int64) async throws -> Void

    private var chain: any EVMChain { desk.chain }
    /// The account that pays, and owns the agents' tokens.
    public var account: Address { desk.key.address }

    /// - Parameters:
    ///   - metadataKey: the name under which digests stand in the registry.
    ///   - database: the node's, with ``SettlementTables/migrations``.
    ///   - sleep: waits for milliseconds; ends early with an error where its task is cancelled.
    public init(
        chain: any EVMChain,
        key: EthereumKey,
        metadataKey: String,
        configuration: Configuration,
        database: Database,
        clock: WallClock,
        logger: Logger,
        sleep: @escaping @Sendable (Int64) async throws -> Void = { try await Task.sleep(for: .milliseconds($0)) }
    ) {
        self.configuration = configuration
        self.key = metadataKey
        desk = ChainAccount(
            chain: chain,
            key: key,
            maximumFeePerGas: configuration.maximumFeePerGas,
            confirmations: configuration.confirmations,
            logger: logger
        )
        store = AnchorStore(database: database)
        self.clock = clock
        self.logger = logger
        self.sleep = sleep
    }

    // MARK: Anchoring

    /// Writes a digest for an agent: registers it, the first time, with the address of its registration file; later replaces
    /// what stands there. Where the digest stands already, nothing is sent.
    ///
    /// - Parameter token: the agent's number, where it was registered before this node knew of it.
    /// - Returns: the anchor as it stands when it is known, or when the waiting is over: then it is `open`. One that was under
    ///   way already is the one returned, whatever its digest.
    /// - Throws: `SettlementError`; nothing was sent then.
    public func anchor(
        _ agent: String,
        uri: String,
        digest: [UInt8],
        token given: UInt256? = nil
    ) async throws(SettlementError) -> Anchor {
        do {
            guard digest.count == 32, uri.utf8.count <= Self.maximumURIBytes else {
                throw SettlementError(.invalidConfiguration, "an anchor has 32 bytes and an address of at most 1,024")
            }
            if let open = try await store.open(agent, chainID: chain.chainID, registry: configuration.registry) {
                return try await outcome(of: open, sent: false)
            }
            try await requireRegistry()
            let known = try await confirmed(agent: agent).first { $0.registry == configuration.registry }
            let token = given ?? known?.token
            if let token {
                try await requireOwner(of: token)
                if let known, known.token == token, known.digest == digest, try await stands(digest, at: token) {
                    return known
                }
            }
            switch try await record(agent, uri: uri, digest: digest, token: token) {
            case .open(let open): return try await outcome(of: open, sent: false)
            case .recorded(let anchor, let signed):
                return try await outcome(of: anchor, sent: await desk.send(signed))
            case .tooMany:
                throw SettlementError(
                    .overloaded,
                    "\(Self.maximumOpen) anchors are under way: try again shortly; nothing was sent"
                )
            }
        } catch let error as SettlementError {
            throw error
        } catch {
            throw SettlementError(
                .overloaded,
                "the anchor could not be recorded, and nothing was sent: \(error)",
                cause: error
            )
        }
    }

    /// The anchors confirmed last of each agent on this chain and others.
    public func confirmed(agent: String? = nil, limit: Int = 256) async throws -> [Anchor] {
        try await store.confirmed(agent: agent, limit: limit)
    }

    private func requireRegistry() async throws(SettlementError) {
        try await desk.requireChain()
        guard try await !chain.code(at: configuration.registry).isEmpty else {
            throw SettlementError(
                .invalidConfiguration,
                "there is no contract at \(configuration.registry) on chain \(chain.chainID): correct anchor.registry"
            )
        }
    }

    private func requireOwner(of token: UInt256) async throws(SettlementError) {
        let answer: [UInt8]
        do {
            answer = try await ask(IdentityRegistryCalls.owner(of: token))
        } catch  where error.code == .reverted {
            throw SettlementError(.refused, "the registry \(configuration.registry) has no agent \(token)")
        }
        guard let words = try? ABI.words(answer, count: 1), let owner = try? ABI.address(word: words[0]) else {
            throw SettlementError(.invalidAnswer, "the registry did not say whose agent \(token) is")
        }
        guard owner == account else {
            throw SettlementError(
                .refused,
                "agent \(token) of the registry belongs to \(owner), not to this node's account \(account)"
            )
        }
    }

    private func stands(_ digest: [UInt8], at token: UInt256) async throws(SettlementError) -> Bool {
        let answer = try await ask(IdentityRegistryCalls.metadata(of: token, key: key))
        return (try? ABI.bytes(answer, maximumBytes: 1_024)) == digest
    }

    private func ask(_ data: [UInt8]) async throws(SettlementError) -> [UInt8] {
        try await chain.call(EVMCall(from: account, to: configuration.registry, data: data))
    }

    private func record(
        _ agent: String,
        uri: String,
        digest: [UInt8],
        token: UInt256?
    ) async throws -> AnchorStore.Recording {
        let data =
            token.map { IdentityRegistryCalls.setMetadata(of: $0, key: key, value: digest) }
            ?? IdentityRegistryCalls.register(uri: uri, key: key, value: digest)
        let call = EVMCall(from: account, to: configuration.registry, data: data)
        let fees = try await desk.offer()
        // First, because nodes do not estimate for an account that can pay for nothing, and their words would name no remedy.
        try await desk.requireFunds(for: Self.leastGas, at: fees, kind: "an anchor")
        let estimate = try await chain.estimateGas(call)
        guard estimate <= configuration.maximumGas else {
            throw SettlementError(
                .tooExpensive,
                "the anchor needs \(estimate) gas, \(configuration.maximumGas) are allowed; nothing was sent"
            )
        }
        let gas = min(estimate + estimate / 5, configuration.maximumGas)
        try await desk.requireFunds(for: gas, at: fees, kind: "an anchor")
        let count = try await chain.transactionCount(of: account, pending: true)
        let anchor = Anchor(
            id: Hex.encode(SecureRandom.bytes(16)),
            agent: agent,
            chainID: chain.chainID,
            registry: configuration.registry,
            digest: digest,
            token: token,
            call: data,
            nonce: 0,
            state: .open,
            at: clock.now()
        )
        return try await store.record(
            anchor,
            account: account,
            chainCount: count,
            maximumOpen: Self.maximumOpen,
            sign: desk.signer(call: call, gas: gas, fees: fees)
        )
    }

    // MARK: The outcome

    private func outcome(of anchor: Anchor, sent: Bool) async throws -> Anchor {
        var sent = sent
        var waited: Int64 = 0
        while true {
            do {
                let current = try await advance(anchor)
                if current.state != .open { return current }
                if !sent, let latest = try await store.transactions(of: anchor.id).last {
                    sent = await desk.send(latest.signed)
                }
            } catch {
                // What could not be asked is not known.
                logger.debug("an anchor's outcome could not be asked", metadata: ["error": "\(error)"])
            }
            guard waited < configuration.waitMilliseconds, (try? await sleep(configuration.pollMilliseconds)) != nil
            else { return try await store.anchor(anchor.id) ?? anchor }
            waited += max(1, configuration.pollMilliseconds)
        }
    }

    /// Looks whether the outcome is known now, and keeps it.
    /// - Throws: where the chain could not be asked; nothing is known then.
    private func advance(_ anchor: Anchor) async throws -> Anchor {
        guard let current = try await store.anchor(anchor.id), current.state == .open else {
            return try await store.anchor(anchor.id) ?? anchor
        }
        for transaction in try await store.transactions(of: current.id).reversed() {
            guard let receipt = try await chain.receipt(of: transaction.signed.hash) else { continue }
            guard try await desk.isDeep(receipt.block) else { return current }
            guard receipt.succeeded, let token = try Self.token(of: current, in: receipt, account: account, key: key)
            else {
                return try await store.end(current.id, .failed(hash: receipt.hash), token: current.token) ?? current
            }
            return try await store.end(current.id, .confirmed(hash: receipt.hash), token: token) ?? current
        }
        return current
    }

    /// The agent's number, by the events that the registry left: that it was registered for our account, or that its metadata
    /// was set. A contract that says nothing of it did something else.
    private static func token(
        of anchor: Anchor,
        in receipt: TransactionReceipt,
        account: Address,
        key: String
    ) throws -> UInt256? {
        let logs = receipt.logs.filter { $0.contract == anchor.registry }
        let set = logs.first {
            $0.topics.count == 3 && $0.topics[0] == IdentityRegistryCalls.metadataSetTopic
                && $0.topics[2] == IdentityRegistryCalls.topic(key)
        }
        guard let token = try set.map({ try UInt256(bigEndian: $0.topics[1]) }) else { return nil }
        if let known = anchor.token { return known == token ? token : nil }
        let isRegistered = logs.contains {
            $0.topics == [IdentityRegistryCalls.registeredTopic, token.word, account.word]
        }
        return isRegistered ? token : nil
    }

    // MARK: Keeping at it

    /// Looks after every open anchor, those of earlier runs too. To be called every few seconds, and at the start.
    public func maintain() async {
        do {
            let open = try await store.open(chainID: chain.chainID)
            guard !open.isEmpty else { return }
            try await requireRegistry()
            let mined = try await chain.transactionCount(of: account, pending: false)
            for anchor in open {
                do {
                    try await maintain(anchor, mined: mined)
                } catch {
                    logger.notice(
                        "an anchor could not be looked after",
                        metadata: ["anchor": "\(anchor.id)", "error": "\(error)"]
                    )
                }
            }
        } catch {
            logger.warning("open anchors could not be looked after", metadata: ["error": "\(error)"])
        }
    }

    private func maintain(_ anchor: Anchor, mined: UInt64) async throws {
        let current = try await advance(anchor)
        let transactions = try await store.transactions(of: current.id)
        guard current.state == .open, let latest = transactions.last else { return }
        let age = clock.now().milliseconds(since: latest.at) / 1000
        let isOld = age >= configuration.raiseAfterSeconds
        if current.nonce < mined {
            // Its place is taken, and no receipt tells of ours. The receipt may be late: only after a while is it given up.
            guard isOld else { return }
            let fees = try await desk.offer()
            let call = EVMCall(from: account, to: current.registry, data: current.call)
            let signed = try await store.reassign(
                current,
                account: account,
                chainCount: mined,
                at: clock.now(),
                sign: desk.signer(call: call, gas: latest.signed.transaction.gasLimit, fees: fees)
            )
            if let signed { _ = await desk.send(signed) }
        } else if current.nonce == mined, isOld, let raised = try await desk.raised(latest.signed.transaction) {
            guard try await store.replace(current, seen: transactions.count, with: raised, at: clock.now()) else {
                return
            }
            _ = await desk.send(raised)
        } else {
            _ = await desk.send(latest.signed)
        }
    }
}
