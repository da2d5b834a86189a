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
