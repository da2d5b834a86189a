public import CanonicalJSON
internal import Cryptography
public import Encodings
public import SignedDocuments

/// What a document of a trade says, without its type and signature.
public protocol TradeContent: Sendable, Equatable {
    /// Its `type` member.
    static var type: String { get }
    /// The members it may have besides `type` and `proof`.
    static var known: Set<String> { get }
    /// Who must sign it.
    var signer: DIDKey { get }
    var members: JSONObject { get }
    /// - Throws: `TradeRefusal` with `.malformed`, which names the member.
    init(_ fields: TradeFields) throws(TradeRefusal)
}

/// A document of a trade with its signature checked (`Specs/quote.md`, [QUO-1]): JSON with an `eddsa-jcs-2022` proof by the
/// `did:key` that it names.
public struct Signed<Content: TradeContent>: Sendable, Equatable {
    /// The longest JSON text that is read, in bytes.
    public static var maximumBytes: Int { 32_768 }

    public let content: Content
    /// The whole document with its proof.
    public let document: JSONObject
    /// SHA-256 of the canonical document without its proof: what was said, however often it was signed.
    public let digest: [UInt8]

    /// - Throws: `TradeRefusal` with `.malformed`, `.tooLarge`, `.badSignature`, `.wrongSigner`.
    public init(document: JSONObject) throws(TradeRefusal) {
        try self.init(unchecked: document)
        let signer: DIDKey
        do {
            signer = try DataIntegrity.verify(document).signer
        } catch {
            throw TradeRefusal(.badSignature, error.message)
        }
        guard signer == content.signer else {
            throw TradeRefusal(.wrongSigner, "the document is signed by another than the one it names")
        }
    }

    /// Leaves the signature unchecked.
    init(unchecked document: JSONObject) throws(TradeRefusal) {
        guard document["type"]?.stringValue == Content.type else {
            throw TradeRefusal(.malformed, "`type` must be `\(Content.type)`")
        }
        content = try Content(TradeFields(document, known: Content.known.union(["type", "proof"])))
        self.document = document
        digest = try Self.digest(of: document)
    }

    public init(bytes: [UInt8]) throws(TradeRefusal) { try self.init(document: Self.object(bytes)) }

    /// One whose signature was checked before it was kept in a place of one's own.
    package init(kept bytes: [UInt8]) throws(TradeRefusal) { try self.init(unchecked: Self.object(bytes)) }

    private static func object(_ bytes: [UInt8]) throws(TradeRefusal) -> JSONObject {
        guard bytes.count <= maximumBytes else {
            throw TradeRefusal(.tooLarge, "the document has more than \(maximumBytes) bytes")
        }
        let limits = JSONLimits(maximumBytes: maximumBytes, maximumDepth: 8, maximumValues: 2_048)
        guard let value = try? JSONValue.parse(bytes, limits: limits), let object = value.objectValue else {
            throw TradeRefusal(.malformed, "the document is no JSON object within its bounds")
        }
        return object
    }

    /// - Throws: `TradeRefusal`, also where the content breaks its own rules; `DocumentError` where signing fails.
    public static func sign(_ content: Content, by signer: DocumentSigner, now: Timestamp) throws -> Signed {
        var document: JSONObject = ["type": .string(Content.type)]
        for (name, value) in content.members { document[name] = value }
        return try Signed(document: DataIntegrity.sign(document, by: signer, created: now))
    }

    /// The document as compact JSON.
    public var bytes: [UInt8] { document.serialized() }

    private static func digest(of document: JSONObject) throws(TradeRefusal) -> [UInt8] {
        var unsecured = document
        _ = unsecured.removeValue(forKey: "proof")
        guard let bytes = try? unsecured.canonicalized() else {
            throw TradeRefusal(.malformed, "the document has no canonical form")
        }
        return Hashing.sha256(bytes)
    }
}
