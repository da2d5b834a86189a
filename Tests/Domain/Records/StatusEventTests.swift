import CanonicalJSON
import Cryptography
import Encodings
import Records
import SignedDocuments
import Testing

@Suite("News of status lists")
struct StatusEventTests {
    private let issuer = DocumentSigner(Ed25519.PrivateKey())
    private let now = Timestamp(secondsSince1970: 1_795_946_401)
    private let event = StatusEvent(
        listURL: "https://node.example/status/1",
        sequence: 7,
        contentDigest: Hashing.sha256([1])
    )

    @Test("[RVK-1] news is a record of its issuer with the list's sequence, and reads back as what was said")
    func form() throws {
        let record = try event.record(name: "1", created: now, by: issuer)
        #expect(record.author == issuer.did && record.sequence == 7 && record.key.kind == "status")
        #expect(try StatusEvent(Record(bytes: record.bytes)) == event)
        #expect(record.expires == now.adding(seconds: 86_400))
        #expect(throws: RecordRefusal.self) {
            try StatusEvent(
                Record.tombstone(of: StatusEvent.kind, name: "1", sequence: 8, created: now, by: issuer)
            )
        }
    }

    @Test("[RVK-1] a body without a list or a digest is malformed, whoever signed it")
    func malformed() throws {
        let digest = JSONValue.string(MultihashDigest.encode(Hashing.sha256([1])))
        let bodies: [JSONObject] = [
            [:], ["list": "https://node.example/status/1"], ["content": digest],
            ["list": "ftp://node.example/1", "content": digest], ["list": "https://a b", "content": digest],
            ["list": .string("https://" + String(repeating: "a", count: 505)), "content": digest],
            ["list": "https://node.example/status/1", "content": "uEg"],
            ["list": 1, "content": digest], ["list": "https://node.example/status/1", "content": 7],
        ]
        for body in bodies {
            #expect(throws: RecordRefusal.self, "\(body)") {
                try Record.sign(body, of: StatusEvent.kind, name: "1", sequence: 1, created: now, by: issuer)
            }
        }
    }
}
