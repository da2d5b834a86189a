internal import Foundation
internal import Libp2p
public import Storage

/// Peers and bans on disk, in a database that others may share.
public struct PeerStore: Sendable {
    public static let migrations = [
        Migration(
            id: "peering-1",
            sql: """
                CREATE TABLE peering_peers (
                    peer BLOB PRIMARY KEY,
                    record BLOB,
                    sequence INTEGER NOT NULL,
                    teller BLOB,
                    added_at INTEGER NOT NULL,
                    last_connected INTEGER,
                    failures INTEGER NOT NULL
                ) WITHOUT ROWID, STRICT;
                CREATE TABLE peering_addresses (
                    peer BLOB NOT NULL REFERENCES peering_peers (peer) ON DELETE CASCADE,
                    address BLOB NOT NULL,
                    source TEXT NOT NULL,
                    last_success INTEGER,
                    last_failure INTEGER,
                    PRIMARY KEY (peer, address)
                ) WITHOUT ROWID, STRICT;
                CREATE TABLE peering_bans (
                    kind TEXT NOT NULL CHECK (kind IN ('peer', 'place')),
                    subject BLOB NOT NULL,
                    since INTEGER NOT NULL,
                    until INTEGER,
                    reason TEXT NOT NULL,
                    manual INTEGER NOT NULL,
                    strike_thousandths INTEGER NOT NULL,
                    PRIMARY KEY (kind, subject)
                ) WITHOUT ROWID, STRICT;
                """
        )
    ]

    private let database: Database

    public init(_ database: Database) {
        self.database = database
    }

    // MARK: Peers

    /// What cannot be read any more, such as an address of a protocol that is not spoken now, is left out.
    func peers() async throws -> [PeerBook.Entry] {
        try await database.read { connection in
            var entries: [PeerID: PeerBook.Entry] = [:]
            try connection.each(
                "SELECT peer, record, sequence, teller, added_at, last_connected, failures FROM peering_peers"
            ) { row in
                guard let peer = try? PeerID(bytes: try row.blob(0)) else { return }
                var entry = PeerBook.Entry(peer: peer, addedAt: try row.int64(4))
                entry.record = try row.optionalBlob(1)
                entry.sequence = UInt64(bitPattern: try row.int64(2))
                entry.teller = try row.optionalBlob(3).flatMap { try? PeerID(bytes: $0) }
                entry.lastConnected = try row.optionalInt64(5)
                entry.failures = try row.int(6)
                entries[peer] = entry
            }
            try connection.each(
                "SELECT peer, address, source, last_success, last_failure FROM peering_addresses ORDER BY peer, address"
            ) { row in
                guard let peer = try? PeerID(bytes: try row.blob(0)),
                    let address = try? Multiaddr(bytes: try row.blob(1)),
                    let source = PeerSource(rawValue: try row.text(2))
                else { return }
                entries[peer]?.addresses.append(
                    PeerBook.Address(
                        address: address,
                        source: source,
                        lastSuccess: try row.optionalInt64(3),
                        lastFailure: try row.optionalInt64(4)
                    )
                )
            }
            return entries.values.filter { !$0.addresses.isEmpty }
        }
    }

    func keep(_ changes: [(PeerID, PeerBook.Entry?)]) async throws {
        guard !changes.isEmpty else { return }
        try await database.write { connection in
            for (peer, entry) in changes {
                try connection.execute("DELETE FROM peering_peers WHERE peer = ?", .blob(peer.bytes))
                guard let entry else { continue }
                try connection.execute(
                    """
                    INSERT INTO peering_peers (peer, record, sequence, teller, added_at, last_connected, failures)
                    VALUES (?, ?, ?, ?, ?, ?, ?)
                    """,
                    .blob(peer.bytes),
                    .optional(entry.record),
                    .integer(Int64(bitPattern: entry.sequence)),
                    .optional(entry.teller?.bytes),
                    .integer(entry.addedAt),
                    .optional(entry.lastConnected),
                    .int(entry.failures)
                )
                for address in entry.addresses {
                    try connection.execute(
                        """
                        INSERT INTO peering_addresses (peer, address, source, last_success, last_failure)
                        VALUES (?, ?, ?, ?, ?)
                        """,
                        .blob(peer.bytes),
                        .blob(address.address.bytes),
                        .text(address.source.rawValue),
                        .optional(address.lastSuccess),
                        .optional(address.lastFailure)
                    )
                }
            }
        }
    }

    // MARK: Bans

    func bans() async throws -> [BanBook.Ban] {
        try await database.read { connection in
            var bans: [BanBook.Ban] = []
            try connection.each(
                "SELECT kind, subject, since, until, reason, manual, strike_thousandths FROM peering_bans"
            ) { row in
                let bytes = try row.blob(1)
                let subject: BanBook.Subject
                if try row.text(0) == "peer" {
                    guard let peer = try? PeerID(bytes: bytes) else { return }
                    subject = .peer(peer)
                } else {
                    subject = .place(bytes)
                }
                bans.append(
                    BanBook.Ban(
                        subject: subject,
                        since: try row.int64(2),
                        until: try row.optionalInt64(3),
                        reason: try row.text(4),
                        isManual: try row.bool(5),
                        strikes: Double(try row.int64(6)) / 1_000
                    )
                )
            }
            return bans
        }
    }

    func keep(_ changes: [(BanBook.Subject, BanBook.Ban?)]) async throws {
        guard !changes.isEmpty else { return }
        try await database.write { connection in
            for (subject, ban) in changes {
                let (kind, bytes) =
                    switch subject {
                    case .peer(let peer): ("peer", peer.bytes)
                    case .place(let place): ("place", place)
                    }
                guard let ban else {
                    try connection.execute(
                        "DELETE FROM peering_bans WHERE kind = ? AND subject = ?",
                        .text(kind),
                        .blob(bytes)
                    )
                    continue
                }
                try connection.execute(
                    """
                    INSERT OR REPLACE INTO peering_bans
                        (kind, subject, since, until, reason, manual, strike_thousandths)
                    VALUES (?, ?, ?, ?, ?, ?, ?)
                    """,
                    .text(kind),
                    .blob(bytes),
                    .integer(ban.since),
                    .optional(ban.until),
                    .text(ban.reason),
                    .bool(ban.isManual),
                    .integer(Int64(ban.strikes * 1_000))
                )
            }
        }
    }
}
