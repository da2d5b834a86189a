public import CanonicalJSON
import Encodings
public import SignedDocuments

/// An A2A 1.0 agent card with its signatures (specification 4.4.1, 8.4): what an agent, or a node, says of itself to whoever
/// speaks A2A. A signature is a detached JWS over the canonical form (RFC 8785) of the card without `signatures`.
///
/// Ours are ASCII, without empty members and without numbers, because implementations differ in how they write those.
public struct AgentCard: Sendable {
    /// The longest card read, in bytes.
    public static let maximumBytes = 64 * 1_024
    public static let maximumSignatures = 8
    /// What a header's protected part may have, in bytes of base64url.
    private static let maximumHeaderBytes = 4_096

    /// One of the card's signatures.
    public struct Signature: Sendable {
        /// Which key it says it is by: in ours the key's thumbprint.
        public let keyID: String
        /// Where it says its key is found; never followed here.
        public let keysURL: String?
        let protected: String
        let bytes: String
    }

    public let document: JSONObject
    public let signatures: [Signature]

    /// Reads a card; nothing in it is to be believed before ``problem(by:)``.
    ///
    /// - Throws: `DocumentError` with `.malformedProof`, or `.unsupportedProof` where a signature asks for an algorithm that is
    ///   no signature of a key pair (`none`, an HMAC), brings its key along, or asks for an extension.
    public init(_ document: JSONObject) throws(DocumentError) {
        guard Self.isOne(document) else {
            throw DocumentError(.malformedProof, "an agent card has `name`, `supportedInterfaces` and `skills`")
        }
        let list = document["signatures"]?.arrayValue ?? []
        guard document["signatures"] == nil || !list.isEmpty, list.count <= Self.maximumSignatures else {
            throw DocumentError(
                .malformedProof,
                "a card has 1 to \(Self.maximumSignatures) `signatures`, or none at all"
            )
        }
        var signatures: [Signature] = []
        for json in list { signatures.append(try Self.signature(json)) }
        self.document = document
        self.signatures = signatures
    }

    /// - Throws: as ``init(_:)``; `.malformedProof` where the bytes are no JSON object of at most ``maximumBytes``.
    public init(bytes: [UInt8]) throws(DocumentError) {
        let limits = JSONLimits(maximumBytes: Self.maximumBytes, maximumDepth: 16, maximumValues: 8_192)
        guard let document = (try? JSONValue.parse(bytes, limits: limits))?.objectValue else {
            throw DocumentError(.malformedProof, "a card is a JSON object of at most \(Self.maximumBytes) bytes")
        }
        try self.init(document)
    }

    /// Whether a document looks like a card, for whoever is given one without being told what it is.
    public static func isOne(_ document: JSONObject) -> Bool {
        document["name"]?.stringValue != nil && document["supportedInterfaces"]?.arrayValue != nil
            && document["skills"]?.arrayValue != nil
    }

    private static func signature(_ json: JSONValue) throws(DocumentError) -> Signature {
        guard let protected = json["protected"]?.stringValue, let bytes = json["signature"]?.stringValue,
            protected.utf8.count <= maximumHeaderBytes, bytes.utf8.count <= maximumHeaderBytes,
            !protected.contains("."), !bytes.contains("."), let head = try? Base64URL.decode(protected),
            let header = (try? JSONValue.parse(head))?.objectValue
        else {
            throw DocumentError(
                .malformedProof,
                "a signature has `protected` and `signature`, base64url without padding"
            )
        }
        let name = header["alg"]?.stringValue ?? ""
        guard name == JWSAlgorithm.edDSA.rawValue || name == JWSAlgorithm.es256.rawValue else {
            throw DocumentError(.unsupportedProof, "a card signed with \"\(name.prefix(20))\" is not accepted")
        }
        for member in ["crit", "jwk", "x5c", "x5u", "x5t", "x5t#S256", "b64", "zip", "enc"]
        where header.contains(member) {
            throw DocumentError(.unsupportedProof, "`\(member)` in a card's signature is not accepted")
        }
        // What stands outside the signature steers nothing.
        if let open = json["header"]?.objectValue {
            for member in open.keys where ["alg", "kid", "jku", "jwk", "crit", "typ"].contains(member) {
                throw DocumentError(.unsupportedProof, "`\(member)` stands in a signature's unprotected header")
            }
        }
        guard let keyID = header["kid"]?.stringValue, (1...512).contains(keyID.utf8.count) else {
            throw DocumentError(.malformedProof, "a card's signature names its key with `kid`")
        }
        return Signature(
            keyID: keyID,
            keysURL: header["jku"]?.stringValue,
            protected: protected,
            bytes: bytes
        )
    }

    // MARK: Verifying

    /// Why the card is not signed by this key; nil where it is.
    ///
    /// A signature names the key by its thumbprint, its did:key or that key's URL, or as `name` says; one under another name
    /// is another's and says nothing of this key.
    public func problem(by key: DIDKey, named name: String? = nil) -> DocumentError? {
        let names: Set<String> = [name ?? key.thumbprint, key.thumbprint, key.string, key.verificationMethod]
        let own = signatures.filter { names.contains($0.keyID) }
        guard !own.isEmpty else {
            return DocumentError(
                .wrongSigner,
                signatures.isEmpty ? "the card is not signed" : "no signature of the card names the key \(key)"
            )
        }
        let payloads = Self.payloads(document)
        for signature in own {
            // One that names the key and does not fit is a forgery or a change: another that fits does not heal it.
            let fits = payloads.contains { payload in
                guard
                    let jws = try? JWS(
                        compact: "\(signature.protected).\(Base64URL.encode(payload)).\(signature.bytes)",
                        maximumBytes: 4 * Self.maximumBytes
                    )
                else { return false }
                return jws.isSigned(by: key)
            }
            guard fits else {
                return DocumentError(.badSignature, "the card was changed, or its signature is not by \(key)")
            }
        }
        return nil
    }

    /// Why no key of a set signed the card; nil where one did. A signature that names a key of the set must be by that key.
    public func problem(by set: PublicKeySet) -> DocumentError? {
        var first: DocumentError?
        for (name, key) in set.named where signatures.contains(where: { $0.keyID == name }) {
            guard let problem = problem(by: key, named: name) else { return nil }
            first = first ?? problem
        }
        return first ?? DocumentError(.wrongSigner, "no signature of the card names a key of the set")
    }

    /// The forms that signers sign: the card as it stands, and without members that hold nothing, which A2A's own libraries
    /// leave out (8.4.1). Both say the same.
    private static func payloads(_ document: JSONObject) -> [[UInt8]] {
        var card = document
        card.removeValue(forKey: "signatures")
        var forms: [[UInt8]] = []
        if let whole = try? JSONValue.object(card).canonicalized() { forms.append(whole) }
        if let slim = slim(.object(card)), let bytes = try? slim.canonicalized(), bytes != forms.first {
            forms.append(bytes)
        }
        return forms
    }

    private static func slim(_ value: JSONValue) -> JSONValue? {
        switch value {
        // `nil` in a conditional would be JSON's null here.
        case .string(""): return .none
        case .array(let items):
            let kept = items.compactMap(slim)
            if kept.isEmpty { return .none }
            return .some(.array(kept))
        case .object(let object):
            var kept = JSONObject()
            for (name, member) in object {
                if name == "required", member == false { continue }
                kept[name] = slim(member)
            }
            if kept.isEmpty { return .none }
            return .some(.object(kept))
        default: return value
        }
    }

    // MARK: Signing

    /// Signs a card once for each key.
    ///
    /// - Parameters:
    ///   - card: without `signatures`; see ``plain(_:)`` for what texts it may hold.
    ///   - keys: with the address of the set that each is published in.
    /// - Throws: `DocumentError` with `.notSignable`, also where a member holds nothing, a number, or what is not ASCII.
    public static func sign(
        _ card: JSONObject,
        by keys: [(key: DocumentKey, keysURL: String)]
    ) throws(DocumentError) -> AgentCard {
        guard isPlain(.object(card)), let payload = try? JSONValue.object(card).canonicalized() else {
            throw DocumentError(.notSignable, "a card's members are texts of ASCII, true, or lists and objects of them")
        }
        var signed: [JSONValue] = []
        for (key, url) in keys {
            let header: JSONObject = [
                "alg": .string(key.algorithm.rawValue), "typ": "JOSE", "kid": .string(key.did.thumbprint),
                "jku": .string(url),
            ]
            let protected = Base64URL.encode(header.serialized())
            do {
                let bytes = try key.sign(.token(Array("\(protected).\(Base64URL.encode(payload))".utf8)))
                signed.append(["protected": .string(protected), "signature": .string(Base64URL.encode(bytes))])
            } catch {
                throw DocumentError(.notSignable, "the card cannot be signed: \(error)")
            }
        }
        var document = card
        if !signed.isEmpty { document["signatures"] = .array(signed) }
        return try AgentCard(document)
    }

    /// A text as a card can hold it: printable ASCII, `?` for what is not, at most so many characters.
    public static func plain(_ text: String, maximum: Int = 512) -> String {
        let characters = text.map { character -> Character in
            guard let ascii = character.asciiValue, (0x20...0x7E).contains(ascii) else { return "?" }
            return character
        }
        return String(characters.prefix(maximum))
    }

    private static func isPlain(_ value: JSONValue) -> Bool {
        switch value {
        case .string(let text): !text.isEmpty && text.utf8.allSatisfy { (0x20...0x7E).contains($0) }
        case .array(let items): !items.isEmpty && items.allSatisfy(isPlain)
        case .object(let object): !object.isEmpty && object.allSatisfy { isPlain(.string($0.0)) && isPlain($0.1) }
        case .bool(let flag): flag
        default: false
        }
    }
}
