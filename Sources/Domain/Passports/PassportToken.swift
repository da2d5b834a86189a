internal import CanonicalJSON
internal import Encodings
internal import SignedDocuments

/// How a passport stands in a token, and how it is read from one.
enum PassportToken {
    /// The type of credential in an SD-JWT VC (`vct`).
    static let credentialType = "urn:mintmark:agent-passport:1"

    /// A reason for what makes a token unreadable.
    static func reason(_ error: DocumentError) -> PassportReason {
        switch error.code {
        case .unsupportedProof, .wrongTokenType: PassportReason(.unsupportedProof, error.message)
        case claimsContradict: PassportReason(.claimsContradict, error.message)
        default: PassportReason(.malformed, error.message)
        }
    }

    private static let claimsContradict = DocumentError.Code(rawValue: PassportReason.Code.claimsContradict.rawValue)

    // MARK: vc+jwt

    static func jwt(_ document: JSONObject, by key: DocumentKey) throws(DocumentError) -> String {
        var payload = document
        payload["iss"] = document["issuer"]
        payload["jti"] = document["id"]
        payload["sub"] = document["credentialSubject"]?["id"]
        return try SignedToken.sign(payload, type: PassportForm.jwt.rawValue, by: key)
    }

    /// The credential in the payload of a `vc+jwt`, without what the token says beside it. All that it says must agree
    /// with the credential (VC-JOSE-COSE 1.0, 3.1.3): two readers must never see two passports in one text.
    static func credential(_ payload: JSONObject) throws(DocumentError) -> JSONObject {
        for name in ["vc", "vp", "proof"] where payload.contains(name) {
            throw DocumentError(claimsContradict, "`\(name)` has no place in a credential that is secured by a token")
        }
        var document = payload
        func text(_ value: JSONValue?) -> String? { value?.stringValue ?? value?["id"]?.stringValue }
        let texts: [(String, String?)] = [
            ("iss", text(payload["issuer"])), ("sub", text(payload["credentialSubject"])), ("jti", text(payload["id"])),
        ]
        for (claim, member) in texts {
            guard let value = document.removeValue(forKey: claim) else { continue }
            guard let said = value.stringValue, let member, said.utf8.elementsEqual(member.utf8) else {
                throw DocumentError(claimsContradict, "the claim `\(claim)` says otherwise than the credential")
            }
        }
        for (claim, member) in [("nbf", "validFrom"), ("exp", "validUntil")] {
            guard let value = document.removeValue(forKey: claim) else { continue }
            guard let said = value.int64Value, let text = payload[member]?.stringValue,
                let instant = try? Timestamp(rfc3339: text), instant.secondsSince1970 == said
            else { throw DocumentError(claimsContradict, "the claim `\(claim)` says otherwise than `\(member)`") }
        }
        if let made = document.removeValue(forKey: "iat"), made.int64Value == nil {
            throw DocumentError(claimsContradict, "the claim `iat` must be a number of seconds")
        }
        return document
    }

    // MARK: dc+sd-jwt

    /// Claims that a verifier must always see: hiding one would widen what the passport allows, or who may use it.
    private static let alwaysShown: Set<String> = [
        "iss", "sub", "jti", "iat", "nbf", "exp", "cnf", "vct", "status", "agentId", "spendLimit", "nextKeyHash", "aud",
    ]

    static func sdJWT(_ claims: PassportClaims, by key: DocumentKey, _ now: Timestamp) throws -> String {
        guard claims.status.count == 1, let status = claims.status.first, status.format == .token,
            status.purpose == .revocation
        else { throw PassportReason(.malformed, "an SD-JWT passport has one entry, in a token status list") }
        var builder = SDJWTBuilder()
        var payload: JSONObject = [
            "iss": .string(key.did.string), "sub": .string(claims.subject.string), "jti": .string(claims.id),
            "iat": .integer(now.secondsSince1970), "nbf": .integer(claims.validFrom.secondsSince1970),
            "exp": .integer(claims.validUntil.secondsSince1970), "vct": .string(credentialType),
            "cnf": ["jwk": .object(claims.subject.jwk)],
            "status": ["status_list": ["idx": JSONValue(status.index), "uri": .string(status.listURL)]],
            "agentId": .string(claims.agentID),
            "capability": .array(claims.capabilities.map { builder.hidden(element: .string($0)) }),
        ]
        payload["spendLimit"] = claims.spendLimit?.json
        payload["nextKeyHash"] = claims.nextKeyDigest.map { .string($0) }
        var hidden: [(String, JSONValue)] = [("agentName", .string(claims.name))]
        if let operatorName = claims.operatorName { hidden.append(("operator", .string(operatorName))) }
        // A decoy in place of an operator: the count of digests does not tell whether there is one.
        builder.hide(hidden, in: &payload, decoys: claims.operatorName == nil ? 1 : 0)
        return try builder.issue(payload, type: PassportForm.sdJWT.rawValue, by: key)
    }

    /// The passport that an SD-JWT shows, and where its status stands.
    static func read(_ token: SDJWT) throws(DocumentError) -> (JSONObject, StatusEntry) {
        for disclosure in token.disclosures {
            guard disclosure.name.map(alwaysShown.contains) != true else {
                throw DocumentError(.malformedDisclosure, "`\(disclosure.name ?? "")` must not be hidden from anybody")
            }
        }
        let claims = try token.claims()
        guard claims["vct"]?.stringValue == credentialType else {
            throw DocumentError(.malformedProof, "`vct` must be \(credentialType)")
        }
        for (name, _) in claims where !known.contains(name) {
            throw DocumentError(.malformedProof, "`\(name.prefix(64))` has no place in a passport")
        }
        let holder = try token.holder()
        guard let sub = claims["sub"]?.stringValue, let holder, holder.string == sub else {
            throw DocumentError(claimsContradict, "`cnf` must hold the key that `sub` names")
        }
        var subject: JSONObject = ["id": .string(sub)]
        for name in ["agentId", "agentName", "operator", "capability", "spendLimit", "nextKeyHash"] {
            subject[name] = claims[name]
        }
        var document = JSONObject()
        document["@context"] = Passport.contexts
        document["id"] = claims["jti"]
        document["type"] = ["VerifiableCredential", "AgentPassportCredential"]
        document["issuer"] = claims["iss"]
        document["validFrom"] = try instant(claims["nbf"], "nbf")
        document["validUntil"] = try instant(claims["exp"], "exp")
        document["credentialSubject"] = .object(subject)
        return (document, try status(claims["status"]))
    }

    private static let known: Set<String> = alwaysShown.union(["agentName", "operator", "capability"]).subtracting([
        "aud"
    ])

    private static func instant(_ value: JSONValue?, _ name: String) throws(DocumentError) -> JSONValue {
        guard let seconds = value?.int64Value, (0...253_402_300_799).contains(seconds) else {
            throw DocumentError(.malformedProof, "`\(name)` must be a number of seconds")
        }
        return .string(Timestamp(secondsSince1970: seconds).rfc3339)
    }

    private static func status(_ value: JSONValue?) throws(DocumentError) -> StatusEntry {
        guard let list = value?["status_list"], let url = list["uri"]?.stringValue, StatusEntry.isListURL(url),
            let index = list["idx"]?.int64Value, (0..<Int64(StatusBitmap.maximumEntries)).contains(index)
        else {
            throw DocumentError(.malformedProof, "`status.status_list` must hold `idx` and the `uri` of the list")
        }
        return StatusEntry(purpose: .revocation, listURL: url, index: Int(index), format: .token)
    }
}
