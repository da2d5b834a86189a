import CanonicalJSON
import Encodings
import SignedDocuments
import Storage

/// The rows of agents' `did:webvh` logs, within the transaction at hand.
enum AgentDIDStore {
    static func lines(of agent: String, in connection: Connection) throws -> [[UInt8]] {
        try connection.rows("SELECT line FROM identity_agent_did_log WHERE agent = ? ORDER BY number", .text(agent))
            .map { try $0.blob(0) }
    }

    /// The newest entry, which tells the DID; nil where the agent has none.
    static func newest(of agent: String, in connection: Connection) throws -> [UInt8]? {
        try connection.first(
            "SELECT line FROM identity_agent_did_log WHERE agent = ? ORDER BY number DESC LIMIT 1",
            .text(agent)
        )?.blob(0)
    }

    /// Puts a log in the place of the one that was read before.
    ///
    /// - Parameter count: how many entries that one had.
    /// - Throws: `IdentityError` with `.agentNotActive` where it has others by now.
    static func put(_ log: WebVHLog?, of agent: String, over count: Int, in connection: Connection) throws {
        let row = try connection.first("SELECT count(*) FROM identity_agent_did_log WHERE agent = ?", .text(agent))
        guard try row?.int64(0) == Int64(count) else {
            throw IdentityError(.agentNotActive, "the agent's did:webvh changed meanwhile: try again")
        }
        guard let log else { return }
        let kept = log.number > count ? count : 0
        try connection.execute(
            "DELETE FROM identity_agent_did_log WHERE agent = ? AND number > ?",
            .text(agent),
            .int(kept)
        )
        for (number, line) in log.lines.enumerated().dropFirst(kept) {
            try connection.execute(
                "INSERT INTO identity_agent_did_log (agent, number, line) VALUES (?, ?, ?)",
                .text(agent),
                .int(number + 1),
                .blob(line)
            )
        }
    }
}

extension WebVHLog {
    /// A log that this node keeps. What is on the disk was dated when it was written, whatever the clock says since.
    ///
    /// - Returns: nil where there are no lines.
    /// - Throws: `IdentityError` with `.internalFailure` where it does not verify.
    init?(kept lines: [[UInt8]]) throws {
        guard !lines.isEmpty else { return nil }
        do {
            self = try WebVHLog(lines: lines, now: Timestamp(rfc3339: "9000-01-01T00:00:00Z"))
        } catch {
            throw IdentityError(.internalFailure, "a did:webvh log that this node keeps does not verify", cause: error)
        }
    }

    /// - Throws: `IdentityError` in the place of a `DocumentError`.
    static func refusing<Result>(_ work: () throws -> Result) throws -> Result {
        do {
            return try work()
        } catch let error as DocumentError {
            throw IdentityError(error.code == .keyUnavailable ? .keyUnavailable : .invalidRequest, error.message)
        }
    }
}
