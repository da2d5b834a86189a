internal import CanonicalJSON
internal import Encodings
public import Passports
public import SignedDocuments
internal import Storage

extension PassportOffice {
    /// The DIDs that this node issues under: its identity, and the P-256 key of the forms that need one.
    public var issuers: [DIDKey] { [issuer] + (p256.map { [$0.did] } ?? []) }

    /// Whether it is one of ``issuers``.
    func isIssuer(_ did: DIDKey) -> Bool { did == issuer || did == p256?.did }

    /// The key that signs a form.
    ///
    /// - Throws: `IdentityError` with `.invalidRequest` where this office has none.
    func key(_ form: PassportForm) throws(IdentityError) -> DocumentKey {
        if form.keyKind == .ed25519 { return DocumentKey(signer) }
        guard let p256 else {
            throw IdentityError(.invalidRequest, "this node has no P-256 key to issue `\(form.rawValue)` with")
        }
        return p256
    }

    /// A passport of this node in another form: the same id, agent, dates and places on the lists, signed anew. Revoking
    /// the passport revokes every form of it.
    ///
    /// - Throws: `IdentityError` with `.passportNotFound`; `.passportFinal` where it is revoked or has lapsed.
    public func passport(_ id: String, form: PassportForm) async throws -> Passport {
        let record = try await passport(id)
        if form == .jcs { return record.passport }
        let now = clock.now()
        guard record.state != .revoked, now < record.passport.validUntil else {
            throw IdentityError(.passportFinal, "the passport is revoked or has lapsed: no other form of it is signed")
        }
        let claims = try Self.claims(of: record.passport, form)
        let passport = try Passport.issue(
            claims,
            form: form,
            by: try key(form),
            now: Timestamp(secondsSince1970: now.secondsSince1970)
        )
        try await log(passport.token.map { .string($0) } ?? .object(passport.document), kind: "passport")
        return passport
    }

    /// Puts what this node signed into the log's outbox, before anybody gets it ([LOG-1]).
    func log(_ credential: JSONValue, kind: String) async throws {
        try await database.write { try AuditNotes.signed(credential, kind: kind, in: $0) }
    }

    private static func claims(of passport: Passport, _ form: PassportForm) throws -> PassportClaims {
        guard let revocation = passport.statusEntry(.revocation) else {
            throw IdentityError(.internalFailure, "the passport names no list on which it could be revoked")
        }
        var status = passport.status
        switch form {
        case .jcs, .rdfc, .jwt: break
        case .p256: status = status.map { entry in with(entry) { $0.listURL += ListNotation.p256.suffix } }
        case .sdJWT:
            status = [
                with(revocation) {
                    $0.listURL += ListNotation.token.suffix
                    $0.format = .token
                }
            ]
        }
        return PassportClaims(
            id: passport.id,
            agentID: passport.agentID,
            subject: passport.subject,
            name: passport.name,
            operatorName: passport.operatorName,
            capabilities: passport.capabilities,
            spendLimit: passport.spendLimit,
            nextKeyDigest: passport.nextKeyDigest.map { MultihashDigest.encode($0) },
            validFrom: passport.validFrom,
            validUntil: passport.validUntil,
            status: status
        )
    }

    private static func with(_ entry: StatusEntry, _ change: (inout StatusEntry) -> Void) -> StatusEntry {
        var copy = entry
        change(&copy)
        return copy
    }
}

/// In which notations the node publishes each of its lists.
public enum ListNotation: String, Hashable, Sendable, CaseIterable {
    /// A credential signed with `eddsa-jcs-2022`, at the list's own URL.
    case bitstring = ""
    /// The same, signed with `ecdsa-jcs-2019`.
    case p256 = "p256"
    /// A Token Status List JWT, of revocation lists only.
    case token = "token"

    /// What follows the list's number in its URL.
    var suffix: String { self == .bitstring ? "" : "/\(rawValue)" }

    /// Where a list stands in its other notations.
    static func otherURLs(of url: String) -> [String] {
        allCases.filter { $0 != .bitstring }.map { url + $0.suffix }
    }

    public var mediaType: String { self == .token ? TokenStatusList.mediaType : "application/vc" }
}
