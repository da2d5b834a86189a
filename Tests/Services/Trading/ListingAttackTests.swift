import CanonicalJSON
import Encodings
import Market
import Records
import SignedDocuments
import TestSupport
import Testing

@testable import Gossip
@testable import Trading

/// What strangers send, through the same door as by gossip and by repair.
@Suite("Attacks with listings", .timeLimit(.minutes(2)))
struct ListingAttackTests {
    private func intake(_ shelf: Shelf, trusting issuers: DocumentSigner...) -> RecordIntake {
        RecordIntake(
            store: shelf.store,
            rules: RecordRules(RecordKinds([Listing.kind])),
            policy: AdmissionPolicy(trustedIssuers: Set(issuers.map(\.did))),
            clock: WallClock { [shelf] in shelf.now },
            statusLists: { _, _ in [:] }
        )
    }

    private func code(_ intake: RecordIntake, _ bytes: [UInt8]) async -> RecordRefusal.Code? {
        if case .failure(let refusal)? = await intake.take([bytes]).first { return refusal.code }
        return nil
    }

    private func code(_ intake: RecordIntake, _ record: Record) async -> RecordRefusal.Code? {
        await code(intake, RecordEnvelope(record: record).bytes)
    }

    @Test("[LST-10] Expired, from the future, deleted and strangers' listings are not taken and not found")
    func dates() async throws {
        let shelf = try Shelf()
        let intake = intake(shelf, trusting: Sample.signer(1))
        let past = Sample.now.adding(seconds: -86_400)
        #expect(await code(intake, try Sample.record(Sample.listing(), created: past)) == .expired)
        let ahead = Sample.now.adding(seconds: 301)
        #expect(await code(intake, try Sample.record(Sample.listing(), created: ahead)) == .fromFuture)
        #expect(await code(intake, try Sample.record(Sample.listing(), by: Sample.signer(2))) == .notAdmitted)
        #expect(try await shelf.index.count() == 0)
        let record = try Sample.record(Sample.listing())
        #expect(await code(intake, record) == nil)
        #expect(try await shelf.names("weather") == ["weather"])
        #expect(await code(intake, try Sample.tombstone(sequence: 2)) == nil)
        #expect(await code(intake, record) == .superseded)
        #expect(try await shelf.names() == [])
        // Another's tombstone deletes nothing of this author's.
        #expect(await code(intake, try Sample.record(Sample.listing(), sequence: 3)) == nil)
        #expect(await code(intake, try Sample.tombstone(sequence: 9, by: Sample.signer(2))) == .notAdmitted)
        #expect(try await shelf.names() == ["weather"])
    }

    @Test("[LST-2] [LST-6] What is malformed is its sender's fault, and never reaches the index")
    func malformed() async throws {
        let shelf = try Shelf()
        let intake = intake(shelf, trusting: Sample.signer(1))
        let record = try Sample.record(Sample.listing())
        func changed(_ change: (inout JSONObject) -> Void) throws -> [UInt8] {
            var document = record.document
            var body = record.body ?? [:]
            change(&body)
            document["body"] = .object(body)
            return JSONValue.object(["record": .object(document)]).serialized()
        }
        // Changed after it was signed: the form is looked at first, and costs no signature's check.
        #expect(await code(intake, try changed { $0["title"] = "Another" }) == .badSignature)
        #expect(await code(intake, try changed { $0["urls"] = ["http://10.0.0.1/"] }) == .malformed)
        #expect(await code(intake, try changed { $0["prices"] = [] }) == .malformed)
        let deep: JSONValue = (0..<13).reduce(true) { value, _ in ["not": value] }
        #expect(await code(intake, try changed { $0["input"] = deep }) == .malformed)
        let deeper: JSONValue = (0..<200).reduce(true) { value, _ in ["not": value] }
        #expect(await code(intake, try changed { $0["input"] = deeper }) == .malformed)
        let long: JSONValue = .string(String(repeating: "a", count: 30_000))
        #expect(await code(intake, try changed { $0["input"] = ["description": long] }) == .tooLarge)
        let huge: JSONValue = .string(String(repeating: "a", count: 10 << 20))
        #expect(await code(intake, try changed { $0["input"] = ["description": huge] }) == .tooLarge)
        for code in [RecordRefusal.Code.malformed, .tooLarge, .badSignature] {
            #expect(RecordRefusal(code, "").isSendersFault)
        }
        #expect(try await shelf.index.count() == 0)
    }
}
