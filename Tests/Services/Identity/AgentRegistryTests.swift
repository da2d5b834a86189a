import Cryptography
import Dispatch
import Encodings
import Identity
import Passports
import SignedDocuments
import Storage
import Testing

@Suite("Agents")
struct AgentRegistryTests {
    @Test("a registered agent has a passport that verifies and commits to a next key")
    func nodeHeldKey() async throws {
        let bench = try await IdentityBench()
        let limit = try SpendLimit.satoshi(5_000)
        let (agent, passport) = try await bench.registry.register(
            AgentDescription(name: "planner", operatorName: "Example", capabilities: ["pay"], spendLimit: limit)
        )
        #expect(agent.isKeyHeldHere && agent.state == .active)
        #expect(passport.agentID == agent.id && passport.subject == agent.did && passport.issuer == bench.office.issuer)
        #expect(passport.name == "planner" && passport.operatorName == "Example" && passport.spendLimit == limit)
        #expect(passport.nextKeyDigest != nil)
        #expect(passport.validUntil == passport.validFrom.adding(seconds: 86_400))
        #expect(await bench.reasons(passport) == [])
        #expect(try await bench.registry.agent("planner") == agent)
        #expect(try await bench.registry.agent(agent.id) == agent)
        #expect(try await bench.registry.agent(String(agent.id.dropFirst(9))) == agent)
        #expect(try await bench.registry.agent(agent.did.string) == agent)
        #expect(try await bench.registry.agents() == [agent])
        #expect(await identityCode { _ = try await bench.registry.agent("nobody") } == .agentNotFound)
    }

    @Test("a name serves once, and a failed registration leaves nothing behind")
    func uniqueNames() async throws {
        let bench = try await IdentityBench()
        _ = try await bench.register("planner")
        #expect(await identityCode { _ = try await bench.register("planner") } == .agentExists)
        #expect(try await bench.registry.agents().count == 1)
        for name in ["", "a\nb", String(repeating: "n", count: 129)] {
            #expect(await identityCode { _ = try await bench.register(name) } == .invalidRequest)
        }
        #expect(await identityCode { _ = try await bench.register("x", capabilities: ["Not Good"]) } == .invalidRequest)
        for lifetime: Int64 in [0, 59, 31 * 86_400 + 1, -1] {
            let description = AgentDescription(name: "y", passportLifetimeSeconds: lifetime)
            #expect(await identityCode { _ = try await bench.registry.register(description) } == .invalidRequest)
        }
        #expect(try await bench.registry.agents().count == 1)
    }

    @Test("[PASS-14] an agent with its own key proves that it holds it, once a challenge")
    func ownKey() async throws {
        let bench = try await IdentityBench()
        let key = Ed25519.PrivateKey()
        let proof = try bench.ownKey(key)
        let (agent, passport) = try await bench.registry.register(AgentDescription(name: "own"), key: proof)
        #expect(!agent.isKeyHeldHere && passport.subject == DIDKey(key.publicKey) && passport.nextKeyDigest == nil)
        #expect(
            await identityCode { _ = try await bench.registry.register(AgentDescription(name: "again"), key: proof) }
                == .challengeUnknown
        )
        #expect(
            await identityCode {
                _ = try await bench.registry.register(AgentDescription(name: "again"), key: try bench.ownKey(key))
            }
                == .agentExists
        )
        #expect(await identityCode { _ = try await bench.registry.credentials("own") } == .keyNotHeld)
        #expect(await identityCode { _ = try await bench.registry.rotate("own") } == .keyNotHeld)
    }

    @Test("[PASS-14] a proof by another key, for another use or node, or too late, is refused")
    func badProofs() async throws {
        let bench = try await IdentityBench()
        let other = try await IdentityBench(seed: 2)
        func register(_ key: OwnKey) async -> IdentityError.Code? {
            await identityCode { _ = try await bench.registry.register(AgentDescription(name: "thief"), key: key) }
        }
        var stolen = try bench.ownKey(Ed25519.PrivateKey())
        stolen.did = DIDKey(Ed25519.PrivateKey().publicKey)
        #expect(await register(stolen) == .possessionNotProven)
        #expect(await register(try bench.ownKey(Ed25519.PrivateKey(), .rotation)) == .possessionNotProven)
        #expect(await register(try other.ownKey(Ed25519.PrivateKey())) == .challengeUnknown)
        var garbled = try bench.ownKey(Ed25519.PrivateKey())
        garbled.signature = "AAAA"
        #expect(await register(garbled) == .possessionNotProven)
        // The challenge was used up by the failed try.
        #expect(await register(garbled) == .challengeUnknown)
        var badDigest = try bench.ownKey(Ed25519.PrivateKey())
        badDigest.nextKeyDigest = "sha256"
        #expect(await register(badDigest) == .invalidRequest)
        let late = try bench.ownKey(Ed25519.PrivateKey())
        bench.clock.advance(seconds: 300)
        #expect(await register(late) == .challengeUnknown)
        #expect(try await bench.registry.agents().isEmpty)
    }

    @Test("challenges are bounded, and old ones make room")
    func boundedChallenges() async throws {
        let bench = try await IdentityBench()
        for _ in 0..<4_096 { _ = try bench.registry.challenge() }
        #expect(await identityCode { _ = try bench.registry.challenge() } == .limitReached)
        bench.clock.advance(seconds: 301)
        _ = try bench.registry.challenge()
    }

    @Test("[PASS-9] a running node renews in the last third of a passport's life, and once")
    func renewal() async throws {
        let bench = try await IdentityBench()
        let (agent, first) = try await bench.register()
        bench.clock.advance(seconds: 86_400 * 2 / 3 - 1)
        #expect(try await bench.registry.renewDue().renewed == [])
        bench.clock.advance(seconds: 1)
        #expect(try await bench.registry.renewDue().renewed == [agent.id])
        #expect(try await bench.registry.renewDue().renewed == [])
        let passports = try await bench.office.passports(agent: agent.id)
        #expect(passports.count == 2 && passports[1].passport == first)
        #expect(passports[0].passport.validUntil == first.validUntil.adding(seconds: 57_600))
        #expect(await bench.reasons(first) == [])
        bench.clock.advance(seconds: 28_800)
        #expect(await bench.reasons(first) == [.expired])
        #expect(await bench.reasons(passports[0].passport) == [])
    }

    @Test("a node that answers at another URL renews at once, and its old passports still verify at home")
    func movedNode() async throws {
        let bench = try await IdentityBench()
        let (agent, old) = try await bench.register()
        let moved = try await bench.restarted(publicURL: "https://new.example")
        #expect(await moved.reasons(old) == [])
        #expect(try await moved.registry.renewDue().renewed == [agent.id])
        #expect(try await moved.registry.renewDue().renewed == [])
        let credentials = try await moved.registry.credentials("planner")
        #expect(credentials.passport.status[0].listURL.hasPrefix("https://new.example/status/"))
    }

    @Test("[PASS-5] an agent moves to the key it committed to; the old one is revoked")
    func rotation() async throws {
        let bench = try await IdentityBench()
        let (agent, old) = try await bench.register()
        let (moved, passport) = try await bench.registry.rotate("planner")
        #expect(old.commits(to: moved.did))
        #expect(moved.id == agent.id && moved.did != agent.did && passport.agentID == old.agentID)
        #expect(passport.commits(to: try await bench.registry.rotate("planner").agent.did))
        #expect(await bench.reasons(old) == [.revoked])
        #expect(await bench.reasons(passport) == [.revoked])
        let credentials = try await bench.registry.credentials("planner")
        #expect(await bench.reasons(credentials.passport) == [])
        #expect(credentials.signer.did == credentials.passport.subject)
    }

    @Test("[PASS-5] [MOVE-2] an agent that moves to another node while its key is changed has moved")
    func rotationMeanwhile() async throws {
        for (meanwhile, movesOn) in [
            ("INSERT INTO identity_moved SELECT id, 'did:key:other', '', 0 FROM identity_agents", false),
            ("UPDATE identity_agents SET name = 'scout'", true),
        ] {
            let bench = try await IdentityBench()
            let (agent, _) = try await bench.register()
            // What is committed between the look at the agent and the change of its key: revoking the old key is.
            bench.office.revocationHooks.add { _, connection in try connection.execute(meanwhile) }
            let code = await identityCode { _ = try await bench.registry.rotate(agent.id) }
            #expect(code == (movesOn ? nil : .agentNotActive))
            let after = try await bench.registry.agent(agent.id)
            #expect((after.did != agent.did) == movesOn)
        }
    }

    @Test("[PASS-13] a planned move of the key does not lift a suspension of the same moment")
    func suspensionMeanwhile() async throws {
        for _ in 0..<10 {
            let bench = try await IdentityBench()
            let (agent, passport) = try await bench.register()
            // Both wait for the one writer: the suspension comes first, after the move has looked at the agent.
            let (began, goOn) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
            async let held: Void = bench.database.write { _ in
                began.signal()
                goOn.wait()
            }
            await withCheckedContinuation { continuation in
                DispatchQueue.global().async {
                    began.wait()
                    continuation.resume()
                }
            }
            async let suspended = bench.office.suspend(passport.id)
            async let moved = identityCode { _ = try await bench.registry.rotate(agent.id) }
            try await Task.sleep(for: .milliseconds(2))
            goOn.signal()
            try await held
            let code = await moved
            // Which of the two came first is open; that both are told they succeeded is not.
            do {
                #expect(try await suspended.state == .suspended)
                #expect(code == .agentNotActive)
                #expect(try await bench.registry.agent(agent.id).state == .suspended)
            } catch let error as IdentityError {
                #expect(error.code == .passportFinal && code == nil)
            }
        }
    }

    @Test("[PASS-5] whoever stole the current key cannot bring another after it")
    func theft() async throws {
        let bench = try await IdentityBench()
        let first = Ed25519.PrivateKey()
        let second = Ed25519.PrivateKey()
        let (_, passport) = try await bench.registry.register(
            AgentDescription(name: "own"),
            key: try bench.ownKey(first, next: second)
        )
        #expect(passport.commits(to: DIDKey(second.publicKey)))
        try await bench.office.revoke(passport.id, reason: .keyCompromise)
        let thief = Ed25519.PrivateKey()
        func rotate(_ key: OwnKey) async -> IdentityError.Code? {
            await identityCode { _ = try await bench.registry.rotate("own", key: key) }
        }
        #expect(await rotate(try bench.ownKey(thief, .rotation)) == .keyNotCommitted)
        #expect(await rotate(try bench.ownKey(first, .rotation)) == .keyNotCommitted)
        #expect(await rotate(try bench.ownKey(second, .registration)) == .possessionNotProven)
        let (agent, next) = try await bench.registry.rotate(
            "own",
            key: try bench.ownKey(second, .rotation, next: thief)
        )
        #expect(
            agent.state == .active && next.subject == DIDKey(second.publicKey)
                && next.commits(to: DIDKey(thief.publicKey))
        )
        #expect(await bench.reasons(next) == [])
        // The reason of the theft stands; it is not overwritten by the move.
        #expect(try await bench.office.passport(passport.id).reason == "keyCompromise")
    }

    @Test("[PASS-12] a revoked key never has a passport again, by no way")
    func revokedKeys() async throws {
        let bench = try await IdentityBench()
        let key = Ed25519.PrivateKey()
        let (agent, passport) = try await bench.registry.register(
            AgentDescription(name: "own"),
            key: try bench.ownKey(key)
        )
        try await bench.office.revoke(passport.id, reason: .privilegeWithdrawn)
        #expect(await identityCode { _ = try await bench.registry.renew("own") } == .agentNotActive)
        bench.clock.advance(seconds: 80_000)
        #expect(try await bench.registry.renewDue().renewed == [])
        #expect(try await bench.registry.agent(agent.id).state == .revoked)
        let (held, _) = try await bench.register("held")
        #expect(
            await identityCode {
                _ = try await bench.registry.register(AgentDescription(name: "new name"), key: try bench.ownKey(key))
            }
                == .agentExists
        )
        // Even where the agent's row has moved on, the key stays out.
        let next = Ed25519.PrivateKey()
        let second = try await bench.registry.register(
            AgentDescription(name: "two"),
            key: try bench.ownKey(next, next: key)
        )
        #expect(
            await identityCode { _ = try await bench.registry.rotate("two", key: try bench.ownKey(key, .rotation)) }
                == .agentExists
        )
        #expect(second.agent.id != held.id)
    }

    @Test("[PASS-12] a key that an agent left behind serves no other agent")
    func leftKeys() async throws {
        let bench = try await IdentityBench()
        let old = Ed25519.PrivateKey()
        let next = Ed25519.PrivateKey()
        _ = try await bench.registry.register(AgentDescription(name: "own"), key: try bench.ownKey(old, next: next))
        _ = try await bench.registry.rotate("own", key: try bench.ownKey(next, .rotation))
        #expect(
            await identityCode {
                _ = try await bench.registry.register(AgentDescription(name: "heir"), key: try bench.ownKey(old))
            } == .keyRevoked
        )
        #expect(try await bench.registry.agents().count == 1)
    }

    @Test("agents, keys and passports survive a restart")
    func restart() async throws {
        let bench = try await IdentityBench()
        let (agent, passport) = try await bench.register()
        let before = try await bench.registry.credentials("planner")
        let again = try await bench.restarted()
        #expect(try await again.registry.agent(agent.id) == agent)
        let credentials = try await again.registry.credentials("planner")
        #expect(credentials.signer.did == before.signer.did && credentials.passport == passport)
        #expect(await again.reasons(passport) == [])
    }

    @Test("a database of another node's vault is told, not trusted")
    func foreignVault() async throws {
        let bench = try await IdentityBench()
        _ = try await bench.register()
        await bench.database.close()
        let other = try await IdentityBench(seed: 2, folder: bench.folder, clock: bench.clock)
        #expect(await identityCode { _ = try await other.registry.credentials("planner") } == .internalFailure)
    }
}
