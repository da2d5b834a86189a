internal import CanonicalJSON
internal import Delegation
internal import Encodings
internal import HTTPTypes
public import Hummingbird
internal import NIOCore
internal import SignedDocuments
internal import Storage
internal import Synchronization

/// The accounting node over HTTP, for agents that carry a chain: `/delegations/…`. Who asks proves itself by the invocation.
public struct BudgetRoutes: Sendable {
    static let maximumBodyBytes = 65_536
    /// How many debits may be under way at once; over it the answer is 503.
    static let maximumAtOnce = 512

    private let office: BudgetOffice
    private let running = Running()

    private final class Running: Sendable {
        let count = Mutex(0)
    }

    public init(_ office: BudgetOffice) {
        self.office = office
    }

    public func add<Context: RequestContext>(to router: some RouterMethods<Context>) {
        router.post("/delegations/debits") { request, _ in
            await answering {
                let call = try Self.call(try await Self.object(request))
                let ticket = try await limited { try await office.ticket(call.invocation, chain: call.chain) }
                return ["ticket": .object(ticket.document)]
            }
        }
        router.post("/delegations/debits/:id/settle") { request, context in
            await answering {
                guard let receipt = try await Self.object(request)["receipt"]?.objectValue else {
                    throw BudgetError(.invalidRequest, "`receipt` is the seller's receipt")
                }
                let id = context.parameters.get("id") ?? ""
                let charged = try await limited { try await office.settle(debit: id, receipt: receipt) }
                return ["charged": .string(String(charged))]
            }
        }
        router.post("/delegations/revocations") { request, _ in
            await answering {
                guard let text = try await Self.object(request)["invocation"]?.stringValue,
                    let bytes = try? Multibase.decode(text, maximumBytes: Invocation.maximumBytes)
                else { throw BudgetError(.invalidRequest, "`invocation` is an envelope in multibase") }
                let cid = try await limited { try await office.revoke(on: Invocation(bytes: bytes)) }
                return ["revoked": .string("\(cid)")]
            }
        }
        router.get("/delegations/revocations") { request, _ in
            await answering {
                let after = request.uri.queryParameters.get("after", as: Int64.self) ?? 0
                return try await office.signedRevocations(after: max(0, after))
            }
        }
        router.get("/delegations/:cid") { _, context in
            await answering {
                let cid = try CID(parsing: context.parameters.get("cid") ?? "")
                let kept = try await office.delegation(cid)
                let state =
                    switch kept {
                    case nil: "unknown"
                    case let kept? where kept.isRevoked: "revoked"
                    case let kept? where kept.isKeyRevoked: "key-revoked"
                    default: "live"
                    }
                return ["cid": .string("\(cid)"), "state": .string(state)]
            }
        }
    }

    /// The bundle of a request: `call` in base64url, as it would stand in `Agent-Delegation`.
    private static func call(_ object: JSONObject) throws -> DelegatedCall {
        guard let text = object["call"]?.stringValue else {
            throw BudgetError(.invalidRequest, "`call` is the value of \(DelegatedCall.headerName)")
        }
        return try DelegatedCall(header: text)
    }

    private func limited<T: Sendable>(_ work: () async throws -> T) async throws -> T {
        let isFree = running.count.withLock { count in
            guard count < Self.maximumAtOnce else { return false }
            count += 1
            return true
        }
        guard isFree else { throw BudgetError(.overloaded, "too many debits at once: try again shortly") }
        defer { running.count.withLock { $0 -= 1 } }
        return try await work()
    }

    private static func object(_ request: Request) async throws -> JSONObject {
        let buffer: ByteBuffer
        do {
            buffer = try await request.body.collect(upTo: maximumBodyBytes)
        } catch {
            throw ProblemDetails(code: "body-too-large", title: "The request is too large", status: 413)
        }
        let limits = JSONLimits(maximumBytes: maximumBodyBytes, maximumDepth: 12, maximumValues: 1000)
        guard let object = (try? JSONValue.parse(Array(buffer.readableBytesView), limits: limits))?.objectValue else {
            throw BudgetError(.invalidRequest, "the body is a JSON object")
        }
        return object
    }

    private func answering(_ work: () async throws -> JSONObject) async -> Response {
        do {
            return Self.response(try await work().serialized(), "application/json", 200)
        } catch {
            let problem = Self.problem(error)
            var response = Self.response(problem.serialized(), ProblemDetails.mediaType, problem.status)
            if problem.status == 503 { response.headers[.retryAfter] = "1" }
            return response
        }
    }

    private static func response(_ bytes: [UInt8], _ type: String, _ status: Int) -> Response {
        Response(
            status: HTTPResponse.Status(code: status),
            headers: [.contentType: type, .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes))
        )
    }

    /// Every error as a problem; what went wrong inside is not told to strangers.
    static func problem(_ error: any Error) -> ProblemDetails {
        switch error {
        case let problem as ProblemDetails: problem
        case let error as DelegationError: .of(error)
        case let error as BudgetError:
            ProblemDetails(
                code: error.code.rawValue,
                title: "The accounting node refuses",
                status: error.status,
                detail: error.message
            )
        case let error as DocumentError where error.code == .keyUnavailable:
            ProblemDetails(code: error.code.rawValue, title: "Not now", status: 503)
        case let error as StorageError:
            ProblemDetails(
                code: "storage-failed",
                title: "Not now",
                status: 503,
                detail: error.code == .overloaded ? error.message : nil
            )
        default: ProblemDetails(code: "internal-failure", title: "The request failed", status: 500)
        }
    }
}
