import CanonicalJSON
import Cryptography
import Encodings
import TestSupport
import Testing

@testable import SignedDocuments

@Suite("ecdsa-jcs-2019, did:jwk and resolved DID documents")
struct CryptosuiteTests {
    private static let now = Timestamp(secondsSince1970: 1_795_219_200)

    @Test("the W3C's vectors of ecdsa-jcs-2019 with P-256")
    func publishedVectors() throws {
        let vectors = try JSONValue.parse(try Fixtures.bytes("w3c-vc-di-ecdsa/ecdsa-jcs-2019-p256.json"))
        let signed = try vectors.object("signed")
        var unsigned = signed
        var proof = try #require(unsigned.removeValue(forKey: "proof")?.objectValue)
        proof.removeValue(forKey: "proofValue")
        #expect(
            String(decoding: try unsigned.canonicalized(), as: UTF8.self) == (try vectors.string("canonicalDocument"))
        )
        #expect(String(decoding: try proof.canonicalized(), as: UTF8.self) == (try vectors.string("canonicalProof")))
        let bytes = try Cryptosuite.ecdsaJCS2019.signedBytes(proof: proof, document: unsigned)
        #expect(Hex.encode(bytes) == (try vectors.string("combinedHash")))
        let verified = try DataIntegrity.verify(signed, suites: [.ecdsaJCS2019])
        #expect(verified.signer.string == "did:key:" + (try vectors.string("publicKeyMultibase")))
        // The published private key makes a proof that verifies; ECDSA's nonce is random here.
        let secret = try Multibase.decode(try vectors.string("secretKeyMultibase"))
        let key = DocumentKey(try P256.PrivateKey(bytes: [UInt8](secret.dropFirst(2))))
        #expect(key.did == verified.signer)
        let again = try DataIntegrity.sign(unsigned, by: key, suite: .ecdsaJCS2019, created: Self.now)
        #expect(try DataIntegrity.verify(again, suites: [.ecdsaJCS2019]).controller == key.did.string)
    }

    @Test("a proof is of the suites asked for, by a key of the suite's kind")
    func suites() throws {
        let p256 = DocumentKey(P256.PrivateKey())
        let edwards = DocumentKey(Ed25519.PrivateKey())
        let signed = try DataIntegrity.sign(["a": 1], by: p256, suite: .ecdsaJCS2019, created: Self.now)
        #expect(code { _ = try DataIntegrity.verify(signed) } == .unsupportedProof)
        #expect(
            code { _ = try DataIntegrity.sign(["a": 1], by: edwards, suite: .ecdsaJCS2019, created: Self.now) }
                == .unsupportedKey
        )
        // The suite's name changed to one that the key is not for, and the other way round.
        for (document, name) in [
            (signed, "eddsa-jcs-2022"),
            (try DataIntegrity.sign(["a": 1], by: edwards, suite: .eddsaJCS2022, created: Self.now), "ecdsa-jcs-2019"),
        ] {
            var confused = document
            var proof = try document.object("proof")
            proof["cryptosuite"] = .string(name)
            confused["proof"] = .object(proof)
            #expect(
                code { _ = try DataIntegrity.verify(confused, suites: Set(Cryptosuite.allCases)) } == .unsupportedKey
            )
        }
    }

    @Test("did:jwk reads back, and one with a private key or another kind is refused")
    func didJWK() throws {
        for key in [DIDKey(Ed25519.PrivateKey().publicKey), DIDKey(P256.PrivateKey().publicKey)] {
            let jwk = DIDJWK(key)
            #expect(try DIDJWK(parsing: jwk.string).key == key)
            #expect(try VerificationMethods().key(of: jwk.verificationMethod, purpose: .assertionMethod).key == key)
        }
        let secret: JSONObject = [
            "kty": "OKP", "crv": "Ed25519", "x": .string(Base64URL.encode([UInt8](repeating: 1, count: 32))), "d": "AA",
        ]
        #expect(code { _ = try DIDJWK(parsing: "did:jwk:" + Base64URL.encode(secret.serialized())) } == .malformedDID)
        #expect(
            code {
                _ = try DIDJWK(parsing: "did:jwk:" + Base64URL.encode(Array("{\"kty\":\"oct\",\"k\":\"AA\"}".utf8)))
            } == .unsupportedKey
        )
        #expect(
            code { _ = try DIDJWK(verificationMethod: DIDJWK(DIDKey(Ed25519.PrivateKey().publicKey)).string + "#1") }
                == .malformedDID
        )
    }

    @Test("the key of the secp256k1 vectors of did:key comes back from its JWK")
    func secp256k1() throws {
        let vectors = try JSONValue.parse(try Fixtures.bytes("w3c-did-key/did-key.json")).array("vectors")
        for vector in vectors {
            let did = try DIDKey(parsing: try vector.string("did"))
            #expect(try DIDKey(jwk: .object(did.jwk)) == did)
        }
    }

    @Test("a DID document's keys count for the purposes it lists, and only as its own")
    func documents() throws {
        let key = DocumentKey(Ed25519.PrivateKey())
        let did = "did:web:node.example"
        let document: JSONObject = [
            "id": .string(did),
            "verificationMethod": [
                [
                    "id": "#a", "type": "Multikey", "controller": .string(did),
                    "publicKeyMultibase": .string(key.did.multibaseKey),
                ],
                [
                    "id": "did:web:other.example#b", "type": "Multikey", "controller": .string(did),
                    "publicKeyMultibase": .string(key.did.multibaseKey),
                ],
                [
                    "id": "#c", "type": "Multikey", "controller": "did:web:other.example",
                    "publicKeyMultibase": .string(key.did.multibaseKey),
                ],
            ],
            "assertionMethod": ["#a", "#c", "did:web:other.example#b"],
        ]
        var methods = VerificationMethods()
        try methods.add(document, of: did)
        #expect(try methods.key(of: did + "#a", purpose: .assertionMethod).controller == did)
        #expect(code { _ = try methods.key(of: did + "#a", purpose: .authentication) } == .wrongPurpose)
        #expect(code { _ = try methods.key(of: did + "#c", purpose: .assertionMethod) } == .unresolvedDID)
        #expect(
            code { _ = try methods.key(of: "did:web:other.example#b", purpose: .assertionMethod) } == .unresolvedDID
        )
        #expect(code { try methods.add(document, of: "did:web:other.example") } == .malformedDID)
    }
}
