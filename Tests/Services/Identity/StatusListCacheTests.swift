import CanonicalJSON
import Cryptography
import Encodings
import Passports
import SignedDocuments
import Storage
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
}
