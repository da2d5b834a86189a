import CanonicalJSON
import Encodings
import Records
import SignedDocuments
import Testing

@testable import Gossip

@Suite("An entry node's post office")
struct PostOfficeTests {
    private let reality = Reality()
    private var office: PostOffice { office([1, 2, 3]) }

    private func office(_ secret: [UInt8], by signer: DocumentSigner = Sample.entry) -> PostOffice {
        PostOffice(
            signer: signer,
            secret: secret,
            rules: RecordRules(RecordKinds([Sample.kind()])),
            clock: reality.clock
        )
    }

    private func postage(_ amount: UInt64 = 2, _ unit: String = "sat") throws -> PostOffice.Postage {
        try #require(PostOffice.Postage(amount: amount, unit: unit))
    }

    @Test("[PST-1] the address of a postage is the operator's: of another amount, unit or node it opens nothing")
    func codes() throws {
        let postage = try postage()
        let parts = office.path(postage).split(separator: "/")
        let code = String(try #require(parts.last))
        #expect(parts.dropLast() == ["records", "stamps", "2", "sat"])
        #expect(office.admits(code, for: postage))
        #expect(try !office.admits(code, for: self.postage(20)))
        #expect(try !office.admits(code, for: self.postage(2, "msat")))
        #expect(!office([1, 2, 4]).admits(code, for: postage))
        for other in ["", "x", String(code.dropLast()), code + "A"] { #expect(!office.admits(other, for: postage)) }
        for (amount, unit) in [(0, "sat"), (PostOffice.maximumAmount + 1, "sat"), (1, ""), (1, "SAT"), (1, "sat/")] {
            #expect(PostOffice.Postage(amount: amount, unit: unit) == nil)
        }
    }

    @Test(
        "[PST-2] what it stamped counts with those that trust it, as long as the postage is enough, and for that record alone"
    )
    func stamps() async throws {
        let record = try Sample.record()
        let envelope = try office.stamp(RecordEnvelope(record: record).bytes, postage())
        #expect(envelope.record == record && envelope.passport == nil)
        let stamp = try #require(envelope.stamp)
        #expect(stamp.isSigned && stamp.entry == Sample.entry.did && stamp.amount == 2 && stamp.unit == "sat")

        let node = try TestNode(reality: reality)
        #expect(await node.take([record]) == [.notAdmitted])
        #expect(await node.take([record], stamp: stamp) == [nil])
        #expect(await node.take([try Sample.record(name: "b")], stamp: stamp) == [.notAdmitted])
        let stranger = try office([1], by: Sample.author(9)).stamp(RecordEnvelope(record: record).bytes, postage())
        let dear = try TestNode(
            reality: reality,
            policy: AdmissionPolicy(
                trustedIssuers: [Sample.issuer.did],
                entryNodes: [Sample.entry.did],
                minimumPostage: ["sat": 3]
            )
        )
        #expect(await dear.take([record], stamp: stamp) == [.notAdmitted])
        #expect(await dear.take([record], stamp: stranger.stamp) == [.notAdmitted])
        let again = try office.stamp(envelope.bytes, postage(3))
        #expect(await dear.take([record], stamp: again.stamp) == [nil])
        await node.store.close()
        await dear.store.close()
    }

    @Test("[PST-2] what no node would take is not stamped")
    func refuses() throws {
        func code(_ bytes: [UInt8]) throws -> RecordRefusal.Code? {
            do {
                _ = try office.stamp(bytes, postage())
                return nil
            } catch let refusal as RecordRefusal {
                return refusal.code
            }
        }
        let record = try Sample.record()
        #expect(try code([]) == .malformed)
        #expect(try code(record.bytes) == .malformed)
        var forged = record.document
        forged["sequence"] = 7
        #expect(try code(RecordEnvelope(record: try Record(document: forged)).bytes) == .badSignature)
        let other = try Sample.record(kind: Sample.kind("other"))
        #expect(try code(RecordEnvelope(record: other).bytes) == .unknownKind)
        let early = try Sample.record(created: Sample.now.adding(seconds: 301))
        #expect(try code(RecordEnvelope(record: early).bytes) == .fromFuture)
        reality.pass(seconds: 86_400)
        #expect(try code(RecordEnvelope(record: record).bytes) == .expired)
    }
}
