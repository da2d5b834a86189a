import CanonicalJSON
public import Hummingbird
import Passports
import SignedDocuments

/// The showcase over HTTP ([CARD-4], [ANC-3]): public documents, each with an ETag, and the operator's view of them.
public struct ShowcaseRoutes: Sendable {
    private let showcase: Showcase
    private let identity: IdentityRoutes

    public init(_ showcase: Showcase, identity: IdentityService) {
        self.showcase = showcase
        self.identity = IdentityRoutes(identity)
    }

    public func addPublicRoutes<Context: RequestContext>(to router: some RouterMethods<Context>) {
        let showcase = showcase
        add("/.well-known/agent-card.json", "application/json", to: router) { _ in
            try await showcase.nodeCard().published
        }
        add("/agents/:id/.well-known/agent-card.json", "application/json", to: router) {
            try await showcase.card(of: $0).published
        }
        add("/.well-known/jwks.json", "application/jwk-set+json", to: router) { _ in showcase.nodeKeys() }
        add("/agents/:id/registration.json", "application/json", to: router) {
            KeyBoard.Published(try await showcase.registration(of: $0))
        }
        add("/.well-known/agent-registration.json", "application/json", to: router) { _ in
            KeyBoard.Published(try await showcase.domainRegistrations())
        }
    }

    /// Adds `/card` and `/agents/:id/card`, `/agents/:id/registration` to the operator's group.
    public func addOperatorRoutes<Context: RequestContext>(to group: some RouterMethods<Context>) {
        let showcase = showcase
        group.get("/card") { _, _ in
            await RouteAnswers.answering { RouteAnswers.json(try await showcase.nodeCard().document) }
        }
        group.get("/agents/:id/card") { _, context in
            await RouteAnswers.answering {
                RouteAnswers.json(try await showcase.card(of: try context.parameters.require("id")).document)
            }
        }
        group.get("/agents/:id/registration") { _, context in
            await RouteAnswers.answering {
                RouteAnswers.json(try await showcase.registration(of: try context.parameters.require("id")))
            }
        }
    }

    private func add<Context: RequestContext>(
        _ path: String,
        _ type: String,
        to router: some RouterMethods<Context>,
        _ document: @escaping @Sendable (_ id: String) async throws -> KeyBoard.Published
    ) {
        identity.addShown(path, to: router) { request, context in
            IdentityRoutes.shown(
                try await document(context.parameters.get("id") ?? ""),
                type: type,
                maximumAgeSeconds: Showcase.maximumAgeSeconds,
                to: request
            )
        }
    }
}

extension AgentCard {
    fileprivate var published: KeyBoard.Published { KeyBoard.Published(document) }
}
