internal import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import Encodings
internal import Ethereum
internal import Logging
internal import Paywall
internal import Storage

/// Calls that are paid with a token on an EVM chain: a signed authorisation, which whoever has it may carry out once until
/// it ends (x402 `exact`). Nothing is signed twice for one call, and what was signed counts as spent until it is certain that
/// it was not used.
extension Buyer {
    /// An authorisation begins this long before it is signed, as a chain's clock may be behind.
    private static let clockSkewSeconds: Int64 = 600
    /// What is waited past an authorisation's end before it counts as ended, in seconds.
    static let lapseMarginSeconds: Int64 = 120

    /// Signs an authorisation for a call, and writes it down with the intent in one transaction, limits first.
    /// - Returns: the payment, held; nothing of it has left yet.
    /// - Throws: `limitExceeded`, `insufficientFunds`, `challengeUnusable` with nothing signed.
    func authorize(_ offer: AuthorizationOffer, for call: Call) async throws -> PaymentRecord {
        let cost = try requireAllowed(offer, for: call)
        let balance = try await balance(for: offer)
        let account = try wallet.keys.evmAccount()
        let id = WalletID.random()
        // In hand before it is written, so that nobody takes it for one that a crash left behind.
        _ = hold(id)
        do {
            let now = wallet.clock.now()
            let lifetime = min(offer.requirements.maxTimeoutSeconds, configuration.maximumAuthorizationSeconds)
            return try await wallet.database.write { connection in
                try self.requireNoneOpen(call, in: connection)
                try Self.requireRoom(call, amount: cost, fee: 0, at: now, in: connection)
                try self.requireFunds(offer, balance, in: connection)
                let authorization = try Self.sign(offer, payment: id, by: account, lifetime: lifetime, at: now)
                let payment = try call.record(id, of: authorization, amount: cost, at: now)
                try SpendingLimits.charge(payment.spend, in: connection)
                try PaymentStore.insert(payment, in: connection)
                try AuthorizationStore.insert(authorization, in: connection)
                return payment
            }
        } catch {
            release(id)
            throw error
        }
    }

    /// What a call would cost by an offer.
    /// - Throws: `limitExceeded` above what it may; `challengeUnusable` where that cannot be told.
    func requireAllowed(_ offer: AuthorizationOffer, for call: Call) throws -> UInt64 {
        let request = call.request
        let value = offer.requirements.amount
        let cost = try offer.asset.cost(of: value, in: request.unit, rates: configuration.rates)
        guard cost <= request.maximum else {
            throw WalletError(
                .limitExceeded,
                "the call costs \(value) of \(offer.asset.contract) on \(offer.asset.network), which is \(cost)"
                    + " \(request.unit), more than the \(request.maximum) allowed; nothing was paid"
            )
        }
        return cost
    }

    /// What the account holds of an offer's asset; nil where there is no chain to ask, or it does not answer.
    func balance(for offer: AuthorizationOffer) async throws -> UInt256? {
        guard let chain = chains[offer.asset.chainID] else { return nil }
        let account = try wallet.keys.evmAccount().address
        do {
            return try await chain.balance(of: account, token: offer.asset.contract)
        } catch {
            wallet.logger.notice("the chain does not say what the account holds", metadata: ["why": "\(error)"])
            return nil
        }
    }

    /// Looks whether a balance, where it is known, covers an offer beside all that is authorised already: in the transaction
    /// that signs, so that two calls at once do not count the same money.
    /// - Throws: `insufficientFunds`.
    func requireFunds(_ offer: AuthorizationOffer, _ balance: UInt256?, in connection: Connection) throws {
        guard let balance else { return }
        let asset = offer.asset
        let needed = try AuthorizationStore.outstanding(asset, in: connection).adding(offer.requirements.amount)
        guard needed <= balance else {
            throw WalletError(
                .insufficientFunds,
                "the account \(try wallet.keys.evmAccount().address) holds \(balance) of \(asset.contract) on"
                    + " \(asset.network), and \(needed) are needed with what is authorised already"
            )
        }
    }

    private static func sign(
        _ offer: AuthorizationOffer,
        payment id: String,
        by account: EthereumKey,
        lifetime: Int64,
        at now: Timestamp
    ) throws -> Authorization {
        let seconds = now.secondsSince1970
        let validBefore = seconds + lifetime
        let transfer = try TransferAuthorization(
            from: account.address,
            to: offer.payee,
            value: offer.requirements.amount,
            validAfter: UInt256(UInt64(max(0, seconds - clockSkewSeconds))),
            validBefore: UInt256(UInt64(max(0, validBefore))),
            nonce: SecureRandom.bytes(32)
        )
        let signed = X402.ExactEVM.Payload(
            authorization: transfer,
            signature: transfer.sign(for: offer.token, key: account).bytes
        )
        let payload: X402.PaymentPayload
        switch offer.version {
        case .v1:
            payload = X402.PaymentPayload(
                scheme: offer.requirements.scheme,
                network: offer.requirements.network,
                payload: signed.json
            )
        case .v2:
            payload = X402.PaymentPayload(
                accepted: offer.requirements,
                payload: signed.json,
                resource: offer.resource,
                extensions: offer.extensions.map { X402.PaymentIdentifier.adding(id, to: $0) }
            )
        }
        // What we send, its seller must be able to take.
        _ = try X402.ExactEVM.check(signed, of: payload, against: offer.requirements, now: now)
        return Authorization(
            payment: id,
            version: offer.version,
            header: try X402Offers.header(payload).value,
            chainID: offer.asset.chainID,
            contract: offer.asset.contract,
            payer: account.address,
            payee: offer.payee,
            value: transfer.value,
            validBefore: validBefore,
            nonce: transfer.nonce
        )
    }

    /// - Throws: `corrupt` where it is not there.
    func authorization(of payment: String) async throws -> Authorization {
        let found = try await wallet.database.read { connection in
            try AuthorizationStore.find(payment, in: connection)
        }
        guard let found else {
            throw WalletError(.corrupt, "the authorisation of payment \(payment) is not in the wallet's tables")
        }
        return found
    }

    // MARK: Never a second one

    /// While an authorisation for the very same call may still be used, nothing more is paid for it.
    /// - Throws: `outcomeUnknown`, naming the payment and its key.
    func requireNoneOpen(_ call: Call) async throws {
        try await wallet.database.read { connection in try self.requireNoneOpen(call, in: connection) }
    }

    private func requireNoneOpen(_ call: Call, in connection: Connection) throws {
        for payment in try AuthorizationStore.open(for: call, in: connection) {
            // What is under way right now is another call of the same form, not one that was given up.
            guard payment.state == .pending || !isHeld(payment.id) else { continue }
            throw WalletError(
                .outcomeUnknown,
                "the same call was paid by \(payment.id), and it is not known yet what became of that: go on with it under"
                    + " its idempotency key \(payment.idempotencyKey), or wait until it is settled; nothing more was paid"
            )
        }
    }

    /// The seller did not take an authorisation. It has it all the same, and may use it until it ends: so it stays spent
    /// until the chain says otherwise, and nothing more is paid for the call.
    func authorizationRefused(_ payment: PaymentRecord, _ answer: Answer, code: String) async throws -> Never {
        let refusal = SellerRefusal(code: code, status: answer.status, detail: answer.detail)
        try await close(payment, .pending, status: answer.status, code: Self.refusedPrefix + code)
        try await settleByChain(payment)
        let authorization = try await authorization(of: payment.id)
        let became =
            switch authorization.state {
            case .used: "the chain says that it has taken the money"
            case .lapsed: "the chain says that no money has moved, and none will"
            default:
                "it holds the authorisation until"
                    + " \(Timestamp(secondsSince1970: authorization.validBefore).rfc3339), and until that has ended unused"
                    + " it counts as spent"
            }
        throw WalletError(
            .paymentRefused,
            "the seller did not take the payment \(payment.id) (\(refusal)); \(became). Nothing more was paid",
            cause: refusal
        )
    }

    /// Before the seller's own word in the code of a payment that it refused.
    static let refusedPrefix = "refused:"

    /// Asks the chain what became of an authorisation, and settles its payment where that is certain.
    func settleByChain(_ payment: PaymentRecord) async throws {
        let authorization = try await authorization(of: payment.id)
        guard authorization.state == .open else { return }
        let hasEnded =
            wallet.clock.now().secondsSince1970 > authorization.validBefore + Self.lapseMarginSeconds
        guard let chain = chains[authorization.chainID] else {
            guard hasEnded else { return }
            try await close(payment, .unserved, code: "settlement-unknown", authorization: .unknown)
            return
        }
        let state: AuthorizationState
        do {
            state = try await chain.authorization(
                authorization.nonce,
                of: authorization.payer,
                token: authorization.contract
            )
        } catch {
            wallet.logger.notice("the chain does not say what became of a payment", metadata: ["why": "\(error)"])
            return
        }
        if state.isUsed {
            // Taken, while the seller may serve it yet: whoever asks again shows the same payment.
            try await close(payment, .unserved, code: "settled-not-served", authorization: .used)
        } else if Int64(clamping: state.blockSeconds) > authorization.validBefore + Self.lapseMarginSeconds {
            try await close(payment, .refused, code: "authorization-lapsed", authorization: .lapsed)
        }
    }

    /// Goes on with a payment by authorisation: the seller is asked again with the same one, unless it has refused it; then the
    /// chain.
    func takeUpAuthorization(_ payment: PaymentRecord, signer: (any RequestSigning)?) async throws {
        let isRefused = payment.code?.hasPrefix(Self.refusedPrefix) == true
        let age = wallet.clock.now().milliseconds(since: payment.createdAt)
        if !isRefused, payment.bodyKind != .unkept, age <= Self.deliverySeconds * 1000 {
            let call = try Call(stored: payment, signer: signer)
            do {
                let response = try await deliver(call, payment, isFresh: false, attempts: 1)
                for try await _ in response.body {}
                return
            } catch let error as WalletError where error.code == .outcomeUnknown {
                try await settleByChain(payment)
                guard let after = try await self.payment(payment.id), after.state == .pending else { return }
                throw error
            }
        }
        try await settleByChain(payment)
        guard let after = try await self.payment(payment.id), after.state == .pending || after.state == .sent else {
            return
        }
        let until = Timestamp(secondsSince1970: try await authorization(of: payment.id).validBefore).rfc3339
        throw WalletError(
            .outcomeUnknown,
            "the seller holds an authorisation that is good until \(until); what became of it is known later"
        )
    }
}
