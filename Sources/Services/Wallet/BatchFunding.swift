internal import Cashu
internal import Encodings
internal import Logging
internal import Storage
internal import Synchronization

extension MintInfo {
    /// The most bolt11 quotes that the mint takes in one batch (NUT-29); nil where it takes no batch of two.
    var bolt11Batch: Int? {
        guard let setting = batchMinting, setting.methods?.contains(.bolt11) ?? true else { return nil }
        let told = [setting.maximumBatch, maximumArrayLength].compactMap { $0.map { Int(clamping: $0) } }
        let size = told.reduce(CashuLimits.batchQuotes, min)
        return size > 1 ? size : nil
    }
}

extension Wallet {
    /// The most open fundings that one round looks at; the rest wait for the next.
    private static let fundingsOfARound = 200

    private struct Place: Hashable {
        var mint: MintURL
        var unit: CurrencyUnit
    }

    /// Fetches the coins of every invoice that was paid meanwhile: those of one mint and unit in as few requests as it
    /// takes (NUT-29), the others one by one. Those of which their mint tells by itself (NUT-17) are left to `watch`, but
    /// for every five minutes.
    /// - Returns: how many invoices brought coins.
    public func collectFundings() async throws -> Int {
        let open = try await database.read { connection in
            try connection.rows(
                """
                SELECT \(Funding.columns) FROM wallet_fundings WHERE state IN ('open', 'paying')
                ORDER BY created_at LIMIT ?
                """,
                .int(Self.fundingsOfARound)
            ).map(Funding.init(row:))
        }
        let isFullRound = startsFullRound()
        return try await collect(
            open.filter { isFullRound || !isWatched(.mintQuote, $0.quote.string, at: $0.mint) }
        )
    }

    /// Whether it is time to ask also about what the mints tell of by themselves.
    private func startsFullRound() -> Bool {
        let now = clock.now()
        return watches.withLock { watches in
            if let last = watches.lastFullRound, last <= now, now < last.adding(seconds: Watches.fullRoundSeconds) {
                return false
            }
            watches.lastFullRound = now
            return true
        }
    }

    /// - Parameter fundings: of any mints.
    func collect(_ fundings: [Funding]) async throws -> Int {
        var collected = 0
        var alone: [Funding] = []
        let places = Dictionary(grouping: fundings) { Place(mint: $0.mint, unit: $0.unit) }
        for (place, group) in places.sorted(by: {
            ($0.key.mint.string, $0.key.unit.name) < ($1.key.mint.string, $1.key.unit.name)
        }) {
            guard group.count > 1, let size = try await book.info(place.mint)?.bolt11Batch else {
                alone += group
                continue
            }
            for part in group.chunks(of: size) {
                let outcome = try await collectTogether(part, at: place)
                collected += outcome.collected
                alone += outcome.left
            }
        }
        for funding in alone {
            do {
                _ = try await collect(funding)
                collected += 1
            } catch let error as WalletError {
                logger.debug(
                    "a funding is still open",
                    metadata: ["quote": "\(funding.quote)", "why": "\(error.message)"]
                )
            }
        }
        return collected
    }

    /// Asks once for all of them, and fetches the coins of those that are paid at once.
    /// - Returns: how many brought coins, and those that are to be looked at one by one: what the mint says of them is
    ///   nothing for a batch, or it refused the batch.
    private func collectTogether(_ fundings: [Funding], at place: Place) async throws -> (
        collected: Int, left: [Funding]
    ) {
        let quotes: [MintQuote]
        do {
            quotes = try await book.client(place.mint).mintQuotes(MintQuoteCheckRequest(quotes: fundings.map(\.quote)))
        } catch {
            logger.debug(
                "a mint did not tell of several quotes at once",
                metadata: ["mint": "\(place.mint)", "why": "\(error.message)"]
            )
            if case .notSent = error.kind { return (0, []) }
            return (0, fundings)
        }
        var paid: [Funding] = []
        var left: [Funding] = []
        for (funding, quote) in zip(fundings, quotes) {
            switch quote.state {
            case .unpaid: _ = try await unpaid(funding)
            case .paid where quote.amountMintable == funding.amount && quote.unit == funding.unit: paid.append(funding)
            case .paid, .issued: left.append(funding)
            }
        }
        guard paid.count > 1 else { return (0, left + paid) }
        do {
            return (try await mint(paid, at: place), left)
        } catch let error as WalletError where error.code == .outcomeUnknown {
            logger.notice("a batch of fundings goes on later", metadata: ["why": "\(error.message)"])
            return (0, left)
        } catch is TooFew {
            return (0, left + paid)
        } catch let error as WalletError {
            logger.notice(
                "a batch of fundings was refused; they are fetched one by one",
                metadata: ["mint": "\(place.mint)", "why": "\(error.message)"]
            )
            return (0, left + paid)
        }
    }

    /// Others have fetched, or are fetching, all but one of the fundings, or their sum is more than can be counted.
    private struct TooFew: Error {}

    /// One operation for all of them. Whoever else asks for one of them meanwhile waits for the same operation.
    private func mint(_ fundings: [Funding], at place: Place) async throws -> Int {
        let result = try await perform(at: place.mint, unit: place.unit) { planner, connection in
            let free = try fundings.filter { funding in
                guard case .none = try Self.pendingMint(funding, in: connection) else { return false }
                return true
            }
            let sum = free.reduce(UInt64(0)) { $0.addingReportingOverflow($1.amount).overflow ? .max : $0 + $1.amount }
            guard free.count > 1, sum <= UInt64(Int64.max) else { throw TooFew() }
            return try planner.mint(sum, batch: free.map(\.quote), in: connection)
        }
        return result.operation.batch.count
    }
}
