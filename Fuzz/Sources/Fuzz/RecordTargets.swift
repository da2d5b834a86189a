import Encodings
import Records

/// Records and what is reconciled of them.
enum RecordTargets {
    private static let rules = RecordRules(
        RecordKinds([
            RecordKind(
                "note",
                maximumBodyBytes: 2_000,
                maximumLifetimeSeconds: 86_400,
                recordsPerAuthor: 1,
                totalBytes: 1
            )
        ])
    )

    /// What travels by gossip: a record, perhaps with a passport and a stamp.
    static func record(_ bytes: [UInt8]) throws {
        let envelope = try RecordEnvelope(bytes: bytes)
        let written = envelope.bytes
        precondition(written.count <= RecordEnvelope.maximumBytes, "a record grows past its bound")
        let same = again("a record") { try RecordEnvelope(bytes: written) }
        precondition(same.record.id == envelope.record.id && same.bytes == written, "a record changes as it is written")
        precondition(same.stamp == envelope.stamp && same.passport == envelope.passport)
        try RecordRules.checkSignature(envelope.record)
        try rules.check(envelope.record, now: envelope.record.created)
    }

    /// A few at each instant, with ids that begin alike.
    private static let set = ReconciliationSet(
        (0..<600).compactMap { number in
            let end = [UInt8(number % 3), UInt8(truncatingIfNeeded: number * 31)]
            return RecordID(bytes: [UInt8](repeating: 7, count: 30) + end)
                .map { ReconciliationItem(timestamp: UInt64(number / 5), id: $0) }
        }
    )

    /// A message of negentropy, to who began and to who answers; what either says next, the other reads.
    static func negentropy(_ bytes: [UInt8]) throws {
        var limits = Negentropy.Limits()
        limits.messageBytes = 4_096
        limits.differences = 500
        for isInitiator in [true, false] {
            var engine = Negentropy(set, isInitiator: isInitiator, limits: limits)
            guard let answer = try? engine.receive(bytes) else { continue }
            precondition(answer.count <= limits.messageBytes, "an answer is longer than may be")
            let (have, need) = engine.takeDifferences()
            precondition(have.count <= 500 && need.count <= 500, "more was found than is kept")
            precondition(isInitiator || have.isEmpty && need.isEmpty, "who answers learns something")
            var other = Negentropy(set, isInitiator: !isInitiator, limits: limits)
            _ = again("a message") { try other.receive(answer) }
        }
    }
}
