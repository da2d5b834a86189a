internal import CanonicalJSON
public import Cashu
internal import Cryptography
public import Encodings
internal import Liabilities
internal import SignedDocuments
internal import Storage

/// What came of holding a mint's statement of liabilities against the wallet's own coins.
public struct LiabilityReport: Sendable {
    public var mint: MintURL
    /// The statement's number, when it was closed, and the did:key that signed it.
    public var epoch: UInt64
    public var closedAt: Timestamp
    public var signer: String
    /// Whether this wallet had seen a statement of this mint before, and held this one against it.
    public var followsKnown: Bool
    /// Coins that the statement counts as issued and not as spent.
    public var coinsProven = 0
    /// What those are worth, by unit.
    public var amountsProven: [String: UInt64] = [:]
    /// Coins that are newer than the statement and not in it yet.
    public var coinsTooNew = 0
    /// Coins whose blinding factor this wallet does not have, so that it cannot look for them.
    public var coinsUnprovable = 0
    /// A sentence for each thing that is wrong; empty where all is well.
    public var findings: [String] = []
}

/// A coin as the audit looks at it.
private struct AuditedCoin: Sendable {
    var y: [UInt8]
    /// The blinded message that the mint signed for it, 33 bytes; nil where the blinding factor is not there.
    var blinded: [UInt8]?
    var keyset: KeysetID
    var amount: UInt64
    var unit: CurrencyUnit
    var changedAt: Timestamp
}

extension Wallet {
    /// A coin that was in the wallet so long before a statement was closed must be in it.
    private static let statementMarginSeconds: Int64 = 120
    /// So many statements between the last one seen and the latest are fetched and checked.
    private static let maximumChain: UInt64 = 400

    /// Checks a mint's latest statement of liabilities (`Specs/proof-of-liabilities.md`): its signature, its sums, that it
    /// follows those seen before, and that every coin of this wallet is in it as issued and not as spent.
    ///
    /// It fetches whole pages, so that the mint does not learn which of their coins are this wallet's.
    /// - Throws: `mintUnreachable`; `mintRefused` where the mint makes no statements; `mintDishonest` where the statement
    ///   itself cannot be relied on; `notFound` for a mint where this wallet has no coins.
    public func auditLiabilities(of mint: MintURL) async throws -> LiabilityReport {
        guard try await database.read({ try CoinStore.hasUnspent(mint: mint, in: $0) }) else {
            throw WalletError(.notFound, "this wallet has no coins of \(mint) to look for")
        }
        let api = await book.client(mint)
        do {
            let terms = try await book.terms(mint)
            let (document, statement, signer) = try await Self.statement(api, nil)
            // Read after the statement: one that was spent before it was closed is not here any more.
            let coins = try await auditedCoins(of: mint)
            var report = LiabilityReport(
                mint: mint,
                epoch: statement.epoch,
                closedAt: statement.closedAt,
                signer: signer,
                followsKnown: false
            )
            try await holdAgainstKnown(document, statement, api: api, report: &report)
            let closed = statement.closedAt.secondsSince1970 - Self.statementMarginSeconds
            for (keyset, coins) in Dictionary(grouping: coins, by: \.keyset).sorted(by: { $0.key < $1.key }) {
                try await Self.check(coins, of: keyset, in: statement, api: api, report: &report) { coin in
                    terms.mintSeconds(at: coin.changedAt) < closed
                }
            }
            if report.findings.isEmpty { try await remember(document, of: mint, signer: signer) }
            return report
        } catch let error as LiabilityError {
            throw WalletError(
                .mintDishonest,
                "the liabilities that \(mint) shows cannot be relied on: \(error.message)"
            )
        } catch let error as MintAPIError {
            throw WalletError(error, mint: mint)
        }
    }

    // MARK: Coins

    private func auditedCoins(of mint: MintURL) async throws -> [AuditedCoin] {
        let rows = try await database.read { connection in
            try CoinStore.unspent(mint: mint, in: connection)
        }
        return try rows.map { coin, changedAt in
            var blinded: [UInt8]?
            if let factor = coin.proof.dleq?.blindingFactor {
                let secret = BlindingSecret(
                    amount: coin.proof.amount,
                    keysetID: coin.proof.keysetID,
                    secret: coin.proof.secret,
                    blindingFactor: try Secp256k1.Scalar(bytes: factor)
                )
                blinded = try secret.output().blindedSecret.compressed
            }
            return AuditedCoin(
                y: coin.y,
                blinded: blinded,
                keyset: coin.proof.keysetID,
                amount: coin.proof.amount,
                unit: coin.unit,
                changedAt: changedAt
            )
        }
    }

    private static func check(
        _ coins: [AuditedCoin],
        of keyset: KeysetID,
        in statement: LiabilityStatement,
        api: any MintAPI,
        report: inout LiabilityReport,
        mustBeIn: (AuditedCoin) -> Bool
    ) async throws {
        guard let said = statement.keysets.first(where: { $0.id == keyset.hex }) else {
            let old = coins.filter(mustBeIn)
            report.coinsTooNew += coins.count - old.count
            if !old.isEmpty {
                report.findings.append(
                    "the statement leaves out keyset \(keyset), of which \(old.count) coins are here"
                )
            }
            return
        }
        let place = "/\(statement.epoch)/\(keyset.hex)"
        let issued = try await entries(
            of: coins.compactMap(\.blinded),
            in: said.issued,
            at: place + "/issued",
            api: api
        )
        let spent = try await entries(of: coins.map(\.y), in: said.spent, at: place + "/spent", api: api)
        for coin in coins {
            if spent[coin.y] != nil {
                report.findings.append(
                    "the mint counts a coin of \(coin.amount) \(coin.unit) as spent that is here unspent"
                )
                continue
            }
            guard let blinded = coin.blinded else {
                report.coinsUnprovable += 1
                continue
            }
            switch issued[blinded] {
            case coin.amount?:
                report.coinsProven += 1
                report.amountsProven[coin.unit.name, default: 0] += coin.amount
            case let other?:
                report.findings.append(
                    "the mint counts a coin of \(coin.amount) \(coin.unit) as one of \(other)"
                )
            case nil where mustBeIn(coin):
                report.findings.append(
                    "the mint leaves out a coin of \(coin.amount) \(coin.unit) that was issued before the epoch closed"
                )
            case nil: report.coinsTooNew += 1
            }
        }
    }

    /// What stands beside each key that is in the tree, from the pages where they would be.
    private static func entries(
        of keys: [[UInt8]],
        in root: LiabilityNode,
        at place: String,
        api: any MintAPI
    ) async throws -> [[UInt8]: UInt64] {
        guard !keys.isEmpty else { return [:] }
        let index = try LiabilityIndex(json: try await api.liabilities(place))
        guard index.root == root else {
            throw LiabilityError(.hashMismatch, "the pages of \(place) do not hash to the root that was signed")
        }
        var found: [[UInt8]: UInt64] = [:]
        // In no order that tells of the coins'.
        for (number, keys) in Dictionary(grouping: keys, by: index.page(ofKey:)).shuffled() {
            let page = try LiabilityPage(json: try await api.liabilities("\(place)/\(number)"))
            guard try page.node() == index.lines[number].node else {
                throw LiabilityError(.hashMismatch, "page \(number) of \(place) does not hash to what the index says")
            }
            for key in keys { found[key] = page.amount(ofKey: key) }
        }
        return found
    }

    // MARK: Statements

    private static func statement(
        _ api: any MintAPI,
        _ epoch: UInt64?
    ) async throws -> (document: JSONObject, statement: LiabilityStatement, signer: String) {
        let json = try await api.liabilities(epoch.map { "/\($0)" } ?? "")
        guard let document = json.objectValue else {
            throw LiabilityError(.malformed, "a statement is a JSON object")
        }
        let (statement, signer) = try LiabilityStatement.verified(document)
        guard epoch == nil || statement.epoch == epoch else {
            throw LiabilityError(.malformed, "the mint answered with another epoch than was asked for")
        }
        return (document, statement, signer.string)
    }

    /// Follows the chain from the latest statement back to the one seen last ([POL-8]).
    private func holdAgainstKnown(
        _ document: JSONObject,
        _ statement: LiabilityStatement,
        api: any MintAPI,
        report: inout LiabilityReport
    ) async throws {
        let mint = report.mint.string
        let stored = try await database.read { connection in
            try connection.first("SELECT statement, signer FROM wallet_liabilities WHERE mint = ?", .text(mint)).map {
                (statement: try $0.text(0), signer: try $0.text(1))
            }
        }
        guard let stored else { return }
        let known = try JSONValue.parse(Array(stored.statement.utf8)).requireObject()
        let (earlier, _) = try LiabilityStatement.verified(known)
        report.followsKnown = true
        do {
            guard stored.signer == report.signer else {
                throw LiabilityError(
                    .contradiction,
                    "the mint signs with \(report.signer), before with \(stored.signer)"
                )
            }
            try statement.requireFollows(earlier)
            guard statement.epoch - earlier.epoch <= Self.maximumChain else { return }
            var later = statement
            while later.epoch > earlier.epoch + 1 {
                let before = try await Self.statement(api, later.epoch - 1)
                guard later.previous == (try LiabilityStatement.digest(of: before.document)) else {
                    throw LiabilityError(
                        .contradiction,
                        "epoch \(later.epoch) does not follow the statement shown before it"
                    )
                }
                later = before.statement
            }
            if later.epoch > earlier.epoch, later.previous != (try LiabilityStatement.digest(of: known)) {
                throw LiabilityError(
                    .contradiction,
                    "the mint has rewritten epoch \(earlier.epoch), which was seen before"
                )
            }
        } catch let error as LiabilityError where error.code == .contradiction {
            report.findings.append(error.message)
        }
    }

    private func remember(_ document: JSONObject, of mint: MintURL, signer: String) async throws {
        let text = String(decoding: JSONValue.object(document).serialized(), as: UTF8.self)
        let now = clock.now()
        try await database.write { connection in
            try connection.execute(
                """
                INSERT INTO wallet_liabilities (mint, statement, signer, seen_at) VALUES (?, ?, ?, ?)
                ON CONFLICT (mint) DO UPDATE
                SET statement = excluded.statement, signer = excluded.signer, seen_at = excluded.seen_at
                """,
                .text(mint.string),
                .text(text),
                .text(signer),
                .integer(now.millisecondsSince1970)
            )
        }
    }
}
