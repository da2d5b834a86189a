internal import CanonicalJSON
internal import Cashu
internal import Delegation
internal import Encodings
internal import HTTPTypes
public import Hummingbird
internal import NIOCore
internal import Paywall
internal import Storage

/// Answers `/s/<service>/…` before the router looks: any method, no route to add for each.
public struct GatewayMiddleware<Context: RequestContext>: RouterMiddleware {
    private let gateway: Gateway
    private let peerAddress: @Sendable (Context) -> String?

    /// - Parameter peerAddress: the client's IP address, for rate limits and `Forwarded`.
    public init(gateway: Gateway, peerAddress: @escaping @Sendable (Context) -> String?) {
        self.gateway = gateway
        self.peerAddress = peerAddress
    }

    public func handle(
        _ request: Request,
        context: Context,
        next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        guard gateway.answers(request) else { return try await next(request, context) }
        return try await gateway.respond(to: request, peerAddress: peerAddress(context))
    }
}

/// The gateway's other routes.
public struct GatewayRoutes: Sendable {
    private let gateway: Gateway

    public init(_ gateway: Gateway) {
        self.gateway = gateway
    }

    // MARK: Public

    /// Adds `GET /receipts/:id`. The id is 74 random bits: whoever knows it may read the receipt.
    public func addPublic<Context: RequestContext>(to router: some RouterMethods<Context>) {
        router.get("/receipts/:id") { _, context in
            await answering {
                guard let id = context.parameters.get("id"), UUIDVersion7.isUUID(id),
                    let receipt = try await gateway.store.receipt(id: id)
                else { throw CallRefusal(.unknownReceipt, "There is no receipt of that id here.") }
                return Response(
                    status: .ok,
                    headers: [
                        .contentType: "application/json", .cacheControl: "private, max-age=31536000, immutable",
                        // A page that paid reads its receipt from where it paid.
                        .accessControlAllowOrigin: "*",
                    ],
                    body: ResponseBody(byteBuffer: ByteBuffer(bytes: receipt))
                )
            }
        }
        router.get("/receipts/:id/invocation") { _, context in
            await answering {
                guard let id = context.parameters.get("id"), UUIDVersion7.isUUID(id),
                    let word = try await gateway.invocationReceipt(id: id)
                else {
                    throw CallRefusal(.unknownReceipt, "There is no receipt of that id here that is of an invocation.")
                }
                return Problem.json(.object(word.document))
            }
        }
    }

    // MARK: The operator's

    /// Adds the operator's routes (`services`, `gateway`) to the group of the operator's API, which keeps strangers out.
    public func addOperator<Context: RequestContext>(to router: some RouterMethods<Context>) {
        router.get("/services") { _, _ in
            await answering { Problem.json(.object(["services": .array(gateway.services.map(\.json))])) }
        }
        router.post("/services") { request, _ in
            await answering { try await add(request) }
        }
        router.get("/services/:name") { _, context in
            await answering { Problem.json(try shown(try service(context.parameters.get("name")))) }
        }
        router.post("/services/:name/price") { request, context in
            await answering {
                let found = try service(context.parameters.get("name"))
                return Problem.json(.object(try await gateway.priced(PriceTrial(json: Self.body(request)), at: found)))
            }
        }
        router.delete("/services/:name") { _, context in
            await answering {
                let found = try service(context.parameters.get("name"))
                try await gateway.remove(service: found.name)
                return Problem.json(found.json)
            }
        }
        addKeys(to: router)
        router.get("/gateway") { _, _ in
            await answering { Problem.json(try await totals()) }
        }
        router.get("/gateway/claims") { request, _ in
            await answering { Problem.json(try await claims(request)) }
        }
        router.get("/gateway/claims/:id") { _, context in
            await answering {
                guard let id = context.parameters.get("id"), let record = try await gateway.store.record(claimID: id)
                else {
                    throw CallRefusal(
                        CallRefusal.Code(rawValue: "unknown-claim"),
                        status: 404,
                        "There is no claim of that id."
                    )
                }
                return Problem.json(.object(Self.json(record)))
            }
        }
        router.post("/gateway/offline/stop") { request, _ in
            await answering {
                let reason = try await Self.body(request).optionalString("reason") ?? "Stopped by the operator."
                try await gateway.stopOfflineAcceptance(reason: String(reason.prefix(500)))
                return Problem.json(try await totals())
            }
        }
        router.post("/gateway/x402/forgive") { _, _ in
            await answering {
                Problem.json(.object(["forgiven": .integer(Int64(try await gateway.store.forgiveLostExact()))]))
            }
        }
        router.post("/gateway/offline/resume") { _, _ in
            await answering {
                try await gateway.resumeOfflineAcceptance()
                return Problem.json(try await totals())
            }
        }
    }

    /// Adds the operator's routes to the secrets of credentials: `paywall/keys`.
    private func addKeys<Context: RequestContext>(to router: some RouterMethods<Context>) {
        router.get("/paywall/keys") { _, _ in
            await answering { Problem.json(.object(["keys": .array(gateway.keys.entries.map(Self.json))])) }
        }
        router.post("/paywall/keys") { _, _ in
            await answering { Problem.json(Self.json(try await gateway.keys.rotate()), status: .created) }
        }
        router.post("/paywall/keys/:id/revoke") { _, context in
            await answering {
                Problem.json(Self.json(try await gateway.keys.revoke(context.parameters.get("id") ?? "")))
            }
        }
    }

    private static func json(_ key: PaywallKeys.Entry) -> JSONValue {
        .object([
            "id": .string(key.id), "state": .string(key.state.rawValue), "madeAt": .string(key.madeAt.rfc3339),
            "changedAt": .string(key.changedAt.rfc3339),
        ])
    }

    private func service(_ name: String?) throws(GatewayError) -> ServiceDefinition {
        guard let name, let service = gateway.service(name) else {
            throw GatewayError(.serviceUnknown, "No service is named \"\((name ?? "").prefix(80))\".")
        }
        return service
    }

    /// A definition, with what is known of its upstreams now in `state`.
    private func shown(_ service: ServiceDefinition) throws -> JSONValue {
        var object = try service.json.requireObject("the service")
        object["state"] = gateway.registry.entry(service.name).map { .object(["upstreams": $0.upstream.states]) }
        return .object(object)
    }

    /// Adds a service; with the member `replace` true, changes one of the same name.
    private func add(_ request: Request) async throws -> Response {
        var object = try await Self.body(request)
        let replaces = try object.optionalBool("replace") ?? false
        _ = object.removeValue(forKey: "replace")
        let definition = try ServiceDefinition(json: .object(object))
        try await gateway.add(definition, replaces: replaces)
        var answer = try definition.json.requireObject("the service")
        let notes = gateway.notes(on: definition)
        if !notes.isEmpty { answer["notes"] = .array(notes.map { .string($0) }) }
        return Problem.json(.object(answer), status: .created)
    }

    private func totals() async throws -> JSONValue {
        let totals = try await gateway.store.totals()
        var states = JSONObject()
        for (state, count) in totals.claimsByState.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            states[state.rawValue] = .integer(Int64(count))
        }
        var object: JSONObject = [
            "unredeemed": .array(
                totals.unredeemed.map { held in
                    .object([
                        "mint": .string(held.mint),
                        "unit": .string(held.unit),
                        "amount": .string(String(held.amount)),
                    ])
                }
            ),
            "unredeemedCap": .string(String(gateway.configuration.unredeemedCap)),
            "claims": .object(states),
            "failedProofs": .integer(Int64(totals.failedProofs)),
            "offlineAcceptance": .bool(gateway.offlineAcceptanceStop == nil),
            "prepaidMsat": .string(String(totals.prepaidMsat)),
            "callsRunning": .integer(Int64(gateway.slots.value)),
            "sellerKey": .string(Hex.encode(gateway.sellerKey)),
        ]
        let caps = gateway.configuration.exact?.reserveCaps ?? [:]
        object["x402"] = .array(
            try await gateway.store.exactTotals().map { total in
                var entry: JSONObject = [
                    "unit": .string(total.unit), "reserved": .string(String(total.reserved)),
                    "lost": .string(String(total.lost)),
                ]
                entry["cap"] = caps[total.unit].map { .string(String($0)) }
                return .object(entry)
            }
        )
        let sessions = try await gateway.sessions.totals()
        object["sessions"] = .object([
            "open": .integer(Int64(sessions.open)), "owedMsat": .string(String(sessions.owedMsat)),
            "failedReturns": .integer(Int64(sessions.failed)),
        ])
        if let report = gateway.rates.report {
            let units = report.units.map { unit in
                var entry: JSONObject = ["unit": .string(unit.unit), "stale": .bool(unit.isStale)]
                entry["msat"] = unit.msat.map { .string(String($0)) }
                entry["at"] = unit.at.map { .string($0.rfc3339) }
                return JSONValue.object(entry)
            }
            object["rates"] = .object(["source": .string(report.source), "units": .array(units)])
        }
        object["offlineStopReason"] = gateway.offlineAcceptanceStop.map { .string($0) }
        return .object(object)
    }

    private func claims(_ request: Request) async throws -> JSONValue {
        let limit = min(500, max(1, request.uri.queryParameters.get("limit").flatMap { Int($0) } ?? 50))
        let before = request.uri.queryParameters.get("before").map { String($0) }
        let records = try await gateway.store.claims(limit: limit, before: before)
        return .object(["claims": .array(records.map { .object(Self.json($0)) })])
    }

    private static func json(_ record: ClaimRecord) -> JSONObject {
        var object: JSONObject = [
            "id": .string(record.call.id),
            "state": .string(record.call.state.rawValue),
            "service": .string(record.service),
            "method": .string(record.method),
            "target": .string(record.target),
            "dialect": .string(record.dialect.rawValue),
            "unit": .string(record.unit.name),
            "amount": .string(String(record.total)),
            "price": .string(String(record.price)),
            "payment": .string(record.call.payment.description),
            "at": .string(record.at.rfc3339),
        ]
        switch record.source {
        case .ecash(let mint):
            object["mint"] = .string(mint.string)
            object["redeemedFirst"] = .bool(record.isOnline)
        case .grant(let hash):
            object["paymentHash"] = .string(Hex.encode(hash))
        case .exact(let asset):
            object["asset"] = .string(asset)
            object["settledFirst"] = .bool(record.isOnline)
        }
        object["settledAt"] = record.settledAt.map { .string($0.rfc3339) }
        object["caller"] = record.caller.map { .string($0.did) }
        object["agent"] = record.caller?.agentID.map { .string($0) }
        return object
    }

    // MARK: Reading and answering

    private static let maximumBodyBytes = 262_144

    private static func body(_ request: Request) async throws -> JSONObject {
        let buffer: ByteBuffer
        do {
            buffer = try await request.body.collect(upTo: maximumBodyBytes)
        } catch {
            throw CallRefusal(.bodyTooLarge, "The request has at most \(maximumBodyBytes) bytes.")
        }
        guard buffer.readableBytes > 0 else { return JSONObject() }
        return try JSONValue.parse(Array(buffer.readableBytesView)).requireObject("the request body")
    }

    private func answering(_ body: () async throws -> Response) async -> Response {
        do {
            return try await body()
        } catch let refusal as CallRefusal {
            return Problem.response(refusal)
        } catch let error as GatewayError {
            let status =
                switch error.code {
                case .serviceUnknown, .keyUnknown: 404
                case .serviceExists: 409
                case .invalidService, .tooManyServices, .invalidKey: 400
                default: 500
                }
            return Problem.response(CallRefusal(.init(rawValue: error.code.rawValue), status: status, error.message))
        } catch let error as JSONError {
            return Problem.response(CallRefusal(.malformedRequest, error.message))
        } catch let error as StorageError {
            return Problem.response(
                CallRefusal(.storageFailed, status: error.code == .overloaded ? 503 : 500, error.message)
            )
        } catch {
            return Problem.response(
                CallRefusal(.init(rawValue: "internal"), status: 500, "The request failed: \(error)")
            )
        }
    }
}
