internal import CanonicalJSON
internal import Encodings
internal import Passports
internal import SignedDocuments
internal import TransparencyLog

/// What a vault puts the issuer's keys to ([VLT-6]): only what a node has to sign, in this node's name. Who took over the
/// node can have wrong passports signed while it is connected, but nothing of another kind: no request, no token for a
/// stranger's protocol, no document in another's name.
struct SigningPolicy {
    let node: DIDKey
    let p256: DIDKey

    /// What was found to be signed, for the log of signatures.
    struct Finding: Equatable {
        /// Such as `AgentPassportCredential` or `checkpoint`.
        var kind: String
        /// The document's id or subject, where it has one.
        var subject: String?
    }

    /// The types of documents, and where each says whose it is.
    private static let issuers: [String: String?] = [
        "VerifiableCredential": "issuer", "PaidCallReceipt": "seller", "DelegationTicket": "issuer",
        "DelegationRevocations": "issuer", "MintLiabilities": nil, "MintmarkRecord": "author", "MintmarkStamp": "entry",
    ]
    private static let tokenTypes: Set<String> = ["vc+jwt", "dc+sd-jwt", "statuslist+jwt"]
    private static let limits = JSONLimits(
        maximumBytes: VaultFrame.maximumBytes,
        maximumDepth: 32,
        maximumValues: 100_000
    )

    /// - Parameter did: of the key that was named.
    /// - Throws: `VaultError` `.refused`.
    func check(_ input: SigningInput, by key: VaultKeyName, did: DIDKey) throws(VaultError) -> Finding {
        switch (input, key) {
        case (.document(.eddsaRDFC2022, let proof, let document), .node):
            return try checkQuads(proof: proof, document: document, did: did)
        case (.document(let suite, let proof, let document), _) where suite != .eddsaRDFC2022:
            guard suite.keyKind == did.kind else { throw Self.refusal("the suite is not of this key's kind") }
            return try check(document: document, proof: proof, suite: suite, key: key, did: did)
        case (.token(let bytes), .node), (.token(let bytes), .p256): return try check(token: bytes, did: did)
        case (.note(let bytes), .node): return try check(note: bytes)
        case (.delegation(let bytes), .node): return try check(delegation: bytes, did: did)
        default: throw Self.refusal("no node signs this with that key")
        }
    }

    private static func refusal(_ why: String) -> VaultError { VaultError(.refused, "nothing was signed: \(why)") }

    private static func object(_ bytes: [UInt8], _ what: String) throws(VaultError) -> JSONObject {
        guard let object = (try? JSONValue.parse(bytes, limits: limits))?.objectValue else {
            throw refusal("\(what) is no JSON object")
        }
        return object
    }

    // MARK: Documents

    private func check(
        document: [UInt8],
        proof: [UInt8],
        suite: Cryptosuite,
        key: VaultKeyName,
        did: DIDKey
    ) throws(VaultError) -> Finding {
        let proof = try Self.object(proof, "the proof")
        guard proof["type"] == "DataIntegrityProof", proof["cryptosuite"]?.stringValue == suite.rawValue,
            proof["proofPurpose"] == "assertionMethod", proof["proofValue"] == nil,
            proof["verificationMethod"]?.stringValue == did.verificationMethod
        else { throw Self.refusal("the proof is not one of \(did)") }
        let document = try Self.object(document, "the document")
        guard document["proof"] == nil else { throw Self.refusal("the document carries a proof") }
        if case .did = key { return try check(entry: document) }
        let types = (document["type"].map { $0.arrayValue ?? [$0] } ?? []).compactMap(\.stringValue)
        guard let type = types.first(where: { Self.issuers[$0] != nil }), let member = Self.issuers[type] else {
            throw Self.refusal("a document of type \(types.joined(separator: ", ").prefix(80)) is not known")
        }
        if let member {
            let issuer = document[member]?.stringValue ?? document[member]?["id"]?.stringValue
            guard issuer == did.string else { throw Self.refusal("the document is in another's name") }
        }
        return Finding(kind: types.last ?? type, subject: document["id"]?.stringValue)
    }

    /// An entry of a did:webvh's log.
    private func check(entry: JSONObject) throws(VaultError) -> Finding {
        guard let version = entry["versionId"]?.stringValue, entry["versionTime"]?.stringValue != nil,
            entry["parameters"]?.objectValue != nil, entry["state"]?.objectValue != nil, entry["type"] == nil
        else { throw Self.refusal("the key of a did:webvh signs entries of its log alone") }
        return Finding(kind: "did-entry", subject: version)
    }

    // MARK: Linked data

    /// In canonical N-Quads the lines are looked for that say the issuer, the type and the key.
    private func checkQuads(proof: [UInt8], document: [UInt8], did: DIDKey) throws(VaultError) -> Finding {
        guard let proof = String(validating: proof, as: UTF8.self),
            let document = String(validating: document, as: UTF8.self)
        else { throw Self.refusal("the document is not UTF-8") }
        func objects(_ text: String, _ predicate: String) -> [Substring] {
            let marker = " <\(predicate)> "
            return text.split(separator: "\n").compactMap { line in
                line.firstRange(of: marker).map { line[$0.upperBound...].dropLast(2) }
            }
        }
        guard
            objects(proof, "https://w3id.org/security#verificationMethod") == ["<\(did.verificationMethod)>"],
            objects(proof, "https://w3id.org/security#proofPurpose") == ["<https://w3id.org/security#assertionMethod>"]
        else { throw Self.refusal("the proof is not one of \(did)") }
        guard objects(document, "https://www.w3.org/2018/credentials#issuer") == ["<\(did)>"] else {
            throw Self.refusal("the credential is in another's name")
        }
        let types = objects(document, "http://www.w3.org/1999/02/22-rdf-syntax-ns#type")
        guard types.contains("<https://www.w3.org/2018/credentials#VerifiableCredential>") else {
            throw Self.refusal("only credentials are signed as linked data")
        }
        return Finding(kind: "VerifiableCredential", subject: nil)
    }

    // MARK: Tokens, notes, delegations

    private func check(token bytes: [UInt8], did: DIDKey) throws(VaultError) -> Finding {
        let parts = String(decoding: bytes, as: UTF8.self).split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let head = try? Base64URL.decode(String(parts[0])),
            let body = try? Base64URL.decode(String(parts[1]))
        else { throw Self.refusal("a token is a header and a payload") }
        let (header, payload) = (try Self.object(head, "the header"), try Self.object(body, "the payload"))
        guard header["alg"]?.stringValue == did.algorithm.rawValue else {
            throw Self.refusal("the token is not one of \(did)")
        }
        if header["typ"] == "JOSE", header["kid"]?.stringValue == did.thumbprint {
            guard AgentCard.isOne(payload), payload["signatures"] == nil else {
                throw Self.refusal("a token of type JOSE is the card of an agent")
            }
            return Finding(kind: "agent-card", subject: payload["name"]?.stringValue)
        }
        guard header["kid"]?.stringValue == did.verificationMethod else {
            throw Self.refusal("the token is not one of \(did)")
        }
        guard let type = header["typ"]?.stringValue else {
            // The offers and receipts of x402 are the tokens without a type.
            guard payload["version"] == 1, payload["resourceUrl"]?.stringValue != nil,
                payload["network"]?.stringValue != nil
            else { throw Self.refusal("a token without a type is an offer or a receipt of x402") }
            return Finding(kind: "x402", subject: payload["resourceUrl"]?.stringValue)
        }
        guard Self.tokenTypes.contains(type) else {
            throw Self.refusal("a token of type \(type.prefix(64)) is not known")
        }
        let issuer = payload["iss"]?.stringValue ?? payload["iss"]?["id"]?.stringValue
        guard issuer == did.string else { throw Self.refusal("the token is in another's name") }
        return Finding(kind: type, subject: payload["jti"]?.stringValue ?? payload["sub"]?.stringValue)
    }

    private func check(note bytes: [UInt8]) throws(VaultError) -> Finding {
        guard let text = String(validating: bytes, as: UTF8.self), let checkpoint = try? Checkpoint(text: text),
            checkpoint.text == text
        else { throw Self.refusal("of notes only checkpoints are signed") }
        return Finding(kind: "checkpoint", subject: "\(checkpoint.origin) \(checkpoint.size)")
    }

    private func check(delegation bytes: [UInt8], did: DIDKey) throws(VaultError) -> Finding {
        guard let item = try? CBOR.decode(bytes), case .map(let members) = item, members.count == 2,
            let member = members.first(where: { pair in
                if case .text(let name) = pair.key { return name.hasPrefix("ucan/") }
                return false
            }),
            case .text(let name) = member.key, name == "ucan/dlg@1.0.0" || name == "ucan/inv@1.0.0",
            case .map(let payload) = member.value,
            payload.contains(where: { $0.key == .text("iss") && $0.value == .text(did.string) })
        else { throw Self.refusal("this is no delegation or invocation of \(did)") }
        return Finding(kind: name, subject: nil)
    }
}
