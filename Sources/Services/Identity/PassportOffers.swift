internal import CanonicalJSON
internal import Cryptography
public import Encodings
internal import Passports
internal import SignedDocuments
internal import Storage

/// Passports offered to outside wallets by OpenID4VCI 1.0 with a pre-authorised code.
///
/// An offer serves once and for ten minutes, its access token for five more. Both are kept in the database as digests, so
/// that they outlive a restart; nonces do not, and a wallet then asks for another. A wallet gets a passport only for the
/// key that the passport names, and only while it is live.
public final class PassportOffers: Sendable {
    static let grant = "urn:ietf:params:oauth:grant-type:pre-authorized_code"
    static let offerSeconds: Int64 = 600
    static let tokenSeconds: Int64 = 300
    static let nonceSeconds: Int64 = 300
    /// The most offers that are open, those with an access token among them.
    static let maximumOpen: Int64 = 10_000
    /// With how many wrong numbers an offer ends.
    static let maximumTries: Int64 = 5
    /// How many credential requests an access token allows: each form once, and some that went wrong.
    static let maximumUses: Int64 = 16

    /// An error as OAuth 2.0 and OpenID4VCI name them.
    struct Refusal: Error {
        var status = 400
        var code: String
        var message: String
    }

    /// What the operator hands over.
    public struct Made: Sendable {
        /// `openid-credential-offer://?credential_offer_uri=…`
        public var link: String
        /// Six digits for the wallet's user, to be told by another way.
        public var number: String?
        /// Exclusive.
        public var until: Timestamp
    }

    let office: PassportOffice
    private let nonces: ProofNonces

    init(office: PassportOffice) {
        self.office = office
        nonces = ProofNonces()
    }

    /// The Credential Issuer Identifier.
    var issuer: String { office.configuration.publicURL }

    // MARK: Offering

    /// Offers a passport to whoever holds its key.
    ///
    /// - Parameter withNumber: whether the wallet must also send a number (`tx_code`).
    /// - Throws: `IdentityError` with `.passportNotFound`, `.passportFinal`, or `.limitReached` where ten thousand are open.
    public func offer(_ id: String, withNumber: Bool) async throws -> Made {
        let record = try await live(id)
        let now = office.clock.now()
        let until = now.adding(seconds: Self.offerSeconds)
        let secrets = OfferSecrets(withNumber: withNumber)
        try await office.database.write { connection in
            try PassportOfferStore.purge(now: now, in: connection)
            guard try PassportOfferStore.count(in: connection) < Self.maximumOpen else {
                throw IdentityError(.limitReached, "\(Self.maximumOpen) offers are open: try again in some minutes")
            }
            try PassportOfferStore.insert(secrets, passport: record.passport.id, until: until, in: connection)
        }
        let address = "\(issuer)/openid4vci/offers/\(secrets.id)"
        return Made(
            link: "openid-credential-offer://?credential_offer_uri=" + Self.percentEncoded(address),
            number: secrets.number,
            until: until
        )
    }

    /// A passport that may be given out now: neither revoked nor suspended nor lapsed.
    private func live(_ id: String) async throws -> PassportRecord {
        let record = try await office.passport(id)
        guard record.state == .active else {
            throw IdentityError(.passportFinal, "the passport is \(record.state.rawValue): it is not given out")
        }
        guard office.clock.now() < record.passport.validUntil else {
            throw IdentityError(.passportFinal, "the passport has lapsed: it is not given out")
        }
        return record
    }

    /// The offer that a link points to (4.1.3), or `nil` where it is not known, was used or has ended.
    func shown(_ id: String) async throws -> JSONObject? {
        guard id.utf8.count <= 64 else { return nil }
        let secrets = OfferSecrets(id: id)
        let now = office.clock.now()
        let row = try await office.database.read {
            try PassportOfferStore.open(secrets.idDigest, now: now, in: $0)
        }
        guard row.found else { return nil }
        var grant: JSONObject = ["pre-authorized_code": .string(secrets.code)]
        if row.asks {
            grant["tx_code"] = [
                "input_mode": "numeric", "length": 6, "description": "The number that came beside this offer",
            ]
        }
        return [
            "credential_issuer": .string(issuer),
            "credential_configuration_ids": JSONValue(configurations.map(\.id)),
            "grants": .object([Self.grant: .object(grant)]),
        ]
    }

    /// Forgets what has ended.
    func purge() async throws {
        let now = office.clock.now()
        try await office.database.write { try PassportOfferStore.purge(now: now, in: $0) }
    }

    private static func percentEncoded(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E:
                result.unicodeScalars.append(.init(byte))
            default: result += "%" + Hex.encode([byte]).uppercased()
            }
        }
        return result
    }

    // MARK: Tokens and nonces

    /// Exchanges a code, once, for an access token (6.1 to 6.3).
    func token(code: String, number: String?) async throws -> String {
        let now = office.clock.now()
        let refused = Refusal(code: "invalid_grant", message: "the code is not known, was used or has ended")
        guard code.utf8.count <= 256, (number?.utf8.count ?? 0) <= 64 else { throw refused }
        // A code that nobody was given costs a look, not a turn at the disk.
        let isKnown = try await office.database.read {
            try PassportOfferStore.isKnown(code: OfferSecrets.digest(code), now: now, in: $0)
        }
        guard isKnown else { throw refused }
        let token = Base64URL.encode(SecureRandom.bytes(32))
        let outcome = try await office.database.write { connection in
            try PassportOfferStore.exchange(
                code: code,
                number: number,
                token: OfferSecrets.digest(token),
                until: now.adding(seconds: Self.tokenSeconds),
                now: now,
                in: connection
            )
        }
        switch outcome {
        case .granted: return token
        case .refused: throw refused
        case .wrongNumber: throw Refusal(code: "invalid_grant", message: "the transaction code is wrong")
        case .numberMissing:
            throw Refusal(code: "invalid_request", message: "`tx_code` is missing: the offer asks for one")
        case .numberUnexpected:
            throw Refusal(code: "invalid_request", message: "`tx_code` is there, but the offer asks for none")
        }
    }

    /// A nonce for one proof (7).
    func nonce() -> String { nonces.make(now: office.clock.now()) }

    /// Whether a token is one of ours, before anything else of its request is read.
    func isKnown(token: String) async throws -> Bool {
        let now = office.clock.now()
        return try await office.database.read {
            try PassportOfferStore.isKnown(token: OfferSecrets.digest(token), now: now, in: $0)
        }
    }

    // MARK: The credential

    /// The passport that a token is for, in the form asked for, to whoever proves the key it names (8.2).
    func credential(token: String, _ request: JSONObject) async throws -> JSONValue {
        let form = try form(request)
        let proof = try Self.proof(request)
        let now = office.clock.now()
        let digest = OfferSecrets.digest(token)
        let id = try await office.database.write { try PassportOfferStore.use(token: digest, now: now, in: $0) }
        guard let id else {
            throw Refusal(
                status: 401,
                code: "invalid_token",
                message: "the access token is not known, has ended or is used up"
            )
        }
        do {
            let record = try await live(id)
            try prove(proof, by: record.passport.subject, now: now)
            let passport = try await office.passport(record.passport.id, form: form)
            return passport.token.map { .string($0) } ?? .object(passport.document)
        } catch let error as IdentityError where error.code != .internalFailure {
            throw Refusal(code: "credential_request_denied", message: error.message)
        }
    }

    private func form(_ request: JSONObject) throws(Refusal) -> PassportForm {
        guard request["credential_identifier"] == nil else {
            throw Refusal(
                code: "unknown_credential_identifier",
                message: "no `credential_identifiers` were given out: name a `credential_configuration_id`"
            )
        }
        guard let id = request["credential_configuration_id"]?.stringValue else {
            throw Refusal(code: "invalid_credential_request", message: "`credential_configuration_id` is missing")
        }
        guard let found = configurations.first(where: { $0.id == id }) else {
            throw Refusal(
                code: "unknown_credential_configuration",
                message: "there is no credential configuration `\(id.prefix(64))`"
            )
        }
        guard request["credential_response_encryption"] == nil else {
            throw Refusal(code: "invalid_encryption_parameters", message: "responses are not encrypted beyond TLS here")
        }
        return found.form
    }

    private static func proof(_ request: JSONObject) throws(Refusal) -> String {
        let message = "`proofs` must hold one proof, a JWT in the list `jwt`"
        guard let proofs = request["proofs"]?.objectValue, proofs.count == 1, let list = proofs["jwt"]?.arrayValue,
            list.count == 1, let proof = list[0].stringValue
        else { throw Refusal(code: "invalid_proof", message: message) }
        return proof
    }

    /// Checks that a proof was made by this key, for this issuer, over one of its nonces, which is used up (F.1, F.4).
    private func prove(_ text: String, by key: DIDKey, now: Timestamp) throws(Refusal) {
        func refuse(_ message: String) -> Refusal { Refusal(code: "invalid_proof", message: message) }
        let token: SignedToken
        let claimed: DIDKey
        do throws(DocumentError) {
            token = try SignedToken(
                text,
                types: ["openid4vci-proof+jwt"],
                maximumBytes: 8_192,
                allowsEmbeddedKey: true
            )
            switch (token.jws.header["kid"], token.jws.header["jwk"]) {
            case (let kid?, nil):
                claimed = try VerificationMethods().key(of: kid.stringValue ?? "", purpose: .authentication).key
            case (nil, let jwk?):
                guard jwk["d"] == nil else { throw DocumentError(.malformedKey, "`jwk` gives its private key away") }
                claimed = try DIDKey(jwk: jwk)
            default: throw DocumentError(.malformedProof, "the header must hold `kid` or `jwk`, and not both")
            }
        } catch {
            throw refuse(error.message)
        }
        guard claimed == key else { throw refuse("the proof is by another key than the one the passport names") }
        guard token.jws.isSigned(by: key) else { throw refuse("the signature is not by the key in the header") }
        // Anonymous access: there is no client that could be named.
        guard token.payload["iss"] == nil else { throw refuse("`iss` has no place in a proof without a client") }
        guard token.payload["aud"]?.stringValue?.utf8.elementsEqual(issuer.utf8) == true else {
            throw refuse("`aud` must be \(issuer)")
        }
        guard let made = token.payload["iat"]?.int64Value,
            (-Self.nonceSeconds...Self.nonceSeconds).contains(now.secondsSince1970 &- made)
        else { throw refuse("`iat` must be within \(Self.nonceSeconds) s of now") }
        guard let nonce = token.payload["nonce"]?.stringValue else { throw refuse("`nonce` is missing") }
        guard nonces.use(nonce, by: key, now: now) else {
            throw Refusal(
                code: "invalid_nonce",
                message: "the nonce is not known, was used or has ended: ask for a new one"
            )
        }
    }
}
