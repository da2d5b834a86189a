internal import AuditLog
internal import CanonicalJSON
internal import Encodings
internal import Hummingbird
internal import TransparencyLog

/// The operator's view of the transparency log.
struct LogOperatorRoutes: Sendable {
    let log: AuditLog

    func add<Context: RequestContext>(to group: RouterGroup<Context>) {
        let log = log
        group.get("") { _, _ in
            await OperatorResponses.answering {
                let status = try await log.status()
                var shown: JSONObject = [
                    "origin": .string(status.origin), "key": .string(status.verifierKey),
                    "size": .integer(Int64(clamping: status.size)), "root": .string(Base64.encode(status.root)),
                    "waiting": .integer(Int64(status.waiting)), "checkpoint": .string(log.checkpoint.string),
                ]
                shown["witnessedCheckpoint"] = log.witnessedCheckpoint.map { .string($0.string) }
                if let halt = log.halted {
                    shown["halted"] = .string(halt.reason)
                    shown["haltedAt"] = .string(halt.at.rfc3339)
                    shown["evidence"] = halt.evidence.map { .string($0) }
                }
                return .object(shown)
            }
        }
        // Logs what waits, so that a command finds it there also where no node is running.
        group.get("entries/{id}") { _, context in
            await OperatorResponses.answering {
                if log.halted == nil { try await log.drain() }
                let entries = try await log.entries(of: context.parameters.require("id"))
                var shown: [JSONValue] = []
                for entry in entries {
                    var object: JSONObject = [
                        "index": .integer(Int64(clamping: entry.index)), "kind": .string(entry.kind),
                        "entry": .string(Hex.encode(entry.entry)), "salt": .string(Hex.encode(entry.salt)),
                        "proof": .string(try await log.proof(of: entry).string),
                    ]
                    object["witnessedProof"] = try await log.witnessedProof(of: entry).map { .string($0.string) }
                    object["document"] = try entry.document.map { try JSONValue.parse($0) }
                    shown.append(.object(object))
                }
                return ["entries": .array(shown)]
            }
        }
    }
}
