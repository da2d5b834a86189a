internal import CanonicalJSON
internal import Encodings
internal import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore
internal import Lightning
public import Logging
internal import NIOCore
internal import Synchronization
internal import WebServer

/// The simulated network's HTTP API: one small service that every simulated node reaches. TEST MONEY only.
///
/// An account's token travels as `Authorization: Bearer <token>`.
///
/// | request | body | answer |
/// |---|---|---|
/// | `GET /health` | | `{status}` |
/// | `POST /accounts` | `{name?}` | 201 `{id, name, token, nodeID}`; with a token of the caller's own, the same account each time |
/// | `GET /accounts/me` | | `{id, name, nodeID, network, balanceMsat}` |
/// | `PUT /accounts/me/fault` | `{fault, milliseconds?}` | `{fault, milliseconds}`, see `SimulatedFault` |
/// | `POST /invoices` | `{amountMsat?, description, expirySeconds}` | 201 `{invoice, paymentHash, expiresAt}` |
/// | `GET /invoices/<hash>` | | `{state: unpaid, paid or expired, amountMsat?, paidAt?}` |
/// | `POST /payments` | `{invoice, maximumFeeMsat, amountMsat?, startBefore?}` | `{state: settled, pending or failed, …}` |
/// | `GET /payments/<hash>` | | the same |
/// | `POST /payments/<hash>/resolution` | `{settles}` | the same: ends a pending payment |
///
/// Errors are RFC 9457 problems. One below 500 means that nothing was started.
public struct SimulatedNetworkServer: Sendable {
    /// Over it, new connections wait until others end.
    static let maximumConnections = 2000
    /// Payments whose answer is waited for at a time; beyond it the answer is `pending` at once.
    static let maximumWaiting = 1000
    /// How long a payment's answer is held back at most.
    static let maximumWaitMilliseconds: Int64 = 30_000

    private let simulation: SimulatedNetwork
    private let host: String
    private let port: Int
    private let logger: Logger
    private let waiting = WaitingCount()

    /// - Parameters:
    ///   - host: where to listen; loopback unless tests in containers need otherwise. The API moves only TEST MONEY.
    ///   - port: 0 lets the system choose.
    public init(_ simulation: SimulatedNetwork, host: String = "127.0.0.1", port: Int = 0, logger: Logger) {
        self.simulation = simulation
        self.host = host
        self.port = port
        self.logger = logger
    }

    /// Serves until the task is cancelled.
    /// - Parameter onReady: told the port once requests are taken.
    public func run(onReady: @escaping @Sendable (Int) async -> Void) async throws {
        let application = Application(
            router: router(),
            server: .plain(idleTimeoutSeconds: 60),
            configuration: ApplicationConfiguration(
                address: .hostname(host, port: port),
                serverName: "mintmark TEST MONEY network",
                availableConnectionsDelegate: MaximumAvailableConnections(Self.maximumConnections, logger: logger)
            ),
            onServerRunning: { channel in await onReady(channel.localAddress?.port ?? 0) },
            logger: logger
        )
        try await application.run()
    }

    func router() -> Router<BasicRequestContext> {
        let router = Router(context: BasicRequestContext.self)
        router.add(middleware: ProblemMiddleware(logger: logger))
        router.get("/health") { _, _ in Self.answer(["status": "ok"]) }
        addAccounts(to: router)
        addInvoices(to: router)
        addPayments(to: router)
        return router
    }

    // MARK: Routes

    private func addAccounts(to router: Router<BasicRequestContext>) {
        router.post("/accounts") { request, _ in
            let token = try Self.optionalToken(request) ?? SimulatedNetwork.newToken()
            let json = try await Self.body(request)
            let account = try await simulation.openAccount(
                token: token,
                name: try json.optionalString("name") ?? "account"
            )
            return Self.answer(
                [
                    "id": .string(account.id), "name": .string(account.name), "token": .string(token),
                    "nodeID": .string(Hex.encode(account.nodeID)),
                ],
                status: .created
            )
        }
        router.get("/accounts/me") { request, _ in
            let account = try await simulation.account(token: try Self.token(request))
            let balance = try await simulation.balanceMsat(of: account)
            return Self.answer([
                "id": .string(account.id), "name": .string(account.name),
                "nodeID": .string(Hex.encode(account.nodeID)),
                "network": .string(LightningNetwork.simulated.rawValue), "balanceMsat": JSONValue(balance),
            ])
        }
        router.put("/accounts/me/fault") { request, _ in
            let account = try await simulation.account(token: try Self.token(request))
            let json = try await Self.body(request)
            let milliseconds = try json.optionalInt64("milliseconds") ?? 0
            guard let fault = SimulatedFault(name: try json.string("fault"), milliseconds: milliseconds) else {
                throw LightningError(
                    .invalidRequest,
                    "`fault` is none, delay, hang, fail or settle-after-failure, and `milliseconds` 0 to"
                        + " \(SimulatedFault.maximumMilliseconds)"
                )
            }
            try await simulation.setFault(fault, for: account)
            return Self.answer(["fault": .string(fault.name), "milliseconds": .integer(fault.milliseconds)])
        }
    }

    private func addInvoices(to router: Router<BasicRequestContext>) {
        router.post("/invoices") { request, _ in
            let account = try await simulation.account(token: try Self.token(request))
            let json = try await Self.body(request)
            let expiry = try json.uint64("expirySeconds")
            let invoice = try await simulation.createInvoice(
                for: account,
                amountMsat: try json.optionalUInt64("amountMsat"),
                description: try json.string("description"),
                expirySeconds: UInt32(clamping: expiry)
            )
            return Self.answer(
                [
                    "invoice": .string(invoice.text), "paymentHash": .string(Hex.encode(invoice.paymentHash)),
                    "expiresAt": .string(invoice.expiresAt.rfc3339),
                ],
                status: .created
            )
        }
        router.get("/invoices/:hash") { request, context in
            let account = try await simulation.account(token: try Self.token(request))
            let hash = try SimulatedWire.hash(try context.parameters.require("hash"))
            return Self.answer(
                SimulatedWire.invoice(try await simulation.invoiceStatus(of: account, paymentHash: hash))
            )
        }
    }

    private func addPayments(to router: Router<BasicRequestContext>) {
        router.post("/payments") { request, _ in
            let account = try await simulation.account(token: try Self.token(request))
            let json = try await Self.body(request)
            let startBefore: Timestamp? =
                if let text = try json.optionalString("startBefore") { try Self.time(text) } else { nil }
            let invoice = try BOLT11Invoice(decoding: try json.string("invoice"))
            let answer = try await simulation.pay(
                invoice,
                from: account,
                openAmountMsat: try json.optionalUInt64("amountMsat"),
                maximumFeeMsat: try json.uint64("maximumFeeMsat"),
                startBefore: startBefore
            )
            guard !answer.isLost else { throw SimulatedFaultError() }
            return Self.answer(
                SimulatedWire.payment(try await outcome(of: answer, invoice.paymentHash, account))
            )
        }
        router.get("/payments/:hash") { request, context in
            let account = try await simulation.account(token: try Self.token(request))
            let hash = try SimulatedWire.hash(try context.parameters.require("hash"))
            return Self.answer(try await simulation.payment(of: account, paymentHash: hash), hash)
        }
        router.post("/payments/:hash/resolution") { request, context in
            let account = try await simulation.account(token: try Self.token(request))
            let hash = try SimulatedWire.hash(try context.parameters.require("hash"))
            let settles = try await Self.body(request).bool("settles")
            let answer = try await simulation.resolve(paymentHash: hash, of: account, settles: settles)
            return Self.answer(answer, hash)
        }
    }

    /// As a real node does, answers once the payment has ended; a pending one is waited for a while.
    private func outcome(
        of answer: SimulatedPaymentAnswer,
        _ hash: [UInt8],
        _ account: SimulatedAccount
    ) async throws -> PaymentOutcome {
        guard answer.outcome == .pending, waiting.enter() else { return answer.outcome }
        defer { waiting.leave() }
        let steps = Self.maximumWaitMilliseconds / 20
        for _ in 0..<steps {
            try await Task.sleep(for: .milliseconds(20))
            let now = try await simulation.payment(of: account, paymentHash: hash)?.outcome ?? .pending
            if now != .pending { return now }
        }
        return .pending
    }

    // MARK: Requests and answers

    private static func optionalToken(_ request: Request) throws(LightningError) -> String? {
        guard let header = request.headers[.authorization] else { return nil }
        let scheme = "bearer "
        guard header.prefix(scheme.count).lowercased() == scheme else {
            throw LightningError(.unauthorized, "the header must be Authorization: Bearer <token of the account>")
        }
        return String(header.dropFirst(scheme.count))
    }

    private static func token(_ request: Request) throws(LightningError) -> String {
        guard let token = try optionalToken(request) else {
            throw LightningError(.unauthorized, "send the account's token as Authorization: Bearer <token>")
        }
        return token
    }

    private static func time(_ text: String) throws(LightningError) -> Timestamp {
        do {
            return try Timestamp(rfc3339: text)
        } catch {
            throw LightningError(.invalidRequest, "`startBefore` is not an RFC 3339 time: \(error)", cause: error)
        }
    }

    /// The body's JSON object; an empty body stands for `{}`.
    private static func body(_ request: Request) async throws -> JSONObject {
        let buffer: ByteBuffer
        do {
            buffer = try await request.body.collect(upTo: SimulatedWire.maximumBodyBytes)
        } catch is NIOTooManyBytesError {
            throw LightningError(
                .invalidRequest,
                "the request body has more than \(SimulatedWire.maximumBodyBytes) bytes"
            )
        }
        guard buffer.readableBytes > 0 else { return JSONObject() }
        return try SimulatedWire.parse(Array(buffer: buffer), "the request body")
    }

    private static func answer(_ json: JSONObject, status: HTTPResponse.Status = .ok) -> Response {
        response(SimulatedWire.object(json), status: status, type: "application/json")
    }

    private static func answer(_ payment: SimulatedPaymentAnswer?, _ hash: [UInt8]) -> Response {
        if let payment { return answer(SimulatedWire.payment(payment.outcome)) }
        let problem = ProblemDetails(
            code: SimulatedWire.paymentNotFound,
            title: "No such payment",
            status: 404,
            detail: "this TEST MONEY account has made no payment for \(Hex.encode(hash))",
            extensions: ["notice": .string(SimulatedWire.notice)]
        )
        return response(problem.serialized(), status: .notFound, type: ProblemDetails.mediaType)
    }

    fileprivate static func response(_ bytes: [UInt8], status: HTTPResponse.Status, type: String) -> Response {
        Response(
            status: status,
            headers: [.contentType: type, .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes))
        )
    }
}

/// Stands for the answer that a fault keeps from the payer.
private struct SimulatedFaultError: Error {}

/// Payments whose answer is being waited for.
private final class WaitingCount: Sendable {
    private let count = Mutex(0)

    func enter() -> Bool {
        count.withLock { count in
            guard count < SimulatedNetworkServer.maximumWaiting else { return false }
            count += 1
            return true
        }
    }

    func leave() { count.withLock { $0 -= 1 } }
}

/// Turns what a route throws into a problem document that says TEST MONEY.
private struct ProblemMiddleware: RouterMiddleware {
    typealias Context = BasicRequestContext
    let logger: Logger

    func handle(
        _ request: Request,
        context: BasicRequestContext,
        next: (Request, BasicRequestContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch {
            var problem = SimulatedWire.problem(error)
            if let error = error as? HTTPError {
                problem.status = error.status.code
                problem.title = error.status.reasonPhrase
                problem.code = "http-\(error.status.code)"
                problem.type = "about:blank"
                problem.detail = error.body
            }
            if problem.status >= 500 {
                logger.warning("the TEST MONEY network failed a request", metadata: ["error": "\(error)"])
            }
            var response = SimulatedNetworkServer.response(
                problem.serialized(),
                status: HTTPResponse.Status(code: problem.status),
                type: ProblemDetails.mediaType
            )
            if problem.status == 429 { response.headers[.retryAfter] = "1" }
            return response
        }
    }
}
