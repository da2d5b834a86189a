internal import CanonicalJSON
internal import Encodings
internal import Hummingbird
internal import Market
internal import Trading
internal import WebClient

/// Finds out who an arbiter is, or a keeper of bonds: its node tells it ([ESC-19]).
struct ArbiterLookup: Sendable {
    private let exchange: HTTPExchange

    init(_ exchange: HTTPExchange) {
        self.exchange = exchange
    }

    /// - Parameter url: of the arbiter's node, `https` (`http` on the machine itself), without a path.
    /// - Throws: ``JobError``.
    func named(_ url: String) async throws -> NamedArbiter {
        let (origin, object) = try await told(url, "/market/arbiter")
        do {
            return try NamedArbiter(json: object, origin: origin)
        } catch {
            throw JobError(.sellerFailed, "What \(origin) tells of itself can't be read: \(error.message).")
        }
    }

    /// The same of one that keeps bonds ([BND-1]).
    func keeper(_ url: String) async throws -> NamedKeeper {
        let (origin, object) = try await told(url, "/market/bonds")
        return try NamedKeeper(json: object, origin: origin)
    }

    private func told(_ url: String, _ path: String) async throws -> (origin: String, object: JSONObject) {
        let origin = url.hasSuffix("/") ? String(url.dropLast()) : url
        guard ListingURL(origin) != nil, origin.split(separator: "/").count == 2 else {
            throw JobError(.invalid, "An arbiter is named by its node's URL, such as https://judge.example.")
        }
        let answer: (status: Int, body: [UInt8])
        do {
            answer = try await exchange.send(origin + path, limit: 65_536)
        } catch {
            throw JobError(.sellerFailed, "The arbiter can't be reached at \(origin): \(error)")
        }
        let json = try? JSONValue.parse(answer.body)
        guard answer.status == 200, let object = json?.objectValue else {
            let said = json?["detail"]?.stringValue ?? "it answered \(answer.status)"
            throw JobError(.sellerFailed, "\(origin) is no arbiter: \(said)")
        }
        return (origin, object)
    }
}

/// Disputes over jobs (`Specs/job.md`): `/market/arbiter` and `/market/disputes` for the two sides, `/api/market/disputes` for whoever
/// decides them here.
struct DisputeRoutes: Sendable {
    /// Request and answer of a job in base64url, 1 MiB each, and the documents around them.
    private static let maximumEvidenceBytes = 4 << 20

    let desk: ArbiterDesk
    let arbiters: ArbiterLookup

    init(_ node: Node) {
        desk = node.arbiterDesk
        arbiters = node.arbiters
    }

    func addPublic<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.get("arbiter") { _, _ in
            await OperatorResponses.answering { .object(try await desk.statement()) }
        }
        group.post("disputes") { request, _ in
            await OperatorResponses.answering {
                .object(
                    try await desk.hear(OperatorResponses.object(request, upTo: Self.maximumEvidenceBytes))
                )
            }
        }
        group.post("disputes/{id}") { _, context in
            await OperatorResponses.answering { .object(try await desk.told(context.parameters.require("id"))) }
        }
        group.post("disputes/{id}/outputs") { request, context in
            await OperatorResponses.answering {
                .object(try await desk.plan(context.parameters.require("id"), OperatorResponses.object(request)))
            }
        }
    }

    func addOperator<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.get("arbiter") { request, _ in
            await OperatorResponses.answering {
                let named = try await arbiters.named(request.uri.queryParameters.get("at") ?? "")
                var json = named.json
                json["at"] = .string(named.origin)
                return .object(json)
            }
        }
        group.get("disputes") { request, _ in
            await OperatorResponses.answering {
                let limit = request.uri.queryParameters.get("limit", as: Int.self) ?? 50
                return ["disputes": .array(try await desk.list(limit: limit).map { .object($0) })]
            }
        }
        group.get("disputes/{id}") { _, context in
            await OperatorResponses.answering {
                .object(try await desk.shown(context.parameters.require("id")))
            }
        }
        group.post("disputes/{id}/rule") { request, context in
            await OperatorResponses.answering {
                let body = try await OperatorResponses.object(request)
                guard let amount = UInt64(try body.string("seller")) else {
                    throw JobError(.invalid, "\"seller\" is what the seller gets, as a text of digits.")
                }
                return .object(
                    try await desk.rule(
                        context.parameters.require("id"),
                        provider: amount,
                        reason: try body.string("reason")
                    )
                )
            }
        }
    }
}
