internal import AuditLog
internal import CanonicalJSON
internal import Encodings
internal import Hummingbird
internal import Identity
internal import Receipts
internal import SignedDocuments
internal import Storage
internal import TransparencyLog

/// The node's word that its log will hold a document, at once when there is one ([LOG-11]).
struct LogPromises: Sendable {
    private let log: AuditLog
    private let signer: DocumentSigner
    private let clock = WallClock.system

    init(_ node: Node) {
        log = node.log
        signer = node.identity.nodeKeys.node
    }

    /// Adds `GET promise/:id`, which anybody may ask: the id is known to who holds the document.
    func add<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.get("promise/{id}") { request, context in
            await OperatorResponses.answering {
                let kind = request.uri.queryParameters["kind"].map(String.init)
                guard let promise = try await promise(context.parameters.require("id"), kind: kind) else {
                    throw ProblemDetails(
                        code: "not-found",
                        title: "Nothing is logged or waits to be under that id",
                        status: 404
                    )
                }
                return promise
            }
        }
    }

    /// - Parameter kind: which, where the log has several of this id; nil: the latest.
    /// - Returns: nil where neither the log nor what waits for it has such a document.
    /// - Throws: `LogError` `halted` where the log takes no more entries.
    private func promise(_ id: String, kind: String?) async throws -> JSONValue? {
        let found = try await log.promisable(id).last { kind == nil || $0.kind == kind }
        guard let found else { return nil }
        if let halted = log.halted { throw LogError(.halted, "the log takes no more entries: \(halted.reason)") }
        let now = clock.now()
        let promise = try LogPromise.issue(
            kind: found.kind,
            reference: id,
            entry: found.entry,
            promise: InclusionPromise(
                log: log.origin,
                salt: found.salt,
                by: now.adding(seconds: InclusionPromise.withinSeconds)
            ),
            at: now,
            by: signer
        )
        return .object(promise.document)
    }
}
