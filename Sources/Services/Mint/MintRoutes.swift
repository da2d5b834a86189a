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
    }

    private func get<Context: RequestContext>(
        _ group: RouterGroup<Context>,
        _ path: RouterPath,
        _ answer: @escaping @Sendable (Context) async throws -> [UInt8]
    ) {
        group.get(path) { [self] _, context in
            await respond { try await answer(context) }
        }
    }

    private func post<Context: RequestContext>(
        _ group: RouterGroup<Context>,
        _ path: RouterPath,
        _ answer: @escaping @Sendable ([UInt8]) async throws -> [UInt8]
    ) {
        group.post(path) { [self] request, _ in
            await respond { try await answer(body(of: request)) }
        }
    }

    /// The body, collected up to the limit; one that announces more is not read at all.
    private func body(of request: Request) async throws -> [UInt8] {
        let limit = mint.configuration.limits.bodyBytes
        let tooLarge = MintFailure(
            status: 413,
            MintError(.malformedRequest, "the request's body is over the limit of \(limit) bytes")
        )
        if let announced = request.headers[.contentLength], Int(announced) ?? Int.max > limit { throw tooLarge }
        do {
            let buffer = try await request.body.collect(upTo: limit)
            return [UInt8](buffer.readableBytesView)
        } catch is NIOTooManyBytesError {
            throw tooLarge
        }
    }

    private func respond(_ work: () async throws -> [UInt8]) async -> Response {
        do {
            return Self.response(.ok, try await work())
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
