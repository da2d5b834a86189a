internal import Cashu
internal import Gateway
internal import Identity
internal import Logging
internal import Market
internal import SignedDocuments
internal import Storage
internal import Trading
internal import Wallet

/// Open calls, put together with what they stand on.
extension Node {
    static func callDesk(
        _ database: Database,
        _ services: NodeServices,
        _ configuration: NodeConfiguration,
        _ calls: CallBook,
        logger: Logger
    ) -> CallDesk {
        CallDesk(
            database: database,
            market: services.buyerDesk,
            signer: services.identity.nodeKeys.node,
            clock: .system,
            allowsLocal: configuration.isLoopback,
            logger: logger,
            trustPPM: { try await calls.trustPPM(of: $0) },
            blame: { try await calls.count($0) }
        )
    }

    /// Nothing is called for or bid where gossip is turned off.
    static func join(
        _ callDesk: CallDesk,
        _ gossip: GossipNode?,
        _ market: MarketPart?,
        _ services: NodeServices,
        _ calls: CallBook,
        fence: EpochFence,
        logger: Logger
    ) {
        guard let gossip, let market else { return }
        gossip.join(
            CallsPart(
                calls: callDesk,
                bids: services.bidDesk,
                records: market.records,
                standing: { buyer in try await calls.standings(of: [buyer], as: .buying).first?.percent ?? 0 },
                isOpen: { fence.raised == nil },
                logger: logger
            )
        )
    }
}

extension CallBook {
    /// By what the prices of sellers are divided ([QUO-10]).
    func trustPPM(of sellers: [DIDKey]) async throws -> [DIDKey: UInt64] {
        let standings = try await standings(of: sellers)
        return Dictionary(standings.map { ($0.did, $0.trustPPM) }, uniquingKeysWith: { $1 })
    }
}

extension NodeServices {
    static func bidDesk(
        _ configuration: NodeConfiguration,
        _ gateway: Gateway,
        _ wallet: Wallet,
        _ nodeKeys: NodeKeys,
        database: Database,
        logger: Logger
    ) throws -> BidDesk {
        BidDesk(
            database: database,
            services: GatewayJobs(gateway: gateway),
            signer: nodeKeys.node,
            publicURL: configuration.publicURL,
            acceptedMints: try configuration.allAcceptedMints.map { try MintURL($0) },
            lockKey: { try wallet.receivingKey() },
            clock: .system,
            logger: logger
        )
    }
}
