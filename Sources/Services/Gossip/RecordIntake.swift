public import Encodings
public import Passports
public import Records
public import SignedDocuments
internal import Storage
internal import Synchronization

/// Takes what others send, by gossip or by repair: looks at it in the order of [REC-9], keeps it, and tells who waits for it.
public final class RecordIntake: Sendable {
    /// What is known of the status lists that a passport names. It is asked only for passports that an issuer signed who is
    /// trusted.
    public typealias StatusLists = @Sendable (Passport, Timestamp) async -> [String: StatusListState]

    /// What became of records that came.
    public struct Counts: Sendable, Hashable {
        public var accepted = 0
        /// By ``RecordRefusal/Code``.
        public var refused: [String: Int] = [:]
    }

    public let rules: RecordRules
    public let store: RecordStore
    let clock: WallClock
    private let statusLists: StatusLists
    private let trust: Mutex<AdmissionPolicy>
    private let passports = Mutex(Recent<[UInt8], ProvenPassport>(2_048))
    private let refused = Mutex(Recent<RecordID, Timestamp>(32_768))
    private let tally = Mutex(Counts())
    private struct Watcher: Sendable {
        let kept: @Sendable (Record) -> Void
        let contradicted: (@Sendable (Record) -> Void)?
    }

    private let watchers = Mutex<[UInt64: Watcher]>([:])
    private let nextWatcher = Mutex<UInt64>(0)

    /// How long a record that does not count here is not asked for again.
    static let refusedSeconds: Int64 = 600

    public init(
        store: RecordStore,
        rules: RecordRules,
        policy: AdmissionPolicy,
        clock: WallClock,
        statusLists: @escaping StatusLists
    ) {
        self.store = store
        self.rules = rules
        self.clock = clock
        self.statusLists = statusLists
        trust = Mutex(policy)
    }

    /// Whom this node trusts.
    public var policy: AdmissionPolicy { trust.withLock { $0 } }

    /// Trusts others from now on; what is kept is looked at anew.
    public func setPolicy(_ policy: AdmissionPolicy) async throws {
        trust.withLock { $0 = policy }
        refused.withLock { $0.removeAll() }
        try await store.apply(policy)
    }

    public var counts: Counts { tally.withLock { $0 } }

    // MARK: Watching

    /// Calls `kept` for each record that is kept from now on, before it is passed on: come back soon. Whoever must not miss
    /// one reads the store when it begins.
    ///
    /// - Parameter contradicted: is called for each that is not kept because another one of its author's, key and sequence is
    ///   here that goes before it. It counts otherwise: its author has said two things at once.
    /// - Returns: what ends it, given to ``unwatch(_:)``.
    public func watch(
        _ kept: @escaping @Sendable (Record) -> Void,
        contradicted: (@Sendable (Record) -> Void)? = nil
    ) -> UInt64 {
        let number = nextWatcher.withLock { number in
            number += 1
            return number
        }
        watchers.withLock { $0[number] = Watcher(kept: kept, contradicted: contradicted) }
        return number
    }

    public func unwatch(_ number: UInt64) {
        watchers.withLock { $0[number] = nil }
    }

    /// The records that are kept from now on. Whoever reads slower than they come misses the oldest.
    public func stream(buffering count: Int = 1_024) -> AsyncStream<Record> {
        let (stream, continuation) = AsyncStream<Record>.makeStream(bufferingPolicy: .bufferingNewest(count))
        let number = watch { continuation.yield($0) }
        continuation.onTermination = { [weak self] _ in self?.unwatch(number) }
        return stream
    }

    // MARK: Taking

    /// Looks at what came and keeps it.
    ///
    /// - Parameters:
    ///   - kind: that of the topic; nil where any may come.
    ///   - asked: what was asked for; nil where anything may come.
    ///   - allows: is asked last before a record is kept, of those whose signature holds; where it says no, the record is
    ///     refused as `.tooFast`.
    /// - Returns: for each the record that is kept now, or why not. A later passport for an author is kept with what is a
    ///   duplicate by itself, and then that counts as taken too, so that it goes on.
    public func take(
        _ messages: [[UInt8]],
        kind: String? = nil,
        only asked: Set<RecordID>? = nil,
        allows: (@Sendable (Record) -> Bool)? = nil
    ) async -> [Result<Record, RecordRefusal>] {
        let now = clock.now()
        var results: [Result<Record, RecordRefusal>?] = []
        var candidates: [(place: Int, envelope: RecordEnvelope)] = []
        for (place, bytes) in messages.enumerated() {
            do throws(RecordRefusal) {
                let envelope = try RecordEnvelope(bytes: bytes)
                results.append(looked(at: envelope.record, kind, asked, now: now).map { .failure($0) })
                if results[place] == nil { candidates.append((place, envelope)) }
            } catch {
                results.append(.failure(error))
            }
        }
        do {
            let versions = try await store.versions(of: candidates.map(\.envelope.record.key))
            let checked = await checkAll(zip(candidates, versions).map { ($0.0.envelope, $0.1) }, now: now, allows)
            var arrivals: [(place: Int, arrival: RecordStore.Arrival)] = []
            for (candidate, outcome) in zip(candidates, checked) {
                switch outcome {
                case .success(let admission): arrivals.append((candidate.place, .init(candidate.envelope, admission)))
                case .failure(let refusal): results[candidate.place] = .failure(refusal)
                }
            }
            let outcomes = try await store.insert(arrivals.map(\.arrival))
            for (entry, refusal) in zip(arrivals, outcomes) {
                results[entry.place] = refusal.map { .failure($0) } ?? .success(entry.arrival.envelope.record)
            }
            for (place, envelope) in candidates {
                guard case .failure(let refusal) = results[place], refusal.code == .duplicate,
                    try await renews(envelope, now: now)
                else { continue }
                results[place] = .success(envelope.record)
            }
        } catch {
            let refusal = RecordRefusal(.unavailable, "the store of records takes nothing now")
            for place in results.indices where results[place] == nil { results[place] = .failure(refusal) }
        }
        for (place, envelope) in candidates { note(envelope.record.id, results[place], now: now) }
        return finish(results)
    }

    /// Kind, bounds and dates; nil where they are in order.
    private func looked(
        at record: Record,
        _ kind: String?,
        _ asked: Set<RecordID>?,
        now: Timestamp
    ) -> RecordRefusal? {
        if let asked, !asked.contains(record.id) {
            return RecordRefusal(.notAsked, "a record came that was not asked for")
        }
        do throws(RecordRefusal) {
            try rules.check(record, kind: kind, now: now)
            return nil
        } catch {
            note(record.id, .failure(error), now: now)
            return error
        }
    }

    private func note(_ id: RecordID, _ result: Result<Record, RecordRefusal>?, now: Timestamp) {
        guard case .failure(let refusal)? = result, Self.isLasting(refusal.code) else { return }
        // A kind is not learned by waiting.
        let seconds = refusal.code == .unknownKind ? 86_400 : Self.refusedSeconds
        refused.withLock { $0[id] = now.adding(seconds: seconds) }
    }

    private static func isLasting(_ code: RecordRefusal.Code) -> Bool {
        code != .duplicate && code != .unavailable && code != .tooFast
    }

    private func finish(_ results: [Result<Record, RecordRefusal>?]) -> [Result<Record, RecordRefusal>] {
        let all = results.map { $0 ?? .failure(RecordRefusal(.unavailable, "the record was not looked at")) }
        tally.withLock { counts in
            for result in all {
                switch result {
                case .success: counts.accepted += 1
                case .failure(let refusal): counts.refused[refusal.code.rawValue, default: 0] += 1
                }
            }
        }
        let bodies = watchers.withLock { $0.values.map(\.kept) }
        for case .success(let record) in all {
            for body in bodies { body(record) }
        }
        return all
    }

    /// Those of the ids that are neither here nor were refused lately.
    func wanted(_ ids: [RecordID]) async throws -> [RecordID] {
        let now = clock.now()
        let open = refused.withLock { refused in
            ids.filter { id in refused[id].map { $0 <= now } ?? true }
        }
        return try await store.missing(open)
    }

    // MARK: Looking

    /// Signatures cost most: many are shared out over a few tasks.
    private func checkAll(
        _ candidates: [(RecordEnvelope, RecordVersion?)],
        now: Timestamp,
        _ allows: (@Sendable (Record) -> Bool)?
    ) async -> [Result<Admission, RecordRefusal>] {
        let size = 32
        guard candidates.count > size else {
            var results: [Result<Admission, RecordRefusal>] = []
            for (envelope, version) in candidates { results.append(await check(envelope, version, now: now, allows)) }
            return results
        }
        // A passport comes with one of its author's records, and speaks for those that another task looks at.
        for (envelope, _) in candidates where envelope.passport != nil { _ = await passport(of: envelope) }
        return await withTaskGroup(of: (Int, [Result<Admission, RecordRefusal>]).self) { group in
            for start in stride(from: 0, to: candidates.count, by: size) {
                let share = candidates[start..<min(start + size, candidates.count)]
                group.addTask { [self] in
                    var results: [Result<Admission, RecordRefusal>] = []
                    for (envelope, version) in share {
                        results.append(await check(envelope, version, now: now, allows))
                    }
                    return (start, results)
                }
            }
            var parts: [Int: [Result<Admission, RecordRefusal>]] = [:]
            for await (start, results) in group { parts[start] = results }
            return parts.sorted { $0.key < $1.key }.flatMap(\.value)
        }
    }

    private func check(
        _ envelope: RecordEnvelope,
        _ version: RecordVersion?,
        now: Timestamp,
        _ allows: (@Sendable (Record) -> Bool)?
    ) async -> Result<Admission, RecordRefusal> {
        do throws(RecordRefusal) {
            let record = envelope.record
            if let version {
                if version.id == record.id { throw RecordRefusal(.duplicate, "the record is here already") }
                guard version < record.version else {
                    if version.sequence == record.sequence { try await contradict(envelope, now: now) }
                    throw RecordRefusal(.superseded, "a record of the same key that goes before it is here")
                }
            }
            try RecordRules.checkSignature(record)
            let admission = try await admission(of: envelope, now: now)
            if let allows, !allows(record) {
                throw RecordRefusal(.tooFast, "its author publishes faster than is passed on")
            }
            return .success(admission)
        } catch {
            return .failure(error)
        }
    }

    /// Tells who watches of a record that says otherwise than the one that is here under its sequence.
    /// - Throws: why it does not count, and so says nothing of its author.
    private func contradict(_ envelope: RecordEnvelope, now: Timestamp) async throws(RecordRefusal) {
        let bodies = watchers.withLock { $0.values.compactMap(\.contradicted) }
        guard !bodies.isEmpty else { return }
        try RecordRules.checkSignature(envelope.record)
        _ = try await admission(of: envelope, now: now)
        for body in bodies { body(envelope.record) }
    }

    /// By what a record counts here.
    func admission(of envelope: RecordEnvelope, now: Timestamp) async throws(RecordRefusal) -> Admission {
        let record = envelope.record
        let policy = policy
        guard let kind = rules.kinds[record.key.kind] else {
            throw RecordRefusal(.unknownKind, "the record is of a kind that is not known here")
        }
        let passport =
            policy.trustedIssuers.contains(record.author) || kind.authors == .issuers
            ? nil : await passport(of: envelope)
        let states = await states(passport, policy, now: now)
        return try policy.admission(
            of: record,
            as: kind,
            passport: passport,
            states: states,
            stamp: envelope.stamp,
            now: max(now, clock.now())
        )
    }

    private func states(
        _ passport: ProvenPassport?,
        _ policy: AdmissionPolicy,
        now: Timestamp
    ) async -> [String: StatusListState] {
        guard let passport, policy.trustedIssuers.contains(passport.passport.issuer) else { return [:] }
        return await statusLists(passport.passport, now)
    }

    /// The latest of the author's passports, the one that came with the record or the one that is known.
    private func passport(of envelope: RecordEnvelope) async -> ProvenPassport? {
        let author = envelope.record.author.publicKey
        let known: ProvenPassport?
        if let kept = passports.withLock({ $0[author] }) {
            known = kept
        } else {
            known = await storedPassport(of: envelope)
        }
        guard let shown = envelope.passport, shown.subject == envelope.record.author, shown != known?.passport,
            known.map({ shown.validUntil > $0.passport.validUntil }) ?? true,
            policy.trustedIssuers.contains(shown.issuer),
            let proven = try? ProvenPassport(shown)
        else { return known }
        passports.withLock { $0[author] = proven }
        return proven
    }

    private func storedPassport(of envelope: RecordEnvelope) async -> ProvenPassport? {
        guard let bytes = try? await store.author(envelope.record.author)?.passport,
            let passport = try? RecordEnvelope.passport(bytes), policy.trustedIssuers.contains(passport.issuer),
            let proven = try? ProvenPassport(passport)
        else { return nil }
        passports.withLock { $0[envelope.record.author.publicKey] = proven }
        return proven
    }

    /// Whether a record that is here already brings a later passport of its author that holds; it is kept then.
    private func renews(_ envelope: RecordEnvelope, now: Timestamp) async throws -> Bool {
        guard let shown = envelope.passport, let known = try await store.author(envelope.record.author),
            known.countsUntil < shown.validUntil, let latest = await passport(of: envelope), latest.passport == shown
        else { return false }
        let policy = policy
        let states = await states(latest, policy, now: now)
        guard (try? policy.check(latest, of: envelope.record.author, states: states, now: max(now, clock.now()))) != nil
        else { return false }
        return try await store.renew(latest)
    }

    // MARK: Looking again

    /// Takes out what has ended and looks again at the passports of some authors, those first that were not looked at for
    /// longest. Call it about once a minute.
    public func sweep(authors count: Int = 1_000) async throws {
        try await store.sweep()
        let policy = policy
        for author in try await store.authorsToCheck(count) {
            let now = clock.now()
            guard !policy.trustedIssuers.contains(author.did), let bytes = author.passport,
                let passport = try? RecordEnvelope.passport(bytes), policy.trustedIssuers.contains(passport.issuer),
                // Its signature was checked when it was kept.
                let proven = try? ProvenPassport(passport)
            else { continue }
            let states = await states(proven, policy, now: now)
            do throws(RecordRefusal) {
                try policy.check(proven, of: author.did, states: states, now: max(now, clock.now()))
            } catch {
                if error.code == .revoked {
                    try await store.revoke(author.did, at: clock.now())
                } else {
                    try await store.setCounts(author.did, false)
                }
                continue
            }
            try await store.setCounts(author.did, true)
        }
    }

    /// Takes an author's records out at once, as where an event says that its passport is revoked.
    /// - Returns: the number of records that went.
    @discardableResult
    public func revoke(_ author: DIDKey, at instant: Timestamp) async throws -> Int {
        passports.withLock { $0[author.publicKey] = nil }
        return try await store.revoke(author, at: instant)
    }
}
