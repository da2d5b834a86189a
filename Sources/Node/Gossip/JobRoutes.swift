internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Gateway
internal import Hummingbird
internal import Identity
internal import Market
internal import SignedDocuments
internal import Trading

/// What is sold by escrow here, for the desk that sells it.
struct GatewayJobs: JobServices {
    let gateway: Gateway

    func offer(_ service: String, method: String, target: String) async -> JobOffer? {
        gateway.jobOffer(service, method: method, target: target)
    }

    func promise(of service: String) async -> JSONObject? { gateway.promise(of: service) }

    func perform(_ request: JobRequest, of service: String) async throws -> JobResponse {
        try await gateway.perform(request, of: service)
    }
}

/// Jobs by escrow (`Specs/job.md`): `/market/quotes` and `/market/jobs` for buyers, `/api/market/quotes`, `/api/market/buy` and
/// `/api/market/jobs` for the operator.
struct JobRoutes: Sendable {
    let seller: SellerDesk
    let bids: BidDesk
    let buyer: BuyerDesk
    let shopping: Shopping

    init(_ node: Node) {
        seller = node.sellerDesk
        bids = node.bidDesk
        buyer = node.buyerDesk
        shopping = Shopping(
            market: JudgedMarket(node),
            own: node.identity.office.issuer,
            arbiters: node.arbiters
        )
    }

    /// The longest that the operator's request waits for a job's end.
    private static let maximumWaitMilliseconds: Int64 = 600_000

    func addPublic<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.post("quotes") { request, _ in
            await OperatorResponses.answering {
                let body = try await OperatorResponses.object(request)
                // A buyer that awards its call asks for what was bid on it.
                return .object(try await body["call"] == nil ? seller.quote(body) : bids.quote(body))
            }
        }
        group.post("jobs") { request, _ in
            await OperatorResponses.answering {
                .object(try await seller.take(OperatorResponses.object(request)))
            }
        }
        group.post("jobs/{id}/lock") { request, context in
            await OperatorResponses.answering {
                .object(
                    try await seller.lock(context.parameters.require("id"), OperatorResponses.object(request))
                )
            }
        }
        group.get("jobs/{id}") { _, context in
            await OperatorResponses.answering {
                .object(try await seller.shown(context.parameters.require("id")))
            }
        }
        for (name, work) in [
            ("release", seller.release), ("refund", seller.refund), ("dispute", seller.dispute),
        ] as [(String, @Sendable (String, JSONObject) async throws -> JSONObject)] {
            group.post("jobs/{id}/\(name)") { request, context in
                await OperatorResponses.answering {
                    .object(
                        try await work(context.parameters.require("id"), OperatorResponses.object(request))
                    )
                }
            }
        }
    }

    func addOperator<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.post("quotes") { request, _ in
            await OperatorResponses.answering {
                let orders = try await shopping.orders(try await OperatorResponses.object(request))
                let offers = try await buyer.quotes(for: orders, trustPPM: shopping.trustPPM)
                return ["quotes": .array(offers.map { .object(Self.json($0)) })]
            }
        }
        group.post("buy") { request, _ in
            await OperatorResponses.answering {
                .object(try await buy(try await OperatorResponses.object(request)))
            }
        }
        group.get("jobs") { request, _ in
            await OperatorResponses.answering {
                let limit = request.uri.queryParameters.get("limit", as: Int.self) ?? 50
                return ["jobs": .array(try await buyer.list(limit: limit).map { .object($0) })]
            }
        }
        group.get("jobs/{id}") { _, context in
            await OperatorResponses.answering {
                .object(try await buyer.shown(context.parameters.require("id")))
            }
        }
        group.post("jobs/{id}/accept") { _, context in
            await OperatorResponses.answering {
                .object(try await buyer.accept(context.parameters.require("id")))
            }
        }
        group.post("jobs/{id}/dispute") { request, context in
            await OperatorResponses.answering {
                .object(
                    try await buyer.dispute(
                        context.parameters.require("id"),
                        reason: OperatorResponses.object(request).string("reason")
                    )
                )
            }
        }
    }

    private func buy(_ body: JSONObject) async throws -> JSONObject {
        let wait = try body.optionalInt64("waitMilliseconds") ?? 60_000
        let bought = try await buyer.buy(
            try await shopping.orders(body),
            milliseconds: min(max(0, wait), Self.maximumWaitMilliseconds),
            trustPPM: shopping.trustPPM
        )
        var answer = bought.job
        answer["quotes"] = .array(
            bought.tried.map { tried in
                var json = Self.json(tried.offer)
                json["job"] = tried.job.map { .string($0) }
                json["why"] = tried.why.map { .string($0) }
                return .object(json)
            }
        )
        return answer
    }

    private static func json(_ offer: QuoteOffer) -> JSONObject {
        var json: JSONObject = [
            "origin": .string(offer.order.origin), "service": .string(offer.order.service),
            "milliseconds": .integer(offer.milliseconds),
        ]
        json["seller"] = offer.order.provider.map { .string($0.string) }
        switch offer.outcome {
        case .success(let quote):
            json["seller"] = .string(quote.content.provider.string)
            json["price"] = .string(String(quote.content.price))
            json["unit"] = .string(quote.content.unit.name)
            json["deliverWithin"] = JSONValue(quote.content.deliverWithinSeconds)
            json["validUntil"] = .string(
                Timestamp(secondsSince1970: Int64(quote.content.validUntil)).rfc3339
            )
            json["trust"] = JSONValue(offer.trustPPM)
            json["quote"] = .object(quote.document)
        case .failure(let error): json["why"] = .string(error.message)
        }
        return json
    }
}
