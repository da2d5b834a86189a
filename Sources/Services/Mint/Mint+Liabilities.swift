internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Liabilities
internal import Logging
internal import SignedDocuments
internal import Synchronization
internal import Workers

/// Proof of liabilities (`Specs/proof-of-liabilities.md`): epochs are closed by the housekeeping, their trees built from
/// the database in the background, and their roots signed.
extension Mint {
    /// Of so many epochs the pages are kept; statements are kept for ever.
    private static let epochsWithPages: Int64 = 8
    /// Rows read at once while a tree is built, and the pause after them, which leaves the machine to the swaps.
    private static let rowsAtOnce = 2000
    private static let pauseMilliseconds = 2

    /// Closes the epoch where its time has come, and finishes the statements of closed ones.
    package func proveLiabilities() async throws {
        guard statementSigner != nil, let interval = configuration.epochSeconds else { return }
        let last = try await store.lastEpoch()
        if last.map({ clock.now() >= $0.closedAt.adding(seconds: interval) }) ?? true {
            _ = try await store.closeEpoch(at: clock.now())
        }
        try await signClosedEpochs()
    }

    /// Closes the epoch now and signs its statement.
    /// - Returns: the signed document, as JSON text.
    /// - Throws: `MintSetupError` where the mint has no key to sign with, or a statement is being made already.
    public func closeEpoch() async throws -> String {
        guard statementSigner != nil else {
            throw MintSetupError(.configuration, "this mint has no key to sign statements with")
        }
        let closed = try await store.closeEpoch(at: clock.now())
        try await signClosedEpochs()
        guard let statement = try await store.epoch(closed.number)?.statement else {
            throw MintSetupError(.busy, "epoch \(closed.number) is closed; its statement is being made already")
        }
        return statement
    }

    private func signClosedEpochs() async throws {
        guard let statementSigner else { return }
        let isFirst = isProving.withLock { isProving in
            defer { isProving = true }
            return !isProving
        }
        guard isFirst else { return }
        defer { isProving.withLock { $0 = false } }
        for epoch in try await store.epochsWithoutStatement() {
            let statement = try await statement(of: epoch)
            let document = try statement.signed(by: statementSigner, at: clock.now())
            try await store.keep(
                statement: String(decoding: JSONValue.object(document).serialized(), as: UTF8.self),
                epoch: epoch.number,
                keepingPagesFrom: epoch.number - Self.epochsWithPages + 1
            )
            logger.notice("statement of liabilities signed", metadata: ["epoch": "\(epoch.number)"])
        }
    }

    private func statement(of epoch: ClosedEpoch) async throws -> LiabilityStatement {
        var keysets: [LiabilityStatement.Keyset] = []
        for keyset in ring.all.sorted(by: { $0.id.hex < $1.id.hex }) {
            let issued = try await tree(.issued, of: keyset.id, epoch: epoch.number)
            let spent = try await tree(.spent, of: keyset.id, epoch: epoch.number)
            keysets.append(try .init(id: keyset.id.hex, unit: keyset.unit.name, issued: issued, spent: spent))
        }
        var previous: String?
        if epoch.number > 1 {
            guard let text = try await store.epoch(epoch.number - 1)?.statement else {
                throw LiabilityError(.malformed, "epoch \(epoch.number - 1) has no statement to follow")
            }
            previous = try LiabilityStatement.digest(of: JSONValue.parse(Array(text.utf8)).requireObject())
        }
        return try LiabilityStatement(
            mint: configuration.urls.first ?? "",
            epoch: UInt64(clamping: epoch.number),
            closedAt: epoch.closedAt,
            previous: previous,
            keysets: keysets
        )
    }

    /// Builds a tree from the rows of its epochs, which nothing changes any more, and keeps its pages.
    private func tree(_ side: LiabilitySide, of keyset: KeysetID, epoch: Int64) async throws -> LiabilityNode {
        var tree = LiabilityTree(pageLimit: configuration.limits.liabilityPageEntries)
        var from: [UInt8] = []
        while true {
            let rows = try await store.liabilities(
                side,
                of: keyset,
                upTo: epoch,
                from: from,
                before: nil,
                count: Self.rowsAtOnce
            )
            for row in rows { try tree.add(key: row.key, amount: row.amount) }
            guard rows.count == Self.rowsAtOnce, let last = rows.last else { break }
            // The least key that is after the last one.
            from = last.key + [0]
            try await Task.sleep(for: .milliseconds(Self.pauseMilliseconds))
        }
        let index = try tree.index()
        try await store.keep(index, side, of: keyset, epoch: epoch)
        return index.root
    }

    // MARK: Answers

    /// `GET /liabilities` and `/liabilities/{epoch}`: the signed statement.
    /// - Throws: `MintFailure` 404.
    package func liabilityStatement(epoch: String?) async throws -> [UInt8] {
        let number = try epoch.map { try Self.number($0, "epoch") }
        guard let statement = try await store.epoch(number)?.statement else {
            throw MintFailure.notFound("the mint has signed no statement of liabilities for that epoch yet")
        }
        return Array(statement.utf8)
    }

    /// `GET /liabilities/{epoch}/{keyset}/{side}`: the pages' nodes.
    package func liabilityIndex(epoch: String, keyset: String, side: String) async throws -> [UInt8] {
        try await pageGate.within {
            try await index(Self.number(epoch, "epoch"), keyset, side).index.json.serialized()
        }
    }

    /// `GET /liabilities/{epoch}/{keyset}/{side}/{page}`: one page's entries.
    package func liabilityPage(epoch: String, keyset: String, side: String, page: String) async throws -> [UInt8] {
        try await pageGate.within {
            let epoch = try Self.number(epoch, "epoch")
            let (index, keyset, side) = try await index(epoch, keyset, side)
            guard let page = Int(exactly: try Self.number(page, "page")), index.lines.indices.contains(page) else {
                throw MintFailure.notFound("that tree has \(index.lines.count) pages, counted from 0")
            }
            let next = page + 1
            let rows = try await store.liabilities(
                side,
                of: keyset,
                upTo: epoch,
                from: index.lines[page].from,
                before: next < index.lines.count ? index.lines[next].from : nil,
                count: LiabilityPage.maximumEntries
            )
            return try await workers.run {
                try LiabilityPage(rows.map { LiabilityEntry(key: $0.key, amount: $0.amount) }).json.serialized()
            }
        }
    }

    private func index(
        _ epoch: Int64,
        _ keyset: String,
        _ side: String
    ) async throws -> (index: LiabilityIndex, keyset: KeysetID, side: LiabilitySide) {
        guard let keyset = try? KeysetID(hex: keyset), ring[keyset] != nil, let side = LiabilitySide(name: side) else {
            throw MintFailure.notFound("there is no such tree: the path ends in a keyset's id and issued or spent")
        }
        guard let index = try await store.liabilityIndex(side, of: keyset, epoch: epoch) else {
            throw MintFailure.notFound("the pages of that epoch are not there: those of the last few are kept")
        }
        return (index, keyset, side)
    }

    private static func number(_ text: String, _ name: String) throws(MintFailure) -> Int64 {
        guard text.utf8.count <= 18, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int64(text)
        else {
            throw .notFound("\(name) is a whole number")
        }
        return number
    }
}

extension MintFailure {
    static func notFound(_ detail: String) -> MintFailure {
        MintFailure(status: 404, MintError(.malformedRequest, detail))
    }
}
