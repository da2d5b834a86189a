import CanonicalJSON
import Cryptography
import Encodings
import Passports
import Records
import SignedDocuments
import Testing

enum Sample {
    static let now = Timestamp(secondsSince1970: 1_795_219_200)
    static let author = DocumentSigner(key(1))
    static let issuer = DocumentSigner(key(8))
    static let entry = DocumentSigner(key(7))
    static let listURL = "https://node.example/status/1"

    /// A seed of 32 bytes always makes a key.
    static func key(_ byte: UInt8) -> Ed25519.PrivateKey {
        (try? Ed25519.PrivateKey(seed: [UInt8](repeating: byte, count: 32))) ?? Ed25519.PrivateKey()
    }

    static let note = RecordKind(
        "note",
        maximumBodyBytes: 2_000,
        maximumLifetimeSeconds: 86_400,
        recordsPerAuthor: 10,
        totalBytes: 1 << 20
    ) { (body, _) throws(RecordRefusal) in
        guard body["text"]?.stringValue != nil else { throw RecordRefusal(.malformed, "`text` must be a string") }
    }
    static let notice = RecordKind(
        "notice",
        maximumBodyBytes: 2_000,
        maximumLifetimeSeconds: 86_400,
        authors: .issuers,
        recordsPerAuthor: 10,
        totalBytes: 1 << 20
    )
    static let rules = RecordRules(RecordKinds([note, notice]))

    static func record(
        _ text: String = "hello",
        name: String = "a",
        sequence: UInt64 = 1,
        created: Timestamp = now,
        by signer: DocumentSigner = author
    ) throws -> Record {
        try .sign(["text": .string(text)], of: note, name: name, sequence: sequence, created: created, by: signer)
    }

    /// A record's document, changed and signed anew by whoever is told.
    static func document(
        by signer: DocumentSigner = author,
        _ change: (inout JSONObject) -> Void = { _ in }
    ) throws -> JSONObject {
        var document = try record().document
        document.removeValue(forKey: "proof")
        change(&document)
        return try DataIntegrity.sign(document, by: signer, created: now)
    }

    static func passport(
        of subject: DIDKey = author.did,
        by issuer: DocumentSigner = issuer
    ) throws -> Passport {
        try Passport.issue(
            PassportClaims(
                id: "urn:uuid:7f2c1c1e-8a6e-4a7e-9b1c-0a9d1d6a3f01",
                agentID: "urn:uuid:00000000-0000-4000-8000-000000000001",
                subject: subject,
                name: "planner",
                validFrom: now,
                validUntil: now.adding(seconds: 86_400),
                status: [StatusEntry(purpose: .revocation, listURL: listURL, index: 7)]
            ),
            by: issuer,
            now: now
        )
    }

    static func states(revoked: Bool = false) -> [String: StatusListState] {
        var bitmap = StatusBitmap()
        if revoked { bitmap.set(7) }
        let list = VerifiedStatusList(
            url: listURL,
            issuer: issuer.did,
            purpose: .revocation,
            sequence: 1,
            validFrom: now,
            validUntil: now.adding(seconds: 3_600),
            ttlMilliseconds: 60_000,
            bitmap: bitmap
        )
        return [listURL: .list(list)]
    }
}

/// The code a body throws, or nil.
func refusal(_ body: () throws -> Void) -> RecordRefusal.Code? {
    do {
        try body()
        return nil
    } catch let error as RecordRefusal {
        return error.code
    } catch {
        Issue.record("another error: \(error)")
        return nil
    }
}
