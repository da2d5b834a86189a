import CanonicalJSON
import Cryptography
import Encodings
import Passports
import Records
import SignedDocuments
import TestSupport
import Testing

@Suite("Records")
struct RecordTests {
    @Test("[REC-1] [REC-5] a record is read as it was signed, and its id is the digest of its canonical bytes")
    func roundTrip() throws {
        let record = try Sample.record("hello", name: "weather/today", sequence: 7)
        let read = try Record(bytes: record.bytes)
        #expect(read == record && read.document == record.document)
        #expect(read.key == RecordKey(author: Sample.author.did, kind: "note", name: "weather/today"))
        #expect(read.sequence == 7 && read.created == Sample.now && read.expires == Sample.now.adding(seconds: 86_400))
        #expect(read.body == ["text": "hello"] && !read.isTombstone)
        #expect(read.id.bytes == Hashing.sha256(try record.document.canonicalized()))
        // The text may be laid out otherwise: it is the same record.
        let spread = try Record(bytes: Array(record.document.prettyPrinted().utf8))
        #expect(spread.id == record.id && spread.bytes == record.bytes)
        try RecordRules.checkSignature(read)
        try Sample.rules.check(read, kind: "note", now: Sample.now)
    }

    @Test(
        "[REC-1] [REC-2] [REC-3] [REC-4] what is not of the form is refused, and who passed it on is answerable",
        arguments: [
            { $0["more"] = 1 }, { $0["type"] = "Record" }, { $0["author"] = "did:web:a.example" },
            { $0["author"] = nil },
            { $0["kind"] = "Note" }, { $0["kind"] = "" }, { $0["kind"] = .string(String(repeating: "a", count: 33)) },
            { $0["name"] = "" }, { $0["name"] = "a b" }, { $0["name"] = "é" },
            { $0["name"] = .string(String(repeating: "a", count: 129)) }, { $0["sequence"] = -1 },
            { $0["sequence"] = "1" }, { $0["sequence"] = 1.5 }, { $0["created"] = "2026-11-21T00:00:00+00:00" },
            { $0["created"] = "yesterday" }, { $0["expires"] = $0["created"] }, { $0["body"] = "text" },
            { $0["body"] = nil }, { $0["deleted"] = true }, { $0["deleted"] = false },
            {
                $0["body"] = nil
                $0["deleted"] = 1
            },
        ] as [@Sendable (inout JSONObject) -> Void]
    )
    func shape(change: @Sendable (inout JSONObject) -> Void) throws {
        let document = try Sample.document(change)
        #expect(refusal { _ = try Record(document: document) } == .malformed)
        #expect(RecordRefusal(.malformed, "").isSendersFault)
    }

    @Test("[REC-2] one proof, with nothing besides; more could change the id of what is signed")
    func proof() throws {
        for change: (inout JSONObject) -> Void in [
            { $0["nonce"] = "a" }, { $0.removeValue(forKey: "created") }, { $0["created"] = nil },
        ] {
            var document = try Sample.record().document
            guard var proof = document["proof"]?.objectValue else { return }
            change(&proof)
            document["proof"] = .object(proof)
            #expect(refusal { _ = try Record(document: document) } == .malformed)
        }
        var document = try Sample.record().document
        document["proof"] = [document["proof"] ?? .null]
        #expect(refusal { _ = try Record(document: document) } == .malformed)
    }

    @Test("Forged author: what another key signed, or was changed since, is refused and blamed")
    func forged() throws {
        let other = DocumentSigner(Sample.key(2))
        let forged = try Record(document: Sample.document(by: other))
        #expect(refusal { try RecordRules.checkSignature(forged) } == .badSignature)
        var document = try Sample.record().document
        document["sequence"] = 2
        let changed = try Record(document: document)
        #expect(refusal { try RecordRules.checkSignature(changed) } == .badSignature)
        #expect(RecordRefusal(.badSignature, "").isSendersFault)
    }

    @Test("[REC-1] Oversized: neither a record nor its body may be longer than allowed, before anything is parsed")
    func oversized() throws {
        let long = [UInt8](repeating: UInt8(ascii: " "), count: RecordEnvelope.maximumBytes + 1)
        #expect(refusal { _ = try Sample.rules.read(long, now: Sample.now) } == .tooLarge)
        let document = try Sample.document { $0["body"] = ["text": .string(String(repeating: "a", count: 70_000))] }
        #expect(refusal { _ = try Record(document: document) } == .tooLarge)
        let body = try Record(
            document: Sample.document { $0["body"] = ["text": .string(String(repeating: "a", count: 2_000))] }
        )
        #expect(refusal { try Sample.rules.check(body, now: Sample.now) } == .tooLarge)
        #expect(RecordRefusal(.tooLarge, "").isSendersFault)
        let deep = [UInt8](repeating: UInt8(ascii: "["), count: 4_000)
        #expect(refusal { _ = try Sample.rules.read(deep, now: Sample.now) } == .malformed)
        for limit in [0, 1, 1_999] {
            #expect(throws: RecordRefusal.self) {
                try Record.sign(
                    ["text": .string(String(repeating: "a", count: 2_000 - limit))],
                    of: Sample.note,
                    name: "a",
                    sequence: 1,
                    created: Sample.now,
                    lifetimeSeconds: limit == 1_999 ? 86_401 : nil,
                    by: Sample.author
                )
            }
        }
    }

    @Test("Wrong kind: on another's topic it is the sender's fault; a kind that is not known here is nobody's")
    func wrongKind() throws {
        let record = try Sample.record()
        #expect(refusal { try Sample.rules.check(record, kind: "notice", now: Sample.now) } == .wrongKind)
        #expect(RecordRefusal(.wrongKind, "").isSendersFault)
        #expect(
            refusal { try RecordRules(RecordKinds([])).check(record, kind: "note", now: Sample.now) } == .unknownKind
        )
        #expect(!RecordRefusal(.unknownKind, "").isSendersFault)
        let body = try Record(document: Sample.document { $0["body"] = ["words": "hello"] })
        #expect(refusal { try Sample.rules.check(body, now: Sample.now) } == .malformed)
        #expect(Sample.note.topic == "mintmark/records/1/note")
    }

    @Test(
        "[REC-4] [REC-11] expired and far-future records, and a clock that is an hour wrong: refused, and nobody blamed"
    )
    func dates() throws {
        let record = try Sample.record()
        func at(_ seconds: Int64) -> RecordRefusal.Code? {
            refusal { try Sample.rules.check(record, now: Sample.now.adding(seconds: seconds)) }
        }
        #expect(at(86_399) == nil && at(86_400) == .expired && at(1_000_000) == .expired)
        #expect(at(-300) == nil && at(-301) == .fromFuture && at(-3_600) == .fromFuture)
        // Once the clock is right the same record is good.
        #expect(at(3_600) == nil)
        #expect(!RecordRefusal(.expired, "").isSendersFault && !RecordRefusal(.fromFuture, "").isSendersFault)
        let long = try Record(
            document: Sample.document { $0["expires"] = .string(Sample.now.adding(seconds: 86_401).rfc3339) }
        )
        #expect(refusal { try Sample.rules.check(long, now: Sample.now) } == .wrongLifetime)
        #expect(RecordRefusal(.wrongLifetime, "").isSendersFault)
    }

    @Test(
        "[REC-6] of two of one key the higher sequence goes first, of two with the same the lower id, on all nodes alike"
    )
    func versions() throws {
        let records = try (0..<6).map { try Sample.record("\($0)", sequence: UInt64($0 / 3)) }
        let first = records.filter { $0.sequence == 1 }.min { $0.id < $1.id }
        var random = SeededRandom(seed: 6)
        for _ in 0..<20 {
            let winner = records.shuffled(using: &random).max { $0.version < $1.version }
            #expect(winner == first)
        }
    }

    @Test("[REC-7] a tombstone has no body, goes before what it deletes, and outlives every record that it may delete")
    func tombstones() throws {
        let record = try Sample.record(sequence: 3)
        let tombstone = try Record.tombstone(
            of: Sample.note,
            name: "a",
            sequence: 4,
            created: Sample.now,
            by: Sample.author
        )
        #expect(tombstone.isTombstone && tombstone.key == record.key && record.version < tombstone.version)
        #expect(try Record(bytes: tombstone.bytes).isTombstone)
        try Sample.rules.check(tombstone, now: record.expires)
        // One that would end too soon lets the record come back.
        for seconds: Int64 in [86_400, 86_400 + 43_199, 86_400 * 3 + 1] {
            let document = try Sample.document {
                $0["body"] = nil
                $0["deleted"] = true
                $0["expires"] = .string(Sample.now.adding(seconds: seconds).rfc3339)
            }
            let short = try Record(document: document)
            #expect(refusal { try Sample.rules.check(short, now: Sample.now) } == .wrongLifetime)
        }
    }

    @Test("[REC-8] what travels carries passport and stamp beside the record, and is read as it was written")
    func envelopes() throws {
        let record = try Sample.record()
        let stamp = try Stamp.sign(record, amount: 2, unit: "sat", created: Sample.now, by: Sample.entry)
        for envelope in [
            RecordEnvelope(record: record), RecordEnvelope(record: record, passport: try Sample.passport()),
            RecordEnvelope(record: record, stamp: stamp),
            RecordEnvelope(record: record, passport: try Sample.passport(), stamp: stamp),
        ] {
            let read = try Sample.rules.read(envelope.bytes, kind: "note", now: Sample.now)
            #expect(read.record == record && read.passport == envelope.passport && read.stamp == envelope.stamp)
        }
        let bytes = Array(#"{"record":"#.utf8) + record.bytes
        for end in [#"}"#, #","passport":{}}"#, #","stamp":{}}"#, #","stamp":1}"#, #","more":1}"#, ""] {
            let code = refusal { _ = try RecordEnvelope(bytes: bytes + Array(end.utf8)) }
            #expect(code == (end == "}" ? nil : .malformed))
        }
        #expect(refusal { _ = try RecordEnvelope(bytes: record.bytes) } == .malformed)
    }
}
