import CanonicalJSON
import HTTPTypes
import Hummingbird
import NIOCore
import Paywall

/// Answers that are not an upstream's: RFC 9457 problems ([CALL-3]).
enum Problem {
    /// - Parameter type: in the place of ours, for a client of another protocol.
    static func response(
        _ refusal: CallRefusal,
        type: String? = nil,
        extensions: JSONObject = JSONObject()
    ) -> Response {
        var details = ProblemDetails(
            code: refusal.code.rawValue,
            title: refusal.title,
            status: refusal.status,
            detail: refusal.message,
            type: type ?? refusal.typeURN
        )
        details.extensions = extensions
        if let receiptID = refusal.receiptID { details.extensions["receipt"] = .string(receiptID) }
        var response = response(details)
        if let seconds = refusal.retryAfterSeconds { response.headers[.retryAfter] = String(seconds) }
        if let receiptID = refusal.receiptID { response.headers[.agentReceiptID] = receiptID }
        return response
    }

    static func response(_ refusal: CallerRefusal) -> Response {
        var extensions = JSONObject()
        if !refusal.reasons.isEmpty { extensions["reasons"] = .array(refusal.reasons.map { .string($0) }) }
        let words = refusal.code.split(separator: "-").joined(separator: " ")
        var response = response(
            ProblemDetails(
                code: refusal.code,
                title: words.prefix(1).uppercased() + words.dropFirst(),
                status: refusal.status,
                detail: refusal.message,
                extensions: extensions
            )
        )
        if refusal.status == 401 { response.headers[.wwwAuthenticate] = "Signature realm=\"mintmark\"" }
        if refusal.status == 503 { response.headers[.retryAfter] = "2" }
        return response
    }

    private static func response(_ details: ProblemDetails) -> Response {
        Response(
            status: HTTPResponse.Status(code: details.status),
            headers: [
                .contentType: ProblemDetails.mediaType,
                .cacheControl: "no-store",
            ],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: details.serialized()))
        )
    }

    static func json(_ value: JSONValue, status: HTTPResponse.Status = .ok) -> Response {
        Response(
            status: status,
            headers: [.contentType: "application/json", .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: value.serialized()))
        )
    }
}
