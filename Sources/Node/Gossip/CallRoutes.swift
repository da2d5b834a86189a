internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Gateway
internal import Hummingbird
internal import Market
internal import Trading

/// What is sold by escrow here, for the desk that bids.
extension GatewayJobs: BidServices {
    func words(of service: String) async -> Set<String>? {
        guard let definition = gateway.services.first(where: { $0.name == service }), let listing = definition.listing,
            listing.escrow.contains(.key)
        else { return nil }
        let texts = [service, listing.title ?? "", definition.summary ?? ""] + listing.tags
        return Set(texts.flatMap { MarketWords.of($0) })
    }
}

/// Open calls and rules to bid by, for the operator: `/api/market/calls`, `/api/market/bid-rules` and `/api/market/bids`.
struct CallRoutes: Sendable {
    let calls: CallDesk
    let bids: BidDesk

    init(_ node: Node) {
        calls = node.callDesk
        bids = node.bidDesk
    }

    func addOperator<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.post("calls") { request, _ in
            await OperatorResponses.answering {
                let name = try await calls.open(Self.order(try await OperatorResponses.object(request)))
                return .object(try await calls.shown(name))
            }
        }
        group.get("calls") { request, _ in
            await OperatorResponses.answering {
                let limit = request.uri.queryParameters.get("limit", as: Int.self) ?? 50
                return ["calls": .array(try await calls.list(limit: limit).map { .object($0) })]
            }
        }
        group.get("calls/{id}") { _, context in
            await OperatorResponses.answering { .object(try await calls.shown(context.parameters.require("id"))) }
        }
        group.delete("calls/{id}") { _, context in
            await OperatorResponses.answering {
                let name = try context.parameters.require("id")
                try await calls.cancel(name)
                return .object(try await calls.shown(name))
            }
        }
        group.get("bid-rules") { _, _ in
            await OperatorResponses.answering { ["rules": .array(try await bids.rules().map { .object($0) })] }
        }
        group.post("bid-rules") { request, _ in
            await OperatorResponses.answering {
                let body = try await OperatorResponses.object(request)
                let rule = try Self.rule(body)
                try await bids.add(rule, replaces: try body.optionalBool("replace") ?? false)
                return ["service": .string(rule.service), "added": true]
            }
        }
        group.delete("bid-rules/{service}") { _, context in
            await OperatorResponses.answering {
                let service = try context.parameters.require("service")
                try await bids.remove(service)
                return ["service": .string(service), "removed": true]
            }
        }
        group.get("bids") { request, _ in
            await OperatorResponses.answering {
                let limit = request.uri.queryParameters.get("limit", as: Int.self) ?? 50
                return ["bids": .array(try await bids.bids(limit: limit).map { .object($0) })]
            }
        }
    }

    /// `{"words", "budget", "path", "method", "type", "body", "bidSeconds", "revealSeconds", "deliverWithin"}`.
    private static func order(_ body: JSONObject) throws -> CallOrder {
        func refuse(_ what: String) -> CallError { CallError(.invalid, what) }
        guard let budget = try AmountText.read(body.string("budget")), !budget.unit.isEmpty, budget.amount > 0 else {
            throw refuse("\"budget\" is an amount with its unit, such as 20sat.")
        }
        let bytes = try body.optionalString("body").map { try Base64URL.decode($0) } ?? []
        guard bytes.count <= JobRequest.maximumBodyBytes else {
            throw refuse("A job's request has at most \(JobRequest.maximumBodyBytes) bytes.")
        }
        let path = try body.optionalString("path") ?? "/"
        let request = JobRequest(
            method: try body.optionalString("method") ?? (bytes.isEmpty ? "GET" : "POST"),
            target: path,
            contentType: try body.optionalString("type"),
            body: bytes
        )
        var order = CallOrder(
            words: MarketWords.of(try body.string("words")),
            request: request,
            budget: budget.amount,
            unit: try CurrencyUnit(budget.unit)
        )
        order.bidSeconds = try body.optionalUInt64("bidSeconds") ?? order.bidSeconds
        order.revealSeconds = try body.optionalUInt64("revealSeconds") ?? order.revealSeconds
        order.deliverWithinSeconds = try body.optionalUInt64("deliverWithin") ?? order.deliverWithinSeconds
        return order
    }

    /// `{"service", "floor", "capacity", "reputation"}`.
    private static func rule(_ body: JSONObject) throws -> BidRule {
        guard let floor = try AmountText.read(body.string("floor")), !floor.unit.isEmpty,
            let rule = BidRule(
                service: try body.string("service"),
                floor: floor.amount,
                unit: floor.unit,
                capacity: Int(clamping: try body.optionalInt64("capacity") ?? 4),
                reputation: Int(clamping: try body.optionalInt64("reputation") ?? 0)
            )
        else {
            throw CallError(
                .invalid,
                "A rule has a service's name, a floor such as 3sat, a capacity of 1 to \(BidRule.capacities.upperBound) and a"
                    + " reputation of 0 to 100."
            )
        }
        return rule
    }
}
