public import Cryptography
public import Encodings
public import SignedDocuments

/// A UCAN 1.0 delegation: its issuer lets its audience do what a command names, to the subject, within a policy.
///
/// A value of this type has the right shape; whether it is signed by its issuer, ``verifySignature()`` says, and what it
/// is good for, a ``DelegationChain``. A class, because chains hand their links on again and again.
public final class Delegation: Sendable, Equatable {
    public static let maximumBytes = Envelope.maximumBytes

    public let cid: CID
    public let issuer: DIDKey
    public let audience: DIDKey
    /// Whose authority it is; nil for any subject that the issuer may act for.
    public let subject: DIDKey?
    public let command: Command
    public let policy: Policy
    public let nonce: [UInt8]
    /// Not before, from then on; nil from ever.
    public let notBefore: Timestamp?
    /// Good before then; nil for ever.
    public let expires: Timestamp?
    /// What our profile says in `meta` ([DLG-4], [DLG-5]).
    public let terms: ProfileTerms
    let envelope: Envelope

    /// The envelope, as it was signed.
    public var bytes: [UInt8] { envelope.bytes }

    /// Reads an envelope of at most ``maximumBytes``.
    /// - Throws: `DelegationError`: `.malformed`, `.notCanonical`, `.tooLarge`, `.unsupportedSignature`.
    public convenience init(bytes: [UInt8]) throws(DelegationError) {
        try self.init(envelope: Envelope(bytes, kind: .delegation))
    }

    private init(envelope: Envelope) throws(DelegationError) {
        self.envelope = envelope
        cid = CID(of: envelope.bytes)
        var reader = PayloadReader(envelope.payload)
        issuer = try reader.did("iss")
        audience = try reader.did("aud")
        guard reader.value("sub") != nil else { throw reader.refuse("sub", "a did:key or null") }
        subject = try reader.optionalDID("sub")
        command = try reader.command()
        policy = try Policy(reader.value("pol") ?? .null)
        nonce = try reader.nonce()
        guard reader.value("exp") != nil else { throw reader.refuse("exp", "seconds since 1970 or null") }
        expires = try reader.time("exp").map(Timestamp.init(secondsSince1970:))
        notBefore = try reader.time("nbf").map(Timestamp.init(secondsSince1970:))
        terms = try ProfileTerms(meta: reader.map("meta"))
        try reader.expectEnd()
    }

    /// Signs a delegation.
    ///
    /// - Parameters:
    ///   - subject: nil for a delegation of whatever the issuer is given (never the first of a chain).
    ///   - nonce: 12 or more random bytes, so that two delegations of the same content have two names.
    public static func issue(
        by key: any SigningKey,
        to audience: DIDKey,
        subject: DIDKey?,
        command: Command,
        policy: Policy = .none,
        notBefore: Timestamp? = nil,
        expires: Timestamp?,
        terms: ProfileTerms = ProfileTerms(),
        nonce: [UInt8] = SecureRandom.bytes(12)
    ) throws(DelegationError) -> Delegation {
        var payload: [CBORPair] = [
            CBORPair("iss", .text(key.did.string)), CBORPair("aud", .text(audience.string)),
            CBORPair("sub", subject.map { .text($0.string) } ?? .null), CBORPair("cmd", .text(command.text)),
            CBORPair("pol", policy.cbor), CBORPair("nonce", .bytes(nonce)),
            CBORPair("exp", try seconds(expires) ?? .null),
        ]
        if let from = try seconds(notBefore) { payload.append(CBORPair("nbf", from)) }
        if let meta = terms.meta { payload.append(CBORPair("meta", meta)) }
        return try Delegation(envelope: Envelope(kind: .delegation, payload: payload, by: key))
    }

    static func seconds(_ time: Timestamp?) throws(DelegationError) -> CBOR? {
        guard let time else { return nil }
        guard let seconds = UInt64(exactly: time.secondsSince1970), seconds <= PolicyNumber.maximumInteger else {
            throw DelegationError(.malformed, "a time lies before 1970 or too far ahead")
        }
        return .unsigned(seconds)
    }

    /// - Throws: `.forged` where the issuer did not sign it.
    public func verifySignature() throws(DelegationError) { try envelope.verify(by: issuer) }

    public static func == (left: Delegation, right: Delegation) -> Bool { left.cid == right.cid }
}
