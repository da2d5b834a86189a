internal import CanonicalJSON
internal import Cryptography
internal import Encodings
internal import HTTPTypes
internal import Hummingbird
internal import Identity
internal import Market
internal import NIOCore
internal import Records
internal import SignedDocuments
internal import Trading

/// What is for sale here and elsewhere: `/api/market` for the operator, `/market` for everybody.
struct MarketRoutes: Sendable {
    let market: JudgedMarket

    /// Whoever has one asks again after that, in seconds.
    private static let maximumAgeSeconds = 10

    func addOperator<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.get("search") { request, _ in
            await OperatorResponses.answering { .object(try await judged(request.uri.queryParameters)) }
        }
        group.get("own") { _, _ in
            await OperatorResponses.answering {
                ["listings": .array(try await market.part().own().map { .object(Self.json($0)) })]
            }
        }
        group.get("records/{id}") { _, context in
            await OperatorResponses.answering {
                let text = try context.parameters.require("id")
                guard let bytes = try? Hex.decode(text), let id = RecordID(bytes: bytes) else {
                    throw MarketError(.invalidQuery, "A listing's id is 64 hexadecimal digits.")
                }
                return .object(try await shown(try await market.part().index.listing(id)))
            }
        }
        group.get("listings/{author}/{name}") { _, context in
            await OperatorResponses.answering {
                .object(try await shown(listing(context.parameters)))
            }
        }
    }

    /// `GET listings?q=…` and `GET listings/<author>/<name>`, the signed record.
    func addPublic<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.get("listings") { request, _ in
            await answering(request, isWeak: true) {
                let (answer, found) = try await search(request.uri.queryParameters)
                // The figures change with time, what was found does not.
                let ids = found.listings.flatMap(\.record.id.bytes) + [found.matchesSomeWords ? 1 : 0]
                return (JSONValue.object(answer).serialized(), Hex.encode(Array(Hashing.sha256(ids).prefix(16))))
            }
        }
        group.get("listings/{author}/{name}") { request, context in
            await answering(request) {
                let record = try await listing(context.parameters).record
                return (record.bytes, record.id.description)
            }
        }
    }

    private func answering(
        _ request: Request,
        isWeak: Bool = false,
        _ work: () async throws -> ([UInt8], tag: String)
    ) async -> Response {
        do {
            let (bytes, tag) = try await work()
            let etag = "\"\(tag)\""
            var headers: HTTPFields = [
                .contentType: "application/json", .eTag: (isWeak ? "W/" : "") + etag,
                .cacheControl: "public, max-age=\(Self.maximumAgeSeconds)", .accessControlAllowOrigin: "*",
            ]
            if IdentityRoutes.matches(request.headers[values: .ifNoneMatch], etag) {
                headers[.contentType] = nil
                return Response(status: .notModified, headers: headers)
            }
            return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
        } catch {
            return OperatorResponses.problem(OperatorProblem.of(error))
        }
    }

    // MARK: Asking

    private static let members: Set<String> = [
        "q", "max", "dialect", "mint", "tag", "capability", "latency", "uptime", "author", "limit",
        "reputation", "alive",
    ]

    private func search(_ parameters: Parameters) async throws -> (answer: JSONObject, found: FoundListings) {
        guard parameters["reputation"] == nil, parameters["alive"] == nil else {
            throw MarketError(.invalidQuery, "What this node thinks of sellers it tells its operator alone.")
        }
        let found = try await market.part().index.search(try Self.query(parameters))
        return (Self.answer(found), found)
    }

    private func judged(_ parameters: Parameters) async throws -> JSONObject {
        let query = try Self.query(parameters)
        let least = try Self.number("reputation", parameters) ?? 0
        guard least <= 100 else { throw MarketError(.invalidQuery, "\"reputation\" is 0 to 100.") }
        let aliveAlone = try Self.flag("alive", parameters)
        return Self.answer(try await market.search(query, atLeast: Int(least), aliveAlone: aliveAlone))
    }

    private static func flag(_ name: String, _ parameters: Parameters) throws(MarketError) -> Bool {
        switch parameters[Substring(name)] {
        case nil, "false": return false
        case "true": return true
        default: throw MarketError(.invalidQuery, "\"\(name)\" is true or false.")
        }
    }

    private static func answer(_ found: FoundListings) -> JSONObject {
        [
            "listings": .array(found.listings.map { .object(json($0, record: false)) }),
            "matchesSomeWords": .bool(found.matchesSomeWords),
        ]
    }

    private static func number(_ name: String, _ parameters: Parameters) throws(MarketError) -> Int64? {
        guard let text = parameters[Substring(name)] else { return nil }
        guard let number = Int64(text), String(number) == text, number >= 0 else {
            throw MarketError(.invalidQuery, "\"\(name)\" is a whole number.")
        }
        return number
    }

    /// - Throws: ``MarketError`` `invalid-query`: what is misspelt is not passed over.
    static func query(_ parameters: Parameters) throws -> ListingQuery {
        func refuse(_ what: String) -> MarketError { MarketError(.invalidQuery, what) }
        guard parameters.allSatisfy({ members.contains(String($0.key)) }) else {
            throw refuse("A search has \(members.sorted().joined(separator: ", ")), and nothing else.")
        }
        func text(_ name: String) -> String? { parameters[Substring(name)].map(String.init) }
        func number(_ name: String) throws -> Int64? { try Self.number(name, parameters) }
        var query = ListingQuery(text("q") ?? "")
        if let price = text("max") {
            guard let most = AmountText.read(price), !most.unit.isEmpty else {
                throw refuse("\"max\" is an amount with its unit, such as 5sat.")
            }
            query.maximumPrice = most
        }
        query.dialect = text("dialect")
        query.mint = text("mint")
        query.tags = parameters.getAll("tag")
        query.capability = text("capability")
        query.maximumLatencyMilliseconds = try number("latency")
        query.minimumUptimePPM = try number("uptime")
        if let author = text("author") {
            guard let did = try? DIDKey(parsing: author) else { throw refuse("\"author\" is a did:key.") }
            query.author = did
        }
        if let count = try number("limit") { query.count = Int(clamping: count) }
        return query
    }

    private func listing(_ parameters: Parameters) async throws -> FoundListing {
        guard let author = try? DIDKey(parsing: parameters.require("author")) else {
            throw MarketError(.invalidQuery, "The author of a listing is a did:key.")
        }
        return try await market.part().index.listing(of: author, named: parameters.require("name"))
    }

    // MARK: Showing

    /// One listing for its operator, with what is known of its liveness.
    private func shown(_ found: FoundListing) async throws -> JSONObject {
        var json = Self.json(found, record: true)
        let key = found.record.key
        if let liveness = market.liveness, let account = try await liveness.book.accounts(of: [key])[key] {
            json["liveness"] = .object(Self.json(account.standing))
            json["probes"] = .array(
                account.probes.prefix(Self.shownProbes).map { probe in
                    var json: JSONObject = ["at": .string(probe.at.rfc3339), "result": .string(probe.why.rawValue)]
                    json["milliseconds"] = probe.milliseconds.map { .integer($0) }
                    return .object(json)
                }
            )
        }
        return json
    }

    private static let shownProbes = 10

    private static func json(_ standing: LivenessStanding) -> JSONObject {
        let (own, others) = (standing.own, standing.others)
        var tries: JSONObject = [
            "state": .string(own.state.rawValue), "ok": JSONValue(own.good), "failed": JSONValue(own.failed),
        ]
        tries["successPermille"] = own.successPermille.map { .integer($0) }
        tries["p50Milliseconds"] = own.latency.milliseconds(atPercentile: 50).map { .integer($0) }
        tries["p95Milliseconds"] = own.latency.milliseconds(atPercentile: 95).map { .integer($0) }
        tries["last"] = own.last.map { .string($0.rfc3339) }
        var told: JSONObject = [
            "state": .string(others.state.rawValue), "alive": JSONValue(others.alive), "dead": JSONValue(others.dead),
        ]
        told["p50Milliseconds"] = others.latencyMilliseconds.map { .integer($0) }
        return ["state": .string(standing.state.rawValue), "own": .object(tries), "others": .object(told)]
    }

    private static func json(_ found: FoundListing, record: Bool) -> JSONObject {
        var json: JSONObject = [
            "author": .string(found.record.author.string), "name": .string(found.record.key.name),
            "id": .string(found.record.id.description), "sequence": JSONValue(found.record.sequence),
            "published": .string(found.record.created.rfc3339), "expires": .string(found.record.expires.rfc3339),
            "urls": JSONValue(found.urls.map(\.text)), "listing": .object(found.listing.body),
            "points": .integer(found.points),
            "why": .array(
                found.parts.map {
                    ["part": .string($0.name), "points": .integer($0.points), "figure": .string($0.why)]
                }
            ),
        ]
        json["liveness"] = found.liveness.map { .object(Self.json($0)) }
        if record { json["record"] = .object(found.record.document) }
        return json
    }

    private static func json(_ own: MarketPart.Own) -> JSONObject {
        var json: JSONObject = ["name": .string(own.name), "state": .string(own.state.rawValue)]
        json["why"] = own.why.map { .string($0) }
        if let record = own.record {
            json["id"] = .string(record.id.description)
            json["sequence"] = JSONValue(record.sequence)
            json["published"] = .string(record.created.rfc3339)
            json["expires"] = .string(record.expires.rfc3339)
        }
        return json
    }
}
