public import CanonicalJSON
import Cryptography
public import Encodings
public import SignedDocuments

/// A status list whose signature and shape were checked.
public struct VerifiedStatusList: Hashable, Sendable {
    /// The URL it stands at, which is also the credential's id.
    public var url: String
    public var issuer: DIDKey
    public var purpose: StatusPurpose
    /// Rises by one with every change; a lower one than seen before is refused.
    public var sequence: UInt64
    /// When it was signed. Its age counts from here.
    public var validFrom: Timestamp
    /// When it lapses. A lapsed list says nothing.
    public var validUntil: Timestamp
    /// How long a copy may serve before it is fetched anew, in milliseconds.
    public var ttlMilliseconds: Int64
    public var bitmap: StatusBitmap
    /// Of a list that says both: which entries are suspended. Then ``purpose`` is revocation.
    public var suspensions: StatusBitmap?

    public init(
        url: String,
        issuer: DIDKey,
        purpose: StatusPurpose,
        sequence: UInt64,
        validFrom: Timestamp,
        validUntil: Timestamp,
        ttlMilliseconds: Int64,
        bitmap: StatusBitmap,
        suspensions: StatusBitmap? = nil
    ) {
        self.suspensions = suspensions
        self.url = url
        self.issuer = issuer
        self.purpose = purpose
        self.sequence = sequence
        self.validFrom = validFrom
        self.validUntil = validUntil
        self.ttlMilliseconds = ttlMilliseconds
        self.bitmap = bitmap
    }

    /// Distinguishes two lists of one sequence: SHA-256 of purpose and bits. A list that was only signed anew, with new
    /// dates, keeps it.
    public var contentDigest: [UInt8] {
        Hashing.sha256([UInt8](purpose.rawValue.utf8) + [0] + bitmap.bytes + (suspensions?.bytes ?? []))
    }
}

/// A Bitstring Status List credential (1.0, 2.2) in our profile: one purpose a list, a validity, a `ttl` and a sequence.
public enum StatusListCredential {
    /// The longest document read, in bytes: the largest list, incompressible, in base64, and room for the rest.
    public static let maximumBytes = StatusBitmap.maximumEntries / 8 * 3 / 2
    /// Sequences stay within the integers that JSON carries exactly.
    public static let maximumSequence: UInt64 = (1 << 53) - 1
    /// The longest a list may claim to hold good, in seconds: 31 days.
    public static let maximumValiditySeconds: Int64 = 31 * 86_400

    /// Signs the list.
    ///
    /// - Parameters:
    ///   - list: its `issuer` must be the signer; `sequence` at most ``maximumSequence``.
    ///   - now: when the proof is made.
    /// - Throws: `PassportReason` with `.statusInvalid`, `DocumentError`, or an error of compression.
    public static func issue(
        _ list: VerifiedStatusList,
        by signer: DocumentSigner,
        now: Timestamp
    ) throws -> JSONObject {
        try issue(list, by: DocumentKey(signer), suite: .eddsaJCS2022, now: now)
    }

    /// As ``issue(_:by:now:)``, with a proof of any suite.
    public static func issue(
        _ list: VerifiedStatusList,
        by signer: DocumentKey,
        suite: Cryptosuite,
        now: Timestamp
    ) throws -> JSONObject {
        guard list.issuer == signer.did, list.sequence <= maximumSequence, list.validFrom < list.validUntil else {
            throw PassportReason(.statusInvalid, "a status list names its signer, a sequence below 2^53 and a validity")
        }
        var subject = JSONObject()
        subject["id"] = .string("\(list.url)#list")
        subject["type"] = "BitstringStatusList"
        subject["statusPurpose"] = .string(list.purpose.rawValue)
        subject["encodedList"] = .string(try list.bitmap.encoded())
        subject["ttl"] = .integer(list.ttlMilliseconds)
        subject["sequence"] = .integer(Int64(list.sequence))
        var document = JSONObject()
        document["@context"] = Passport.contexts
        document["id"] = .string(list.url)
        document["type"] = ["VerifiableCredential", "BitstringStatusListCredential"]
        document["issuer"] = .string(signer.did.string)
        document["validFrom"] = .string(list.validFrom.rfc3339)
        document["validUntil"] = .string(list.validUntil.rfc3339)
        document["credentialSubject"] = .object(subject)
        return try DataIntegrity.sign(document, by: signer, suite: suite, created: now)
    }

    /// Reads and checks the list that was fetched from `url`, in either notation. Dates are left to the caller, see
    /// ``VerifiedStatusList/reason(now:maximumAgeSeconds:)``.
    ///
    /// - Throws: `PassportReason` with `.statusInvalid`.
    public static func verify(bytes: [UInt8], url: String) throws(PassportReason) -> VerifiedStatusList {
        // No JSON text begins as a token does.
        if bytes.first == UInt8(ascii: "e") { return try TokenStatusList.verify(bytes: bytes, url: url) }
        let value: JSONValue
        do {
            value = try JSONValue.parse(
                bytes,
                limits: JSONLimits(maximumBytes: maximumBytes, maximumDepth: 8, maximumValues: 256)
            )
        } catch {
            throw PassportReason(.statusInvalid, "a status list is JSON of at most \(maximumBytes) bytes: \(error)")
        }
        guard let object = value.objectValue else {
            throw PassportReason(.statusInvalid, "a status list is a JSON object")
        }
        return try verify(object, url: url)
    }

    /// As ``verify(bytes:url:)``, from a parsed document.
    public static func verify(_ document: JSONObject, url: String) throws(PassportReason) -> VerifiedStatusList {
        let proof: VerifiedProof
        do {
            proof = try DataIntegrity.verify(document, suites: [.eddsaJCS2022, .ecdsaJCS2019])
        } catch {
            throw PassportReason(.statusInvalid, "the status list at \(url) does not verify: \(error.message)")
        }
        let list = try read(document, url: url)
        guard proof.signer == list.issuer else {
            throw PassportReason(.statusInvalid, "the status list at \(url) is signed by another key than its issuer's")
        }
        return list
    }

    private static func read(_ document: JSONObject, url: String) throws(PassportReason) -> VerifiedStatusList {
        func refuse(_ what: String) -> PassportReason {
            PassportReason(.statusInvalid, "the status list at \(url): \(what)")
        }
        guard document["id"]?.stringValue == url else { throw refuse("its `id` is not the URL it stands at") }
        let types = document["type"]?.arrayValue?.compactMap(\.stringValue) ?? []
        guard types.contains("VerifiableCredential"), types.contains("BitstringStatusListCredential") else {
            throw refuse("`type` must list BitstringStatusListCredential")
        }
        guard let issuerText = document["issuer"]?.stringValue, let issuer = try? DIDKey(parsing: issuerText) else {
            throw refuse("`issuer` must be a did:key")
        }
        guard let from = document["validFrom"]?.stringValue, let validFrom = try? Timestamp(rfc3339: from),
            let until = document["validUntil"]?.stringValue, let validUntil = try? Timestamp(rfc3339: until),
            validFrom < validUntil, validUntil <= validFrom.adding(seconds: maximumValiditySeconds)
        else {
            throw refuse("`validFrom` and `validUntil` must bound at most 31 days")
        }
        guard let subject = document["credentialSubject"],
            subject["type"]?.stringValue == "BitstringStatusList",
            let purpose = subject["statusPurpose"]?.stringValue, ["revocation", "suspension"].contains(purpose)
        else {
            throw refuse("`credentialSubject` must be a BitstringStatusList for revocation or suspension")
        }
        guard let sequence = subject["sequence"]?.uint64Value, sequence <= maximumSequence else {
            throw refuse("`sequence` must be a whole number below 2^53")
        }
        let ttl = try timeToLive(subject["ttl"], refuse)
        guard let encoded = subject["encodedList"]?.stringValue else { throw refuse("`encodedList` is missing") }
        return VerifiedStatusList(
            url: url,
            issuer: issuer,
            purpose: StatusPurpose(rawValue: purpose),
            sequence: sequence,
            validFrom: validFrom,
            validUntil: validUntil,
            ttlMilliseconds: ttl,
            bitmap: try StatusBitmap(encoded: encoded)
        )
    }

    /// Milliseconds, 1 s to 1 day; five minutes where the list says nothing (as the standard's default).
    private static func timeToLive(
        _ value: JSONValue?,
        _ refuse: (String) -> PassportReason
    ) throws(PassportReason) -> Int64 {
        guard let value else { return 300_000 }
        guard let ttl = value.int64Value, ttl >= 0 else {
            throw refuse("`ttl` must be a whole number of milliseconds")
        }
        return min(max(ttl, 1_000), 86_400_000)
    }
}

extension VerifiedStatusList {
    /// Why this list may not be used now, or `nil`.
    ///
    /// - Parameter maximumAgeSeconds: the most that may have passed since the list was signed; `nil`: only its own
    ///   validity counts.
    public func reason(now: Timestamp, maximumAgeSeconds: Int64?) -> PassportReason? {
        if now >= validUntil {
            return PassportReason(.statusStale, "the \(purpose) list at \(url) lapsed at \(validUntil.rfc3339)")
        }
        // A minute of grace for clocks that differ.
        if validFrom > now.adding(seconds: PassportVerifier.clockSkewSeconds) {
            return PassportReason(
                .statusInvalid,
                "the \(purpose) list at \(url) is valid only from \(validFrom.rfc3339)"
            )
        }
        if let maximumAgeSeconds, now.milliseconds(since: validFrom) > maximumAgeSeconds.multipliedSaturating(by: 1000)
        {
            return PassportReason(
                .statusStale,
                "the \(purpose) list at \(url) was signed at \(validFrom.rfc3339), more than \(maximumAgeSeconds) s ago"
            )
        }
        return nil
    }
}

extension Int64 {
    func multipliedSaturating(by factor: Int64) -> Int64 {
        let (value, overflow) = multipliedReportingOverflow(by: factor)
        return overflow ? .max : value
    }
}
