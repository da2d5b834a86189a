import CanonicalJSON
import Cryptography
import Encodings
public import HTTPSignatures
import SignedDocuments
import Storage
import Synchronization

/// The keys that the node's agents sign requests with, as it publishes them: one directory for the node, and a set of its own
/// for each agent. What is suspended or revoked stands in neither from that moment on.
public final class KeyBoard: Sendable {
    /// The most keys in the node's directory: its answer carries a signature for each in its headers, and proxies bound those
    /// to few kilobytes. Agents beyond, the younger ones, are found by their own sets.
    public static let maximumDirectoryKeys = 16
    /// How long others may keep a set before they ask again, in seconds: so long a key taken out may go on verifying there.
    static let maximumAgeSeconds: Int64 = 60
    /// How long the proof in a directory's headers holds, in seconds.
    static let proofSeconds: Int64 = 3_600
    /// How long a directory is answered from memory, in seconds, so that strangers can't make the node sign without end.
    static let keepSeconds: Int64 = 2

    /// A document with what belongs into its headers.
    struct Published: Sendable {
        var bytes: [UInt8]
        var etag: String
        var headers: [(name: String, value: String)] = []

        init(_ document: JSONObject) {
            bytes = document.serialized()
            etag = "\"\(Hex.encode(Array(Hashing.sha256(bytes).prefix(16))))\""
        }
    }

    private struct Kept: Sendable {
        var published: Published
        var agents: Set<String>
        var keys: [DIDKey]
        var at: Timestamp
    }

    private let database: Database
    private let nodeKeys: NodeKeys
    private let office: PassportOffice
    private let kept = Mutex<Kept?>(nil)

    init(database: Database, nodeKeys: NodeKeys, office: PassportOffice) {
        self.database = database
        self.nodeKeys = nodeKeys
        self.office = office
    }

    // MARK: Publishing

    /// The node's directory: the keys that it keeps for its active agents, the longest registered first.
    func directory() async throws -> Published { try await current().published }

    private func current() async throws -> Kept {
        let now = office.clock.now()
        let records = try await database.read {
            try AgentStore.eldestSigning(limit: Self.maximumDirectoryKeys, in: $0)
        }
        let keys = records.map(\.agent.did)
        // What is remembered is the signing alone: a key that no longer belongs here is gone at once.
        if let known = kept.withLock({ $0 }), known.keys == keys, now >= known.at,
            now < known.at.adding(seconds: Self.keepSeconds)
        {
            return known
        }
        var published = Published(PublicKeySet.document(keys))
        let digest = ContentDigest.header(for: published.bytes)
        let created = Timestamp(secondsSince1970: now.secondsSince1970)
        let signers = try records.compactMap { record in
            try record.sealedKey.map {
                DocumentSigner(try nodeKeys.open($0, agent: record.agent.id, did: record.agent.did))
            }
        }
        published.headers = [("Content-Digest", digest)]
        if let place = place(),
            let proof = try WebBotAuth.signDirectory(
                authority: place.authority,
                contentDigest: digest,
                by: signers,
                created: created,
                expires: created.adding(seconds: Self.proofSeconds)
            )
        {
            published.headers += [("Signature-Input", proof.signatureInput), ("Signature", proof.signature)]
        }
        let fresh = Kept(published: published, agents: Set(records.map(\.agent.id)), keys: keys, at: now)
        kept.withLock { $0 = fresh }
        return fresh
    }

    /// An agent's own set: its current key; empty while it is suspended or revoked, so that who remembers the key drops it,
    /// which a missing set would not make him do.
    ///
    /// - Throws: `IdentityError` with `.agentNotFound`.
    func keySet(of idOrName: String) async throws -> Published {
        let agent = try await database.read { try AgentStore.find(idOrName, in: $0).agent }
        return Published(PublicKeySet.document(agent.state == .active ? [agent.did] : []))
    }

    // MARK: Naming

    /// Where others find an agent's key: the node's directory where it stands there, else the agent's own set.
    ///
    /// - Throws: `IdentityError` with `.invalidRequest` where the node's public URL is plain http beyond this machine, which
    ///   nobody would ask.
    public func signatureAgent(of agent: Agent) async throws -> SignatureAgent {
        let url = office.configuration.publicURL
        if let refusal = ListURLPolicy(allowsLocal: true).refusal(url) {
            throw IdentityError(
                .invalidRequest,
                "keys are published under https, and the node's public URL \(url) is not: \(refusal)"
            )
        }
        if let place = place(), try await current().agents.contains(agent.id) { return place }
        do {
            return try SignatureAgent(.keySet, uri: keySetURL(agent.id))
        } catch {
            throw IdentityError(.internalFailure, "the agent's key set has no address: \(error.message)")
        }
    }

    /// The address of an agent's own set.
    public func keySetURL(_ id: String) -> String {
        "\(office.configuration.publicURL)/agents/\(UUIDText.bare(id))/jwks.json"
    }

    /// The node's directory; nil where its public URL is more than an origin, so that it has none that others would find.
    private func place() -> SignatureAgent? {
        try? SignatureAgent(.directory, uri: office.configuration.publicURL)
    }

    /// A key that this node publishes itself, without asking itself over the network.
    ///
    /// - Returns: nil where the address is not this node's; `.some(nil)` where it is, and the key does not stand there.
    func key(_ thumbprint: String, of agent: SignatureAgent, now: Timestamp) async throws -> DIDKey?? {
        if agent.kind == .directory, agent.keysURL == place()?.keysURL {
            return .some(try PublicKeySet(try await directory().bytes).key(thumbprint, now: now))
        }
        let prefix = "\(office.configuration.publicURL)/agents/"
        guard agent.kind == .keySet, agent.uri.hasPrefix(prefix), agent.uri.hasSuffix("/jwks.json") else { return nil }
        let id = String(agent.uri.dropFirst(prefix.count).dropLast("/jwks.json".count))
        guard let set = try? await keySet(of: UUIDText.urn(id)) else { return .some(nil) }
        return .some(try PublicKeySet(set.bytes).key(thumbprint, now: now))
    }
}
