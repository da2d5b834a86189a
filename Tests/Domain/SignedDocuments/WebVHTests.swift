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

    @Test("the logs of the did:webvh test suite, by several implementations, verify, with their witnesses' proofs")
    func publishedLogs() throws {
        for vector in try vectors().array("valid") {
            let name = try vector.string("name")
            let did = try WebDID(parsing: try vector.string("did"))
            let bytes = Array(try vector.string("log").utf8)
            let proofs = vector["witness"]?.stringValue.map { Array($0.utf8) }
            if vector["refused"] != nil {
                #expect(
                    code { _ = try WebVHLog(bytes, resolving: did, now: Self.now, witnessProofs: proofs) } == .badLog,
                    "\(name)"
                )
                continue
            }
            if proofs != nil {
                #expect(code { _ = try WebVHLog(bytes, resolving: did, now: Self.now) } == .witnessMissing, "\(name)")
            }
            let log = try WebVHLog(bytes, resolving: did, now: Self.now, witnessProofs: proofs)
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
                        code { _ = try WebVHLog(changed, resolving: did, now: Self.now, witnessProofs: proofs) }
                            == .badLog,
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
                _ = try WebVHLog(
                    bytes,
                    resolving: try WebDID(parsing: try vector.string("did")),
                    now: Self.now,
                    witnessProofs: Array((vector["witness"]?.stringValue ?? "[]").utf8)
                )
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

    /// A log of as many entries as there are `witness` parameters, signed by one key.
    private func log(_ parameters: [JSONValue?], by key: DocumentSigner) throws -> (bytes: [UInt8], versions: [String])
    {
        var lines: [[UInt8]] = []
        var versions: [String] = []
        var scid = WebVHLog.placeholder
        for (number, witness) in parameters.enumerated() {
            var members: JSONObject = ["updateKeys": [.string(key.did.multibaseKey)]]
            if number == 0 {
                members["method"] = .string(WebVHLog.method)
                members["scid"] = .string(scid)
            }
            members["witness"] = witness
            let time = Timestamp(secondsSince1970: 1_700_000_000 + Int64(number))
            func entry() -> JSONObject {
                [
                    "versionId": .string(versions.last ?? scid), "versionTime": .string(time.rfc3339),
                    "parameters": .object(members),
                    "state": .object(document(key)("did:webvh:\(scid):node.example")),
                ]
            }
            var unsigned = entry()
            if number == 0 {
                scid = WebVHLog.hash(try unsigned.canonicalized())
                members["scid"] = .string(scid)
                unsigned = entry()
            }
            versions.append("\(number + 1)-\(WebVHLog.hash(try unsigned.canonicalized()))")
            unsigned["versionId"] = .string(versions[number])
            lines.append(try DataIntegrity.sign(unsigned, by: key, created: time).serialized())
        }
        return ([UInt8](lines.joined(separator: [10])), versions)
    }

    private func approval(_ version: String, _ keys: [DocumentSigner]) throws -> JSONValue {
        let proofs = try keys.map { key in
            try DataIntegrity.sign(["versionId": .string(version)], by: key, created: Self.now)["proof"] ?? .null
        }
        return ["versionId": .string(version), "proof": .array(proofs)]
    }

    private func witness(_ threshold: Int64, _ keys: [DocumentSigner]) -> JSONValue {
        let list = keys.map { JSONValue.object(["id": .string($0.did.string)]) }
        return ["threshold": .integer(threshold), "witnesses": .array(list)]
    }

    @Test(
        "an entry needs as many of the witnesses before it as the threshold says; who is none, or approved another, is not counted"
    )
    func witnesses() throws {
        let key = DocumentSigner(Ed25519.PrivateKey())
        let all = (0..<3).map { _ in DocumentSigner(Ed25519.PrivateKey()) }
        let stranger = DocumentSigner(Ed25519.PrivateKey())
        let later = Self.now.adding(seconds: 60)
        func result(_ parameters: [JSONValue?], _ approvals: ([String]) throws -> [JSONValue]) throws -> DocumentError
            .Code?
        {
            let made = try log(parameters, by: key)
            let entry = try JSONValue.parse(made.bytes.split(separator: 10).first.map { Array($0) } ?? [])
            let did = try WebDID(parsing: try entry.value("state").string("id"))
            #expect(did.witnessURL == "https://node.example/.well-known/did-witness.json")
            let file = JSONValue.array(try approvals(made.versions)).serialized()
            return code { _ = try WebVHLog(made.bytes, resolving: did, now: later, witnessProofs: file) }
        }
        let two = witness(2, all)
        #expect(try result([two]) { [try approval($0[0], [all[0], all[2]])] } == nil)
        #expect(try result([two]) { [try approval($0[0], [all[0]])] } == .badLog)
        #expect(try result([two]) { _ in [] } == .badLog)
        // One witness twice, a stranger, the controller, or a proof that does not hold: not two.
        #expect(try result([two]) { [try approval($0[0], [all[0], all[0]])] } == .badLog)
        #expect(try result([two]) { [try approval($0[0], [all[0]]), try approval($0[0], [all[0]])] } == .badLog)
        #expect(try result([two]) { [try approval($0[0], [all[0], stranger, key])] } == .badLog)
        let broken = { (versions: [String]) throws -> [JSONValue] in
            var forged = try approval(versions[0], [stranger]).array("proof")[0].requireObject("a proof")
            forged["verificationMethod"] = .string(all[1].did.verificationMethod)
            return [
                try approval(versions[0], [all[0]]), ["versionId": .string(versions[0]), "proof": [.object(forged)]],
            ]
        }
        #expect(try result([two], broken) == .badLog)
        // Of another log, or of an entry not published: no evidence for any other.
        #expect(try result([two]) { [try approval($0[0], [all[0]]), try approval("1-QmOther", [all[1]])] } == .badLog)
        #expect(try result([two]) { [try approval($0[0], [all[0]]), try approval("2-QmNext", [all[1]])] } == .badLog)
        // A later approval is one of all before it, an earlier one not of what follows.
        #expect(try result([two, nil, nil]) { [try approval($0[2], [all[1], all[2]])] } == nil)
        #expect(
            try result([two, nil, nil]) { [try approval($0[2], [all[1]]), try approval($0[0], [all[0]])] } == .badLog
        )
        // A new list counts from the next entry on; the last of an old one is still approved by it.
        let other = witness(1, [stranger])
        #expect(try result([two, other]) { [try approval($0[1], [all[0], all[1]])] } == nil)
        #expect(
            try result([two, other]) { [try approval($0[0], [all[0], all[1]]), try approval($0[1], [stranger])] }
                == .badLog
        )
        #expect(
            try result([two, other, nil]) { [try approval($0[1], [all[0], all[1]]), try approval($0[2], [stranger])] }
                == nil
        )
        #expect(try result([two, [:], nil]) { [try approval($0[1], [all[0], all[1]])] } == nil)
        #expect(try result([two, [:], nil]) { [try approval($0[0], [all[0], all[1]])] } == .badLog)
        // Where there were none, the first list counts at once.
        #expect(try result([nil, other]) { [try approval($0[1], [stranger])] } == nil)
        #expect(try result([nil, other]) { _ in [] } == .badLog)
        for bad: JSONValue in [
            witness(0, all), witness(4, all), witness(1, []), witness(1, [all[0], all[0]]), ["threshold": 1], 7, [],
            ["threshold": "1", "witnesses": [["id": .string(all[0].did.string)]]],
            ["threshold": 1, "witnesses": [["id": "did:web:node.example"]]],
            ["threshold": 1, "witnesses": [["id": .string(DIDKey(P256.PrivateKey().publicKey).string)]]],
        ] {
            #expect(try result([bad]) { [try approval($0[0], all)] } == .badLog, "\(bad)")
        }
        let made = try log([two], by: key)
        let did = try WebDID(
            parsing: "did:webvh:\(try JSONValue.parse(made.bytes).value("parameters").string("scid")):node.example"
        )
        for file in ["{}", "", "[1]", "[{\"proof\":[]}]", String(repeating: " ", count: 600_000)] {
            #expect(
                code { _ = try WebVHLog(made.bytes, resolving: did, now: later, witnessProofs: Array(file.utf8)) }
                    == .badLog
            )
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
