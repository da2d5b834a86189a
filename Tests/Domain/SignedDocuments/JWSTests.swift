import CanonicalJSON
import Cryptography
import Encodings
import SignedDocuments
import TestSupport
import Testing

@Suite("JSON Web Signatures")
struct JWSTests {
    private func vectors(_ name: String) throws -> [JSONValue] {
        try #require(try JSONValue.parse(try Fixtures.bytes("jose/jws.json"))[name]?.arrayValue)
    }

    private func encode(_ text: String) -> String { Base64URL.encode(Array(text.utf8)) }

    @Test("RFC 7515 and RFC 8037: RS256, ES256 and EdDSA verify, and nothing changed does")
    func published() throws {
        let vectors = try vectors("valid")
        #expect(vectors.count == 3)
        let keys = try vectors.map { try JSONWebKey(json: try #require($0["key"])) }
        for (index, vector) in vectors.enumerated() {
            let text = try #require(vector["jws"]?.stringValue)
            let jws = try JWS(compact: text)
            #expect(String(decoding: jws.payload, as: UTF8.self) == vector["payload"]?.stringValue)
            #expect(jws.isSigned(by: keys), "\(vector["name"] ?? .null)")
            #expect(!jws.isSigned(by: keys.enumerated().filter { $0.offset != index }.map(\.element)))
            let parts = text.split(separator: ".").map(String.init)
            let forged = try JWS(compact: [parts[0], encode("{\"sub\":\"eve\"}"), parts[2]].joined(separator: "."))
            #expect(!forged.isSigned(by: keys))
            var signature = try Base64URL.decode(parts[2])
            signature[signature.count / 2] ^= 1
            let bent = try JWS(compact: [parts[0], parts[1], Base64URL.encode(signature)].joined(separator: "."))
            #expect(!bent.isSigned(by: keys))
            let short = [parts[0], parts[1], Base64URL.encode(Array(signature.dropLast()))].joined(separator: ".")
            #expect(!(try JWS(compact: short).isSigned(by: keys)))
        }
    }

    @Test("HMACs, none and what is not understood are refused before any key is looked at")
    func refused() throws {
        for vector in try vectors("refused") {
            let error = #expect(throws: DocumentError.self) { try JWS(compact: vector["jws"]?.stringValue ?? "") }
            #expect(error?.code == .unsupportedProof, "\(vector["name"] ?? .null)")
        }
        let headers: [(String, DocumentError.Code)] = [
            ("{\"alg\":\"None\"}", .unsupportedProof), ("{\"alg\":\"rs256\"}", .unsupportedProof),
            ("{\"alg\":\"ES384\"}", .unsupportedProof), ("{}", .unsupportedProof),
            ("{\"alg\":\"EdDSA\",\"crit\":[\"b64\"],\"b64\":false}", .unsupportedProof),
            ("{\"alg\":\"EdDSA\",\"alg\":\"none\"}", .malformedProof), ("[]", .malformedProof), ("x", .malformedProof),
        ]
        for (header, code) in headers {
            let error = #expect(throws: DocumentError.self) { try JWS(compact: "\(encode(header)).e30.AA") }
            #expect(error?.code == code, "\(header)")
        }
        let head = encode("{\"alg\":\"EdDSA\"}")
        let long = String(repeating: "A", count: JWS.maximumBytes)
        for text in [
            "", ".", "..", "\(head).e30", "\(head).e30.AA.AA", "\(head).e30=.AA", "\(head).e3 .AA",
            "\(head).\(long).AA",
        ] {
            #expect(throws: DocumentError.self, "\(text.prefix(60))") { try JWS(compact: text) }
        }
    }

    @Test("The key that the token names is the one that is asked, and a key is for one algorithm")
    func keyChoice() throws {
        let mine = try Ed25519.PrivateKey(seed: [UInt8](repeating: 1, count: 32))
        let other = try Ed25519.PrivateKey(seed: [UInt8](repeating: 2, count: 32))
        func key(_ key: Ed25519.PrivateKey, _ id: String?) throws -> JSONWebKey {
            var json: JSONObject = [
                "kty": "OKP", "crv": "Ed25519", "x": .string(Base64URL.encode(key.publicKey.bytes)),
            ]
            json["kid"] = id.map(JSONValue.string)
            return try JSONWebKey(json: .object(json))
        }
        let input = encode("{\"alg\":\"EdDSA\",\"kid\":\"a\"}") + ".e30"
        let jws = try JWS(compact: input + "." + Base64URL.encode(try mine.sign(Array(input.utf8))))
        #expect(jws.isSigned(by: [try key(other, "b"), try key(mine, "a")]))
        #expect(!jws.isSigned(by: [try key(other, "a"), try key(mine, "b")]))
        #expect(jws.hasCandidate(in: [try key(other, "a")]))
        #expect(!jws.hasCandidate(in: [try key(mine, "b"), try key(mine, nil)]))
    }

    @Test("Keys that are none, too small, or for something else")
    func badKeys() throws {
        let good = try vectors("valid").map { try #require($0["key"]?.objectValue) }
        let bad: [(Int, String, JSONValue, DocumentError.Code)] = [
            (0, "use", "enc", .unsupportedKey), (0, "alg", "RS512", .unsupportedKey), (0, "e", "AQ", .malformedKey),
            (0, "e", "Ag", .malformedKey), (0, "n", "AQAB", .malformedKey), (0, "n", nil, .malformedKey),
            (0, "key_ops", ["encrypt"], .unsupportedKey), (1, "crv", "P-384", .unsupportedKey),
            (1, "y", .string(Base64URL.encode([UInt8](repeating: 1, count: 32))), .malformedKey),
            (1, "x", "AQAB", .malformedKey), (2, "kty", "oct", .unsupportedKey), (2, "crv", "X25519", .unsupportedKey),
            (2, "x", "AQAB", .malformedKey), (2, "alg", "ES256", .unsupportedKey),
        ]
        for (index, name, value, code) in bad {
            var key = good[index]
            key[name] = value
            let error = #expect(throws: DocumentError.self) { try JSONWebKey(json: .object(key)) }
            #expect(error?.code == code, "\(name) \(value)")
        }
        // A set keeps what can be used.
        let set: JSONValue = ["keys": [.object(good[0]), ["kty": "oct", "k": "AA"], .object(good[2])]]
        #expect(try JSONWebKey.set(json: set).map(\.algorithm) == [.rs256, .edDSA])
        #expect(throws: DocumentError.self) { try JSONWebKey.set(json: []) }
    }
}
