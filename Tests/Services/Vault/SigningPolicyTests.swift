import CanonicalJSON
import Cashu
import Cryptography
import Delegation
import Encodings
import Mint
import SignedDocuments
import Synchronization
import Testing

@testable import Vault

/// What a vault refuses, whoever asks.
@Suite("Signing policy")
struct SigningPolicyTests {
    private let bench: VaultBench
    private let keeper: VaultKeeper

    init() throws {
        bench = try VaultBench()
        keeper = try bench.keeper()
    }

    private func code(_ input: SigningInput, by key: VaultKeyName = .node) -> VaultError.Code? {
        do {
            _ = try keeper.sign(key, input)
            return nil
        } catch let error as VaultError {
            return error.code
        } catch {
            return VaultError.Code(rawValue: "\(error)")
        }
    }

    private func document(
        _ document: JSONObject,
        did: DIDKey? = nil,
        suite: Cryptosuite = .eddsaJCS2022,
        _ change: (inout JSONObject) -> Void = { _ in }
    ) throws -> SigningInput {
        var proof: JSONObject = [
            "type": "DataIntegrityProof", "cryptosuite": .string(suite.rawValue), "created": "2026-11-29T00:00:00Z",
            "verificationMethod": .string((did ?? keeper.node).verificationMethod), "proofPurpose": "assertionMethod",
        ]
        change(&proof)
        return .document(suite, proof: try proof.canonicalized(), document: try document.canonicalized())
    }

    @Test("VLT-6: documents of known types are signed, in the issuer's own name alone")
    func documents() throws {
        let me: JSONValue = .string(keeper.node.string)
        let passport: JSONObject = ["type": ["VerifiableCredential", "AgentPassportCredential"], "issuer": me]
        #expect(code(try document(passport)) == nil)
        #expect(code(try document(["type": ["PaidCallReceipt"], "seller": ["id": me]])) == nil)
        #expect(code(try document(["type": "MintLiabilities", "mint": "https://node.example"])) == nil)
        // A stranger's name, no name, a name in the wrong place.
        let stranger: JSONValue = .string(DIDKey(Ed25519.PrivateKey().publicKey).string)
        #expect(code(try document(["type": ["VerifiableCredential"], "issuer": stranger])) == .refused)
        #expect(code(try document(["type": ["VerifiableCredential"], "issuer": ["id": stranger]])) == .refused)
        #expect(code(try document(["type": ["VerifiableCredential"]])) == .refused)
        #expect(code(try document(["type": ["PaidCallReceipt"], "issuer": me])) == .refused)
        #expect(
            code(try document(["type": ["PaidCallReceipt"], "seller": ["id": stranger], "issuer": me])) == .refused
        )
        // Types that no node signs.
        #expect(code(try document(["type": ["VerifiablePresentation"], "holder": me])) == .refused)
        #expect(code(try document(["type": ["Contract"], "issuer": me])) == .refused)
        #expect(code(try document(["issuer": me])) == .refused)
        // A document that carries a proof already would be signed into a chain.
        var proven = passport
        proven["proof"] = ["type": "DataIntegrityProof"]
        #expect(code(try document(proven)) == .refused)
        #expect(code(.document(.eddsaJCS2022, proof: [1, 2], document: [3])) == .refused)
        #expect(keeper.status["issuerSignatures"] == 3)
    }

    @Test("VLT-6: the proof must be one of the key that is named")
    func proofs() throws {
        let passport: JSONObject = ["type": ["VerifiableCredential"], "issuer": .string(keeper.node.string)]
        for (name, value): (String, JSONValue) in [
            ("type", "Ed25519Signature2020"), ("cryptosuite", "ecdsa-jcs-2019"), ("proofPurpose", "authentication"),
            ("proofPurpose", "capabilityInvocation"), ("proofValue", "z1"),
            ("verificationMethod", .string(keeper.p256.verificationMethod)),
        ] {
            #expect(code(try document(passport) { $0[name] = value }) == .refused, "\(name)")
        }
        #expect(code(try document(passport), by: .p256) == .refused)
        let other: JSONObject = ["type": ["VerifiableCredential"], "issuer": .string(keeper.p256.string)]
        #expect(code(try document(other, did: keeper.p256, suite: .ecdsaJCS2019), by: .p256) == nil)
        #expect(code(try document(other, did: keeper.p256, suite: .ecdsaJCS2019), by: .node) == .refused)
    }

    private func token(_ header: JSONObject, _ payload: JSONObject) -> SigningInput {
        .token(
            Array((Base64URL.encode(header.serialized()) + "." + Base64URL.encode(payload.serialized())).utf8)
        )
    }

    @Test("VLT-6: cards of agents, under the key's thumbprint, and nothing else of type JOSE")
    func cards() {
        let kid: JSONValue = .string(keeper.node.thumbprint)
        let header: JSONObject = ["alg": "EdDSA", "typ": "JOSE", "kid": kid, "jku": "https://node.example/jwks.json"]
        let card: JSONObject = ["name": "scout", "supportedInterfaces": [], "skills": []]
        #expect(code(token(header, card)) == nil)
        var signed = card
        signed["signatures"] = []
        #expect(code(token(header, signed)) == .refused)
        #expect(code(token(header, ["iss": .string(keeper.node.string)])) == .refused)
        for (name, value): (String, JSONValue) in [
            ("typ", "JWT"), ("alg", "ES256"), ("kid", .string(keeper.p256.thumbprint)),
            ("kid", .string(keeper.node.verificationMethod)),
        ] {
            var other = header
            other[name] = value
            #expect(code(token(other, card)) == .refused, "\(name)")
        }
    }

    @Test("VLT-6: tokens of known types alone, with the key's own id and algorithm")
    func tokens() {
        let me: JSONValue = .string(keeper.node.string)
        let kid: JSONValue = .string(keeper.node.verificationMethod)
        #expect(code(token(["alg": "EdDSA", "typ": "vc+jwt", "kid": kid], ["iss": me])) == nil)
        for header: JSONObject in [
            ["alg": "none", "typ": "vc+jwt", "kid": kid], ["alg": "ES256", "typ": "vc+jwt", "kid": kid],
            ["alg": "EdDSA", "typ": "JWT", "kid": kid], ["alg": "EdDSA", "typ": "at+jwt", "kid": kid],
            ["alg": "EdDSA", "typ": "kb+jwt", "kid": kid], ["alg": "EdDSA", "typ": "vc+jwt"],
            ["alg": "EdDSA", "typ": "vc+jwt", "kid": "did:key:z6MkA#z6MkA"], ["alg": "EdDSA", "kid": kid],
        ] {
            #expect(code(token(header, ["iss": me])) == .refused)
        }
        #expect(code(token(["alg": "EdDSA", "typ": "vc+jwt", "kid": kid], ["iss": "did:key:z6MkA"])) == .refused)
        let offer: JSONObject = ["version": 1, "resourceUrl": "https://node.example/s/a", "network": "eip155:1"]
        #expect(code(token(["alg": "EdDSA", "kid": kid], offer)) == nil)
        #expect(code(.token(Array("a.b.c".utf8))) == .refused)
        #expect(code(.token([0xFF, 0x2E])) == .refused)
    }

    @Test("VLT-6: of notes checkpoints alone; no request of RFC 9421; delegations in the node's own name")
    func others() throws {
        #expect(code(.note(Array("node.example/log\n3\nAAAA\n".utf8))) == .refused)
        #expect(code(.note(Array("pay 5\n".utf8))) == .refused)
        let text = "node.example/log\n1\n\(Base64.encode([UInt8](repeating: 1, count: 32)))\n"
        #expect(code(.note(Array(text.utf8))) == nil)
        #expect(code(.note(Array((text + "an extension\n").utf8))) == .refused)
        #expect(code(.note(Array(text.utf8)), by: .p256) == .refused)
        #expect(code(.request(Array("\"@method\": GET".utf8))) == .refused)
        #expect(code(.delegation([0xA0])) == .refused)
        let stranger = Ed25519.PrivateKey()
        let recorder = Recorder(stranger)
        _ = try Delegation.issue(
            by: recorder,
            to: keeper.node,
            subject: stranger.did,
            command: Command("/pay"),
            expires: nil
        )
        let foreign = try #require(recorder.input.withLock { $0 })
        #expect(code(foreign) == .refused)
    }

    @Test("VLT-6: the keys of the did:webvh sign entries of its log alone, and the node's key none")
    func entries() throws {
        let did = try keeper.didKey(1)
        let entry: JSONObject = [
            "versionId": "1-Qm", "versionTime": "2026-11-29T00:00:00Z", "parameters": [:], "state": [:],
        ]
        #expect(code(try document(entry, did: did), by: .did(1)) == nil)
        #expect(code(try document(entry), by: .node) == .refused)
        #expect(code(try document(entry, did: did), by: .did(2)) == .refused)
        let passport: JSONObject = ["type": ["VerifiableCredential"], "issuer": .string(did.string)]
        #expect(code(try document(passport, did: did), by: .did(1)) == .refused)
        #expect(code(try document(entry, did: did), by: .did(0)) == .refused)
        #expect(throws: VaultError.self) { try keeper.didKey(.max) }
    }

    @Test("VLT-10: no more is signed in a second than the operator said, and the rest is refused, not queued")
    func rate() throws {
        let clock = Ticks()
        let keeper = try bench.keeper(VaultLimits(issuerPerSecond: 3), uptime: { clock.now })
        let text = "node.example/log\n1\n\(Base64.encode([UInt8](repeating: 1, count: 32)))\n"
        func signs() -> Bool { (try? keeper.sign(.node, .note(Array(text.utf8)))) != nil }
        #expect([signs(), signs(), signs(), signs()] == [true, true, true, false])
        clock.advance(nanoseconds: 400_000_000)
        #expect([signs(), signs()] == [true, false])
        // What is refused by the policy is not counted as signed.
        clock.advance(nanoseconds: 10_000_000_000)
        for _ in 0..<5 { #expect(throws: VaultError.self) { try keeper.sign(.node, .note([1])) } }
        #expect([signs(), signs(), signs(), signs()] == [true, true, true, false])
    }

    @Test("VLT-10: the mint's keys too are used no more often than the operator said")
    func mintRate() async throws {
        let clock = Ticks()
        let keeper = try bench.keeper(VaultLimits(mintPerSecond: 100), uptime: { clock.now })
        let keyset = try await keeper.add(
            KeysetPlan(unit: .sat, counter: 0, inputFeePPK: 0, finalExpiry: nil)
        )
        clock.advance(nanoseconds: 1_000_000_000)
        func signs(_ count: Int) async throws -> Bool {
            let outputs = try (0..<count).map { _ in
                try BlindingSecret(
                    amount: 1,
                    keysetID: keyset.id,
                    secret: Hex.encode(SecureRandom.bytes(32)),
                    blindingFactor: .random()
                ).output()
            }
            do {
                return try await keeper.answer(SignatoryBatch(outputs: outputs)).promises.count == count
            } catch let error as VaultError where error.code == .busy {
                return false
            }
        }
        #expect(try await signs(60))
        #expect(try await !signs(60))
        clock.advance(nanoseconds: 500_000_000)
        #expect(try await signs(60))
    }
}

/// A key that keeps what it was told to sign.
private final class Recorder: SigningKey {
    let inner: Ed25519.PrivateKey
    let input = Mutex<SigningInput?>(nil)

    init(_ inner: Ed25519.PrivateKey) { self.inner = inner }

    var did: DIDKey { inner.did }

    func sign(_ input: SigningInput) throws -> [UInt8] {
        self.input.withLock { $0 = input }
        return try inner.sign(input)
    }
}

/// A clock that the test moves.
private final class Ticks: Sendable {
    private let time = Mutex<UInt64>(1)
    var now: UInt64 { time.withLock { $0 } }
    func advance(nanoseconds: UInt64) { time.withLock { $0 += nanoseconds } }
}
