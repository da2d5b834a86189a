public import Cryptography
public import Encodings
public import SignedDocuments

/// A UCAN 1.0 invocation: its issuer does, on the subject's authority, what its command and arguments say.
public struct Invocation: Sendable, Equatable {
    public static let maximumBytes = Envelope.maximumBytes
    /// The longest chain that an invocation may name.
    public static let maximumProofs = 16

    public let cid: CID
    public let issuer: DIDKey
    public let subject: DIDKey
    /// Who is to execute it; nil where it does not say.
    public let recipient: DIDKey?
    public let command: Command
    /// A map.
    public let arguments: CBOR
    /// The delegations it rests on, from the root to the leaf.
    public let proofs: [CID]
    public let nonce: [UInt8]
    public let expires: Timestamp?
    public let issuedAt: Timestamp?
    let envelope: Envelope

    /// The envelope, as it was signed.
    public var bytes: [UInt8] { envelope.bytes }

    /// Reads an envelope of at most ``maximumBytes``.
    /// - Throws: `DelegationError`: `.malformed`, `.notCanonical`, `.tooLarge`, `.tooDeep`, `.unsupportedSignature`.
    public init(bytes: [UInt8]) throws(DelegationError) {
        try self.init(envelope: Envelope(bytes, kind: .invocation))
    }

    private init(envelope: Envelope) throws(DelegationError) {
        self.envelope = envelope
        cid = CID(of: envelope.bytes)
        var reader = PayloadReader(envelope.payload)
        issuer = try reader.did("iss")
        subject = try reader.did("sub")
        recipient = try reader.optionalDID("aud")
        command = try reader.command()
        guard let arguments = try reader.map("args") else { throw reader.refuse("args", "a map") }
        self.arguments = arguments
        guard case .array(let links)? = reader.value("prf") else { throw reader.refuse("prf", "an array of links") }
        guard links.count <= Self.maximumProofs else {
            throw DelegationError(.tooDeep, "a chain has at most \(Self.maximumProofs) links here")
        }
        var proofs: [CID] = []
        for link in links {
            guard let cid = link.linkValue else { throw reader.refuse("prf", "an array of links") }
            proofs.append(cid)
        }
        self.proofs = proofs
        nonce = try reader.nonce()
        expires = try reader.time("exp").map(Timestamp.init(secondsSince1970:))
        issuedAt = try reader.time("iat").map(Timestamp.init(secondsSince1970:))
        _ = try reader.map("meta")
        if let cause = reader.value("cause"), cause != .null, cause.linkValue == nil {
            throw reader.refuse("cause", "a link")
        }
        try reader.expectEnd()
    }

    /// Signs an invocation.
    public static func issue(
        by key: any SigningKey,
        subject: DIDKey,
        recipient: DIDKey? = nil,
        command: Command,
        arguments: [CBORPair],
        proofs: [CID],
        expires: Timestamp?,
        issuedAt: Timestamp? = nil,
        nonce: [UInt8] = SecureRandom.bytes(12)
    ) throws(DelegationError) -> Invocation {
        var payload: [CBORPair] = [
            CBORPair("iss", .text(key.did.string)), CBORPair("sub", .text(subject.string)),
            CBORPair("cmd", .text(command.text)), CBORPair("args", .map(arguments)),
            CBORPair("prf", .array(proofs.map { .link($0) })), CBORPair("nonce", .bytes(nonce)),
            CBORPair("exp", try Delegation.seconds(expires) ?? .null),
        ]
        if let recipient { payload.append(CBORPair("aud", .text(recipient.string))) }
        if let at = try Delegation.seconds(issuedAt) { payload.append(CBORPair("iat", at)) }
        return try Invocation(envelope: Envelope(kind: .invocation, payload: payload, by: key))
    }

    /// - Throws: `.forged` where the issuer did not sign it.
    public func verifySignature() throws(DelegationError) { try envelope.verify(by: issuer) }

    public static func == (left: Invocation, right: Invocation) -> Bool { left.cid == right.cid }
}
