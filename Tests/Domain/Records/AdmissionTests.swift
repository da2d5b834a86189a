import CanonicalJSON
import Encodings
import Passports
import Records
import SignedDocuments
import Testing

@Suite("Whose records count")
struct AdmissionTests {
    private let policy = AdmissionPolicy(
        trustedIssuers: [Sample.issuer.did],
        entryNodes: [Sample.entry.did],
        minimumPostage: ["sat": 2]
    )

    private func code(
        _ record: Record,
        kind: RecordKind = Sample.note,
        passport: Passport? = nil,
        states: [String: StatusListState] = Sample.states(),
        stamp: Stamp? = nil,
        now: Timestamp = Sample.now,
        policy: AdmissionPolicy? = nil
    ) throws -> RecordRefusal.Code? {
        let proven = try passport.map { try ProvenPassport($0) }
        return refusal {
            _ = try (policy ?? self.policy).admission(
                of: record,
                as: kind,
                passport: proven,
                states: states,
                stamp: stamp,
                now: now
            )
        }
    }

    @Test("[REC-12] an issuer that is trusted counts as an author; of some kinds nobody else does")
    func issuers() throws {
        let own = try Sample.record(by: Sample.issuer)
        #expect(try code(own) == nil)
        #expect(try code(own, policy: AdmissionPolicy(trustedIssuers: [])) == .notAdmitted)
        let passport = try Sample.passport()
        #expect(try code(Sample.record(), kind: Sample.notice, passport: passport) == .notAdmitted)
        #expect(try code(own, kind: Sample.notice) == nil)
    }

    @Test("[REC-13] an author counts by its own live passport of an issuer that is trusted, and by nothing less")
    func passports() throws {
        let record = try Sample.record()
        let passport = try Sample.passport()
        #expect(try code(record, passport: passport) == nil)
        #expect(try code(record) == .notAdmitted)
        let others = try Sample.passport(of: Sample.entry.did)
        #expect(try code(record, passport: others) == .notAdmitted)
        let untrusted = try Sample.passport(by: DocumentSigner(Sample.key(9)))
        #expect(try code(record, passport: untrusted) == .notAdmitted)
        #expect(try code(record, passport: passport, now: Sample.now.adding(seconds: 86_400)) == .notAdmitted)
        // A list that is not at hand or has lapsed says nothing: fail closed.
        #expect(try code(record, passport: passport, states: [:]) == .notAdmitted)
        #expect(try code(record, passport: passport, now: Sample.now.adding(seconds: 3_600)) == .notAdmitted)
        #expect(!RecordRefusal(.notAdmitted, "").isSendersFault)
        // A passport that its issuer did not sign is none.
        var document = passport.document
        document["validUntil"] = "2027-11-21T00:00:00Z"
        let forged = try Passport(document: document)
        #expect(refusal { _ = try ProvenPassport(forged) } == .notAdmitted)
    }

    @Test(
        "[REC-15] records of a revoked author don't count, not even where postage was paid; an untrusted list revokes nobody"
    )
    func revoked() throws {
        let record = try Sample.record()
        let passport = try Sample.passport()
        let stamp = try Stamp.sign(record, amount: 2, unit: "sat", created: Sample.now, by: Sample.entry)
        #expect(try code(record, passport: passport, states: Sample.states(revoked: true)) == .revoked)
        #expect(try code(record, passport: passport, states: Sample.states(revoked: true), stamp: stamp) == .revoked)
        #expect(!RecordRefusal(.revoked, "").isSendersFault)
        let stranger = AdmissionPolicy(trustedIssuers: [], entryNodes: [Sample.entry.did])
        #expect(
            try code(record, passport: passport, states: Sample.states(revoked: true), stamp: stamp, policy: stranger)
                == nil
        )
    }

    @Test("[REC-14] a stamp counts for its one record, where the entry node is trusted, signed it and took enough")
    func stamps() throws {
        let record = try Sample.record()
        func stamp(
            _ amount: UInt64 = 2,
            _ unit: String = "sat",
            by entry: DocumentSigner = Sample.entry
        ) throws -> Stamp {
            try Stamp.sign(record, amount: amount, unit: unit, created: Sample.now, by: entry)
        }
        let good = try stamp()
        #expect(try code(record, stamp: good) == nil)
        #expect(try Stamp(document: good.document) == good && good.record == record.id)
        #expect(try code(Sample.record("other"), stamp: good) == .notAdmitted)
        #expect(try code(record, stamp: stamp(1)) == .notAdmitted)
        #expect(try code(record, stamp: stamp(2, "msat")) == .notAdmitted)
        #expect(try code(record, stamp: stamp(by: DocumentSigner(Sample.key(9)))) == .notAdmitted)
        var document = good.document
        document["postage"] = ["amount": "1000", "unit": "sat"]
        #expect(try code(record, stamp: Stamp(document: document)) == .notAdmitted)
        // Beside a passport that is of no use here it counts as well.
        let untrusted = try Sample.passport(by: DocumentSigner(Sample.key(9)))
        #expect(try code(record, passport: untrusted, stamp: good) == nil)
    }
}
