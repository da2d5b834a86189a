import Encodings
import Paywall
import Testing

@Suite("What to do with a call that looks like an earlier one")
struct CallDecisionTests {
    private func digest(_ byte: UInt8) -> PaymentDigest {
        PaymentDigest(ys: [[UInt8](repeating: byte, count: 33)])
    }

    private func scope(
        owner: CallOwner? = nil,
        key: String? = "k1",
        payment: UInt8 = 1,
        service: String = "weather",
        method: String = "GET",
        target: String = "/today",
        body: BodyDigest = .sha256([1, 2, 3])
    ) throws -> IdempotencyScope {
        try #require(
            IdempotencyScope(
                owner: owner ?? .payment(digest(payment)),
                key: key,
                payment: digest(payment),
                service: service,
                method: method,
                target: target,
                body: body
            )
        )
    }

    private func stored(_ scope: IdempotencyScope, _ state: CallState, keptUntil: Timestamp? = nil) -> StoredCall {
        StoredCall(
            id: "c1",
            scopeID: scope.id,
            requestDigest: scope.requestDigest,
            payment: digest(1),
            state: state,
            receiptID: state.isFinal ? "c1" : nil,
            responseKeptUntil: keptUntil
        )
    }

    private func refusal(_ decision: CallDecision) -> CallRefusal? {
        if case .refuse(let refusal) = decision { return refusal }
        return nil
    }

    @Test("CALL-8: nothing claimed before: go on")
    func proceed() throws {
        #expect(try CallDecision.decide(asked: scope(), byScope: nil, byPayment: nil, now: testNow) == .proceed)
    }

    @Test("CALL-8: same scope and key: the stored answer, or 409 with the receipt where it was not kept")
    func served() throws {
        let asked = try scope()
        let kept = stored(asked, .served, keptUntil: testNow.adding(seconds: 1))
        #expect(CallDecision.decide(asked: asked, byScope: kept, byPayment: nil, now: testNow) == .serveStored(kept))
        for lost in [stored(asked, .served), stored(asked, .served, keptUntil: testNow)] {
            let refusal = refusal(CallDecision.decide(asked: asked, byScope: lost, byPayment: nil, now: testNow))
            #expect(refusal?.code == .alreadyServed)
            #expect(refusal?.status == 409)
            #expect(refusal?.receiptID == "c1")
        }
    }

    @Test("CALL-8: still running: 409 with Retry-After")
    func running() throws {
        let asked = try scope()
        let decision = CallDecision.decide(asked: asked, byScope: stored(asked, .running), byPayment: nil, now: testNow)
        #expect(refusal(decision)?.status == 409)
        #expect(refusal(decision)?.code == .callRunning)
        #expect(refusal(decision)?.retryAfterSeconds == 1)
    }

    @Test("CALL-8: same key, other request: 422, whatever differs")
    func keyReused() throws {
        let first = try stored(scope(), .served, keptUntil: testNow.adding(seconds: 9))
        for other in [
            try scope(method: "POST"), try scope(target: "/today?x=1"), try scope(service: "news"),
            try scope(body: .sha256([1, 2, 4])), try scope(body: .unread(length: 3)),
        ] {
            #expect(other.id == first.scopeID)
            let decision = CallDecision.decide(asked: other, byScope: first, byPayment: first, now: testNow)
            #expect(refusal(decision)?.status == 422)
            #expect(refusal(decision)?.code == .keyReused)
        }
    }

    @Test("CALL-8: with no key of the client's, another request with the same payment: 400")
    func paymentReusedWithoutKey() throws {
        let first = try stored(scope(key: nil), .served, keptUntil: testNow.adding(seconds: 9))
        let other = try scope(key: nil, target: "/tomorrow")
        #expect(other.id == first.scopeID)
        let decision = CallDecision.decide(asked: other, byScope: first, byPayment: first, now: testNow)
        #expect(refusal(decision)?.status == 400)
        #expect(refusal(decision)?.code == .paymentReused)
    }

    @Test("CALL-8: same payment, other call: 400 with the receipt of the first")
    func paymentReused() throws {
        let first = try stored(scope(), .served)
        let other = try scope(key: "k2")
        let decision = CallDecision.decide(asked: other, byScope: nil, byPayment: first, now: testNow)
        #expect(refusal(decision)?.status == 400)
        #expect(refusal(decision)?.code == .paymentReused)
        #expect(refusal(decision)?.receiptID == "c1")
    }

    @Test("CALL-10: money on its way is resolved, never asked for again")
    func pending() throws {
        let asked = try scope()
        for state in [CallState.redeeming, .refunding] {
            let call = stored(asked, state)
            #expect(CallDecision.decide(asked: asked, byScope: call, byPayment: nil, now: testNow) == .resolve(call))
        }
        #expect(CallDecision.pending("x").status == 503)
        #expect(CallDecision.pending("x").retryAfterSeconds != nil)
    }

    @Test("CALL-9: an interrupted call is called again, a refunded one gets its refund again")
    func afterCrash() throws {
        let asked = try scope()
        let interrupted = stored(asked, .interrupted)
        #expect(
            CallDecision.decide(asked: asked, byScope: interrupted, byPayment: nil, now: testNow)
                == .callAgain(interrupted)
        )
        let refunded = stored(asked, .refunded)
        #expect(
            CallDecision.decide(asked: asked, byScope: refunded, byPayment: nil, now: testNow) == .giveRefund(refunded)
        )
    }

    @Test("CALL-9: at start a running call is refunded, unless its service may be called twice")
    func restart() {
        func after(_ state: CallState, _ idempotent: Bool, _ online: Bool) -> CallState? {
            CallDecision.afterRestart(state: state, serviceIsIdempotent: idempotent, redeemedOnline: online)
        }
        #expect(after(.running, true, false) == .interrupted)
        #expect(after(.running, true, true) == .interrupted)
        #expect(after(.running, false, false) == .refunded)
        #expect(after(.running, false, true) == .refunding)
        for state in CallState.allCases where state != .running { #expect(after(state, false, false) == nil) }
    }

    @Test("CALL-9: no path leads out of a final state, and every state reaches one")
    func states() {
        for state in CallState.allCases {
            #expect(state.successors.isEmpty == state.isFinal)
            var reached: Set<CallState> = [state]
            for _ in CallState.allCases { for known in reached { reached.formUnion(known.successors) } }
            #expect(reached.contains { $0.isFinal })
        }
    }

    @Test("CALL-8: the scope is the owner and the key; a key of one owner is not a key of another")
    func scopes() throws {
        let mine = try scope(owner: .caller("did:key:zA"))
        #expect(try mine.id != scope(owner: .caller("did:key:zB")).id)
        #expect(try mine.id == scope(owner: .caller("did:key:zA"), payment: 2).id)
        #expect(try scope(payment: 1).id != scope(payment: 2).id)
        #expect(try scope(key: nil).id != scope(key: "").id)
        #expect(try scope(key: nil, payment: 1).id == scope(key: nil, payment: 1, target: "/else").id)
        // Length prefixes: parts can't flow into each other.
        #expect(try scope(service: "ab", method: "c").requestDigest != scope(service: "a", method: "bc").requestDigest)
        #expect(
            IdempotencyScope(
                owner: .caller("d"),
                key: nil,
                payment: nil,
                service: "s",
                method: "GET",
                target: "/",
                body: .unread(length: nil)
            ) == nil
        )
    }

    @Test("CALL-7: a payment's digest does not depend on the order of its proofs")
    func paymentDigest() {
        let ys = (1...5).map { [UInt8](repeating: $0, count: 33) }
        #expect(PaymentDigest(ys: ys) == PaymentDigest(ys: ys.reversed()))
        #expect(PaymentDigest(ys: ys) != PaymentDigest(ys: Array(ys.dropLast())))
        #expect(PaymentDigest(bytes: [1, 2]) == nil)
    }

    @Test("CALL-8: one Idempotency-Key of 1 to 255 printable characters")
    func keys() throws {
        #expect(try IdempotencyScope.key(headerValues: []) == nil)
        #expect(try IdempotencyScope.key(headerValues: ["abc"]) == "abc")
        for bad in [["a", "b"], [""], ["a\u{7f}"], ["ä"], [String(repeating: "k", count: 256)]] {
            #expect(throws: CallRefusal.self) { try IdempotencyScope.key(headerValues: bad) }
        }
    }

    @Test("CALL-14: the refund's form follows from how it was paid")
    func refunds() {
        #expect(RefundTable.form(redeemedOnline: false) == .sameProofsSigned)
        #expect(RefundTable.form(redeemedOnline: true) == .freshToken)
        #expect(Set(RefundTable.rules.map(\.form)) == Set(RefundTable.Form.allCases))
    }

    @Test("CALL-3: every refusal has a type, a title and a status that fits")
    func refusals() {
        let refusal = CallRefusal(.upstreamTimeout, "late")
        #expect(refusal.typeURN == "urn:mintmark:problem:upstream-timeout")
        #expect(refusal.title == "Upstream timeout")
        #expect(refusal.status == 504)
        #expect(CallRefusal(.paymentRequired, "").status == 402)
        #expect(CallRefusal(.wrongLock, "").status == 400)
        #expect(CallRefusal(.keyReused, "").status == 422)
    }
}
