import Cryptography
import Encodings
import TestSupport
import Testing

@testable import HTTPSignatures

@Suite("RFC 9421 vectors")
struct SignatureVectorTests {
    /// The fixture's members, read by hand: this room's tests link no JSON.
    private let seed = "9f8362f87a484a954e6e740c5b4c0e84229139a20aa8ab56ff66586f6a7d29c5"
    private let publicKey = "26b40b8f93fff3d897112f7ebc582b232dbd72517d082fe83cfb30ddce43d1bb"

    private func facts() -> RequestFacts {
        RequestFacts(
            method: "POST",
            targetURI: "https://example.com/foo?param=Value&Pet=dog",
            headers: [
                ("Host", "example.com"), ("Date", "Tue, 20 Apr 2021 02:07:55 GMT"),
                ("Content-Type", "application/json"),
                ("Content-Length", " 18 "),
            ],
            hasBody: true
        )
    }

    @Test("B.2.6: the signature base and the Ed25519 signature")
    func ed25519() throws {
        let fixture = try Fixtures.text("rfc9421/ed25519-b26.json")
        #expect(fixture.contains(seed) && fixture.contains(publicKey))
        let parameters =
            #"("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#
        let base = try SignatureBase.build(
            components: ["date", "@method", "@path", "@authority", "content-type", "content-length"],
            parameters: parameters,
            facts: facts()
        )
        let expected = """
            "date": Tue, 20 Apr 2021 02:07:55 GMT
            "@method": POST
            "@path": /foo
            "@authority": example.com
            "content-type": application/json
            "content-length": 18
            "@signature-params": \(parameters)
            """
        #expect(String(decoding: base, as: UTF8.self) == expected)
        let signature = try Base64.decode(
            "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
        )
        let key = try Ed25519.PublicKey(bytes: try Hex.decode(publicKey))
        #expect(key.isValid(signature: signature, for: base))
        #expect(try Ed25519.PrivateKey(seed: try Hex.decode(seed)).sign(base) == signature)
    }

    /// What our own verifier says of the RFC's signature as it stands.
    private func refusal(_ facts: RequestFacts, _ parameters: String, _ signature: String) -> HTTPSignatureError.Code? {
        var facts = facts
        facts.headers += [("Signature-Input", "sig=\(parameters)"), ("Signature", "sig=:\(signature):")]
        do throws(HTTPSignatureError) {
            _ = try HTTPSignatures.verify(facts, now: Timestamp(secondsSince1970: 1_618_884_480))
            return nil
        } catch {
            return error.code
        }
    }

    @Test("B.4: a request changed on its way, as the RFC allows and as it does not")
    func transformations() throws {
        let parameters =
            #"("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519""#
        let signature =
            "ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA=="
        let fixture = try Fixtures.text("rfc9421/transformations-b4.json")
        #expect(fixture.contains(signature) && fixture.contains(publicKey))
        let key = try Ed25519.PublicKey(bytes: try Hex.decode(publicKey))
        let bytes = try Base64.decode(signature)
        func holds(
            _ method: String = "GET",
            _ uri: String = "https://example.org/demo?name1=Value1&Name2=value2",
            accept: [String] = ["application/json", "*/*"],
            more: [(String, String)] = []
        ) throws -> Bool {
            let facts = RequestFacts(
                method: method,
                targetURI: uri,
                headers: [("Host", "example.org"), ("Date", "Fri, 15 Jul 2022 14:24:55 GMT")]
                    + accept.map { ("Accept", $0) } + more
            )
            let base = try SignatureBase.build(
                components: ["@method", "@path", "@authority", "accept"],
                parameters: parameters,
                facts: facts
            )
            return key.isValid(signature: bytes, for: base)
        }
        #expect(try holds())
        #expect(try holds(more: [("Accept-Language", "en-US,en;q=0.5")]))
        #expect(try holds("GET", "https://example.org/demo?name1=Value1&Name2=value2&param=added"))
        #expect(try holds(accept: ["application/json, */*"]))
        #expect(try !holds("POST"))
        #expect(try !holds("GET", "https://example.com/demo?name1=Value1&Name2=value2"))
        #expect(try !holds(accept: ["*/*", "application/json"]))
        // It has no tag, no nonce and no end, and a key of no DID: nothing that our profile takes for its own.
        let facts = RequestFacts(
            method: "GET",
            targetURI: "https://example.org/demo?name1=Value1&Name2=value2",
            headers: [("Accept", "application/json"), ("Accept", "*/*")]
        )
        #expect(refusal(facts, parameters, signature) == .missing)
        #expect(refusal(facts, parameters + ";tag=\"\(HTTPSignatures.tag)\"", signature) == .notCovered)
    }

    @Test("4.3: the signature base and the P-256 signature of a client; our profile takes Ed25519 alone")
    func p256() throws {
        let fixture = try Fixtures.text("rfc9421/ecdsa-p256-43.json")
        let (x, y) = (
            "qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA", "Mc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0"
        )
        let signature =
            "X5spyd6CFnAG5QnDyHfqoSNICd+BUP4LYMz2Q0JXlb//4Ijpzp+kve2w4NIyqeAuM7jTDX+sNalzA8ESSaHD3A=="
        #expect(fixture.contains(x) && fixture.contains(y) && fixture.contains(signature))
        let parameters =
            #"("@method" "@authority" "@path" "content-digest" "content-type" "content-length");created=1618884475;keyid="test-key-ecc-p256""#
        var facts = facts()
        facts.headers.append(
            (
                "Content-Digest",
                "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
            )
        )
        let base = try SignatureBase.build(
            components: ["@method", "@authority", "@path", "content-digest", "content-type", "content-length"],
            parameters: parameters,
            facts: facts
        )
        let key = try P256.PublicKey(uncompressed: [4] + Base64URL.decode(x) + Base64URL.decode(y))
        #expect(key.isValid(signature: try Base64.decode(signature), for: base))
        #expect(refusal(facts, parameters, signature) == .missing)
    }

    @Test("B.2.6: parsing and writing its Signature-Input again gives the same text")
    func reserialised() throws {
        let text =
            #"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#
        let members = try StructuredFieldParser.dictionary(text, maximumBytes: 4096)
        guard case .innerList(let items, let parameters) = members.first?.value else {
            Issue.record("not an inner list")
            return
        }
        #expect("sig-b26=" + HTTPSignatures.innerList(items, parameters) == text)
    }

    @Test("derived components as section 2.2 gives them")
    func derivedComponents() throws {
        func line(_ component: String, _ uri: String) throws -> String {
            let facts = RequestFacts(method: "GET", targetURI: uri, headers: [])
            let base = try SignatureBase.build(components: [component], parameters: "()", facts: facts)
            return String(String(decoding: base, as: UTF8.self).split(separator: "\n")[0])
        }
        let uri = "https://www.Example.com:443/path?param=value"
        #expect(try line("@target-uri", uri) == "\"@target-uri\": \(uri)")
        #expect(try line("@authority", uri) == "\"@authority\": www.example.com")
        #expect(try line("@authority", "http://h:8402/") == "\"@authority\": h:8402")
        #expect(try line("@scheme", uri) == "\"@scheme\": https")
        #expect(try line("@path", uri) == "\"@path\": /path")
        #expect(try line("@path", "http://h") == "\"@path\": /")
        #expect(try line("@query", uri) == "\"@query\": ?param=value")
        #expect(try line("@query", "http://h/path?") == "\"@query\": ?")
        #expect(try line("@query", "http://h/path") == "\"@query\": ?")
        #expect(try line("@request-target", uri) == "\"@request-target\": /path?param=value")
        for bad in ["/path", "ftp://h/", "http://user@h/", "http:///x", "http://h/a b", "http://h/#x"] {
            #expect(throws: HTTPSignatureError.self) { try line("@path", bad) }
        }
        #expect(throws: HTTPSignatureError.self) { try line("@status", uri) }
        #expect(throws: HTTPSignatureError.self) { try line("x-absent", uri) }
    }

    @Test("lines of one header are trimmed and joined as section 2.1 says")
    func joinedLines() {
        let facts = RequestFacts(
            method: "GET",
            targetURI: "http://h/",
            headers: [("Cache-Control", "max-age=60"), ("X-Empty", ""), ("CACHE-control", "   must-revalidate\t")]
        )
        #expect(facts.value("cache-control") == "max-age=60, must-revalidate")
        #expect(facts.value("x-empty") == "")
        #expect(facts.value("x-other") == nil)
    }

    @Test("RFC 9530: the digest of its example body")
    func contentDigest() throws {
        // RFC 9530, D.1: {"hello": "world"} and a line feed.
        let body = Array("{\"hello\": \"world\"}\n".utf8)
        let header = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
        #expect(ContentDigest.header(for: body) == header)
        #expect(try ContentDigest.sha256(in: "sha-512=:AAAA:, " + header) == Hashing.sha256(body))
        try ContentDigest.check(header, sha256: Hashing.sha256(body))
        #expect(throws: HTTPSignatureError.self) { try ContentDigest.check(header, sha256: Hashing.sha256([])) }
        for bad in ["", "sha-256", "sha-256=:AAAA:", "sha-256=abc", "sha-512=:AAAA:", "sha-256=:RK/0qy18MlBSVnWgjwz6:"]
        {
            #expect(throws: HTTPSignatureError.self) { try ContentDigest.sha256(in: bad) }
        }
    }
}
