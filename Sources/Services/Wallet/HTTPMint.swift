public import AsyncHTTPClient
public import CanonicalJSON
public import Cashu
internal import NIOCore
internal import NIOHTTP1

/// Mints over HTTP(S), on one client with its connection pool.
public struct HTTPMintConnector: MintConnector {
    private let client: HTTPClient
    private let limits: HTTPMintLimits
    private let sockets: WebSocketClient

    /// - Parameter client: follows no redirects; see `HTTPMint.clientConfiguration`.
    public init(client: HTTPClient, limits: HTTPMintLimits = HTTPMintLimits()) {
        self.init(client: client, limits: limits, sockets: WebSocketClient())
    }

    init(client: HTTPClient, limits: HTTPMintLimits = HTTPMintLimits(), sockets: WebSocketClient) {
        self.client = client
        self.limits = limits
        self.sockets = sockets
    }

    public func openSocket(at url: MintURL, _ body: @Sendable @escaping (any MintSocket) async throws -> Void)
        async throws
    {
        try await sockets.open(url, body)
    }

    public func mint(at url: MintURL) -> any MintAPI { HTTPMint(url: url, client: client, limits: limits) }
}

/// How long and how much a mint may answer.
public struct HTTPMintLimits: Sendable {
    /// For all requests but a melt.
    public var timeoutSeconds: Int64
    /// For a melt, which lasts as long as the Lightning payment (NUT-05).
    public var meltTimeoutSeconds: Int64
    public var maximumAnswerBytes: Int

    public init(timeoutSeconds: Int64 = 30, meltTimeoutSeconds: Int64 = 120, maximumAnswerBytes: Int = 4 << 20) {
        self.timeoutSeconds = timeoutSeconds
        self.meltTimeoutSeconds = meltTimeoutSeconds
        self.maximumAnswerBytes = maximumAnswerBytes
    }
}

/// One mint over HTTP(S).
public struct HTTPMint: MintAPI {
    public let url: MintURL
    private let client: HTTPClient
    private let limits: HTTPMintLimits

    public init(url: MintURL, client: HTTPClient, limits: HTTPMintLimits = HTTPMintLimits()) {
        self.url = url
        self.client = client
        self.limits = limits
    }

    /// What a client for mints and paid services is set up with: no redirects, since money must not follow one.
    public static var clientConfiguration: HTTPClient.Configuration {
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow,
            timeout: .init(connect: .seconds(10), read: .seconds(120))
        )
        configuration.httpVersion = .http1Only
        // A refused connection is an answer: nothing left, and the caller should know at once.
        configuration.connectionPool.retryConnectionEstablishment = false
        // A melt may take a minute: eight of them, the usual limit, would hold up everything else at the same mint.
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 64
        return configuration
    }

    public func info() async throws(MintAPIError) -> MintInfo {
        try await get("/v1/info") { try MintInfo(json: $0) }
    }

    public func keysets() async throws(MintAPIError) -> [KeysetInfo] {
        try await get("/v1/keysets") { try KeysetsResponse(json: $0).keysets }
    }

    public func keys(of keyset: KeysetInfo) async throws(MintAPIError) -> Keyset {
        try await get("/v1/keys/\(keyset.id.hex)") { json in
            // Older mints leave fee and expiry out here, so only the keys are taken from this answer.
            for entry in try json.array("keysets") where entry["id"]?.stringValue?.lowercased() == keyset.id.hex {
                return try Keyset(info: keyset, keys: Keyset.keys(json: entry.object("keys")))
            }
            throw CashuError(.malformed, "the answer does not have keyset \(keyset.id)")
        }
    }

    public func swap(_ request: SwapRequest) async throws(MintAPIError) -> [BlindSignature] {
        try await post("/v1/swap", request.json) { try SignaturesResponse(json: $0).signatures }
    }

    public func requestMintQuote(_ request: MintQuoteRequest) async throws(MintAPIError) -> MintQuote {
        try await post("/v1/mint/quote/bolt11", request.json) {
            try MintQuote(json: Self.withAmount($0, request.amount))
        }
    }

    public func mintQuote(_ id: QuoteID) async throws(MintAPIError) -> MintQuote {
        try await get("/v1/mint/quote/bolt11/\(id.string)") { try MintQuote(json: Self.withAmount($0, nil)) }
    }

    public func mint(_ request: MintRequest) async throws(MintAPIError) -> [BlindSignature] {
        try await post("/v1/mint/bolt11", request.json) { try SignaturesResponse(json: $0).signatures }
    }

    public func mintQuotes(_ request: MintQuoteCheckRequest) async throws(MintAPIError) -> [MintQuote] {
        try await post("/v1/mint/quote/bolt11/check", request.json) { try request.quotes(inAnswer: $0) }
    }

    public func mintBatch(_ request: BatchMintRequest) async throws(MintAPIError) -> [BlindSignature] {
        try await post("/v1/mint/bolt11/batch", request.json) { try SignaturesResponse(json: $0).signatures }
    }

    public func requestMeltQuote(_ request: MeltQuoteRequest) async throws(MintAPIError) -> MeltQuote {
        try await post("/v1/melt/quote/bolt11", request.json) { try MeltQuote(json: $0) }
    }

    public func meltQuote(_ id: QuoteID) async throws(MintAPIError) -> MeltQuote {
        try await get("/v1/melt/quote/bolt11/\(id.string)") { try MeltQuote(json: $0) }
    }

    public func melt(_ request: MeltRequest) async throws(MintAPIError) -> MeltQuote {
        try await post("/v1/melt/bolt11", request.json, timeoutSeconds: limits.meltTimeoutSeconds) {
            try MeltQuote(json: $0)
        }
    }

    public func checkState(_ ys: [[UInt8]]) async throws(MintAPIError) -> [ProofState] {
        let request = CheckStateRequest(hashedSecrets: ys)
        return try await post("/v1/checkstate", request.json) { try CheckStateResponse(json: $0).states(for: request) }
    }

    public func restore(_ outputs: [BlindedMessage]) async throws(MintAPIError) -> [RestoredOutput] {
        try await post("/v1/restore", RestoreRequest(outputs: outputs).json) { json in
            let response = try RestoreResponse(json: json)
            return zip(response.outputs, response.signatures).map { RestoredOutput(output: $0, signature: $1) }
        }
    }

    public func liabilities(_ path: String) async throws(MintAPIError) -> JSONValue {
        try await get("/liabilities" + path) { $0 }
    }

    /// Some mints leave the amount out of a quote's answer; it is what was asked for.
    private static func withAmount(_ json: JSONValue, _ amount: UInt64?) -> JSONValue {
        guard let amount, case .object(var object) = json, object["amount"] == nil else { return json }
        object["amount"] = JSONValue(amount)
        return .object(object)
    }

    // MARK: Requests

    private func get<T>(_ path: String, read: (JSONValue) throws -> T) async throws(MintAPIError) -> T {
        try await exchange(HTTPClientRequest(url: url.string + path), limits.timeoutSeconds, read)
    }

    private func post<T>(
        _ path: String,
        _ body: JSONValue,
        timeoutSeconds: Int64? = nil,
        read: (JSONValue) throws -> T
    ) async throws(MintAPIError) -> T {
        var request = HTTPClientRequest(url: url.string + path)
        request.method = .POST
        request.headers.add(name: "content-type", value: "application/json")
        request.body = .bytes(ByteBuffer(bytes: body.serialized()))
        return try await exchange(request, timeoutSeconds ?? limits.timeoutSeconds, read)
    }

    private func exchange<T>(
        _ request: HTTPClientRequest,
        _ timeoutSeconds: Int64,
        _ read: (JSONValue) throws -> T
    ) async throws(MintAPIError) -> T {
        let status: Int
        let body: [UInt8]
        do {
            do {
                (status, body) = try await fetch(request, timeoutSeconds)
            } catch let error as HTTPClientError where error == .remoteConnectionClosed && request.method == .GET {
                // Most often one that was kept from an earlier request, and that the mint closed just now: what only asks may
                // be asked again (RFC 9110, 9.2.2).
                (status, body) = try await fetch(request, timeoutSeconds)
            }
        } catch {
            throw TransportFailure.isCertainlyUnsent(error)
                ? MintAPIError(.notSent, TransportFailure.sentence(error))
                : MintAPIError(.unknown, TransportFailure.sentence(error))
        }
        return try Self.answer(status: status, body: body, read: read)
    }

    private func fetch(_ request: HTTPClientRequest, _ timeoutSeconds: Int64) async throws -> (
        status: Int, body: [UInt8]
    ) {
        var request = request
        request.headers.add(name: "accept", value: "application/json")
        let response = try await client.execute(request, timeout: .seconds(timeoutSeconds))
        let body = try await response.body.collect(upTo: limits.maximumAnswerBytes)
        return (Int(response.status.code), Array(body.readableBytesView))
    }

    /// Reads an answer. Only a 4xx with an error object is a refusal: anything else may come from something between us
    /// and the mint, or from a mint that failed half-way.
    static func answer<T>(status: Int, body: [UInt8], read: (JSONValue) throws -> T) throws(MintAPIError) -> T {
        let json: JSONValue
        do {
            json = try JSONValue.parse(
                body,
                limits: JSONLimits(maximumBytes: 4 << 20, maximumDepth: 16, acceptsUInt64: true)
            )
        } catch {
            throw MintAPIError(.unknown, "its answer with status \(status) is not JSON: \(error.message)")
        }
        guard (200..<300).contains(status) else {
            guard (400..<500).contains(status), status != 408, status != 429,
                json["detail"] != nil || json["code"] != nil
            else { throw MintAPIError(.unknown, "it answered with status \(status)") }
            let error = MintError(json: json)
            let code = json["code"] == nil ? 0 : error.code.rawValue
            throw MintAPIError(.refused(code: code), error.detail)
        }
        do {
            return try read(json)
        } catch {
            throw MintAPIError(.unknown, "its answer cannot be read: \(error)")
        }
    }
}
