public import Cryptography
public import Encodings
public import SignedDocuments

/// Request signatures in the Web Bot Auth profile (draft-meunier-webbotauth-httpsig-protocol), by which sites that know
/// nothing of passports tell one automated client from another. `Specs/showing.md` says what ours cover and what a
/// stranger's is good for.
public enum WebBotAuth {
    public static let tag = "web-bot-auth"
    /// The label we write, of the signature and of its member of `Signature-Agent`; any is read.
    public static let label = "bot"
    /// The tag of signatures over a directory's answer.
    public static let directoryTag = "http-message-signatures-directory"
    /// The longest time between `created` and `expires` that is accepted, in seconds: what the draft recommends.
    public static let maximumLifetimeSeconds: Int64 = 86_400
    /// Random bytes of a nonce: some verifiers take no other number.
    public static let nonceBytes = 64

    // MARK: Signing

    /// Signs a request as the client will send it, beside whatever other signature it has.
    ///
    /// Covered are `@authority`, all that ``HTTPSignatures/requiredComponents(_:)`` lists, and the member of
    /// `Signature-Agent`, so that the signature serves for this request alone.
    ///
    /// - Parameters:
    ///   - agent: where the signer's key is published.
    ///   - expires: at most ``HTTPSignatures/maximumLifetimeSeconds`` after `created`.
    /// - Returns: the values of the headers `Signature-Agent`, `Signature-Input` and `Signature`.
    public static func sign(
        _ facts: RequestFacts,
        by signer: DocumentSigner,
        agent: SignatureAgent,
        created: Timestamp,
        expires: Timestamp,
        nonce: [UInt8] = SecureRandom.bytes(nonceBytes)
    ) throws -> (signatureAgent: String, signatureInput: String, signature: String) {
        let lifetime = expires.secondsSince1970 - created.secondsSince1970
        guard (1...HTTPSignatures.maximumLifetimeSeconds).contains(lifetime), nonce.count == nonceBytes else {
            throw HTTPSignatureError(
                .badParameter,
                "`expires` must lie 1 to \(HTTPSignatures.maximumLifetimeSeconds) s after `created`, and a nonce have \(nonceBytes) bytes"
            )
        }
        let header = "\(label)=\(agent.item.serialized)"
        var facts = facts
        facts.headers.removeAll { $0.name.lowercased() == "signature-agent" }
        facts.headers.append(("Signature-Agent", header))
        var items = (["@authority"] + HTTPSignatures.requiredComponents(facts)).map { FieldItem(value: .string($0)) }
        var member = FieldItem(value: .string("signature-agent"))
        member.parameters.set("key", .string(label))
        items.append(member)
        var parameters = FieldParameters()
        parameters.set("created", .integer(created.secondsSince1970))
        parameters.set("expires", .integer(expires.secondsSince1970))
        parameters.set("keyid", .string(signer.did.thumbprint))
        parameters.set("alg", .string("ed25519"))
        parameters.set("nonce", .string(Base64.encode(nonce)))
        parameters.set("tag", .string(tag))
        let input = HTTPSignatures.innerList(items, parameters)
        let base = try SignatureBase.build(items: items, parameters: input, facts: facts)
        let signature = try signer.key.sign(.request(base))
        return (header, "\(label)=\(input)", "\(label)=\(BareItem.bytes(signature).serialized)")
    }

    /// Signs a directory's answer once for each key: the proof that whoever serves the keys holds them, for this authority
    /// and these bytes alone (the draft's "Possession Proof on the Directory Response").
    ///
    /// - Parameters:
    ///   - authority: of the node's own public URL; never what a request names, or another could borrow the proof.
    ///   - contentDigest: the value of `Content-Digest`, over the body.
    /// - Returns: the values of `Signature-Input` and `Signature`; nil where there is no signer.
    public static func signDirectory(
        authority: String,
        contentDigest: String,
        by signers: [DocumentSigner],
        created: Timestamp,
        expires: Timestamp
    ) throws -> (signatureInput: String, signature: String)? {
        guard !signers.isEmpty else { return nil }
        var inputs: [String] = []
        var signatures: [String] = []
        for (number, signer) in signers.enumerated() {
            var parameters = FieldParameters()
            parameters.set("created", .integer(created.secondsSince1970))
            parameters.set("expires", .integer(expires.secondsSince1970))
            parameters.set("keyid", .string(signer.did.thumbprint))
            parameters.set("tag", .string(directoryTag))
            let input = directoryComponents + parameters.serialized
            let base = directoryBase(authority, contentDigest, input)
            inputs.append("binding\(number)=\(input)")
            signatures.append("binding\(number)=\(BareItem.bytes(try signer.key.sign(.request(base))).serialized)")
        }
        return (inputs.joined(separator: ", "), signatures.joined(separator: ", "))
    }

    static let directoryComponents = #"("@authority";req "content-digest")"#

    static func directoryBase(_ authority: String, _ contentDigest: String, _ input: String) -> [UInt8] {
        Array(
            """
            "@authority";req: \(authority)
            "content-digest": \(contentDigest)
            "@signature-params": \(input)
            """.utf8
        )
    }
}

/// A request's signature in the Web Bot Auth profile, as it was read. Nothing in it is to be believed before
/// ``check(now:)`` and ``isValid(by:)``, the key being one that ``agent`` publishes.
public struct BotSignature: Sendable {
    /// Where its key is said to be; nil where the request does not say, or says it in a way that is not followed here.
    public let agent: SignatureAgent?
    /// The thumbprint of the key (RFC 7638, RFC 8037).
    public let keyID: String
    public let created: Timestamp
    public let expires: Timestamp
    public let nonce: String?
    /// Whether it covers all that a call's signature must, with a nonce and for a minute at most: then it says who made this
    /// call. Another says no more than that its signer sent something to this host.
    public let coversCall: Bool
    private let base: [UInt8]
    private let signature: [UInt8]

    /// Reads the first signature of the request with this profile's tag.
    ///
    /// - Returns: nil where no signature has the tag.
    /// - Throws: `HTTPSignatureError`: `.malformed`, `.unsupportedComponent`, `.notCovered`, `.badParameter`,
    ///   `.unsupportedKey`, `.badSignatureAgent`.
    public init?(_ facts: RequestFacts) throws(HTTPSignatureError) {
        guard let inputText = facts.value("signature-input"), let signatureText = facts.value("signature") else {
            return nil
        }
        let maximum = HTTPSignatures.maximumFieldBytes
        let inputs = try StructuredFieldParser.dictionary(inputText, maximumBytes: maximum)
        let found = inputs.lazy.compactMap { input -> (String, [FieldItem], FieldParameters)? in
            guard case .innerList(let items, let parameters) = input.value,
                parameters["tag"]?.string == WebBotAuth.tag
            else { return nil }
            return (input.key, items, parameters)
        }.first
        guard let (label, items, parameters) = found else { return nil }
        let signatures = try StructuredFieldParser.dictionary(signatureText, maximumBytes: maximum)
        guard case .item(let item)? = signatures.first(where: { $0.key == label })?.value,
            let signature = item.value.bytes
        else { throw HTTPSignatureError(.malformed, "`Signature` lacks the bytes of `\(label)`") }
        let names = try Self.plainNames(items)
        guard names.contains("@authority") || names.contains("@target-uri") else {
            throw HTTPSignatureError(.notCovered, "the signature must cover `@authority` or `@target-uri`")
        }
        agent = try Self.agent(facts, covered: items, label: label)
        guard let created = parameters["created"]?.integer, let expires = parameters["expires"]?.integer,
            (0...253_402_300_799).contains(created), (0...253_402_300_799).contains(expires), expires > created
        else { throw HTTPSignatureError(.badParameter, "`created` and `expires` must be there, in this order") }
        self.created = Timestamp(secondsSince1970: created)
        self.expires = Timestamp(secondsSince1970: expires)
        guard parameters["alg"] == nil || parameters["alg"]?.string == "ed25519", signature.count == 64 else {
            throw HTTPSignatureError(.unsupportedKey, "only ed25519 signatures are checked here")
        }
        guard let keyID = parameters["keyid"]?.string, keyID.utf8.count == 43,
            (try? Base64URL.decode(keyID))?.count == 32
        else { throw HTTPSignatureError(.unsupportedKey, "`keyid` must be the SHA-256 thumbprint of a key") }
        self.keyID = keyID
        nonce = parameters["nonce"]?.string
        let covered = Set(names)
        coversCall =
            HTTPSignatures.requiredComponents(facts).allSatisfy(covered.contains)
            && HTTPSignatures.nonceLength.contains(nonce?.utf8.count ?? 0)
            && expires - created <= HTTPSignatures.maximumLifetimeSeconds
        self.signature = signature
        base = try SignatureBase.build(
            items: items,
            parameters: HTTPSignatures.innerList(items, parameters),
            facts: facts
        )
    }

    /// The components that are covered whole. Any component stands once.
    private static func plainNames(_ items: [FieldItem]) throws(HTTPSignatureError) -> [String] {
        guard Set(items.map(\.serialized)).count == items.count else {
            throw HTTPSignatureError(.malformed, "a component is covered twice")
        }
        var names: [String] = []
        for item in items {
            guard let name = item.value.string, name == name.lowercased() else {
                throw HTTPSignatureError(.unsupportedComponent, "components are lower-case strings")
            }
            if item.parameters.entries.isEmpty { names.append(name) }
        }
        return names
    }

    /// The member of `Signature-Agent` that this signature covers; of several the one with the signature's own label. A
    /// member that is not covered could be anybody's, so that it counts for nothing.
    private static func agent(
        _ facts: RequestFacts,
        covered: [FieldItem],
        label: String
    ) throws(HTTPSignatureError) -> SignatureAgent? {
        guard let text = facts.value("signature-agent") else { return nil }
        // Earlier drafts had one bare string, which deployed clients still send.
        let isBare = text.utf8.first == UInt8(ascii: "\"")
        let members = try StructuredFieldParser.dictionary(
            isBare ? "bare=\(text)" : text,
            maximumBytes: HTTPSignatures.maximumFieldBytes
        )
        let components = covered.filter { $0.value.string == "signature-agent" }
        if isBare {
            guard components.contains(where: { $0.parameters.entries.isEmpty }), let bare = members.first else {
                throw HTTPSignatureError(.notCovered, "the signature must cover `signature-agent`")
            }
            return try SignatureAgent(bare.value)
        }
        let keys = components.compactMap { $0.parameters["key"]?.string }
        guard let key = keys.count == 1 ? keys.first : keys.first(where: { $0 == label }),
            let member = members.first(where: { $0.key == key })
        else {
            throw HTTPSignatureError(.notCovered, "the signature must cover its member of `signature-agent`")
        }
        return try SignatureAgent(member.value)
    }

    /// - Throws: `HTTPSignatureError` with `.fromFuture`, `.expired`, or `.badParameter` where it would hold longer than
    ///   ``WebBotAuth/maximumLifetimeSeconds``.
    public func check(now: Timestamp) throws(HTTPSignatureError) {
        guard expires.secondsSince1970 - created.secondsSince1970 <= WebBotAuth.maximumLifetimeSeconds else {
            throw HTTPSignatureError(.badParameter, "a signature holds for a day at most")
        }
        guard created <= now.adding(seconds: HTTPSignatures.clockSkewSeconds) else {
            throw HTTPSignatureError(.fromFuture, "the signature was made at \(created), our clock says \(now)")
        }
        guard now < expires else {
            throw HTTPSignatureError(.expired, "the signature ended at \(expires), our clock says \(now)")
        }
    }

    /// Whether this key made it over this request.
    public func isValid(by key: DIDKey) -> Bool {
        key.thumbprint == keyID && key.ed25519?.isValid(signature: signature, for: base) == true
    }
}
