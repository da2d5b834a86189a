internal import Cryptography
public import Encodings
internal import Lightning

/// The call that a challenge is for, so that one for a cheap call does not open a dear one ([PAY-4]).
///
/// The draft binds realm and price but no resource. Ours stand in `opaque`, which the client hands back unchanged.
public struct PaymentScope: Sendable, Equatable {
    public var service: String
    /// In capitals.
    public var method: String
    /// Path and query as the client sent them, without the service's prefix.
    public var target: String

    public init(service: String, method: String, target: String) {
        self.service = service
        self.method = method
        self.target = target
    }

    static let serviceName = "service"
    static let callName = "call"

    /// For a payment of one call.
    public var opaqueForCall: [String: String] { [Self.serviceName: service, Self.callName: callDigest] }

    /// For a session, whose money may be spent on any call of the service.
    public var opaqueForSession: [String: String] { [Self.serviceName: service] }

    /// base64url of SHA-256 over service, method and target, each with its length.
    private var callDigest: String {
        var input = Array("mintmark-payment-scope-1".utf8) + [0]
        for part in [service, method, target] {
            let bytes = Array(part.utf8)
            input += (0..<8).map { UInt8(truncatingIfNeeded: bytes.count >> (56 - 8 * $0)) }
            input += bytes
        }
        return Base64URL.encode(Hashing.sha256(input))
    }

    func covers(_ challenge: PaymentChallenge, isSession: Bool) -> Bool {
        guard challenge.opaqueValue(Self.serviceName) == service else { return false }
        return isSession || challenge.opaqueValue(Self.callName) == callDigest
    }
}

/// What a credential is held against.
public struct PaymentContext: Sendable {
    public var realm: String
    public var secrets: PaymentSecrets
    public var scope: PaymentScope
    /// SHA-256 of the body, 32 bytes; nil where there is none, or it was not read.
    public var bodyDigest: [UInt8]?
    public var now: Timestamp
    /// What the call costs now, in msat, where that depends on more than the service, method and target: on the body's
    /// length, or on what the payer used before. nil where a challenge may keep the price it was made with.
    public var minimumMsat: UInt64?
    /// How long after its end a challenge is still taken with a proof of payment ([PAY-5]).
    public static let graceSeconds: Int64 = 600

    public init(
        realm: String,
        secrets: PaymentSecrets,
        scope: PaymentScope,
        bodyDigest: [UInt8]? = nil,
        now: Timestamp,
        minimumMsat: UInt64? = nil
    ) {
        self.realm = realm
        self.secrets = secrets
        self.scope = scope
        self.bodyDigest = bodyDigest
        self.now = now
        self.minimumMsat = minimumMsat
    }

    /// The `digest` of a challenge for a body (RFC 9530).
    public static func digestField(_ sha256: [UInt8]) -> String { "sha-256=:\(Base64.encode(sha256)):" }

    /// Whether the challenge is ours, for this call and still good ([PAY-2], [PAY-4], [PAY-5]).
    /// - Parameter mayBeExpired: for what is no payment but shows one that was made before.
    /// - Throws: ``CallRefusal`` `challenge-unknown`, `credential-expired`.
    func require(
        _ challenge: PaymentChallenge,
        isSession: Bool = false,
        mayBeExpired: Bool = false
    ) throws(CallRefusal) {
        guard challenge.realm == realm, challenge.isBound(by: secrets) else {
            throw CallRefusal(.challengeUnknown, "This challenge was not made here, or was changed; take a new one.")
        }
        guard scope.covers(challenge, isSession: isSession) else {
            throw CallRefusal(.challengeUnknown, "This challenge is for another call; take the one for this call.")
        }
        if let digest = challenge.digest {
            guard let bodyDigest, digest == Self.digestField(bodyDigest) else {
                throw CallRefusal(.challengeUnknown, "This challenge is for another body; take the one for this one.")
            }
        }
        guard !mayBeExpired else { return }
        guard let text = challenge.expires, let expires = try? Timestamp(rfc3339: text), isInTime(expires) else {
            throw CallRefusal(.credentialExpired, "This challenge has expired; take a new one.")
        }
    }

    func requireTime(of invoice: BOLT11Invoice) throws(CallRefusal) {
        guard isInTime(invoice.expiresAt) else {
            throw CallRefusal(.credentialExpired, "The invoice of this challenge has expired; take a new one.")
        }
    }

    /// A payment that set out in time may arrive after it, and its money is taken by then.
    private func isInTime(_ end: Timestamp) -> Bool { now < end.adding(seconds: Self.graceSeconds) }
}

extension CallRefusal {
    /// The `type` that the draft gives a refusal of a `Payment` credential (section 8.2), where it has one.
    public var paymentSchemeType: String? {
        let name: String? =
            switch code {
            case .paymentRequired: "payment-required"
            case .credentialMalformed, .paymentMalformed: "malformed-credential"
            case .challengeUnknown, .credentialUsedUp, .paymentReused: "invalid-challenge"
            case .credentialExpired: "payment-expired"
            case .credentialInvalid, .invalidProof, .alreadySpent, .wrongLock, .wrongUnit, .mintNotAccepted,
                .unknownKeyset:
                "verification-failed"
            case .credentialInsufficient, .amountTooLow: "payment-insufficient"
            case .methodUnsupported: "method-unsupported"
            case .sessionUnknown: "lightning/session-not-found"
            case .sessionClosed: "lightning/session-closed"
            case .returnInvoiceInvalid: "lightning/invalid-return-invoice"
            default: nil
            }
        return name.map { "https://paymentauth.org/problems/\($0)" }
    }
}
