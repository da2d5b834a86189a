import CanonicalJSON
import Cryptography
import Encodings
import Identity
import Passports
import SignedDocuments
import Storage
import TestSupport
import Testing

/// What the log was given, by kind.
private func logged(_ bench: IdentityBench, _ kind: String) async throws -> [JSONValue] {
    try await bench.database.read { try Outbox().pending(limit: 100, in: $0) }
        .filter { $0.kind == kind }.map { try JSONValue.parse($0.document) }
}

@Suite("A stolen key")
struct StolenKeyTests {
    @Test("[PASS-16] the next key takes over; the stolen one is refused everywhere, and the theft stands in the log")
    func recover() async throws {
        let bench = try await IdentityBench()
        let (agent, first) = try await bench.register()
        let since = bench.clock.now.adding(seconds: -3_600)
        // Suspended while somebody looked: that must not keep the agent from being recovered.
        try await bench.office.suspend(first.id, reason: "looking")
        let (after, passport) = try await bench.registry.recover("planner", since: since)
        #expect(after.id == agent.id && after.did != agent.did && after.state == .active)
        #expect(MultihashDigest.commitment(to: after.did) == agent.nextKeyDigest)
        #expect(await bench.reasons(first) == [.revoked])
        #expect(await bench.reasons(passport) == [])
        #expect(try await bench.office.passport(first.id).reason == "keyCompromise")
        let entry = try #require(try await logged(bench, "rotation").last)
        #expect(entry["reason"] == "keyCompromise" && entry["compromisedSince"]?.stringValue == since.rfc3339)
        #expect(entry["from"]?.stringValue == agent.did.string && entry["to"]?.stringValue == after.did.string)
        #expect(
            await identityCode {
                _ = try await bench.registry.recover("planner", since: bench.clock.now.adding(seconds: 1))
            } == .invalidRequest
        )
    }

    @Test(
        "[PASS-16] a key used after it was reported stolen registers, rotates and recovers nothing, and neither does a thief's next"
    )
    func thief() async throws {
        let bench = try await IdentityBench()
        let (stolen, next, thiefs) = (Ed25519.PrivateKey(), Ed25519.PrivateKey(), Ed25519.PrivateKey())
        _ = try await bench.registry.register(
            AgentDescription(name: "scout"),
            key: try bench.ownKey(stolen, next: next)
        )
        // The thief holds the current key alone: he cannot go on from it, before the report or after.
        func thiefCode(_ key: Ed25519.PrivateKey) async -> IdentityError.Code? {
            await identityCode {
                _ = try await bench.registry.rotate("scout", key: try bench.ownKey(key, .rotation, next: thiefs))
            }
        }
        #expect(await thiefCode(thiefs) == .keyNotCommitted)
        #expect(await thiefCode(stolen) == .keyNotCommitted)
        let after = try await bench.registry.recover("scout", key: try bench.ownKey(next, .rotation)).agent
        #expect(after.did == DIDKey(next.publicKey))
        #expect(await thiefCode(stolen) == .keyNotCommitted)
        let code = await identityCode {
            _ = try await bench.registry.register(AgentDescription(name: "other"), key: try bench.ownKey(stolen))
        }
        #expect(code == .keyRevoked)
    }
}

@Suite("An agent that moves between nodes")
struct MovingTests {
    private let passphrase = Array("correct horse".utf8)

    private func export(_ bench: IdentityBench, to other: IdentityBench) async throws -> String {
        try await bench.registry.export(
            "planner",
            to: other.office.issuer,
            passphrase: passphrase,
            parameters: try IdentityBench.cheap()
        )
    }

    @Test("[MOVE-1] [MOVE-2] [MOVE-3] keys, commitment and history come along; it acts at one node at a time, and once")
    func moves() async throws {
        let old = try await IdentityBench()
        let new = try await IdentityBench(seed: 2)
        let (agent, passport) = try await old.register()
        let file = try await export(old, to: new)
        // From then on not here, though it was not taken in there yet; over a restart too.
        let again = try await old.restarted()
        #expect(await again.reasons(passport) == [.revoked])
        #expect(await identityCode { _ = try await again.registry.credentials("planner") } != nil)
        #expect(await identityCode { _ = try await again.registry.renew("planner") } == .agentNotActive)
        #expect(await identityCode { _ = try await again.registry.rotate("planner") } == .agentMoved)
        #expect(await identityCode { _ = try await again.registry.recover("planner") } == .agentMoved)
        #expect(try await again.registry.renewDue().renewed.isEmpty)
        #expect(try await export(again, to: new) == file)
        let third = try await IdentityBench(seed: 3)
        #expect(await identityCode { _ = try await export(again, to: third) } == .agentMoved)
        let rows = try await again.database.read {
            try $0.first(
                "SELECT count(*) FROM identity_agents WHERE sealed_key IS NOT NULL OR sealed_next_key IS NOT NULL"
            )
        }
        #expect(try rows?.int(0) == 0)

        let (arrived, fresh) = try await new.registry.importAgent(file, passphrase: passphrase)
        #expect(arrived.id == agent.id && arrived.did == agent.did && arrived.nextKeyDigest == agent.nextKeyDigest)
        #expect(arrived.capabilities == agent.capabilities && arrived.isKeyHeldHere)
        #expect(fresh.issuer == new.office.issuer)
        #expect(await new.reasons(fresh) == [])
        #expect(try await new.registry.credentials("planner").signer.did == agent.did)
        #expect(try await new.registry.history("planner") == [.object(passport.document)])
        #expect(try await logged(again, "move").count == 1)
        #expect(try await logged(new, "move").first?["from"]?.stringValue == again.office.issuer.string)
        // Once; and the next key came along.
        let code = await identityCode { _ = try await new.registry.importAgent(file, passphrase: passphrase) }
        #expect(code == .agentExists)
        let rotated = try await new.registry.rotate("planner").agent
        #expect(MultihashDigest.commitment(to: rotated.did) == agent.nextKeyDigest)
    }

    @Test("[MOVE-1] another node, another passphrase and each member that was changed are refused")
    func refused() async throws {
        let old = try await IdentityBench()
        let new = try await IdentityBench(seed: 2)
        _ = try await old.register()
        let file = try await export(old, to: new)
        func code(_ text: String, _ passphrase: String = "correct horse", at bench: IdentityBench) async
            -> IdentityError.Code?
        {
            await identityCode { _ = try await bench.registry.importAgent(text, passphrase: Array(passphrase.utf8)) }
        }
        #expect(await code(file, at: try IdentityBench(seed: 3)) == .exportRefused)
        #expect(await code(file, "another horse", at: new) == .exportRefused)
        let document = try JSONValue.parse(Array(file.utf8)).requireObject()
        for (name, _) in document {
            var changed = document
            changed[name] =
                switch name {
                case "version": 2
                case "scrypt": ["salt": "AAAAAAAAAAAAAAAAAAAAAA", "n": 1024, "r": 1, "p": 1]
                case "to", "from": .string(DIDKey(Ed25519.PrivateKey().publicKey).string)
                default: "AAAA"
                }
            let text = String(decoding: JSONValue.object(changed).serialized(), as: UTF8.self)
            #expect(await code(text, at: new) == .exportRefused, "\(name)")
        }
        #expect(await code("[]", at: new) == .exportRefused)
        #expect(await code(file, at: new) == nil)
        await #expect(throws: IdentityError.self) {
            _ = try await new.registry.export("planner", to: new.office.issuer, passphrase: passphrase)
        }
    }
}

@Suite("Agents that come by themselves")
struct RegistrationTests {
    private func bench(
        _ mode: RegistrationPolicy.Mode,
        each: Int64 = 10,
        after: IdentityBench? = nil
    ) async throws -> IdentityBench {
        await after?.database.close()
        return try await IdentityBench(folder: after?.folder, clock: after?.clock ?? ManualClock()) {
            $0.registration = RegistrationPolicy(mode: mode, capabilities: ["pay"], perAddressHourly: each, hourly: 20)
        }
    }

    private func register(
        _ bench: IdentityBench,
        _ name: String = "scout",
        capabilities: [String] = ["pay"],
        key: Ed25519.PrivateKey = Ed25519.PrivateKey(),
        address: String = "192.0.2.1",
        token: String? = nil
    ) async throws -> RegistrationDesk.Answer {
        try await bench.service.registration.register(
            AgentDescription(name: name, capabilities: capabilities),
            key: try bench.ownKey(key),
            address: address,
            paidToken: token
        )
    }

    @Test("[REG-1] off by default; open: at once, with no more than what is granted to strangers")
    func open() async throws {
        let closed = try await IdentityBench()
        #expect(await identityCode { _ = try await register(closed) } == .registrationClosed)
        #expect(
            await identityCode { _ = try closed.service.registration.challenge(address: "a") } == .registrationClosed
        )
        let bench = try await bench(.open)
        let key = Ed25519.PrivateKey()
        let answer = try await register(bench, key: key)
        let passport = try #require(answer.passport)
        #expect(passport.subject == DIDKey(key.publicKey) && passport.capabilities == ["pay"])
        #expect(await bench.reasons(passport) == [])
        #expect(
            await identityCode { _ = try await register(bench, "b", capabilities: ["pay", "invoke"]) }
                == .registrationClosed
        )
        #expect(await identityCode { _ = try await register(bench) } == .agentExists)
        // The node renews, the agent fetches.
        bench.clock.advance(seconds: 60_000)
        _ = try await bench.registry.renewDue()
        let later = try await bench.service.registration.answer(answer.request.id)
        #expect(try #require(later.passport).validUntil > passport.validUntil)
        #expect(await identityCode { _ = try await bench.service.registration.answer("x") } == .requestNotFound)
    }

    @Test("[REG-2] possession is proven for this node, this use and once; a revoked key is not taken")
    func possession() async throws {
        let bench = try await bench(.open)
        let elsewhere = try await IdentityBench(seed: 2)
        let key = Ed25519.PrivateKey()
        let desk = bench.service.registration
        func code(_ own: OwnKey) async -> IdentityError.Code? {
            await identityCode { _ = try await desk.register(AgentDescription(name: "n"), key: own, address: "a") }
        }
        #expect(await code(try elsewhere.ownKey(key)) == .challengeUnknown)
        #expect(await code(try bench.ownKey(key, .rotation)) == .possessionNotProven)
        var stranger = try bench.ownKey(key)
        stranger.did = DIDKey(Ed25519.PrivateKey().publicKey)
        #expect(await code(stranger) == .possessionNotProven)
        let own = try bench.ownKey(key)
        #expect(await code(own) == nil)
        #expect(await code(own) == .challengeUnknown)
    }

    @Test("[REG-3] approved: nothing is issued before the operator says so; he grants what he will, once")
    func approved() async throws {
        let first = try await bench(.approved)
        let key = Ed25519.PrivateKey()
        let asked = try await register(first, capabilities: ["pay", "invoke"], key: key)
        #expect(asked.passport == nil && asked.request.state == .pending)
        #expect(try await first.registry.agents().isEmpty)
        #expect(await identityCode { _ = try await register(first, "again", key: key) } == .agentExists)
        let bench = try await bench(.approved, after: first)
        let desk = bench.service.registration
        #expect(try await desk.pending().map(\.id) == [asked.request.id])
        let admitted = try await desk.approve(asked.request.id, capabilities: ["invoke"])
        #expect(admitted.passport?.capabilities == ["invoke"] && admitted.request.agentID == admitted.passport?.agentID)
        #expect(try await desk.answer(asked.request.id).passport == admitted.passport)
        #expect(await identityCode { _ = try await desk.approve(asked.request.id) } == .agentExists)
        #expect(await identityCode { _ = try await desk.deny(asked.request.id, reason: nil) } == .agentExists)
        let other = try await register(bench, "other").request
        #expect(try await desk.deny(other.id, reason: "no").state == .denied)
        #expect(await identityCode { _ = try await desk.approve(other.id) } == .agentExists)
        #expect(try await desk.answer(other.id).request.reason == "no")
        #expect(try await bench.registry.agents().count == 1)
    }

    @Test("[REG-4] paid: only through the service that knows the token")
    func paid() async throws {
        let bench = try await bench(.paid)
        let token = bench.service.registration.paidToken
        for wrong in [nil, "", token + "x", String(token.dropLast())] {
            #expect(await identityCode { _ = try await register(bench, token: wrong) } == .registrationClosed)
        }
        #expect(try await register(bench, token: token).passport != nil)
        let open = try await self.bench(.open)
        #expect(
            await identityCode { _ = try await register(open, token: open.service.registration.paidToken) }
                == .registrationClosed
        )
    }

    @Test("[REG-5] so many an hour from one address, so many from all; the next hour begins anew")
    func limits() async throws {
        let bench = try await bench(.open, each: 3)
        for index in 0..<3 { _ = try await register(bench, "a\(index)") }
        #expect(await identityCode { _ = try await register(bench, "a3") } == .tooMany)
        for index in 0..<17 { _ = try await register(bench, "b\(index)", address: "192.0.2.\(index + 10)") }
        #expect(await identityCode { _ = try await register(bench, "c", address: "192.0.2.200") } == .tooMany)
        bench.clock.advance(seconds: 3_600)
        _ = try await register(bench, "d")
        let desk = bench.service.registration
        for _ in 0..<12 { _ = try desk.challenge(address: "x") }
        #expect(await identityCode { _ = try desk.challenge(address: "x") } == .tooMany)
    }
}
