internal import AsyncHTTPClient
internal import CanonicalJSON
internal import Cryptography
internal import Encodings
internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore
internal import NIOHTTP1
internal import Storage

/// Answers the requests of a paying proxy: each becomes a call that the node makes and pays for.
struct ProxyResponder: HTTPResponder {
    typealias Context = BasicRequestContext

    private let settings: ProxySettings
    private let socketPath: String
    private let http: HTTPClient
    private let budget: ProxyBudget
    private let onCall: @Sendable (JSONValue) -> Void
    private static let maximumProblemBytes = 64 << 10

    init(
        _ settings: ProxySettings,
        directory: String,
        http: HTTPClient,
        onCall: @escaping @Sendable (JSONValue) -> Void
    ) {
        self.settings = settings
        socketPath = NodeFiles.socketPath(in: directory)
        self.http = http
        self.onCall = onCall
        budget = ProxyBudget(perCall: settings.maximum, inAll: settings.budget, perHost: settings.perHost)
    }

    // MARK: One call

    func respond(to request: Request, context: BasicRequestContext) async throws -> Response {
        guard isAllowed(request) else {
            var response = Self.text(.proxyAuthenticationRequired, "Send the proxy's token as its password.")
            response.headers[.proxyAuthenticate] = "Basic realm=\"mintmark\""
            return response
        }
        let call: ProxyRequest
        do throws(ProxyRequest.Refusal) {
            call = try ProxyRequest(request)
        } catch {
            return Self.text(error.status, error.text)
        }
        guard let allowance = await budget.allow(call.host) else {
            return Self.text(.serviceUnavailable, "Too many calls wait for what is left of the budget: try again.")
        }
        do {
            return try await pass(call, body: request, allowance)
        } catch {
            // The node may have been asked, so what it knows of the call counts.
            let (payment, spent) = await paid(call, allowance)
            await budget.settle(allowance, payment: payment, spent: spent)
            note(call, status: 502, payment: payment, problem: "node-unreachable")
            return Self.text(.badGateway, "The node does not answer: \(error)")
        }
    }

    private func isAllowed(_ request: Request) -> Bool {
        guard let token = settings.token else { return true }
        let values = request.headers[values: .proxyAuthorization]
        guard values.count == 1, let value = values.first, value.lowercased().hasPrefix("basic "),
            let decoded = try? Base64.decode(String(value.dropFirst(6)))
        else { return false }
        guard let colon = decoded.firstIndex(of: 0x3A) else { return false }
        return ConstantTime.equal(Hashing.sha256(Array(decoded[(colon + 1)...])), Hashing.sha256(token))
    }

    private func pass(_ call: ProxyRequest, body: Request, _ allowance: ProxyBudget.Allowance) async throws -> Response
    {
        var request = try nodeRequest(.POST, "/api/pay")
        request.headers.add(name: PayHeader.url, value: call.url)
        request.headers.add(name: PayHeader.method, value: call.method)
        request.headers.add(name: PayHeader.max, value: "\(allowance.amount)\(settings.unit)")
        request.headers.add(name: "Idempotency-Key", value: call.idempotencyKey)
        if let agent = settings.agent { request.headers.add(name: PayHeader.agent, value: agent) }
        if let cid = settings.delegation { request.headers.add(name: PayHeader.delegation, value: cid) }
        if let via = settings.via { request.headers.add(name: PayHeader.via, value: via) }
        for header in call.headers {
            request.headers.add(name: PayHeader.header, value: "\(header.name): \(header.value)")
        }
        if body.headers[.contentLength] != nil || body.headers[.transferEncoding] != nil {
            let length = body.headers[.contentLength].flatMap { Int64($0) }
            request.body = .stream(body.body, length: length.map { .known($0) } ?? .unknown)
        }
        let response = try await http.execute(request, timeout: .seconds(settings.timeoutSeconds + 30))
        guard let status = response.headers.first(name: PayHeader.status).flatMap({ Int($0.prefix(3)) }) else {
            return try await refused(call, response, allowance)
        }
        let payment = response.headers.first(name: PayHeader.payment)
        let cost = response.headers.first(name: PayHeader.cost).flatMap(Self.amount) ?? 0
        await budget.settle(allowance, payment: payment, spent: cost)
        return answer(call, response, status: status, payment: payment)
    }

    /// The node paid nothing for it, or does not know yet what became of a payment: its own words go to the client.
    private func refused(
        _ call: ProxyRequest,
        _ response: HTTPClientResponse,
        _ allowance: ProxyBudget.Allowance
    ) async throws -> Response {
        let bytes = Array(buffer: try await response.body.collect(upTo: Self.maximumProblemBytes))
        let (payment, spent) = await paid(call, allowance)
        await budget.settle(allowance, payment: payment, spent: spent)
        let problem = (try? JSONValue.parse(bytes))?["code"]?.stringValue
        note(call, status: Int(response.status.code), payment: payment, problem: problem ?? "failed")
        var fields = HTTPFields()
        fields[.contentType] = "application/problem+json"
        fields[.cacheControl] = "no-store"
        return Response(
            status: HTTPResponse.Status(code: Int(response.status.code)),
            headers: fields,
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes))
        )
    }

    /// What stands in the node's books for a call that brought no answer: all that was allowed where they cannot be read.
    private func paid(_ call: ProxyRequest, _ allowance: ProxyBudget.Allowance) async -> (
        payment: String?, spent: UInt64
    ) {
        do {
            var name = URLComponents()
            name.path = "/api/payments"
            name.queryItems = [URLQueryItem(name: "key", value: call.idempotencyKey)]
            let response = try await http.execute(nodeRequest(.GET, name.string ?? ""), timeout: .seconds(10))
            let bytes = Array(buffer: try await response.body.collect(upTo: 4 << 20))
            guard response.status == .ok else { return (nil, allowance.amount) }
            guard let payment = try JSONValue.parse(bytes).array("payments").first else { return (nil, 0) }
            let state = payment["state"]?.stringValue ?? ""
            guard state != "refused", state != "refunded" else { return (payment["id"]?.stringValue, 0) }
            let amount = payment["amount"]?.stringValue.flatMap { UInt64($0) } ?? allowance.amount
            let fee = payment["fee"]?.stringValue.flatMap { UInt64($0) } ?? 0
            return (payment["id"]?.stringValue, amount + fee)
        } catch {
            return (nil, allowance.amount)
        }
    }

    // MARK: The answer

    private func answer(
        _ call: ProxyRequest,
        _ response: HTTPClientResponse,
        status: Int,
        payment: String?
    ) -> Response {
        var fields = HTTPFields()
        for line in response.headers[PayHeader.header] {
            guard let colon = line.firstIndex(of: ":"), let name = HTTPField.Name(String(line[..<colon])),
                !Self.hopByHop.contains(name.canonicalName)
            else { continue }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            fields.append(HTTPField(name: name, value: String(value)))
        }
        if let payment, let name = HTTPField.Name("Mintmark-Payment") {
            fields.append(HTTPField(name: name, value: payment))
        }
        let isBodiless = call.method == "HEAD" || status == 204 || status == 304
        let body = response.body
        return Response(
            status: HTTPResponse.Status(code: status),
            headers: fields,
            body: ResponseBody { writer in
                do {
                    for try await piece in body where !isBodiless { try await writer.write(piece) }
                } catch {
                    await finished(call, status: status, payment: payment, problem: "answer-broken")
                    throw error
                }
                await finished(call, status: status, payment: payment, problem: nil)
                try await writer.finish(nil)
            }
        )
    }

    private static let hopByHop: Set<String> = [
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "te", "trailer", "transfer-encoding",
        "upgrade",
    ]

    private static func text(_ status: HTTPResponse.Status, _ text: String) -> Response {
        var fields = HTTPFields()
        fields[.contentType] = "text/plain; charset=utf-8"
        return Response(
            status: status,
            headers: fields,
            body: ResponseBody(byteBuffer: ByteBuffer(string: text + "\n"))
        )
    }

    // MARK: What is told of it

    private func finished(_ call: ProxyRequest, status: Int, payment: String?, problem: String?) async {
        var details = JSONValue.null
        if let payment {
            do {
                let response = try await http.execute(
                    nodeRequest(.GET, "/api/payments/\(payment)"),
                    timeout: .seconds(10)
                )
                details = try JSONValue.parse(Array(buffer: try await response.body.collect(upTo: 1 << 20)))
            } catch {
                details = ["id": .string(payment)]
            }
            let returned = details["returned"]?.stringValue.flatMap { UInt64($0) } ?? 0
            await budget.giveBack(returned, of: payment, host: call.host)
        }
        note(call, status: status, payment: payment, problem: problem, details: details)
    }

    private func note(
        _ call: ProxyRequest,
        status: Int,
        payment: String?,
        problem: String?,
        details: JSONValue = .null
    ) {
        var line: JSONObject = [
            "at": .string(WallClock.system.now().rfc3339), "method": .string(call.method), "url": .string(call.url),
            "status": JSONValue(status), "idempotencyKey": .string(call.idempotencyKey),
        ]
        line["problem"] = problem.map { .string($0) }
        if let payment {
            var paid: JSONObject = ["id": .string(payment)]
            for name in ["state", "way", "amount", "fee", "returned", "unit", "paidFrom", "receiptID"] {
                paid[name] = details[name]
            }
            line["payment"] = .object(paid)
        }
        onCall(.object(line))
    }

    private func nodeRequest(_ method: HTTPMethod, _ path: String) throws -> HTTPClientRequest {
        guard let url = URL(httpURLWithSocketPath: socketPath, uri: path) else {
            throw ConfigurationError("\(socketPath) is not a path that a socket can have")
        }
        var request = HTTPClientRequest(url: url.absoluteString)
        request.method = method
        return request
    }

    private static func amount(_ text: String) -> UInt64? { UInt64(text.prefix { $0.isASCII && $0.isNumber }) }
}
