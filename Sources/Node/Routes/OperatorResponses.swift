internal import CanonicalJSON
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore

/// How the operator's API answers: JSON, or a problem (RFC 9457) that a person can act on.
enum OperatorResponses {
    static let maximumBodyBytes = 2 << 20

    static func json(_ value: JSONValue, status: HTTPResponse.Status = .ok) -> Response {
        response(status, "application/json", value.serialized())
    }

    static func response(_ status: HTTPResponse.Status, _ type: String, _ bytes: [UInt8]) -> Response {
        Response(
            status: status,
            headers: [.contentType: type, .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes))
        )
    }

    static func problem(_ problem: ProblemDetails) -> Response {
        response(.init(code: problem.status), ProblemDetails.mediaType, problem.serialized())
    }

    /// Runs a handler and tells what it threw.
    static func answering(_ work: () async throws -> JSONValue) async -> Response {
        do {
            return json(try await work())
        } catch {
            return problem(OperatorProblem.of(error))
        }
    }

    /// The request's JSON object; an empty body is an empty object.
    ///
    /// - Parameter limit: the longest body, in bytes.
    static func object(_ request: Request, upTo limit: Int = maximumBodyBytes) async throws -> JSONObject {
        let buffer: ByteBuffer
        do {
            buffer = try await request.body.collect(upTo: limit)
        } catch is NIOTooManyBytesError {
            throw ProblemDetails(code: "body-too-large", title: "The request is too large", status: 413)
        }
        guard buffer.readableBytes > 0 else { return JSONObject() }
        let limits = JSONLimits(maximumBytes: limit, acceptsUInt64: true)
        let value = try JSONValue.parse([UInt8](buffer.readableBytesView), limits: limits)
        guard let object = value.objectValue else {
            throw ProblemDetails(code: "invalid-request", title: "The request must be a JSON object", status: 400)
        }
        return object
    }
}
