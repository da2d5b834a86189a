internal import CanonicalJSON
public import Encodings
internal import Ethereum
public import Logging
public import Paywall

/// Another's facilitator whose every word on `exact` is held against the chain: it may lie, hang, or settle after it reported
/// a failure, and no payment is served that did not arrive, none is taken twice.
///
/// It keeps nothing. A payment that was handed over ends only by the chain: settled where the contract says that the authorisation
/// was used for it; failed where it was cancelled, or can't be used any more. Until then it is pending.
public struct WitnessedFacilitator: Facilitator {
    /// How long after its end an authorisation counts as not usable any more, in seconds: the chain's clock is another, and its
    /// node may be behind.
    public static let spareSeconds: Int64 = 120
    /// How many blocks back its use is looked for. An authorisation is taken for some minutes only.
    public static let searchedBlocks: UInt64 = 5000

    private let facilitator: any Facilitator
    private let chain: any EVMChain
    private let clock: WallClock
    private let logger: Logger
    private let confirmations: UInt64
    private let waitMilliseconds: Int64
    private let sleep: @Sendable (Int64) async throws -> Void

    /// - Parameters:
    ///   - chain: a node of the seller's own choice, which the facilitator has no say in.
    ///   - confirmations: how many blocks a settlement must stand in the chain, its own included.
    ///   - waitMilliseconds: how long `settle` looks for a settlement that the facilitator says was made.
    public init(
        _ facilitator: any Facilitator,
        chain: any EVMChain,
        clock: WallClock,
        logger: Logger,
        confirmations: UInt64 = 1,
        waitMilliseconds: Int64 = 10_000,
        sleep: @escaping @Sendable (Int64) async throws -> Void = { try await Task.sleep(for: .milliseconds($0)) }
    ) {
        self.facilitator = facilitator
        self.chain = chain
        self.clock = clock
        self.logger = logger
        self.confirmations = max(1, confirmations)
        self.waitMilliseconds = waitMilliseconds
        self.sleep = sleep
    }

    public func supported() async throws(SettlementError) -> X402.Supported { try await facilitator.supported() }

    public func verify(_ request: X402.FacilitatorRequest) async throws(SettlementError) -> X402.VerifyResponse {
        let checked: X402.ExactEVM.Checked
        do {
            checked = try Self.checked(request, now: clock.now())
        } catch {
            return X402.VerifyResponse(refusal: error)
        }
        guard try await !isUsed(checked) else {
            return X402.VerifyResponse(
                refusal: X402Refusal(.nonceUsed, "The authorisation was used or cancelled."),
                payer: checked.payer.description
            )
        }
        return try await facilitator.verify(request)
    }

    public func settle(_ request: X402.FacilitatorRequest) async throws(SettlementError) -> X402.SettleResponse {
        let checked: X402.ExactEVM.Checked
        do {
            checked = try Self.checked(request, now: nil)
        } catch {
            return X402.SettleResponse(refusal: error, network: request.requirements.network)
        }
        try await chain.checkChain()
        if let known = try await outcome(of: checked, request: request) { return known }
        if let over = isOver(checked, request: request) { return over }
        let said: X402.SettleResponse
        do {
            said = try await facilitator.settle(request)
        } catch {
            // It says that it sent nothing; only the chain is believed.
            logger.notice("the facilitator could not be asked", metadata: ["error": "\(error)"])
            return Self.pending(request, checked)
        }
        var waited: Int64 = 0
        while true {
            if let known = try? await outcome(of: checked, request: request), !known.isPending { return known }
            guard said.success, waited < waitMilliseconds else { break }
            guard (try? await sleep(500)) != nil else { break }
            waited += 500
        }
        logger.warning(
            "the chain does not know of a settlement yet",
            metadata: ["said": "\(said.success ? "settled" : Exchange.printable(said.errorReason ?? "failed"))"]
        )
        return Self.pending(request, checked)
    }

    // MARK: The chain's word

    private static func checked(
        _ request: X402.FacilitatorRequest,
        now: Timestamp?
    ) throws(X402Refusal) -> X402.ExactEVM.Checked {
        try X402.ExactEVM.check(
            X402.ExactEVM.Payload(json: request.payment.payload),
            of: request.payment,
            against: request.requirements,
            now: now
        )
    }

    private func isUsed(_ checked: X402.ExactEVM.Checked) async throws(SettlementError) -> Bool {
        let data = TokenCalls.authorizationState(authorizer: checked.payer, nonce: checked.authorization.nonce)
        let call = EVMCall(from: checked.payer, to: checked.token.contract, data: data)
        let answer = try await chain.call(call)
        guard let isUsed = try? ABI.bool(answer) else {
            throw SettlementError(.invalidAnswer, "the token's contract did not say whether the authorisation was used")
        }
        return isUsed
    }

    /// What the chain says of a payment that was used or cancelled; nil where it was not, or the trace is not found yet.
    private func outcome(
        of checked: X402.ExactEVM.Checked,
        request: X402.FacilitatorRequest
    ) async throws(SettlementError) -> X402.SettleResponse? {
        guard try await isUsed(checked) else { return nil }
        let head = try await chain.blockNumber()
        let since = head - min(head, Self.searchedBlocks)
        let key = [checked.payer.word, checked.authorization.nonce]
        let used = [TokenCalls.authorizationUsedTopic] + key
        if let place = try await chain.events(of: checked.token.contract, topics: used, since: since).first {
            guard head >= place.block, head - place.block + 1 >= confirmations else {
                return Self.pending(request, checked)
            }
            return X402.SettleResponse(
                success: true,
                transaction: EthereumHex.text(place.hash),
                network: request.requirements.network,
                payer: checked.payer.description,
                amount: checked.authorization.value.description
            )
        }
        let cancelled = [TokenCalls.authorizationCanceledTopic] + key
        guard try await !chain.events(of: checked.token.contract, topics: cancelled, since: since).isEmpty else {
            return Self.pending(request, checked)
        }
        return X402.SettleResponse(
            refusal: X402Refusal(.nonceUsed, "The authorisation was cancelled."),
            network: request.requirements.network,
            payer: checked.payer.description
        )
    }

    /// The failure of an authorisation that was not used and can't be any more.
    private func isOver(
        _ checked: X402.ExactEVM.Checked,
        request: X402.FacilitatorRequest
    ) -> X402.SettleResponse? {
        let seconds = UInt64(max(0, clock.now().secondsSince1970 - Self.spareSeconds))
        guard checked.authorization.validBefore < UInt256(seconds) else { return nil }
        return X402.SettleResponse(
            refusal: X402Refusal(.validBefore, "The authorisation was not used, and its time is over."),
            network: request.requirements.network,
            payer: checked.payer.description
        )
    }

    private static func pending(
        _ request: X402.FacilitatorRequest,
        _ checked: X402.ExactEVM.Checked
    ) -> X402.SettleResponse {
        X402.SettleResponse(
            refusal: X402Refusal(
                .settlementPending,
                "The chain does not know the outcome yet: ask again with the same payment, and make no other."
            ),
            network: request.requirements.network,
            payer: checked.payer.description
        )
    }
}

extension X402.SettleResponse {
    fileprivate var isPending: Bool { errorReason == X402Refusal.Code.settlementPending.rawValue }
}
