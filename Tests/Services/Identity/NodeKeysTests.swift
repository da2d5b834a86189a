import Cryptography
import Encodings
import Foundation
import SignedDocuments
import Storage
import TestSupport
import Testing

@testable import Identity

@Suite("Key vault")
struct NodeKeysTests {
    private let folder: TemporaryFolder
    private let directory: DataDirectory
    private let passphrase = Array("correct horse".utf8)
    private let now = Timestamp(secondsSince1970: 1_795_219_200)

    init() throws {
        folder = try TemporaryFolder()
        directory = try DataDirectory(path: folder.path)
    }

    private func create(_ words: Mnemonic = Mnemonic()) throws -> NodeKeys {
        try NodeKeys.create(
            in: directory,
            words: words,
            passphrase: passphrase,
            parameters: try IdentityBench.cheap(),
            now: now
        )
    }

    private func file() throws -> String {
        try String(contentsOfFile: directory.file(NodeKeys.fileName), encoding: .utf8)
    }

    private func code(_ body: () throws -> Void) -> IdentityError.Code? {
        do {
            try body()
            return nil
        } catch let error as IdentityError {
            return error.code
        } catch {
            return IdentityError.Code(rawValue: "another: \(error)")
        }
    }

    @Test("the same words give the same keys; every key is another")
    func keys() throws {
        let words = try Mnemonic(entropy: [UInt8](repeating: 7, count: 16))
        let made = try create(words)
        let opened = try NodeKeys.open(in: directory, passphrase: passphrase)
        #expect(opened.node.did == made.node.did)
        #expect(opened.mintSeed == made.mintSeed && opened.walletSeed == made.walletSeed)
        #expect(opened.sellerKey == made.sellerKey && opened.agentSealingKey == made.agentSealingKey)
        #expect(made.walletSeed == words.seed() && made.walletSeed.count == 64)
        let all = [
            try #require((made.node.key as? Ed25519.PrivateKey)?.seed), try #require(made.mintSeed),
            made.agentSealingKey, made.sellerKey.bytes,
            Array(made.walletSeed.prefix(32)),
        ]
        #expect(Set(all).count == all.count && all.allSatisfy { $0.count == 32 })
        #expect(try NodeKeys.words(in: directory, passphrase: passphrase).words == words.words)
        let other = try IdentityBench.nodeKeys(seed: 8, now: now)
        #expect(other.node.did != made.node.did && other.mintSeed != made.mintSeed)
    }

    @Test("the file is private, holds no secret in the clear, and names the node")
    func fileOnDisk() throws {
        let vault = try create()
        let attributes = try FileManager.default.attributesOfItem(atPath: directory.file(NodeKeys.fileName))
        #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
        let text = try file()
        #expect(text.contains(vault.node.did.string))
        let words = try NodeKeys.words(in: directory, passphrase: passphrase)
        let seed = try #require(vault.mintSeed)
        for secret in [words.entropy, try #require((vault.node.key as? Ed25519.PrivateKey)?.seed), seed] {
            #expect(!text.contains(Base64URL.encode(secret)) && !text.contains(Hex.encode(secret)))
        }
        for word in words.words where word.count > 5 { #expect(!text.contains(word)) }
        #expect("\(vault)".contains("redacted"))
        #expect(!String(reflecting: vault).contains(Hex.encode(seed)))
        #expect(Mirror(reflecting: vault).children.isEmpty)
    }

    @Test("a wrong passphrase, a missing, damaged, foreign or newer file: a clear refusal each")
    func refusals() throws {
        #expect(code { _ = try NodeKeys.open(in: directory, passphrase: passphrase) } == .vaultMissing)
        #expect(!NodeKeys.exists(in: directory))
        _ = try create()
        #expect(NodeKeys.exists(in: directory))
        #expect(
            code { _ = try NodeKeys.open(in: directory, passphrase: Array("wrong horse".utf8)) } == .wrongPassphrase
        )
        #expect(code { _ = try create() } == .vaultExists)
        let good = try file()
        func with(_ text: String) throws -> IdentityError.Code? {
            try directory.replaceFile(NodeKeys.fileName, with: Array(text.utf8))
            return code { _ = try NodeKeys.open(in: directory, passphrase: passphrase) }
        }
        #expect(try with(good) == nil)
        #expect(try with(good.replacingOccurrences(of: "\"version\": 1", with: "\"version\": 2")) == .vaultUnreadable)
        #expect(try with(String(good.dropLast(40))) == .vaultUnreadable)
        #expect(try with("") == .vaultUnreadable)
        #expect(try with(good.replacingOccurrences(of: "1024", with: "1073741824")) == .vaultUnreadable)
        #expect(try with(good.replacingOccurrences(of: "1024", with: "1000")) == .vaultUnreadable)
        #expect(try with(good.replacingOccurrences(of: "did:key:z6Mk", with: "did:key:z6Mj")) == .wrongPassphrase)
        #expect(try with(String(repeating: " ", count: 70_000) + good) == .vaultUnreadable)
    }

    @Test("a passphrase too short is refused before anything is written")
    func shortPassphrase() throws {
        #expect(
            code {
                _ = try NodeKeys.create(in: directory, words: Mnemonic(), passphrase: Array("short".utf8), now: now)
            } == .invalidRequest
        )
        #expect(!NodeKeys.exists(in: directory))
    }

    @Test("the passphrase changes, the keys stay")
    func changePassphrase() throws {
        let vault = try create()
        let new = Array("another horse".utf8)
        #expect(
            code {
                try NodeKeys.changePassphrase(in: directory, from: new, to: new, parameters: try IdentityBench.cheap())
            } == .wrongPassphrase
        )
        try NodeKeys.changePassphrase(in: directory, from: passphrase, to: new, parameters: try IdentityBench.cheap())
        #expect(code { _ = try NodeKeys.open(in: directory, passphrase: passphrase) } == .wrongPassphrase)
        #expect(try NodeKeys.open(in: directory, passphrase: new).node.did == vault.node.did)
    }

    @Test(
        "[GSP-1] The key on the gossip network is the words' own, another than the node's, and the same where a vault has those"
    )
    func peerKey() throws {
        let words = Mnemonic()
        let keys = try NodeKeys.of(words: words)
        let key = try keys.peerKey()
        #expect(try NodeKeys.of(words: words).peerKey().seed == key.seed)
        #expect(try NodeKeys.of(words: Mnemonic()).peerKey().seed != key.seed)
        let node = try #require(keys.node.did.string.split(separator: ":").last)
        #expect(DIDKey(key.publicKey).string.split(separator: ":").last != node)
        let place = VaultPlace(socket: "/v", node: keys.node.did, p256: keys.p256.did)
        let rest = try NodeKeys(remainder: keys.remainder, vault: keys.vault, place: place)
        #expect(try rest.peerKey().seed == key.seed)
    }
}
