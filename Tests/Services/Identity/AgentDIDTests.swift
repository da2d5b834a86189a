import CanonicalJSON
import Cryptography
import Encodings
import Passports
import SignedDocuments
import Storage
import Testing

@testable import Identity

@Suite("An agent's did:webvh, which stays while the keys change")
struct AgentDIDTests {
    /// The log as whoever resolves it reads it.
    private func published(_ bench: IdentityBench, _ id: String) async throws -> WebVHLog {
        let bytes = try #require(try await bench.registry.publishedDIDLog(id))
        return try WebVHLog(lines: bytes.split(separator: 10).map { Array($0) }, now: bench.clock.now)
    }

    @Test(
        "[DID-1] [DID-2] rotate and recover move it to the key that was committed to, over a restart; and to no other"
    )
    func follows() async throws {
        let bench = try await IdentityBench()
        let (agent, _) = try await bench.register()
        #expect(try await bench.registry.publishedDIDLog(agent.id) == nil)
        let made = try await bench.registry.createDID("planner")
        let bare = agent.id.dropFirst("urn:uuid:".count)
        #expect(made.did.string == "did:webvh:\(made.did.scid ?? ""):node.example:agents:\(bare)")
        #expect(made.isPortable && made.updateKeys == [agent.did.multibaseKey] && made.nextKeyHashes.count == 1)
        #expect(await identityCode { _ = try await bench.registry.createDID("planner") } == .didExists)

        let rotated = try await bench.registry.rotate("planner").agent
        let recovered = try await bench.registry.recover("planner").agent
        let again = try await bench.restarted()
        let log = try await published(again, agent.id)
        #expect(log.number == 3 && log.did == made.did && log.updateKeys == [recovered.did.multibaseKey])
        #expect(log.lines.starts(with: made.lines))
        // What it says is the agent's: its key now, and its other names.
        let names = log.document["alsoKnownAs"]?.arrayValue?.compactMap(\.stringValue)
        #expect(names == [recovered.did.string, agent.id, "did:web:node.example:agents:\(bare)"])
        var methods = VerificationMethods()
        try methods.add(log.document, of: log.did.string)
        #expect(methods.keys(of: log.did.string, purpose: .authentication) == [recovered.did])
        #expect(try await again.registry.webVH(of: agent) == made.did)
        // Neither a key that was in use nor the thief's own may sign the next entry.
        let thief = DocumentSigner(Ed25519.PrivateKey())
        #expect(throws: DocumentError.self) {
            _ = try log.rotated(to: thief, next: [thief.did], document: { _ in log.document }, now: bench.clock.now)
        }
        #expect(rotated.did != recovered.did)
    }

    @Test("[DID-2] a move that another one overtook changes nothing; a suspended or revoked agent makes none")
    func overtaken() async throws {
        let bench = try await IdentityBench()
        let (agent, passport) = try await bench.register()
        let log = try await bench.registry.createDID("planner")
        // The transaction puts an entry only over the log that it was made for.
        let code = await identityCode {
            try await bench.database.write { try AgentDIDStore.put(log, of: agent.id, over: 0, in: $0) }
        }
        #expect(code == .agentNotActive)
        #expect(try await published(bench, agent.id).lines == log.lines)
        let other = try await bench.register("scout")
        _ = try await bench.office.suspend(other.passport.id, reason: nil)
        #expect(await identityCode { _ = try await bench.registry.createDID("scout") } == .agentNotActive)
        // The log of one that is revoked is still served: what it proves lies in the past.
        _ = try await bench.office.revoke(passport.id, reason: .cessationOfOperation)
        #expect(try await published(bench, agent.id).lines == log.lines)
        let bare = try await IdentityBench(seed: 3, publicURL: "http://127.0.0.1:8402")
        _ = try await bare.register()
        #expect(await identityCode { _ = try await bare.registry.createDID("planner") } == .invalidRequest)
        #expect(await identityCode { _ = try await bare.registry.createDID("nobody") } == .agentNotFound)
        // Without a DID, moving on works as ever.
        #expect(await identityCode { _ = try await bare.registry.rotate("planner") } == nil)
    }

    @Test(
        "[DID-3] who keeps its keys itself signs each entry; of another agent, key, node, or without commitment: refused"
    )
    func ownKeys() async throws {
        let bench = try await IdentityBench()
        let keys = (0..<4).map { _ in Ed25519.PrivateKey() }
        let description = AgentDescription(name: "scout", capabilities: ["pay"])
        let own = try bench.ownKey(keys[0], next: keys[1])
        let agent = try await bench.registry.register(description, key: own).agent
        #expect(await identityCode { _ = try await bench.registry.createDID("scout") } == .keyNotHeld)

        func entry(
            _ key: Ed25519.PrivateKey,
            next: [Ed25519.PrivateKey],
            at location: String? = nil
        ) async throws -> [UInt8] {
            let draft = try await bench.registry.didDraft("scout")
            let document = try draft.object("document")
            let place = try location ?? draft.string("location")
            let following = next.map { DIDKey($0.publicKey) }
            let signer = DocumentSigner(key)
            if let text = try draft.optionalString("log") {
                let log = try WebVHLog(lines: text.utf8.split(separator: 10).map { Array($0) }, now: bench.clock.now)
                return try #require(
                    try log.rotated(
                        to: signer,
                        next: following,
                        at: place,
                        document: { did in document.merging(did) },
                        now: bench.clock.now
                    ).lines.last
                )
            }
            return try #require(
                try WebVHLog.create(
                    location: place,
                    document: { did in document.merging(did) },
                    by: signer,
                    next: following,
                    isPortable: true,
                    now: bench.clock.now
                ).lines.first
            )
        }
        func code(_ entry: [UInt8]) async -> IdentityError.Code? {
            await identityCode { _ = try await bench.registry.publishDID("scout", entry: entry) }
        }

        #expect(await code(try entry(keys[3], next: [keys[1]])) == .invalidRequest)
        #expect(await code(try entry(keys[0], next: [])) == .invalidRequest)
        #expect(await code(try entry(keys[0], next: [keys[1]], at: "node.example:agents:other")) == .invalidRequest)
        #expect(await code(try entry(keys[0], next: [keys[1]], at: "evil.example")) == .invalidRequest)
        #expect(await code(Array("{}".utf8)) == .invalidRequest)
        #expect(await code([]) == .invalidRequest)
        #expect(try await bench.registry.publishedDIDLog(agent.id) == nil)
        let first = try await entry(keys[0], next: [keys[1]])
        #expect(await code(first) == nil)
        #expect(await code(first) == .invalidRequest)

        // It moves on with the agent, and stays where it was until the agent signs.
        _ = try await bench.registry.rotate("scout", key: try bench.ownKey(keys[1], .rotation, next: keys[2]))
        #expect(try await published(bench, agent.id).number == 1)
        #expect(await code(try entry(keys[1], next: [keys[2]])) == nil)
        let log = try await published(bench, agent.id)
        #expect(log.number == 2 && log.updateKeys == [DIDKey(keys[1].publicKey).multibaseKey])
        #expect(log.lines.first == first)
        // The node signs for none of them.
        _ = try await bench.register()
        let foreign = await identityCode { _ = try await bench.registry.publishDID("planner", entry: first) }
        #expect(foreign == .keyNotHeld)
    }

    @Test(
        "[DID-4] it goes along to another node, whose address it takes at the next move; a log of somebody else's does not"
    )
    func moves() async throws {
        let old = try await IdentityBench()
        let new = try await IdentityBench(seed: 2, publicURL: "https://new.example:8402")
        let (agent, _) = try await old.register()
        let made = try await old.registry.createDID("planner")
        let passphrase = Array("correct horse".utf8)
        let file = try await old.registry.export(
            "planner",
            to: new.office.issuer,
            passphrase: passphrase,
            parameters: try IdentityBench.cheap()
        )
        _ = try await new.registry.importAgent(file, passphrase: passphrase)
        #expect(try await published(new, agent.id).lines == made.lines)
        #expect(await identityCode { _ = try await old.registry.createDID("planner") } == .agentMoved)
        _ = try await new.registry.rotate("planner")
        let log = try await published(new, agent.id)
        #expect(log.did.scid == made.did.scid)
        #expect(log.did.url == "https://new.example:8402/agents/\(agent.id.dropFirst(9))/did.jsonl")
        #expect(log.document["alsoKnownAs"]?.arrayValue?.contains(.string(made.did.string)) == true)
        // Whoever knew it by the old name reads the same history.
        _ = try WebVHLog(log.bytes, resolving: made.did, now: new.clock.now)
        #expect(try await published(old, agent.id).lines == made.lines)

        // Sealed by a node that lies: the log is another key's.
        let other = try await old.register("other")
        let record = AgentRecord(agent: other.agent, sealedKey: nil, nextDID: nil, sealedNextKey: nil)
        let lie = AgentExport(
            id: UUIDText.randomURN(),
            agent: record,
            seed: nil,
            nextSeed: nil,
            origin: old.office.issuer,
            destination: new.office.issuer,
            passports: [],
            didLog: made
        )
        let sealed = try lie.sealed(passphrase: passphrase, parameters: try IdentityBench.cheap())
        let code = await identityCode { _ = try await new.registry.importAgent(sealed, passphrase: passphrase) }
        #expect(code == .exportRefused)
    }

    @Test("[DID-5] the last entry that there is room for deactivates it; the agent moves on, and can have another one")
    func full() async throws {
        let bench = try await IdentityBench()
        let (agent, _) = try await bench.register()
        let next = try #require(try await bench.database.read { try AgentStore.find("planner", in: $0) }.nextDID)
        let signer = try await bench.registry.credentials("planner").signer
        let keys = (0..<WebVHLog.maximumEntries - 2).map { _ in DocumentSigner(Ed25519.PrivateKey()) }
        let location = "node.example:agents:\(agent.id.dropFirst(9))"
        func document(_ did: String) -> JSONObject { DIDDocuments.document(did, keys: [signer.did], controller: nil) }
        var log = try WebVHLog.create(
            location: location,
            document: document,
            by: keys[0],
            next: [keys[1].did],
            isPortable: true,
            now: bench.clock.now
        )
        for (key, after) in zip(keys.dropFirst() + [signer], keys.dropFirst(2).map(\.did) + [signer.did, next]) {
            log = try log.rotated(to: key, next: [after], document: document, now: bench.clock.now)
        }
        let first = log
        #expect(first.number == WebVHLog.maximumEntries - 1)
        try await bench.database.write { try AgentDIDStore.put(first, of: agent.id, over: 0, in: $0) }
        _ = try await bench.registry.rotate("planner")
        #expect(try await published(bench, agent.id).isDeactivated)
        _ = try await bench.registry.rotate("planner")
        #expect(try await published(bench, agent.id).number == WebVHLog.maximumEntries)
        let second = try await bench.registry.createDID("planner")
        #expect(second.did != first.did && second.number == 1)
        _ = try await bench.registry.recover("planner")
        #expect(try await published(bench, agent.id).number == 2)
    }
}

extension JSONObject {
    /// The document under the DID that a log gives it, whatever it was drafted for.
    fileprivate func merging(_ did: String) -> JSONObject {
        var document = self
        document["id"] = .string(did)
        return document
    }
}
