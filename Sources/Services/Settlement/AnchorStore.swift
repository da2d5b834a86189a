internal import CanonicalJSON
public import Encodings
public import Ethereum
internal import Storage

/// A passport's digest on its way into an ERC-8004 identity registry, or there.
public struct Anchor: Hashable, Sendable {
    public enum State: Hashable, Sendable {
        /// Signed and handed in; its outcome is not known.
        case open
        /// It stands in the chain, deep enough.
        case confirmed(hash: [UInt8])
        /// The registry undid it.
        case failed(hash: [UInt8])

        public var name: String {
            switch self {
            case .open: "open"
            case .confirmed: "confirmed"
            case .failed: "failed"
            }
        }
    }

    public var id: String
    /// The agent's stable id.
    public var agent: String
    public var chainID: UInt256
    public var registry: Address
    /// What is written, 32 bytes.
    public var digest: [UInt8]
    /// The agent's number in the registry; nil until its registration is confirmed.
    public var token: UInt256?
    var call: [UInt8]
    var nonce: UInt64
    public var state: State
    public var at: Timestamp
}

/// Keeps anchors, beside settlements: both take their nonces from one table and keep their transactions in one.
struct AnchorStore: Sendable {
    static let migration = Migration(
        id: "settlement-2-anchors",
        sql: """
            CREATE TABLE chain_anchors (
                id TEXT NOT NULL PRIMARY KEY,
                agent TEXT NOT NULL,
                chain TEXT NOT NULL,
                registry BLOB NOT NULL CHECK (length(registry) = 20),
                digest BLOB NOT NULL CHECK (length(digest) = 32),
                token TEXT,
                call BLOB NOT NULL,
                nonce INTEGER NOT NULL CHECK (nonce >= 0),
                state TEXT NOT NULL CHECK (state IN ('open', 'confirmed', 'failed')),
                outcome BLOB,
                at INTEGER NOT NULL
            ) WITHOUT ROWID, STRICT;
            CREATE UNIQUE INDEX chain_anchors_open ON chain_anchors (agent, chain, registry) WHERE state = 'open';
            CREATE INDEX chain_anchors_agent ON chain_anchors (agent, at);
            """
    )

    /// How recording an anchor ended.
    enum Recording: Sendable {
        case recorded(Anchor, SignedTransaction)
        /// One of the same agent is open: nothing was changed.
        case open(Anchor)
        case tooMany
    }

    let database: Database

    /// Records an anchor with its first transaction, in one step. At most one is open for an agent at a registry, so that no
    /// agent is registered twice.
    func record(
        _ anchor: Anchor,
        account: Address,
        chainCount: UInt64,
        maximumOpen: Int,
        sign: @escaping @Sendable (UInt64) -> SignedTransaction
    ) async throws -> Recording {
        try await database.write { connection in
            let chain = anchor.chainID.description
            if let open = try Self.open(anchor.agent, chain, anchor.registry, connection) { return .open(open) }
            let count = try connection.first("SELECT count(*) FROM chain_anchors WHERE state = 'open'")?.int(0) ?? 0
            guard count < maximumOpen else { return .tooMany }
            var anchor = anchor
            anchor.nonce = try SettlementStore.takeNonce(chain, account, atLeast: chainCount, connection)
            try connection.execute(
                """
                INSERT INTO chain_anchors (id, agent, chain, registry, digest, token, call, nonce, state, at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'open', ?)
                """,
                .text(anchor.id),
                .text(anchor.agent),
                .text(chain),
                .blob(anchor.registry.bytes),
                .blob(anchor.digest),
                .optional(anchor.token?.description),
                .blob(anchor.call),
                try .amount(anchor.nonce),
                .integer(anchor.at.millisecondsSince1970)
            )
            let signed = sign(anchor.nonce)
            try SettlementStore.insert(signed, of: anchor.id, at: anchor.at, connection)
            return .recorded(anchor, signed)
        }
    }

    /// As ``SettlementStore/replace(_:seen:with:at:)``.
    func replace(_ anchor: Anchor, seen: Int, with signed: SignedTransaction, at now: Timestamp) async throws -> Bool {
        try await database.write { connection in
            guard let current = try Self.anchor(anchor.id, connection), current.state == .open,
                current.nonce == anchor.nonce, signed.transaction.nonce == anchor.nonce,
                try SettlementStore.transactions(of: anchor.id, connection).count == seen
            else { return false }
            try SettlementStore.insert(signed, of: anchor.id, at: now, connection)
            return true
        }
    }

    /// As ``SettlementStore/reassign(_:account:chainCount:at:sign:)``.
    func reassign(
        _ anchor: Anchor,
        account: Address,
        chainCount: UInt64,
        at now: Timestamp,
        sign: @escaping @Sendable (UInt64) -> SignedTransaction
    ) async throws -> SignedTransaction? {
        try await database.write { connection in
            guard let current = try Self.anchor(anchor.id, connection), current.state == .open,
                current.nonce == anchor.nonce
            else { return nil }
            let chain = anchor.chainID.description
            let nonce = try SettlementStore.takeNonce(chain, account, atLeast: chainCount, connection)
            try connection.execute(
                "UPDATE chain_anchors SET nonce = ? WHERE id = ?",
                try .amount(nonce),
                .text(anchor.id)
            )
            let signed = sign(nonce)
            try SettlementStore.insert(signed, of: anchor.id, at: now, connection)
            return signed
        }
    }

    /// Ends an anchor, and posts it to the log in the same transaction; one that has ended stays as it is.
    func end(_ id: String, _ state: Anchor.State, token: UInt256?) async throws -> Anchor? {
        try await database.write { connection in
            switch state {
            case .open: break
            case .confirmed(let hash), .failed(let hash):
                try connection.execute(
                    "UPDATE chain_anchors SET state = ?, outcome = ?, token = ? WHERE id = ? AND state = 'open'",
                    .text(state.name),
                    .blob(hash),
                    .optional(token?.description),
                    .text(id)
                )
                if connection.changes == 1, let anchor = try Self.anchor(id, connection) {
                    try Self.post(anchor, hash, connection)
                }
            }
            return try Self.anchor(id, connection)
        }
    }

    func anchor(_ id: String) async throws -> Anchor? {
        try await database.read { try Self.anchor(id, $0) }
    }

    /// The open anchor of an agent at a registry.
    func open(_ agent: String, chainID: UInt256, registry: Address) async throws -> Anchor? {
        try await database.read { try Self.open(agent, chainID.description, registry, $0) }
    }

    func open(chainID: UInt256) async throws -> [Anchor] {
        try await database.read { connection in
            try connection.rows(
                "SELECT \(Self.columns) FROM chain_anchors WHERE chain = ? AND state = 'open' ORDER BY nonce",
                .text(chainID.description)
            ).map(Self.anchor)
        }
    }

    /// The anchors that stand now, one for each agent and registry, in the order of their numbers: of one account's transactions
    /// the chain carries out the one with the highest nonce last, whatever the clock said.
    /// - Parameter agent: of that one alone.
    func confirmed(agent: String?, limit: Int) async throws -> [Anchor] {
        try await database.read { connection in
            try connection.rows(
                """
                SELECT \(Self.columns) FROM chain_anchors a WHERE state = 'confirmed' AND (? IS NULL OR agent = ?)
                    AND NOT EXISTS (SELECT 1 FROM chain_anchors b WHERE b.agent = a.agent AND b.chain = a.chain
                        AND b.registry = a.registry AND b.state = 'confirmed' AND b.nonce > a.nonce)
                ORDER BY chain, registry, length(token), token LIMIT ?
                """,
                .optional(agent),
                .optional(agent),
                .int(limit)
            ).map(Self.anchor)
        }
    }

    func transactions(of id: String) async throws -> [StoredTransaction] {
        try await database.read { try SettlementStore.transactions(of: id, $0) }
    }

    // MARK: Rows

    private static let columns = "id, agent, chain, registry, digest, token, call, nonce, state, outcome, at"

    private static func post(_ anchor: Anchor, _ hash: [UInt8], _ connection: Connection) throws {
        var document: JSONObject = [
            "type": "PassportAnchor", "id": .string(anchor.id), "agent": .string(anchor.agent),
            "agentRegistry": .string(anchor.registryName), "sha256": .string(Hex.encode(anchor.digest)),
            "outcome": .string(anchor.state.name), "transaction": .string(EthereumHex.text(hash)),
        ]
        document["agentId"] = anchor.token.map { .string($0.description) }
        try Outbox.post(
            kind: "anchor",
            reference: anchor.id,
            document: JSONValue.object(document).serialized(),
            isOnlyCopy: true,
            in: connection
        )
    }

    private static func anchor(_ id: String, _ connection: Connection) throws -> Anchor? {
        try connection.first("SELECT \(columns) FROM chain_anchors WHERE id = ?", .text(id)).map(anchor)
    }

    private static func open(
        _ agent: String,
        _ chain: String,
        _ registry: Address,
        _ connection: Connection
    ) throws -> Anchor? {
        try connection.first(
            "SELECT \(columns) FROM chain_anchors WHERE agent = ? AND chain = ? AND registry = ? AND state = 'open'",
            .text(agent),
            .text(chain),
            .blob(registry.bytes)
        ).map(anchor)
    }

    private static func anchor(_ row: Row) throws -> Anchor {
        let state: Anchor.State =
            switch try row.text(8) {
            case "confirmed": .confirmed(hash: try row.blob(9))
            case "failed": .failed(hash: try row.blob(9))
            default: .open
            }
        return Anchor(
            id: try row.text(0),
            agent: try row.text(1),
            chainID: try UInt256(decimal: row.text(2)),
            registry: try Address(bytes: row.blob(3)),
            digest: try row.blob(4),
            token: try row.optionalText(5).map { try UInt256(decimal: $0) },
            call: try row.blob(6),
            nonce: try row.uint64(7),
            state: state,
            at: Timestamp(millisecondsSince1970: try row.int64(10))
        )
    }
}

extension Anchor {
    /// `eip155:<chain>:<contract>`.
    public var registryName: String { "eip155:\(chainID):\(registry)" }
}
