package import Cashu
package import Encodings
package import Liabilities
internal import Storage

/// Which tree of a keyset: of outputs signed, or of proofs spent.
package enum LiabilitySide: Int64, Sendable, CaseIterable {
    case issued = 0
    case spent = 1

    /// As it stands in paths.
    package var name: String { self == .issued ? "issued" : "spent" }

    package init?(name: String) {
        guard let side = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = side
    }
}

/// An epoch that was closed. Its statement follows, once its trees are built.
package struct ClosedEpoch: Sendable, Equatable {
    package var number: Int64
    package var closedAt: Timestamp
    /// The signed document, as JSON text.
    package var statement: String?
}

/// What a store keeps for the proof of liabilities (`Specs/proof-of-liabilities.md`).
package protocol LiabilityStore: Sendable {
    /// Ends the epoch under way: what is written from here on belongs to the next.
    func closeEpoch(at: Timestamp) async throws -> ClosedEpoch
    /// The latest with a statement where `number` is nil.
    func epoch(_ number: Int64?) async throws -> ClosedEpoch?
    /// The last one closed, with or without a statement.
    func lastEpoch() async throws -> ClosedEpoch?
    /// Closed epochs that have no statement yet, oldest first.
    func epochsWithoutStatement() async throws -> [ClosedEpoch]
    /// Up to `count` entries of a tree whose keys are not before `first`, and not `last` or after it, by key.
    func liabilities(
        _ side: LiabilitySide,
        of keyset: KeysetID,
        upTo epoch: Int64,
        from first: [UInt8],
        before last: [UInt8]?,
        count: Int
    ) async throws -> [(key: [UInt8], amount: UInt64)]
    /// Keeps a tree's pages, in the place of those that an interrupted attempt left.
    func keep(_ index: LiabilityIndex, _ side: LiabilitySide, of keyset: KeysetID, epoch: Int64) async throws
    /// nil where there is none, or its pages are kept no more.
    func liabilityIndex(_ side: LiabilitySide, of keyset: KeysetID, epoch: Int64) async throws -> LiabilityIndex?
    /// Keeps the statement, and drops the pages of epochs before `keepingPagesFrom`.
    func keep(statement: String, epoch: Int64, keepingPagesFrom first: Int64) async throws
}

extension SQLiteMintStore {
    package func closeEpoch(at: Timestamp) async throws -> ClosedEpoch {
        try await database.write { [openEpoch] connection in
            // Not earlier than the one before, whatever the clock does.
            let sql = "SELECT coalesce(max(epoch), 0) + 1, max(closed_at) FROM mint_epochs"
            let row = try connection.first(sql)
            let number = try row?.int64(0) ?? 1
            let closedAt = max(at.millisecondsSince1970, try row?.optionalInt64(1) ?? at.millisecondsSince1970)
            try connection.execute(
                "INSERT INTO mint_epochs (epoch, closed_at) VALUES (?, ?)",
                .integer(number),
                .integer(closedAt)
            )
            openEpoch.number = number + 1
            return ClosedEpoch(
                number: number,
                closedAt: Timestamp(millisecondsSince1970: closedAt),
                statement: nil
            )
        }
    }

    private static func epochs(_ condition: String, in connection: Connection) throws -> [ClosedEpoch] {
        try connection.rows("SELECT epoch, closed_at, statement FROM mint_epochs WHERE \(condition)").map { row in
            ClosedEpoch(
                number: try row.int64(0),
                closedAt: Timestamp(millisecondsSince1970: try row.int64(1)),
                statement: try row.optionalText(2)
            )
        }
    }

    package func epoch(_ number: Int64?) async throws -> ClosedEpoch? {
        let condition = number.map { "epoch = \($0)" } ?? "statement IS NOT NULL ORDER BY epoch DESC LIMIT 1"
        return try await database.read { try Self.epochs(condition, in: $0).first }
    }

    package func lastEpoch() async throws -> ClosedEpoch? {
        try await database.read { try Self.epochs("1 = 1 ORDER BY epoch DESC LIMIT 1", in: $0).first }
    }

    package func epochsWithoutStatement() async throws -> [ClosedEpoch] {
        try await database.read { try Self.epochs("statement IS NULL ORDER BY epoch", in: $0) }
    }

    package func liabilities(
        _ side: LiabilitySide,
        of keyset: KeysetID,
        upTo epoch: Int64,
        from first: [UInt8],
        before last: [UInt8]?,
        count: Int
    ) async throws -> [(key: [UInt8], amount: UInt64)] {
        let number = try entry(of: keyset).number
        let (table, key, condition) =
            switch side {
            case .issued: ("mint_promises", "b", "c IS NOT NULL")
            case .spent: ("mint_proofs", "y", "pending = 0")
            }
        return try await database.read { connection in
            try connection.rows(
                """
                SELECT \(key), amount FROM \(table)
                WHERE \(key) >= ? AND \(key) < ? AND keyset = ? AND \(condition) AND epoch <= ? ORDER BY \(key) LIMIT ?
                """,
                .blob(first),
                .blob(last ?? [0xFF]),
                .integer(number),
                .integer(epoch),
                .int(count)
            ).map { (try $0.blob(0), try $0.uint64(1)) }
        }
    }

    package func keep(_ index: LiabilityIndex, _ side: LiabilitySide, of keyset: KeysetID, epoch: Int64) async throws {
        let number = SQLValue.integer(try entry(of: keyset).number)
        let tree = [SQLValue.integer(epoch), number, .integer(side.rawValue)]
        try await database.write { connection in
            try connection.execute(
                "DELETE FROM mint_liability_pages WHERE epoch = ? AND keyset = ? AND side = ?",
                arguments: tree
            )
        }
        // A few hundred rows a transaction, so that a large tree does not hold up the mint's writing.
        let numbered = Array(index.lines.enumerated())
        for start in stride(from: 0, to: numbered.count, by: 256) {
            let part = numbered[start..<min(start + 256, numbered.count)]
            try await database.write { connection in
                for (page, line) in part {
                    try connection.execute(
                        """
                        INSERT INTO mint_liability_pages (epoch, keyset, side, page, first, hash, sum, count)
                        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                        """,
                        arguments: tree + [
                            .int(page), .blob(line.from), .blob(line.node.hash), try .amount(line.node.sum),
                            try .amount(line.node.count),
                        ]
                    )
                }
            }
        }
    }

    package func liabilityIndex(
        _ side: LiabilitySide,
        of keyset: KeysetID,
        epoch: Int64
    ) async throws -> LiabilityIndex? {
        let number = try entry(of: keyset).number
        return try await database.read { connection in
            let lines = try connection.rows(
                """
                SELECT first, hash, sum, count FROM mint_liability_pages
                WHERE epoch = ? AND keyset = ? AND side = ? ORDER BY page
                """,
                .integer(epoch),
                .integer(number),
                .integer(side.rawValue)
            ).map { row in
                LiabilityIndex.Line(
                    from: try row.blob(0),
                    node: try LiabilityNode(hash: row.blob(1), sum: row.uint64(2), count: row.uint64(3))
                )
            }
            return lines.isEmpty ? nil : try LiabilityIndex(lines)
        }
    }

    package func keep(statement: String, epoch: Int64, keepingPagesFrom first: Int64) async throws {
        try await database.write { connection in
            try connection.execute(
                "UPDATE mint_epochs SET statement = ? WHERE epoch = ? AND statement IS NULL",
                .text(statement),
                .integer(epoch)
            )
            try connection.execute("DELETE FROM mint_liability_pages WHERE epoch < ?", .integer(first))
        }
    }
}
