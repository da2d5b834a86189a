import CanonicalJSON
import Encodings
import HTTPTypes
import Hummingbird
import NIOCore
import Passports
import SignedDocuments
import Storage

/// How the identity routes read and answer.
enum RouteAnswers {
    /// The longest request body of the operator's API, in bytes.
    static let maximumBodyBytes = 65_536

    static func json(_ object: JSONObject, status: HTTPResponse.Status = .ok) -> Response {
        response(object.serialized(), type: "application/json", status: status)
    }

    static func problem(_ problem: ProblemDetails) -> Response {
        response(
            problem.serialized(),
            type: ProblemDetails.mediaType,
            status: HTTPResponse.Status(code: problem.status)
        )
    }

    static func response(_ bytes: [UInt8], type: String, status: HTTPResponse.Status) -> Response {
        Response(
            status: status,
            headers: [.contentType: type, .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes))
        )
    }

    /// An instant that a body may name.
    static func instant(_ body: JSONObject, _ name: String) throws -> Timestamp? {
        try body.optionalString(name).map { text in
            guard let instant = try? Timestamp(rfc3339: text) else {
                throw IdentityError(.invalidRequest, "`\(name)` must be an instant (RFC 3339)")
            }
            return instant
        }
    }

    /// The JSON object of a request's body.
    ///
    /// - Throws: `ProblemDetails`.
    static func body(_ request: Request, maximumBytes: Int = maximumBodyBytes) async throws -> JSONObject {
        let buffer: ByteBuffer
        do {
            buffer = try await request.body.collect(upTo: maximumBytes)
        } catch {
            throw ProblemDetails(
                code: "body-too-large",
                title: "The request is too large",
                status: 413,
                detail: "the body may have at most \(maximumBytes) bytes"
            )
        }
        if buffer.readableBytes == 0 { return JSONObject() }
        do {
            return try JSONValue.parse(
                Array(buffer.readableBytesView),
                limits: JSONLimits(maximumBytes: maximumBytes, maximumDepth: 24, maximumValues: 8_000)
            ).requireObject("the request body")
        } catch {
            throw IdentityError(.invalidRequest, "the body must be a JSON object: \(error.message)").problem
        }
    }

    /// Runs a handler; every error becomes a problem document.
    static func answering(_ body: () async throws -> Response) async -> Response {
        do {
            return try await body()
        } catch let error as ProblemDetails {
            return problem(error)
        } catch let error as IdentityError {
            return problem(error.problem)
        } catch let error as JSONError {
            return problem(IdentityError(.invalidRequest, error.message).problem)
        } catch let error as PassportReason {
            return problem(IdentityError(.invalidRequest, error.message).problem)
        } catch let error as DocumentError where error.code == .keyUnavailable {
            return problem(IdentityError(.keyUnavailable, error.message).problem)
        } catch let error as StorageError {
            let isBusy = error.code == .overloaded
            return problem(
                ProblemDetails(
                    code: "storage-\(error.code.rawValue)",
                    title: "The store did not take it",
                    status: isBusy ? 503 : 500,
                    detail: error.message
                )
            )
        } catch {
            return problem(IdentityError(.internalFailure, "the request failed: \(error)").problem)
        }
    }
}
