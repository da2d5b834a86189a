import Cashu
public import Encodings
import Logging
import NIOCore
import Paywall
import Synchronization

/// What the gateway does on its own: recovery at start, redemption in batches, refunds, cleaning.
extension Gateway {
    /// Reads what is on disk, and makes the first secret of credentials where there is none; moves no money.
    public func load() async throws {
        try await registry.load()
        try await keys.load()
        let stop = try await store.offlineStop()
        offlineStop.withLock { $0 = stop }
        let kept = try await store.keptAnswerBytes()
        keptAnswerBytes.withLock { $0 = kept }
    }

    /// Reads what is on disk and ends what a crash left open. Call it before the first request.
    /// - Parameter before: calls that were claimed from then on are running, not cut short: for a node that takes requests
    ///   already. nil: there are none.
    public func start(before: Timestamp? = nil) async throws {
        try await load()
        await rates.refreshIfDue()
        try await usage.recover()
        var recovered = 0
        while true {
            let end = before ?? clock.now().adding(seconds: 1)
            let open = try await store.open(states: [.running], olderThan: end, limit: 500)
            guard !open.isEmpty else { break }
            for claim in open {
                try await endCutShort(claim)
                recovered += 1
            }
        }
        if recovered > 0 {
            logger.notice("calls that a stop cut short were ended", metadata: ["count": "\(recovered)"])
        }
    }

    /// Ends a claim whose call nobody is making any more ([CALL-9]).
    private func endCutShort(_ open: OpenClaim) async throws {
        let isIdempotent = registry.entry(open.record.service)?.definition.isIdempotent ?? false
        let next = CallDecision.afterRestart(
            state: open.record.call.state,
            serviceIsIdempotent: isIdempotent,
            refund: open.record.refundForm
        )
        switch next {
        case .interrupted:
            try await store.interrupt(claimID: open.record.call.id)
        case .refunded, .refunding:
            _ = try await decideRefund(open, "The seller was stopped in the middle of the call.")
        default:
            break
        }
    }

    /// Refunds a claim with nobody waiting for it.
    private func decideRefund(_ open: OpenClaim, _ message: String) async throws {
        do {
            _ = try await refund(
                ActiveClaim(open),
                in: open.record.call.state,
                because: CallRefusal(.upstreamFailed, message),
                isUnattended: true
            )
        } catch let refusal as CallRefusal where refusal.code == .paymentPending {
            // Decided and on disk; the token is made by a later round.
        } catch let error as GatewayError where error.code == .stateChanged {
            // Its buyer asked again meanwhile: the call is being made, or it has an end already.
        }
    }

    /// Runs the housekeeping until the task is cancelled or the node shuts down.
    /// - Parameter pauseSeconds: between two rounds.
    public func run(pauseSeconds: Int64 = 5) async throws {
        // A chain takes its time: ecash does not wait for it.
        async let tokens: Void = repeating(everySeconds: pauseSeconds) { await self.housekeepTokens() }
        await repeating(everySeconds: pauseSeconds) { await self.housekeepOthers() }
        await tokens
    }

    private func repeating(everySeconds pauseSeconds: Int64, _ round: @Sendable () async -> Void) async {
        while !Task.isCancelled {
            await round()
            do {
                try await Task.sleep(for: .seconds(pauseSeconds))
            } catch {
                break
            }
        }
    }

    /// One round. Each part on its own: a mint that hangs does not keep the others from their turn.
    public func housekeep() async {
        await housekeepOthers()
        await housekeepTokens()
    }

    /// What waits for a chain or a facilitator.
    private func housekeepTokens() async {
        await attempt("payments on chains") { try await self.resolveExact() }
        await attempt("reserved payments") { try await self.settleReserved() }
        await attempt("sessions") { try await self.endSessions() }
        await attempt("calls given back") { try await self.endExactCredits() }
    }

    private func housekeepOthers() async {
        await rates.refreshIfDue()
        await attempt("mint terms") { await self.terms.refresh() }
        await attempt("abandoned calls") { try await self.endAbandoned() }
        await attempt("pending payments") { try await self.resolvePending() }
        await attempt("interrupted calls") { try await self.refundInterrupted() }
        await attempt("redemption") { await self.redeemNow() }
        await attempt("change") { try await self.makeDueChanges() }
        await attempt("usage") { try await self.usage.prune(now: self.clock.now()) }
        await attempt("passes") { try await self.countPasses() }
        await attempt("grants") { try await self.endGrants() }
        await attempt("kept answers") { try await self.pruneAnswers() }
    }

    private func attempt(_ what: String, _ body: () async throws -> Void) async {
        do {
            try await body()
        } catch is CancellationError {
            // The node stops; what is left is taken up when it starts again.
        } catch {
            logger.error("housekeeping failed", metadata: ["part": "\(what)", "error": "\(error)"])
        }
    }

    private func endAbandoned() async throws {
        let ids = abandoned.withLock { list in
            defer { list = [] }
            return list
        }
        var failure: (any Error)?
        for id in ids {
            do {
                guard let open = try await store.claim(id: id), open.record.call.state == .running else { continue }
                try await endCutShort(open)
            } catch {
                // Such as a vault that is still away: nobody but this list knows of it until the next start.
                abandoned.withLock { $0.append(id) }
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
    }

    /// Payments at the mint and refunds under way whose buyers have not asked again.
    private func resolvePending() async throws {
        let now = clock.now()
        for open in try await store.open(states: [.refunding], olderThan: now, limit: 100) {
            do {
                _ = try await finishRefund(ActiveClaim(open))
            } catch let refusal as CallRefusal where refusal.code == .paymentPending {
                continue
            }
        }
        for open in try await store.open(states: [.redeeming], olderThan: now.adding(seconds: -30), limit: 500) {
            if case .exact = open.record.source { continue }
            try await resolve(open)
        }
    }

    /// Settlements whose buyers have not asked again, several at a time.
    private func resolveExact() async throws {
        let before = clock.now().adding(seconds: -30)
        let open = try await store.open(states: [.redeeming], olderThan: before, limit: 500).filter {
            if case .exact = $0.record.source { true } else { false }
        }
        var waiting = open[...]
        while !waiting.isEmpty {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for claim in waiting.prefix(16) { group.addTask { try await self.resolve(claim) } }
                try await group.waitForAll()
            }
            waiting = waiting.dropFirst(16)
        }
    }

    private func resolve(_ open: OpenClaim) async throws {
        var claim = ActiveClaim(open)
        do {
            switch try await redeem(&claim) {
            case .refused: return
            case .running, .refund:
                guard let fresh = try await store.claim(id: claim.id) else { return }
                try await endCutShort(fresh)
            }
        } catch is CallRefusal {
            // Not known yet, or another request has it.
        }
    }

    private func refundInterrupted() async throws {
        let before = clock.now().adding(seconds: -configuration.interruptedWaitSeconds)
        for open in try await store.open(states: [.interrupted], olderThan: before, limit: 100) {
            try await decideRefund(open, "The call was cut short, and nobody asked for it again.")
        }
    }

    /// Redeems what is due, batch by batch ([CALL-19]).
    func redeemDue() async throws {
        for batch in try await store.unfinishedBatches() { try await hand(batch) }
        // Bounded, so that one round ends even while proofs keep coming in or a mint keeps putting them off.
        for _ in 0..<20 {
            let now = clock.now()
            let id = UUIDVersion7.make(at: now)
            guard let batch = try await store.nextBatch(id: id, limit: configuration.batchLimit, at: now) else { break }
            guard try await hand(batch) > 0 else { break }
        }
    }

    /// - Returns: how many proofs reached an end.
    @discardableResult
    private func hand(_ batch: RedemptionBatch) async throws -> Int {
        guard !batch.proofs.isEmpty else {
            try await store.finish(batchID: batch.id, report: BatchReport(redeemed: [], failed: []), at: clock.now())
            return 0
        }
        let report: BatchReport
        do {
            report = try await purse.redeem(batch)
        } catch {
            logger.warning(
                "ecash can't be redeemed yet",
                metadata: ["mint": "\(batch.mint)", "proofs": "\(batch.proofs.count)", "error": "\(error)"]
            )
            return 0
        }
        if !report.failed.isEmpty {
            // Off in memory before it is on disk: no call may slip through in between.
            let reason = "The mint \(batch.mint) refused proofs that were taken offline."
            offlineStop.withLock { $0 = $0 ?? reason }
            metrics.redemptionFailed(report.failed.count)
            logger.critical(
                "offline acceptance is off: a mint refused proofs; look, then resume",
                metadata: ["mint": "\(batch.mint)", "proofs": "\(report.failed.count)", "batch": "\(batch.id)"]
            )
        }
        try await store.finish(batchID: batch.id, report: report, at: clock.now())
        if !report.failed.isEmpty {
            let stop = try await store.offlineStop()
            offlineStop.withLock { $0 = stop }
        }
        metrics.redeemed(report.redeemed.count)
        return report.redeemed.count + report.failed.count
    }

    /// Ends what was sold over Lightning and whose time is over ([GRA-6]).
    private func endGrants() async throws {
        // Bounded, as grants whose calls still run are met again.
        for _ in 0..<20 {
            let ended = try await grants.endLapsed(
                now: clock.now(),
                keepSeconds: RefundTable.lifetimeSeconds,
                limit: 500
            )
            guard ended >= 500 else { break }
        }
    }

    private func pruneAnswers() async throws {
        while true {
            let bytes = try await store.pruneAnswers(now: clock.now(), limit: 500)
            guard bytes > 0 else { break }
            keptAnswerBytes.withLock { $0 = max(0, $0 - bytes) }
        }
    }

    // MARK: The operator's switch

    /// Why offline acceptance is off; nil where it is on.
    public var offlineAcceptanceStop: String? { offlineStop.withLock { $0 } }

    /// Turns offline acceptance off, durably: after a restore from backup, or because the operator says so.
    public func stopOfflineAcceptance(reason: String) async throws {
        offlineStop.withLock { $0 = reason }
        try await store.setOfflineStop(reason)
    }

    /// Turns it on again, once the operator has looked.
    public func resumeOfflineAcceptance() async throws {
        try await store.setOfflineStop(nil)
        offlineStop.withLock { $0 = nil }
    }

    /// Closes the connections to upstreams. Calls must have ended.
    public func shutdown() async {
        await sockets.ended(withinSeconds: 5)
        await attempt("passes") { try await self.countPasses() }
        await registry.shutdown()
    }
}
