internal import AuditLog
internal import Budgets
internal import CanonicalJSON
internal import Cryptography
internal import Encodings
internal import Foundation
internal import Gateway
internal import HTTPTypes
internal import Hummingbird
internal import Identity
internal import Mint
internal import NIOCore
internal import Settlement
internal import Storage
internal import WebServer

/// The context of a public request: with the caller's address, for rate limits.
struct PublicContext: RequestContext, RemoteAddressRequestContext {
    var coreContext: CoreRequestContextStorage
    let remoteAddress: SocketAddress?

    init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        remoteAddress = source.channel.remoteAddress
    }
}

/// Everything that strangers can reach. Paid services go straight to the gateway, past the router.
struct PublicResponder: HTTPResponder {
    private let gateway: Gateway
    private let fence: EpochFence
    private let router: RouterResponder<PublicContext>

    init(_ node: Node, operatorToken: [UInt8]) {
        gateway = node.gateway
        fence = node.fence
        let router = Router(context: PublicContext.self)
        if let mint = node.mint { MintRoutes(mint).add(to: router.group("mint")) }
        IdentityRoutes(node.identity).addPublicRoutes(to: router)
        ShowcaseRoutes(node.showcase, identity: node.identity).addPublicRoutes(to: router)
        CredentialRoutes(node.identity, mayFetch: false).addPublicRoutes(to: router)
        CredentialRoutes(node.identity, mayFetch: true).addOperatorRoutes(
            to: router.group("credentials").add(middleware: OperatorTokenMiddleware(token: operatorToken))
        )
        RegistrationRoutes(node.identity).addPublicRoutes(to: router)
        GatewayRoutes(node.gateway).addPublic(to: router)
        WalletRequestRoutes.addPublic(to: router, wallet: node.wallet)
        if let settlement = node.settlement {
            FacilitatorRoutes(settlement.settler, logger: node.logger) { [gateway] in await gateway.x402Catalogue() }
                .add(to: router.group("x402"))
        } else {
            FacilitatorRoutes.addCatalogue(to: router.group("x402")) { [gateway] in await gateway.x402Catalogue() }
        }
        MarketRoutes(market: JudgedMarket(node))
            .addPublic(to: router.group("market"))
        JobRoutes(node).addPublic(to: router.group("market"))
        DisputeRoutes(node).addPublic(to: router.group("market"))
        BondRoutes(node).addPublic(to: router.group("market"))
        if node.configuration.isReputationPublic {
            node.reputationRoutes.addStatement(to: router.group("market"))
        }
        if node.configuration.publishesReceipts {
            node.reputationRoutes.addReceipts(to: router.group("market"))
        }
        if let records = node.market?.records {
            PostageRoutes(records: records, publicURL: node.configuration.publicURL).addPublic(to: router)
        }
        BudgetRoutes(node.budgets).add(to: router)
        AuditLogRoutes(node.log).add(to: router.group("log"))
        LogPromises(node).add(to: router.group("log"))
        HealthRoutes(node: node).add(to: router.group())
        let api = router.group("api").add(middleware: OperatorTokenMiddleware(token: operatorToken))
        OperatorRoutes(node: node).add(to: api)
        self.router = router.buildResponder()
    }

    func respond(to request: Request, context: PublicContext) async throws -> Response {
        let isSold = gateway.answers(request)
        if fence.raised != nil, isSold || !Fence.allowsPublic(request.method, path: request.uri.path) {
            return request.uri.path.hasPrefix("/mint/") && !isSold ? Fence.mintRefusal() : Fence.refusal()
        }
        if isSold {
            return try await gateway.respond(to: request, peerAddress: context.remoteAddress?.ipAddress)
        }
        do {
            return try await router.respond(to: request, context: context)
        } catch let error as HTTPError {
            return OperatorResponses.problem(
                ProblemDetails(
                    code: error.status.code == 404 ? "not-found" : "http-\(error.status.code)",
                    title: error.status.reasonPhrase,
                    status: error.status.code,
                    detail: error.body
                )
            )
        }
    }
}

/// Lets only the holder of the operator's token in, compared in constant time.
struct OperatorTokenMiddleware: RouterMiddleware {
    let token: [UInt8]

    func handle(
        _ request: Request,
        context: PublicContext,
        next: (Request, PublicContext) async throws -> Response
    ) async throws -> Response {
        let given = request.headers[.authorization] ?? ""
        guard given.hasPrefix("Bearer "), ConstantTime.equal(Array(given.dropFirst(7).utf8), token) else {
            var response = OperatorResponses.problem(
                ProblemDetails(
                    code: "operator-token-required",
                    title: "This is the operator's",
                    status: 401,
                    detail: "Send the token in the data directory's file operator-token as Authorization: Bearer …"
                )
            )
            response.headers[.wwwAuthenticate] = "Bearer"
            return response
        }
        return try await next(request, context)
    }
}

/// `/health` and `/metrics`.
struct HealthRoutes: Sendable {
    static let path = "/health"

    let node: Node

    func add<Context: RequestContext>(to group: RouterGroup<Context>) {
        let node = node
        group.get("health") { _, _ in
            guard node.fence.raised == nil else { return Fence.refusal() }
            do {
                try await node.database.requireWritable()
                try await node.probe.check()
                return OperatorResponses.json(Self.well)
            } catch {
                return Self.unwell(error)
            }
        }
        group.get("metrics") { _, _ in
            OperatorResponses.response(
                .ok,
                "text/plain; version=0.0.4; charset=utf-8",
                Array(node.metrics.exposition().utf8)
            )
        }
    }

    private static var well: JSONValue { ["status": "ok", "version": .string(NodeFacts.version)] }

    /// `/health` while all is well, for the door: behind nothing that waits. nil where it is not, as finding out why takes
    /// time.
    func quickAnswer() -> DoorAnswer? {
        guard node.fence.raised == nil, node.database.refusal == nil, node.probe.isKnownGood else { return nil }
        return DoorAnswer(
            status: 200,
            headers: [
                ("Content-Type", "application/json"), ("Cache-Control", "no-store"),
                ("Date", IdentityRoutes.httpDate(WallClock.system.now().secondsSince1970)),
            ],
            body: Self.well.serialized()
        )
    }

    /// Why the node takes no money, without the machine's paths: those are in its log and in `mintmark status`.
    private static func unwell(_ error: any Error) -> Response {
        var problem = OperatorProblem.of(error)
        problem.status = 503
        problem.title = "Not now"
        if let error = error as? StorageError {
            problem.detail =
                switch error.code {
                case .full: "The node's disk is full: it takes no money until there is room."
                case .ioFailure, .corrupt, .foreign:
                    "The node's disk failed: it takes no money until the disk was checked and the node started again."
                default: "The node cannot reach its database: it takes no money."
                }
        }
        var response = OperatorResponses.problem(problem)
        response.headers[.retryAfter] = "30"
        return response
    }
}
