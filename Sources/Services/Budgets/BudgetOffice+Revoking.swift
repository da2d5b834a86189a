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
    public var at: Timestamp

    public var json: JSONValue {
        var object: JSONObject = [
            "target": .string(target), "kind": isKey ? "key" : "delegation", "at": .string(at.rfc3339),
        ]
        object["reason"] = reason.map { .string($0) }
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

    /// Takes a key back: every delegation that it issued falls, whenever it is shown.
    public func revoke(key: DIDKey, by: String, reason: String?) async throws {
        try await insert(target: key.string, kind: "key", by: by, reason: reason)
    }

    private func insert(target: String, kind: String, by: String, reason: String?) async throws {
        guard reason.map({ (1...256).contains($0.utf8.count) }) ?? true else {
            throw BudgetError(.invalidRequest, "a reason has 1 to 256 bytes")
        }
        let now = now
        try await database.write { connection in
            try Self.insert(target, kind: kind, by: by, reason: reason, at: now, in: connection)
        }
    }

    /// Notes a key that is revoked as an agent's, in the transaction that revokes it: delegations fall with it, here and for
    /// whoever reads the list ([PASS-15], [DLG-8]).
    public static func note(_ revocation: KeyRevocation, in connection: Connection) throws {
        try insert(
            revocation.did.string,
            kind: "key",
            by: "identity",
            reason: revocation.reason.rawValue,
            at: revocation.at,
            in: connection
        )
    }

    private static func insert(
        _ target: String,
        kind: String,
        by: String,
        reason: String?,
        at: Timestamp,
        in connection: Connection
    ) throws {
        try connection.execute(
            """
            INSERT INTO budget_revocations (target, kind, by, reason, at) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (target) DO NOTHING
            """,
            .text(target),
            .text(kind),
            .text(by),
            .optional(reason),
            .integer(at.millisecondsSince1970)
        )
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
                "SELECT sequence, target, kind, reason, at FROM budget_revocations WHERE sequence > ? ORDER BY sequence LIMIT ?",
                .integer(sequence),
                .int(Self.pageLimit)
            ).map { row in
                Revocation(
                    sequence: try row.int64(0),
                    target: try row.text(1),
                    isKey: try row.text(2) == "key",
                    reason: try row.optionalText(3),
                    at: Timestamp(millisecondsSince1970: try row.int64(4))
                )
            }
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
