public import Encodings
import Passports
import SignedDocuments
import Storage

/// What a change of status touched.
private struct StatusChange: Sendable {
    /// Bits to set or clear, by purpose.
    var set: [StatusPurpose: [StatusPlace]] = [:]
    var clear: [StatusPurpose: [StatusPlace]] = [:]
}

extension PassportOffice {
    /// Revokes a passport's key for good: every passport of that key that has not lapsed, and all renewal.
    ///
    /// Returns when the change is on the disk and published: the very next check refuses. Revoking again changes
    /// nothing, but that a key may be told to have been stolen after it was revoked.
    ///
    /// - Parameter since: of a key that was stolen, when that was at the earliest ([PASS-16]).
    /// - Throws: `IdentityError` with `.passportNotFound`; `.invalidRequest` where `since` lies ahead or no theft is told of.
    @discardableResult
    public func revoke(
        _ id: String,
        reason: RevocationReason,
        compromisedSince since: Timestamp? = nil
    ) async throws -> PassportRecord {
        guard since == nil || reason == .keyCompromise else {
            throw IdentityError(.invalidRequest, "`since` tells when a key was stolen: the reason is keyCompromise")
        }
        try requirePast(since)
        return try await change { [self] now, connection in
            let record = try PassportStore.find(id, in: connection)
            let change = try revokeKey(record.passport.subject, reason, since, now: now, in: connection)
            return (try PassportStore.find(record.passport.id, in: connection), change)
        }
    }

    func requirePast(_ since: Timestamp?) throws(IdentityError) {
        guard since.map({ $0 <= clock.now() }) ?? true else {
            throw IdentityError(.invalidRequest, "`since` is when the key was stolen: it lies ahead")
        }
    }

    /// Revokes the current key of an agent, as ``revoke(_:reason:compromisedSince:)`` does by a passport of it.
    ///
    /// - Parameter body: runs first, in the same transaction.
    func revokeKey(
        of agent: Agent,
        reason: RevocationReason,
        compromisedSince since: Timestamp? = nil,
        after body: @escaping @Sendable (Timestamp, Connection) throws -> Void = { _, _ in }
    ) async throws {
        try await change { [self] now, connection in
            try body(now, connection)
            return ((), try revokeKey(agent.did, reason, since, now: now, in: connection))
        }
    }

    private func revokeKey(
        _ key: DIDKey,
        _ reason: RevocationReason,
        _ since: Timestamp?,
        now: Timestamp,
        in connection: Connection
    ) throws -> StatusChange {
        let did = key.string
        let known = try AgentStore.revocationReason(of: key, in: connection)
        // A theft may be told of afterwards, and since when.
        let isNews = known == nil || reason == .keyCompromise && (since != nil || known != reason.rawValue)
        if isNews {
            let agentID = try AgentStore.id(ofKey: did, in: connection)
            try revocationHooks.run(
                KeyRevocation(did: key, agentID: agentID, reason: reason, at: now, compromisedSince: since),
                in: connection
            )
        }
        try AgentStore.revokeKey(did, reason: reason.rawValue, now: now, in: connection)
        try AgentStore.setState(.revoked, ofKey: did, from: [.active, .suspended], now: now, in: connection)
        let marked = try PassportStore.mark(
            .revoked,
            reason: reason.rawValue,
            compromisedSince: since,
            key: did,
            from: [.active, .suspended],
            now: now,
            in: connection
        )
        var change = StatusChange()
        change.set[.revocation] = marked.map(\.place)
        // A revoked passport needs no suspension; its row no longer says it was suspended.
        change.clear[.suspension] = marked.filter { $0.was == .suspended }.map(\.place)
        return change
    }

    /// Suspends a passport's key: every passport of that key that has not lapsed, and renewal, until ``restore(_:)``.
    ///
    /// - Parameter reason: for the operator's own record, at most 256 bytes.
    /// - Throws: `IdentityError` with `.passportNotFound`, or `.passportFinal` where it is revoked or has lapsed.
    @discardableResult
    public func suspend(_ id: String, reason: String? = nil) async throws -> PassportRecord {
        guard (reason?.utf8.count ?? 0) <= 256 else {
            throw IdentityError(.invalidRequest, "a reason has at most 256 bytes")
        }
        return try await change { now, connection in
            let record = try PassportStore.find(id, in: connection)
            try Self.requireChangeable(record, now: now)
            let did = record.passport.subject.string
            try AgentStore.setState(.suspended, ofKey: did, from: [.active], now: now, in: connection)
            let marked = try PassportStore.mark(
                .suspended,
                reason: reason,
                key: did,
                from: [.active],
                now: now,
                in: connection
            )
            var change = StatusChange()
            change.set[.suspension] = marked.map(\.place)
            return (try PassportStore.find(record.passport.id, in: connection), change)
        }
    }

    /// Lifts a suspension.
    ///
    /// - Throws: `IdentityError` with `.passportNotFound`, or `.passportFinal` where it is revoked or has lapsed.
    @discardableResult
    public func restore(_ id: String) async throws -> PassportRecord {
        try await change { now, connection in
            let record = try PassportStore.find(id, in: connection)
            try Self.requireChangeable(record, now: now)
            let did = record.passport.subject.string
            try AgentStore.setState(.active, ofKey: did, from: [.suspended], now: now, in: connection)
            let marked = try PassportStore.mark(
                .active,
                reason: nil,
                key: did,
                from: [.suspended],
                now: now,
                in: connection
            )
            var change = StatusChange()
            change.clear[.suspension] = marked.map(\.place)
            return (try PassportStore.find(record.passport.id, in: connection), change)
        }
    }

    private static func requireChangeable(_ record: PassportRecord, now: Timestamp) throws {
        guard record.state != .revoked else {
            throw IdentityError(
                .passportFinal,
                "the passport is revoked (\(record.reason ?? "unspecified")), which is final"
            )
        }
        guard now < record.passport.validUntil else {
            throw IdentityError(.passportFinal, "the passport lapsed at \(record.passport.validUntil.rfc3339)")
        }
    }

    /// Runs a change in one transaction, then publishes it. Changes run one after the other.
    private func change<Result: Sendable>(
        _ body: @escaping @Sendable (Timestamp, Connection) throws -> (Result, StatusChange)
    ) async throws -> Result {
        try await changes.withLock {
            let now = self.clock.now()
            let (result, change, sequences) = try await self.database.write { connection in
                let (result, change) = try body(now, connection)
                let lists = Self.lists(change.set).union(Self.lists(change.clear))
                return (result, change, try PassportStore.raiseSequences(lists, now: now, in: connection))
            }
            for (purpose, places) in change.set { self.publish(purpose, places, true, sequences) }
            for (purpose, places) in change.clear { self.publish(purpose, places, false, sequences) }
            self.statusHooks.run(Array(sequences.keys))
            return result
        }
    }

    private func publish(_ purpose: StatusPurpose, _ places: [StatusPlace], _ value: Bool, _ sequences: [Int64: UInt64])
    {
        let lists = Self.lists([purpose: places])
        board.apply(
            purpose: purpose,
            places: places,
            value: value,
            sequences: sequences.filter { lists.contains($0.key) }
        )
    }

    private static func lists(_ changes: [StatusPurpose: [StatusPlace]]) -> Set<Int64> {
        var lists: Set<Int64> = []
        for (purpose, places) in changes {
            for place in places {
                lists.insert(place.revocationList)
                // A suspension shows in the Token Status List of the revocation list, too.
                if purpose == .suspension { lists.insert(place.suspensionList) }
            }
        }
        return lists
    }

    /// Forgets passports that lapsed long ago and frees their places, at most 10,000 at a time.
    ///
    /// - Returns: how many.
    @discardableResult
    public func purgeLapsed() async throws -> Int {
        try await changes.withLock {
            let now = self.clock.now()
            let limit = now.adding(seconds: -self.configuration.keepLapsedSeconds)
            let (places, sequences) = try await self.database.write { connection in
                let purged = try PassportStore.purge(before: limit, batch: 10_000, in: connection)
                return (
                    purged.places, try PassportStore.raiseSequences(purged.changed, now: now, in: connection)
                )
            }
            self.board.release(places, sequences: sequences)
            self.statusHooks.run(Array(sequences.keys))
            return places.count
        }
    }
}
