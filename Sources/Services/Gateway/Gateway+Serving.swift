import AsyncHTTPClient
import CanonicalJSON
import Cryptography
import Encodings
import HTTPTypes
import Hummingbird
import Market
import NIOCore
import Paywall
import Receipts
import Synchronization

/// Calling the upstream and settling what came of it.
extension Gateway {
    /// Makes a claimed call. Whatever happens, the claim reaches an end: served, refunded, or handed to the housekeeping.
    func serve(_ claim: ActiveClaim, call: IncomingCall, body: IntakeBody) async throws -> (Response, outcome: String) {
        let lease = CallLease(claimID: claim.id) { [weak self] id in
            self?.abandoned.withLock { $0.append(id) }
        }
        // In a task of its own, so that a client that goes away does not cut a paid call short.
        let gateway = self
        return try await Task {
            try await gateway.serve(claim, lease: lease, call: call, body: body)
        }.value
    }

    private func serve(
        _ claim: ActiveClaim,
        lease: CallLease,
        call: IncomingCall,
        body: IntakeBody
    ) async throws -> (Response, outcome: String) {
        do {
            if let socket = call.socket {
                let request = proxied(call, body: body, caller: claim.caller)
                return (try await open(socket, of: claim, lease: lease, call: call, request: request), "served")
            }
            let began = NIODeadline.now()
            let answer = try await call.upstream.call(proxied(call, body: body, caller: claim.caller))
            if call.service.refundsServerErrors, answer.status >= 500 {
                throw UpstreamFailure.failed("it answered \(answer.status).")
            }
            if let length = answer.length, length <= configuration.bufferedAnswerLimitBytes {
                let collected = try await answer.collect(limitBytes: length)
                guard collected.readableBytes == length else {
                    throw UpstreamFailure.failed("its answer is shorter than it announced.")
                }
                await body.abandon()
                let facts = measured(
                    call,
                    isNeeded: claim.quote != nil,
                    body: body,
                    answer: answer,
                    sentBytes: length,
                    began: began
                )
                let end = CallEnd(measured: facts, isPaced: body.isPaced, at: clock.now())
                let response = try await settle(claim, answer: answer, body: collected, call: call, end: end)
                lease.close()
                return (response, "served")
            }
            return (stream(answer, claim: claim, lease: lease, call: call, body: body, began: began), "served")
        } catch let failure as UpstreamFailure {
            await body.abandon()
            var response = try await refund(claim, because: failure.refusal)
            if claim.isOnline { addPaymentFields(to: &response.headers, of: call) }
            lease.close()
            return (response, "refunded")
        }
    }

    /// A call that costs nothing: passed on as it is.
    /// - Parameter free: where it is counted.
    func passThrough(
        _ call: IncomingCall,
        body: IntakeBody,
        caller: CallerIdentity?,
        free: FreeCall? = nil
    ) async throws -> Response {
        let began = NIODeadline.now()
        let answer: UpstreamAnswer
        do {
            if let socket = call.socket {
                let request = proxied(call, body: body, caller: caller)
                return try await open(socket, for: call, request: request, paidSeconds: nil) { _ in }
            }
            answer = try await call.upstream.call(proxied(call, body: body, caller: caller))
        } catch let failure as UpstreamFailure {
            await end(free, call: call, isServed: false, measured: nil)
            await body.abandon()
            throw failure.refusal
        }
        if free != nil, call.service.refundsServerErrors, answer.status >= 500 {
            await end(free, call: call, isServed: false, measured: nil)
            await body.abandon()
            throw UpstreamFailure.failed("it answered \(answer.status).").refusal
        }
        var headers = HeaderRules.returned(answer.headers)
        addLength(to: &headers, answer: answer)
        let slot = call.slot
        return Response(
            status: HTTPResponse.Status(code: answer.status),
            headers: headers,
            body: ResponseBody(contentLength: answer.length) { writer in
                defer { withExtendedLifetime(slot) {} }
                var sent = 0
                var isDelivered = true
                func facts() -> MeasuredCall? {
                    self.measured(
                        call,
                        isNeeded: free != nil,
                        body: body,
                        answer: answer,
                        sentBytes: sent,
                        began: began
                    )
                }
                do {
                    for try await piece in answer.body {
                        guard NIODeadline.now() < answer.deadline else {
                            throw UpstreamFailure.timedOut("the call's time is over.")
                        }
                        isDelivered = false
                        try await writer.write(piece)
                        isDelivered = true
                        sent += piece.readableBytes
                    }
                } catch {
                    // Where the client went away, the call counts.
                    await self.end(free, call: call, isServed: !isDelivered, measured: facts())
                    await body.abandon()
                    throw error
                }
                await self.end(free, call: call, isServed: true, measured: facts())
                await body.abandon()
                try await writer.finish(nil)
            }
        )
    }

    private func addLength(to headers: inout HTTPFields, answer: UpstreamAnswer) {
        guard answer.length == 0 else { return }
        // An answer without body may still say how long the body would have been (HEAD, 304).
        if let announced = answer.headers.first(where: { $0.name.lowercased() == "content-length" }) {
            headers[.contentLength] = announced.value
        }
    }

    private func proxied(_ call: IncomingCall, body: IntakeBody, caller: CallerIdentity?) -> ProxiedRequest {
        var added = [("Via", "1.1 mintmark")]
        if let caller { added.append(("Agent-Caller", caller.did)) }
        if let url = caller?.keysURL { added.append(("Agent-Keys", url)) }
        var forwarded: [String] = []
        if let peer = call.peerAddress {
            forwarded.append("for=\"\(peer.contains(":") ? "[\(peer)]" : peer)\"")
            added.append(("X-Forwarded-For", peer))
        }
        if let authority = call.authority,
            authority.utf8.allSatisfy({ (0x21...0x7e).contains($0) && $0 != 0x22 && $0 != 0x5c })
        {
            forwarded.append("host=\"\(authority)\"")
            added.append(("X-Forwarded-Host", authority))
        }
        if !forwarded.isEmpty { added.append(("Forwarded", forwarded.joined(separator: ";"))) }
        return ProxiedRequest(method: call.method, target: call.target, headers: call.headers, added: added, body: body)
    }

    // MARK: Settling

    /// How an answer came, before the call is settled.
    private struct CallEnd: Sendable {
        var measured: MeasuredCall?
        /// Whether the buyer sent its request while the upstream worked: then the time is not the seller's alone.
        var isPaced: Bool
        /// When the answer was there.
        var at: Timestamp
    }

    /// Settles a call whose answer is in memory, then gives it: charged before it is shown ([CALL-15]).
    private func settle(
        _ claim: ActiveClaim,
        answer: UpstreamAnswer,
        body: ByteBuffer,
        call: IncomingCall,
        end: CallEnd
    ) async throws -> Response {
        var headers = HeaderRules.returned(answer.headers)
        if call.method == "HEAD" || answer.status == 304 { addLength(to: &headers, answer: answer) }
        let bytes = Array(body.readableBytesView)
        let kept = StoredAnswer(
            status: answer.status,
            headers: headers.map { ($0.name.rawName, $0.value) },
            body: bytes
        )
        let charge = charge(
            claim,
            call: call,
            measured: end.measured,
            breaches: breaches(of: claim, call: call, answer: answer, end: end, body: bytes)
        )
        let receipt = try await settle(
            claim,
            answer: kept,
            status: answer.status,
            digest: Hashing.sha256(bytes),
            charge: charge,
            settlement: Self.settlement(charge, of: claim, call: call, measured: end.measured),
            at: end.at
        )
        if let charge { headers[.xCashu] = await change(of: claim, amount: charge.change) }
        headers[.agentReceiptID] = claim.id
        headers[.agentReceipt] = Base64URL.encode(receipt)
        var call = call
        if claim.dialect == .paymentSession { call.presented?.spentMsat = charge?.charged ?? claim.total }
        addPaymentFields(to: &headers, of: call)
        return Response(
            status: HTTPResponse.Status(code: answer.status),
            headers: headers,
            body: bytes.isEmpty ? ResponseBody() : ResponseBody(byteBuffer: body)
        )
    }

    /// What an answer broke of the service's promise.
    /// - Parameter body: nil where it was passed on as it came.
    private func breaches(
        of claim: ActiveClaim,
        call: IncomingCall,
        answer: UpstreamAnswer,
        end: CallEnd,
        body: [UInt8]?
    ) -> [SLABreach] {
        guard let promise = call.promise, claim.quote?.givesBack == true else { return [] }
        let milliseconds = end.isPaced ? nil : max(0, end.at.milliseconds(since: claim.at))
        return promise.breaches(answer, method: call.method, milliseconds: milliseconds, body: body)
    }

    /// Writes the end of a served call.
    /// - Parameters:
    ///   - answer: to be kept for a repeated call, where there is room.
    ///   - at: when it was answered, where that was looked at before; nil: now.
    /// - Returns: the receipt's JSON.
    func settle(
        _ claim: ActiveClaim,
        answer: StoredAnswer?,
        status: Int,
        digest: [UInt8]?,
        charge: SettledCharge?,
        settlement: ReceiptSettlement?,
        at: Timestamp? = nil
    ) async throws -> [UInt8] {
        let now = at ?? clock.now()
        let receipt = try desk.receipt(
            of: claim,
            status: status,
            responseDigest: digest,
            outcome: .served,
            charged: charge?.charged,
            settlement: settlement,
            at: now
        ).bytes
        let kept = answer.flatMap { reserve($0) ? $0 : nil }
        do {
            try await store.settle(
                Settlement(
                    claimID: claim.id,
                    receipt: receipt,
                    answer: kept,
                    answerKeptUntil: kept == nil ? nil : now.adding(seconds: configuration.answerKeepSeconds),
                    charge: charge,
                    at: now
                )
            )
        } catch {
            if let kept { keptAnswerBytes.withLock { $0 -= Self.size(of: kept) } }
            throw error
        }
        if let breach = charge?.breach { metrics.breached(breach.rule) }
        return receipt
    }

    /// Takes room among the kept answers.
    private func reserve(_ answer: StoredAnswer) -> Bool {
        let size = Self.size(of: answer)
        guard answer.body.count <= configuration.keptAnswerLimitBytes else { return false }
        return keptAnswerBytes.withLock { bytes in
            guard bytes + size <= configuration.keptAnswersLimitBytes else { return false }
            bytes += size
            return true
        }
    }

    private static func size(of answer: StoredAnswer) -> Int64 {
        Int64(answer.body.count + ClaimRows.headerBytes(answer.headers).count)
    }

    // MARK: Streaming

    /// Passes a long answer on while it comes; the receipt is the trailer ([CALL-17]).
    private func stream(
        _ answer: UpstreamAnswer,
        claim: ActiveClaim,
        lease: CallLease,
        call: IncomingCall,
        body: IntakeBody,
        began: NIODeadline
    ) -> Response {
        var headers = HeaderRules.returned(answer.headers)
        headers[.agentReceiptID] = claim.id
        let storedHeaders = headers.filter { $0.name != .agentReceiptID }.map { ($0.name.rawName, $0.value) }
        addPaymentFields(to: &headers, of: call)
        headers[.trailer] = HTTPField.Name.agentReceipt.rawName + (claim.quote == nil ? "" : ", X-Cashu")
        let slot = call.slot
        let gateway = self
        // What comes after the head its reader can slow: the seller answers for the time until here.
        let headAt = clock.now()
        return Response(
            status: HTTPResponse.Status(code: answer.status),
            headers: headers,
            body: ResponseBody { writer in
                defer { withExtendedLifetime(slot) {} }
                let passed: Passed
                func facts(_ sent: Int) -> MeasuredCall? {
                    gateway.measured(
                        call,
                        isNeeded: claim.quote != nil,
                        body: body,
                        answer: answer,
                        sentBytes: sent,
                        began: began
                    )
                }
                do {
                    passed = try await gateway.pass(answer, of: claim, call: call, lease: lease, to: &writer, facts)
                } catch {
                    await body.abandon()
                    throw error
                }
                await body.abandon()
                let kept = passed.copy.map { StoredAnswer(status: answer.status, headers: storedHeaders, body: $0) }
                let measured = facts(passed.sent)
                let head = CallEnd(measured: measured, isPaced: body.isPaced, at: headAt)
                let charge = gateway.charge(
                    claim,
                    call: call,
                    measured: measured,
                    breaches: gateway.breaches(of: claim, call: call, answer: answer, end: head, body: nil)
                )
                let receipt = try await gateway.settle(
                    claim,
                    answer: kept,
                    status: answer.status,
                    digest: passed.digest,
                    charge: charge,
                    settlement: Self.settlement(charge, of: claim, call: call, measured: measured)
                )
                lease.close()
                guard passed.isDelivered else { throw CancellationError() }
                var trailers: HTTPFields = [.agentReceipt: Base64URL.encode(receipt)]
                if let charge { trailers[.xCashu] = await gateway.change(of: claim, amount: charge.change) }
                try await writer.finish(trailers)
            }
        )
    }

    private struct Passed: Sendable {
        var digest: [UInt8]
        /// The whole body, where it is short enough to keep.
        var copy: [UInt8]?
        /// Bytes that the client was sent.
        var sent: Int
        /// False where the client went away.
        var isDelivered: Bool
    }

    /// Copies the upstream's body to the client. Where the client goes away, a body short enough to keep is still read to
    /// its end, so that a retry gets it.
    /// - Throws: where the upstream failed; the call is refunded and the connection must be cut ([CALL-18]).
    private func pass(
        _ answer: UpstreamAnswer,
        of claim: ActiveClaim,
        call: IncomingCall,
        lease: CallLease,
        to writer: inout any ResponseBodyWriter,
        _ facts: (Int) -> MeasuredCall?
    ) async throws -> Passed {
        var hash = SHA256Stream()
        // Nobody asks for the same events again, and thousands of streams would hold a megabyte each.
        var copy: [UInt8]? = answer.isEventStream ? nil : []
        var isDelivered = true
        var count = 0
        var sent = 0
        do {
            for try await piece in answer.body {
                piece.withUnsafeReadableBytes { hash.update($0) }
                count += piece.readableBytes
                if let kept = copy?.count, kept + piece.readableBytes <= configuration.keptAnswerLimitBytes {
                    copy?.append(contentsOf: piece.readableBytesView)
                } else {
                    copy = nil
                }
                guard NIODeadline.now() < answer.deadline else {
                    throw UpstreamFailure.timedOut("the call's time is over.")
                }
                if isDelivered {
                    do {
                        try await writer.write(piece)
                        sent += piece.readableBytes
                    } catch {
                        isDelivered = false
                    }
                }
                if !isDelivered, copy == nil { break }
            }
            if isDelivered, let length = answer.length, length != count {
                throw UpstreamFailure.failed("its answer is not as long as it announced.")
            }
        } catch {
            let failure = UpstreamFailure(error)
            if sent > 0, claim.quote?.isMaximum == true {
                try await settleCut(claim, call: call, status: answer.status, measured: facts(sent))
            } else {
                _ = try await refund(claim, because: failure.refusal)
            }
            lease.close()
            throw failure
        }
        return Passed(digest: hash.finalize(), copy: copy, sent: sent, isDelivered: isDelivered)
    }

    /// A metered answer that broke off is charged for what was passed on of it; the rest is change, to be fetched ([PRC-7]).
    private func settleCut(
        _ claim: ActiveClaim,
        call: IncomingCall,
        status: Int,
        measured: MeasuredCall?
    ) async throws {
        let charge = charge(claim, call: call, measured: measured)
        _ = try await settle(
            claim,
            answer: nil,
            status: status,
            digest: nil,
            charge: charge,
            settlement: Self.settlement(charge, of: claim, call: call, measured: measured)
        )
    }

    // MARK: Giving again

    func storedAnswer(_ stored: StoredCall, call: IncomingCall) async throws -> Response {
        guard let answer = try await store.answer(claimID: stored.id) else {
            throw CallRefusal(
                .alreadyServed,
                "This call was served and paid; its answer is no longer kept.",
                receiptID: stored.id
            )
        }
        var headers = HTTPFields()
        for (name, value) in answer.headers {
            if let name = HTTPField.Name(name) { headers.append(HTTPField(name: name, value: value)) }
        }
        headers[.idempotentReplayed] = "true"
        addPaymentFields(to: &headers, of: call)
        headers[.agentReceiptID] = stored.id
        headers[.xCashu] = try await storedChange(claimID: stored.id)
        if let receipt = try await store.receipt(id: stored.id) { headers[.agentReceipt] = Base64URL.encode(receipt) }
        return Response(
            status: HTTPResponse.Status(code: answer.status),
            headers: headers,
            body: answer.body.isEmpty ? ResponseBody() : ResponseBody(byteBuffer: ByteBuffer(bytes: answer.body))
        )
    }
}
