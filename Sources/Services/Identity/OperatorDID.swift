internal import CanonicalJSON
internal import Cryptography
internal import Encodings
public import SignedDocuments
internal import Storage

/// The node's own `did:webvh`: made when the operator asks for it, with pre-rotation from the first entry on, and served
/// as `did.jsonl`.
///
/// The keys that may update it derive from the vault's words by number; each is used for one entry, and its hash stands
/// in the entry before. They sign nothing else, so that a thief of the key that signs passports can't move the DID.
public struct OperatorDID: Sendable {
    private let database: Database
    private let vault: any KeyVault
    private let office: PassportOffice
    private let changes = AsyncLock()

    init(database: Database, vault: any KeyVault, office: PassportOffice) {
        self.database = database
        self.vault = vault
        self.office = office
    }

    /// The log as it stands, or `nil` where none was made.
    ///
    /// - Throws: `StorageError`; `IdentityError` with `.internalFailure` where what is stored does not verify.
    public func log() async throws -> WebVHLog? {
        let lines = try await database.read { connection in
            try connection.rows("SELECT line FROM identity_did_log ORDER BY number").map { try $0.blob(0) }
        }
        return try WebVHLog(kept: lines)
    }

    /// Makes the DID.
    ///
    /// - Throws: `IdentityError` with `.agentExists` where there is one; `.invalidRequest` where the public URL names no
    ///   domain.
    public func create() async throws -> WebVHLog {
        try await changes.withLock {
            guard try await log() == nil else {
                throw IdentityError(.didExists, "this node has a did:webvh already: see `mintmark did show`")
            }
            guard let web = DIDDocuments(office).node else {
                throw IdentityError(
                    .invalidRequest,
                    "a did:webvh is named after a domain, and the node's public URL \(office.configuration.publicURL) has none"
                )
            }
            let location = String(web.string.dropFirst("did:web:".count))
            let made = try WebVHLog.refusing {
                try WebVHLog.create(
                    location: location,
                    document: document,
                    by: try vault.didKey(1),
                    next: [try vault.didKey(2).did],
                    now: office.clock.now()
                )
            }
            try await append(made)
            return made
        }
    }

    /// Moves the DID to the key that it committed to, with the node's keys as they are now in its document.
    ///
    /// - Throws: `IdentityError` with `.passportNotFound` where there is none.
    public func rotate() async throws -> WebVHLog {
        try await changes.withLock {
            guard let log = try await log() else {
                throw IdentityError(.didNotFound, "this node has no did:webvh: make one with `mintmark did create`")
            }
            let next = try WebVHLog.refusing {
                try log.rotated(
                    to: try vault.didKey(log.number + 1),
                    next: [try vault.didKey(log.number + 2).did],
                    document: document,
                    now: office.clock.now()
                )
            }
            try await append(next)
            return next
        }
    }

    private func document(_ did: String) -> JSONObject {
        var document = DIDDocuments.document(did, keys: office.issuers, controller: nil)
        if let web = DIDDocuments(office).node, let known = document["alsoKnownAs"]?.arrayValue {
            document["alsoKnownAs"] = .array(known + [.string(web.string)])
        }
        return document
    }

    private func append(_ log: WebVHLog) async throws {
        guard let line = log.lines.last else { return }
        try await database.write { connection in
            try connection.execute(
                "INSERT INTO identity_did_log (number, line) VALUES (?, ?)",
                .int(log.number),
                .blob(line)
            )
        }
    }
}
