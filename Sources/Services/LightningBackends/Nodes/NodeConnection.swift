internal import AsyncHTTPClient
internal import CanonicalJSON
internal import Lightning
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import WebClient

/// One request to a Lightning node's API.
struct NodeRequest: Sendable {
    enum Body: Sendable {
        case none
        case json(JSONObject)
        /// `application/x-www-form-urlencoded`.
        case form([(name: String, value: String)])
    }

    var method: HTTPMethod
    var path: String
    var body = Body.none

    static func get(_ path: String) -> NodeRequest { NodeRequest(method: .GET, path: path) }
    static func post(_ path: String, _ body: JSONObject) -> NodeRequest {
        NodeRequest(method: .POST, path: path, body: .json(body))
    }
    static func post(_ path: String, form: [(name: String, value: String)]) -> NodeRequest {
        NodeRequest(method: .POST, path: path, body: .form(form))
    }
}

/// What a node answered: a whole response, whatever its status.
struct NodeAnswer: Sendable {
    var status: Int
    /// Nil where the body is no JSON.
    var json: JSONValue?
    /// For messages: the start of the body, on one line.
    var text: String

    var isSuccess: Bool { (200..<300).contains(status) }
}

/// Requests to a Lightning node, and what is known after each. It knows HTTP, not what the node's words mean.
struct NodeConnection: Sendable {
    /// What became of a request that may have been sent.
    enum Reply: Sendable {
        case answered(NodeAnswer)
        /// Perhaps done, and no usable answer.
        case unknown(LightningError)
    }

    /// Answers are small, lists of payments the largest; more is refused.
    static let maximumBodyBytes = 4 << 20
    static let limits = JSONLimits(
        maximumBytes: maximumBodyBytes,
        maximumDepth: 32,
        maximumValues: 200_000,
        acceptsUInt64: true
    )
    /// What may be asked again is, after these waits; what pays is never sent twice.
    static let retryMilliseconds: [Int64] = [100, 400]

    /// For messages, such as `LND`.
    let program: String
    let access: NodeAccess
    private let headers: HTTPHeaders
    /// By which words, beside 401 and 403, the node says that the secret is not good enough.
    private let secretRefusals: [String]

    init(_ program: String, _ access: NodeAccess, headers: [(String, String)], secretRefusals: [String] = []) {
        self.program = program
        self.access = access
        self.headers = HTTPHeaders(headers)
        self.secretRefusals = secretRefusals
    }

    /// Whether the answer says that the secret is not good enough, which is looked at before anything is done.
    func refusesSecret(_ answer: NodeAnswer) -> Bool {
        guard !answer.isSuccess else { return false }
        return answer.status == 401 || answer.status == 403 || secretRefusals.contains { answer.text.contains($0) }
    }

    // MARK: Asking

    /// - Throws: where the node cannot be reached, and so nothing was sent.
    func exchange(_ request: NodeRequest, timeoutMilliseconds: Int64? = nil) async throws(LightningError) -> Reply {
        let http = httpRequest(request)
        do {
            let (status, bytes) = try await TimeLimit.within(
                milliseconds: timeoutMilliseconds ?? access.timeoutMilliseconds
            ) { [client = access.httpClient] deadline in
                let response = try await client.execute(http, deadline: deadline, logger: nil)
                let body = try await response.body.collect(upTo: Self.maximumBodyBytes)
                return (Int(response.status.code), Array(buffer: body))
            }
            return .answered(Self.answer(status, bytes))
        } catch {
            guard SimulatedConnection.meansNothingWasSent(error) else { return .unknown(noAnswer(error)) }
            throw unreachable(error)
        }
    }

    /// For questions, and for making invoices, as one that nobody is told of costs nothing: what may simply be asked again.
    /// A server's 5xx is an answer.
    func ask(_ request: NodeRequest) async throws(LightningError) -> NodeAnswer {
        var attempt = 0
        while true {
            let failure: LightningError
            do {
                switch try await exchange(request) {
                case .answered(let answer): return answer
                case .unknown(let error): failure = error
                }
            } catch {
                failure = error
            }
            guard failure.code != .cancelled, attempt < Self.retryMilliseconds.count else { throw failure }
            do {
                try await Task.sleep(for: .milliseconds(Self.retryMilliseconds[attempt]))
            } catch {
                throw LightningError(.cancelled, "the request was cancelled", cause: error)
            }
            attempt += 1
        }
    }

    /// Reads a response of one JSON object a line, until `take` says that it is enough or the response ends.
    /// - Parameter take: answers whether to go on.
    /// - Returns: the whole answer where the status is no success, else nil.
    /// - Throws: any error of `take`, and `LightningError` where the stream breaks.
    func lines(
        _ request: NodeRequest,
        timeoutMilliseconds: Int64,
        _ take: @escaping @Sendable (JSONObject) async throws -> Bool
    ) async throws -> NodeAnswer? {
        let http = httpRequest(request)
        do {
            return try await TimeLimit.within(milliseconds: timeoutMilliseconds) { deadline in
                let response = try await access.httpClient.execute(http, deadline: deadline, logger: nil)
                guard (200..<300).contains(Int(response.status.code)) else {
                    let bytes = Array(buffer: try await response.body.collect(upTo: Self.maximumBodyBytes))
                    return Self.answer(Int(response.status.code), bytes)
                }
                try await lines(of: response.body, take)
                return nil
            }
        } catch let error as LightningError {
            throw error
        } catch {
            throw SimulatedConnection.meansNothingWasSent(error) ? unreachable(error) : noAnswer(error)
        }
    }

    private func lines(
        of body: HTTPClientResponse.Body,
        _ take: @Sendable (JSONObject) async throws -> Bool
    ) async throws {
        var pending: [UInt8] = []
        for try await chunk in body {
            for byte in chunk.readableBytesView {
                guard byte == 0x0A else {
                    pending.append(byte)
                    guard pending.count <= Self.maximumBodyBytes else {
                        throw LightningError(.invalidAnswer, "\(program) sent a line of more than 4 MiB")
                    }
                    continue
                }
                let goesOn = try await line(pending, take)
                pending.removeAll(keepingCapacity: true)
                guard goesOn else { return }
            }
        }
        // A cancelled body ends as one that is whole.
        try Task.checkCancellation()
        _ = try await line(pending, take)
    }

    private func line(_ bytes: [UInt8], _ take: (JSONObject) async throws -> Bool) async throws -> Bool {
        guard bytes.contains(where: { $0 > 0x20 }) else { return true }
        let object = try read { try JSONValue.parse(bytes, limits: Self.limits).requireObject("a line") }
        return try await take(object)
    }

    // MARK: Reading

    /// Names an answer that does not say what it should.
    func read<T>(_ body: () throws -> T) throws(LightningError) -> T {
        do {
            return try body()
        } catch let error as LightningError {
            throw error
        } catch {
            throw LightningError(
                .invalidAnswer,
                "\(program) at \(access.base) answered what cannot be read: \(error)",
                cause: error
            )
        }
    }

    /// The answer's object where the status is a success.
    func object(_ answer: NodeAnswer) throws(LightningError) -> JSONObject {
        guard answer.isSuccess else { throw refusal(answer) }
        return try read { () throws in
            guard let json = answer.json else {
                throw LightningError(.invalidAnswer, "\(program) at \(access.base) answered no JSON: \(answer.text)")
            }
            return try json.requireObject("the answer")
        }
    }

    /// The error that an answer without success stands for.
    func refusal(_ answer: NodeAnswer, _ said: String? = nil) -> LightningError {
        let words = said ?? answer.text
        if refusesSecret(answer) {
            return LightningError(
                .unauthorized,
                "\(program) at \(access.base) does not accept the secret it was given (\(answer.status): \(words)): check"
                    + " the file that lightning.secretFile names, and what its holder may do"
            )
        }
        switch answer.status {
        case 404:
            return LightningError(
                .backendFailure,
                "\(program) at \(access.base) does not know what it was asked (404: \(words)): check the address, and that"
                    + " the program is recent enough"
            )
        case 429, 503:
            return LightningError(.limitReached, "\(program) at \(access.base) is busy (\(answer.status): \(words))")
        default:
            return LightningError(.backendFailure, "\(program) at \(access.base) answered \(answer.status): \(words)")
        }
    }

    private static func answer(_ status: Int, _ bytes: [UInt8]) -> NodeAnswer {
        var text = ""
        for scalar in String(decoding: bytes.prefix(300), as: UTF8.self).unicodeScalars {
            text.unicodeScalars.append(scalar.properties.generalCategory == .control ? " " : scalar)
        }
        return NodeAnswer(status: status, json: try? JSONValue.parse(bytes, limits: limits), text: text)
    }

    private func httpRequest(_ request: NodeRequest) -> HTTPClientRequest {
        var http = HTTPClientRequest(url: access.base + request.path)
        http.method = request.method
        http.headers = headers
        http.headers.add(name: "Accept", value: "application/json")
        switch request.body {
        case .none:
            break
        case .json(let object):
            http.headers.add(name: "Content-Type", value: "application/json")
            http.body = .bytes(object.serialized())
        case .form(let fields):
            http.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
            let text = fields.map { "\($0.name)=\(Self.formEncoded($0.value))" }.joined(separator: "&")
            http.body = .bytes(Array(text.utf8))
        }
        return http
    }

    private static func formEncoded(_ text: String) -> String {
        var encoded = ""
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F:
                encoded.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                encoded += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        return encoded
    }

    private func noAnswer(_ error: any Error) -> LightningError {
        if error is CancellationError || error as? HTTPClientError == .cancelled {
            return LightningError(.cancelled, "the request was cancelled before its answer came", cause: error)
        }
        return LightningError(
            .timedOut,
            "\(program) at \(access.base) gave no usable answer in time: \(error)",
            cause: error
        )
    }

    private func unreachable(_ error: any Error) -> LightningError {
        LightningError(
            .unreachable,
            "\(program) does not answer at \(access.base): start it, or correct lightning.url (\(error))",
            cause: error
        )
    }
}
