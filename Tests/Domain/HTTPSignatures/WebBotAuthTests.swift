import Cryptography
import Encodings
import Foundation
import SignedDocuments
import TestSupport
import Testing

@testable import HTTPSignatures

@Suite("Web Bot Auth")
struct WebBotAuthTests {
    private static let now = Timestamp(secondsSince1970: 1_795_219_200)
    private let signer: DocumentSigner
    private let agent: SignatureAgent

    init() throws {
        signer = DocumentSigner(try Ed25519.PrivateKey(seed: [UInt8](repeating: 6, count: 32)))
        agent = try SignatureAgent(.directory, uri: "https://node.example")
    }

    // MARK: The published vectors

    private struct Vectors: Decodable {
        struct Key: Decodable {
            var d: String
            var kid: String
        }
        struct Signed: Decodable {
            var targetURL: String
            var signature: String
            var signatureInput: String
            var signatureAgent: String?
            var alg: String

            enum CodingKeys: String, CodingKey {
                case targetURL = "target_url"
                case signature, alg
                case signatureInput = "signature_input"
                case signatureAgent = "signature_agent"
            }

            var facts: RequestFacts {
                var headers = [("Signature-Input", signatureInput), ("Signature", signature)]
                if let signatureAgent { headers.append(("Signature-Agent", signatureAgent)) }
                return RequestFacts(method: "GET", targetURI: targetURL, headers: headers)
            }
        }
        struct Directory: Decodable {
            var authority: String
            var body: String
            var contentDigest: String
            var created: Int64
            var expires: Int64
            var signature: String

            enum CodingKeys: String, CodingKey {
                case authority, body, created, expires, signature
                case contentDigest = "content_digest"
            }
        }
        var key: Key
        var requests: [Signed]
        var legacy: [Signed]
        var directory: Directory

        static func read() throws -> Vectors {
            try JSONDecoder().decode(Vectors.self, from: Data(try Fixtures.bytes("web-bot-auth/vectors.json")))
        }

        var signer: DocumentSigner {
            get throws { DocumentSigner(try Ed25519.PrivateKey(seed: try Base64URL.decode(key.d))) }
        }
    }

    @Test("the draft's vectors: Ed25519 verifies by the key's thumbprint, in the form of today and of before")
    func vectors() throws {
        let vectors = try Vectors.read()
        let key = try vectors.signer.did
        #expect(key.thumbprint == vectors.key.kid)
        var checked = 0
        for vector in vectors.requests + vectors.legacy where vector.alg == "ed25519" {
            let found = try #require(try BotSignature(vector.facts))
            #expect(found.keyID == key.thumbprint && found.isValid(by: key))
            #expect(!found.isValid(by: signer.did))
            // They cover the host alone, for longer than a call: they say nothing of one.
            #expect(!found.coversCall)
            if vector.signatureAgent == nil {
                #expect(found.agent == nil)
            } else {
                #expect(
                    found.agent?.keysURL
                        == "https://signature-agent.test/.well-known/http-message-signatures-directory"
                )
            }
            var other = vector.facts
            other.targetURI = "https://other.example/path/to/resource"
            #expect(try BotSignature(other)?.isValid(by: key) == false)
            checked += 1
        }
        #expect(checked == 4)
    }

    @Test("RSA is told apart, and never taken for a key that is at hand")
    func otherAlgorithms() throws {
        let rsa = try #require(try Vectors.read().requests.first { $0.alg != "ed25519" })
        #expect(code(rsa.facts) == .unsupportedKey)
    }

    @Test("[BOT-3] the draft's signed directory, byte for byte")
    func directory() throws {
        let vectors = try Vectors.read()
        let directory = vectors.directory
        let digest = ContentDigest.header(for: Array(directory.body.utf8))
        #expect(digest == directory.contentDigest)
        let signed = try #require(
            try WebBotAuth.signDirectory(
                authority: directory.authority,
                contentDigest: digest,
                by: [vectors.signer],
                created: Timestamp(secondsSince1970: directory.created),
                expires: Timestamp(secondsSince1970: directory.expires)
            )
        )
        #expect(signed.signature == "binding0=:\(directory.signature):")
        #expect(signed.signatureInput.hasSuffix(";tag=\"http-message-signatures-directory\""))
        let set = try PublicKeySet(Array(directory.body.utf8))
        #expect(set.key(vectors.key.kid, now: Self.now) == (try vectors.signer.did))
    }

    // MARK: Ours

    private func facts() -> RequestFacts {
        RequestFacts(
            method: "POST",
            targetURI: "https://shop.example/s/weather/today?city=Bern",
            headers: [
                ("Content-Digest", ContentDigest.header(for: [1, 2, 3])), ("Agent-Passport", "eyJ9"),
                ("X-Cashu", "cashuBo2F0"), ("Accept", "text/plain"),
            ],
            hasBody: true
        )
    }

    private func signed(_ facts: RequestFacts? = nil, agent: SignatureAgent? = nil) throws -> RequestFacts {
        var facts = facts ?? self.facts()
        let made = try WebBotAuth.sign(
            facts,
            by: signer,
            agent: agent ?? self.agent,
            created: Self.now,
            expires: Self.now.adding(seconds: 60)
        )
        facts.headers += [
            ("Signature-Agent", made.signatureAgent), ("Signature-Input", made.signatureInput),
            ("Signature", made.signature),
        ]
        return facts
    }

    private func code(_ facts: RequestFacts, at now: Timestamp = now.adding(seconds: 1)) -> HTTPSignatureError.Code? {
        do throws(HTTPSignatureError) {
            guard let found = try BotSignature(facts) else { return .missing }
            try found.check(now: now)
            return found.isValid(by: signer.did) ? nil : .invalid
        } catch {
            return error.code
        }
    }

    private func replacing(_ name: String, _ value: (String) -> String, in facts: RequestFacts) -> RequestFacts {
        var facts = facts
        for place in facts.headers.indices where facts.headers[place].name == name {
            facts.headers[place].value = value(facts.headers[place].value)
        }
        return facts
    }

    @Test("[BOT-1] what we sign covers the call, names the key by its thumbprint and says where it is published")
    func ours() throws {
        let facts = try signed()
        let found = try #require(try BotSignature(facts))
        #expect(code(facts) == nil && found.coversCall)
        #expect(found.agent == agent && found.keyID == signer.did.thumbprint)
        #expect(facts.value("signature-agent") == "bot=\"https://node.example\"")
        let input = try #require(facts.value("signature-input"))
        #expect(
            input.hasPrefix(
                #"bot=("@authority" "@method" "@target-uri" "content-digest" "agent-passport" "x-cashu" "signature-agent";key="bot");created="#
            )
        )
        #expect(try Base64.decode(try #require(found.nonce)).count == 64)
        let set = try SignatureAgent(.keySet, uri: "https://node.example/agents/1/jwks.json?v=2")
        #expect(set.identifier == "https://node.example/agents/1/jwks.json")
        #expect(try BotSignature(try signed(agent: set))?.agent == set)
        // A minute at most, and 64 bytes of a nonce.
        for (seconds, bytes): (Int64, Int) in [(61, 64), (0, 64), (60, 63)] {
            #expect(throws: HTTPSignatureError.self) {
                try WebBotAuth.sign(
                    self.facts(),
                    by: signer,
                    agent: agent,
                    created: Self.now,
                    expires: Self.now.adding(seconds: seconds),
                    nonce: [UInt8](repeating: 1, count: bytes)
                )
            }
        }
    }

    @Test(
        "[BOT-4] a change of anything covered is noticed: method, target, body's digest, payment, directory, parameters"
    )
    func flipped() throws {
        let good = try signed()
        var changed = good
        changed.method = "PUT"
        #expect(code(changed) == .invalid)
        changed = good
        changed.targetURI = "https://shop.example/s/weather/today?city=Basel"
        #expect(code(changed) == .invalid)
        for name in ["Content-Digest", "Agent-Passport", "X-Cashu"] {
            #expect(code(replacing(name, { "\($0)x" }, in: good)) == .invalid)
        }
        #expect(code(replacing("Signature-Agent", { _ in "bot=\"https://thief.example\"" }, in: good)) == .invalid)
        #expect(code(replacing("Signature-Agent", { $0 + ";type=jwks_uri" }, in: good)) == .invalid)
        #expect(code(replacing("Accept", { _ in "*/*" }, in: good)) == nil)
        let created = Self.now.secondsSince1970
        for (old, new, expected) in [
            ("created=\(created)", "created=\(created - 1)", HTTPSignatureError.Code.invalid),
            ("expires=\(created + 60)", "expires=\(created + 61)", .invalid),
            ("created=\(created);", "", .badParameter),
            ("alg=\"ed25519\"", "alg=\"none\"", .unsupportedKey),
            ("alg=\"ed25519\"", "alg=\"hmac-sha256\"", .unsupportedKey),
            ("nonce=\"", "nonce=\"A", .invalid), ("tag=\"web-bot-auth\"", "tag=\"mintmark-call\"", .missing),
            (#""@authority" "@method" "@target-uri""#, #""@method""#, .notCovered),
            (#" "signature-agent";key="bot""#, "", .notCovered),
            (#""signature-agent";key="bot""#, #""signature-agent";sf"#, .notCovered),
            (#""@method""#, #""@method";req"#, .unsupportedComponent),
            (#""@method""#, #""@method" "@method""#, .malformed),
        ] {
            #expect(
                code(replacing("Signature-Input", { $0.replacing(old, with: new) }, in: good)) == expected,
                "\(old) → \(new)"
            )
        }
    }

    @Test("[BOT-4] a signature ends, is not from the future, and holds for a day at most")
    func times() throws {
        let good = try signed()
        #expect(code(good, at: Self.now.adding(seconds: 60)) == .expired)
        #expect(code(good, at: Self.now.adding(seconds: -16)) == .fromFuture)
        let long = try #require(try Vectors.read().requests.last)
        #expect(code(long.facts) == .badParameter)
        let created = Self.now.secondsSince1970
        for (seconds, expected) in [(86_400, HTTPSignatureError.Code.invalid), (86_401, .badParameter)] {
            let longer = replacing(
                "Signature-Input",
                { $0.replacing("expires=\(created + 60)", with: "expires=\(created + Int64(seconds))") },
                in: good
            )
            #expect(code(longer) == expected)
        }
    }

    @Test(
        "[BOT-4] the key is the one its thumbprint names, whatever else verifies; names that are no thumbprint are refused"
    )
    func keyNames() throws {
        let good = try signed()
        let other = DocumentSigner(Ed25519.PrivateKey())
        let renamed = replacing(
            "Signature-Input",
            { $0.replacing(signer.did.thumbprint, with: other.did.thumbprint) },
            in: good
        )
        let found = try #require(try BotSignature(renamed))
        #expect(!found.isValid(by: signer.did) && !found.isValid(by: other.did))
        // Signed by one key in the name of another: valid by neither.
        let liar = try DocumentSigner(heldBy: Borrowed(did: other.did, key: signer.key))
        var facts = facts()
        let made = try WebBotAuth.sign(
            facts,
            by: liar,
            agent: agent,
            created: Self.now,
            expires: Self.now.adding(seconds: 60)
        )
        facts.headers += [
            ("Signature-Agent", made.signatureAgent), ("Signature-Input", made.signatureInput),
            ("Signature", made.signature),
        ]
        let lie = try #require(try BotSignature(facts))
        #expect(!lie.isValid(by: signer.did) && !lie.isValid(by: other.did))
        for name in [signer.did.string, "../../etc/passwd", "", signer.did.thumbprint + "=", "key-1' OR 1=1"] {
            #expect(
                code(replacing("Signature-Input", { $0.replacing(signer.did.thumbprint, with: name) }, in: good))
                    == .unsupportedKey
            )
        }
    }

    /// A key that gives itself another's name.
    private struct Borrowed: SigningKey {
        let did: DIDKey
        let key: any SigningKey

        func sign(_ input: SigningInput) throws -> [UInt8] { try key.sign(input) }
    }

    @Test("[BOT-4] with several members the covered one counts; a member nobody signed counts for nothing")
    func members() throws {
        let good = try signed()
        let added = replacing("Signature-Agent", { "evil=\"https://thief.example\", \($0)" }, in: good)
        #expect(try BotSignature(added)?.agent == agent && code(added) == nil)
        var bare = good
        bare.headers.removeAll { $0.name == "Signature-Agent" }
        #expect(code(bare) == .unsupportedComponent)
    }

    @Test("a directory is named by an origin alone; what is no absolute http URI names nothing")
    func places() {
        for uri in [
            "https://node.example/path", "https://node.example?x=1", "https://a@node.example", "node.example",
            "ftp://node.example", "https://", "https://node.example#f",
            "https://" + String(repeating: "a", count: 600),
        ] {
            #expect(throws: HTTPSignatureError.self, "\(uri)") { try SignatureAgent(.directory, uri: uri) }
        }
        #expect((try? SignatureAgent(.directory, uri: "HTTPS://Node.Example:443/"))?.uri == "https://node.example")
    }

    @Test("beside our own signature: each verifies by itself, and a second label does not confuse the first")
    func together() throws {
        var facts = facts()
        let call = try HTTPSignatures.sign(
            facts,
            by: signer,
            created: Self.now,
            expires: Self.now.adding(seconds: 60)
        )
        let bot = try WebBotAuth.sign(
            facts,
            by: signer,
            agent: agent,
            created: Self.now,
            expires: Self.now.adding(seconds: 60)
        )
        facts.headers += [
            ("Signature-Agent", bot.signatureAgent),
            ("Signature-Input", "\(call.signatureInput), \(bot.signatureInput)"),
            ("Signature", "\(call.signature), \(bot.signature)"),
        ]
        #expect(try HTTPSignatures.verify(facts, now: Self.now).keyID == signer.did)
        #expect(code(facts) == nil)
    }
}
