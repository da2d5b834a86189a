import CanonicalJSON
import Cryptography
import Encodings
import TestSupport
import Testing

@testable import SignedDocuments

@Suite("eddsa-jcs-2022")
struct DataIntegrityTests {
    private static let now = Timestamp(secondsSince1970: 1_795_219_200)

    private func vectors() throws -> JSONObject {
        try #require(try JSONValue.parse(try Fixtures.bytes("w3c-vc-di-eddsa/eddsa-jcs-2022.json")).objectValue)
    }

    private func text(_ vectors: JSONObject, _ key: String) throws -> String {
        try #require(vectors[key]?.stringValue)
    }

    @Test("the W3C's vectors: canonical forms, hashes and the signed credential")
    func publishedVectors() throws {
        let vectors = try vectors()
        let unsigned = try #require(vectors["unsigned"]?.objectValue)
        let options = try #require(vectors["proofOptions"]?.objectValue)
        #expect(
            String(decoding: try unsigned.canonicalized(), as: UTF8.self) == (try text(vectors, "canonicalDocument"))
        )
        #expect(String(decoding: try options.canonicalized(), as: UTF8.self) == (try text(vectors, "canonicalProof")))
        let combined = try DataIntegrity.signedBytes(proof: options, document: unsigned)
        #expect(Hex.encode(combined) == (try text(vectors, "combinedHash")))

        let signed = try #require(vectors["signed"]?.objectValue)
        let proof = try DataIntegrity.verify(signed)
        #expect(proof.signer.string == "did:key:" + (try text(vectors, "publicKeyMultibase")))
        #expect(proof.created == (try Timestamp(rfc3339: "2023-02-24T23:36:38Z")))
    }

    @Test("signing the W3C's document with its key gives its very proof")
    func publishedSignature() throws {
        let vectors = try vectors()
        let secret = try Multibase.decode(try text(vectors, "privateKeyMultibase"))
        let key = try Ed25519.PrivateKey(seed: [UInt8](secret.dropFirst(2)))
        let signed = try DataIntegrity.sign(
            try #require(vectors["unsigned"]?.objectValue),
            key: key,
            created: try Timestamp(rfc3339: "2023-02-24T23:36:38Z")
        )
        #expect(signed == vectors["signed"]?.objectValue)
        #expect(signed["proof"]?["proofValue"]?.stringValue == (try text(vectors, "proofValue")))
    }

    @Test("what was signed verifies, with and without contexts, and a byte changed anywhere does not")
    func roundTripAndTampering() throws {
        var random = SeededRandom(seed: 7)
        for round in 0..<20 {
            let key = try Ed25519.PrivateKey(seed: random.bytes(32))
            var document = JSONObject()
            if round.isMultiple(of: 2) { document["@context"] = ["https://one.example", "https://two.example"] }
            document["n"] = .integer(Int64(round))
            document["text"] = .string(Hex.encode(random.bytes(round)))
            document["nested"] = ["a": [1, 2, 3], "ö": "é"]
            let signed = try DataIntegrity.sign(document, key: key, created: Self.now)
            #expect(try DataIntegrity.verify(signed).signer == DIDKey(key.publicKey))
            let reparsed = try #require(try JSONValue.parse(JSONValue.object(signed).serialized()).objectValue)
            #expect(try DataIntegrity.verify(reparsed).created == Self.now)

            var changed = signed
            changed["n"] = .integer(Int64(round) + 1)
            #expect(code { _ = try DataIntegrity.verify(changed) } == .badSignature)
            changed = signed
            changed["extra"] = true
            #expect(code { _ = try DataIntegrity.verify(changed) } == .badSignature)
            changed = signed
            var proof = try #require(signed["proof"]?.objectValue)
            proof["created"] = "2026-11-22T00:00:00Z"
            changed["proof"] = .object(proof)
            #expect(code { _ = try DataIntegrity.verify(changed) } == .badSignature)
        }
    }

    private func signedSample(_ change: (inout JSONObject) -> Void) throws -> JSONObject {
        let key = try Ed25519.PrivateKey(seed: [UInt8](repeating: 3, count: 32))
        var signed = try DataIntegrity.sign(["a": 1, "@context": ["https://one.example"]], key: key, created: Self.now)
        var proof = try #require(signed["proof"]?.objectValue)
        change(&proof)
        signed["proof"] = .object(proof)
        return signed
    }

    @Test("each fault in a proof has its code")
    func proofFaults() throws {
        func verdict(_ change: (inout JSONObject) -> Void) throws -> DocumentError.Code? {
            let document = try signedSample(change)
            return code { _ = try DataIntegrity.verify(document) }
        }
        #expect(try verdict { _ in } == nil)
        #expect(try verdict { $0["type"] = "Ed25519Signature2020" } == .unsupportedProof)
        #expect(try verdict { $0["cryptosuite"] = "eddsa-rdfc-2022" } == .unsupportedProof)
        #expect(try verdict { $0["previousProof"] = "urn:uuid:1" } == .unsupportedProof)
        #expect(try verdict { $0["proofPurpose"] = "authentication" } == .wrongPurpose)
        #expect(try verdict { _ = $0.removeValue(forKey: "verificationMethod") } == .malformedProof)
        #expect(try verdict { $0["verificationMethod"] = "did:key:z6Mk" } == .malformedDID)
        #expect(
            try verdict {
                let p256 = "zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv"
                $0["verificationMethod"] = .string("did:key:\(p256)#\(p256)")
            } == .unsupportedKey
        )
        #expect(try verdict { $0["created"] = "yesterday" } == .malformedProof)
        #expect(try verdict { $0["created"] = 5 } == .malformedProof)
        #expect(try verdict { $0["expires"] = "2026-11-21" } == .malformedProof)
        #expect(try verdict { $0["proofValue"] = "z1" } == .malformedProof)
        #expect(
            try verdict { $0["proofValue"] = .string("z" + String(repeating: "2", count: 90_000)) } == .malformedProof
        )
        #expect(try verdict { $0["proofValue"] = .null } == .malformedProof)
        #expect(try verdict { $0["@context"] = ["https://two.example"] } == .wrongContext)
        #expect(try verdict { $0["@context"] = ["https://one.example", "https://two.example"] } == .wrongContext)
        let other = DIDKey(Ed25519.PrivateKey().publicKey)
        #expect(try verdict { $0["verificationMethod"] = .string(other.verificationMethod) } == .badSignature)
    }

    @Test("documents without a proof, with a set of proofs, or signed twice are refused")
    func documentFaults() throws {
        #expect(code { _ = try DataIntegrity.verify(["a": 1]) } == .proofMissing)
        let signed = try signedSample { _ in }
        var set = signed
        set["proof"] = [try #require(signed["proof"])]
        #expect(code { _ = try DataIntegrity.verify(set) } == .malformedProof)
        let key = Ed25519.PrivateKey()
        #expect(code { _ = try DataIntegrity.sign(signed, key: key, created: Self.now) } == .notSignable)
    }

    @Test("a document may append contexts of its own after those of its proof, as the standard allows")
    func appendedContext() throws {
        var signed = try signedSample { _ in }
        signed["@context"] = ["https://one.example", "https://two.example"]
        #expect(try DataIntegrity.verify(signed).created == Self.now)
        signed["@context"] = ["https://two.example", "https://one.example"]
        #expect(code { _ = try DataIntegrity.verify(signed) } == .wrongContext)
    }
}
