public import CanonicalJSON
public import Delegation
public import Encodings
public import Identity
public import SignedDocuments
public import Storage

/// What was taken back.
public struct Revocation: Sendable, Hashable {
    public var sequence: Int64
    /// A CID, or a did:key whose delegations all fell with it.
    public var target: String
    public var isKey: Bool
    public var reason: String?
    /// `operator`, `identity` where an agent's key was revoked, or the did:key that took its own delegation back.
    public var by: String
    public var at: Timestamp
    /// When a key was stolen at the earliest; nil where that is not known, and of what was not stolen.
    public var since: Timestamp?

    /// Whether somebody else may hold the key. The operator who takes a key back by itself has no other reason; an agent's key
    /// is also revoked when the agent moves on.
    public var isTheft: Bool { isKey && (by != "identity" || reason == RevocationReason.keyCompromise.rawValue) }

    /// Whether what was signed before it was taken back still counts: of a stolen key only what a witness had seen before the
    /// theft, because a thief backdates; of the rest what its date says ([PASS-16], [DLG-18]).
    ///
    /// - Parameters:
    ///   - dated: the instant of the call, as its receipt tells.
    ///   - witnessed: when a witness cosigned a log that holds the receipt; nil where none is known to have.
    public func spares(dated: Timestamp, witnessed: Timestamp?) -> Bool {
        guard isTheft else { return dated < at }
        guard let since, let witnessed else { return false }
        // A cosignature's instant is in whole seconds.
        return witnessed.secondsSince1970 < since.secondsSince1970
    }

    public var json: JSONValue {
        var object: JSONObject = [
            "target": .string(target), "kind": isKey ? "key" : "delegation", "at": .string(at.rfc3339),
        ]
        object["reason"] = reason.map { .string($0) }
        object["since"] = since.map { .string($0.rfc3339) }
        return .object(object)
    }
}

/// Taking back.
extension BudgetOffice {
    /// How many revocations one page of the list has.
    public static let pageLimit = 500

    /// Takes a delegation back, and with it everything under it. The very next debit is refused.
    public func revoke(_ cid: CID, by: String, reason: String?) async throws {
        try await insert(target: "\(cid)", kind: "delegation", by: by, reason: reason)
    }

    /// Takes a key back: every delegation that it issued falls, whenever it is shown. Told again with another instant, the
    /// earlier one counts.
    ///
    /// - Parameter since: when it was stolen at the earliest; nil where that is not known, so that nothing it signed is sure.
    public func revoke(key: DIDKey, by: String, reason: String?, since: Timestamp? = nil) async throws {
        guard since.map({ $0 <= now }) ?? true else {
            throw BudgetError(.invalidRequest, "`since` is when the key was stolen: it lies ahead")
        }
        try await insert(target: key.string, kind: "key", by: by, reason: reason, since: since)
    }

    private func insert(
        target: String,
        kind: String,
        by: String,
        reason: String?,
        since: Timestamp? = nil
    ) async throws {
        guard reason.map({ (1...256).contains($0.utf8.count) }) ?? true else {
            throw BudgetError(.invalidRequest, "a reason has 1 to 256 bytes")
        }
        let revocation = Revocation(
            sequence: 0,
            target: target,
            isKey: kind == "key",
            reason: reason,
            by: by,
            at: now,
            since: since
        )
        try await database.write { try Self.insert(revocation, in: $0) }
    }

    /// Notes a key that is revoked as an agent's, in the transaction that revokes it: delegations fall with it, here and for
    /// whoever reads the list ([PASS-15], [DLG-8]).
    public static func note(_ revocation: KeyRevocation, in connection: Connection) throws {
        let row = Revocation(
            sequence: 0,
            target: revocation.did.string,
            isKey: true,
            reason: revocation.reason.rawValue,
            by: "identity",
            at: revocation.at,
            since: revocation.compromisedSince
        )
        try insert(row, in: connection)
    }

    /// What was taken back stays so. That a key was stolen may be told afterwards, and since when: then the row stands at the
    /// list's end, for those who read on from where they were.
    private static func insert(_ fresh: Revocation, in connection: Connection) throws {
        var row = fresh
        if let known = try revocation(of: fresh.target, in: connection) {
            guard fresh.isTheft, !known.isTheft || fresh.since != nil else { return }
            row.at = known.at
            row.reason = fresh.reason ?? known.reason
            if known.isTheft, let since = known.since { row.since = fresh.since.map { min($0, since) } }
            guard !known.isTheft || row.since != known.since else { return }
        }
        try connection.execute(
            "INSERT OR REPLACE INTO budget_revocations (target, kind, by, reason, at, since) VALUES (?, ?, ?, ?, ?, ?)",
            .text(row.target),
            .text(row.isKey ? "key" : "delegation"),
            .text(row.by),
            .optional(row.reason),
            .integer(row.at.millisecondsSince1970),
            .optional(row.since?.millisecondsSince1970)
        )
        try BudgetNotes.revoked(row, in: connection)
    }

    private static let columns = "sequence, target, kind, reason, by, at, since"

    private static func revocation(_ row: Row) throws -> Revocation {
        Revocation(
            sequence: try row.int64(0),
            target: try row.text(1),
            isKey: try row.text(2) == "key",
            reason: try row.optionalText(3),
            by: try row.text(4),
            at: Timestamp(millisecondsSince1970: try row.int64(5)),
            since: try row.optionalInt64(6).map { Timestamp(millisecondsSince1970: $0) }
        )
    }

    private static func revocation(of target: String, in connection: Connection) throws -> Revocation? {
        try connection.first("SELECT \(columns) FROM budget_revocations WHERE target = ?", .text(target))
            .map(revocation)
    }

    /// Takes a delegation back on the word of whoever issued it or a link above it: an invocation of `/ucan/revoke` on
    /// its own authority, with the argument `ucan`, a link ([DLG-8]).
    public func revoke(on invocation: Invocation) async throws -> CID {
        let now = now
        guard invocation.command.text == "/ucan/revoke", let expires = invocation.expires,
            expires <= now.adding(seconds: 660), invocation.proofs.isEmpty
        else {
            throw BudgetError(
                .invalidRequest,
                "a revocation is an invocation of /ucan/revoke that ends within ten minutes"
            )
        }
        try DelegationChain([]).verify(invocation, ChainRules(now: now, appliesProfile: false))
        guard case .tagged(42, .bytes(let bytes))? = invocation.arguments[text: "ucan"] else {
            throw BudgetError(.invalidRequest, "a revocation names a delegation by a link in `ucan`")
        }
        let cid = try CID(bytes: [UInt8](bytes.dropFirst()))
        let chain = try await chain(to: cid)
        guard chain.links.contains(where: { $0.issuer == invocation.issuer }) else {
            throw BudgetError(.forbidden, "only who issued a delegation, or a link above it, takes it back")
        }
        try await revoke(cid, by: invocation.issuer.string, reason: nil)
        return cid
    }

    /// Revocations after `sequence`, oldest first, at most ``pageLimit``.
    public func revocations(after sequence: Int64 = 0) async throws -> [Revocation] {
        try await database.read { connection in
            try connection.rows(
                "SELECT \(Self.columns) FROM budget_revocations WHERE sequence > ? ORDER BY sequence LIMIT ?",
                .integer(sequence),
                .int(Self.pageLimit)
            ).map(Self.revocation)
        }
    }

    /// What was taken back of delegations, by their CIDs, and of keys, by their did:keys.
    public func revocations(of targets: some Sequence<String> & Sendable) async throws -> [String: Revocation] {
        try await database.read { connection in
            var found: [String: Revocation] = [:]
            for target in targets { found[target] = try Self.revocation(of: target, in: connection) }
            return found
        }
    }

    /// Which of a chain's links and keys were taken back, for a check of the whole.
    public func revoked(in chain: DelegationChain) async throws -> (cids: Set<CID>, keys: Set<DIDKey>) {
        try await database.read { connection in
            var cids: Set<CID> = []
            var keys: Set<DIDKey> = []
            for link in chain.links {
                if try BudgetAccounts.isRevoked("\(link.cid)", in: connection) { cids.insert(link.cid) }
                if try BudgetAccounts.isKeyRevoked(link.issuer, in: connection) { keys.insert(link.issuer) }
            }
            return (cids, keys)
        }
    }

    /// A page of the list, signed by this node and good for a minute.
    public func signedRevocations(after sequence: Int64) async throws -> JSONObject {
        let page = try await revocations(after: sequence)
        let now = now
        var document = JSONObject()
        document["@context"] = [
            "https://w3id.org/security/data-integrity/v2", "https://www.w3.org/ns/credentials/undefined-terms/v2",
        ]
        document["type"] = ["DelegationRevocations"]
        document["issuer"] = .string(did.string)
        document["after"] = .string(String(sequence))
        document["next"] = .string(String(page.last?.sequence ?? sequence))
        document["isLast"] = .bool(page.count < Self.pageLimit)
        document["revoked"] = .array(page.map(\.json))
        document["validUntil"] = .string(now.adding(seconds: 60).rfc3339)
        return try sign(document, at: now)
    }
}
