import CanonicalJSON
import Cryptography
import Encodings
import Passports
import SignedDocuments
import Storage
import Synchronization
import TestSupport
import Testing

@testable import Identity

@Suite("Others' status lists")
struct StatusListCacheTests {
    private let url = "https://other.example/status/1"
    private let issuer = DocumentSigner(Ed25519.PrivateKey())

    private func document(
        _ bench: IdentityBench,
        sequence: UInt64,
        set: [Int] = [],
        ttl: Int64 = 60_000,
        validSeconds: Int64 = 3_600
    ) throws -> [UInt8] {
        var bitmap = StatusBitmap()
        for index in set { bitmap.set(index) }
        let list = VerifiedStatusList(
            url: url,
            issuer: issuer.did,
            purpose: .revocation,
            sequence: sequence,
            validFrom: bench.clock.now,
            validUntil: bench.clock.now.adding(seconds: validSeconds),
            ttlMilliseconds: ttl,
            bitmap: bitmap
        )
        return try StatusListCredential.issue(list, by: issuer, now: bench.clock.now).serialized()
    }

    private func sequence(_ state: StatusListState) -> UInt64? {
        if case .list(let list) = state { list.sequence } else { nil }
    }

    private func code(_ state: StatusListState) -> PassportReason.Code? {
        if case .refused(let reason) = state { reason.code } else { nil }
    }

    @Test("[STAT-3] a list is fetched once and serves until its ttl is over; then by its ETag")
    func timeToLive() async throws {
        let bench = try await IdentityBench()
        bench.lists.answer(url, .document(try document(bench, sequence: 5), etag: "\"a\""))
        #expect(sequence(await bench.service.cache.state(of: url)) == 5)
        bench.clock.advance(seconds: 59)
        #expect(sequence(await bench.service.cache.state(of: url)) == 5)
        #expect(bench.lists.requests.count == 1)
        bench.clock.advance(seconds: 1)
        bench.lists.answer(url, .notModified)
        #expect(sequence(await bench.service.cache.state(of: url)) == 5)
        #expect(bench.lists.requests.map(\.etag) == [nil, "\"a\""])
        bench.clock.advance(seconds: 60)
        bench.lists.answer(url, .document(try document(bench, sequence: 6), etag: nil))
        #expect(sequence(await bench.service.cache.state(of: url)) == 6)
    }

    @Test("A copy older than the caller allows is fetched anew, though its own ttl has not lapsed")
    func youngerCopy() async throws {
        let bench = try await IdentityBench()
        bench.lists.answer(url, .document(try document(bench, sequence: 5, ttl: 60_000), etag: nil))
        #expect(sequence(await bench.service.cache.state(of: url, maximumAgeSeconds: 2)) == 5)
        bench.clock.advance(seconds: 3)
        bench.lists.answer(url, .document(try document(bench, sequence: 6, ttl: 60_000), etag: nil))
        #expect(sequence(await bench.service.cache.state(of: url)) == 5)
        #expect(sequence(await bench.service.cache.state(of: url, maximumAgeSeconds: 2)) == 6)
    }

    @Test("[STAT-4] a lower sequence is refused, by the same process and by one started anew")
    func rollback() async throws {
        let bench = try await IdentityBench()
        let old = try document(bench, sequence: 4, ttl: 1_000)
        bench.lists.answer(url, .document(try document(bench, sequence: 5, set: [3], ttl: 1_000), etag: nil))
        #expect(sequence(await bench.service.cache.state(of: url)) == 5)
        bench.lists.answer(url, .document(old, etag: nil))
        bench.clock.advance(seconds: 2)
        #expect(code(await bench.service.cache.state(of: url)) == .statusRolledBack)
        let again = try await bench.restarted()
        again.lists.answer(url, .document(old, etag: nil))
        #expect(code(await again.service.cache.state(of: url)) == .statusRolledBack)
        again.clock.advance(seconds: 2)
        again.lists.answer(url, .document(try document(again, sequence: 5, set: [3]), etag: nil))
        #expect(sequence(await again.service.cache.state(of: url)) == 5)
    }

    @Test("[STAT-4] the same sequence with other bits is refused; signed anew with the same bits it is taken")
    func equivocation() async throws {
        let bench = try await IdentityBench()
        bench.lists.answer(url, .document(try document(bench, sequence: 5, set: [3], ttl: 1_000), etag: nil))
        #expect(sequence(await bench.service.cache.state(of: url)) == 5)
        bench.clock.advance(seconds: 2)
        bench.lists.answer(url, .document(try document(bench, sequence: 5, set: [3], ttl: 1_000), etag: nil))
        #expect(sequence(await bench.service.cache.state(of: url)) == 5)
        bench.clock.advance(seconds: 2)
        bench.lists.answer(url, .document(try document(bench, sequence: 5, set: []), etag: nil))
        #expect(code(await bench.service.cache.state(of: url)) == .statusEquivocated)
    }

    @Test("[STAT-10] what cannot be had is unavailable; a copy at hand serves on, and its age is told")
    func unavailable() async throws {
        let bench = try await IdentityBench()
        #expect(code(await bench.service.cache.state(of: url)) == .statusUnavailable)
        #expect(code(await bench.service.cache.state(of: url)) == .statusUnavailable)
        #expect(bench.lists.requests.count == 1)  // not asked again within two seconds
        bench.clock.advance(seconds: 2)
        let signed = bench.clock.now
        bench.lists.answer(url, .document(try document(bench, sequence: 5), etag: nil))
        #expect(sequence(await bench.service.cache.state(of: url)) == 5)
        bench.lists.answer(url, .failure)
        bench.clock.advance(seconds: 3_500)
        let state = await bench.service.cache.state(of: url)
        guard case .list(let list) = state else {
            Issue.record("no list: \(state)")
            return
        }
        #expect(list.validFrom == signed)
        #expect(list.reason(now: bench.clock.now, maximumAgeSeconds: nil) == nil)
        #expect(list.reason(now: bench.clock.now, maximumAgeSeconds: 3_499)?.code == .statusStale)
        #expect(list.reason(now: bench.clock.now.adding(seconds: 100), maximumAgeSeconds: nil)?.code == .statusStale)
    }

    @Test("what is no list of that URL is refused")
    func invalid() async throws {
        let bench = try await IdentityBench()
        let elsewhere = "https://other.example/status/2"
        bench.lists.answer(elsewhere, .document(try document(bench, sequence: 5), etag: nil))
        #expect(code(await bench.service.cache.state(of: elsewhere)) == .statusInvalid)
        bench.lists.answer(url, .document(Array("<html>".utf8), etag: nil))
        #expect(code(await bench.service.cache.state(of: url)) == .statusInvalid)
        bench.clock.advance(seconds: 2)
        bench.lists.answer(url, .notModified)
        #expect(code(await bench.service.cache.state(of: url)) == .statusUnavailable)
    }

    @Test("many ask at once, one fetch goes out")
    func singleFlight() async throws {
        let bench = try await IdentityBench()
        bench.lists.answer(url, .document(try document(bench, sequence: 5), etag: nil))
        bench.lists.hold()
        let answers = await withTaskGroup(of: UInt64?.self) { group in
            for _ in 0..<20 { group.addTask { self.sequence(await bench.service.cache.state(of: self.url)) } }
            while bench.lists.requests.isEmpty { await Task.yield() }
            bench.lists.release()
            var answers: [UInt64?] = []
            for await answer in group { answers.append(answer) }
            return answers
        }
        #expect(answers == [UInt64?](repeating: 5, count: 20))
        #expect(bench.lists.requests.count == 1)
    }

    @Test("the lists kept in memory are bounded; the least used goes")
    func bounded() async throws {
        let bench = try await IdentityBench()
        for number in 0...StatusListCache.maximumLists {
            bench.clock.advance(seconds: 1)
            _ = await bench.service.cache.state(of: "https://other.example/status/\(number)")
        }
        #expect(bench.service.cache.count == StatusListCache.maximumLists)
        let count = bench.lists.requests.count
        _ = await bench.service.cache.state(of: "https://other.example/status/\(StatusListCache.maximumLists)")
        #expect(bench.lists.requests.count == count)
        _ = await bench.service.cache.state(of: "https://other.example/status/0")
        #expect(bench.lists.requests.count == count + 1)
    }

    // MARK: News of a change

    private func news(_ sequence: UInt64, set: [Int] = [], by issuer: DIDKey? = nil) -> StatusListNews {
        var bitmap = StatusBitmap()
        for index in set { bitmap.set(index) }
        let list = VerifiedStatusList(
            url: url,
            issuer: self.issuer.did,
            purpose: .revocation,
            sequence: sequence,
            validFrom: Timestamp(secondsSince1970: 0),
            validUntil: Timestamp(secondsSince1970: 1),
            ttlMilliseconds: 1,
            bitmap: bitmap
        )
        return StatusListNews(
            url: url,
            issuer: issuer ?? self.issuer.did,
            sequence: sequence,
            digest: list.contentDigest,
            document: [UInt8]("news \(sequence)".utf8)
        )
    }

    @Test("[RVK-2] news of a change has the list fetched at once, whatever its ttl; old news and another's do nothing")
    func heard() async throws {
        let bench = try await IdentityBench()
        let cache = bench.service.cache
        // Of a list that nobody asked for nothing is known, and nothing is fetched.
        #expect(try await cache.hear(news(5)) == .notOurs)
        bench.lists.answer(url, .document(try document(bench, sequence: 5), etag: "\"a\""))
        #expect(sequence(await cache.state(of: url)) == 5)
        #expect(try await cache.hear(news(5)) == .old)
        #expect(try await cache.hear(news(4, set: [9])) == .old)
        #expect(try await cache.hear(news(9, set: [1], by: DIDKey(Ed25519.PrivateKey().publicKey))) == .notOurs)
        #expect(bench.lists.requests.count == 1)
        bench.lists.answer(url, .document(try document(bench, sequence: 6, set: [1]), etag: nil))
        #expect(try await cache.hear(news(6, set: [1])) == .news)
        #expect(bench.lists.requests.count == 2)
        #expect(sequence(await cache.state(of: url)) == 6)
        #expect(try await cache.equivocations().isEmpty)
    }

    @Test("[RVK-3] a list that changed and cannot be had serves no more, nor its older copy, also after a restart")
    func heardAndAway() async throws {
        let bench = try await IdentityBench()
        let old = try document(bench, sequence: 5)
        bench.lists.answer(url, .document(old, etag: "\"a\""))
        #expect(sequence(await bench.service.cache.state(of: url)) == 5)
        bench.lists.answer(url, .failure)
        #expect(try await bench.service.cache.hear(news(6, set: [1])) == .news)
        #expect(code(await bench.service.cache.state(of: url)) == .statusStale)
        // A server that still gives the old one does not change that, by its ETag or whole.
        for answer in [ScriptedLists.Answer.notModified, .document(old, etag: nil)] {
            bench.clock.advance(seconds: 3)
            bench.lists.answer(url, answer)
            #expect(code(await bench.service.cache.state(of: url)) != nil)
        }
        let again = try await bench.restarted()
        again.lists.answer(url, .document(old, etag: nil))
        #expect(code(await again.service.cache.state(of: url)) == .statusRolledBack)
        again.clock.advance(seconds: 3)
        again.lists.answer(url, .document(try document(again, sequence: 6, set: [1]), etag: nil))
        #expect(sequence(await again.service.cache.state(of: url)) == 6)
    }

    @Test("[RVK-4] two contents of one sequence are kept, as the issuer signed both; the list serves no more")
    func evidence() async throws {
        let bench = try await IdentityBench()
        let cache = bench.service.cache
        let first = try document(bench, sequence: 5, ttl: 1_000)
        bench.lists.answer(url, .document(first, etag: nil))
        #expect(sequence(await cache.state(of: url)) == 5)
        #expect(try await cache.hear(news(5, set: [7])) == .equivocation)
        let evidence = try await cache.equivocations()
        #expect(evidence.count == 1 && evidence[0].url == url && evidence[0].sequence == 5)
        #expect(evidence[0].issuer == issuer.did.string)
        #expect(evidence[0].first == first && evidence[0].second == [UInt8]("news 5".utf8))
        // The same between two lists, and between news and a list.
        let second = try document(bench, sequence: 6, set: [2], ttl: 1_000)
        bench.lists.answer(url, .document(second, etag: nil))
        #expect(try await cache.hear(news(6, set: [1])) == .news)
        #expect(code(await cache.state(of: url)) == .statusEquivocated)
        let both = try await cache.equivocations()
        #expect(both.count == 2 && both.contains { $0.sequence == 6 && $0.second == second })
    }

    @Test("Lists that are to be had are asked for together: who is silent costs a call one time-out")
    func together() async throws {
        let bench = try await IdentityBench()
        let cache = bench.service.cache
        let urls: Set = [url, "https://other.example/status/2"]
        bench.lists.hold()
        let asking = Task { await cache.states(of: urls) }
        // Neither is answered before both are asked for: one after the other, this would never end.
        while bench.lists.requests.count < 2 { await Task.yield() }
        bench.lists.release()
        let states = await asking.value
        #expect(Set(states.keys) == urls && states.values.allSatisfy { code($0) == .statusUnavailable })
    }

    @Test("[RVK-1] what changes a list is told with the list's new sequence, after it is published")
    func told() async throws {
        let bench = try await IdentityBench()
        let told = Told()
        bench.office.statusHooks.add { [office = bench.office] numbers in
            told.add(numbers.compactMap { office.statusNews(of: $0)?.sequence })
        }
        let (_, passport) = try await bench.register()
        #expect(told.sequences.isEmpty)
        let before = bench.office.listNumbers.compactMap { bench.office.statusNews(of: $0)?.sequence }.max() ?? 0
        try await bench.office.suspend(passport.id)
        try await bench.office.restore(passport.id)
        try await bench.office.revoke(passport.id, reason: .keyCompromise)
        #expect(told.sequences.count == 3)
        #expect(told.sequences.map { $0.max() ?? 0 } == told.sequences.map { $0.max() ?? 0 }.sorted())
        #expect(told.sequences.allSatisfy { $0.contains { $0 > before } })
        #expect(bench.office.statusNews(of: 999) == nil)
    }
}

private final class Told: Sendable {
    private let all = Mutex<[[UInt64]]>([])
    var sequences: [[UInt64]] { all.withLock { $0 } }
    func add(_ sequences: [UInt64]) { all.withLock { $0.append(sequences) } }
}
