import CanonicalJSON
import Cryptography
import Encodings
import Passports
import SignedDocuments
import TestSupport
import Testing

@Suite("Status lists")
struct StatusListTests {
    @Test("[STAT-1] index 0 is the left-most bit, and encoding comes back")
    func bitmap() throws {
        var bitmap = StatusBitmap()
        #expect(bitmap.count == 131_072)
        bitmap.set(0)
        bitmap.set(9)
        bitmap.set(131_071)
        #expect(bitmap.bytes[0] == 0x80 && bitmap.bytes[1] == 0x40 && bitmap.bytes.last == 0x01)
        #expect(!bitmap.set(131_072) && !bitmap.set(-1))
        #expect(bitmap.isSet(131_072) == nil && bitmap.isSet(-1) == nil)
        #expect(try StatusBitmap(encoded: try bitmap.encoded()) == bitmap)
        #expect(bitmap.population == 3)
        bitmap.set(9, to: false)
        #expect(bitmap.isSet(9) == false && bitmap.isSet(0) == true)
    }

    @Test("[STAT-1] the standard's own example of an empty list is read")
    func standardExample() throws {
        // Bitstring Status List 1.0, Example 3: 131,072 zero bits.
        let text = "uH4sIAAAAAAAAA-3BMQEAAADCoPVPbQwfoAAAAAAAAAAAAAAAAAAAAIC3AYbSVKsAQAAA"
        let bitmap = try StatusBitmap(encoded: text)
        #expect(bitmap == StatusBitmap())
    }

    @Test("[STAT-1] random lists keep every bit")
    func randomLists() throws {
        var random = SeededRandom(seed: 3)
        for _ in 0..<5 {
            var bitmap = StatusBitmap()
            var expected: Set<Int> = []
            for _ in 0..<500 {
                let index = Int.random(in: 0..<bitmap.count, using: &random)
                bitmap.set(index)
                expected.insert(index)
            }
            let read = try StatusBitmap(encoded: try bitmap.encoded())
            #expect(read.population == expected.count)
            #expect(expected.allSatisfy { read.isSet($0) == true })
        }
    }

    @Test("[STAT-1] lists that are too short, too long, or bombs are refused")
    func hostileLists() throws {
        func code(_ bytes: [UInt8]) throws -> PassportReason.Code? {
            let text = Multibase.encode(try Gzip.compress(bytes), as: .base64url)
            return reasonCode { _ = try StatusBitmap(encoded: text) }
        }
        #expect(try code([UInt8](repeating: 0, count: 16_383)) == .statusInvalid)
        #expect(try code([UInt8](repeating: 0, count: 16_384)) == nil)
        #expect(try code([UInt8](repeating: 0, count: 131_072)) == nil)
        #expect(try code([UInt8](repeating: 0, count: 131_073)) == .statusInvalid)
        #expect(try code([UInt8](repeating: 0, count: 50 << 20)) == .statusInvalid)
        for text in ["", "u", "z111", "H4sI", "uAAAA", "u" + String(repeating: "A", count: 300_000)] {
            #expect(reasonCode { _ = try StatusBitmap(encoded: text) } == .statusInvalid)
        }
    }

    @Test("[STAT-3] [STAT-4] a credential carries purpose, validity, ttl and sequence, and verifies")
    func credential() throws {
        let list = Sample.list(.suspension, sequence: 17) { $0.bitmap.set(42) }
        let document = try StatusListCredential.issue(list, by: Sample.issuer, now: Sample.now)
        #expect(document["credentialSubject"]?["ttl"] == 60_000)
        #expect(document["credentialSubject"]?["sequence"] == 17)
        let read = try StatusListCredential.verify(bytes: document.serialized(), url: Sample.suspensionURL)
        #expect(read == list)
        #expect(read.contentDigest == list.contentDigest)
        #expect(Sample.list(.suspension).contentDigest != list.contentDigest)
        #expect(Sample.list(.revocation).contentDigest != Sample.list(.suspension).contentDigest)
    }

    private func verdict(url: String = Sample.listURL, _ change: (inout JSONObject) throws -> Void) throws
        -> PassportReason.Code?
    {
        var document = try StatusListCredential.issue(Sample.list(), by: Sample.issuer, now: Sample.now)
        document["proof"] = nil
        try change(&document)
        let signed =
            document["proof"] == nil
            ? try DataIntegrity.sign(document, by: Sample.issuer, created: Sample.now) : document
        return reasonCode { _ = try StatusListCredential.verify(signed, url: url) }
    }

    private func subject(_ name: String, _ value: JSONValue?) throws -> PassportReason.Code? {
        try verdict { document in
            var subject = try document.object("credentialSubject")
            subject[name] = value
            document["credentialSubject"] = .object(subject)
        }
    }

    @Test("[STAT-6] a list that is not at its own URL, or signed by another, is refused")
    func provenance() throws {
        #expect(try verdict { _ in } == nil)
        #expect(try verdict(url: "https://node.example/status/9") { _ in } == .statusInvalid)
        #expect(try verdict { $0["issuer"] = .string(DIDKey(Sample.key(9).publicKey).string) } == .statusInvalid)
        var unsigned = try StatusListCredential.issue(Sample.list(), by: Sample.issuer, now: Sample.now)
        unsigned["proof"] = nil
        #expect(reasonCode { _ = try StatusListCredential.verify(unsigned, url: Sample.listURL) } == .statusInvalid)
        #expect(throws: PassportReason.self) {
            try StatusListCredential.issue(Sample.list(), by: DocumentSigner(Sample.key(9)), now: Sample.now)
        }
    }

    @Test("each member of a list out of shape is refused")
    func shapes() throws {
        #expect(try verdict { $0["type"] = ["VerifiableCredential"] } == .statusInvalid)
        #expect(try verdict { $0["validUntil"] = nil } == .statusInvalid)
        #expect(try verdict { $0["validFrom"] = nil } == .statusInvalid)
        #expect(try verdict { $0["validUntil"] = "2026-12-23T00:00:00Z" } == .statusInvalid)
        #expect(try verdict { $0["validUntil"] = "2020-01-01T00:00:00Z" } == .statusInvalid)
        #expect(try subject("type", "BitstringStatusListX") == .statusInvalid)
        #expect(try subject("statusPurpose", "message") == .statusInvalid)
        #expect(try subject("statusPurpose", ["revocation", "suspension"]) == .statusInvalid)
        for sequence: JSONValue? in [nil, -1, "5", 1.5] { #expect(try subject("sequence", sequence) == .statusInvalid) }
        for ttl: JSONValue in [-1, "5", 1.5] { #expect(try subject("ttl", ttl) == .statusInvalid) }
        #expect(try subject("ttl", nil) == nil)
        #expect(try subject("encodedList", nil) == .statusInvalid)
        #expect(try subject("encodedList", "uAAAA") == .statusInvalid)
        #expect(reasonCode { _ = try StatusListCredential.verify(bytes: Array("[]".utf8), url: "x") } == .statusInvalid)
        #expect(
            reasonCode {
                _ = try StatusListCredential.verify(
                    bytes: [UInt8](repeating: 0x20, count: StatusListCredential.maximumBytes + 1),
                    url: "x"
                )
            } == .statusInvalid
        )
    }

    @Test("[STAT-9] the largest list, of random bits, fits the bound on a document")
    func largest() throws {
        var random = SeededRandom(seed: 4)
        let list = Sample.list { list in
            if let bitmap = try? StatusBitmap(bytes: random.bytes(StatusBitmap.maximumEntries / 8)) {
                list.bitmap = bitmap
            }
        }
        let bytes = try StatusListCredential.issue(list, by: Sample.issuer, now: Sample.now).serialized()
        #expect(bytes.count > 170_000 && bytes.count <= StatusListCredential.maximumBytes)
        #expect(StatusListCredential.maximumBytes == 196_608)
        #expect(try StatusListCredential.verify(bytes: bytes, url: Sample.listURL).bitmap == list.bitmap)
    }
}
