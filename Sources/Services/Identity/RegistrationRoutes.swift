import CanonicalJSON
import Encodings
import HTTPTypes
public import Hummingbird
import NIOCore
import Passports
import SignedDocuments

/// Registration over HTTP for agents that come by themselves, and the operator's side of it ([REG-1] and on).
public struct RegistrationRoutes: Sendable {
    private let service: IdentityService
    private var desk: RegistrationDesk { service.registration }

    public init(_ service: IdentityService) {
        self.service = service
    }

    /// Adds `POST /agents/challenge`, `POST /agents/register[/<token>]` and `GET /agents/requests/<id>`; none where
    /// registration is off.
    public func addPublicRoutes<Context: RemoteAddressRequestContext>(to router: some RouterMethods<Context>) {
        guard desk.policy.mode != .off else { return }
        router.post("/agents/challenge") { _, context in
            await RouteAnswers.answering {
                let made = try desk.challenge(address: Self.address(context))
                return RouteAnswers.json(
                    [
                        "challenge": .string(made.challenge), "expiresAt": .string(made.expires.rfc3339),
                        "node": .string(service.office.issuer.string),
                    ],
                    status: .created
                )
            }
        }
        router.post("/agents/register") { request, context in
            await RouteAnswers.answering { try await register(request, address: Self.address(context), token: nil) }
        }
        router.post("/agents/register/:token") { request, context in
            await RouteAnswers.answering {
                try await register(request, address: Self.address(context), token: context.parameters.get("token"))
            }
        }
        router.get("/agents/requests/:id") { _, context in
            await RouteAnswers.answering {
                Self.shown(try await desk.answer(try context.parameters.require("id")), status: .ok)
            }
        }
    }

    /// Adds `GET /registration`, `GET /registration/requests` and `POST /registration/requests/<id>/approve|deny` to the
    /// operator's group.
    public func addOperatorRoutes<Context: RequestContext>(to group: some RouterMethods<Context>) {
        group.get("/registration") { _, _ in
            await RouteAnswers.answering {
                let base = service.office.configuration.publicURL
                var object: JSONObject = ["mode": .string(desk.policy.mode.rawValue)]
                object["capabilities"] = .array(desk.policy.capabilities.sorted().map { .string($0) })
                switch desk.policy.mode {
                case .off: break
                case .open, .approved: object["url"] = .string(base + "/agents/register")
                case .paid: object["upstream"] = .string(base + "/agents/register/" + desk.paidToken)
                }
                return RouteAnswers.json(object)
            }
        }
        group.get("/registration/requests") { _, _ in
            await RouteAnswers.answering {
                RouteAnswers.json(["requests": .array(try await desk.pending().map { .object($0.json) })])
            }
        }
        group.post("/registration/requests/:id/approve") { request, context in
            await RouteAnswers.answering {
                let body = try await RouteAnswers.body(request)
                let answer = try await desk.approve(
                    try context.parameters.require("id"),
                    capabilities: try body.optionalStrings("capabilities")
                )
                return Self.shown(answer, status: .ok)
            }
        }
        group.post("/registration/requests/:id/deny") { request, context in
            await RouteAnswers.answering {
                let reason = try (try await RouteAnswers.body(request)).optionalString("reason")
                let denied = try await desk.deny(try context.parameters.require("id"), reason: reason)
                return RouteAnswers.json(["request": .object(denied.json)])
            }
        }
    }

    private func register(_ request: Request, address: String, token: String?) async throws -> Response {
        let body = try await RouteAnswers.body(request)
        for name in ["spendLimit", "passportLifetimeSeconds"] where body[name] != nil {
            throw IdentityError(.invalidRequest, "`\(name)` is the operator's to set")
        }
        let description = AgentDescription(
            name: try body.string("name"),
            operatorName: try body.optionalString("operator"),
            capabilities: try body.optionalStrings("capabilities") ?? []
        )
        guard let key = try IdentityRoutes(service).ownKey(body) else {
            throw IdentityError(.invalidRequest, "`did`, `challenge` and `signature` must prove the agent's own key")
        }
        let answer = try await desk.register(description, key: key, address: address, paidToken: token)
        return Self.shown(answer, status: answer.passport == nil ? .accepted : .created)
    }

    private static func shown(_ answer: RegistrationDesk.Answer, status: HTTPResponse.Status) -> Response {
        var object: JSONObject = ["request": .object(answer.request.json)]
        object["passport"] = answer.passport.map { .object($0.document) }
        return RouteAnswers.json(object, status: status)
    }

    private static func address(_ context: some RemoteAddressRequestContext) -> String {
        context.remoteAddress?.ipAddress ?? "-"
    }
}
