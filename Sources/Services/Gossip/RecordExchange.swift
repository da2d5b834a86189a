internal import Encodings
internal import Libp2p
internal import Logging
public import P2PTransport
public import Passports
public import Records
internal import SignedDocuments
internal import Storage
internal import Synchronization

/// Publishes records by gossip and takes those that come: one topic a kind ([REC-17]). What comes is validated before it is
/// passed on.
public final class RecordExchange: Sendable {
    /// How fast one author's records are passed on.
    public struct Rate: Sendable, Hashable {
        /// At once.
        public var burst = 64.0
        public var perSecond = 2.0

        public init() {}
    }

    public let intake: RecordIntake
    private let host: P2PHost
    private let rate: Rate
    private let budgets = Mutex(Recent<[UInt8], Budget>(8_192))

    private struct Budget {
        var left: Double
        var at: Timestamp
    }

    /// - Parameter host: one that was started with gossip.
    public init(intake: RecordIntake, host: P2PHost, rate: Rate = Rate()) {
        self.intake = intake
        self.host = host
        self.rate = rate
    }

    /// Subscribes to the topics of all kinds that are known.
    /// - Throws: `Libp2pError`.
    public func start() async throws {
        for kind in intake.rules.kinds.all {
            try await host.subscribe(kind.topic) { [weak self] message, _ in
                await self?.verdict(message.data, kind: kind.name) ?? .ignore
            }
        }
    }

    /// Leaves them.
    public func stop() async {
        for kind in intake.rules.kinds.all { try? await host.unsubscribe(kind.topic) }
    }

    /// What a message is worth.
    func verdict(_ bytes: [UInt8], kind: String) async -> GossipSub.Verdict {
        let results = await intake.take([bytes], kind: kind) { [self] in allows($0) }
        switch results.first {
        case .success: return .accept
        case .failure(let refusal): return refusal.isSendersFault ? .reject : .ignore
        case nil: return .ignore
        }
    }

    /// Keeps a record of this node's own, or one that it is the entry node for, and tells the network.
    ///
    /// - Returns: the number of peers that it was sent to; 0 where there are none, and repair brings it to those that come.
    /// - Throws: `RecordRefusal` where it would not be taken here either; `Libp2pError` where it cannot be sent, though it is kept.
    @discardableResult
    public func publish(_ record: Record, passport: Passport? = nil, stamp: Stamp? = nil) async throws -> Int {
        let bytes = RecordEnvelope(record: record, passport: passport, stamp: stamp).bytes
        if case .failure(let refusal)? = await intake.take([bytes]).first { throw refusal }
        return try await host.publish(bytes, on: topic(of: record))
    }

    /// Tells what is here already once more, as with the author's new passport.
    @discardableResult
    public func announce(_ record: Record, passport: Passport? = nil, stamp: Stamp? = nil) async throws -> Int {
        let bytes = RecordEnvelope(record: record, passport: passport, stamp: stamp).bytes
        if case .failure(let refusal)? = await intake.take([bytes]).first, refusal.code != .duplicate { throw refusal }
        return try await host.publish(bytes, on: topic(of: record))
    }

    /// The sequence that an author's next record of a key needs: above the one that is here, and not below the clock, so that
    /// it goes before all that was published before a loss of the store.
    public func nextSequence(_ key: RecordKey) async throws -> UInt64 {
        let clock = UInt64(max(0, intake.clock.now().millisecondsSince1970))
        guard let version = try await intake.store.version(of: key) else { return clock }
        return min(max(version.sequence + 1, clock), Record.maximumSequence)
    }

    private func topic(of record: Record) throws -> String {
        guard let kind = intake.rules.kinds[record.key.kind] else {
            throw RecordRefusal(.unknownKind, "the record is of a kind that is not known here")
        }
        return kind.topic
    }

    /// Whether the author may have one more passed on now.
    private func allows(_ record: Record) -> Bool {
        // An issuer that is trusted has its news told at any rate: it is what others wait for.
        guard !intake.policy.trustedIssuers.contains(record.author) else { return true }
        let now = intake.clock.now()
        return budgets.withLock { budgets in
            var budget = budgets[record.author.publicKey] ?? Budget(left: rate.burst, at: now)
            let passed = Double(max(0, now.milliseconds(since: budget.at))) / 1_000
            budget = Budget(left: min(rate.burst, budget.left + passed * rate.perSecond), at: now)
            let isAllowed = budget.left >= 1
            if isAllowed { budget.left -= 1 }
            budgets[record.author.publicKey] = budget
            return isAllowed
        }
    }
}
