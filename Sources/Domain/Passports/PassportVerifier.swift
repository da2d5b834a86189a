public import Encodings
public import SignedDocuments

/// What a verifier knows of one status list.
public enum StatusListState: Hashable, Sendable {
    /// The newest list seen at that URL.
    case list(VerifiedStatusList)
    /// It cannot be relied on, and why: not to be had, rolled back, equivocated, not verifying.
    case refused(PassportReason)
}

/// The rules by which a passport is accepted, and the check itself. Answers every reason found, not the first.
///
/// The signature may be checked once and remembered by its text; dates, bits and list ages are read on every call
/// (``liveReasons(_:now:statusLists:)``).
public struct PassportVerifier: Hashable, Sendable {
    /// How far clocks may differ, in seconds. Lets a passport begin early; never lets one end late.
    public static let clockSkewSeconds: Int64 = 60

    /// How far status lists are looked at.
    public enum StatusPolicy: Hashable, Sendable {
        /// Each list named must be at hand and in force, and signed no longer ago than so many seconds.
        case required(maximumAgeSeconds: Int64?)
        /// Lists are not looked at: an offline check of the document alone.
        case skipped
    }

    /// Whose passports count. `nil`: anybody's, as when a file is checked for its signature alone.
    public var trustedIssuers: Set<DIDKey>?
    /// All of these must be in the passport.
    public var requiredCapabilities: [String]
    public var statusPolicy: StatusPolicy

    public init(
        trustedIssuers: Set<DIDKey>?,
        requiredCapabilities: [String] = [],
        statusPolicy: StatusPolicy = .required(maximumAgeSeconds: nil)
    ) {
        self.trustedIssuers = trustedIssuers
        self.requiredCapabilities = requiredCapabilities
        self.statusPolicy = statusPolicy
    }

    /// One capability, or none.
    public init(
        trustedIssuers: Set<DIDKey>?,
        requiredCapability: String?,
        maximumStatusAgeSeconds: Int64?
    ) {
        self.init(
            trustedIssuers: trustedIssuers,
            requiredCapabilities: requiredCapability.map { [$0] } ?? [],
            statusPolicy: .required(maximumAgeSeconds: maximumStatusAgeSeconds)
        )
    }

    /// Checks everything.
    ///
    /// - Parameter statusLists: by URL; a list that is not there counts as unavailable.
    public func verify(
        _ passport: Passport,
        now: Timestamp,
        statusLists: [String: VerifiedStatusList]
    ) -> PassportVerdict {
        verify(passport, now: now, states: statusLists.mapValues { .list($0) })
    }

    /// Checks everything, where what is known of a list may be that it is not to be had.
    public func verify(
        _ passport: Passport,
        now: Timestamp,
        states: [String: StatusListState]
    ) -> PassportVerdict {
        let fixed = Self.signatureReason(passport).map { [$0] } ?? []
        return PassportVerdict(reasons: fixed + liveReasons(passport, now: now, states: states))
    }

    /// What never changes for one document: its proof, and that its issuer made it. `nil` where both are in order.
    public static func signatureReason(_ passport: Passport) -> PassportReason? {
        passport.envelope.signatureReason(issuer: passport.issuer, document: passport.document)
    }

    /// What must be looked at on every call: trust, dates, capabilities, key and status.
    public func liveReasons(
        _ passport: Passport,
        now: Timestamp,
        states: [String: StatusListState]
    ) -> [PassportReason] {
        documentReasons(passport, now: now) + statusReasons(passport, now: now, states: states)
    }

    /// The part of ``liveReasons(_:now:states:)`` that the document alone tells: trust, dates, capabilities and key.
    public func documentReasons(_ passport: Passport, now: Timestamp) -> [PassportReason] {
        var reasons: [PassportReason] = []
        if let trustedIssuers, !trustedIssuers.contains(passport.issuer) {
            reasons.append(PassportReason(.untrustedIssuer, "\(passport.issuer) is not a trusted issuer here"))
        }
        if passport.validFrom > now.adding(seconds: Self.clockSkewSeconds) {
            reasons.append(PassportReason(.notYetValid, "the passport is valid from \(passport.validFrom.rfc3339)"))
        }
        if now >= passport.validUntil {
            reasons.append(PassportReason(.expired, "the passport ended at \(passport.validUntil.rfc3339)"))
        }
        for capability in requiredCapabilities where !passport.capabilities.contains(capability) {
            reasons.append(PassportReason(.capabilityMissing, "the passport lacks the capability `\(capability)`"))
        }
        if passport.subject.kind != .ed25519 {
            reasons.append(PassportReason(.subjectKeyUnsupported, "the agent's key must be Ed25519 to sign requests"))
        }
        return reasons
    }

    /// The part of ``liveReasons(_:now:states:)`` that the lists tell.
    public func statusReasons(
        _ passport: Passport,
        now: Timestamp,
        states: [String: StatusListState]
    ) -> [PassportReason] {
        guard case .required(let maximumAgeSeconds) = statusPolicy else { return [] }
        var reasons: [PassportReason] = []
        if passport.statusEntry(.revocation) == nil {
            reasons.append(PassportReason(.statusMissing, "the passport names no list on which it could be revoked"))
        }
        for entry in passport.status {
            switch states[entry.listURL] {
            case .none:
                reasons.append(
                    PassportReason(.statusUnavailable, "the \(entry.purpose) list at \(entry.listURL) is not at hand")
                )
            case .refused(let reason):
                reasons.append(reason)
            case .list(let list):
                if let reason = list.reason(
                    for: entry,
                    issuedBy: passport.issuer.string,
                    now: now,
                    maximumAgeSeconds: maximumAgeSeconds
                ) {
                    reasons.append(reason)
                }
            }
        }
        return reasons
    }
}

extension VerifiedStatusList {
    /// Why a document with this entry may not be relied on, or `nil`. A set bit counts even where the list is stale.
    func reason(
        for entry: StatusEntry,
        issuedBy issuer: String,
        now: Timestamp,
        maximumAgeSeconds: Int64?
    ) -> PassportReason? {
        guard url == entry.listURL, self.issuer.string == issuer, purpose == entry.purpose,
            (suspensions != nil) == (entry.format == .token)
        else {
            return PassportReason(
                .statusInvalid,
                "the list at \(entry.listURL) is not the issuer's own for \(entry.purpose)"
            )
        }
        guard let isSet = bitmap.isSet(entry.index) else {
            return PassportReason(.statusInvalid, "the list at \(entry.listURL) has no entry \(entry.index)")
        }
        if suspensions?.isSet(entry.index) == true {
            return PassportReason(.suspended, "the passport is suspended by its issuer")
        }
        if isSet {
            return entry.purpose == .revocation
                ? PassportReason(.revoked, "the passport was revoked by its issuer")
                : PassportReason(.suspended, "the passport is suspended by its issuer")
        }
        return reason(now: now, maximumAgeSeconds: maximumAgeSeconds)
    }
}
