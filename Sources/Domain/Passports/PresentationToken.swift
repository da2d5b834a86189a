public import CanonicalJSON
public import Encodings
public import SignedDocuments

/// A presentation that is the payload of a JWT (VC-JOSE-COSE 1.0, 3.1.2), and what the token says beside it: `aud` is what
/// an embedded proof calls the domain, `nonce` the challenge.
struct PresentationToken: Sendable {
    /// Its `typ`.
    static let type = "vp+jwt"
    private static let dataURL = "data:application/vp+jwt,"

    /// The presentation, without what the token says beside it.
    let document: JSONObject
    /// Who must have signed: `holder`, or `iss` where there is none.
    let presenter: String
    let notBefore: Timestamp?
    private let token: SignedToken
    private let audience: String?
    private let nonce: String?
    private let made: Timestamp?
    private let expires: Timestamp?

    /// The token in the `id` of an `EnvelopedVerifiablePresentation` (Data Model 2.0, 4.13.2).
    static func text(_ id: String?) throws(PassportReason) -> String {
        guard let id, id.utf8.starts(with: dataURL.utf8) else {
            throw PassportReason(.unsupportedProof, "an enveloped presentation is `\(dataURL)` and the token")
        }
        return String(decoding: id.utf8.dropFirst(dataURL.utf8.count), as: UTF8.self)
    }

    /// - Throws: `DocumentError`: those of `SignedToken`, and one with the code `claims-contradict` where the token says
    ///   otherwise than the presentation, or carries a second one.
    init(_ text: String) throws(DocumentError) {
        token = try SignedToken(text, types: [Self.type], maximumBytes: Presentation.maximumBytes)
        var document = token.payload
        for name in ["vp", "vc", "proof"] where document.contains(name) {
            throw Self.contradict("`\(name)` has no place in a presentation that is secured by a token")
        }
        let holder = document["holder"]?.stringValue ?? document["holder"]?["id"]?.stringValue
        let issuer = try Self.text(document.removeValue(forKey: "iss"), "iss")
        if let issuer, let holder, !issuer.utf8.elementsEqual(holder.utf8) {
            throw Self.contradict("the claim `iss` says otherwise than `holder`")
        }
        guard let presenter = holder ?? issuer else {
            throw Self.contradict("neither `holder` nor `iss` says who presents")
        }
        self.presenter = presenter
        if let id = try Self.text(document.removeValue(forKey: "jti"), "jti"),
            document["id"]?.stringValue?.utf8.elementsEqual(id.utf8) != true
        {
            throw Self.contradict("the claim `jti` says otherwise than `id`")
        }
        // For one verifier: who may pass it on to another of a list could show it as its holder.
        let audience = document.removeValue(forKey: "aud")
        let only = audience?.arrayValue.map { $0.count == 1 ? $0[0] : .null } ?? audience
        self.audience = try Self.text(only, "aud")
        nonce = try Self.text(document.removeValue(forKey: "nonce"), "nonce")
        made = try Self.instant(document.removeValue(forKey: "iat"), "iat")
        notBefore = try Self.instant(document.removeValue(forKey: "nbf"), "nbf")
        expires = try Self.instant(document.removeValue(forKey: "exp"), "exp")
        self.document = document
    }

    /// Checks that the presenter signed, with a key for authentication.
    ///
    /// - Throws: as ``SignedToken/verify(issuer:methods:purpose:)``.
    func verify(methods: VerificationMethods) throws(DocumentError) -> VerifiedProof {
        let key = try token.verify(issuer: presenter, methods: methods, purpose: .authentication)
        return VerifiedProof(
            signer: key,
            created: made,
            expires: expires,
            controller: presenter,
            challenge: nonce,
            domain: audience
        )
    }

    private static func text(_ value: JSONValue?, _ name: String) throws(DocumentError) -> String? {
        guard let value else { return nil }
        guard let text = value.stringValue else { throw contradict("the claim `\(name)` must be one text") }
        return text
    }

    private static func instant(_ value: JSONValue?, _ name: String) throws(DocumentError) -> Timestamp? {
        guard let value else { return nil }
        guard let seconds = value.int64Value, (0...253_402_300_799).contains(seconds) else {
            throw contradict("the claim `\(name)` must be a number of seconds")
        }
        return Timestamp(secondsSince1970: seconds)
    }

    private static func contradict(_ message: String) -> DocumentError {
        DocumentError(DocumentError.Code(rawValue: PassportReason.Code.claimsContradict.rawValue), message)
    }
}

extension Presentation {
    /// The `typ` of a presentation that is a token.
    public static var tokenType: String { PresentationToken.type }

    /// Who must be resolved for the signature of a presentation that is a token.
    public var presenterOfToken: String? { token?.presenter }

    /// Signs a presentation as a `vp+jwt`, good for ``maximumAgeSeconds``.
    ///
    /// - Parameter credentials: each with its proof, or an enveloped one.
    /// - Returns: the token.
    /// - Throws: `DocumentError` with `.notSignable`.
    public static func signToken(
        _ credentials: [JSONValue],
        by holder: DocumentKey,
        audience: String,
        nonce: String,
        now: Timestamp
    ) throws(DocumentError) -> String {
        var payload = unsigned(credentials, by: holder)
        payload["iss"] = .string(holder.controller)
        payload["aud"] = .string(audience)
        payload["nonce"] = .string(nonce)
        payload["iat"] = .integer(now.secondsSince1970)
        payload["exp"] = .integer(now.adding(seconds: maximumAgeSeconds).secondsSince1970)
        return try SignedToken.sign(payload, type: tokenType, by: holder, header: ["cty": "vp"])
    }
}
