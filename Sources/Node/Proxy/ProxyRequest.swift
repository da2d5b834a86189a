internal import Cryptography
internal import Encodings
internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore

/// One request that a paying proxy was sent, read strictly. Pure.
struct ProxyRequest: Sendable {
    /// Why it is not passed on.
    struct Refusal: Error, Sendable {
        var status: HTTPResponse.Status
        var text: String
    }

    /// As it is called: over https, unless it is this machine.
    var url: String
    /// Host and port where one is named.
    var host: String
    var method: String
    var headers: [(name: String, value: String)]
    /// The client's own, or a random one.
    var idempotencyKey: String

    /// Never passed on: what belongs to one connection, and what the node sets itself.
    private static let dropped: Set<String> = [
        "connection", "keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "te", "trailer",
        "transfer-encoding", "upgrade", "expect", "host", "content-length", "idempotency-key",
        ProxyHeadHandler.targetHeader,
    ]
    /// What pays, or says who pays: the proxy's own business.
    private static let refused: Set<String> = [
        "x-cashu", "payment-signature", "x-payment", "agent-passport", "agent-delegation", "signature",
        "signature-input",
    ]
    private static let idempotencyName = HTTPField.Name("Idempotency-Key")

    init(_ request: Request) throws(Refusal) {
        let name = HTTPField.Name(ProxyHeadHandler.targetHeader)
        let target = name.flatMap { request.headers[$0] } ?? ""
        (url, host) = try Self.address(target)
        method = request.method.rawValue
        if request.headers.contains(where: { $0.name.canonicalName == "upgrade" }) {
            throw Refusal(status: .notImplemented, text: "This proxy passes on no WebSocket and no other upgrade.")
        }
        let named = Self.connectionOptions(request)
        var headers: [(name: String, value: String)] = []
        for field in request.headers {
            let lower = field.name.canonicalName
            if Self.refused.contains(lower) {
                throw Refusal(
                    status: .badRequest,
                    text: "\(field.name.rawName) pays or signs for a call, which this proxy does itself: leave it out."
                )
            }
            guard !Self.dropped.contains(lower), !named.contains(lower) else { continue }
            headers.append((field.name.rawName, field.value))
        }
        self.headers = headers
        let keys = Self.idempotencyName.map { request.headers[values: $0] } ?? []
        guard keys.count <= 1 else {
            throw Refusal(status: .badRequest, text: "A request has one Idempotency-Key.")
        }
        idempotencyKey = keys.first ?? Hex.encode(SecureRandom.bytes(16))
    }

    /// The headers that belong to the connection by the client's own word.
    private static func connectionOptions(_ request: Request) -> Set<String> {
        Set(
            request.headers[values: .connection].flatMap { $0.split(separator: ",") }
                .map { $0.trimmingCharacters(in: .whitespaces).lowercased() }
        )
    }

    /// Where a request goes. `http://` to another machine becomes `https://`, as nobody is paid over plain http.
    static func address(_ target: String) throws(Refusal) -> (url: String, host: String) {
        let lower = target.prefix(8).lowercased()
        guard lower.hasPrefix("http://") || lower == "https://" else {
            throw Refusal(
                status: .badRequest,
                text: "This is a forward proxy: it is asked for whole addresses, as with curl -x http://127.0.0.1:8403"
                    + " http://HOST/PATH, or HTTP_PROXY in the environment."
            )
        }
        guard let parts = URLComponents(string: target), let host = parts.encodedHost?.lowercased(), !host.isEmpty,
            parts.user == nil, parts.password == nil
        else { throw Refusal(status: .badRequest, text: "The address that was asked for can't be read.") }
        let bare = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
        let isSecure = lower == "https://" || !NodeConfiguration.isLoopback(bare)
        // The port of http is not the one of https.
        let port = isSecure && parts.port == 80 ? nil : parts.port
        let authority = host + (port.map { ":\($0)" } ?? "")
        let path = parts.percentEncodedPath.isEmpty ? "/" : parts.percentEncodedPath
        let query = parts.percentEncodedQuery.map { "?" + $0 } ?? ""
        return ((isSecure ? "https://" : "http://") + authority + path + query, authority)
    }
}
