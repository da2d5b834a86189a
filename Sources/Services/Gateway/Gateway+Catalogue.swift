internal import CanonicalJSON
internal import Cashu
internal import Encodings
public import Paywall

/// What is sold over x402, for catalogues ([XEX-11]).
extension Gateway {
    /// Every priced path of every service that is sold over x402 and is to be found, by service and in the order of its prices.
    public func x402Catalogue() async -> [X402.DiscoveredResource] {
        var found: [X402.DiscoveredResource] = []
        let origin = configuration.publicOrigins.first ?? ""
        for service in services where service.isListed && service.refunds == nil {
            guard !offeredOverX402(by: service).isEmpty else { continue }
            for rule in service.prices.rules where !rule.priceBeforehand.isFree {
                // A price that is a maximum can't be asked for over x402 ([PRC-5]).
                guard rule.metering == nil else { continue }
                let accepts = await ways(to: service, at: rule.priceBeforehand)
                guard !accepts.isEmpty else { continue }
                let method = rule.methods.contains("GET") ? "GET" : rule.methods.min() ?? "GET"
                let bazaar = service.bazaar(method: method).json
                var metadata = bazaar["info"]?.objectValue ?? [:]
                metadata["serviceName"] = .string(String(service.name.prefix(32)))
                metadata["description"] = service.summary.map { .string($0) }
                metadata["mimeType"] = service.discovery?.mimeType.map { .string($0) }
                if let tags = service.listing?.tags, !tags.isEmpty { metadata["tags"] = JSONValue(tags) }
                if !rule.methods.isEmpty {
                    metadata["methods"] = .array(rule.methods.sorted().map { .string($0) })
                }
                var resource = X402.DiscoveredResource(
                    resource: origin + Self.mountPath + service.name + rule.pathPattern,
                    accepts: accepts,
                    lastUpdated: clock.now().secondsSince1970,
                    metadata: metadata
                )
                resource.extensions = [X402.Bazaar.id: .object(bazaar)]
                found.append(resource)
            }
        }
        return found
    }

    /// The ways to pay of which something can be said before a call: an invoice is made for one alone.
    private func ways(to service: ServiceDefinition, at price: Price) async -> [X402.Requirements] {
        let offered = offeredOverX402(by: service)
        var ways: [X402.Requirements] = []
        if offered.contains(.x402Exact) { ways += exactRequirements(for: service, price: price, .v2, details: nil) }
        if offered.contains(.x402Cashu) { ways += (try? await cashuRequirements(for: service, price: price)) ?? [] }
        return ways
    }
}
