public import CanonicalJSON
internal import Encodings

/// The paywall's dialect x402: version 2 in the headers `PAYMENT-REQUIRED`, `PAYMENT-SIGNATURE` and `PAYMENT-RESPONSE`, version 1
/// in the body of a 402 and in `X-PAYMENT` and `X-PAYMENT-RESPONSE` (x402 specification v1 and v2, HTTP transport).
///
/// Members that are not known are left aside, as both versions grow; members that are known must be of their form.
public enum X402 {
    /// The wire's version.
    public enum Version: UInt64, Hashable, Sendable, CaseIterable {
        case v1 = 1
        case v2 = 2

        /// The request header that carries a payment.
        public var paymentHeader: String { self == .v1 ? "X-PAYMENT" : "PAYMENT-SIGNATURE" }
        /// The response header that tells how a payment was settled.
        public var responseHeader: String { self == .v1 ? "X-PAYMENT-RESPONSE" : "PAYMENT-RESPONSE" }

        /// Reads `x402Version`.
        /// - Throws: ``X402Refusal`` `invalid_x402_version`.
        init(of object: JSONObject) throws(X402Refusal) {
            guard let number = object["x402Version"]?.uint64Value, let version = Version(rawValue: number) else {
                throw X402Refusal(.invalidVersion, "`x402Version` must be 1 or 2.")
            }
            self = version
        }
    }

    /// The response header that carries a challenge of version 2; version 1 puts it into the body.
    public static let challengeHeader = "PAYMENT-REQUIRED"
    /// The longest header written, in bytes: all headers together over 16 KiB break common clients.
    public static let maximumWrittenHeaderBytes = 8192
    /// The longest header, or message in a body, that is read, in bytes.
    public static let maximumReadBytes = 65_536
    /// The most ways to pay that a challenge offers.
    public static let maximumAccepts = 32
    /// The longest text in a member that names something (scheme, network, asset, payee), in bytes.
    public static let maximumNameBytes = 512

    static let limits = JSONLimits(maximumBytes: maximumReadBytes, maximumDepth: 24, maximumValues: 4000)

    /// Reads the JSON object of a header: standard base64.
    /// - Throws: ``X402Refusal`` `invalid_payload`.
    public static func object(header value: String) throws(X402Refusal) -> JSONObject {
        guard value.utf8.count <= maximumReadBytes else {
            throw X402Refusal(.invalidPayload, "The header is longer than \(maximumReadBytes) bytes.")
        }
        do {
            return try JSONValue.parse(Base64.decode(value), limits: limits).requireObject("the header")
        } catch {
            throw X402Refusal(.invalidPayload, "The header is no base64 of a JSON object: \(error)")
        }
    }

    /// Reads the JSON object of a body.
    /// - Throws: ``X402Refusal`` `invalid_payload`.
    public static func object(body: [UInt8]) throws(X402Refusal) -> JSONObject {
        do {
            return try JSONValue.parse(body, limits: limits).requireObject("the body")
        } catch {
            throw X402Refusal(.invalidPayload, "The body is no JSON object: \(error)")
        }
    }

    /// The header that carries a JSON object.
    /// - Throws: ``X402Refusal`` `invalid_payload` where it grows beyond ``maximumWrittenHeaderBytes``.
    public static func header(_ object: JSONObject) throws(X402Refusal) -> String {
        let text = Base64.encode(object.serialized())
        guard text.utf8.count <= maximumWrittenHeaderBytes else {
            throw X402Refusal(
                .invalidPayload,
                "The header would have \(text.utf8.count) bytes; over \(maximumWrittenHeaderBytes) clients break."
            )
        }
        return text
    }

    /// Runs a decoder, whose every complaint becomes a refusal with this code.
    static func reading<Result>(
        _ code: X402Refusal.Code,
        _ what: String,
        _ body: () throws -> Result
    ) throws(X402Refusal) -> Result {
        do {
            return try body()
        } catch let refusal as X402Refusal {
            throw refusal
        } catch let error as JSONError {
            throw X402Refusal(code, "\(what): \(error.message).")
        } catch {
            throw X402Refusal(code, "\(what): \(error).")
        }
    }

    /// A text that names something: not empty, bounded, printable ASCII.
    static func name(_ object: JSONObject, _ key: String) throws -> String {
        let text = try object.string(key)
        guard !text.isEmpty, text.utf8.count <= maximumNameBytes, text.utf8.allSatisfy({ 0x20...0x7E ~= $0 }) else {
            throw JSONError(.value, "`\(key)` must be 1 to \(maximumNameBytes) printable ASCII characters")
        }
        return text
    }
}
