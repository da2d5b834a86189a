internal import CanonicalJSON
internal import Cashu
internal import HTTPTypes
public import Hummingbird
internal import Logging
internal import NIOCore

/// The mint's HTTP face, `/v1/…` (NUT-01 to 09, 19, 20, 23, 29). Answers are written as bytes; refusals are the protocol's own
/// `{"detail", "code"}` with 400, a body over the limit is 413, overload 503 with `Retry-After`.
///
/// The content type of a request is not looked at: wallets differ, and every body is parsed strictly anyway.
public struct MintRoutes: Sendable {
    private let mint: Mint

    public init(_ mint: Mint) {
        self.mint = mint
    }

    /// Adds `v1/…` to the group, such as one for `/mint`.
    public func add<Context: RequestContext>(to group: RouterGroup<Context>) {
        let mint = mint
        let v1 = group.group("v1")
        get(v1, "keys") { _ in mint.activeKeys }
        get(v1, "keys/{id}") { context in try mint.keys(of: context.parameters.require("id")) }
        get(v1, "keysets") { _ in mint.keysetList }
        get(v1, "info") { _ in mint.info.json.serialized() }
        get(v1, "ws") { _ in
            throw MintFailure(
                status: 426,
                MintError(.malformedRequest, "subscriptions are a WebSocket: upgrade the connection (NUT-17)")
            )
        }
        get(v1, "mint/quote/bolt11/{id}") { context in try await mint.mintQuote(context.parameters.require("id")) }
        get(v1, "melt/quote/bolt11/{id}") { context in try await mint.meltQuote(context.parameters.require("id")) }
        post(v1, "swap") { try await mint.swap($0) }
        post(v1, "mint/quote/bolt11") { try await mint.requestMintQuote($0) }
        post(v1, "mint/bolt11") { try await mint.mint($0) }
        post(v1, "mint/quote/bolt11/check") { try await mint.checkMintQuotes($0) }
        post(v1, "mint/bolt11/batch") { try await mint.mintBatch($0) }
        post(v1, "melt/quote/bolt11") { try await mint.requestMeltQuote($0) }
        post(v1, "melt/bolt11") { try await mint.melt($0) }
        post(v1, "checkstate") { try await mint.checkState($0) }
        post(v1, "restore") { try await mint.restore($0) }
        get(v1, "auth/blind/keys") { _ in try mint.authKeys() }
        get(v1, "auth/blind/keys/{id}") { context in try mint.authKeys(of: context.parameters.require("id")) }
        get(v1, "auth/blind/keysets") { _ in try mint.authKeysets() }
        postAsUser(v1, "auth/blind/mint") { body, user in try await mint.mintAuthTokens(body, for: user) }
        addLiabilities(of: mint, to: group)
    }

    /// `liabilities/…` (`Specs/proof-of-liabilities.md`).
    private func addLiabilities<Context: RequestContext>(of mint: Mint, to group: RouterGroup<Context>) {
        // Beside `v1`, so that no path of NUT-21 or 22 closes it.
        get(group, "liabilities", below: "/") { _ in try await mint.liabilityStatement(epoch: nil) }
        get(group, "liabilities/{epoch}", below: "/") { context in
            try await mint.liabilityStatement(epoch: context.parameters.require("epoch"))
        }
        get(group, "liabilities/{epoch}/{keyset}/{side}", below: "/") { context in
            try await mint.liabilityIndex(
                epoch: context.parameters.require("epoch"),
                keyset: context.parameters.require("keyset"),
                side: context.parameters.require("side")
            )
        }
        get(group, "liabilities/{epoch}/{keyset}/{side}/{page}", below: "/") { context in
            try await mint.liabilityPage(
                epoch: context.parameters.require("epoch"),
                keyset: context.parameters.require("keyset"),
                side: context.parameters.require("side"),
                page: context.parameters.require("page")
            )
        }
    }

    private func get<Context: RequestContext>(
        _ group: RouterGroup<Context>,
        _ path: String,
        below base: String = "/v1/",
        _ answer: @escaping @Sendable (Context) async throws -> [UInt8]
    ) {
        group.get(RouterPath(path)) { [self] request, context in
            await respond("GET", canonical(path, context, below: base), request) { _ in try await answer(context) }
        }
    }

    private func post<Context: RequestContext>(
        _ group: RouterGroup<Context>,
        _ path: String,
        _ answer: @escaping @Sendable ([UInt8]) async throws -> [UInt8]
    ) {
        postAsUser(group, path) { body, _ in try await answer(body) }
    }

    /// - Parameter answer: gets the user too, empty where the endpoint asks for no clear token.
    private func postAsUser<Context: RequestContext>(
        _ group: RouterGroup<Context>,
        _ path: String,
        _ answer: @escaping @Sendable ([UInt8], String) async throws -> [UInt8]
    ) {
        group.post(RouterPath(path)) { [self] request, context in
            await respond("POST", canonical(path, context), request) { grant in
                try await withBody(of: request) { try await answer($0, grant.subject ?? "") }
            }
        }
    }

    /// The address as the protocol writes it, whatever slashes and escapes the client wrote: what is protected is a route,
    /// not a spelling.
    private func canonical<Context: RequestContext>(
        _ path: String,
        _ context: Context,
        below base: String = "/v1/"
    ) -> String {
        guard path.hasSuffix("{id}"), let id = context.parameters.get("id") else { return base + path }
        return base + path.dropLast(4) + id
    }

    /// Collects the body up to the limit; one that announces more is not read at all. Its bytes count against the budget
    /// of all requests until the answer is there.
    private func withBody<T>(of request: Request, _ work: ([UInt8]) async throws -> T) async throws -> T {
        let limit = mint.configuration.limits.bodyBytes
        let tooLarge = MintFailure(
            status: 413,
            MintError(.malformedRequest, "the request's body is over the limit of \(limit) bytes")
        )
        if let announced = request.headers[.contentLength], Int(announced) ?? Int.max > limit { throw tooLarge }
        var bytes: [UInt8] = []
        var taken = 0
        defer { mint.bodies.giveBack(taken) }
        for try await piece in request.body {
            guard bytes.count + piece.readableBytes <= limit else { throw tooLarge }
            try mint.bodies.take(piece.readableBytes)
            taken += piece.readableBytes
            bytes.append(contentsOf: piece.readableBytesView)
        }
        return try await work(bytes)
    }

    private func respond(
        _ method: String,
        _ path: String,
        _ request: Request,
        _ work: (MintAuthenticator.Grant) async throws -> [UInt8]
    ) async -> Response {
        do {
            var tokens = AuthTokens()
            if mint.authenticator != nil {
                tokens = AuthTokens(clear: request.headers[.clearAuth], blind: request.headers[.blindAuth])
            }
            return Self.response(.ok, try await mint.admitted(method, path, tokens, work))
        } catch {
            return refuse(error)
        }
    }

    private func refuse(_ error: any Error) -> Response {
        let failure = MintFailure(sorting: error)
        mint.metrics.refused(failure)
        if failure.isFault {
            mint.logger.error(
                "a request to the mint failed",
                metadata: ["status": "\(failure.status)", "error": "\(error)"]
            )
        }
        var response = Self.response(.init(code: failure.status), failure.error.json.serialized())
        if let seconds = failure.retryAfterSeconds { response.headers[.retryAfter] = "\(seconds)" }
        return response
    }

    private static func response(_ status: HTTPResponse.Status, _ body: [UInt8]) -> Response {
        Response(
            status: status,
            headers: [.contentType: "application/json", .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: body))
        )
    }
}

extension HTTPField.Name {
    /// A token of the mint's OpenID issuer (NUT-21).
    // The name is well formed, so the fallback is never taken.
    fileprivate static let clearAuth = Self("Clear-auth") ?? .connection
    /// A blind authentication token (NUT-22).
    fileprivate static let blindAuth = Self("Blind-auth") ?? .connection
}
