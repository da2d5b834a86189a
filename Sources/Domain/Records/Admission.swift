public import Encodings
public import Passports
public import SignedDocuments

/// A passport whose signature was found good. What can change (dates, status, trust) is looked at each time.
public struct ProvenPassport: Sendable {
    public let passport: Passport

    /// - Throws: `RecordRefusal` with `.notAdmitted` where the issuer that it names did not sign it.
    public init(_ passport: Passport) throws(RecordRefusal) {
        if let reason = PassportVerifier.signatureReason(passport) {
            throw RecordRefusal(.notAdmitted, reason.message)
        }
        self.passport = passport
    }
}

/// By what a record counts.
public enum Admission: Sendable {
    /// Its author is an issuer that is trusted here.
    case issuer
    /// Its author's live passport.
    case passport(ProvenPassport)
    /// An entry node took postage for it.
    case stamp(Stamp)
}

/// Whose records count here ([REC-12] to [REC-15]).
public struct AdmissionPolicy: Sendable, Hashable {
    /// Their passports count, and what they publish themselves.
    public var trustedIssuers: Set<DIDKey>
    /// Their stamps count.
    public var entryNodes: Set<DIDKey>
    /// The least postage that a stamp has to name, by unit; other units count for nothing.
    public var minimumPostage: [String: UInt64]
    /// The most that may have passed since a status list was signed, in seconds; nil: its own validity alone counts.
    public var maximumStatusAgeSeconds: Int64?

    public init(
        trustedIssuers: Set<DIDKey>,
        entryNodes: Set<DIDKey> = [],
        minimumPostage: [String: UInt64] = ["sat": 1],
        maximumStatusAgeSeconds: Int64? = nil
    ) {
        self.trustedIssuers = trustedIssuers
        self.entryNodes = entryNodes
        self.minimumPostage = minimumPostage
        self.maximumStatusAgeSeconds = maximumStatusAgeSeconds
    }

    /// Whether a record counts, whose signature was checked.
    ///
    /// - Parameters:
    ///   - passport: that came with it, or is known of its author.
    ///   - states: what is known of the lists that the passport names; a list that is not there counts as unavailable.
    /// - Throws: `RecordRefusal` with `.revoked`, or `.notAdmitted` with what is missing.
    public func admission(
        of record: Record,
        as kind: RecordKind,
        passport: ProvenPassport?,
        states: [String: StatusListState],
        stamp: Stamp?,
        now: Timestamp
    ) throws(RecordRefusal) -> Admission {
        if trustedIssuers.contains(record.author) { return .issuer }
        guard kind.authors == .admitted else {
            throw RecordRefusal(
                .notAdmitted,
                "records of this kind come from issuers that are trusted, and nobody else"
            )
        }
        var missing = RecordRefusal(.notAdmitted, "its author shows no passport, and no stamp of an entry node")
        if let passport {
            do throws(RecordRefusal) {
                try check(passport, of: record.author, states: states, now: now)
                return .passport(passport)
            } catch {
                // Whose passport was taken away does not come in by paying.
                guard error.code != .revoked else { throw error }
                missing = error
            }
        }
        guard let stamp else { throw missing }
        try check(stamp, for: record)
        return .stamp(stamp)
    }

    /// Whether a passport speaks for an author now.
    /// - Throws: `RecordRefusal` with `.revoked` or `.notAdmitted`.
    public func check(
        _ passport: ProvenPassport,
        of author: DIDKey,
        states: [String: StatusListState],
        now: Timestamp
    ) throws(RecordRefusal) {
        guard passport.passport.subject == author else {
            throw RecordRefusal(.notAdmitted, "the passport is another's")
        }
        let verifier = PassportVerifier(
            trustedIssuers: trustedIssuers,
            statusPolicy: .required(maximumAgeSeconds: maximumStatusAgeSeconds)
        )
        let reasons = verifier.liveReasons(passport.passport, now: now, states: states)
        guard let reason = reasons.first else { return }
        // Only what an issuer that is trusted says takes a passport away.
        let isRevoked =
            trustedIssuers.contains(passport.passport.issuer)
            && reasons.contains { $0.code == .revoked || $0.code == .suspended }
        throw RecordRefusal(isRevoked ? .revoked : .notAdmitted, reason.message)
    }

    private func check(_ stamp: Stamp, for record: Record) throws(RecordRefusal) {
        guard stamp.record == record.id, stamp.author == record.author else {
            throw RecordRefusal(.notAdmitted, "the stamp is for another record")
        }
        guard entryNodes.contains(stamp.entry) else {
            throw RecordRefusal(.notAdmitted, "the stamp is of an entry node that is not trusted here")
        }
        guard let least = minimumPostage[stamp.unit], stamp.amount >= least else {
            throw RecordRefusal(.notAdmitted, "the stamp names less postage than is asked here")
        }
        guard stamp.isSigned else {
            throw RecordRefusal(.notAdmitted, "the entry node that the stamp names did not sign it")
        }
    }
}
