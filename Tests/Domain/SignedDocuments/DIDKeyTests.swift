import CanonicalJSON
import Cryptography
import Encodings
import SignedDocuments
import TestSupport
import Testing

@Suite("did:key")
struct DIDKeyTests {
    private func vectors() throws -> JSONValue {
        try JSONValue.parse(try Fixtures.bytes("w3c-did-key/did-key.json"))
    }

    @Test("published did:keys of all three kinds give their keys, and back")
    func publishedVectors() throws {
        let vectors = try #require(try vectors()["vectors"]?.arrayValue)
        #expect(vectors.count == 12)
        for vector in vectors {
            let text = try #require(vector["did"]?.stringValue)
            let did = try DIDKey(parsing: text)
            #expect(did.kind.rawValue == vector["kind"]?.stringValue)
            #expect(did.string == text)
            if let seed = vector["seed"]?.stringValue {
                let key = try Ed25519.PrivateKey(seed: try Hex.decode(seed))
                #expect(DIDKey(key.publicKey).string == text)
                #expect(did.ed25519 == key.publicKey)
                #expect(DIDKey(key.publicKey) == did)
            }
            if let publicKey = vector["publicKey"]?.stringValue {
                #expect(Hex.encode(did.publicKey) == publicKey)
                #expect(did.ed25519 == nil)
            }
            #expect(try DIDKey(verificationMethod: did.verificationMethod) == did)
        }
    }

    @Test("a did:key of secp256k1 verifies as Wycheproof says, a high s as a low one (RFC 8812 §3.2)")
    func secp256k1() throws {
        let cases = try JSONValue.parse(
            try Fixtures.bytes("wycheproof/ecdsa-secp256k1.json"),
            limits: JSONLimits(maximumBytes: 4 << 20, maximumDepth: 8, maximumValues: 100_000)
        ).array("cases")
        var valid = 0
        for vector in cases {
            let point = try Secp256k1.Point(uncompressed: try Hex.decode(vector.string("key")))
            let key = Multibase.encode([0xE7, 0x01] + point.compressed, as: .base58btc)
            let did = try DIDKey(parsing: "did:key:\(key)")
            let signature = try Hex.decode(vector.string("signature"))
            let message = try Hex.decode(vector.string("message"))
            #expect(
                did.isValid(signature: signature, for: message) == vector["valid"]?.boolValue,
                "\(vector["note"] ?? .null)"
            )
            #expect(did.algorithm == .es256K)
            valid += vector["valid"]?.boolValue == true ? 1 : 0
        }
        #expect(valid > 50)
    }

    @Test("keys of kinds we don't verify with are refused by name")
    func unsupportedKinds() throws {
        for text in try #require(try vectors()["unsupported"]?.arrayValue).compactMap(\.stringValue) {
            #expect(throws: DocumentError.self) { try DIDKey(parsing: text) }
            #expect(code { _ = try DIDKey(parsing: text) } == .unsupportedKey)
        }
    }

    @Test(
        "text that is no did:key is refused",
        arguments: [
            "", "did:key:", "did:key:z", "did:web:node.example",
            "DID:KEY:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp",
            "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooW",
            "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWpX",
            "did:key:z0MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp",
            "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp#z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp",
            " did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp",
            "did:key:z6Mk\u{301}iTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp",
            "did:key:z" + String(repeating: "1", count: 120), "did:key:z" + String(repeating: "2", count: 100_000),
        ]
    )
    func malformed(text: String) {
        #expect(throws: DocumentError.self) { try DIDKey(parsing: text) }
    }

    @Test("a fragment must be the DID's own key")
    func foreignFragment() throws {
        let one = DIDKey(Ed25519.PrivateKey().publicKey)
        let other = DIDKey(Ed25519.PrivateKey().publicKey)
        #expect(throws: DocumentError.self) { try DIDKey(verificationMethod: "\(one.string)#\(other.multibaseKey)") }
        #expect(throws: DocumentError.self) { try DIDKey(verificationMethod: one.string) }
        #expect(throws: DocumentError.self) { try DIDKey(verificationMethod: one.string + "#") }
    }

    @Test("a digest is the multibase of a SHA-256 multihash, in base64url or base58btc, and nothing else")
    func digests() throws {
        let digest = Hashing.sha256(Array("mintmark".utf8))
        let text = MultihashDigest.encode(digest)
        #expect(text.hasPrefix("uEi"))
        #expect(try MultihashDigest.decode(text) == digest)
        #expect(try MultihashDigest.decode(Multibase.encode([0x12, 0x20] + digest, as: .base58btc)) == digest)
        for bad in [
            "", "u", Multibase.encode([0x13, 0x20] + digest, as: .base64url),
            Multibase.encode([0x12, 0x20] + digest.dropLast(), as: .base64url),
            Multibase.encode([0x12, 0x20] + digest + [0], as: .base64url), String(text.dropFirst()),
        ] {
            #expect(throws: DocumentError.self) { try MultihashDigest.decode(bad) }
        }
    }
}

/// The code a body throws, or nil.
func code(_ body: () throws -> Void) -> DocumentError.Code? {
    do {
        try body()
        return nil
    } catch let error as DocumentError {
        return error.code
    } catch {
        return nil
    }
}
