public import CanonicalJSON
import Cryptography
import Encodings
public import SignedDocuments
import Storage

/// Long-lived agents: a `did:webvh` that stays while the keys change.
///
/// Its update keys are the agent's own keys, one for each entry: what `rotate` and `recover` move the agent to is what the entry
/// before committed to. So a thief of the key in use can no more move the DID than the agent ([DID-1]).
extension AgentRegistry {
    private var documents: DIDDocuments { DIDDocuments(office) }

    // MARK: Reading

    /// The log of an agent's did:webvh, or nil where none was made.
    ///
    /// - Throws: `IdentityError`: `.agentNotFound`; `.internalFailure` where what is stored does not verify.
    public func didLog(_ idOrName: String) async throws -> WebVHLog? {
        try WebVHLog(kept: try await didLines(idOrName).lines)
    }

    /// The log as it is published; it was verified when it was kept.
    func publishedDIDLog(_ id: String) async throws -> [UInt8]? {
        let lines = try await didLines(id).lines
        return lines.isEmpty ? nil : lines.flatMap { $0 + [UInt8(ascii: "\n")] }
    }

    /// An agent's did:webvh, or nil where none was made.
    public func webVH(of agent: Agent) async throws -> WebDID? {
        try await database.read { try AgentDIDStore.newest(of: agent.id, in: $0) }
            .map { try WebVHLog.did(ofEntry: $0) }
    }

    private func didLines(_ idOrName: String) async throws -> (record: AgentRecord, lines: [[UInt8]]) {
        try await database.read { connection in
            let record = try AgentStore.find(idOrName, in: connection)
            return (record, try AgentDIDStore.lines(of: record.agent.id, in: connection))
        }
    }

    /// What an agent that keeps its keys itself needs to sign the next entry: `location`, the `document` in it, and the
    /// `log` before it, where there is one.
    public func didDraft(_ idOrName: String) async throws -> JSONObject {
        let (record, lines) = try await didLines(idOrName)
        let log = try WebVHLog(kept: lines)
        let location = try location(of: record.agent)
        let did =
            "did:webvh:\(log.flatMap { $0.isDeactivated ? nil : $0.did.scid } ?? WebVHLog.placeholder):\(location)"
        var draft: JSONObject = [
            "location": .string(location),
            "document": .object(documents.document(of: record.agent, webVH: did, former: former(log, did))),
        ]
        if let log, !log.isDeactivated { draft["log"] = .string(String(decoding: log.bytes, as: UTF8.self)) }
        return draft
    }

    private func location(of agent: Agent) throws -> String {
        guard let web = documents.agent(agent.id) else {
            throw IdentityError(
                .invalidRequest,
                "a did:webvh is named after a domain, and the node's public URL \(office.configuration.publicURL) has none"
            )
        }
        return String(web.string.dropFirst("did:web:".count))
    }

    private func former(_ log: WebVHLog?, _ did: String) -> String? {
        log.flatMap { $0.isDeactivated || $0.did.string == did ? nil : $0.did.string }
    }

    // MARK: Writing

    /// Makes the did:webvh of an agent whose keys the node keeps; in the place of one that was deactivated.
    ///
    /// - Throws: `IdentityError`: `.agentNotFound`, `.agentNotActive`, `.keyNotHeld`, `.didExists`; `.invalidRequest` where the
    ///   public URL names no domain.
    public func createDID(_ idOrName: String) async throws -> WebVHLog {
        let (record, lines) = try await didLines(idOrName)
        let agent = record.agent
        try await requireHere(agent)
        try Self.requireActive(agent)
        try Self.requireNoDID(agent, try WebVHLog(kept: lines))
        guard let sealedKey = record.sealedKey, let next = record.nextDID else {
            throw IdentityError(
                .keyNotHeld,
                "agent `\(agent.name)` keeps its keys itself: it signs the log's entry (mintmark did create --agent \(agent.name) --key FILE --next FILE)"
            )
        }
        let key = DocumentSigner(try nodeKeys.open(sealedKey, agent: agent.id, did: agent.did))
        let location = try location(of: agent)
        let log = try WebVHLog.refusing {
            try WebVHLog.create(
                location: location,
                document: { documents.document(of: agent, webVH: $0) },
                by: key,
                next: [next],
                isPortable: true,
                now: clock.now()
            )
        }
        try await keepDID(log, of: agent, over: lines.count)
        return log
    }

    /// Takes the next entry of a log, signed by an agent that keeps its keys itself with the key that it has now.
    ///
    /// - Parameter entry: one line, of the log of this agent at this node, that commits to the key after it and names no
    ///   witnesses, whose proofs would stand in a file that is not served.
    /// - Throws: `IdentityError`: `.agentNotFound`, `.agentNotActive`, `.keyNotHeld`; `.invalidRequest` with what is wrong.
    public func publishDID(_ idOrName: String, entry: [UInt8]) async throws -> WebVHLog {
        let (record, lines) = try await didLines(idOrName)
        let agent = record.agent
        try await requireHere(agent)
        try Self.requireActive(agent)
        guard record.sealedKey == nil else {
            throw IdentityError(.keyNotHeld, "the node keeps the keys of agent `\(agent.name)`, and signs for it")
        }
        let before = try WebVHLog(kept: lines)
        let kept = before.map { $0.isDeactivated ? [] : $0.lines } ?? []
        let location = try location(of: agent)
        let line = entry.filter { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
        let log = try WebVHLog.refusing {
            try WebVHLog(lines: kept + [line], now: clock.now())
        }
        guard log.did.string.split(separator: ":", maxSplits: 3).last == location[...] else {
            throw IdentityError(.invalidRequest, "the entry is not of a did:webvh at \(location)")
        }
        guard log.updateKeys == [agent.did.multibaseKey] else {
            throw IdentityError(
                .invalidRequest,
                "the entry must name and be signed by the agent's key alone, \(agent.did)"
            )
        }
        guard !log.nextKeyHashes.isEmpty || log.isDeactivated else {
            throw IdentityError(.invalidRequest, "the entry must commit to the agent's next key (`nextKeyHashes`)")
        }
        try await keepDID(log, of: agent, over: lines.count)
        return log
    }

    private static func requireNoDID(_ agent: Agent, _ log: WebVHLog?) throws {
        guard let log, !log.isDeactivated else { return }
        throw IdentityError(
            .didExists,
            "agent `\(agent.name)` has \(log.did): it moves with the agent's key (mintmark agent rotate)"
        )
    }

    private func keepDID(_ log: WebVHLog, of agent: Agent, over count: Int) async throws {
        try await database.write { connection in
            let current = try AgentStore.find(agent.id, in: connection).agent
            try Self.requireActive(current)
            guard current.did == agent.did else {
                throw IdentityError(.agentNotActive, "the agent moved to another key meanwhile: try again")
            }
            try AgentDIDStore.put(log, of: agent.id, over: count, in: connection)
        }
    }

    // MARK: With the agent's key

    /// The log of an agent that moves to its next key, with the entry for it; and how many entries there are now.
    ///
    /// No log: the agent has none, or keeps its keys itself and signs the entry afterwards. The last entry that a log has room
    /// for deactivates the DID: a move to another key must not fail for its sake.
    func didLog(movingTo next: AgentRecord) async throws -> (log: WebVHLog?, entries: Int) {
        let lines = try await database.read { try AgentDIDStore.lines(of: next.agent.id, in: $0) }
        guard let log = try WebVHLog(kept: lines), !log.isDeactivated, let sealedKey = next.sealedKey,
            let nextDID = next.nextDID
        else { return (nil, lines.count) }
        let key = DocumentSigner(try nodeKeys.open(sealedKey, agent: next.agent.id, did: next.agent.did))
        let moved = try WebVHLog.refusing {
            try log.rotated(
                to: key,
                next: [nextDID],
                // Where the public URL names no domain any more, it stays where it was.
                at: try? location(of: next.agent),
                document: { documents.document(of: next.agent, webVH: $0, former: former(log, $0)) },
                deactivating: !log.hasRoom,
                now: clock.now()
            )
        }
        return (moved, lines.count)
    }
}
