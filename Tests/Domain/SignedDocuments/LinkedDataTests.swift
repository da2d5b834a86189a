import CanonicalJSON
import Cryptography
import Encodings
import TestSupport
import Testing

@testable import SignedDocuments

/// Reads N-Quads as the W3C's tests write them; for these tests only.
private struct NQuads {
    private var scalars: [Unicode.Scalar]
    private var position = 0
    private var blanks: [String: Int] = [:]

    init(_ text: String) {
        scalars = Array(text.unicodeScalars)
    }

    mutating func quads() throws -> [RDFQuad] {
        var result: [RDFQuad] = []
        while true {
            while position < scalars.count, scalars[position].properties.isWhitespace { position += 1 }
            if position < scalars.count, scalars[position] == "#" {
                while position < scalars.count, scalars[position] != "\n" { position += 1 }
                continue
            }
            guard position < scalars.count else { return result }
            let subject = try term()
            guard case .iri(let predicate) = try term() else { throw TestError("no predicate") }
            let object = try term()
            skip()
            let graph: RDFQuad.Term? = scalars[position] == "." ? nil : try term()
            skip()
            position += 1
            result.append(RDFQuad(subject: subject, predicate: predicate, object: object, graph: graph))
        }
    }

    private mutating func skip() {
        while position < scalars.count, scalars[position] == " " || scalars[position] == "\t" { position += 1 }
    }

    private mutating func term() throws -> RDFQuad.Term {
        skip()
        switch scalars[position] {
        case "<":
            position += 1
            return .iri(try until(">"))
        case "_":
            var name = ""
            while position < scalars.count, !scalars[position].properties.isWhitespace {
                name.unicodeScalars.append(scalars[position])
                position += 1
            }
            if name.hasSuffix(".") { position -= 1; name.removeLast() }
            let number = blanks[name] ?? blanks.count
            blanks[name] = number
            return .blank(number)
        default:
            position += 1
            let value = try until("\"")
            if scalars[position] == "@" {
                position += 1
                var language = ""
                while !scalars[position].properties.isWhitespace {
                    language.unicodeScalars.append(scalars[position])
                    position += 1
                }
                return .literal(value, datatype: RDFQuad.xsdString, language: language)
            }
            guard scalars[position] == "^" else { return .literal(value, datatype: RDFQuad.xsdString, language: nil) }
            position += 3
            return .literal(value, datatype: try until(">"), language: nil)
        }
    }

    private mutating func until(_ end: Unicode.Scalar) throws -> String {
        var text = ""
        while scalars[position] != end {
            if scalars[position] == "\\" {
                position += 1
                switch scalars[position] {
                case "n": text += "\n"
                case "r": text += "\r"
                case "t": text += "\t"
                case "b": text += "\u{8}"
                case "f": text += "\u{C}"
                case "u", "U":
                    let count = scalars[position] == "u" ? 4 : 8
                    let digits = String(String.UnicodeScalarView(scalars[(position + 1)...(position + count)]))
                    let code = try #require(UInt32(digits, radix: 16))
                    text.unicodeScalars.append(try #require(Unicode.Scalar(code)))
                    position += count
                case let other: text.unicodeScalars.append(other)
                }
            } else {
                text.unicodeScalars.append(scalars[position])
            }
            position += 1
        }
        position += 1
        return text
    }
}

private struct TestError: Error {
    let message: String
    init(_ message: String) { self.message = message }
}

@Suite("Linked data: RDFC-1.0 and eddsa-rdfc-2022")
struct LinkedDataTests {
    private static let now = Timestamp(secondsSince1970: 1_795_219_200)

    private func fixture(_ path: String) throws -> JSONValue { try JSONValue.parse(try Fixtures.bytes(path)) }

    @Test("the W3C's tests of RDF canonicalisation, the poison graphs with them")
    func canonicalisation() throws {
        let vectors = try #require(try fixture("w3c-rdf-canon/rdfc10.json")["vectors"]?.arrayValue)
        #expect(vectors.count > 55)
        for vector in vectors {
            let name = try vector.string("name")
            var reader = NQuads(try vector.string("input"))
            let quads = try reader.quads()
            if vector["refused"] == true {
                #expect(code { _ = try RDFCanonicalization.canonicalize(quads) } == .tooComplex, "\(name)")
                continue
            }
            for order in [quads, quads.reversed()] {
                let canonical = String(decoding: try RDFCanonicalization.canonicalize(order), as: UTF8.self)
                #expect(canonical == (try vector.string("canonical")), "\(name)")
            }
        }
    }

    @Test("the W3C's vectors of eddsa-rdfc-2022: canonical forms, hashes, proofs made and verified")
    func publishedVectors() throws {
        let vectors = try fixture("w3c-vc-di-eddsa/eddsa-rdfc-2022.json")
        let secret = try Multibase.decode(try vectors.string("privateKeyMultibase"))
        let key = DocumentKey(try Ed25519.PrivateKey(seed: [UInt8](secret.dropFirst(2))))
        for vector in try vectors.array("cases") {
            let signed = try vector.object("signed")
            var unsigned = signed
            var proof = try #require(unsigned.removeValue(forKey: "proof")?.objectValue)
            proof.removeValue(forKey: "proofValue")
            let suite = Cryptosuite.eddsaRDFC2022
            #expect(
                String(decoding: try suite.canonical(unsigned, without: "proof"), as: UTF8.self)
                    == (try vector.string("canonicalDocument"))
            )
            var configuration = proof
            configuration["@context"] = unsigned["@context"]
            #expect(
                String(decoding: try suite.canonical(configuration, without: "proofValue"), as: UTF8.self)
                    == (try vector.string("canonicalProof"))
            )
            #expect(
                Hex.encode(try suite.signedBytes(proof: proof, document: unsigned))
                    == (try vector.string("combinedHash"))
            )
            let verified = try DataIntegrity.verify(signed, suites: [suite])
            #expect(verified.signer.string == "did:key:" + (try vectors.string("publicKeyMultibase")))
            let again = try DataIntegrity.sign(
                unsigned,
                by: key,
                suite: suite,
                created: try Timestamp(rfc3339: try proof.string("created"))
            )
            #expect(again["proof"]?["proofValue"]?.stringValue == (try vector.string("proofValue")))
        }
    }

    @Test("[PASS-7] the W3C's proof sets and chains: each single proof holds, a set or a chain of them is refused")
    func proofSetsAndChains() throws {
        let vectors = try fixture("w3c-vc-di-eddsa/proof-set-chain.json")
        let document = try vectors.object("document")
        let proofs = try vectors.array("proofs")
        var methods = VerificationMethods()
        for proof in proofs {
            let method = try proof.string("verificationMethod")
            let parts = method.split(separator: "#").map(String.init)
            let listed: JSONValue = [
                "id": .string(method), "type": "Multikey", "controller": .string(parts[0]),
                "publicKeyMultibase": .string(parts[1]),
            ]
            try methods.add(
                ["id": .string(parts[0]), "verificationMethod": [listed], "assertionMethod": [.string(method)]],
                of: parts[0]
            )
        }
        func verdict(_ proof: JSONValue) -> DocumentError.Code? {
            var signed = document
            signed["proof"] = proof
            return code { _ = try DataIntegrity.verify(signed, suites: [.eddsaRDFC2022], methods: methods) }
        }
        // What is refused below is not refused for its signatures.
        #expect(verdict(proofs[0]) == nil && verdict(proofs[1]) == nil)
        // B.3: the set of both; B.4: the chains on it; a set of one.
        #expect(verdict(.array(Array(proofs[0...1]))) == .malformedProof)
        #expect(verdict(.array(Array(proofs[0...2]))) == .malformedProof)
        #expect(verdict(.array(proofs)) == .malformedProof)
        #expect(verdict([proofs[0]]) == .malformedProof)
        // The end of a chain shown as if it were the only proof, of one and of several before it.
        #expect(verdict(proofs[2]) == .unsupportedProof)
        #expect(verdict(proofs[3]) == .unsupportedProof)
    }

    @Test("[FORM-2] a context that is not built in, or is an object, is refused and never fetched")
    func contexts() throws {
        let base: JSONValue = "https://www.w3.org/ns/credentials/v2"
        for context: JSONValue in [
            [base, "https://evil.example/context"], [base, ["name": "https://a.example/x"]], [], 7,
        ] {
            var document = try document()
            document["@context"] = context
            #expect(code { _ = try JSONLDReader.quads(of: document) } == .unknownContext)
        }
        var bare = try document()
        bare.removeValue(forKey: "@context")
        #expect(code { _ = try JSONLDReader.quads(of: bare) } == .unknownContext)
    }

    private func document() throws -> JSONObject {
        [
            "@context": [
                "https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/undefined-terms/v2",
            ],
            "id": "urn:uuid:1", "type": ["VerifiableCredential"], "issuer": "did:example:i",
            "credentialSubject": [
                "id": "did:example:s", "spendLimit": ["amountMinor": "5"], "capability": ["a", "b"],
            ],
        ]
    }

    /// Whoever holds a document must not be able to write it anew so that the signature stands and a reader sees less.
    @Test("[FORM-3] the same statements in another notation are refused: no member can be hidden")
    func otherNotations() throws {
        let key = DocumentKey(Ed25519.PrivateKey())
        let signed = try DataIntegrity.sign(try document(), by: key, suite: .eddsaRDFC2022, created: Self.now)
        #expect(try DataIntegrity.verify(signed, suites: [.eddsaRDFC2022]).controller == key.did.string)
        func rewritten(_ change: (inout JSONObject) -> Void) throws -> DocumentError.Code? {
            var copy = signed
            var subject = try signed.object("credentialSubject")
            change(&subject)
            copy["credentialSubject"] = .object(subject)
            return code { _ = try DataIntegrity.verify(copy, suites: [.eddsaRDFC2022]) }
        }
        let term = "https://www.w3.org/ns/credentials/undefined-term#"
        #expect(
            try rewritten {
                let limit = $0.removeValue(forKey: "spendLimit")
                $0[term + "spendLimit"] = limit
            } == .notLinkedData
        )
        #expect(
            try rewritten {
                let limit = $0.removeValue(forKey: "spendLimit")
                $0["@graph"] = limit
            } == .notLinkedData
        )
        #expect(try rewritten { $0["spendLimit"] = ["id": "_:b0", "amountMinor": "5"] } == .notLinkedData)
        #expect(try rewritten { $0["capability"] = [["a", "b"]] } == .notLinkedData)
        #expect(
            try rewritten {
                $0["more"] = nil; $0["nothing"] = .null
            } == .notLinkedData
        )
        #expect(try rewritten { $0["capability"] = ["@set": ["a", "b"]] } == .notLinkedData)
        #expect(try rewritten { $0["@context"] = "https://www.w3.org/ns/credentials/v2" } == .notLinkedData)
        #expect(try rewritten { $0["capability"] = ["a"] } == .badSignature)
        // The subject described a second time, elsewhere.
        var twice = signed
        twice["evidence"] = ["id": "did:example:s", "spendLimit": ["amountMinor": "5"]]
        #expect(code { _ = try DataIntegrity.verify(twice, suites: [.eddsaRDFC2022]) } == .notLinkedData)
    }

    @Test("a term that no context defines is refused, as no signature would cover it")
    func droppedTerms() throws {
        var document = try document()
        document["@context"] = ["https://www.w3.org/ns/credentials/v2"]
        #expect(code { _ = try JSONLDReader.quads(of: document) } == .notLinkedData)
    }

    @Test("a document of thousands of statements, and one of look-alike nodes, are refused in time")
    func bounds() throws {
        var wide = try document()
        wide["credentialSubject"] = ["id": "did:example:s", "x": .array((0..<3_000).map { .string(String($0)) })]
        #expect(code { _ = try JSONLDReader.quads(of: wide) } == .notLinkedData)
        var twins = try document()
        twins["credentialSubject"] = .array((0..<2).map { _ in ["x": .array((0..<12).map { _ in ["y": "same"] })] })
        #expect(code { _ = try Cryptosuite.eddsaRDFC2022.canonical(twins, without: "proof") } == .tooComplex)
    }
}
