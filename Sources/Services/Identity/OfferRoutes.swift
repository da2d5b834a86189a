import CanonicalJSON
import Encodings
import HTTPTypes
import Hummingbird
import NIOCore

/// OpenID4VCI 1.0 over HTTP: the metadata, and the offer, token, nonce and credential endpoints.
struct OfferRoutes: Sendable {
    private static let maximumFormBytes = 8_192
    private static let maximumRequestBytes = 32_768

    let offers: PassportOffers

    /// Adds what wallets ask.
    func addPublicRoutes<Context: RequestContext>(to router: some RouterMethods<Context>) {
        router.get("/.well-known/openid-credential-issuer") { _, _ in RouteAnswers.json(offers.metadata) }
        router.get("/.well-known/oauth-authorization-server") { _, _ in RouteAnswers.json(offers.serverMetadata) }
        router.get("/openid4vci/offers/:id") { _, context in
            await RouteAnswers.answering {
                guard let offer = try await offers.shown(try context.parameters.require("id")) else {
                    throw ProblemDetails(
                        code: "offer-not-found",
                        title: "No such offer",
                        status: 404,
                        detail: "the offer was used, has ended, or never was: ask who sent it for another"
                    )
                }
                return RouteAnswers.json(offer)
            }
        }
        router.post("/openid4vci/token") { request, _ in await Self.answering { try await token(request) } }
        router.post("/openid4vci/nonce") { _, _ in RouteAnswers.json(["c_nonce": .string(offers.nonce())]) }
        router.post("/openid4vci/credential") { request, _ in await Self.answering { try await credential(request) } }
    }

    /// Adds the operator's way to offer: `POST /passports/:id/offer {transactionCode?}`.
    func addOperatorRoutes<Context: RequestContext>(to group: some RouterMethods<Context>) {
        group.post("/passports/:id/offer") { request, context in
            await RouteAnswers.answering {
                let body = try await RouteAnswers.body(request)
                let made = try await offers.offer(
                    try context.parameters.require("id"),
                    withNumber: try body.optionalBool("transactionCode") ?? false
                )
                var answer: JSONObject = ["offer": .string(made.link), "expiresAt": .string(made.until.rfc3339)]
                answer["transactionCode"] = made.number.map { .string($0) }
                return RouteAnswers.json(answer, status: .created)
            }
        }
    }

    // MARK: Token

    private func token(_ request: Request) async throws -> Response {
        let type = request.headers[.contentType]?.split(separator: ";").first.map { $0.lowercased() } ?? ""
        guard type.utf8.elementsEqual("application/x-www-form-urlencoded".utf8) else {
            throw PassportOffers.Refusal(
                code: "invalid_request",
                message: "the request must be application/x-www-form-urlencoded"
            )
        }
        let buffer: ByteBuffer
        do {
            buffer = try await request.body.collect(upTo: Self.maximumFormBytes)
        } catch {
            throw PassportOffers.Refusal(
                status: 413,
                code: "invalid_request",
                message: "the form may have at most \(Self.maximumFormBytes) bytes"
            )
        }
        let fields = try WebForm.fields(Array(buffer.readableBytesView))
        guard let grant = fields["grant_type"] else {
            throw PassportOffers.Refusal(code: "invalid_request", message: "`grant_type` is missing")
        }
        guard grant == PassportOffers.grant else {
            throw PassportOffers.Refusal(
                code: "unsupported_grant_type",
                message: "only a pre-authorised code is exchanged here"
            )
        }
        guard let code = fields["pre-authorized_code"] else {
            throw PassportOffers.Refusal(code: "invalid_request", message: "`pre-authorized_code` is missing")
        }
        let token = try await offers.token(code: code, number: fields["tx_code"])
        return RouteAnswers.json([
            "access_token": .string(token), "token_type": "Bearer", "expires_in": .integer(PassportOffers.tokenSeconds),
        ])
    }

    // MARK: Credential

    private func credential(_ request: Request) async throws -> Response {
        let header = request.headers[.authorization] ?? ""
        guard header.utf8.count <= 256, header.lowercased().hasPrefix("bearer ") else {
            throw PassportOffers.Refusal(status: 401, code: "invalid_token", message: "an access token is needed")
        }
        let token = String(decoding: header.utf8.dropFirst(7), as: UTF8.self)
        guard try await offers.isKnown(token: token) else {
            throw PassportOffers.Refusal(
                status: 401,
                code: "invalid_token",
                message: "the access token is not known or has ended"
            )
        }
        let body = try await RouteAnswers.body(request, maximumBytes: Self.maximumRequestBytes)
        return RouteAnswers.json(["credentials": [["credential": try await offers.credential(token: token, body)]]])
    }

    /// The errors of OAuth 2.0 (RFC 6749, 5.2; RFC 6750, 3.1) and OpenID4VCI (8.3.1), not RFC 9457's: the protocols fix
    /// their form.
    private static func answering(_ body: () async throws -> Response) async -> Response {
        do {
            return try await body()
        } catch let refusal as PassportOffers.Refusal {
            let answer: JSONObject = ["error": .string(refusal.code), "error_description": .string(refusal.message)]
            var response = RouteAnswers.json(answer, status: HTTPResponse.Status(code: refusal.status))
            if refusal.status == 401 { response.headers[.wwwAuthenticate] = "Bearer error=\"\(refusal.code)\"" }
            return response
        } catch let problem as ProblemDetails where problem.status < 500 {
            return RouteAnswers.json(
                [
                    "error": "invalid_credential_request",
                    "error_description": .string(problem.detail ?? problem.title),
                ],
                status: HTTPResponse.Status(code: problem.status)
            )
        } catch {
            // A busy or failing store, with its own status; what went wrong inside is the operator's to know.
            let told = await RouteAnswers.answering { throw error }
            return RouteAnswers.json(
                ["error": told.status.code == 503 ? "temporarily_unavailable" : "server_error"],
                status: told.status
            )
        }
    }
}

/// `application/x-www-form-urlencoded` (WHATWG URL, 5.1), strictly: UTF-8, every escape whole, no field twice.
enum WebForm {
    /// - Throws: `PassportOffers.Refusal` with `invalid_request`.
    static func fields(_ bytes: [UInt8]) throws(PassportOffers.Refusal) -> [String: String] {
        var fields: [String: String] = [:]
        for pair in bytes.split(separator: UInt8(ascii: "&")) {
            let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = decoded(parts[0]), let value = parts.count == 2 ? decoded(parts[1]) : "",
                fields.updateValue(value, forKey: name) == nil
            else {
                throw PassportOffers.Refusal(
                    code: "invalid_request",
                    message: "the form is not well formed, or has a field twice"
                )
            }
        }
        return fields
    }

    private static func decoded(_ bytes: some Collection<UInt8>) -> String? {
        var result: [UInt8] = []
        var iterator = bytes.makeIterator()
        while let byte = iterator.next() {
            switch byte {
            case UInt8(ascii: "+"): result.append(0x20)
            case UInt8(ascii: "%"):
                guard let high = iterator.next(), let low = iterator.next(),
                    let value = try? Hex.decode(String(decoding: [high, low], as: UTF8.self)).first
                else { return nil }
                result.append(value)
            default: result.append(byte)
            }
        }
        return String(validating: result, as: UTF8.self)
    }
}
