import CanonicalJSON
import Cryptography
import Delegation
import Encodings
import Passports
import Receipts
import SignedDocuments
import Storage
import TestSupport
import Testing
import TransparencyLog

@testable import Identity
@testable import Vault

/// What every adapter of `KeyVault` keeps to: that all a node issues can be issued with it, and holds.
struct KeyVaultConformance {
    let vault: any KeyVault
    /// The same words' keys, to compare with.
    let expected: NodeKeys
    private let now = Timestamp(secondsSince1970: 1_795_219_200)

    func run() throws {
        #expect(vault.node.did == expected.node.did && vault.p256.did == expected.p256.did)
        try passports()
        try lists()
        try receiptsAndCheckpoints()
        try delegations()
        try ownDID()
    }

    private func claims(_ format: StatusEntry) throws -> PassportClaims {
        PassportClaims(
            id: "urn:uuid:0b3f1f3e-9a52-4f1c-8f4e-5d5f0a6f7a01",
            agentID: "urn:uuid:0b3f1f3e-9a52-4f1c-8f4e-5d5f0a6f7a03",
            subject: DIDKey(Ed25519.PrivateKey().publicKey),
            name: "planner",
            operatorName: "an operator",
            capabilities: ["pay"],
            spendLimit: nil,
            nextKeyDigest: nil,
            validFrom: now,
            validUntil: now.adding(seconds: 3600),
            status: [format]
        )
    }

    private func passports() throws {
        for form in PassportForm.allCases {
            let key = form.keyKind == .ed25519 ? DocumentKey(vault.node) : vault.p256
            let entry = StatusEntry(
                purpose: .revocation,
                listURL: "https://node.example/status/1",
                index: 7,
                format: form.statusFormat
            )
            let passport = try Passport.issue(try claims(entry), form: form, by: key, now: now)
            let verifier = PassportVerifier(trustedIssuers: [key.did], statusPolicy: .skipped)
            #expect(verifier.verify(passport, now: now, statusLists: [:]).reasons == [])
        }
    }

    private func lists() throws {
        for (suite, key) in [(Cryptosuite.eddsaJCS2022, DocumentKey(vault.node)), (.ecdsaJCS2019, vault.p256)] {
            let list = VerifiedStatusList(
                url: "https://node.example/status/1",
                issuer: key.did,
                purpose: .revocation,
                sequence: 5,
                validFrom: now,
                validUntil: now.adding(seconds: 600),
                ttlMilliseconds: 60_000,
                bitmap: StatusBitmap()
            )
            let document = try StatusListCredential.issue(list, by: key, suite: suite, now: now)
            #expect(try DataIntegrity.verify(document, suites: [suite]).signer == key.did)
        }
    }

    private func receiptsAndCheckpoints() throws {
        let claims = ReceiptClaims(
            id: "0b3f1f3e-9a52-4f1c-8f4e-5d5f0a6f7a02",
            seller: ReceiptParty(did: vault.node.did),
            buyer: nil,
            service: "weather",
            method: "GET",
            target: "/today",
            requestDigest: Hashing.sha256([]),
            responseDigest: nil,
            status: 200,
            amount: 2,
            unit: "sat",
            paymentDigest: Hashing.sha256([1]),
            dialect: "nut24",
            requestedAt: now,
            respondedAt: now,
            outcome: .served
        )
        let receipt = try Receipt.issue(claims, by: vault.node, now: now)
        let read = try JSONValue.parse(receipt.bytes).requireObject("receipt")
        #expect(try DataIntegrity.verify(read).signer == vault.node.did)

        let checkpoint = Checkpoint(origin: "node.example/log", size: 3, root: Hashing.sha256([2]))
        let signature = try vault.node.key.sign(.note(Array(checkpoint.text.utf8)))
        #expect(vault.node.did.isValid(signature: signature, for: Array(checkpoint.text.utf8)))
        let jws = try vault.node.compactJWS(
            Array(#"{"network":"eip155:1","resourceUrl":"https://node.example/s/a","version":1}"#.utf8)
        )
        #expect(jws.split(separator: ".").count == 3)
    }

    private func delegations() throws {
        let link = try Delegation.issue(
            by: vault.node.key,
            to: DIDKey(Ed25519.PrivateKey().publicKey),
            subject: vault.node.did,
            command: Command("/pay"),
            expires: now.adding(seconds: 60)
        )
        try link.verifySignature()
        #expect(link.issuer == vault.node.did)
    }

    private func ownDID() throws {
        let log = try WebVHLog.create(
            location: "node.example",
            document: { ["@context": ["https://www.w3.org/ns/did/v1"], "id": .string($0)] },
            by: try vault.didKey(1),
            next: [try vault.didKey(2).did],
            now: now
        )
        let next = try log.rotated(
            to: try vault.didKey(2),
            next: [try vault.didKey(3).did],
            document: { ["@context": ["https://www.w3.org/ns/did/v1"], "id": .string($0)] },
            now: now.adding(seconds: 5)
        )
        #expect(next.number == 2)
        #expect(try vault.didKey(1).did == expected.vault.didKey(1).did)
    }
}

@Suite("Key vaults")
struct KeyVaultTests {
    @Test("VLT-5: all that a node issues is issued with keys in this process and with keys in a vault alike")
    func conformance() async throws {
        let bench = try VaultBench()
        try KeyVaultConformance(vault: bench.keys.vault, expected: bench.keys).run()
        try await bench.serving { _, vault in
            try KeyVaultConformance(vault: vault, expected: bench.keys).run()
        }
    }

    @Test("after a move the node's file has neither the words nor the issuer's keys, whatever passphrase opens it")
    func move() async throws {
        let bench = try VaultBench(seed: 4)
        let place = try VaultBench(seed: 5)
        let node = bench.directory
        let vault = try DataDirectory(path: place.folder.path + "/moved")
        let before = try NodeKeys.open(in: node, passphrase: VaultBench.passphrase)
        let moved = try NodeKeys.move(
            from: node,
            passphrase: VaultBench.passphrase,
            into: vault,
            vaultPassphrase: Array("another horse".utf8),
            socket: "/run/v.sock",
            parameters: try VaultBench.cheap(),
            nodeParameters: try VaultBench.cheap(),
            now: now
        )
        #expect(moved.mintSeed == nil && moved.witnessKey == nil)
        #expect(moved.node.did == before.node.did && moved.p256.did == before.p256.did)
        #expect(moved.walletSeed == before.walletSeed && moved.backupKey == before.backupKey)
        #expect(moved.sellerKey == before.sellerKey && moved.paywallKey == before.paywallKey)
        #expect(moved.settlementKey == before.settlementKey && moved.agentSealingKey == before.agentSealingKey)
        #expect(moved.place?.socket == "/run/v.sock")
        #expect(throws: DocumentError.self) { try moved.node.key.sign(.note([1])) }
        #expect(!moved.node.key.isAvailable)
        #expect(throws: IdentityError.self) { try NodeKeys.words(in: node, passphrase: VaultBench.passphrase) }

        // What the file seals, opened with its own passphrase, holds none of the secrets that were moved.
        let words = try NodeKeys.words(in: vault, passphrase: Array("another horse".utf8))
        let seed = try #require(before.mintSeed)
        let sealed = try VaultFile.read(in: node).open(passphrase: VaultBench.passphrase)
        for secret in [words.entropy, seed, try #require((before.node.key as? Ed25519.PrivateKey)?.seed)] {
            #expect(sealed.firstRange(of: secret) == nil)
        }
        // The vault has all of it, and a second move finds nothing to move.
        let kept = try NodeKeys.open(in: vault, passphrase: Array("another horse".utf8))
        #expect(kept.mintSeed == seed && kept.node.did == before.node.did)
        #expect(throws: IdentityError.self) {
            _ = try NodeKeys.move(
                from: node,
                passphrase: VaultBench.passphrase,
                into: vault,
                vaultPassphrase: Array("another horse".utf8),
                socket: "/run/v.sock",
                now: now
            )
        }
        // The passphrase can be changed afterwards too.
        try NodeKeys.changePassphrase(
            in: node,
            from: VaultBench.passphrase,
            to: Array("a third horse".utf8),
            parameters: try VaultBench.cheap()
        )
        #expect(try NodeKeys.open(in: node, passphrase: Array("a third horse".utf8)).place == moved.place)
    }

    @Test("a move into a vault of another node is refused, and the node keeps its keys")
    func foreignMove() throws {
        let (bench, other) = (try VaultBench(seed: 4), try VaultBench(seed: 5))
        let refused = #expect(throws: IdentityError.self) {
            _ = try NodeKeys.move(
                from: bench.directory,
                passphrase: VaultBench.passphrase,
                into: other.directory,
                vaultPassphrase: VaultBench.passphrase,
                socket: "/run/v.sock",
                now: now
            )
        }
        #expect(refused?.code == .vaultForeign)
        #expect(try NodeKeys.open(in: bench.directory, passphrase: VaultBench.passphrase).mintSeed != nil)
    }

    private let now = Timestamp(secondsSince1970: 1_795_219_200)
}
