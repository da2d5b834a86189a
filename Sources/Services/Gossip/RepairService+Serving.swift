internal import Encodings
internal import Libp2p
internal import P2PTransport
internal import Records
internal import Synchronization

extension RepairService {
    /// Serves a session that a peer began: one answer to each message ([RPR-3] to [RPR-5]).
    func serve(_ stream: P2PStream) async throws {
        stream.setDeadline(seconds: limits.secondsPerSession)
        var channel = RepairChannel(stream, budget: limits.bytesPerSession)
        guard peers.withLock({ $0.begin(stream.peer, now: intake.clock.now()) }) else {
            tally.withLock { $0.turnedAway += 1 }
            try await channel.send(.busy)
            return
        }
        do {
            try await answerAll(&channel, stream.peer)
            served(channel, stream.peer)
        } catch {
            served(channel, stream.peer)
            throw error
        }
    }

    private func served(_ channel: RepairChannel, _ peer: PeerID) {
        peers.withLock { $0.end(peer, bytes: channel.bytesRead + channel.bytesWritten) }
        tally.withLock { counts in
            counts.served += 1
            counts.bytesRead += channel.bytesRead
            counts.bytesWritten += channel.bytesWritten
        }
    }

    private func answerAll(_ channel: inout RepairChannel, _ peer: PeerID) async throws {
        var engine: Negentropy?
        /// What was asked for of the last offer.
        var asked: Set<RecordID> = []
        var requests = 0
        while let frame = try await channel.next() {
            requests += 1
            guard requests <= limits.requestsPerSession else {
                throw Libp2pError(.limitExceeded, "the session has asked as often as it may")
            }
            switch frame {
            case .reconcile(let message):
                if engine == nil {
                    let set = try await intake.store.snapshot()
                    engine = Negentropy(set, isInitiator: false, limits: limits.reconciliation)
                }
                try await channel.send(.reconcile(try Self.answer(&engine, message)))
            case .want(let ids):
                let answer = try await intake.store.frame(ids, told: &channel.toldAuthors)
                try await channel.send(answer)
                sent(answer)
            case .offer(let ids):
                let wanted = try await intake.wanted(ids)
                asked = Set(wanted)
                try await channel.send(.want(wanted))
            case .records(_, let records):
                _ = try await take(records, asked: asked, from: peer)
                try await channel.send(.taken)
            case .taken, .busy: throw Libp2pError(.protocolViolation, "this message answers nothing")
            }
        }
    }

    private static func answer(_ engine: inout Negentropy?, _ message: [UInt8]) throws(Libp2pError) -> [UInt8] {
        do throws(NegentropyError) {
            return try engine?.receive(message) ?? []
        } catch {
            throw Libp2pError(.protocolViolation, error.message)
        }
    }

    func sent(_ frame: RepairFrame) {
        guard case .records(_, let records) = frame else { return }
        tally.withLock { $0.sent += records.count }
    }
}
