public import CanonicalJSON
public import Encodings
public import SignedDocuments

/// The accounting node's word that one call is within every budget of its chain, and was debited ([DLG-9]).
///
/// Secured with `eddsa-jcs-2022`, as everything that is our own. `Specs/delegation.md` gives the format.
public struct DelegationTicket: Sendable, Equatable {
    public static let maximumBytes = 8192
    /// The longest that one is good for, in seconds.
    public static let maximumLifetimeSeconds: Int64 = 600

    /// The whole document with its proof.
    public let document: JSONObject
    /// The debit's UUID.
    public let id: String
    /// The accounting node.
    public let issuer: DIDKey
    /// Who acts.
    public let agent: DIDKey
    /// The links that were debited, from the root to the leaf.
    public let chain: [CID]
    public let call: CallArguments
    /// Whom the invocation named as its recipient.
    public let seller: DIDKey?
    public let issuedAt: Timestamp
    public let expires: Timestamp

    static let contexts: JSONValue = [
        "https://w3id.org/security/data-integrity/v2", "https://www.w3.org/ns/credentials/undefined-terms/v2",
    ]

    private static let members: Set<String> = [
        "@context", "id", "type", "issuer", "agent", "chain", "request", "amount", "unit", "call", "seller", "issuedAt",
        "expires", "proof",
    ]

    /// Reads a ticket's shape.
    /// - Throws: `DelegationError` with `.ticketMalformed`.
    public init(document: JSONObject) throws(DelegationError) {
        let malformed = DelegationError(.ticketMalformed, "the ticket does not have the members of one")
        guard document.keys.allSatisfy(Self.members.contains), document["@context"] == Self.contexts,
            document["type"] == ["DelegationTicket"], document["proof"]?.objectValue != nil
        else { throw malformed }
        func text(_ name: String) throws(DelegationError) -> String {
            guard let text = document[name]?.stringValue, text.utf8.count <= 256 else { throw malformed }
            return text
        }
        func time(_ name: String) throws(DelegationError) -> Timestamp {
            guard let time = try? Timestamp(rfc3339: try text(name)) else { throw malformed }
            return time
        }
        func did(_ name: String) throws(DelegationError) -> DIDKey {
            guard let did = try? DIDKey(parsing: try text(name)) else { throw malformed }
            return did
        }
        guard let links = document["chain"]?.arrayValue, links.count <= DelegationChain.maximumLinks,
            let request = document["request"]?.objectValue, request.count == 3,
            let method = request["method"]?.stringValue, let target = request["target"]?.stringValue,
            (1...CallArguments.maximumTargetBytes).contains(target.utf8.count),
            let digest = try? MultihashDigest.decode(request["digest"]?.stringValue ?? ""),
            let amount = UInt64(try text("amount")), String(amount) == document["amount"]?.stringValue,
            let call = try? Multibase.decode(try text("call"), maximumBytes: 32)
        else { throw malformed }
        var chain: [CID] = []
        for link in links { chain.append(try CID(parsing: link.stringValue ?? "")) }
        let id = try text("id")
        guard id.hasPrefix("urn:uuid:"), id.utf8.count == 45 else { throw malformed }
        self.id = String(id.dropFirst(9))
        issuer = try did("issuer")
        agent = try did("agent")
        seller = document["seller"] == nil ? nil : try did("seller")
        self.chain = chain
        self.call = CallArguments(
            amount: amount,
            unit: try text("unit"),
            depth: chain.count,
            method: method,
            target: target,
            digest: digest,
            call: call
        )
        issuedAt = try time("issuedAt")
        expires = try time("expires")
        self.document = document
    }

    /// Reads a ticket from JSON of at most ``maximumBytes``.
    public init(bytes: [UInt8]) throws(DelegationError) {
        let limits = JSONLimits(maximumBytes: Self.maximumBytes, maximumDepth: 6, maximumValues: 128)
        guard let object = (try? JSONValue.parse(bytes, limits: limits))?.objectValue else {
            throw DelegationError(.ticketMalformed, "a ticket is a JSON object of at most \(Self.maximumBytes) bytes")
        }
        try self.init(document: object)
    }

    /// Signs a ticket for a debit.
    /// - Parameter id: the debit's UUID.
    public static func issue(
        id: String,
        agent: DIDKey,
        chain: [CID],
        call: CallArguments,
        seller: DIDKey?,
        issuedAt: Timestamp,
        expires: Timestamp,
        by signer: DocumentSigner
    ) throws -> DelegationTicket {
        var document = JSONObject()
        document["@context"] = contexts
        document["id"] = .string("urn:uuid:\(id)")
        document["type"] = ["DelegationTicket"]
        document["issuer"] = .string(signer.did.string)
        document["agent"] = .string(agent.string)
        document["chain"] = .array(chain.map { .string($0.description) })
        document["request"] = [
            "method": .string(call.method), "target": .string(call.target),
            "digest": .string(MultihashDigest.encode(call.digest)),
        ]
        document["amount"] = .string(String(call.amount))
        document["unit"] = .string(call.unit)
        document["call"] = .string(Multibase.encode(call.call, as: .base64url))
        if let seller { document["seller"] = .string(seller.string) }
        document["issuedAt"] = .string(issuedAt.rfc3339)
        document["expires"] = .string(expires.rfc3339)
        return try DelegationTicket(document: DataIntegrity.sign(document, by: signer, created: issuedAt))
    }

    /// The document as compact JSON.
    public var bytes: [UInt8] { JSONValue.object(document).serialized() }

    /// Checks the ticket against the invocation that it came with.
    ///
    /// - Parameter node: whose ticket it must be.
    /// - Throws: `DelegationError`: `.ticketWrongNode`, `.ticketForged`, `.ticketExpired`, `.ticketMismatch`.
    public func verify(
        for invocation: Invocation,
        chain links: [CID],
        node: DIDKey,
        now: Timestamp
    ) throws(DelegationError) {
        guard issuer == node else {
            throw DelegationError(
                .ticketWrongNode,
                "the ticket is of \(issuer); \(node) keeps the account",
                key: issuer
            )
        }
        let arguments = try CallArguments(invocation.arguments)
        guard agent == invocation.issuer, chain == links, call == arguments, seller == invocation.recipient else {
            throw DelegationError(.ticketMismatch, "the ticket is for another call", key: invocation.issuer)
        }
        guard now < expires, expires.milliseconds(since: issuedAt) <= Self.maximumLifetimeSeconds * 1000,
            issuedAt <= now.adding(seconds: 60)
        else {
            throw DelegationError(.ticketExpired, "the ticket was good until \(expires.rfc3339)", key: issuer)
        }
        let proof: VerifiedProof
        do {
            proof = try DataIntegrity.verify(document)
        } catch {
            throw DelegationError(.ticketForged, "the ticket is not signed: \(error.message)", key: issuer)
        }
        guard proof.signer == issuer else {
            throw DelegationError(
                .ticketForged,
                "the ticket is signed by \(proof.signer), not by \(issuer)",
                key: issuer
            )
        }
    }

    public static func == (left: DelegationTicket, right: DelegationTicket) -> Bool { left.document == right.document }
}
