internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Foundation
internal import Gateway
internal import Hummingbird
internal import Market
internal import SignedDocuments
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

/// Jobs by escrow (`Specs/job.md`): `/market/quotes` and `/market/jobs` for buyers, `/api/market/buy` and `/api/market/jobs` for the
/// operator.
struct JobRoutes: Sendable {
    let seller: SellerDesk
    let buyer: BuyerDesk
    /// For what is named by its listing.
    let market: MarketPart?

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
        group.post("buy") { request, _ in
            await OperatorResponses.answering {
                let body = try await OperatorResponses.object(request)
                let wait = try body.optionalInt64("waitMilliseconds") ?? 60_000
                let job = try await buyer.begin(try await order(body))
                return .object(try await pursue(job, wait))
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

    private func pursue(_ job: String, _ wait: Int64) async throws -> JSONObject {
        do {
            return try await buyer.pursue(
                job,
                milliseconds: min(max(0, wait), Self.maximumWaitMilliseconds)
            )
        } catch {
            // It is on disk, and goes on: whoever asked is told which it is.
            var shown = try await buyer.shown(job)
            shown["note"] = .string("\(error)")
            return shown
        }
    }

    private func order(_ body: JSONObject) async throws -> JobOrder {
        let (origin, service, target, provider) = try await place(body)
        guard let budget = try AmountText.read(body.string("budget")), !budget.unit.isEmpty else {
            throw JobError(.invalid, "\"budget\" is an amount with its unit, such as 20sat.")
        }
        let bytes = try body.optionalString("body").map { try Base64URL.decode($0) } ?? []
        guard bytes.count <= JobRequest.maximumBodyBytes else {
            throw JobError(.invalid, "A job's request has at most \(JobRequest.maximumBodyBytes) bytes.")
        }
        var order = JobOrder(
            origin: origin,
            service: service,
            request: JobRequest(
                method: try body.optionalString("method") ?? (bytes.isEmpty ? "GET" : "POST"),
                target: target,
                contentType: try body.optionalString("type"),
                body: bytes
            ),
            budget: budget.amount,
            unit: try CurrencyUnit(budget.unit)
        )
        order.provider = provider
        if let seconds = try body.optionalInt64("deadlineSeconds") {
            guard (1...86_400).contains(seconds) else { throw JobError(.invalid, "A deadline is 1 to 86400 seconds.") }
            order.deadlineSeconds = UInt64(seconds)
        }
        return order
    }

    /// Where it is sold: by the service's URL, or by its listing.
    private func place(_ body: JSONObject) async throws -> (String, String, String, DIDKey?) {
        if let listing = try body.optionalString("listing") {
            let parts = listing.split(separator: "/", maxSplits: 1).map(String.init)
            guard parts.count == 2, let author = try? DIDKey(parsing: parts[0]) else {
                throw JobError(.invalid, "A listing is named by SELLER/NAME, with the seller's did:key.")
            }
            guard let market else {
                throw MarketError(.notRunning, "Gossip is turned off here: name the service by its URL.")
            }
            let found = try await market.index.listing(of: author, named: parts[1])
            guard found.listing.escrow.contains(.key) else {
                throw JobError(.notSold, "That service is not sold by escrow; `mintmark pay` calls it.")
            }
            let path = try body.optionalString("path") ?? ""
            for url in found.urls {
                if let place = Self.place(url.text + path) {
                    return (place.origin, place.service, place.target, author)
                }
            }
            throw JobError(.notSold, "The listing names no URL of a service of a Mintmark node.")
        }
        let text = try body.string("url") + (body.optionalString("path") ?? "")
        guard let place = Self.place(text) else {
            throw JobError(
                .invalid,
                "A service's URL is https (http on the machine itself), such as https://node.example/s/weather/today."
            )
        }
        return (place.origin, place.service, place.target, nil)
    }

    /// `https://node.example/s/weather/today?x=1` is `https://node.example`, `weather`, `/today?x=1`.
    static func place(_ text: String) -> (origin: String, service: String, target: String)? {
        let path = text.prefix { $0 != "?" }
        guard ListingURL(String(path)) != nil, let scheme = path.range(of: "://"),
            let slash = path[scheme.upperBound...].firstIndex(of: "/"), path[slash...].hasPrefix(Gateway.mountPath)
        else { return nil }
        let rest = text[text.index(slash, offsetBy: Gateway.mountPath.count)...]
        let name = rest.prefix { $0 != "/" && $0 != "?" }
        guard ServiceDefinition.isName(String(name)) else { return nil }
        let tail = rest.dropFirst(name.count)
        return (String(text[..<slash]), String(name), tail.hasPrefix("/") ? String(tail) : "/" + tail)
    }
}
