internal import CanonicalJSON
public import Encodings
internal import SignedDocuments

/// Says whether what a stranger sent is a record to take, in the order that costs least: size, shape, kind, dates; then the
/// caller looks whether it is here already; then the signature ([REC-9]).
public struct RecordRules: Sendable {
    /// How far clocks may differ, in seconds: a record from further ahead waits until its time has come.
    public static let clockSkewSeconds: Int64 = 300

    public let kinds: RecordKinds

    public init(_ kinds: RecordKinds) {
        self.kinds = kinds
    }

    /// Reads what travels: a record with what speaks for its author. All but duplicates, signature and admission is checked.
    ///
    /// - Parameter kind: that of the topic it came on; nil where any may come.
    /// - Throws: `RecordRefusal`.
    public func read(_ bytes: [UInt8], kind: String? = nil, now: Timestamp) throws(RecordRefusal) -> RecordEnvelope {
        let envelope = try RecordEnvelope(bytes: bytes)
        try check(envelope.record, kind: kind, now: now)
        return envelope
    }

    /// Kind, bounds of the kind, and dates.
    public func check(_ record: Record, kind: String? = nil, now: Timestamp) throws(RecordRefusal) {
        if let kind, kind != record.key.kind {
            throw RecordRefusal(.wrongKind, "the record came on the topic of another kind")
        }
        guard let kind = kinds[record.key.kind] else {
            throw RecordRefusal(.unknownKind, "the record is of a kind that is not known here")
        }
        try Self.check(record, kind)
        guard now < record.expires else { throw RecordRefusal(.expired, "the record has ended") }
        guard record.created <= now.adding(seconds: Self.clockSkewSeconds) else {
            throw RecordRefusal(.fromFuture, "the record is from further ahead than clocks may differ")
        }
    }

    /// Whether its author signed it.
    public static func checkSignature(_ record: Record) throws(RecordRefusal) {
        let proof: VerifiedProof
        do {
            proof = try DataIntegrity.verify(record.document)
        } catch {
            throw RecordRefusal(.badSignature, error.message)
        }
        guard proof.signer == record.author else {
            throw RecordRefusal(.badSignature, "another key than the author's signed the record")
        }
    }

    /// The bounds that a kind sets.
    static func check(_ record: Record, _ kind: RecordKind) throws(RecordRefusal) {
        let lifetime = record.expires.milliseconds(since: record.created)
        guard let body = record.body else {
            // It has to outlive every record that it may delete, and need not live much longer.
            let shortest = kind.maximumLifetimeSeconds + Record.tombstoneMarginSeconds / 2
            let longest = kind.maximumLifetimeSeconds + Record.tombstoneMarginSeconds * 2
            guard (shortest * 1_000...longest * 1_000).contains(lifetime) else {
                throw RecordRefusal(.wrongLifetime, "a tombstone of this kind lives \(shortest) to \(longest) seconds")
            }
            return
        }
        guard lifetime <= kind.maximumLifetimeSeconds * 1_000 else {
            throw RecordRefusal(
                .wrongLifetime,
                "a record of this kind lives at most \(kind.maximumLifetimeSeconds) seconds"
            )
        }
        // The record's own canonical bytes are at hand: the body is no longer than they are.
        if record.bytes.count > kind.maximumBodyBytes {
            let count = (try? body.canonicalized().count) ?? .max
            guard count <= kind.maximumBodyBytes else {
                throw RecordRefusal(
                    .tooLarge,
                    "the body of a record of this kind has at most \(kind.maximumBodyBytes) bytes"
                )
            }
        }
        try kind.checkBody(body, record)
    }
}
