public import AsyncHTTPClient
internal import CanonicalJSON
internal import NIOCore
internal import NIOHTTP1
public import Paywall
internal import WebClient

/// Somebody else's facilitator, asked over HTTP (x402 specification v2, 7). What it says is believed: choose one that you trust
/// with your income. An answer that does not come, or says nothing usable, is pending, never failed.
///
/// It keeps nothing: whoever asks keeps the request, and asks again with the same one until the outcome is known.
public struct OutsideFacilitator: Facilitator {
    /// The longest answer, in bytes.
    public static let maximumAnswerBytes = X402.maximumReadBytes

    private let base: String
    private let headers: HTTPHeaders
    private let client: HTTPClient
    private let timeoutMilliseconds: Int64

    /// - Parameters:
    ///   - url: below which `/verify`, `/settle` and `/supported` lie; `https://…`, or `http://` to one of one's own.
    ///   - authorization: the header's value that the facilitator asks for, where it does.
    ///   - client: made with ``SettlementHTTP/configuration``, and shut down by its owner.
    ///   - timeoutMilliseconds: for one question, from its sending to the answer's last byte. Settling takes blocks.
    /// - Throws: `invalidConfiguration`.
    public init(
        url: String,
        client: HTTPClient,
        authorization: String? = nil,
        timeoutMilliseconds: Int64 = 60_000
    ) throws(SettlementError) {
        guard url.hasPrefix("http://") || url.hasPrefix("https://"), !url.contains("?"), !url.contains("#"),
            url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else {
            throw SettlementError(.invalidConfiguration, "the facilitator's address must be http(s)://host/path")
        }
        base = url.hasSuffix("/") ? String(url.dropLast()) : url
        self.client = client
        self.timeoutMilliseconds = timeoutMilliseconds
        var headers: HTTPHeaders = ["Content-Type": "application/json", "Accept": "application/json"]
        if let authorization { headers.add(name: "Authorization", value: authorization) }
        self.headers = headers
    }

    public func verify(_ request: X402.FacilitatorRequest) async throws(SettlementError) -> X402.VerifyResponse {
        let answer = try await ask(.POST, "/verify", request.json)
        do {
            return try X402.VerifyResponse(json: answer.object())
        } catch {
            throw SettlementError(.noAnswer, "the facilitator did not say whether the payment is valid: \(error)")
        }
    }

    public func settle(_ request: X402.FacilitatorRequest) async throws(SettlementError) -> X402.SettleResponse {
        let answer: Answer
        do {
            answer = try await ask(.POST, "/settle", request.json)
        } catch {
            guard error.code == .noAnswer else { throw error }
            return Self.pending(request, error.message)
        }
        guard let response = try? X402.SettleResponse(json: answer.object()) else {
            return Self.pending(request, "The facilitator answered \(answer.status) and no settlement.")
        }
        if response.success {
            // Of another network it would be another payment.
            guard response.network == request.requirements.network else {
                return Self.pending(request, "The facilitator settled on \(Exchange.printable(response.network)).")
            }
            return response
        }
        // A failure of its own is no word on the payment.
        guard answer.status < 500, let reason = response.errorReason,
            reason != X402Refusal.Code.unexpectedSettleError.rawValue
        else {
            return Self.pending(request, "The facilitator failed: \(Exchange.printable(response.errorReason ?? "?")).")
        }
        return response
    }

    public func supported() async throws(SettlementError) -> X402.Supported {
        let answer = try await ask(.GET, "/supported", nil)
        do {
            return try X402.Supported(json: answer.object())
        } catch {
            throw SettlementError(.invalidAnswer, "the facilitator did not say what it supports: \(error)")
        }
    }

    private static func pending(_ request: X402.FacilitatorRequest, _ message: String) -> X402.SettleResponse {
        X402.SettleResponse(
            refusal: X402Refusal(.settlementPending, message),
            network: request.requirements.network
        )
    }

    private struct Answer {
        var status: Int
        var body: [UInt8]

        func object() throws -> JSONObject { try X402.object(body: body) }
    }

    private func ask(
        _ method: HTTPMethod,
        _ path: String,
        _ body: JSONObject?
    ) async throws(SettlementError) -> Answer {
        var request = HTTPClientRequest(url: base + path)
        request.method = method
        request.headers = headers
        if let body { request.body = .bytes(body.serialized()) }
        let http = request
        do {
            return try await TimeLimit.within(milliseconds: timeoutMilliseconds) { [client] deadline in
                let response = try await client.execute(http, deadline: deadline, logger: nil)
                let body = try await response.body.collect(upTo: Self.maximumAnswerBytes)
                return Answer(status: Int(response.status.code), body: Array(buffer: body))
            }
        } catch {
            throw Exchange.failure(error, of: "the facilitator", asked: path)
        }
    }
}
