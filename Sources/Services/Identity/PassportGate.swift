import CanonicalJSON
public import Encodings
public import HTTPSignatures
public import Passports
public import SignedDocuments

/// Whom a service answers.
public struct CallerRules: Hashable, Sendable {
    /// Whether a call without a passport is refused.
    public var requiresPassport: Bool
    /// Whose passports count, this node's own among them only where it is named.
    public var trustedIssuers: Set<DIDKey>
    /// What the passport must allow.
    public var requiredCapabilities: [String]
    /// The most that may have passed since a status list was signed, in seconds; `nil`: its own validity alone counts.
    public var maximumStatusAgeSeconds: Int64?

    public init(
        requiresPassport: Bool,
        trustedIssuers: Set<DIDKey>,
        requiredCapabilities: [String] = [],
        maximumStatusAgeSeconds: Int64? = nil
    ) {
        self.requiresPassport = requiresPassport
        self.trustedIssuers = trustedIssuers
        self.requiredCapabilities = requiredCapabilities
        self.maximumStatusAgeSeconds = maximumStatusAgeSeconds
    }
}

/// Who asks, as far as it is proven.
public struct Caller: Sendable {
    /// The key that signed the request.
    public var did: DIDKey
    /// The passport of that key, where the caller showed one of a trusted issuer.
    public var passport: Passport?
    /// Where that key is published, where the caller is known by that (Web Bot Auth) instead of a passport.
    public var keys: SignatureAgent?

    public init(did: DIDKey, passport: Passport?, keys: SignatureAgent? = nil) {
        self.did = did
        self.passport = passport
        self.keys = keys
    }

    /// The agent's stable id, where it showed a passport.
    public var agentID: String? { passport?.agentID }
}

/// What the gate says of one request.
public enum CallerVerdict: Sendable {
    /// The request says nothing of who asks, and the rules don't ask.
    case anonymous
    /// The request is signed by this caller, just now, over all that matters.
    case known(Caller)
    /// The request is refused, and why. 401 where it doesn't prove who asks, 403 where who asks may not, 503 where the
    /// gate is overloaded.
    case refused(status: Int, reasons: [PassportReason])
}

/// Checks who asks, on every request: signature, replay, passport, dates, status.
public final class PassportGate: Sendable {
    private let resolver: StatusResolver
    private let clock: WallClock
    private let passports = PassportCache()
    private let directories: KeyDirectories?
    private let nonces: NonceStore
    /// Nothing signed before this second is taken: its nonce may have been seen by the process before.
    private let since: Timestamp

    public convenience init(resolver: StatusResolver, clock: WallClock) {
        self.init(resolver: resolver, clock: clock, directories: nil)
    }

    /// - Parameter directories: where the keys of Web Bot Auth signatures are found; nil: nobody is known by those.
    init(resolver: StatusResolver, clock: WallClock, directories: KeyDirectories?) {
        self.directories = directories
        self.resolver = resolver
        self.clock = clock
        nonces = NonceStore()
        since = Timestamp(secondsSince1970: clock.now().secondsSince1970)
    }

    /// Checks a request.
    ///
    /// A request with a passport must be signed by the passport's key. One with a signature alone is known by its key. A
    /// passport of an issuer that is not trusted is passed over where none is required.
    ///
    /// - Parameter facts: the request as the client sent it; `hasBody` must be right.
    public func check(_ facts: RequestFacts, rules: CallerRules) async -> CallerVerdict {
        let now = clock.now()
        let header = facts.value("agent-passport")
        guard header != nil || facts.has("signature-input") || facts.has("signature") else {
            guard rules.requiresPassport else { return .anonymous }
            return .refused(
                status: 401,
                reasons: [
                    PassportReason(
                        .passportMissing,
                        "this service asks for a passport: send `Agent-Passport` and sign the request"
                    )
                ]
            )
        }
        var passport: Passport?
        var reasons: [PassportReason] = []
        if let header {
            do throws(PassportReason) {
                passport = try passports.passport(header)
            } catch {
                reasons.append(error)
            }
        } else if rules.requiresPassport {
            reasons.append(PassportReason(.passportMissing, "this service asks for a passport: send `Agent-Passport`"))
        }
        let signature: VerifiedRequestSignature
        do throws(HTTPSignatureError) {
            signature = try HTTPSignatures.verify(facts, now: now)
        } catch {
            if error.code == .missing, header == nil, !rules.requiresPassport,
                let verdict = await botVerdict(facts, now: now)
            {
                return verdict
            }
            reasons.append(PassportReason(.init(rawValue: error.code.rawValue), error.message))
            return Self.refused(reasons)
        }
        if let reason = bindingReason(signature, passport) { reasons.append(reason) }
        guard reasons.isEmpty else { return Self.refused(reasons) }

        if let found = passport {
            if rules.trustedIssuers.contains(found.issuer) {
                reasons = await liveReasons(found, rules: rules, now: now)
            } else if rules.requiresPassport {
                reasons = [PassportReason(.untrustedIssuer, "\(found.issuer) is not a trusted issuer here")]
            } else {
                passport = nil
            }
        }
        guard reasons.isEmpty else { return Self.refused(reasons) }
        // Last, so that a request refused for another reason does not use its nonce up.
        return admit(Caller(did: signature.keyID, passport: passport), signature, now: now)
    }

    private func admit(_ caller: Caller, _ signature: VerifiedRequestSignature, now: Timestamp) -> CallerVerdict {
        switch nonces.use(signature.nonce, of: signature.keyID, expires: signature.expires, now: now) {
        case .fresh: return .known(caller)
        case .replayed:
            return Self.refused([
                PassportReason(.signatureReplayed, "this signature was used before: sign each request anew")
            ])
        case .full:
            return .refused(
                status: 503,
                reasons: [
                    PassportReason(.gateOverloaded, "too many signed requests in the last minute: try again shortly")
                ]
            )
        }
    }

    /// Who signed in the Web Bot Auth profile ([BOT-4] to [BOT-6]); nil where nobody did.
    ///
    /// What is shown must hold: a signature that is wrong is refused. Where nothing can be said of it, or it covers less than a
    /// call, the request is nobody's, as one without.
    private func botVerdict(_ facts: RequestFacts, now: Timestamp) async -> CallerVerdict? {
        guard let directories else { return nil }
        do throws(HTTPSignatureError) {
            guard let bot = try BotSignature(facts) else { return nil }
            try bot.check(now: now)
            guard let agent = bot.agent else { return .anonymous }
            switch await directories.key(bot.keyID, of: agent) {
            case .unknown: return .anonymous
            case .absent:
                throw HTTPSignatureError(.unsupportedKey, "\(agent.identifier) does not publish the key \(bot.keyID)")
            case .key(let key):
                guard bot.isValid(by: key) else {
                    throw HTTPSignatureError(
                        .invalid,
                        "the signature of \(agent.identifier) does not match this request"
                    )
                }
                guard bot.coversCall, let nonce = bot.nonce else { return .anonymous }
                let signature = VerifiedRequestSignature(
                    keyID: key,
                    nonce: nonce,
                    created: bot.created,
                    expires: bot.expires
                )
                if let reason = bindingReason(signature, nil) { return Self.refused([reason]) }
                return admit(Caller(did: key, passport: nil, keys: agent), signature, now: max(now, clock.now()))
            }
        } catch {
            return Self.refused([PassportReason(.init(rawValue: error.code.rawValue), error.message)])
        }
    }

    /// What is said against the passport of a header alone, without a request: shape and signature (remembered by the text),
    /// issuer, dates, capabilities and status.
    public func passportReasons(_ header: String, rules: CallerRules) async -> [PassportReason] {
        do throws(PassportReason) {
            let passport = try passports.passport(header)
            guard rules.trustedIssuers.contains(passport.issuer) else {
                return [PassportReason(.untrustedIssuer, "\(passport.issuer) is not a trusted issuer here")]
            }
            return await liveReasons(passport, rules: rules, now: clock.now())
        } catch {
            return [error]
        }
    }

    /// Checks a passport by itself, as for the operator's `passport verify`: no request, no replay.
    ///
    /// - Parameter trustedIssuers: `nil`: any issuer's signature counts, but lists are fetched only for this node's own.
    public func verify(
        _ passport: Passport,
        trustedIssuers: Set<DIDKey>?,
        requiredCapabilities: [String] = [],
        checksStatus: Bool
    ) async -> PassportVerdict {
        let now = clock.now()
        var verifier = PassportVerifier(
            trustedIssuers: trustedIssuers,
            requiredCapabilities: requiredCapabilities,
            statusPolicy: checksStatus ? .required(maximumAgeSeconds: nil) : .skipped
        )
        let signatureReason = PassportVerifier.signatureReason(passport)
        var states: [String: StatusListState] = [:]
        let mayFetch =
            resolver.office.isIssuer(passport.issuer) || trustedIssuers?.contains(passport.issuer) == true
        if checksStatus, signatureReason == nil {
            if mayFetch {
                states = await resolver.states(for: passport, now: now)
            } else if trustedIssuers != nil {
                // The issuer is not trusted: that is reason enough, and its lists are not fetched.
                verifier.statusPolicy = .skipped
            }
        }
        let live = verifier.liveReasons(passport, now: now, states: states)
        return PassportVerdict(reasons: (signatureReason.map { [$0] } ?? []) + live)
    }

    private func bindingReason(_ signature: VerifiedRequestSignature, _ passport: Passport?) -> PassportReason? {
        if let passport, passport.subject != signature.keyID {
            return PassportReason(
                .signatureKeyMismatch,
                "the request is signed by \(signature.keyID), the passport is of \(passport.subject)"
            )
        }
        if signature.created < since {
            return PassportReason(
                .signaturePredatesStart,
                "the signature is older than this process, which can't tell whether it was used: sign anew"
            )
        }
        return nil
    }

    private func liveReasons(_ passport: Passport, rules: CallerRules, now: Timestamp) async -> [PassportReason] {
        let verifier = PassportVerifier(
            trustedIssuers: rules.trustedIssuers,
            requiredCapabilities: rules.requiredCapabilities,
            statusPolicy: .required(maximumAgeSeconds: rules.maximumStatusAgeSeconds)
        )
        // Dates and capabilities first: a passport that fails by them costs no fetch.
        let early = verifier.documentReasons(passport, now: now)
        guard early.isEmpty else { return early }
        let states = await resolver.states(
            for: passport,
            now: now,
            maximumAgeSeconds: rules.maximumStatusAgeSeconds
        )
        // A fetch takes its time: the passport may have ended, and what was fetched must not look as if it came from the future.
        let then = max(now, clock.now())
        let late = then == now ? [] : verifier.documentReasons(passport, now: then)
        return late + verifier.statusReasons(passport, now: then, states: states)
    }

    /// 401 where anything leaves open who asks; 403 where that is clear and not enough.
    private static func refused(_ reasons: [PassportReason]) -> CallerVerdict {
        let isForbidden = reasons.allSatisfy { forbidden.contains($0.code) }
        return .refused(status: isForbidden ? 403 : 401, reasons: reasons)
    }

    private static let forbidden: Set<PassportReason.Code> = [
        .untrustedIssuer, .revoked, .suspended, .statusMissing, .statusUnavailable, .statusInvalid, .statusStale,
        .statusRolledBack, .statusEquivocated, .capabilityMissing, .subjectKeyUnsupported,
    ]
}

extension PassportReason.Code {
    /// The service requires a passport and the request has none.
    public static let passportMissing = Self(rawValue: "passport-missing")
    /// The request is signed by another key than the passport's.
    public static let signatureKeyMismatch = Self(rawValue: "signature-key-mismatch")
    /// The signature's nonce was seen before.
    public static let signatureReplayed = Self(rawValue: "signature-replayed")
    /// The signature was made before this process began.
    public static let signaturePredatesStart = Self(rawValue: "signature-predates-start")
    /// The table of nonces is full.
    public static let gateOverloaded = Self(rawValue: "gate-overloaded")
}
