public import AsyncHTTPClient
internal import CanonicalJSON
public import Encodings
internal import Foundation
public import Lightning
public import Logging
internal import NIOCore
internal import NIOHTTP1

/// An account at a simulated network that is reached over HTTP. TEST MONEY only.
public struct SimulatedBackend: LightningBackend {
    /// For the `HTTPClient` of this backend. With another configuration a network that is not there is noticed only
    /// after the client's own connect time-out, and until then a payment counts as `pending`.
    public static var httpConfiguration: HTTPClient.Configuration {
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow,
            timeout: HTTPClient.Configuration.Timeout(connect: .seconds(5))
        )
        configuration.connectionPool.retryConnectionEstablishment = false
        // More than a mint asks at once. A payment under way keeps a connection, and with the client's own eight that many
        // slow ones would keep every invoice waiting.
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 1024
        configuration.httpVersion = .http1Only
        // Nobody reads spans of these calls.
        configuration.tracing.tracer = nil
        return configuration
    }

    private let connection: SimulatedConnection
    private let clock: WallClock

    /// - Parameters:
    ///   - url: of the network, such as `http://127.0.0.1:8700`; `http` or `https`, with no query.
    ///   - token: of an account, open or to be opened, see `SimulatedNetwork.newToken`.
    ///   - httpClient: made with `httpConfiguration`, and shut down by its owner.
    ///   - timeoutSeconds: for each request, 1 to 300. A payment that takes longer is `pending`.
    /// - Throws: `invalidRequest` where the address is none.
    public init(
        url: String,
        token: String,
        httpClient: HTTPClient,
        clock: WallClock,
        logger: Logger,
        timeoutSeconds: Int64 = 15
    ) throws(LightningError) {
        try self.init(
            url: url,
            token: token,
            httpClient: httpClient,
            clock: clock,
            logger: logger,
            timeoutMilliseconds: min(max(timeoutSeconds, 1), 300) * 1000
        )
    }

    /// For tests, which wait less.
    init(
        url: String,
        token: String,
        httpClient: HTTPClient,
        clock: WallClock,
        logger: Logger,
        timeoutMilliseconds: Int64
    ) throws(LightningError) {
        connection = SimulatedConnection(
            base: try SimulatedConnection.base(url),
            token: token,
            httpClient: httpClient,
            timeoutMilliseconds: timeoutMilliseconds,
            logger: logger
        )
        self.clock = clock
    }

    public var network: LightningNetwork { .simulated }

    /// Opens the token's account at the network, where it is not open yet; the faucet fills a new one with TEST MONEY.
    /// Calling it at each start is right.
    /// - Parameter name: 1 to 64 bytes, for people.
    public func openAccount(name: String) async throws(LightningError) {
        _ = try await connection.send(.POST, "/accounts", ["name": .string(name)])
    }

    public func nodeID() async throws(LightningError) -> [UInt8] {
        let json = try await connection.send(.GET, "/accounts/me")
        return try connection.read { try Hex.decode(try json.string("nodeID")) }
    }

    public func balanceMsat() async throws(LightningError) -> UInt64 {
        let json = try await connection.send(.GET, "/accounts/me")
        return try connection.read { try json.uint64("balanceMsat") }
    }

    public var abilities: LightningAbilities { LightningAbilities(takesOpenInvoices: true) }

    public func createInvoice(
        amountMsat: UInt64?,
        description: String,
        expirySeconds: UInt32
    ) async throws(LightningError) -> BOLT11Invoice {
        try LightningLimits.check(
            amountMsat: amountMsat ?? 1,
            description: description,
            expirySeconds: expirySeconds
        )
        var body: JSONObject = [
            "description": .string(description), "expirySeconds": .integer(Int64(expirySeconds)),
        ]
        body["amountMsat"] = amountMsat.map { JSONValue($0) }
        let json = try await connection.send(.POST, "/invoices", body)
        let invoice = try connection.read { try BOLT11Invoice(decoding: try json.string("invoice")) }
        guard invoice.currency == network.currency, invoice.amountMsat == amountMsat else {
            throw LightningError(.invalidAnswer, "the TEST MONEY network made another invoice than was asked for")
        }
        return invoice
    }

    public func invoiceStatus(paymentHash: [UInt8]) async throws(LightningError) -> InvoiceStatus {
        let json = try await connection.send(.GET, "/invoices/\(Hex.encode(paymentHash))")
        return try connection.read { try SimulatedWire.status(json) }
    }

    public func pay(
        invoice: BOLT11Invoice,
        openAmountMsat: UInt64?,
        maximumFeeMsat: UInt64
    ) async throws(LightningError) -> PaymentOutcome {
        if let openAmountMsat { try LightningLimits.checkOpen(invoice, amountMsat: openAmountMsat) }
        // After this the network starts nothing for a request that was late, so that `pending` does not turn into a
        // payment long after the caller gave up.
        let startBefore = clock.now().adding(milliseconds: connection.timeoutMilliseconds)
        var body: JSONObject = [
            "invoice": .string(invoice.text), "maximumFeeMsat": JSONValue(maximumFeeMsat),
            "startBefore": .string(startBefore.rfc3339),
        ]
        body["amountMsat"] = openAmountMsat.map { JSONValue($0) }
        let reply = try await connection.exchange(.POST, "/payments", body)
        switch reply {
        case .answered(let json):
            do {
                return try Self.checked(try SimulatedWire.outcome(json), paymentHash: invoice.paymentHash)
            } catch {
                connection.logger.error(
                    "the TEST MONEY network's answer to a payment cannot be used; it counts as pending",
                    metadata: ["error": "\(error)"]
                )
                return .pending
            }
        case .refused(let error):
            // The network's own word that it started nothing.
            throw error
        case .unknown(let error):
            connection.logger.notice(
                "a TEST MONEY payment's outcome is not known",
                metadata: ["error": "\(error)"]
            )
            return .pending
        }
    }

    public func paymentStatus(paymentHash: [UInt8]) async throws(LightningError) -> PaymentOutcome? {
        let reply = try await connection.exchange(.GET, "/payments/\(Hex.encode(paymentHash))")
        switch reply {
        case .answered(let json):
            return try connection.read {
                try Self.checked(try SimulatedWire.outcome(json), paymentHash: paymentHash)
            }
        case .refused(let error) where error.code.rawValue == SimulatedWire.paymentNotFound:
            return nil
        case .refused(let error), .unknown(let error):
            throw error
        }
    }

    /// A settled payment must come with the preimage that proves it.
    private static func checked(_ outcome: PaymentOutcome, paymentHash: [UInt8]) throws -> PaymentOutcome {
        if case .settled(let preimage, _) = outcome {
            guard LightningPreimage(preimage).proves(paymentHash) else {
                throw LightningError(.invalidAnswer, "the preimage does not belong to the payment")
            }
        }
        return outcome
    }
}
