public import Delegation
public import Encodings
internal import SignedDocuments
internal import Storage

/// A delegation that is kept here, and how it stands.
public struct KeptDelegation: Sendable {
    public enum Origin: String, Sendable { case issued, imported, seen }

    public var delegation: Delegation
    public var parent: CID?
    public var origin: Origin
    public var at: Timestamp
    /// Under this link, in the period that runs, as far as this node keeps the account.
    public var spent: UInt64
    public var isRevoked: Bool
    public var isKeyRevoked: Bool
}

/// The delegations that this node issued, was given, or saw at work.
enum DelegationShelf {
    /// So many that were issued or imported are kept.
    static let maximumKept = 100_000

    /// Keeps a chain's links. What is there already stays; a link that was only seen may become one that is held.
    static func keep(
        _ chain: DelegationChain,
        as origin: KeptDelegation.Origin,
        at now: Timestamp,
        limits: BudgetLimits,
        in connection: Connection
    ) throws {
        if origin == .seen {
            try connection.execute(
                """
                DELETE FROM budget_delegations
                WHERE origin = 'seen' AND sequence <= (SELECT max(sequence) FROM budget_delegations) - ?
                """,
                .integer(limits.maximumSeen - Int64(chain.links.count))
            )
        } else {
            let count =
                try connection.first("SELECT count(*) FROM budget_delegations WHERE origin <> 'seen'")?.int(0) ?? 0
            guard count + chain.links.count <= maximumKept else {
                throw BudgetError(.overloaded, "\(maximumKept) delegations are kept here already")
            }
        }
        var parent: CID?
        for link in chain.links {
            try connection.execute(
                """
                INSERT INTO budget_delegations (cid, parent, issuer, audience, envelope, origin, at) VALUES (?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (cid) DO UPDATE SET origin = excluded.origin
                WHERE origin = 'seen' AND excluded.origin <> 'seen'
                """,
                .blob(link.cid.digest),
                .optional(parent?.digest),
                .text(link.issuer.string),
                .text(link.audience.string),
                .blob(link.bytes),
                .text(origin.rawValue),
                .integer(now.millisecondsSince1970)
            )
            parent = link.cid
        }
    }

    private static let columns = "envelope, parent, origin, at"

    private static func kept(_ row: Row, at now: Timestamp, in connection: Connection) throws -> KeptDelegation {
        let delegation = try Delegation(bytes: row.blob(0))
        guard let origin = KeptDelegation.Origin(rawValue: try row.text(2)) else {
            throw StorageError(.corrupt, "a delegation is kept for an unknown reason")
        }
        return KeptDelegation(
            delegation: delegation,
            parent: try row.optionalBlob(1).map { try CID(bytes: [0x01, 0x71, 0x12, 0x20] + $0) },
            origin: origin,
            at: Timestamp(millisecondsSince1970: try row.int64(3)),
            spent: try BudgetAccounts.spent(delegation.cid.digest, at: now, in: connection),
            isRevoked: try BudgetAccounts.isRevoked("\(delegation.cid)", in: connection),
            isKeyRevoked: try BudgetAccounts.isKeyRevoked(delegation.issuer, in: connection)
        )
    }

    static func find(_ cid: CID, at now: Timestamp, in connection: Connection) throws -> KeptDelegation? {
        try connection.first("SELECT \(columns) FROM budget_delegations WHERE cid = ?", .blob(cid.digest))
            .map { try kept($0, at: now, in: connection) }
    }

    /// Newest last; at most `limit`.
    static func list(after sequence: Int64, limit: Int, at now: Timestamp, in connection: Connection) throws
        -> [KeptDelegation]
    {
        try connection.rows(
            "SELECT \(columns) FROM budget_delegations WHERE sequence > ? ORDER BY sequence LIMIT ?",
            .integer(sequence),
            .int(limit)
        ).map { try kept($0, at: now, in: connection) }
    }

    /// The links from the root to `cid`.
    /// - Throws: `BudgetError` `.unknown` where one is not here.
    static func chain(to cid: CID, at now: Timestamp, in connection: Connection) throws -> DelegationChain {
        var links: [Delegation] = []
        var next: CID? = cid
        while let wanted = next, links.count < DelegationChain.maximumLinks {
            guard let kept = try find(wanted, at: now, in: connection) else {
                throw BudgetError(.unknown, "the delegation \(wanted) is not kept here")
            }
            links.insert(kept.delegation, at: 0)
            next = kept.parent
        }
        return DelegationChain(links)
    }
}
