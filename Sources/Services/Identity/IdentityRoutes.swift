import CanonicalJSON
import Encodings
import HTTPTypes
public import Hummingbird
import Passports
import SignedDocuments

/// The identity service over HTTP. `Specs/passport.md` has the table of fields.
public struct IdentityRoutes: Sendable {
    let service: IdentityService

    public init(_ service: IdentityService) {
        self.service = service
    }

    // MARK: Public

    /// Adds `GET /status/:number`: the signed status lists.
    public func addPublicRoutes<Context: RequestContext>(to router: some RouterMethods<Context>) {
        router.get("/status/:number") { request, context in
            await RouteAnswers.answering { try statusList(request, context.parameters.get("number")) }
        }
        router.get("/status/:number/:notation") { request, context in
            await RouteAnswers.answering {
                try statusList(request, context.parameters.get("number"), context.parameters.get("notation"))
            }
        }
        addDocumentRoutes(to: router)
        addKeyRoutes(to: router)
        OfferRoutes(offers: service.offers).addPublicRoutes(to: router)
        router.head("/status/:number") { request, context in
            await RouteAnswers.answering {
                var response = try statusList(request, context.parameters.get("number"))
                response.body = ResponseBody()
                return response
            }
        }
    }

    private func statusList(_ request: Request, _ number: String?, _ suffix: String? = nil) throws -> Response {
        guard let notation = suffix.map({ ListNotation(rawValue: $0) }) ?? .bitstring,
            suffix == nil || notation != .bitstring, let text = number, text.utf8.count <= 10, let number = Int64(text),
            String(number) == text,
            let list = try service.office.publishedList(number, notation: notation)
        else {
            throw ProblemDetails(
                code: "status-list-not-found",
                title: "No such status list",
                status: 404,
                detail: "this node has no status list of that number"
            )
        }
        var headers: HTTPFields = [
            .contentType: notation.mediaType,
            .eTag: list.etag,
            .cacheControl: "public, max-age=\(service.office.configuration.listResignSeconds)",
            .expires: Self.httpDate(list.validUntil.secondsSince1970),
            .lastModified: Self.httpDate(list.validFrom.secondsSince1970),
        ]
        if Self.matches(request.headers[values: .ifNoneMatch], list.etag) {
            headers[.contentType] = nil
            return Response(status: .notModified, headers: headers)
        }
        return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: list.bytes)))
    }

    /// If-None-Match, weak comparison (RFC 9110, 13.1.2).
    package static func matches(_ lines: [String], _ etag: String) -> Bool {
        lines.flatMap { $0.split(separator: ",") }.contains { item in
            let tag = item.drop { $0 == " " || $0 == "\t" }
            let bare = tag.hasPrefix("W/") ? tag.dropFirst(2) : tag
            return bare.prefix { $0 != " " && $0 != "\t" } == etag || tag.prefix(1) == "*"
        }
    }

    /// IMF-fixdate (RFC 9110, 5.6.7).
    package static func httpDate(_ seconds: Int64) -> String {
        let days = seconds >= 0 ? seconds / 86_400 : -((-seconds + 86_399) / 86_400)
        let rest = seconds - days * 86_400
        // Civil date from days since 1970-01-01, proleptic Gregorian (Howard Hinnant's algorithm).
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthIndex = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthIndex + 2) / 5 + 1
        let month = monthIndex < 10 ? monthIndex + 3 : monthIndex - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let weekday = weekdays[Int(((days % 7) + 7) % 7)]
        let time = "\(two(rest / 3_600)):\(two(rest / 60 % 60)):\(two(rest % 60))"
        return "\(weekday), \(two(day)) \(months[Int(month) - 1]) \(year) \(time) GMT"
    }

    // MARK: The operator's

    /// Adds `/agents…` and `/passports…` to the operator's group, which Node mounts under `/api` and guards.
    public func addOperatorRoutes<Context: RequestContext>(to group: some RouterMethods<Context>) {
        addAgentRoutes(to: group)
        addPassportRoutes(to: group)
        addDIDRoutes(to: group)
        OfferRoutes(offers: service.offers).addOperatorRoutes(to: group)
        addMovingRoutes(to: group)
        RegistrationRoutes(service).addOperatorRoutes(to: group)
    }

    private func addAgentRoutes<Context: RequestContext>(to group: some RouterMethods<Context>) {
        group.post("/agents/challenge") { _, _ in await RouteAnswers.answering { try challenge() } }
        group.post("/agents") { request, _ in await RouteAnswers.answering { try await register(request) } }
        group.get("/agents") { request, _ in await RouteAnswers.answering { try await listAgents(request) } }
        group.get("/agents/:id") { _, context in
            await RouteAnswers.answering { try await showAgent(context.parameters.require("id")) }
        }
        group.post("/agents/:id/renew") { _, context in
            await RouteAnswers.answering {
                let renewed = try await service.registry.renew(try context.parameters.require("id"))
                return try await issued(renewed, status: .ok)
            }
        }
        group.post("/agents/:id/rotate") { request, context in
            await RouteAnswers.answering {
                let key = try ownKey(try await RouteAnswers.body(request))
                return try await issued(
                    try await service.registry.rotate(try context.parameters.require("id"), key: key),
                    status: .ok
                )
            }
        }
    }

    private func addPassportRoutes<Context: RequestContext>(to group: some RouterMethods<Context>) {
        group.post("/passports/verify") { request, _ in await RouteAnswers.answering { try await verify(request) } }
        group.post("/passports/:id/present") { request, context in
            await RouteAnswers.answering { try await present(request, try context.parameters.require("id")) }
        }
        group.get("/passports/evidence") { _, _ in
            await RouteAnswers.answering {
                let found = try await service.cache.equivocations()
                return RouteAnswers.json(["evidence": .array(found.map { .object($0.json) })])
            }
        }
        group.get("/passports/:id") { request, context in
            await RouteAnswers.answering {
                if let form = request.uri.queryParameters["form"] {
                    return try await passport(try context.parameters.require("id"), form: String(form))
                }
                return shown(try await service.office.passport(try context.parameters.require("id")))
            }
        }
        group.post("/passports/:id/revoke") { request, context in
            await RouteAnswers.answering { try await revoke(request, try context.parameters.require("id")) }
        }
        group.post("/passports/:id/suspend") { request, context in
            await RouteAnswers.answering {
                let reason = try (try await RouteAnswers.body(request)).optionalString("reason")
                return shown(try await service.office.suspend(try context.parameters.require("id"), reason: reason))
            }
        }
        group.post("/passports/:id/restore") { _, context in
            await RouteAnswers.answering {
                shown(try await service.office.restore(try context.parameters.require("id")))
            }
        }
    }

    // MARK: Agents

    private func challenge() throws -> Response {
        let made = try service.registry.challenge()
        return RouteAnswers.json(
            [
                "challenge": .string(made.challenge), "expiresAt": .string(made.expires.rfc3339),
                "node": .string(service.office.issuer.string),
            ],
            status: .created
        )
    }

    private func register(_ request: Request) async throws -> Response {
        let body = try await RouteAnswers.body(request)
        let limit = try body.optionalObject("spendLimit")
        let description = AgentDescription(
            name: try body.string("name"),
            operatorName: try body.optionalString("operator"),
            capabilities: try body.optionalStrings("capabilities") ?? [],
            spendLimit: try limit.map { try SpendLimit(json: .object($0)) },
            passportLifetimeSeconds: try body.optionalInt64("passportLifetimeSeconds") ?? 86_400
        )
        return try await issued(
            try await service.registry.register(description, key: try ownKey(body)),
            status: .created
        )
    }

    /// `did`, `challenge` and `signature`, all or none, and `nextKeyHash`.
    func ownKey(_ body: JSONObject) throws -> OwnKey? {
        guard let text = try body.optionalString("did") else {
            guard body["challenge"] == nil, body["signature"] == nil, body["nextKeyHash"] == nil else {
                throw IdentityError(
                    .invalidRequest,
                    "`challenge`, `signature` and `nextKeyHash` go with the agent's own `did`"
                )
            }
            return nil
        }
        return OwnKey(
            did: try Self.did(text, "did"),
            challenge: try body.string("challenge"),
            signature: try body.string("signature"),
            nextKeyDigest: try body.optionalString("nextKeyHash")
        )
    }

    static func did(_ text: String, _ name: String) throws(IdentityError) -> DIDKey {
        do {
            return try DIDKey(parsing: text)
        } catch {
            throw IdentityError(.invalidRequest, "`\(name)`: \(error.message)")
        }
    }

    private func listAgents(_ request: Request) async throws -> Response {
        let after = request.uri.queryParameters["after"].map(String.init)
        let agents = try await service.registry.agents(after: after)
        return RouteAnswers.json(["agents": .array(agents.map { .object($0.json) })])
    }

    private func showAgent(_ id: String) async throws -> Response {
        let agent = try await service.registry.agent(id)
        let now = service.office.clock.now()
        let passports = try await service.office.passports(agent: agent.id)
        return RouteAnswers.json([
            "agent": try await json(agent),
            "passports": .array(
                passports.map { record in
                    var summary = record.json(now: now)
                    summary.removeValue(forKey: "passport")
                    return .object(summary)
                }
            ),
        ])
    }

    func issued(
        _ result: (agent: Agent, passport: Passport),
        status: HTTPResponse.Status
    ) async throws -> Response {
        RouteAnswers.json(
            ["agent": try await json(result.agent), "passport": .object(result.passport.document)],
            status: status
        )
    }

    /// An agent, with its did:webvh where it has one.
    private func json(_ agent: Agent) async throws -> JSONValue {
        var json = agent.json
        json["webvh"] = try await service.registry.webVH(of: agent).map { .string($0.string) }
        return .object(json)
    }

    // MARK: Passports

    private func shown(_ record: PassportRecord) -> Response {
        RouteAnswers.json(record.json(now: service.office.clock.now()))
    }

    private func revoke(_ request: Request, _ id: String) async throws -> Response {
        let body = try await RouteAnswers.body(request)
        let text = try body.optionalString("reason") ?? "unspecified"
        guard let reason = RevocationReason(rawValue: text) else {
            throw IdentityError(
                .invalidRequest,
                "`reason` must be one of \(RevocationReason.known.joined(separator: ", "))"
            )
        }
        return shown(
            try await service.office.revoke(
                id,
                reason: reason,
                compromisedSince: try RouteAnswers.instant(body, "since")
            )
        )
    }

    /// Answers 200 whatever the verdict: the check was done. Only a request that makes no sense is an error.
    private func verify(_ request: Request) async throws -> Response {
        let body = try await RouteAnswers.body(request)
        let document = try Self.passportBytes(body)
        let issuers = try body.optionalStrings("trustedIssuers")
        let capability = try body.optionalString("capability")
        let checksStatus = try body.optionalBool("status") ?? true
        let trusted = try issuers.map { list in
            Set(try list.map { try Self.did($0, "trustedIssuers") })
        }
        let verdict: PassportVerdict
        do throws(PassportReason) {
            verdict = await service.gate.verify(
                try Passport(bytes: document),
                trustedIssuers: trusted,
                requiredCapabilities: capability.map { [$0] } ?? [],
                checksStatus: checksStatus
            )
        } catch {
            verdict = PassportVerdict(reasons: [error])
        }
        return RouteAnswers.json([
            "valid": .bool(verdict.isValid),
            "reasons": .array(
                verdict.reasons.map { ["code": .string($0.code.rawValue), "message": .string($0.message)] }
            ),
        ])
    }
}
