import CanonicalJSON
import HTTPSignatures
import HTTPTypes
import Hummingbird
import NIOCore

/// What the node shows of its agents to whoever asks: keys. Each answer has an ETag and says how long it may be kept.
extension IdentityRoutes {
    /// Adds the directory of request signatures' keys, and each agent's own set.
    func addKeyRoutes<Context: RequestContext>(to router: some RouterMethods<Context>) {
        addShown("\(SignatureAgent.directoryPath)", to: router) { request, _ in
            Self.shown(
                try await service.keys.directory(),
                type: SignatureAgent.directoryMediaType,
                maximumAgeSeconds: KeyBoard.maximumAgeSeconds,
                to: request
            )
        }
        addShown("/agents/:id/jwks.json", to: router) { request, context in
            Self.shown(
                try await service.keys.keySet(of: context.parameters.require("id")),
                type: "application/jwk-set+json",
                maximumAgeSeconds: KeyBoard.maximumAgeSeconds,
                to: request
            )
        }
    }

    /// Adds a document under GET, and under HEAD without its body.
    func addShown<Context: RequestContext>(
        _ path: String,
        to router: some RouterMethods<Context>,
        _ answer: @escaping @Sendable (Request, Context) async throws -> Response
    ) {
        router.get(RouterPath(path)) { request, context in
            await RouteAnswers.answering { try await answer(request, context) }
        }
        router.head(RouterPath(path)) { request, context in
            await RouteAnswers.answering {
                var response = try await answer(request, context)
                response.body = ResponseBody()
                return response
            }
        }
    }

    /// A public document, or 304 where the client has it. Pages of other origins may read it: it is public, and proves itself.
    static func shown(
        _ document: KeyBoard.Published,
        type: String,
        maximumAgeSeconds: Int64,
        to request: Request
    ) -> Response {
        var headers: HTTPFields = [
            .contentType: type, .eTag: document.etag, .cacheControl: "public, max-age=\(maximumAgeSeconds)",
            .accessControlAllowOrigin: "*",
        ]
        for (name, value) in document.headers {
            if let name = HTTPField.Name(name) { headers[name] = value }
        }
        if matches(request.headers[values: .ifNoneMatch], document.etag) {
            headers[.contentType] = nil
            return Response(status: .notModified, headers: headers)
        }
        return Response(
            status: .ok,
            headers: headers,
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: document.bytes))
        )
    }
}
