internal import Encodings
internal import Gateway
internal import Identity
internal import Logging
internal import Market
internal import Passports
internal import Receipts
internal import SignedDocuments
internal import Storage
internal import Trading
internal import Wallet

/// Where the calls come from that this node judges others by.
extension Node {
    static func callBook(
        _ database: Database,
        _ services: NodeServices,
        _ configuration: NodeConfiguration,
        _ ratings: RatingStore?,
        listing: @escaping @Sendable (DIDKey, String) async -> Listing?,
        logger: Logger
    ) -> CallBook {
        let (buyer, gateway, identity) = (services.buyer, services.gateway, services.identity)
        let jobs = services.buyerDesk
        return CallBook(
            database: database,
            viewer: identity.office.issuer,
            seeds: configuration.reputationSeeds,
            sources: CallBook.Sources(
                calls: { side, kind, sequence, count in
                    switch (kind, side) {
                    case (.call, .buyer): try await bought(buyer, sequence, count)
                    case (.call, .seller): try await sold(gateway, sequence, count)
                    case (.job, _): try await jobs.ended(side, after: sequence, limit: count)
                    }
                },
                listing: listing,
                isOwn: { try await isOwn($0, identity) },
                gathered: {
                    do {
                        return try await ratings?.calls() ?? []
                    } catch {
                        // What is thought by own calls does not hang on the cache.
                        logger.warning(
                            "ratings of others are left out until a restart",
                            metadata: ["error": "\(error)"]
                        )
                        return []
                    }
                }
            ),
            clock: .system
        )
    }

    var reputationRoutes: ReputationRoutes {
        ReputationRoutes(calls: calls, ratings: ratings, signer: identity.nodeKeys.node, listing: promises)
    }

    /// What a service of this node's or another's promises, as far as is known here.
    static func promises(
        _ services: NodeServices,
        _ market: MarketPart?
    ) -> @Sendable (DIDKey, String) async -> Listing? {
        let (gateway, issuer) = (services.gateway, services.identity.office.issuer)
        return { seller, service in
            if seller == issuer { return try? gateway.listings()[service]?.get() }
            return try? await market?.index.listing(of: seller, named: service).listing
        }
    }

    /// - Returns: nil where gossip is turned off.
    static func liveness(
        _ gossip: GossipNode?,
        _ market: MarketPart?,
        _ services: NodeServices,
        _ configuration: NodeConfiguration,
        calls: CallBook,
        fence: EpochFence,
        logger: Logger
    ) -> LivenessPart? {
        guard let gossip, let market else { return nil }
        let canary = Canary(
            line: ProbeLine(buyer: services.buyer, allowsLocal: configuration.isLoopback),
            budget: configuration.canaryBudget,
            probesPerHour: configuration.probesPerHour
        ) { [buyer = services.buyer] request in
            guard fence.raised == nil else {
                throw WalletError(.limitExceeded, "no money moves before the operator has looked")
            }
            return try await buyer.pay(request)
        }
        let part = LivenessPart(
            cache: gossip.cache,
            market: market,
            author: services.identity.nodeKeys.node.did,
            canary: canary,
            perHour: configuration.probesPerHour,
            shares: configuration.sharesProbes,
            calls: calls,
            clock: .system,
            logger: logger
        )
        gossip.join(part)
        return part
    }

    /// - Returns: nil where gossip is turned off.
    static func ratings(
        _ gossip: GossipNode?,
        _ market: MarketPart?,
        _ store: RatingStore?,
        _ database: Database,
        _ services: NodeServices,
        _ configuration: NodeConfiguration,
        _ calls: CallBook,
        fence: EpochFence,
        logger: Logger
    ) -> RatingsPart? {
        guard let gossip, let market, let store else { return nil }
        let identity = services.identity
        let fetch = GuardedDocument(allowsLocal: configuration.isLoopback)
        let part = RatingsPart(
            shelf: ReceiptShelf(
                database: database,
                calls: calls,
                countersigner: { try await countersigner(of: $0, at: $1, identity) },
                clock: .system
            ),
            store: store,
            calls: calls,
            records: market.records,
            author: identity.nodeKeys.node.did,
            publishes: configuration.publishesReceipts,
            publicURL: configuration.publicURL,
            isOpen: { fence.raised == nil },
            clock: .system,
            logger: logger
        ) { url, bytes in try await fetch.get(url, maximumBytes: bytes) }
        gossip.join(part)
        return part
    }

    /// The key that a receipt names as its buyer, where this node keeps it, and the passport that it had then.
    private static func countersigner(
        of buyer: ReceiptParty,
        at requested: Timestamp,
        _ identity: IdentityService
    ) async throws -> (signer: DocumentSigner, passport: Passport)? {
        do {
            let credentials = try await identity.registry.credentials(buyer.did.string)
            let passports = try await identity.office.passports(agent: credentials.agentID).map(\.passport)
            let shown = passports.first { passport in
                passport.subject == buyer.did && (buyer.passportID ?? passport.id) == passport.id
                    && passport.validFrom <= requested.adding(seconds: PassportVerifier.clockSkewSeconds)
                    && requested < passport.validUntil
            }
            return shown.map { (credentials.signer, $0) }
        } catch let error as IdentityError where error.code != .keyUnavailable {
            return nil
        }
    }

    private static func bought(_ buyer: Buyer, _ sequence: Int64, _ count: Int) async throws -> [TradedCall] {
        let (payments, last) = try await buyer.settledPayments(after: sequence, limit: count)
        var calls = payments.map { payment in
            TradedCall(
                side: .buyer,
                sequence: payment.sequence,
                reference: payment.payment,
                // One that is not sound may be of another call, or another's: it would be held against whom it names.
                deed: payment.isSound ? Deed(payment.receipt) : nil,
                ownMilliseconds: payment.milliseconds
            )
        }
        // What was no receipt is passed over, and not looked at again.
        if let last, calls.last?.sequence != last {
            calls.append(TradedCall(side: .buyer, sequence: last, reference: "", deed: nil))
        }
        return calls
    }

    private static func sold(_ gateway: Gateway, _ sequence: Int64, _ count: Int) async throws -> [TradedCall] {
        try await gateway.receipts(after: sequence, limit: count).map { entry in
            let receipt = try? Receipt(bytes: entry.document)
            return TradedCall(
                side: .seller,
                sequence: entry.sequence,
                reference: receipt?.id ?? "",
                deed: receipt.flatMap { Deed($0) }
            )
        }
    }

    private static func isOwn(_ did: DIDKey, _ identity: IdentityService) async throws -> Bool {
        if did == identity.office.issuer { return true }
        do {
            _ = try await identity.registry.agent(did.string)
            return true
        } catch let error as IdentityError where error.code == .agentNotFound {
            return false
        }
    }
}
