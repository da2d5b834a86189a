import CanonicalJSON
import Encodings
import Identity
import Passports
import SignedDocuments
import Storage
import Synchronization
import TestSupport
import Testing

@Suite("Passport office")
struct PassportOfficeTests {
    private func list(_ bench: IdentityBench, _ entry: StatusEntry) throws -> VerifiedStatusList {
        let number = try #require(Int64(entry.listURL.split(separator: "/").last ?? ""))
        let published = try #require(try bench.office.publishedList(number))
        return try StatusListCredential.verify(bytes: published.bytes, url: entry.listURL)
    }

    private func entry(_ passport: Passport, _ purpose: StatusPurpose) throws -> StatusEntry {
        try #require(passport.statusEntry(purpose))
    }

    @Test("[PASS-12] revoking takes every passport of the key, for good, at once")
    func revoke() async throws {
        let bench = try await IdentityBench()
        let (agent, first) = try await bench.register()
        let (_, bystander) = try await bench.register("other")
        bench.clock.advance(seconds: 60_000)
        let second = try await bench.registry.renew("planner").passport
        let record = try await bench.office.revoke(first.id, reason: .keyCompromise)
        #expect(record.state == .revoked && record.reason == "keyCompromise")
        #expect(await bench.reasons(first) == [.revoked])
        #expect(await bench.reasons(second) == [.revoked])
        #expect(await bench.reasons(bystander) == [])
        for passport in [first, second] {
            let entry = try entry(passport, .revocation)
            #expect(try list(bench, entry).bitmap.isSet(entry.index) == true)
        }
        #expect(try await bench.registry.agent(agent.id).state == .revoked)
        // Again changes nothing, and the first reason stands.
        let sequence = try list(bench, try entry(first, .revocation)).sequence
        #expect(try await bench.office.revoke(second.id, reason: .superseded).reason == "keyCompromise")
        #expect(try list(bench, try entry(first, .revocation)).sequence == sequence)
        #expect(await identityCode { try await bench.office.restore(first.id) } == .passportFinal)
        #expect(await identityCode { try await bench.office.suspend(first.id) } == .passportFinal)
        #expect(
            await identityCode { try await bench.office.revoke("urn:uuid:0", reason: .unspecified) }
                == .passportNotFound
        )
    }

    @Test("[PASS-15] what hooks on to a key ends with it, once, in the same transaction; what it throws undoes both")
    func hooks() async throws {
        let bench = try await IdentityBench()
        let (agent, passport) = try await bench.register()
        let heard = Mutex<[KeyRevocation]>([])
        struct Refusal: Error {}
        let refuses = Mutex(true)
        bench.office.revocationHooks.add { revocation, _ in
            if refuses.withLock({ $0 }) { throw Refusal() }
            heard.withLock { $0.append(revocation) }
        }
        await #expect(throws: Refusal.self) { try await bench.office.revoke(passport.id, reason: .keyCompromise) }
        #expect(await bench.reasons(passport) == [])
        refuses.withLock { $0 = false }
        for _ in 0..<2 { try await bench.office.revoke(passport.id, reason: .keyCompromise) }
        _ = try await bench.registry.rotate("planner")
        #expect(
            heard.withLock { $0 } == [
                KeyRevocation(did: agent.did, agentID: agent.id, reason: .keyCompromise, at: bench.clock.now)
            ]
        )
        _ = try await bench.registry.rotate("planner")
        #expect(heard.withLock { $0.count } == 2)
        #expect(heard.withLock { $0.last?.reason } == .superseded)
    }

    @Test("[PASS-13] suspending is lifted again, and holds renewal meanwhile")
    func suspend() async throws {
        let bench = try await IdentityBench()
        let (agent, passport) = try await bench.register()
        let record = try await bench.office.suspend(passport.id, reason: "looking into it")
        #expect(record.state == .suspended && record.reason == "looking into it")
        #expect(await bench.reasons(passport) == [.suspended])
        #expect(await identityCode { _ = try await bench.registry.renew("planner") } == .agentNotActive)
        #expect(await identityCode { _ = try await bench.registry.credentials("planner") } == .agentNotActive)
        #expect(await identityCode { _ = try await bench.registry.rotate("planner") } == .agentNotActive)
        bench.clock.advance(seconds: 80_000)
        #expect(try await bench.registry.renewDue().renewed == [])
        #expect(try await bench.office.restore(passport.id).state == .active)
        #expect(await bench.reasons(passport) == [])
        #expect(try await bench.registry.renewDue().renewed == [agent.id])
        let entry = try entry(passport, .suspension)
        #expect(try list(bench, entry).bitmap.population == 0)
        #expect(
            await identityCode {
                try await bench.office.suspend(passport.id, reason: String(repeating: "r", count: 257))
            } == .invalidRequest
        )
        bench.clock.advance(seconds: 80_000)
        #expect(await identityCode { try await bench.office.suspend(passport.id) } == .passportFinal)
    }

    @Test("a passport that is suspended and then revoked is only revoked, on every list, restarts included")
    func suspendThenRevoke() async throws {
        let bench = try await IdentityBench()
        let (_, passport) = try await bench.register()
        try await bench.office.suspend(passport.id)
        try await bench.office.revoke(passport.id, reason: .unspecified)
        #expect(await bench.reasons(passport) == [.revoked])
        let suspensions = try list(bench, try entry(passport, .suspension))
        let revocations = try list(bench, try entry(passport, .revocation))
        let again = try await bench.restarted()
        #expect(await again.reasons(passport) == [.revoked])
        #expect(try list(again, try entry(passport, .suspension)).contentDigest == suspensions.contentDigest)
        #expect(try list(again, try entry(passport, .suspension)).sequence == suspensions.sequence)
        #expect(try list(again, try entry(passport, .revocation)).contentDigest == revocations.contentDigest)
        #expect(try list(again, try entry(passport, .revocation)).sequence == revocations.sequence)
    }

    @Test("[STAT-2] indices are drawn at random, and no two passports share one")
    func randomIndices() async throws {
        let bench = try await IdentityBench()
        var places: Set<String> = []
        var indices: [Int] = []
        for round in 0..<50 {
            let (_, passport) = try await bench.register("agent \(round)")
            #expect(try entry(passport, .revocation).listURL != (try entry(passport, .suspension)).listURL)
            for status in passport.status { #expect(places.insert("\(status.listURL)#\(status.index)").inserted) }
            indices.append(try entry(passport, .revocation).index)
        }
        #expect(indices != indices.sorted())
        #expect(indices.contains { $0 > 65_536 } && indices.contains { $0 < 65_536 })
    }

    @Test("[STAT-3] [STAT-8] a list is served as it was signed until it changes or is thirty seconds old")
    func signing() async throws {
        let bench = try await IdentityBench()
        let (_, passport) = try await bench.register()
        let first = try #require(try bench.office.publishedList(1))
        bench.clock.advance(seconds: 29)
        #expect(try bench.office.publishedList(1)?.etag == first.etag)
        bench.clock.advance(seconds: 1)
        let second = try #require(try bench.office.publishedList(1))
        #expect(second.etag != first.etag && second.sequence == first.sequence)
        #expect(second.validUntil == bench.clock.now.adding(seconds: 3_600))
        try await bench.office.revoke(passport.id, reason: .unspecified)
        let third = try #require(try bench.office.publishedList(1))
        #expect(third.etag != second.etag && third.sequence > second.sequence)
        #expect(try bench.office.publishedList(99) == nil)
        let list = try StatusListCredential.verify(bytes: third.bytes, url: "https://node.example/status/1")
        #expect(list.ttlMilliseconds == 60_000 && list.purpose == .revocation && list.issuer == bench.office.issuer)
    }

    @Test("[STAT-5] sequences follow the clock, and still rise where it stands still or falls back")
    func sequences() async throws {
        let bench = try await IdentityBench()
        let (_, passport) = try await bench.register()
        let entry = try entry(passport, .suspension)
        var last = try list(bench, entry).sequence
        bench.clock.advance(seconds: 1_000)
        try await bench.office.suspend(passport.id)
        #expect(try list(bench, entry).sequence == UInt64(bench.clock.now.secondsSince1970))
        for advance: Int64 in [0, 0, -500, 0, 100] {
            bench.clock.advance(seconds: advance)
            last = try list(bench, entry).sequence
            if try await bench.office.passport(passport.id).state == .suspended {
                try await bench.office.restore(passport.id)
            } else {
                try await bench.office.suspend(passport.id)
            }
            #expect(try list(bench, entry).sequence == last + 1)
        }
    }

    @Test("[STAT-4] among many changes at once, no sequence is ever published with two contents")
    func noEquivocation() async throws {
        let bench = try await IdentityBench()
        var passports: [Passport] = []
        for round in 0..<12 { passports.append(try await bench.register("agent \(round)").passport) }
        let number = try #require(Int64(try entry(passports[0], .suspension).listURL.split(separator: "/").last ?? ""))
        let url = try entry(passports[0], .suspension).listURL
        let changing = Changing(passports.count)
        let seen = try await withThrowingTaskGroup(of: [UInt64: Set<[UInt8]>].self) { group in
            for passport in passports {
                group.addTask {
                    for _ in 0..<5 {
                        try await bench.office.suspend(passport.id)
                        try await bench.office.restore(passport.id)
                    }
                    changing.count.withLock { $0 -= 1 }
                    return [:]
                }
            }
            group.addTask {
                var seen: [UInt64: Set<[UInt8]>] = [:]
                while changing.count.withLock({ $0 }) > 0 {
                    if let published = try bench.office.publishedList(number) {
                        let list = try StatusListCredential.verify(bytes: published.bytes, url: url)
                        seen[list.sequence, default: []].insert(list.contentDigest)
                    }
                    await Task.yield()
                }
                return seen
            }
            var all: [UInt64: Set<[UInt8]>] = [:]
            for try await part in group { all.merge(part) { $0.union($1) } }
            return all
        }
        #expect(seen.count > 1)
        #expect(seen.values.allSatisfy { $0.count == 1 })
        #expect(try list(bench, try entry(passports[0], .suspension)).bitmap.population == 0)
    }

    @Test("a passport issued while its key is being revoked is never left good")
    func issueRacesRevoke() async throws {
        for _ in 0..<5 {
            let bench = try await IdentityBench()
            let (agent, passport) = try await bench.register()
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<8 { group.addTask { _ = try? await bench.registry.renew("planner") } }
                group.addTask { _ = try? await bench.office.revoke(passport.id, reason: .unspecified) }
            }
            for record in try await bench.office.passports(agent: agent.id) {
                #expect(await bench.reasons(record.passport) == [.revoked])
            }
        }
    }

    @Test("[STAT-2] lapsed passports are forgotten after seven days; their places are free and their bits clear")
    func purge() async throws {
        let bench = try await IdentityBench()
        let (_, revoked) = try await bench.register("gone")
        try await bench.office.revoke(revoked.id, reason: .cessationOfOperation)
        let before = try list(bench, try entry(revoked, .revocation))
        bench.clock.advance(seconds: 86_400 + 7 * 86_400)
        #expect(try await bench.office.purgeLapsed() == 0)
        bench.clock.advance(seconds: 1)
        #expect(try await bench.office.purgeLapsed() == 1)
        #expect(try await bench.office.purgeLapsed() == 0)
        let after = try list(bench, try entry(revoked, .revocation))
        #expect(after.bitmap.population == 0 && after.sequence > before.sequence)
        #expect(await identityCode { _ = try await bench.office.passport(revoked.id) } == .passportNotFound)
        let again = try await bench.restarted()
        #expect(try list(again, try entry(revoked, .revocation)).contentDigest == after.contentDigest)
        // The key stays revoked.
        #expect(await identityCode { _ = try await again.registry.renew("gone") } == .agentNotActive)
    }

    @Test("housekeeping does its round and goes on")
    func maintenance() async throws {
        let bench = try await IdentityBench()
        let (agent, _) = try await bench.register()
        bench.clock.advance(seconds: 60_000)
        await bench.service.maintain()
        #expect(try await bench.office.passports(agent: agent.id).count == 2)
        await bench.database.close()
        await bench.service.maintain()
    }
}

/// How many tasks still change something.
private final class Changing: Sendable {
    let count: Mutex<Int>
    init(_ count: Int) { self.count = Mutex(count) }
}
