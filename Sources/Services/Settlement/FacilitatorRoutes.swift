internal import CanonicalJSON
internal import HTTPTypes
public import Hummingbird
public import Logging
internal import NIOCore
public import Paywall

/// The facilitator's HTTP face (x402 specification v2, 7 and 8): `verify`, `settle`, `supported`, `discovery/resources`.
///
/// A payment that is refused is an answer with status 200, as the reference implementation's clients want it; a message that
/// can't be read is 400; what could not be found out, or not be begun, is 503 with `Retry-After`.
public struct FacilitatorRoutes: Sendable {
    private static let retrySeconds = 5

    private let facilitator: any Facilitator
    private let catalogue: @Sendable () async -> [X402.DiscoveredResource]
    private let logger: Logger

    /// - Parameter catalogue: the resources that are for sale here, the best first.
    public init(
        _ facilitator: any Facilitator,
        logger: Logger,
        catalogue: @escaping @Sendable () async -> [X402.DiscoveredResource] = { [] }
    ) {
        self.facilitator = facilitator
        self.logger = logger
        self.catalogue = catalogue
    }

    /// Adds the routes to the group, such as one for `/x402`.
    public func add<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.post("verify") { [self] request, _ in await verify(request) }
        group.post("settle") { [self] request, _ in await settle(request) }
        group.get("supported") { [self] _, _ in
            do throws(SettlementError) {
                return Self.response(.ok, try await facilitator.supported().json)
            } catch {
                return unavailable(error, X402.Supported(kinds: [], extensions: [], signers: [:]).json)
            }
        }
        Self.addCatalogue(to: group, catalogue)
    }

    /// Adds `discovery/resources` alone, for a node that sells over x402 and is no facilitator.
    public static func addCatalogue<Context: RequestContext>(
        to group: RouterGroup<Context>,
        _ catalogue: @escaping @Sendable () async -> [X402.DiscoveredResource]
    ) {
        group.get("discovery/resources") { request, _ in
            let query = request.uri.queryParameters
            let page = X402.DiscoveryPage(
                of: await catalogue(),
                X402.DiscoveryQuery(
                    type: query.get("type"),
                    scheme: query.get("scheme"),
                    network: query.get("network"),
                    payTo: query.get("payTo"),
                    extensionName: query.get("extensions")
                ),
                limit: query.get("limit", as: Int.self),
                offset: query.get("offset", as: Int.self)
            )
            return Self.response(.ok, page.json)
        }
    }

    private func verify(_ request: Request) async -> Response {
        do {
            let question = try await read(request)
            return Self.response(.ok, try await facilitator.verify(question).json)
        } catch let refusal as X402Refusal {
            return Self.response(.badRequest, X402.VerifyResponse(refusal: refusal).json)
        } catch {
            let refusal = X402Refusal(.unexpectedVerifyError, Self.words(error))
            return unavailable(error, X402.VerifyResponse(refusal: refusal).json)
        }
    }

    private func settle(_ request: Request) async -> Response {
        var network = ""
        do {
            let question = try await read(request)
            network = question.requirements.network
            return Self.response(.ok, try await facilitator.settle(question).json)
        } catch let refusal as X402Refusal {
            return Self.response(.badRequest, X402.SettleResponse(refusal: refusal, network: network).json)
        } catch {
            let refusal = X402Refusal(.unexpectedSettleError, Self.words(error))
            return unavailable(error, X402.SettleResponse(refusal: refusal, network: network).json)
        }
    }

    private func read(_ request: Request) async throws -> X402.FacilitatorRequest {
        var bytes: [UInt8] = []
        do {
            for try await piece in request.body {
                guard bytes.count + piece.readableBytes <= X402.maximumReadBytes else {
                    throw X402Refusal(.invalidPayload, "The body is over \(X402.maximumReadBytes) bytes.")
                }
                bytes.append(contentsOf: piece.readableBytesView)
            }
        } catch let refusal as X402Refusal {
            throw refusal
        } catch {
            throw X402Refusal(.invalidPayload, "The body did not arrive whole.")
        }
        return try X402.FacilitatorRequest(json: X402.object(body: bytes))
    }

    /// What a stranger is told: nothing of where our chain's node is.
    private static func words(_ error: any Error) -> String {
        switch (error as? SettlementError)?.code {
        case .overloaded?: "Too many settlements are open here: try again shortly. Nothing was sent."
        case .tooExpensive?: "Gas costs more than is paid here now. Nothing was sent."
        default: "The chain could not be asked. Nothing was sent."
        }
    }

    private func unavailable(_ error: any Error, _ json: JSONObject) -> Response {
        logger.warning("a facilitator's question could not be answered", metadata: ["error": "\(error)"])
        var response = Self.response(.serviceUnavailable, json)
        response.headers[.retryAfter] = "\(Self.retrySeconds)"
        return response
    }

    private static func response(_ status: HTTPResponse.Status, _ json: JSONObject) -> Response {
        Response(
            status: status,
            headers: [.contentType: "application/json", .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: json.serialized()))
        )
    }
}
