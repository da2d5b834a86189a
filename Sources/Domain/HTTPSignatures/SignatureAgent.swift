/// Where the keys of an automated client are found, as its `Signature-Agent` header says
/// (draft-meunier-webbotauth-httpsig-protocol, "Key Distribution and Discovery").
public struct SignatureAgent: Hashable, Sendable {
    /// How ``uri`` leads to keys. The draft's third way, `cimd`, is not followed here.
    public enum Kind: String, Sendable {
        /// The origin's well-known directory.
        case directory
        /// The JSON Web Key Set itself.
        case keySet = "jwks_uri"
    }

    /// Where a directory stands, below its origin.
    public static let directoryPath = "/.well-known/http-message-signatures-directory"
    /// The media type of a directory.
    public static let directoryMediaType = "application/http-message-signatures-directory+json"
    /// The longest URI read, in bytes.
    public static let maximumURIBytes = 512

    public let kind: Kind
    /// As the header names it; of a directory the origin alone.
    public let uri: String
    /// Where the keys are fetched.
    public let keysURL: String
    /// What a verified signature stands for: ``keysURL`` without a query.
    public let identifier: String

    /// - Throws: `HTTPSignatureError` with `.badSignatureAgent` where the URI is too long, no absolute http(s) URI, or, of a
    ///   directory, more than an origin.
    public init(_ kind: Kind, uri: String) throws(HTTPSignatureError) {
        let refusal = HTTPSignatureError(
            .badSignatureAgent,
            kind == .directory
                ? "a key directory is named by its origin alone, such as https://node.example"
                : "a key set is named by an absolute URI of at most \(Self.maximumURIBytes) bytes"
        )
        guard uri.utf8.count <= Self.maximumURIBytes, !uri.utf8.contains(where: { $0 == 0x22 || $0 == 0x5C }),
            let parts = try? TargetParts(uri)
        else { throw refusal }
        let origin = "\(parts.scheme)://\(parts.authority)"
        switch kind {
        case .directory:
            guard parts.path == "/", parts.query == nil else { throw refusal }
            self.uri = origin
            keysURL = origin + Self.directoryPath
            identifier = keysURL
        case .keySet:
            self.uri = uri
            keysURL = origin + parts.path + (parts.query ?? "")
            identifier = origin + parts.path
        }
        self.kind = kind
    }

    /// The origin of ``keysURL``, such as `https://node.example`.
    public var origin: String {
        guard let parts = try? TargetParts(keysURL) else { return keysURL }
        return "\(parts.scheme)://\(parts.authority)"
    }

    /// The `@authority` of ``keysURL``.
    public var authority: String { (try? TargetParts(keysURL))?.authority ?? "" }

    /// Reads one member of the header.
    ///
    /// - Returns: nil where it is of a type that is not followed here: such a member is passed over.
    init?(_ member: FieldMember) throws(HTTPSignatureError) {
        guard case .item(let item) = member, let uri = item.value.string else {
            throw HTTPSignatureError(.badSignatureAgent, "a member of `Signature-Agent` is a string that holds a URI")
        }
        switch item.parameters["type"] {
        case nil, .token(Kind.directory.rawValue): try self.init(.directory, uri: uri)
        case .token(Kind.keySet.rawValue): try self.init(.keySet, uri: uri)
        default: return nil
        }
    }

    /// The member as it is written: a directory without a type, as all verifiers know it.
    var item: FieldItem {
        var item = FieldItem(value: .string(uri))
        if kind == .keySet { item.parameters.set("type", .token(kind.rawValue)) }
        return item
    }
}
