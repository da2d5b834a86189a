import CanonicalJSON
import Cryptography
import Encodings
import HTTPSignatures
import Passports
import SignedDocuments
import Synchronization
import TestSupport
import Testing

@testable import Identity

/// Answers key sets from memory, and counts who asked.
final class ScriptedKeys: KeySetFetching {
    private struct State {
        var answers: [String: [UInt8]] = [:]
        var asked: [String] = []
        var waiting: [CheckedContinuation<Void, Never>] = []
        var isHeld = false
    }
    private let state = Mutex(State())

    var asked: [String] { state.withLock { $0.asked } }
    var waiting: Int { state.withLock { $0.waiting.count } }

    func publish(_ keys: [DIDKey], at origin: String) {
        publish(bytes: PublicKeySet.document(keys).serialized(), at: origin)
    }

    func publish(bytes: [UInt8], at origin: String) {
        state.withLock { $0.answers[origin + SignatureAgent.directoryPath] = bytes }
    }

    func fail(_ origin: String) { state.withLock { $0.answers[origin + SignatureAgent.directoryPath] = nil } }

    func hold() { state.withLock { $0.isHeld = true } }

    func release() {
        let waiting = state.withLock { state in
            state.isHeld = false
            defer { state.waiting = [] }
            return state.waiting
        }
        for one in waiting { one.resume() }
    }

    func fetch(_ url: String) async throws -> [UInt8] {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let goesOn = state.withLock { state in
                state.asked.append(url)
                if state.isHeld { state.waiting.append(continuation) }
                return !state.isHeld
            }
            if goesOn { continuation.resume() }
        }
        guard let bytes = state.withLock({ $0.answers[url] }) else { throw CancellationError() }
        return bytes
    }
}

@Suite("Who asks, by Web Bot Auth")
struct WebBotAuthGateTests {
    private let keys = ScriptedKeys()
    private let bot = DocumentSigner(Ed25519.PrivateKey())
    private let origin = "https://bot.example"

    private func bench(_ policy: SignatureAgentPolicy? = nil) async throws -> IdentityBench {
        try await IdentityBench(keys: keys) { $0.signatureAgents = policy ?? .origins([origin]) }
    }

    private func request(
        _ bench: IdentityBench,
        by signer: DocumentSigner? = nil,
        from origin: String? = nil,
        lifetime: Int64 = 60
    ) throws -> RequestFacts {
        var facts = RequestFacts(method: "GET", targetURI: "https://node.example/s/weather/today", headers: [])
        let made = try WebBotAuth.sign(
            facts,
            by: signer ?? bot,
            agent: try SignatureAgent(.directory, uri: origin ?? self.origin),
            created: bench.clock.now,
            expires: bench.clock.now.adding(seconds: lifetime)
        )
        facts.headers += [
            ("Signature-Agent", made.signatureAgent), ("Signature-Input", made.signatureInput),
            ("Signature", made.signature),
        ]
        return facts
    }

    private func outcome(
        _ bench: IdentityBench,
        _ facts: RequestFacts,
        requires: Bool = false
    ) async -> String {
        let rules = CallerRules(requiresPassport: requires, trustedIssuers: [bench.office.issuer])
        switch await bench.gate.check(facts, rules: rules) {
        case .anonymous: return "anonymous"
        case .known(let caller): return "\(caller.keys?.identifier ?? "-") \(caller.did == bot.did)"
        case .refused(let status, let reasons):
            return "\(status) \(reasons.map(\.code.rawValue).joined(separator: ","))"
        }
    }

    private var known: String { "\(origin)\(SignatureAgent.directoryPath) true" }

    @Test("[BOT-5] a call signed by a key of a directory that may be asked is known by it, once")
    func recognised() async throws {
        let bench = try await bench()
        keys.publish([bot.did], at: origin)
        let first = try request(bench)
        #expect(await outcome(bench, first) == known)
        #expect(await outcome(bench, first) == "401 signature-replayed")
        #expect(await outcome(bench, try request(bench)) == known)
        #expect(keys.asked.count == 1)
        // A passport is asked for: a key alone, however well known, is none.
        #expect(await outcome(bench, try request(bench), requires: true).hasPrefix("401 passport-missing"))
    }

    @Test("[BOT-5] a directory that may not be asked, or does not answer, leaves the caller unknown and refuses nobody")
    func unknown() async throws {
        let bench = try await bench()
        #expect(await outcome(bench, try request(bench)) == "anonymous")
        #expect(await outcome(bench, try request(bench, from: "https://stranger.example")) == "anonymous")
        #expect(keys.asked == ["\(origin)\(SignatureAgent.directoryPath)"])
        // And asks again only after a while.
        #expect(await outcome(bench, try request(bench)) == "anonymous")
        #expect(keys.asked.count == 1)
        keys.publish([bot.did], at: origin)
        bench.clock.advance(seconds: KeyDirectories.retrySeconds)
        #expect(await outcome(bench, try request(bench)) == known)
    }

    @Test("[BOT-4] a wrong signature is refused; the same key at another's address proves nothing there")
    func confusion() async throws {
        let bench = try await bench(.any)
        keys.publish([bot.did], at: origin)
        #expect(await outcome(bench, try request(bench)) == known)
        var changed = try request(bench)
        changed.targetURI = "https://node.example/s/weather/tomorrow"
        #expect(await outcome(bench, changed) == "401 signature-invalid")
        // The thief names the honest directory with a key of his own, and a directory of his own that lacks the honest key.
        let thief = DocumentSigner(Ed25519.PrivateKey())
        #expect(await outcome(bench, try request(bench, by: thief)) == "401 signature-key-unsupported")
        keys.publish([thief.did], at: "https://thief.example")
        #expect(
            await outcome(bench, try request(bench, from: "https://thief.example")) == "401 signature-key-unsupported"
        )
        // A directory that names the thief's key by the honest thumbprint is no directory.
        var entry = thief.did.jwk
        entry["kid"] = .string(bot.did.thumbprint)
        keys.publish(
            bytes: JSONObject([("keys", .array([.object(entry)]))]).serialized(),
            at: "https://liar.example"
        )
        #expect(await outcome(bench, try request(bench, from: "https://liar.example")) == "anonymous")
    }

    @Test("[BOT-6] a key that was taken out stops verifying with the next look; an outage takes none away for a day")
    func rotation() async throws {
        let bench = try await bench()
        keys.publish([bot.did], at: origin)
        #expect(await outcome(bench, try request(bench)) == known)
        keys.fail(origin)
        bench.clock.advance(seconds: KeyDirectories.freshSeconds)
        #expect(await outcome(bench, try request(bench)) == known)
        bench.clock.advance(seconds: KeyDirectories.staleSeconds)
        #expect(await outcome(bench, try request(bench)) == "anonymous")
        keys.publish([bot.did], at: origin)
        bench.clock.advance(seconds: KeyDirectories.retrySeconds)
        #expect(await outcome(bench, try request(bench)) == known)
        keys.publish([], at: origin)
        bench.clock.advance(seconds: KeyDirectories.freshSeconds)
        #expect(await outcome(bench, try request(bench)) == "401 signature-key-unsupported")
        // A set that lacks the key is asked again after a quarter of a minute, not before.
        keys.publish([bot.did], at: origin)
        bench.clock.advance(seconds: 14)
        #expect(await outcome(bench, try request(bench)) == "401 signature-key-unsupported")
        bench.clock.advance(seconds: 1)
        #expect(await outcome(bench, try request(bench)) == known)
        // One that has it is believed for five minutes.
        let asked = keys.asked.count
        bench.clock.advance(seconds: 299)
        #expect(await outcome(bench, try request(bench)) == known)
        #expect(keys.asked.count == asked)
        bench.clock.advance(seconds: 1)
        #expect(await outcome(bench, try request(bench)) == known)
        #expect(keys.asked.count == asked + 1)
    }

    @Test("[BOT-6] 256 sets are remembered, and the one least lately used goes first")
    func remembered() async throws {
        let bench = try await bench(.any)
        let first = "https://h0.example"
        for number in 0...KeyDirectories.maximumSets {
            if number == 2 { #expect(await outcome(bench, try request(bench, from: first)).hasPrefix(first)) }
            let place = "https://h\(number).example"
            keys.publish([bot.did], at: place)
            #expect(await outcome(bench, try request(bench, from: place)).hasSuffix("true"))
            bench.clock.advance(seconds: 1)
        }
        #expect(keys.asked.count == 257)
        // The second gave way; the first was used after it.
        _ = await outcome(bench, try request(bench, from: first))
        #expect(keys.asked.count == 257)
        _ = await outcome(bench, try request(bench, from: "https://h1.example"))
        #expect(keys.asked.count == 258)
    }

    @Test("the examples' key, whose private half everybody has, is nobody's")
    func testKey() async throws {
        let bench = try await bench()
        let seed = try Base64URL.decode("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU")
        let everybody = DocumentSigner(try Ed25519.PrivateKey(seed: seed))
        keys.publish([everybody.did], at: origin)
        #expect(await outcome(bench, try request(bench, by: everybody)) == "401 signature-key-unsupported")
    }

    @Test("[BOT-6] one fetch an address however many ask, and eight addresses at once at most")
    func bounded() async throws {
        let bench = try await bench(.any)
        keys.publish([bot.did], at: origin)
        keys.hold()
        let same = try (0..<4).map { _ in try request(bench) }
        let others = try (0..<KeyDirectories.maximumFetches).map { try request(bench, from: "https://h\($0).example") }
        await withTaskGroup(of: String.self) { group in
            for facts in same { group.addTask { await outcome(bench, facts) } }
            await until { keys.waiting >= 1 }
            for facts in others.dropLast() { group.addTask { await outcome(bench, facts) } }
            await until { keys.waiting >= KeyDirectories.maximumFetches }
            // The ninth is not fetched: its caller is unknown, at once, while the others wait.
            let ninth = Mutex<String?>(nil)
            if let last = others.last {
                group.addTask {
                    let outcome = await outcome(bench, last)
                    ninth.withLock { $0 = outcome }
                    return outcome
                }
            }
            await until { ninth.withLock { $0 != nil } || keys.waiting > KeyDirectories.maximumFetches }
            #expect(ninth.withLock { $0 } == "anonymous")
            #expect(keys.asked.count == KeyDirectories.maximumFetches)
            keys.release()
            var outcomes: [String] = []
            for await one in group { outcomes.append(one) }
            #expect(outcomes.filter { $0 == known }.count == same.count)
        }
    }

    /// Waits for what other tasks bring about; not for ever, so that a test that fails ends.
    private func until(_ condition: () -> Bool) async {
        for _ in 0..<10_000 {
            if condition() { return }
            try? await Task.sleep(for: .milliseconds(1))
        }
        Issue.record("what was waited for did not come")
    }

    @Test("what covers less than a call says nothing of it: the caller stays unknown")
    func lesser() async throws {
        let bench = try await bench()
        keys.publish([bot.did], at: origin)
        var facts = try request(bench)
        // A payment that the signature does not cover could be anybody's.
        facts.headers.append(("X-Cashu", "cashuBo2F0"))
        #expect(await outcome(bench, facts) == "anonymous")
    }

    // MARK: The node's own keys

    @Test(
        "[BOT-2] an agent's second signature verifies by this node's directory, until the agent is suspended or revoked"
    )
    func ownAgents() async throws {
        let bench = try await bench()
        let (agent, passport) = try await bench.register()
        let place = try await bench.service.keys.signatureAgent(of: agent)
        #expect(place.kind == .directory && place.uri == "https://node.example")
        let facts = RequestFacts(method: "GET", targetURI: "https://other.example/x", headers: [])
        let credentials = try await bench.registry.credentials("planner")
        func signed() throws -> RequestFacts {
            var signed = facts
            signed.headers += try credentials.headers(for: facts, now: bench.clock.now, publishedAt: place)
            return signed
        }
        let found = try #require(try BotSignature(try signed()))
        let set = try PublicKeySet(try await bench.service.keys.directory().bytes)
        #expect(set.key(found.keyID, now: bench.clock.now).map { found.isValid(by: $0) } == true)
        // Both signatures stand; a node of ours takes its own.
        #expect(try HTTPSignatures.verify(try signed(), now: bench.clock.now).keyID == agent.did)

        // At once, in both: the clock stands still.
        func stands() async throws -> [Bool] {
            let board = bench.service.keys
            let sets = [try await board.directory().bytes, try await board.keySet(of: "planner").bytes]
            return try sets.map { try PublicKeySet($0).key(found.keyID, now: bench.clock.now) != nil }
        }
        #expect(try await stands() == [true, true])
        _ = try await bench.office.suspend(passport.id, reason: "looking")
        #expect(try await stands() == [false, false])
        _ = try await bench.office.revoke(passport.id, reason: .keyCompromise)
        #expect(try await stands() == [false, false])
    }

    @Test("[BOT-2] the directory has sixteen keys at most, with a proof for each; agents beyond have their own sets")
    func directoryBounds() async throws {
        let bench = try await bench()
        var agents: [Agent] = []
        for number in 0..<(KeyBoard.maximumDirectoryKeys + 2) {
            agents.append(try await bench.register("agent-\(number)").agent)
            bench.clock.advance(seconds: 1)
        }
        bench.clock.advance(seconds: KeyBoard.keepSeconds)
        let published = try await bench.service.keys.directory()
        let set = try PublicKeySet(published.bytes)
        let now = bench.clock.now
        for (number, agent) in agents.enumerated() {
            let stands = number < KeyBoard.maximumDirectoryKeys
            #expect((set.key(agent.did.thumbprint, now: now) != nil) == stands)
            let place = try await bench.service.keys.signatureAgent(of: agent)
            #expect(place.kind == (stands ? .directory : .keySet))
        }
        let headers = Dictionary(uniqueKeysWithValues: published.headers)
        let inputs = try #require(headers["Signature-Input"])
        #expect(inputs.components(separatedBy: "tag=\"http-message-signatures-directory\"").count == 17)
        #expect(inputs.utf8.count + (headers["Signature"] ?? "").utf8.count < 5_000)
        let last = try #require(agents.last)
        let own = try await bench.service.keys.signatureAgent(of: last)
        #expect(own.keysURL == bench.service.keys.keySetURL(last.id))
    }

    @Test("keys are published under https, or on this machine: another public URL has no use for them")
    func plainURL() async throws {
        let bench = try await IdentityBench(publicURL: "http://node.example")
        let agent = try await bench.register().agent
        let code = await identityCode { _ = try await bench.service.keys.signatureAgent(of: agent) }
        #expect(code == .invalidRequest)
        let local = try await IdentityBench(publicURL: "http://127.0.0.1:8402")
        let place = try await local.service.keys.signatureAgent(of: try await local.register().agent)
        #expect(place.keysURL == "http://127.0.0.1:8402/.well-known/http-message-signatures-directory")
    }
}

extension String {
    fileprivate func components(separatedBy text: String) -> [String] {
        var parts: [String] = []
        var rest = self[...]
        while let range = rest.firstRange(of: text) {
            parts.append(String(rest[..<range.lowerBound]))
            rest = rest[range.upperBound...]
        }
        return parts + [String(rest)]
    }
}
