internal import Encodings
internal import HTTPTypes
public import Hummingbird
internal import NIOCore
internal import TransparencyLog

/// What strangers read of the log, under `/log`: C2SP tlog-tiles, and proofs by a document's id.
public struct AuditLogRoutes: Sendable {
    private let log: AuditLog

    public init(_ log: AuditLog) {
        self.log = log
    }

    /// Adds `GET checkpoint`, `witnessed-checkpoint`, `vkey`, `tile/…`, `entries/:id` and `proof/:id`.
    public func add<Context: RequestContext>(to group: RouterGroup<Context>) {
        let log = log
        group.get("checkpoint") { _, _ in
            Self.text(log.checkpoint.string, caching: "public, max-age=1")
        }
        group.get("witnessed-checkpoint") { _, _ in
            guard let note = log.witnessedCheckpoint else {
                throw HTTPError(.notFound, message: "No witness has cosigned this log yet.")
            }
            return Self.text(note.string, caching: "public, max-age=1")
        }
        group.get("vkey") { _, _ in
            Self.text("\(try log.verifierKey)\n", caching: "public, max-age=60")
        }
        group.get("tile/**") { _, context in
            guard let path = try? TilePath(afterTile: context.parameters.getCatchAll().joined(separator: "/")),
                let bytes = try await log.tile(path)
            else { throw HTTPError(.notFound, message: "The log has no such tile.") }
            return Self.response(
                bytes,
                type: "application/octet-stream",
                caching: "public, max-age=31536000, immutable"
            )
        }
        group.get("proof/:id") { request, context in
            let wanted = request.uri.queryParameters["kind"].map(String.init)
            let entries = try await log.entries(of: context.parameters.get("id") ?? "")
            guard let entry = entries.first(where: { wanted == nil || $0.kind == wanted }) else {
                throw HTTPError(
                    .notFound,
                    message: "The log holds no document of that id; a new one is there within a second or two."
                )
            }
            guard request.uri.queryParameters["witnessed"] != nil else {
                return Self.text(try await log.proof(of: entry).string, caching: "no-store")
            }
            guard let proof = try await log.witnessedProof(of: entry) else {
                throw HTTPError(.notFound, message: "No witness has cosigned a tree that holds it yet.")
            }
            return Self.text(proof.string, caching: "no-store")
        }
    }

    private static func text(_ text: String, caching: String) -> Response {
        response(Array(text.utf8), type: "text/plain; charset=utf-8", caching: caching)
    }

    private static func response(_ bytes: [UInt8], type: String, caching: String) -> Response {
        Response(
            status: .ok,
            headers: [.contentType: type, .cacheControl: caching],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes))
        )
    }
}
