internal import Encodings
internal import Libp2p
public import P2PTransport
internal import Records
internal import Synchronization

extension RepairService {
    /// One session with a peer: finds what the two don't have in common, asks for what this side lacks and offers what the
    /// other does. What came before a session broke off stays, and the next goes on from there.
    ///
    /// - Throws: `Libp2pError` with `.limitExceeded` where the peer is busy, as many sessions run as may, or one with it does;
    ///   `.protocolViolation` where the peer does not keep to the protocol or is left alone for what it sent; else what ended the
    ///   stream.
    @discardableResult
    public func repair(with connection: P2PConnection) async throws -> RepairOutcome {
        let peer = connection.peer
        guard !peers.withLock({ $0.isBlocked(peer, now: intake.clock.now()) }) else {
            throw Libp2pError(.protocolViolation, "the peer sent what it is answerable for, not long ago")
        }
        let hasPlace = ownSessions.withLock { $0.count < limits.ownSessions && $0.insert(peer).inserted }
        guard hasPlace else { throw Libp2pError(.limitExceeded, "as many sessions of repair run as may") }
        defer { _ = ownSessions.withLock { $0.remove(peer) } }
        do {
            let outcome = try await session(connection)
            tally.withLock { $0.completed += 1 }
            return outcome
        } catch {
            tally.withLock { $0.failed += 1 }
            throw error
        }
    }

    private func session(_ connection: P2PConnection) async throws -> RepairOutcome {
        try await withStream(connection) { channel in
            var outcome = RepairOutcome()
            let (have, need) = try await reconcile(&channel, &outcome)
            // Both ways at once, each on a stream of its own: while one side checks what came, the other can as well.
            async let giving = have.isEmpty ? 0 : withStream(connection) { try await give(have, &$0) }
            try await get(need, connection.peer, &channel, &outcome)
            outcome.sent = try await giving
            (outcome.bytesRead, outcome.bytesWritten) = (channel.bytesRead, channel.bytesWritten)
            return outcome
        }
    }

    private func withStream<Value: Sendable>(
        _ connection: P2PConnection,
        _ body: (inout RepairChannel) async throws -> Value
    ) async throws -> Value {
        try await connection.withStream([Self.protocolName], deadlineSeconds: limits.secondsPerSession) { stream in
            var channel = RepairChannel(stream, budget: limits.bytesPerSession)
            defer {
                tally.withLock { counts in
                    counts.bytesRead += channel.bytesRead
                    counts.bytesWritten += channel.bytesWritten
                }
            }
            return try await body(&channel)
        }
    }

    private func answer(_ channel: inout RepairChannel) async throws -> RepairFrame {
        switch try await channel.next() {
        case .busy: throw Libp2pError(.limitExceeded, "the peer has no time for repair now")
        case .some(let frame): return frame
        case nil: throw Libp2pError(.closed, "the peer ended the session")
        }
    }

    private static var wrongAnswer: Libp2pError {
        Libp2pError(.protocolViolation, "the peer's answer is not to what it was asked")
    }

    // MARK: The three steps

    private func reconcile(
        _ channel: inout RepairChannel,
        _ outcome: inout RepairOutcome
    ) async throws -> (have: [RecordID], need: [RecordID]) {
        let set = try await intake.store.snapshot()
        var engine = Negentropy(set, isInitiator: true, limits: limits.reconciliation)
        var message: [UInt8]? = engine.start()
        while let query = message {
            try await channel.send(.reconcile(query))
            guard case .reconcile(let answer) = try await self.answer(&channel) else { throw Self.wrongAnswer }
            do throws(NegentropyError) {
                message = try engine.receive(answer)
            } catch  where error.code == .endless {
                // What was found until here is of use.
                outcome.isComplete = false
                message = nil
            } catch {
                throw Libp2pError(.protocolViolation, error.message)
            }
        }
        outcome.rounds = engine.rounds
        if engine.isTruncated { outcome.isComplete = false }
        return engine.takeDifferences()
    }

    /// Asks for what this side lacks. The next batch is asked for before the last is looked at.
    private func get(
        _ need: [RecordID],
        _ peer: PeerID,
        _ channel: inout RepairChannel,
        _ outcome: inout RepairOutcome
    ) async throws {
        var rest = need[...]
        var batch: [RecordID] = []
        var emptyAnswers = 0
        func refill() async throws {
            while batch.isEmpty, !rest.isEmpty {
                batch = try await intake.wanted(Array(rest.prefix(RepairFrame.maximumIDs)))
                rest = rest.dropFirst(RepairFrame.maximumIDs)
            }
        }
        try await refill()
        if !batch.isEmpty { try await channel.send(.want(batch)) }
        while !batch.isEmpty {
            guard case .records(let handled, let records) = try await answer(&channel),
                (1...batch.count).contains(handled)
            else { throw Self.wrongAnswer }
            emptyAnswers = records.isEmpty ? emptyAnswers + 1 : 0
            guard emptyAnswers < 8 else {
                throw Libp2pError(.protocolViolation, "the peer has nothing of what it said it has")
            }
            let asked = Set(batch.prefix(handled))
            batch.removeFirst(handled)
            try await refill()
            if !batch.isEmpty { try await channel.send(.want(batch)) }
            let (taken, refused) = try await take(records, asked: asked, from: peer)
            outcome.taken += taken
            outcome.refused += refused
        }
    }

    /// Offers what the other side lacks.
    /// - Returns: the number of records that it took.
    private func give(_ have: [RecordID], _ channel: inout RepairChannel) async throws -> Int {
        var rest = have[...]
        var count = 0
        while !rest.isEmpty {
            let offered = Array(rest.prefix(RepairFrame.maximumIDs))
            rest = rest.dropFirst(RepairFrame.maximumIDs)
            try await channel.send(.offer(offered))
            guard case .want(var wanted) = try await answer(&channel), Set(wanted).isSubset(of: offered),
                Set(wanted).count == wanted.count
            else { throw Self.wrongAnswer }
            while !wanted.isEmpty {
                let frame = try await intake.store.frame(wanted, told: &channel.toldAuthors)
                guard case .records(let handled, let records) = frame, handled > 0 else { break }
                wanted.removeFirst(handled)
                guard !records.isEmpty else { continue }
                try await channel.send(frame)
                sent(frame)
                count += records.count
                guard case .taken = try await answer(&channel) else { throw Self.wrongAnswer }
            }
        }
        return count
    }
}
