import CanonicalJSON
import Cashu
import Encodings
import HTTPTypes
import Hummingbird
import Lightning
import Paywall
import SignedDocuments

/// What is asked over x402 ([XEX-1] to [XEX-3]), and how an answer tells of the settlement.
extension Gateway {
    /// The ways over x402 in which a call of the service can be paid for here.
    func offeredOverX402(by service: ServiceDefinition) -> Set<PaymentDialect> {
        guard let accepts = service.accepts else { return configuration.exact == nil ? [] : [.x402Exact] }
        return accepts.intersection(PaymentDialect.overX402)
    }

    /// The address that is sold, as the client wrote it.
    func resourceURL(of call: IncomingCall) -> String {
        let authority = call.authority ?? ""
        for origin in configuration.publicOrigins {
            let host = origin.drop { $0 != ":" }.dropFirst(3)
            if host.lowercased() == authority.lowercased() { return origin + call.rawTarget }
        }
        let isPlain =
            !authority.isEmpty
            && authority.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != 0x22 && $0 != 0x5c && $0 != 0x2f }
        guard isPlain else { return (configuration.publicOrigins.first ?? "http://127.0.0.1") + call.rawTarget }
        let scheme = configuration.publicOrigins.first?.hasPrefix("https://") == true ? "https" : "http"
        return "\(scheme)://\(authority)\(call.rawTarget)"
    }

    /// What a 402 says over x402.
    struct X402Challenge: Sendable {
        /// Values of `PAYMENT-REQUIRED`, the richest first.
        var headers: [String] = []
        /// Members of the body for clients of version 1; nil where they can't pay.
        var body: JSONObject?
    }

    /// - Parameter invoice: of Lightning over x402, where it was made.
    func x402Challenge(_ call: IncomingCall, because refusal: CallRefusal?) async -> X402Challenge {
        // A price by measure is not asked for over x402 ([PRC-5]).
        // Nor where a part may go back ([SLA-13]).
        let isWhole = call.rule.metering == nil && call.service.refunds == nil
        let ways = isWhole ? offeredOverX402(by: call.service) : []
        guard !ways.isEmpty else { return X402Challenge() }
        var resource = X402.Resource(url: resourceURL(of: call), serviceName: String(call.service.name.prefix(32)))
        // A paid invoice is tied to what stands here: nothing of it may change before it is shown.
        if !ways.contains(.x402Lightning) { resource.description = call.service.summary }
        var accepts: [X402.Requirements] = []
        if ways.contains(.x402Exact) { accepts += exactRequirements(for: call, .v2) }
        if ways.contains(.x402Cashu) { accepts += (try? await cashuRequirements(for: call)) ?? [] }
        if ways.contains(.x402Lightning) {
            accepts += await lightningRequirements(for: call, resource: resource).map { [$0] } ?? []
        }
        guard !accepts.isEmpty else { return X402Challenge() }
        let required = X402.PaymentRequired(
            version: .v2,
            error: refusal?.x402?.code.rawValue ?? "PAYMENT-SIGNATURE header is required",
            resource: resource,
            accepts: Array(accepts.prefix(X402.maximumAccepts))
        )
        var challenge = X402Challenge(headers: headers(required, call: call))
        if ways.contains(.x402Exact) {
            let older = exactRequirements(for: call, .v1)
            if !older.isEmpty {
                let error = refusal?.x402?.code.rawValue ?? "X-PAYMENT header is required"
                challenge.body = X402.PaymentRequired(version: .v1, error: error, accepts: older).json
            }
        }
        return challenge
    }

    /// The header with every extension, then with fewer.
    private func headers(_ required: X402.PaymentRequired, call: IncomingCall) -> [String] {
        let name = X402.PaymentIdentifier.id
        let identifier: JSONValue = .object(X402.PaymentIdentifier.declaration(isRequired: false))
        let bazaar: JSONValue = .object(call.service.bazaar(method: call.method).json)
        var richest: JSONObject = [name: identifier, X402.Bazaar.id: bazaar]
        richest[X402.OfferReceipt.id] = offers(required).map { .object($0) }
        let sets: [JSONObject] = [richest, [name: identifier, X402.Bazaar.id: bazaar], [name: identifier], [:]]
        var values: [String] = []
        for extensions in sets {
            var required = required
            required.extensions = extensions.isEmpty ? nil : extensions
            guard let value = try? X402.header(required.json), value.utf8.count <= ChallengeSet.maximumX402Bytes,
                value != values.last
            else { continue }
            values.append(value)
        }
        return values
    }

    /// The ways to pay, each signed by the node.
    private func offers(_ required: X402.PaymentRequired) -> JSONObject? {
        guard let url = required.resource?.url else { return nil }
        var offers: [(offer: X402.OfferReceipt.Artifact, acceptIndex: Int)] = []
        let end = UInt64(max(0, clock.now().adding(seconds: Self.challengeSeconds).secondsSince1970))
        for (index, way) in required.accepts.enumerated() {
            let offer = X402.OfferReceipt.Offer(requirements: way, resourceURL: url, validUntil: end)
            guard let payload = try? offer.json.canonicalized(), let text = try? desk.signer.compactJWS(payload) else {
                continue
            }
            offers.append((.jws(text), index))
        }
        return offers.isEmpty ? nil : X402.OfferReceipt.challenge(offers)
    }

    // MARK: The ways

    func exactRequirements(for call: IncomingCall, _ version: X402.Version) -> [X402.Requirements] {
        let details = X402.Requirements.Details(
            resource: resourceURL(of: call),
            description: call.service.summary ?? call.service.name,
            mimeType: call.service.discovery?.mimeType ?? ""
        )
        return exactRequirements(for: call.service, price: call.price, version, details: details)
    }

    func exactRequirements(
        for service: ServiceDefinition,
        price: Price,
        _ version: X402.Version,
        details: X402.Requirements.Details?
    ) -> [X402.Requirements] {
        guard let sale = configuration.exact else { return [] }
        return sale.assets.compactMap { asset in
            guard let amount = try? asset.amount(of: price, rates: rates.current), amount > 0 else {
                return nil
            }
            return asset.requirements(
                version,
                amount: amount,
                payTo: sale.payTo,
                maxTimeoutSeconds: ExactSale.timeoutSeconds(service),
                details: details
            )
        }
    }

    func cashuRequirements(for call: IncomingCall) async throws -> [X402.Requirements] {
        try await cashuRequirements(for: call.service, price: call.price)
    }

    func cashuRequirements(for service: ServiceDefinition, price: Price) async throws -> [X402.Requirements] {
        let unit = try unit(of: price)
        var mints: [MintURL] = []
        var highestFeePPK: UInt64 = 0
        for terms in await terms.all() {
            guard let feePPK = terms.highestInputFeePPK(unit: unit) else { continue }
            mints.append(terms.mint)
            highestFeePPK = max(highestFeePPK, feePPK)
        }
        let amount = try askedAmount(price, feePPK: highestFeePPK)
        return mints.prefix(8).map {
            X402.CashuScheme.requirements(
                amount: amount,
                unit: unit,
                mint: $0,
                sellerKey: sellerKey,
                maxTimeoutSeconds: ExactSale.timeoutSeconds(service)
            )
        }
    }

    func lightningRequirements(for call: IncomingCall, resource: X402.Resource) async -> X402.Requirements? {
        guard let invoiceDesk,
            let grant = await invoiceDesk.grant(
                for: call,
                over: X402Tie(
                    network: configuration.lightningNetwork,
                    resource: resource,
                    maxTimeoutSeconds: ExactSale.timeoutSeconds(call.service)
                )
            ), let invoice = try? BOLT11Invoice(decoding: grant.invoice)
        else { return nil }
        return X402Tie(
            network: configuration.lightningNetwork,
            resource: resource,
            maxTimeoutSeconds: ExactSale.timeoutSeconds(call.service)
        ).requirements(invoice)
    }

    // MARK: Telling

    /// Adds what the answer of a paid call says of its payment in the protocol's own words.
    func addPaymentFields(to headers: inout HTTPFields, of call: IncomingCall) {
        let now = clock.now()
        headers[.paymentReceipt] = call.presented?.receipt(at: now)
        guard let line = call.x402?.header(signer: desk.signer, now: now), let name = HTTPField.Name(line.name) else {
            return
        }
        headers[name] = line.value
    }

    /// The settlement that a refused payment of x402 is told of.
    static func refusedSettlement(_ refusal: X402Refusal, of call: IncomingCall) -> (
        name: HTTPField.Name, value: String
    )? {
        let isOlder = call.headers[.paymentSignature] == nil && call.headers[.xPayment] != nil
        let version: X402.Version = isOlder ? .v1 : .v2
        let response = X402.SettleResponse(refusal: refusal, network: "")
        guard let value = try? X402.header(response.json), let name = HTTPField.Name(version.responseHeader) else {
            return nil
        }
        return (name, value)
    }
}

extension Gateway {
    /// What a seller should know of a service that is sold all the same: ways to pay that are not offered for some of its prices.
    public func notes(on service: ServiceDefinition) -> [String] {
        let withheld = withheld(of: service)
        guard service.refunds == nil else {
            guard !withheld.isEmpty else { return [] }
            let names = PaymentDialect.allCases.filter(withheld.contains).map(\.rawValue).joined(separator: ", ")
            return ["It is not sold over \(names): what is given back (--sla-refund) can't go back that way."]
        }
        let over = offeredOverX402(by: service)
        guard !over.isEmpty else { return [] }
        let ways = PaymentDialect.allCases.filter { over.contains($0) }.map(\.rawValue).joined(separator: ", ")
        return service.prices.rules.filter { $0.metering != nil }.map { rule in
            let left = able(offered(by: service), at: rule, isMaximum: rule.quote().isMaximum, of: service)
            let others = PaymentDialect.allCases.filter { left.contains($0) }.map(\.rawValue).joined(separator: ", ")
            return
                "\(rule.pathPattern) is not sold over x402 (\(ways)), as its price is by measure and x402 moves the whole of"
                + " what was signed; it is sold over \(others)."
        }
    }

    /// Refuses to sell over x402 what can't be sold so.
    func requireSellableOverX402(_ service: ServiceDefinition) throws(GatewayError) {
        guard service.accepts?.contains(.x402Exact) ?? false else {
            guard !service.reservesX402 || configuration.exact != nil else {
                throw GatewayError(
                    .invalidService,
                    "This node sells nothing over x402-exact, so nothing can be reserved."
                )
            }
            return
        }
        guard let sale = configuration.exact else {
            throw GatewayError(
                .invalidService,
                "This node can't sell over x402-exact: set x402.chainURL, x402.chainID, x402.payTo and x402.assets."
            )
        }
        for rule in service.prices.rules where !rule.priceBeforehand.isFree {
            guard sale.canSell(rule.priceBeforehand, rates: rates.current) else {
                throw GatewayError(
                    .invalidService,
                    "\(rule.priceBeforehand) for \(rule.pathPattern) can't be asked for in a token: x402.assets tells what none is"
                        + " worth in \(rule.priceBeforehand.unit), and there is no rate between them."
                )
            }
        }
    }
}
