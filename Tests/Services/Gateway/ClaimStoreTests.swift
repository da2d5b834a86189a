import Cashu
import Cryptography
import Encodings
import Foundation
import Gateway
import Ledger
import Paywall
import Storage
import TestSupport
import Testing

/// What every adapter of `ClaimStore` must do. Each check gets a fresh store.
struct ClaimStoreConformance {
    let store: any ClaimStore
    let mint: TestMint
    let now = Timestamp(secondsSince1970: 1_790_000_000)

    func newClaim(
        _ id: String,
        proofs: [Proof]? = nil,
        key: String? = nil,
        service: String = "weather",
        isOnline: Bool = false
    ) throws -> NewClaim {
        let key33 = Secp256k1.Point(multiplyingGeneratorBy: try .init(bytes: [UInt8](repeating: 3, count: 32)))
            .compressed
        let proofs = try proofs ?? [mint.locked(2, to: key33)]
        let ys = try proofs.map { try $0.hashedSecret().compressed }
        let digest = PaymentDigest(ys: ys)
        let scope = IdempotencyScope(
            owner: key == nil ? .payment(digest) : .caller("did:key:z1"),
            key: key,
            payment: digest,
            service: service,
            method: "GET",
            target: "/",
            body: .sha256([])
        )
        guard let scope else { throw GatewayError(.corrupt, "no scope") }
        return NewClaim(
            id: id,
            scope: scope,
            payment: .ecash(
                AssessedPayment(
                    mint: mint.url,
                    unit: .sat,
                    proofs: proofs,
                    ys: ys,
                    total: proofs.reduce(0) { $0 + $1.amount },
                    fee: 0,
                    digest: digest
                )
            ),
            service: service,
            method: "GET",
            target: "/",
            bodyDigest: nil,
            caller: CallerIdentity(did: "did:key:z1", agentID: "a", passportID: nil),
            price: 2,
            isOnline: isOnline,
            at: now
        )
    }

    private func isClaimed(_ outcome: ClaimOutcome) -> Bool {
        if case .claimed = outcome { return true }
        return false
    }

    private func settlement(_ id: String) -> Settlement {
        Settlement(
            claimID: id,
            receipt: Array("receipt \(id)".utf8),
            answer: StoredAnswer(status: 200, headers: [("A", "b"), ("A", "c")], body: [1, 2, 3]),
            answerKeptUntil: now.adding(seconds: 60),
            at: now
        )
    }

    private func code(_ body: () async throws -> Void) async -> GatewayError.Code? {
        do {
            try await body()
            return nil
        } catch {
            return (error as? GatewayError)?.code
        }
    }

    func claimsOnce() async throws {
        let claim = try newClaim("c1")
        #expect(isClaimed(try await store.claim(claim, cap: 100)))
        guard case .existing(let decision) = try await store.claim(claim, cap: 100),
            case .refuse(let refusal) = decision
        else {
            Issue.record("claimed twice")
            return
        }
        #expect(refusal.code == .callRunning)
        // The same proof in another payment, beside a fresh one.
        let other = try newClaim("c2", proofs: claim.payment.proofs + [mint.proof(1)])
        guard case .existing(.refuse(let reused)) = try await store.claim(other, cap: 100) else {
            Issue.record("took a used proof")
            return
        }
        #expect(reused.code == .paymentReused)
        #expect(try await store.record(claimID: "c2") == nil)
        let record = try #require(try await store.record(claimID: "c1"))
        #expect(record.call.state == .running)
        #expect(record.total == 2)
        #expect(record.caller == claim.caller)
        let open = try #require(try await store.claim(id: "c1"))
        #expect(open.proofs == claim.payment.proofs)
    }

    func keepsTheCap() async throws {
        #expect(isClaimed(try await store.claim(newClaim("c1"), cap: 3)))
        let second = try newClaim("c2")
        guard case .overCap = try await store.claim(second, cap: 3) else {
            Issue.record("passed the cap")
            return
        }
        #expect(try await store.record(claimID: "c2") == nil)
        #expect(try await store.decide(scope: second.scope, ys: second.payment.ys, now: now) == .proceed)
        #expect(isClaimed(try await store.claim(second, cap: 4)))
        #expect(try await store.totals().unredeemed.map(\.amount) == [4])
    }

    func settlesOnce() async throws {
        let claim = try newClaim("c1")
        _ = try await store.claim(claim, cap: 100)
        try await store.settle(settlement("c1"))
        #expect(await code { try await store.settle(settlement("c1")) } == .stateChanged)
        #expect(await code { try await store.interrupt(claimID: "c1") } == .stateChanged)
        #expect(
            await code {
                try await store.refund(Refund(claimID: "c1", receipt: [], reason: .upstreamFailed, token: "t", at: now))
            } == .stateChanged
        )
        #expect(try await store.answer(claimID: "c1") == settlement("c1").answer)
        #expect(try await store.receipt(id: "c1") == Array("receipt c1".utf8))
        #expect(try await store.keptAnswerBytes() > 3)
        let before = try await store.decide(scope: claim.scope, ys: claim.payment.ys, now: now)
        guard case .serveStored(let stored) = before else {
            Issue.record("did not keep the answer")
            return
        }
        #expect(stored.receiptID == "c1")
        #expect(try await store.pruneAnswers(now: now.adding(seconds: 61), limit: 10) > 0)
        #expect(try await store.answer(claimID: "c1") == nil)
        #expect(try await store.keptAnswerBytes() == 0)
    }

    func refunds() async throws {
        _ = try await store.claim(newClaim("c1"), cap: 100)
        try await store.refund(Refund(claimID: "c1", receipt: [7], reason: .upstreamTimeout, token: "cashuB", at: now))
        #expect(
            try await store.refund(claimID: "c1")
                == StoredRefund(token: "cashuB", reason: .upstreamTimeout, amount: 2, unit: "sat")
        )
        #expect(try await store.totals().unredeemed.isEmpty)
        #expect(try await store.nextBatch(id: "b", limit: 10, at: now) == nil)
    }

    func redeemsOnline() async throws {
        let claim = try newClaim("c1", isOnline: true)
        _ = try await store.claim(claim, cap: 0)
        #expect(try await store.record(claimID: "c1")?.call.state == .redeeming)
        #expect(await code { try await store.settle(settlement("c1")) } == .stateChanged)
        try await store.redeemed(claimID: "c1", worth: 1, at: now)
        #expect(await code { try await store.redeemed(claimID: "c1", worth: 1, at: now) } == .stateChanged)
        #expect(await code { try await store.release(claimID: "c1") } == .stateChanged)
        try await store.refund(Refund(claimID: "c1", receipt: [7], reason: .upstreamFailed, token: nil, at: now))
        #expect(try await store.refund(claimID: "c1") == nil)
        #expect(
            try await store.open(states: [.refunding], olderThan: now.adding(seconds: 1), limit: 5).map(
                \.record.call.id
            )
                == ["c1"]
        )
        try await store.completeRefund(claimID: "c1", token: "fresh", at: now)
        #expect(try await store.refund(claimID: "c1")?.amount == 1)
        #expect(await code { try await store.completeRefund(claimID: "c1", token: "x", at: now) } == .stateChanged)
    }

    func releases() async throws {
        let claim = try newClaim("c1", isOnline: true)
        _ = try await store.claim(claim, cap: 0)
        try await store.release(claimID: "c1")
        #expect(try await store.decide(scope: claim.scope, ys: claim.payment.ys, now: now) == .proceed)
        #expect(isClaimed(try await store.claim(claim, cap: 100)))
    }

    func resumesOnce() async throws {
        let claim = try newClaim("c1")
        _ = try await store.claim(claim, cap: 100)
        try await store.interrupt(claimID: "c1")
        guard case .callAgain = try await store.decide(scope: claim.scope, ys: claim.payment.ys, now: now) else {
            Issue.record("not to be called again")
            return
        }
        #expect(try await store.resume(claimID: "c1"))
        #expect(try await store.resume(claimID: "c1") == false)
        // A refund that was decided while nobody had asked again comes too late.
        var late = Refund(claimID: "c1", receipt: [7], reason: .upstreamFailed, token: "t", at: now)
        late.decidedIn = .interrupted
        let refused = await code { [late] in try await store.refund(late) }
        #expect(refused == .stateChanged)
        try await store.settle(settlement("c1"))
    }

    func batches() async throws {
        for index in 1...3 {
            _ = try await store.claim(newClaim("c\(index)"), cap: 100)
            if index < 3 { try await store.settle(settlement("c\(index)")) }
        }
        let batch = try #require(try await store.nextBatch(id: "b1", limit: 10, at: now))
        #expect(batch.proofs.count == 2)
        #expect(try await store.nextBatch(id: "b2", limit: 10, at: now) == nil)
        #expect(try await store.unfinishedBatches().map(\.id) == ["b1"])
        let stranger = BatchReport(redeemed: [[UInt8](repeating: 2, count: 33)], failed: [])
        #expect(await code { try await store.finish(batchID: "b1", report: stranger, at: now) } == .stateChanged)
        let twice = BatchReport(redeemed: [batch.ys[0]], failed: [batch.ys[0]])
        #expect(await code { try await store.finish(batchID: "b1", report: twice, at: now) } == .stateChanged)
        #expect(try await store.offlineStop() == nil)
        // One redeemed, one left for later.
        try await store.finish(batchID: "b1", report: BatchReport(redeemed: [batch.ys[0]], failed: []), at: now)
        let second = try #require(try await store.nextBatch(id: "b2", limit: 10, at: now))
        #expect(second.ys == [batch.ys[1]])
        try await store.finish(batchID: "b2", report: BatchReport(redeemed: [], failed: second.ys), at: now)
        #expect(try await store.offlineStop()?.contains("b2") == true)
        #expect(try await store.totals().failedProofs == 1)
        #expect(try await store.totals().unredeemed.map(\.amount) == [2])
        #expect(await code { try await store.finish(batchID: "b2", report: twice, at: now) } == .stateChanged)
    }
}

@Suite("The claim store on SQLite")
struct SQLiteClaimStoreTests {
    private func check(_ body: (ClaimStoreConformance) async throws -> Void) async throws {
        let folder = try TemporaryFolder()
        let database = try Database(
            path: folder.path + "/a.sqlite",
            migrations: GatewayTables.migrations,
            logger: quiet
        )
        let suite = ClaimStoreConformance(store: SQLiteClaimStore(database: database), mint: try TestMint())
        try await body(suite)
        // CALL-16: whatever was done, the books add up.
        let findings = try await database.read { try LedgerStore.audit(in: $0) }
        #expect(findings == [])
        await database.close()
    }

    @Test("CALL-7, CALL-16: a payment is claimed once") func claims() async throws {
        try await check { try await $0.claimsOnce() }
    }
    @Test("CALL-13: the cap holds, and nothing is left of a claim over it") func cap() async throws {
        try await check { try await $0.keepsTheCap() }
    }
    @Test("CALL-9: a call is settled once, and its answer kept for a while") func settles() async throws {
        try await check { try await $0.settlesOnce() }
    }
    @Test("CALL-14: a refunded payment is never due") func refunds() async throws {
        try await check { try await $0.refunds() }
    }
    @Test("CALL-9: redeemed online, then refunded") func online() async throws {
        try await check { try await $0.redeemsOnline() }
    }
    @Test("CALL-6: a released payment is the buyer's again") func releases() async throws {
        try await check { try await $0.releases() }
    }
    @Test("CALL-9: an interrupted call is taken up by one retry") func resumes() async throws {
        try await check { try await $0.resumesOnce() }
    }
    @Test("CALL-19: batches end as reported, and only what was in them") func batches() async throws {
        try await check { try await $0.batches() }
    }

    @Test("CALL-7: of many claims of one payment at once, one wins")
    func race() async throws {
        let folder = try TemporaryFolder()
        let database = try Database(
            path: folder.path + "/a.sqlite",
            migrations: GatewayTables.migrations,
            logger: quiet
        )
        let suite = ClaimStoreConformance(store: SQLiteClaimStore(database: database), mint: try TestMint())
        let first = try suite.newClaim("x")
        let won = try await withThrowingTaskGroup(of: Bool.self) { group in
            for index in 0..<64 {
                let claim = try suite.newClaim("c\(index)", proofs: first.payment.proofs, key: "k\(index)")
                group.addTask {
                    if case .claimed = try await suite.store.claim(claim, cap: 100) { return true }
                    return false
                }
            }
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(won == 1)
        await database.close()
    }
}
