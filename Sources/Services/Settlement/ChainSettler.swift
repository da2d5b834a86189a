internal import CanonicalJSON
internal import Cryptography
public import Encodings
public import Ethereum
public import Logging
public import Paywall
public import Storage

/// A facilitator of our own: checks `exact` payments on one EVM chain and carries them out with an account of the operator's,
/// which pays the gas (x402 specification v2, 6.1 and 7).
///
/// A payment is recorded with its signed transaction before anything is sent, so that a restart sends the same again. Only a
/// receipt that stands deep enough in the chain, or the contract's own word on the authorisation, ends it; until then it is
/// pending. The contract takes an authorisation once, so that no course of events moves the money twice.
public final class ChainSettler: Facilitator {
    public let configuration: SettlerConfiguration
    let chain: any EVMChain
    let key: EthereumKey
    let desk: ChainAccount
    let store: SettlementStore
    let clock: WallClock
    let logger: Logger
    let sleep: @Sendable (Int64) async throws -> Void

    /// One node of several behind an address may be as many blocks behind another.
    private static let laggingBlocks: UInt64 = 32

    /// The account that pays the gas.
    public var account: Address { key.address }

    /// - Parameters:
    ///   - database: the node's, with ``SettlementTables/migrations``.
    ///   - sleep: waits for milliseconds; ends early with an error where its task is cancelled.
    public init(
        chain: any EVMChain,
        key: EthereumKey,
        configuration: SettlerConfiguration,
        database: Database,
        clock: WallClock,
        logger: Logger,
        sleep: @escaping @Sendable (Int64) async throws -> Void = { try await Task.sleep(for: .milliseconds($0)) }
    ) {
        self.chain = chain
        self.key = key
        self.configuration = configuration
        desk = ChainAccount(
            chain: chain,
            key: key,
            maximumFeePerGas: configuration.maximumFeePerGas,
            confirmations: configuration.confirmations,
            logger: logger
        )
        store = SettlementStore(database: database)
        self.clock = clock
        self.logger = logger
        self.sleep = sleep
    }

    public func supported() async throws(SettlementError) -> X402.Supported {
        let kinds = X402.Version.allCases.compactMap { version in
            X402.Network.name(chainID: chain.chainID, version: version).map {
                X402.SupportedKind(version: version, scheme: X402.ExactEVM.scheme, network: $0)
            }
        }
        return X402.Supported(
            kinds: kinds.reversed(),
            extensions: [],
            signers: ["eip155:\(chain.chainID)": [account.description]]
        )
    }

    public func verify(_ request: X402.FacilitatorRequest) async throws(SettlementError) -> X402.VerifyResponse {
        var payer: String?
        do {
            let payload = try X402.ExactEVM.Payload(json: request.payment.payload)
            payer = payload.authorization.from.description
            let checked = try admit(request, payload: payload, now: clock.now())
            try await desk.requireChain()
            try await examine(checked, simulates: true)
            return X402.VerifyResponse(isValid: true, payer: payer)
        } catch let refusal as X402Refusal {
            return X402.VerifyResponse(refusal: refusal, payer: payer)
        } catch {
            throw Self.sorted(error)
        }
    }

    public func settle(_ request: X402.FacilitatorRequest) async throws(SettlementError) -> X402.SettleResponse {
        var payer: String?
        do {
            let payload = try X402.ExactEVM.Payload(json: request.payment.payload)
            payer = payload.authorization.from.description
            // One that is under way, or was carried out, gets its outcome, though its time may be over.
            let checked = try admit(request, payload: payload, now: nil)
            let digest = Hashing.sha256(try request.json.canonicalized())
            if let known = try await store.intent(checked.id) {
                return await outcome(of: try Self.owned(known, by: digest), sent: false)
            }
            let since: UInt64
            do {
                _ = try admit(request, payload: payload, now: clock.now())
                try await desk.requireChain()
                // Before the contract is asked: what happens to the authorisation from here on stands in later blocks.
                let head = try await chain.blockNumber()
                try await examine(checked, simulates: false)
                since = head - min(head, Self.laggingBlocks)
            } catch let refusal as X402Refusal {
                // What uses the nonce may be this very request, asked twice at once and carried out meanwhile.
                guard let known = try await store.intent(checked.id) else { throw refusal }
                return await outcome(of: try Self.owned(known, by: digest), sent: false)
            }
            switch try await record(checked, request: request, digest: digest, since: since) {
            case .known(let known): return await outcome(of: try Self.owned(known, by: digest), sent: false)
            case .recorded(let intent, let signed):
                return await outcome(of: intent, sent: await desk.send(signed))
            case .tooMany:
                throw SettlementError(
                    .overloaded,
                    "\(configuration.maximumOpen) settlements are open: try again shortly; nothing was sent"
                )
            }
        } catch let refusal as X402Refusal {
            return X402.SettleResponse(refusal: refusal, network: request.requirements.network, payer: payer)
        } catch {
            throw Self.sorted(error)
        }
    }

    /// The checks that need no chain, and what the operator allows.
    private func admit(
        _ request: X402.FacilitatorRequest,
        payload: X402.ExactEVM.Payload,
        now: Timestamp?
    ) throws(X402Refusal) -> X402.ExactEVM.Checked {
        let checked = try X402.ExactEVM.check(
            payload,
            of: request.payment,
            against: request.requirements,
            now: now
        )
        guard checked.token.chainID == chain.chainID else {
            throw X402Refusal(.invalidNetwork, "Payments are settled on eip155:\(chain.chainID) here.")
        }
        guard configuration.tokens.contains(checked.token.contract) else {
            throw X402Refusal(.invalidRequirements, "The token \(checked.token.contract) is not settled here.")
        }
        guard configuration.payees?.contains(checked.authorization.to) ?? true else {
            throw X402Refusal(.invalidRequirements, "Payments to \(checked.authorization.to) are not settled here.")
        }
        return checked
    }

    /// Only the request that a payment was recorded for gets its outcome: another would be served for the same money.
    private static func owned(
        _ intent: SettlementIntent,
        by digest: [UInt8]
    ) throws(X402Refusal) -> SettlementIntent {
        guard intent.request == digest else {
            throw X402Refusal(.nonceUsed, "The authorisation was used for another request.")
        }
        return intent
    }

    /// Prices the transaction, and records it with the intent.
    private func record(
        _ checked: X402.ExactEVM.Checked,
        request: X402.FacilitatorRequest,
        digest: [UInt8],
        since: UInt64
    ) async throws -> SettlementStore.Recording {
        let call = EVMCall(from: account, to: checked.token.contract, data: checked.callData)
        let gas = try await gasLimit(for: call, of: checked)
        let fees = try await desk.offer()
        try await desk.requireFunds(for: gas, at: fees, kind: "a settlement")
        let count = try await chain.transactionCount(of: account, pending: true)
        let intent = SettlementIntent(
            id: checked.id,
            request: digest,
            chainID: chain.chainID,
            network: request.requirements.network,
            contract: checked.token.contract,
            payer: checked.payer,
            authorization: checked.authorization.nonce,
            amount: checked.authorization.value,
            call: checked.callData,
            since: since,
            nonce: 0,
            state: .open,
            at: clock.now()
        )
        return try await store.record(
            intent,
            account: account,
            chainCount: count,
            maximumOpen: configuration.maximumOpen,
            sign: desk.signer(call: call, gas: gas, fees: fees)
        )
    }

    /// Waits for the outcome as long as the configuration says.
    /// - Parameter sent: whether the latest transaction was handed in.
    private func outcome(of intent: SettlementIntent, sent: Bool) async -> X402.SettleResponse {
        var sent = sent
        var waited: Int64 = 0
        while true {
            do {
                let current = try await advance(intent)
                if current.state != .open { return await response(current) }
                if !sent, let latest = try await store.transactions(of: intent.id).last {
                    sent = await desk.send(latest.signed)
                }
            } catch {
                // What could not be asked is not known: the payment stays pending.
                logger.debug("a settlement's outcome could not be asked", metadata: ["error": "\(error)"])
            }
            guard waited < configuration.waitMilliseconds else { return await response(intent) }
            do {
                try await sleep(configuration.pollMilliseconds)
            } catch {
                return await response(intent)
            }
            waited += max(1, configuration.pollMilliseconds)
        }
    }

    private func response(_ intent: SettlementIntent) async -> X402.SettleResponse {
        let payer = intent.payer.description
        switch intent.state {
        case .settled(let hash):
            return X402.SettleResponse(
                success: true,
                transaction: EthereumHex.text(hash),
                network: intent.network,
                payer: payer,
                amount: intent.amount.description
            )
        case .failed(let reason, let hash):
            return X402.SettleResponse(
                refusal: X402Refusal(
                    .init(rawValue: reason),
                    "The payment was not carried out, and will not be by us."
                ),
                network: intent.network,
                payer: payer,
                transaction: hash.map(EthereumHex.text) ?? ""
            )
        case .open:
            let latest = try? await store.transactions(of: intent.id).last?.signed.hash
            return X402.SettleResponse(
                refusal: X402Refusal(
                    .settlementPending,
                    "The outcome is not known yet: ask again with the same payment, and make no other."
                ),
                network: intent.network,
                payer: payer,
                transaction: latest.map(EthereumHex.text) ?? ""
            )
        }
    }

    private static func sorted(_ error: any Error) -> SettlementError {
        if let error = error as? SettlementError { return error }
        return SettlementError(
            .overloaded,
            "the settlement could not be recorded, and nothing was sent: \(error)",
            cause: error
        )
    }
}
