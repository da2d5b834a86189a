internal import Cashu
public import Market
internal import Paywall
public import Records
internal import SignedDocuments
internal import Synchronization

/// What other nodes are told of what is sold here ([LST-7]).
extension Gateway {
    /// The listing of each service that is to be found by others, or why it can't be told, by name.
    public func listings() -> [String: Result<Listing, RecordRefusal>] {
        var listings: [String: Result<Listing, RecordRefusal>] = [:]
        for service in services where service.isListed {
            listings[service.name] = Result { () throws(RecordRefusal) in try listing(of: service) }
        }
        return listings
    }

    func listing(of service: ServiceDefinition) throws(RecordRefusal) -> Listing {
        let address = (configuration.publicOrigins.first ?? "") + Self.mountPath + service.name
        guard let url = ListingURL(address) else {
            throw RecordRefusal(
                .malformed,
                "other nodes take an https address only, or http on one's own machine: set http.publicURL"
            )
        }
        var listing = Listing(urls: [url], prices: Self.prices(service))
        service.listing?.write(to: &listing)
        listing.description = service.summary
        let ways = offered(by: service)
        listing.dialects = ways.map(\.rawValue).sorted()
        if !ways.isDisjoint(with: [.cashu, .paymentCashu, .x402Cashu]) {
            listing.mints = purse.acceptedMints.prefix(Listing.maximumMints).compactMap { ListingURL($0.string) }
        }
        listing.promise = service.promise
        if let passport = service.passport {
            listing.callers = Listing.Callers(
                issuers: passport.trustedIssuers.compactMap { try? DIDKey(parsing: $0) },
                capability: passport.capability
            )
        }
        listing.isIdempotent = service.isIdempotent
        listing.bond = backing.withLock { $0 }
        // Read again, so that nothing is told that others would refuse.
        return try Listing(listing.body)
    }

    private static func prices(_ service: ServiceDefinition) -> [Listing.Price] {
        service.prices.rules.filter { $0.pathPattern.utf8.count <= 256 }.prefix(Listing.maximumPrices).map { rule in
            Listing.Price(
                methods: rule.methods.sorted(),
                path: rule.pathPattern.isEmpty ? "/" : rule.pathPattern,
                amount: rule.priceBeforehand.amount,
                from: rule.metering == nil ? nil : rule.price.amount,
                unit: rule.price.unit,
                per: "call"
            )
        }
    }
}
