internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Gateway
internal import Hummingbird
internal import Identity
internal import Market
internal import SignedDocuments
internal import Storage
internal import Trading

/// What is sold by escrow here, for the desk that sells it.
struct GatewayJobs: JobServices {
    let gateway: Gateway

    func offer(_ service: String, method: String, target: String) async -> JobOffer? {
        gateway.jobOffer(service, method: method, target: target)
    }

    func perform(_ request: JobRequest, of service: String) async throws -> JobResponse {
        try await gateway.perform(request, of: service)
    }
}

/// Jobs by escrow (`Specs/job.md`): `/market/quotes` and `/market/jobs` for buyers, `/api/market/quotes`, `/api/market/buy` and
/// `/api/market/jobs` for the operator.
struct JobRoutes: Sendable {
    let seller: SellerDesk
    let buyer: BuyerDesk
    let shopping: Shopping

    init(_ node: Node) {
        seller = node.sellerDesk
        buyer = node.buyerDesk
        shopping = Shopping(
            market: node.market,
            calls: node.calls,
            liveness: node.liveness,
            own: node.identity.office.issuer
        )
    }

    /// The longest that the operator's request waits for a job's end.
    private static let maximumWaitMilliseconds: Int64 = 600_000

    func addPublic<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.post("quotes") { request, _ in
            await OperatorResponses.answering {
                .object(try await seller.quote(OperatorResponses.object(request)))
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
    }

    /// Buys of the best that offers; where that one delivers nothing, and so got nothing, of the next best.
    private func buy(_ body: JSONObject) async throws -> JSONObject {
        let wait = min(
            max(0, try body.optionalInt64("waitMilliseconds") ?? 60_000),
            Self.maximumWaitMilliseconds
        )
        let clock = WallClock.system
        let until = clock.now().adding(milliseconds: wait)
        let offers = try await buyer.quotes(
            for: try await shopping.orders(body),
            trustPPM: shopping.trustPPM
        )
        var told = offers.map(Self.json)
        var last: JSONObject?
        var refusal: (any Error)?
        for (place, offer) in offers.enumerated() {
            let shown: JSONObject
            do {
                let job = try await buyer.begin(offer.order, offer.outcome.get())
                shown = try await pursue(job, max(0, until.milliseconds(since: clock.now())))
            } catch {
                refusal = refusal ?? error
                if told[place]["why"] == nil { told[place]["why"] = .string("\(error)") }
                continue
            }
            told[place]["job"] = shown["job"]
            last = shown
            // Whoever was not paid may be followed by another; whoever may have been, not.
            guard shown["ending"] == "refunded", shown["locked"] == "0" else { break }
            told[place]["why"] = shown["note"] ?? "it delivered nothing"
        }
        guard var answer = last else {
            throw refusal ?? JobError(.noOffer, "Nobody offers it.")
        }
        answer["quotes"] = .array(told.map { .object($0) })
        return answer
    }

    private func pursue(_ job: String, _ wait: Int64) async throws -> JSONObject {
        do {
            return try await buyer.pursue(job, milliseconds: wait)
        } catch {
            // It is on disk, and goes on: whoever asked is told which it is.
            var shown = try await buyer.shown(job)
            shown["note"] = .string("\(error)")
            return shown
        }
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
