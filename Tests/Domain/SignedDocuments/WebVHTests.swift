import CanonicalJSON
import Cryptography
import Encodings
import TestSupport
import Testing

@testable import SignedDocuments

@Suite("did:web and did:webvh")
struct WebVHTests {
    private static let now = Timestamp(secondsSince1970: 1_795_219_200)

    private func vectors() throws -> JSONValue {
        try JSONValue.parse(try Fixtures.bytes("did-webvh/did-webvh.json"))
    }

    @Test("the logs of the did:webvh test suite, by three implementations, verify; those with witnesses are refused")
    func publishedLogs() throws {
        for vector in try vectors().array("valid") {
            let name = try vector.string("name")
            let did = try WebDID(parsing: try vector.string("did"))
            let bytes = Array(try vector.string("log").utf8)
            if vector["refused"] == true {
                #expect(code { _ = try WebVHLog(bytes, resolving: did, now: Self.now) } == .badLog, "\(name)")
                continue
            }
            let log = try WebVHLog(bytes, resolving: did, now: Self.now)
            #expect(log.versionID == (try vector.string("versionId")), "\(name)")
            #expect(log.document["id"]?.stringValue == did.string)
            #expect(log.isDeactivated == name.hasPrefix("deactivate/"))
            // Every byte of an entry is under its hash or its signature.
            for line in log.lines.indices {
                for place in stride(from: 20, to: log.lines[line].count - 2, by: 37) {
                    var lines = log.lines
                    lines[line][place] ^= 1
                    let changed = [UInt8](lines.joined(separator: [10]))
                    #expect(
                        code { _ = try WebVHLog(changed, resolving: did, now: Self.now) } == .badLog,
                        "\(name) \(line) \(place)"
                    )
                }
            }
        }
    }

    @Test("the suite's hostile logs and DIDs are refused")
    func hostileLogs() throws {
        for vector in try vectors().array("invalid") {
            let bytes = Array(try vector.string("log").utf8)
            let name = try vector.string("name")
            #expect(throws: DocumentError.self, "\(name)") {
                _ = try WebVHLog(bytes, resolving: try WebDID(parsing: try vector.string("did")), now: Self.now)
            }
        }
        let scid = "QmcKnGa3dur9W5JbQ3CC7D95Aqy5g4tbp81U3QG8DG1wtv"
        #expect(try WebDID(parsing: "did:webvh:\(scid):example.com").scid == scid)
        for vector in try vectors().array("malformedDIDs") {
            let text = try vector.string("did").replacing(
                "Qm0000000000000000000000000000000000000000000000",
                with: scid
            )
            #expect(code { _ = try WebDID(parsing: text) } == .malformedDID, "\(text)")
        }
    }

    @Test("a DID's place on the web, and what is none")
    func places() throws {
        #expect(try WebDID(parsing: "did:web:example.com").url == "https://example.com/.well-known/did.json")
        #expect(try WebDID(parsing: "did:web:Example.com%3A3000:a:b").url == "https://example.com:3000/a/b/did.json")
        #expect(try WebDID(parsing: "did:web:localhost%3A8402").port == 8402)
        for text in [
            "did:web:", "did:web:127.0.0.1", "did:web:2130706433", "did:web:0x7f.1", "did:web:example.0x7f000001",
            "did:web:[::1]", "did:web:example.com%3A99999", "did:web:example.com%3A1%3A2", "did:web:a@example.com",
            "did:web:example.com:..:x", "did:web:example.com::x", "did:web:example.com/x", "did:web:example.com?x",
            "did:web:example.com#x", "did:web:-a.example", "did:web:exa mple.com", "did:web:ex\u{e4}mple.com",
            "did:web:single", "did:webx:example.com", "did:web:example.com:%zz", "did:web:example.com:a%00b",
        ] {
            #expect(code { _ = try WebDID(parsing: text) } == .malformedDID, "\(text)")
        }
    }

    private func document(_ key: DocumentSigner) -> (String) -> JSONObject {
        { did in
            [
                "@context": ["https://www.w3.org/ns/did/v1"], "id": .string(did),
                "verificationMethod": [
                    [
                        "id": .string("\(did)#key"), "type": "Multikey", "controller": .string(did),
                        "publicKeyMultibase": .string(key.did.multibaseKey),
                    ]
                ], "assertionMethod": [.string("\(did)#key")],
            ]
        }
    }

    @Test("a log made here verifies; a thief of the current key cannot rotate, the committed key can")
    func rotation() throws {
        let keys = (0..<4).map { _ in DocumentSigner(Ed25519.PrivateKey()) }
        let first = try WebVHLog.create(
            location: "node.example:agents:a",
            document: document(keys[0]),
            by: keys[0],
            next: [keys[1].did],
            now: Self.now
        )
        #expect(first.did.url == "https://node.example/agents/a/did.jsonl")
        #expect(
            code { _ = try first.rotated(to: keys[0], next: [keys[3].did], document: document(keys[3]), now: Self.now) }
                == .badLog
        )
        #expect(
            code { _ = try first.rotated(to: keys[2], next: [keys[3].did], document: document(keys[2]), now: Self.now) }
                == .badLog
        )
        let second = try first.rotated(to: keys[1], next: [keys[2].did], document: document(keys[1]), now: Self.now)
        #expect(second.number == 2 && second.did == first.did)
        let later = Self.now.adding(seconds: 60)
        let read = try WebVHLog(second.bytes, resolving: first.did, now: later)
        #expect(read.document == second.document && read.nextKeyHashes == second.nextKeyHashes)
        // Cut off, set in another order, or of another DID.
        #expect(code { _ = try WebVHLog(second.lines[1], resolving: first.did, now: later) } == .badLog)
        #expect(
            code { _ = try WebVHLog(second.lines[1] + [10] + second.lines[0], resolving: first.did, now: later) }
                == .badLog
        )
        let other = try WebDID(parsing: first.did.string.replacing("node.example", with: "evil.example"))
        #expect(code { _ = try WebVHLog(second.bytes, resolving: other, now: later) } == .badLog)
        #expect(
            code { _ = try WebVHLog(first.bytes, resolving: first.did, now: Self.now.adding(seconds: -301)) } == .badLog
        )
        let ended = try second.rotated(
            to: keys[2],
            next: [],
            document: document(keys[2]),
            deactivating: true,
            now: later
        )
        #expect(ended.isDeactivated)
        #expect(
            code { _ = try ended.rotated(to: keys[3], next: [], document: document(keys[3]), now: later) } == .badLog
        )
        #expect(
            code {
                _ = try WebVHLog(
                    [UInt8](repeating: 10, count: WebVHLog.maximumBytes + 1),
                    resolving: first.did,
                    now: later
                )
            } == .badLog
        )
    }
}
