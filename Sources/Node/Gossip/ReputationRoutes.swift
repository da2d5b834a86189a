internal import CanonicalJSON
internal import Encodings
internal import HTTPTypes
internal import Hummingbird
internal import Market
internal import NIOCore
internal import SignedDocuments
internal import Trading

/// What this node thinks of others and how promises are kept: `/api/market/reputation`, `/api/market/statement` and
/// `/api/market/sla` for the operator, with `/api/market/ratings` of others; what it says of itself at `/market/reputation`, and what
/// it bought at `/market/receipts`, where the operator wants that.
struct ReputationRoutes: Sendable {
    let calls: CallBook
    /// nil where gossip is turned off.
    let ratings: RatingsPart?
    let signer: DocumentSigner
    /// What a service of this node's or another's promises; nil where that is not known.
    let listing: @Sendable (DIDKey, String) async -> Listing?

    private static let maximumAgeSeconds = 60

    func addOperator<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.get("reputation") { request, _ in
            await OperatorResponses.answering {
                let role = try Self.role(request)
                let standings = try await calls.standings(as: role)
                return [
                    "role": .string(role.rawValue), "standings": .array(standings.map { .object(Self.json($0)) }),
                ]
            }
        }
        group.get("reputation/{did}") { request, context in
            await OperatorResponses.answering {
                let text = try context.parameters.require("did")
                guard let did = try? DIDKey(parsing: text) else {
                    throw MarketError(.invalidQuery, "A reputation is that of a did:key.")
                }
                return .object(try await shown(did, Self.role(request)))
            }
        }
        group.get("ratings") { _, _ in
            await OperatorResponses.answering { .object(try await told()) }
        }
        group.get("statement") { _, _ in
            await OperatorResponses.answering { .object(try await calls.statement(by: signer)) }
        }
        group.get("sla/{service}") { request, context in
            await OperatorResponses.answering {
                .object(try await kept(request.uri.queryParameters, context.parameters.require("service")))
            }
        }
    }

    /// What this node sold, as a statement.
    func addStatement<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.get("reputation") { _, _ in
            await Self.answering("public, max-age=\(Self.maximumAgeSeconds)") { try await calls.statement(by: signer) }
        }
    }

    /// What this node bought, page by page ([RCPT-16]).
    func addReceipts<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.get("receipts") { request, _ in
            // A page that is not full is another soon.
            await Self.answering("no-cache") {
                guard let ratings else { throw MarketError(.notRunning, "Gossip is turned off here.") }
                let text = request.uri.queryParameters["from"].map(String.init) ?? "0"
                guard let from = UInt64(text), String(from) == text, from <= PublishedReceipts.maximumCount else {
                    throw MarketError(.invalidQuery, "\"from\" is a whole number.")
                }
                return try await ratings.shelf.page(from: from)
            }
        }
    }

    private static func answering(_ cache: String, _ work: () async throws -> JSONObject) async -> Response {
        do {
            let bytes = try await work().serialized()
            return Response(
                status: .ok,
                headers: [
                    .contentType: "application/json", .cacheControl: cache, .accessControlAllowOrigin: "*",
                ],
                body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes))
            )
        } catch {
            return OperatorResponses.problem(OperatorProblem.of(error))
        }
    }

    private static func role(_ request: Request) throws(MarketError) -> ReputationRole {
        guard let text = request.uri.queryParameters["role"] else { return .selling }
        guard let role = ReputationRole(rawValue: String(text)) else {
            throw MarketError(.invalidQuery, "\"role\" is selling or buying.")
        }
        return role
    }

    // MARK: Reputation

    private func shown(_ did: DIDKey, _ role: ReputationRole) async throws -> JSONObject {
        let why = try await calls.why(did, as: role)
        var shown = JSONObject()
        if let standing = try await calls.standings(of: [did], as: role).first { shown = Self.json(standing) }
        shown["role"] = .string(role.rawValue)
        shown["isSeed"] = .bool(why.isSeed)
        shown["beforehand"] = .double(why.beforehand)
        shown["judges"] = .integer(Int64(why.judges))
        shown["paths"] = .array(
            why.paths.map { path in
                [
                    "through": JSONValue(path.through.map(\.string)), "beginsAtSeed": .bool(path.beginsAtSeed),
                    "trust": .double(path.trust),
                ]
            }
        )
        return shown
    }

    private static func json(_ standing: Standing) -> JSONObject {
        [
            "did": .string(standing.did.string), "standing": .integer(Int64(standing.percent)),
            "value": .double(standing.score.value), "trust": .double(standing.score.trust),
            "good": .double(standing.score.good), "bad": .double(standing.score.bad),
            "ownMean": .double(standing.score.ownMean),
        ]
    }

    // MARK: Ratings

    /// How many ratings are published, and gathered of whom.
    private func told() async throws -> JSONObject {
        guard let ratings else {
            throw MarketError(.notRunning, "Gossip is turned off here, so nothing is published or gathered.")
        }
        var published: JSONObject = ["on": .bool(ratings.publishes), "count": 0]
        if let state = try await ratings.shelf.state() {
            published["count"] = JSONValue(state.count)
            published["root"] = .string(Hex.encode(state.root))
            published["from"] = .string(state.from.rfc3339)
            published["until"] = .string(state.until.rfc3339)
        }
        return [
            "published": .object(published),
            "gathered": .array(try await ratings.store.gathered().map { .object(Self.json($0)) }),
        ]
    }

    private static func json(_ gathered: GatheredRatings) -> JSONObject {
        var json: JSONObject = [
            "judge": .string(gathered.judge.string), "receipts": JSONValue(gathered.receipts),
            "counted": JSONValue(gathered.counted),
            "refused": .object(
                JSONObject(gathered.refused.sorted { $0.key < $1.key }.map { ($0.key, JSONValue($0.value)) })
            ),
            "visited": .string(gathered.visitedAt.rfc3339),
        ]
        json["why"] = gathered.why.map { .string($0) }
        json["contradicted"] = gathered.contradictedAt.map { .string($0.rfc3339) }
        return json
    }

    // MARK: Promises

    /// Of a service of this node's, or of the seller's that is asked for.
    private func kept(_ parameters: Parameters, _ service: String) async throws -> JSONObject {
        var seller = signer.did
        if let text = parameters["seller"] {
            guard let did = try? DIDKey(parsing: String(text)) else {
                throw MarketError(.invalidQuery, "\"seller\" is a did:key.")
            }
            seller = did
        }
        var seconds: Int64 = 3_600
        if let text = parameters["window"] {
            guard let given = Int64(text), (60...31 * 86_400).contains(given) else {
                throw MarketError(.invalidQuery, "\"window\" is 60 to 2678400 seconds.")
            }
            seconds = given
        }
        let side: TradedCall.Side = seller == signer.did ? .seller : .buyer
        let windows = try await calls.windows(side: side, seller: seller, service: service, seconds: seconds)
        let promise = await listing(seller, service)?.promise
        let figures = SLAFigures(windows)
        let chart = SLAChart(windows, promise: promise)
        var kept: JSONObject = [
            "seller": .string(seller.string), "service": .string(service), "side": .string(side.rawValue),
            "windowSeconds": .integer(seconds), "windows": .array(windows.map { .object(Self.json($0)) }),
            "calls": .integer(figures.calls), "failed": .integer(figures.failed), "late": .integer(figures.late),
            "wrong": .integer(figures.wrong), "chart": .string(chart.text), "svg": .string(chart.svg),
        ]
        kept["uptimePPM"] = figures.uptimePPM.map { .integer($0) }
        kept["errorsPPM"] = figures.errorsPPM.map { .integer($0) }
        for percentile in [50, 95, 99] {
            kept["p\(percentile)"] = figures.latency.milliseconds(atPercentile: percentile).map { .integer($0) }
        }
        if side == .buyer {
            let own = try await calls.ownLatency(seller: seller, service: service)
            kept["ownP95"] = own.milliseconds(atPercentile: 95).map { .integer($0) }
        }
        kept["promise"] = promise.map { .object($0.json) }
        kept["breaches"] = .array(
            (promise.map { SLARules.breaches(of: figures, promise: $0) } ?? []).map { breach in
                var shown: JSONObject = ["rule": .string(breach.rule.rawValue)]
                shown["measured"] = breach.measured.map { .integer($0) }
                shown["promised"] = breach.promised.map { .integer($0) }
                return .object(shown)
            }
        )
        if let first = windows.first?.start {
            let broken = try await calls.broken(side: side, seller: seller, service: service, since: first)
            kept["broken"] = .array(broken.map { .object(Self.json($0)) })
            let sums = try await calls.brokenSums(side: side, seller: seller, service: service, since: first)
            kept["brokenSums"] = .array(sums.map { .object(Self.json($0)) })
        }
        return kept
    }

    private static func json(_ call: BrokenCall) -> JSONObject {
        [
            "reference": .string(call.reference), "rule": .string(call.rule.rawValue),
            "requestedAt": .string(call.requestedAt.rfc3339), "milliseconds": .integer(call.milliseconds),
            "amount": .string(String(call.amount)), "refund": .string(String(call.refund)), "unit": .string(call.unit),
        ]
    }

    private static func json(_ sum: BrokenSum) -> JSONObject {
        [
            "rule": .string(sum.rule.rawValue), "calls": .integer(sum.calls), "refunded": .integer(sum.refunded),
            "refund": .string(String(sum.refund)), "unit": .string(sum.unit),
        ]
    }

    private static func json(_ window: SLAWindow) -> JSONObject {
        var json: JSONObject = [
            "start": .string(window.start.rfc3339), "calls": .integer(window.calls), "failed": .integer(window.failed),
            "late": .integer(window.late), "wrong": .integer(window.wrong),
        ]
        json["p50"] = window.latencyMilliseconds(atPercentile: 50).map { .integer($0) }
        json["p95"] = window.latencyMilliseconds(atPercentile: 95).map { .integer($0) }
        json["uptimePPM"] = window.uptimePPM.map { .integer($0) }
        json["errorsPPM"] = window.errorsPPM.map { .integer($0) }
        return json
    }
}
