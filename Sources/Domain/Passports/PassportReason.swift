/// One reason why a passport, or a status list behind it, is not to be relied on.
public struct PassportReason: Error, Hashable, Sendable, CustomStringConvertible {
    /// An extensible set of reasons; the raw values travel in problem documents and `--json` output.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String

        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// The document does not have the shape of a passport, or is too long.
        public static let malformed = Code(rawValue: "malformed")
        /// The key that signed is not the issuer the passport names.
        public static let wrongIssuer = Code(rawValue: "wrong-issuer")
        /// The issuer is not among those the verifier trusts.
        public static let untrustedIssuer = Code(rawValue: "untrusted-issuer")
        /// The proof is missing, of another kind, or does not verify.
        public static let badSignature = Code(rawValue: "bad-signature")
        /// What a token claims beside the credential is not what the credential says.
        public static let claimsContradict = Code(rawValue: "claims-contradict")
        /// A token is signed by an algorithm, or steered by a header, that is not accepted.
        public static let unsupportedProof = Code(rawValue: "unsupported-proof")
        /// Who shows a passport is not whom it is about.
        public static let wrongHolder = Code(rawValue: "wrong-holder")
        /// A presentation answers another challenge than the verifier's.
        public static let wrongChallenge = Code(rawValue: "wrong-challenge")
        /// A presentation was made for another verifier.
        public static let wrongDomain = Code(rawValue: "wrong-domain")
        /// `validFrom` lies ahead.
        public static let notYetValid = Code(rawValue: "not-yet-valid")
        /// `validUntil` has passed.
        public static let expired = Code(rawValue: "expired")
        /// The revocation bit is set. Final.
        public static let revoked = Code(rawValue: "revoked")
        /// The suspension bit is set. May be lifted.
        public static let suspended = Code(rawValue: "suspended")
        /// The passport names no list on which it could be revoked.
        public static let statusMissing = Code(rawValue: "status-missing")
        /// A status list could not be had.
        public static let statusUnavailable = Code(rawValue: "status-unavailable")
        /// A status list was had, but does not verify or does not belong to this passport.
        public static let statusInvalid = Code(rawValue: "status-invalid")
        /// A status list has lapsed, or is older than the verifier allows.
        public static let statusStale = Code(rawValue: "status-stale")
        /// A status list carries a lower sequence than one seen before.
        public static let statusRolledBack = Code(rawValue: "status-rolled-back")
        /// Two status lists with one sequence and different content were seen.
        public static let statusEquivocated = Code(rawValue: "status-equivocated")
        /// The passport lacks a capability that the verifier requires.
        public static let capabilityMissing = Code(rawValue: "capability-missing")
        /// The subject's key cannot sign requests here.
        public static let subjectKeyUnsupported = Code(rawValue: "subject-key-unsupported")
    }

    public var code: Code
    /// A sentence for a person; holds no secret.
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(message) (\(code.rawValue))" }
}

/// What a verifier says about one passport: valid, or every reason found why not.
public struct PassportVerdict: Hashable, Sendable {
    /// In the order they were found; empty where the passport is good.
    public var reasons: [PassportReason]

    public init(reasons: [PassportReason]) {
        self.reasons = reasons
    }

    public var isValid: Bool { reasons.isEmpty }

    public func contains(_ code: PassportReason.Code) -> Bool {
        reasons.contains { $0.code == code }
    }
}
