import CanonicalJSON
import Encodings
import Libp2p
import Passports
import Records
import SignedDocuments
import Synchronization
import Testing

@testable import Gossip

@Suite("Taking records", .timeLimit(.minutes(2)))
struct RecordIntakeTests {
    @Test("[REC-9] what is bad costs no signature's check; what is good is kept, told once, and known from then on")
    func order() async throws {
        let node = try TestNode(kinds: [Sample.kind(), Sample.kind("notice", authors: .issuers)])
        let told = Mutex<[RecordID]>([])
        let watch = node.intake.watch { record in told.withLock { $0.append(record.id) } }
        let record = try Sample.record()
        let passport = try Sample.passport()
        #expect(await node.take([record]) == [.notAdmitted])
        #expect(await node.take([record, record], passport: passport) == [nil, .duplicate])
        #expect(await node.take([record], passport: passport) == [.duplicate])
        #expect(told.withLock { $0 } == [record.id])
        // A changed copy of what is here fails by its sequence before its signature is looked at.
        var document = record.document
        document["sequence"] = 0
        #expect(await node.take([try Record(document: document)]) == [.superseded])
        document["sequence"] = 9
        #expect(await node.take([try Record(document: document)]) == [.badSignature])
        let forged = try Record(document: document)
        let kind = try Sample.record(kind: Sample.kind("unheard"))
        #expect(await node.take([kind, forged], passport: passport) == [.unknownKind, .badSignature])
        let notice = try Sample.record(kind: Sample.kind("notice"))
        #expect(await node.take([notice], passport: passport) == [.notAdmitted])
        let own = try Sample.record(kind: Sample.kind("notice"), by: Sample.issuer)
        #expect(await node.take([own]) == [nil])
        let garbage = await node.intake.take([[1, 2, 3], [UInt8](repeating: 0x20, count: 100_000)])
        #expect(
            garbage.map { if case .failure(let refusal) = $0 { refusal.isSendersFault } else { false } } == [
                true, true,
            ]
        )
        node.intake.unwatch(watch)
        #expect(node.intake.counts.accepted == 2 && node.intake.counts.refused["bad-signature"] == 2)
        await node.store.close()
    }

    @Test("[RVK-4] what says otherwise under a sequence that is here is told of, whichever came first")
    func contradictions() async throws {
        let kind = Sample.kind("notice", authors: .issuers)
        let node = try TestNode(kinds: [kind])
        let told = Mutex<[RecordID]>([])
        let against = Mutex<[RecordID]>([])
        _ = node.intake.watch(
            { record in told.withLock { $0.append(record.id) } },
            contradicted: { record in against.withLock { $0.append(record.id) } }
        )
        let pair = try ["one", "two"].map { try Sample.record($0, kind: kind, by: Sample.issuer) }
            .sorted { $0.version < $1.version }
        // The one that goes before the other comes first: the other is not kept, but said.
        #expect(await node.take([pair[1]]) == [nil])
        #expect(await node.take([pair[0]]) == [.superseded])
        #expect(told.withLock { $0 } == [pair[1].id] && against.withLock { $0 } == [pair[0].id])
        var document = pair[0].document
        document["body"] = ["text": "three"]
        #expect(await node.take([try Record(document: document)]) == [.badSignature])
        #expect(against.withLock { $0 } == [pair[0].id])
        await node.store.close()
    }

    @Test(
        "[REC-15] an author whose passport is revoked on the list: nothing new is taken, and what is here goes with the next look"
    )
    func revokedOnTheList() async throws {
        let reality = Reality()
        let node = try TestNode(reality: reality)
        let passport = try Sample.passport()
        let other = try Sample.record(by: Sample.author(2))
        let record = try Sample.record()
        await node.take([record], passport: passport)
        await node.take([other], passport: try Sample.passport(of: Sample.author(2)))
        reality.revoke(Sample.author())
        #expect(await node.take([try Sample.record("more", sequence: 2)], passport: passport) == [.revoked])
        reality.pass(seconds: 1)
        try await node.intake.sweep()
        #expect(try await node.ids() == [other.id])
        #expect(try await node.store.version(of: record.key) == nil)
        await node.store.close()
    }

    @Test("While the issuer's list is not at hand nothing new is taken and nothing counts; both do again once it is")
    func staleList() async throws {
        let reality = Reality()
        let node = try TestNode(reality: reality)
        let record = try Sample.record()
        await node.take([record], passport: try Sample.passport())
        reality.setStale(true)
        #expect(await node.take([try Sample.record("b", name: "b")]) == [.notAdmitted])
        try await node.intake.sweep()
        #expect(try await node.ids() == [])
        reality.setStale(false)
        reality.pass(seconds: 1)
        try await node.intake.sweep()
        #expect(try await node.ids() == [record.id])
        await node.store.close()
    }

    @Test(
        "[REC-11] clock skew of an hour: such a node takes nothing that is from its future and blames nobody; once right it takes it all"
    )
    func skew() async throws {
        let reality = Reality()
        let late = Reality()
        late.pass(seconds: -3_600)
        let node = try TestNode(reality: reality, clock: late.clock)
        let record = try Sample.record()
        let passport = try Sample.passport()
        #expect(await node.take([record], passport: passport) == [.fromFuture])
        #expect(try await node.intake.wanted([record.id]) == [])
        late.pass(seconds: 3_600)
        // Not asked for again while it was refused a moment ago by this clock; by then ten minutes have passed.
        #expect(try await node.intake.wanted([record.id]) == [record.id])
        #expect(await node.take([record], passport: passport) == [nil])
        // An hour ahead: what is about to end is over.
        let early = Reality()
        early.pass(seconds: 86_400)
        let other = try TestNode(reality: reality, clock: early.clock)
        #expect(await other.take([record], passport: passport) == [.expired])
        await node.store.close()
        await other.store.close()
    }

    @Test("[REC-14] a stamp speaks for one record of an author without a passport, here and where it is passed on")
    func stamps() async throws {
        let node = try TestNode()
        let record = try Sample.record()
        let stamp = try Stamp.sign(record, amount: 1, unit: "sat", created: Sample.now, by: Sample.entry)
        #expect(await node.take([record], stamp: stamp) == [nil])
        #expect(await node.take([try Sample.record("b", name: "b")], stamp: stamp) == [.notAdmitted])
        let piece = try #require(try await node.store.pieces([record.id]).first)
        let other = try TestNode()
        let bytes = RecordEnvelope.bytes(record: piece.record, passport: piece.passport, stamp: piece.stamp)
        #expect(try await other.intake.take([bytes]).first?.get() == record)
        // Entry nodes that are trusted no more: their stamps go.
        try await node.intake.setPolicy(AdmissionPolicy(trustedIssuers: [Sample.issuer.did]))
        #expect(try await node.ids() == [])
        await node.store.close()
        await other.store.close()
    }

    @Test(
        "A record that repair did not ask for is the sender's fault; one that is refused is not asked for again for a while"
    )
    func asking() async throws {
        let reality = Reality()
        let node = try TestNode(reality: reality)
        let record = try Sample.record()
        let bytes = RecordEnvelope(record: record).bytes
        guard case .failure(let refusal)? = await node.intake.take([bytes], only: []).first else {
            Issue.record("it was taken")
            return
        }
        #expect(refusal.code == .notAsked && refusal.isSendersFault)
        #expect(try await node.intake.wanted([record.id]) == [record.id])
        #expect(await node.take([record]) == [.notAdmitted])
        #expect(try await node.intake.wanted([record.id]) == [])
        reality.pass(seconds: 600)
        #expect(try await node.intake.wanted([record.id]) == [record.id])
        await node.store.close()
    }

    @Test("A store that takes nothing refuses without blame")
    func unavailable() async throws {
        let node = try TestNode()
        await node.store.close()
        #expect(await node.take([try Sample.record()], passport: try Sample.passport()) == [.unavailable])
        #expect(!RecordRefusal(.unavailable, "").isSendersFault)
    }
}
