internal import AsyncHTTPClient
internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import Paywall
internal import Receipts
internal import Storage

extension Buyer {
    private static let maximumProblemBytes = 64 << 10

    // MARK: One attempt

    /// Sends a call once.
    /// - Parameter other: a client in the place of the buyer's own.
    /// - Throws: `SendFailure` where no answer came; `UnmadeRequest` where there was nothing to send.
    func send(_ call: Call, payment: PaymentRecord?, over other: HTTPClient? = nil) async throws -> Answer {
        let client = other ?? call.request.client ?? client
        let request: HTTPClientRequest
        do {
            let proof: (name: String, value: String)?
            if let payment { proof = try await self.proof(payment, call) } else { proof = nil }
            request = try await call.httpRequest(proof: proof, payment: payment, over: client.eventLoopGroup)
        } catch {
            throw UnmadeRequest(cause: error)
        }
        do {
            let response = try await client.execute(request, timeout: .seconds(configuration.timeoutSeconds))
            var answer = Answer(
                status: Int(response.status.code),
                headers: response.headers.map { ($0.name, $0.value) },
                source: .streamed(response.body)
            )
            try await readProblem(response, into: &answer)
            try await readChallengeBody(response, into: &answer)
            return answer
        } catch {
            throw SendFailure(
                isUnsent: TransportFailure.isCertainlyUnsent(error),
                message: TransportFailure.sentence(error)
            )
        }
    }

    /// A short problem document is read at once, since it says what became of the payment.
    private func readProblem(_ response: HTTPClientResponse, into answer: inout Answer) async throws {
        guard response.status.code >= 400,
            answer.header("content-type")?.lowercased().hasPrefix("application/problem+json") == true
        else { return }
        if let length = answer.header("content-length").flatMap({ Int($0) }), length > Self.maximumProblemBytes {
            return
        }
        let body = try await response.body.collect(upTo: Self.maximumProblemBytes)
        answer.source = .buffered(body)
        let bytes = Array(body.readableBytesView)
        answer.problem = PaymentAnswer.problemCode(body: bytes)
        let document = try? JSONValue.parse(bytes)
        answer.detail = document?["detail"]?.stringValue.map { String($0.prefix(500)) }
        if let price = document?["price"], let unit = price["unit"]?.stringValue,
            let amount = price["amount"]?.stringValue.flatMap({ UInt64($0) })
        {
            answer.price = (amount, unit)
        }
    }

    /// The body of a 402 may be the challenge itself (x402 version 1).
    private func readChallengeBody(_ response: HTTPClientResponse, into answer: inout Answer) async throws {
        guard response.status == .paymentRequired, answer.header(X402.challengeHeader) == nil,
            answer.header("content-type")?.lowercased().hasPrefix("application/json") == true
        else { return }
        var kept = ByteBuffer()
        for try await var piece in response.body {
            kept.writeBuffer(&piece)
            if kept.readableBytes > X402.maximumReadBytes { break }
        }
        answer.source = .buffered(kept)
        answer.challengeBody = (Array(kept.readableBytesView), kept.readableBytes > X402.maximumReadBytes)
    }

    /// The header that pays for a call.
    private func proof(_ payment: PaymentRecord, _ call: Call) async throws -> (name: String, value: String) {
        switch payment.way {
        case .cashu: return (NUT24.headerName, try await paymentToken(payment).serialized())
        case .paymentCashu:
            guard let challenge = PaymentChallenge.read(wwwAuthenticate: payment.challenge.map { [$0] } ?? []).first
            else { throw WalletError(.corrupt, "the payment \(payment.id) has lost the challenge that it answers") }
            let payload = CashuCharge.payload(token: try await paymentToken(payment))
            return ("Authorization", try PaymentCredential(challenge: challenge, payload: payload).header())
        case .x402Cashu:
            let (asked, accepted) = try X402Offers.read(payment.challenge)
            let token = try await paymentToken(payment)
            return try X402Offers.header(
                X402.CashuScheme.payment(
                    token,
                    accepted: accepted,
                    resource: asked.resource,
                    extensions: asked.extensions.map { X402.PaymentIdentifier.adding(payment.id, to: $0) }
                )
            )
        case .x402Exact:
            let authorization = try await authorization(of: payment.id)
            return (authorization.version.paymentHeader, authorization.header)
        case .paymentSession:
            return try await sessionProof(payment, call)
        case .l402, .paymentLightning, .x402Lightning:
            return try await callInvoice(of: payment.id).proof()
        }
    }

    private func paymentToken(_ payment: PaymentRecord) async throws -> Token {
        let coins = try await wallet.database.read { connection in try CoinStore.held(by: payment.id, in: connection) }
        guard !coins.isEmpty else {
            throw WalletError(.corrupt, "the coins of payment \(payment.id) are not in the wallet's tables")
        }
        return try Token(mint: payment.coinMint(), unit: payment.unit, proofs: coins.map(\.proof))
    }

    // MARK: Until it is settled

    /// Sees a payment that is held through: to its end, or to the start of an answer whose reader sees to the rest.
    /// - Parameters:
    ///   - isFresh: the payment was written a moment ago and nothing of it was sent.
    ///   - attempts: how often to ask in one go; nil: as configured.
    func deliver(
        _ call: Call,
        _ payment: PaymentRecord,
        isFresh: Bool,
        attempts: Int? = nil
    ) async throws -> PaidResponse {
        do {
            let most = attempts ?? configuration.attempts
            let response = try await sendUntilSettled(call, payment, isFresh: isFresh, attempts: most)
            // While an answer is being read, its reader has the payment in hand.
            if response.outcome != .served || !response.body.settlesPayment { release(payment.id) }
            return response
        } catch {
            release(payment.id)
            throw error
        }
    }

    private func sendUntilSettled(
        _ call: Call,
        _ payment: PaymentRecord,
        isFresh: Bool,
        attempts: Int
    ) async throws -> PaidResponse {
        var mayHaveLeft = !isFresh
        // Whether an earlier attempt may have been taken: then a refusal of this one does not speak for it.
        var mayBeTaken = !isFresh
        var why = "no answer"
        // What the last answer said that the seller keeps of it.
        var kept: RefundTable.Form?
        for attempt in 1...max(1, attempts) {
            var delay = min(10_000, 200 << min(attempt, 6))
            do {
                let answer = try await send(call, payment: payment)
                mayHaveLeft = true
                let meaning = PaymentAnswer(
                    status: answer.status,
                    header: answer.header,
                    problem: answer.problem,
                    way: payment.way
                )
                // What an invoice paid is the seller's already, so there is nothing to doubt.
                let sure = mayBeTaken && payment.invoice == nil ? meaning.afterUnknown : meaning
                if let response = try await settle(call, payment, answer, sure) { return response }
                kept = await keptRefund(call, payment, answer)
                if case .wait(let seconds, let code) = meaning {
                    why = code
                    // Turned away at the door: this attempt was not taken.
                    if answer.status != 429 { mayBeTaken = true }
                    delay = seconds.map { min(30, $0) * 1000 } ?? delay
                }
            } catch let failure as SendFailure {
                (why, kept) = (failure.message, nil)
                if failure.isUnsent, !mayHaveLeft, !payment.isPaidAhead {
                    try await close(payment, .refused, code: "unreachable")
                    throw WalletError(
                        .serviceUnreachable,
                        "\(call.address.origin) cannot be reached: \(failure.message); nothing was paid",
                        cause: failure
                    )
                }
                if !failure.isUnsent { (mayHaveLeft, mayBeTaken) = (true, true) }
            } catch let error as UnmadeRequest {
                // It could not even be put together, so this attempt has not left.
                if !mayHaveLeft {
                    try await close(payment, payment.isPaidAhead ? .pending : .refused, code: "not-sent")
                }
                throw error.cause
            }
            if attempt < attempts { await configuration.pause(delay) }
        }
        // An authorisation that a seller has seen is its to use, whatever it answers.
        guard mayBeTaken || payment.isPaidAhead || payment.way == .x402Exact else {
            try await takeBack(payment, status: 429, code: why)
            throw WalletError(
                .paymentRefused,
                "the seller takes no calls for now (\(why)); the coins are back in the wallet",
                cause: SellerRefusal(code: why, status: 429, detail: nil)
            )
        }
        try await close(payment, .pending, code: why)
        if let kept { throw Self.refundKept(payment, kept, because: why) }
        throw WalletError(
            .outcomeUnknown,
            "the seller does not say what became of the payment (\(why)); it stays open as \(payment.id) and is taken up again"
        )
    }

    /// The form of a refund that is no token: the seller's signed word that it charged nothing, and keeps what was paid for the
    /// same call. Its receipt is kept as evidence.
    private func keptRefund(_ call: Call, _ payment: PaymentRecord, _ answer: Answer) async -> RefundTable.Form? {
        guard let header = answer.header("agent-receipt"), let receipt = try? Receipt(header: header),
            receipt.verdict().isValid, receipt.claims.outcome == .refunded,
            let form = receipt.claims.settlement?.form.flatMap({ RefundTable.Form(rawValue: $0) }),
            [.callRestored, .creditKept, .authorizationDropped].contains(form)
        else { return nil }
        await keepReceipt(payment, call, text: .header(header), responseDigest: nil)
        return form
    }

    private static func refundKept(
        _ payment: PaymentRecord,
        _ form: RefundTable.Form,
        because why: String
    ) -> WalletError {
        let what =
            switch form {
            case .creditKept: "what was paid is back in the credit that it came from, for any call of the service"
            case .authorizationDropped: "it dropped the authorisation, which it will not settle"
            default: "the payment is good for the same call once more, for 30 days"
            }
        return WalletError(
            .refundKept,
            "the service failed each time (\(why)), and the seller charged nothing: \(what). Its receipt is kept; the payment stays"
                + " open as \(payment.id), and asking again with the idempotency key \(payment.idempotencyKey) shows the same one"
        )
    }

    /// Acts on an answer.
    /// - Returns: nil where the same payment has to be sent again.
    private func settle(
        _ call: Call,
        _ payment: PaymentRecord,
        _ answer: Answer,
        _ meaning: PaymentAnswer
    ) async throws -> PaidResponse? {
        switch meaning {
        case .served(let receiptID):
            await keepPaymentReceipt(payment, answer)
            try await sessionUsed(payment, answer)
            if payment.invoice != nil, payment.way != .paymentSession { try await usePass(of: payment) }
            return try await served(call, payment, answer, receiptID: receiptID)
        case .servedBefore(let receiptID):
            try await sessionUsed(payment, answer)
            try await close(payment, .served, status: answer.status, code: "served-before")
            await takeChange(payment, token: answer.header(NUT24.headerName))
            await fetchReceipt(payment, call, id: receiptID, responseDigest: nil)
            return response(.servedBefore, answer, payment)
        case .refund(let token):
            if let header = answer.header("agent-receipt") {
                await keepReceipt(payment, call, text: .header(header), responseDigest: nil)
            }
            try await claimRefund(payment, token: token, status: answer.status, code: answer.problem)
            return response(.refunded, answer, payment)
        case .refused(let code), .coinsDoubted(let code):
            if payment.way == .x402Exact {
                await keepPaymentReceipt(payment, answer)
                try await authorizationRefused(payment, answer, code: code)
            }
            if payment.invoice != nil { try await credentialRefused(payment, call, answer, code: code) }
            guard case .refused = meaning else { return try await doubted(payment, answer, code: code) }
            try await takeBack(payment, status: answer.status, code: code)
            let refusal = SellerRefusal(code: code, status: answer.status, detail: answer.detail)
            throw WalletError(
                .paymentRefused,
                "the seller did not take the payment (\(refusal)); the coins are back in the wallet",
                cause: refusal
            )
        case .wait:
            return nil
        }
    }

    /// The seller refuses, and yet may have the coins: the mint decides.
    private func doubted(_ payment: PaymentRecord, _ answer: Answer, code: String) async throws -> PaidResponse? {
        try await close(payment, .pending, code: code)
        _ = try await settleByMint(payment, status: answer.status)
        let refusal = SellerRefusal(code: code, status: answer.status, detail: answer.detail)
        throw WalletError(
            .paymentRefused,
            "the seller refuses (\(refusal)), and yet may have the coins: they are kept aside until it or the mint decides",
            cause: refusal
        )
    }

    private func usePass(of payment: PaymentRecord) async throws {
        guard let id = payment.invoice else { return }
        let now = wallet.clock.now()
        try await wallet.database.write { connection in try InvoiceStore.used(id, at: now, in: connection) }
    }

    private func response(_ outcome: PaidResponse.Outcome, _ answer: Answer, _ payment: PaymentRecord) -> PaidResponse {
        PaidResponse(
            outcome: outcome,
            status: answer.status,
            headers: answer.headers,
            body: PaidResponseBody(answer.source),
            payment: payment.summary
        )
    }

    /// The answer is on its way. With the receipt in its head, the payment is settled now; else when the body has
    /// arrived whole, since a body that breaks off is not charged.
    private func served(
        _ call: Call,
        _ payment: PaymentRecord,
        _ answer: Answer,
        receiptID: String?
    ) async throws -> PaidResponse {
        if let header = answer.header("agent-receipt") {
            try await close(payment, .served, status: answer.status, code: nil, receiptID: receiptID)
            let token = answer.header(NUT24.headerName)
            await takeChange(payment, token: token)
            var result = response(.served, answer, payment)
            result.body = PaidResponseBody(answer.source) { end in
                guard case .whole(let digest) = end else { return }
                await self.keepReceipt(payment, call, text: .header(header), responseDigest: digest)
                if token == nil { await self.askForChange(payment, call) }
            }
            return result
        }
        if let receiptID {
            try await wallet.database.write { connection in
                try PaymentStore.setReceipt(
                    payment.id,
                    receiptID: receiptID,
                    receipt: nil,
                    state: "none",
                    in: connection
                )
            }
        }
        var result = response(.served, answer, payment)
        result.body = PaidResponseBody(answer.source, settlesPayment: true) { end in
            defer { self.release(payment.id) }
            switch end {
            case .whole(let digest):
                try await self.close(payment, .served, status: answer.status, code: nil, receiptID: receiptID)
                await self.fetchReceipt(payment, call, id: receiptID, responseDigest: digest)
                let token = answer.trailer(NUT24.headerName)
                await self.takeChange(payment, token: token)
                if token == nil { await self.askForChange(payment, call) }
            case .broken where call.isAfterBreak:
                try await self.close(payment, .pending, code: "answer-broken")
            case .broken:
                await self.afterBreak(payment, call)
            }
        }
        return result
    }

    /// A body broke off: the seller undoes the charge, and says so when it is asked again.
    private func afterBreak(_ payment: PaymentRecord, _ call: Call) async {
        var call = call
        call.isAfterBreak = true
        do {
            let again = try await sendUntilSettled(
                call,
                payment,
                isFresh: false,
                attempts: configuration.attempts
            )
            wallet.logger.notice(
                "a paid answer broke off",
                metadata: ["payment": "\(payment.id)", "outcome": "\(again.outcome)"]
            )
            // An answer that is whole this time settles the payment by its end.
            if again.outcome == .served { for try await _ in again.body {} }
        } catch {
            wallet.logger.notice(
                "a paid answer broke off, and the payment is not settled",
                metadata: ["payment": "\(payment.id)", "why": "\(error)"]
            )
        }
    }

    // MARK: Writing it down

    /// Settles a payment, or leaves it open with a reason.
    func close(
        _ payment: PaymentRecord,
        _ state: PaymentRecord.State,
        status: Int? = nil,
        code: String?,
        receiptID: String? = nil,
        authorization: Authorization.State? = nil
    ) async throws {
        let now = wallet.clock.now()
        try await wallet.database.write { connection in
            let isFirst = try PaymentStore.settle(
                payment.id,
                state,
                status: status,
                code: code,
                at: now,
                in: connection
            )
            guard isFirst else { return }
            if let receiptID {
                try PaymentStore.setReceipt(
                    payment.id,
                    receiptID: receiptID,
                    receipt: nil,
                    state: "none",
                    in: connection
                )
            }
            if payment.way == .x402Exact {
                try PaymentStore.settleAuthorization(payment, state, authorization, at: now, in: connection)
            }
            switch state {
            case .served: try PaymentStore.give(payment, at: now, in: connection)
            case .refused:
                try PaymentStore.takeBack(payment, at: now, in: connection)
                try SpendingLimits.giveBack(payment.spend.amount, of: payment.spend, in: connection)
            case .sent, .pending, .refunding, .refunded, .unserved: break
            }
        }
    }
}
