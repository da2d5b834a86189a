internal import Cashu
internal import Encodings
internal import Logging
internal import Storage
internal import Synchronization

/// What the wallet's watch is at.
struct Watches: Sendable {
    /// The most mints whose WebSockets are open at once.
    static let maximumMints = 32
    /// How often what a mint tells of by itself is asked about all the same.
    static let fullRoundSeconds: Int64 = 300

    var byMint: [MintURL: MintWatch] = [:]
    var lastFullRound: Timestamp?
}

extension Wallet {
    // MARK: What is waited for

    /// What waits for news, by mint: invoices to be paid, payments under way, tokens to be claimed. Only what the mint
    /// says that it tells of (NUT-06).
    func wants() async throws -> [MintURL: Wants] {
        let rows = try await database.read { connection in
            (
                fundings: try connection.rows(
                    """
                    SELECT mint, unit, quote FROM wallet_fundings WHERE state IN ('open', 'paying')
                    ORDER BY created_at DESC LIMIT 2000
                    """
                ).map { (try MintURL(stored: $0.text(0)), try CurrencyUnit($0.text(1)), try $0.text(2)) },
                melts: try connection.rows(
                    """
                    SELECT mint, unit, quote FROM wallet_operations WHERE state = 'planned' AND kind = 'melt'
                    ORDER BY planned_at LIMIT 1000
                    """
                ).map { (try MintURL(stored: $0.text(0)), try CurrencyUnit($0.text(1)), try $0.text(2)) },
                coins: try connection.rows(
                    """
                    SELECT p.mint, p.unit, p.y FROM wallet_tokens t JOIN wallet_proofs p ON p.holder = t.id
                    WHERE t.state = 'sent' AND p.state = 'sent' ORDER BY t.created_at DESC LIMIT 2000
                    """
                ).map { (try MintURL(stored: $0.text(0)), try CurrencyUnit($0.text(1)), Hex.encode(try $0.blob(2))) }
            )
        }
        var wants: [MintURL: Wants] = [:]
        var infos: [MintURL: MintInfo] = [:]
        for (kind, entries) in [
            (SubscriptionKind.mintQuote, rows.fundings), (.meltQuote, rows.melts), (.proofState, rows.coins),
        ] {
            for (mint, unit, filter) in entries {
                if infos[mint] == nil { infos[mint] = try await book.info(mint) }
                guard infos[mint]?.supportsSubscription(kind, unit: unit) == true else { continue }
                wants[mint, default: Wants()].add(kind, CollectionOfOne(filter))
            }
        }
        return wants
    }

    // MARK: Being told

    /// Lets the mints tell over their WebSockets (NUT-17) what became of invoices, payments and tokens, until the task is
    /// cancelled. What they tell is a hint: money moves only after the ordinary question. Calls at the same time are one
    /// too many.
    public func watch() async {
        await withTaskGroup(of: Void.self) { group in
            while !Task.isCancelled {
                let seen = bell.rings
                do {
                    for watch in adjustWatches(to: try await wants()) { group.addTask { await watch.run() } }
                } catch {
                    logger.warning("what the wallet waits for cannot be read", metadata: ["error": "\(error)"])
                }
                await bell.wait(after: seen, milliseconds: pace.roundMilliseconds)
            }
            group.cancelAll()
        }
        watches.withLock { $0.byMint = [:] }
    }

    /// - Returns: watches that are new.
    private func adjustWatches(to wants: [MintURL: Wants]) -> [MintWatch] {
        watches.withLock { watches in
            for (mint, watch) in watches.byMint { watch.set(wants[mint] ?? Wants()) }
            var fresh: [MintWatch] = []
            for (mint, wants) in wants.sorted(by: { $0.key.string < $1.key.string })
            where watches.byMint[mint] == nil && watches.byMint.count < Watches.maximumMints {
                let watch = MintWatch(mint, connector: connector, pace: pace, logger: logger) { [weak self] looks in
                    await self?.look(looks, at: mint)
                }
                watch.set(wants)
                watches.byMint[mint] = watch
                fresh.append(watch)
            }
            return fresh
        }
    }

    /// Whether the mint tells of this by itself now, so that nobody needs to ask.
    func isWatched(_ kind: SubscriptionKind, _ filter: String, at mint: MintURL) -> Bool {
        watches.withLock { $0.byMint[mint] }?.isWatching(kind, filter) ?? false
    }

    /// Asks the ordinary way about what a mint has hinted at.
    private func look(_ looks: [SubscriptionKind: Set<String>], at mint: MintURL) async {
        do {
            try await lookAtFundings(looks[.mintQuote] ?? [], at: mint)
            try await lookAtMelts(looks[.meltQuote] ?? [], at: mint)
            try await lookAtTokens(looks[.proofState] ?? [], at: mint)
        } catch {
            logger.notice("what a mint told of is looked at later", metadata: ["mint": "\(mint)", "why": "\(error)"])
        }
        bell.ring()
    }

    private func lookAtFundings(_ quotes: Set<String>, at mint: MintURL) async throws {
        guard !quotes.isEmpty else { return }
        let fundings = try await database.read { connection in
            try quotes.sorted().compactMap { quote in
                try connection.first(
                    """
                    SELECT \(Funding.columns) FROM wallet_fundings
                    WHERE mint = ? AND quote = ? AND state IN ('open', 'paying')
                    """,
                    .text(mint.string),
                    .text(quote)
                ).map(Funding.init(row:))
            }
        }
        _ = try await collect(fundings)
    }

    private func lookAtMelts(_ quotes: Set<String>, at mint: MintURL) async throws {
        guard !quotes.isEmpty else { return }
        let planned = try await database.read { connection in try Operation.planned(in: connection) }
        for operation in planned where operation.kind == .melt && operation.mint == mint {
            guard let quote = operation.quote, quotes.contains(quote.string) else { continue }
            try await runner.takeUp(operation)
        }
    }

    private func lookAtTokens(_ points: Set<String>, at mint: MintURL) async throws {
        let tokens = try await database.read { connection in
            var tokens: [String: SentToken] = [:]
            for point in points {
                guard let coin = try CoinStore.find(Hex.decode(point), in: connection), let holder = coin.holder,
                    tokens[holder] == nil, coin.mint == mint
                else { continue }
                tokens[holder] = try TokenStore.find(holder, in: connection)
            }
            return tokens.values.filter { $0.state == .sent }
        }
        for token in tokens { _ = try await isClaimed(token) }
    }

    // MARK: Waiting for one

    /// Waits until the coins of a funding are here. Where the mint tells of it by itself, it is not asked again and again.
    /// - Parameter seconds: how long at most, 0 to 600; 0: asks once.
    /// - Returns: the state it has then.
    /// - Throws: `notFound`; what `collect` throws, but for `invoiceUnpaid` and `invoiceExpired`.
    public func awaitFunding(_ quote: String, seconds: Int64) async throws -> Funding {
        let clock = ContinuousClock()
        let deadline = clock.now + .seconds(min(max(0, seconds), 600))
        var isFirst = true
        while true {
            let seen = bell.rings
            var funding = try await funding(quote)
            guard funding.state == .open || funding.state == .paying else { return funding }
            let isWatched = isWatched(.mintQuote, quote, at: funding.mint)
            if isFirst || !isWatched {
                do {
                    _ = try await collect(funding)
                    funding.state = .issued
                    return funding
                } catch let error as WalletError where error.code == .invoiceUnpaid {
                    // Still open.
                } catch let error as WalletError where error.code == .invoiceExpired {
                    funding.state = .expired
                    return funding
                }
            }
            isFirst = false
            let left = clock.now.duration(to: deadline).components.seconds
            guard left > 0, !Task.isCancelled else { return funding }
            await bell.wait(after: seen, milliseconds: isWatched ? min(left * 1000, 5000) : 1000)
        }
    }

    private func funding(_ quote: String) async throws -> Funding {
        let found = try await database.read { connection in
            try connection.first("SELECT \(Funding.columns) FROM wallet_fundings WHERE quote = ?", .text(quote))
                .map(Funding.init(row:))
        }
        guard let found else { throw WalletError(.notFound, "there is no funding \(quote.prefix(80))") }
        return found
    }
}
