import Budgets
import Delegation
import Encodings
import Storage
import TestSupport
import Testing

/// What an accounting node forgets, and that nothing shows it but the size of its table.
@Suite("Old debits")
struct PastTests {
    @Test("[DLG-15] within the day a call asked for again is the same debit, settled or not, also after a restart")
    func window() async throws {
        let folder = try TemporaryFolder()
        let clock = TestClock()
        var bank = try Bank(folder: folder, clock: clock)
        let links = [try bank.link(0, 1, budget: 100), try bank.link(1, 2, budget: 100)]
        let open = try await bank.spend(2, links, amount: 30, call: 1)
        let settled = try await bank.spend(2, links, amount: 40, call: 2)
        #expect(try await bank.office.settle(debit: settled.id, charged: 25) == 25)
        for hours: Int64 in [0, 23] {
            clock.advance(hours * 3600)
            #expect(try await bank.office.maintain() == 0)
            await bank.database.close()
            bank = try Bank(folder: folder, clock: clock)
            #expect(try await bank.spend(2, links, amount: 30, call: 1).id == open.id)
            #expect(await bank.code { try await bank.spend(2, links, amount: 40, call: 2) } == "debit-settled")
            #expect(await bank.code { try await bank.spend(2, links, amount: 31, call: 1) } == "call-conflict")
        }
        #expect(try await bank.spent(links[0]) == 55)
        await bank.database.close()
    }

    @Test("[DLG-15] a settled debit is folded after a day, an open one after 32; what is spent stays to the sat")
    func folding() async throws {
        let folder = try TemporaryFolder()
        let clock = TestClock()
        let bank = try Bank(folder: folder, clock: clock)
        let links = [try bank.link(0, 1, budget: 100), try bank.link(1, 2, budget: 90)]
        let open = try await bank.spend(2, links, amount: 30, call: 1)
        let settled = try await bank.spend(2, links, amount: 40, call: 2)
        let free = try await bank.spend(2, links, amount: 20, call: 3)
        #expect(try await bank.office.settle(debit: settled.id, charged: 25) == 25)
        #expect(try await bank.office.settle(debit: free.id, charged: 0) == 0)
        clock.advance(86_401)
        #expect(try await bank.office.maintain() == 2)
        #expect(try await bank.kept() == 1)
        #expect(try await bank.office.maintain() == 0)
        await bank.database.close()

        let again = try Bank(folder: folder, clock: clock)
        #expect(try await again.spent(links[0]) == 55)
        #expect(try await again.spent(links[1]) == 55)
        #expect(try await again.office.audit() == [])
        // What is folded is over: nobody gives it back a second time.
        #expect(await again.code { try await again.office.settle(debit: settled.id, charged: 0) } == "unknown")
        #expect(await again.code { try await again.spend(2, links, amount: 36, call: 4) } == "budget-exceeded")
        // The open one is still settled at what it came to.
        #expect(try await again.office.settle(debit: open.id, charged: 10) == 10)
        #expect(try await again.spent(links[1]) == 35)
        let late = try await again.spend(2, links, amount: 55, call: 5)
        #expect(try await again.office.audit() == [])
        // The links are good for eleven days; their debits are kept until they can't be given back any more.
        clock.advance(31 * 86_400)
        #expect(try await again.office.maintain() == 1)
        #expect(try await again.spent(links[1]) == 90)
        clock.advance(86_400)
        #expect(try await again.office.maintain() == 1)
        #expect(try await again.kept() == 0)
        #expect(try await again.spent(links[1]) == 90)
        #expect(try await again.office.audit() == [])
        #expect(await again.code { try await again.office.settle(debit: late.id, charged: 0) } == "unknown")
        // And last of all the accounts of links that ended long ago.
        clock.advance(20 * 86_400)
        _ = try await again.office.maintain()
        #expect(try await again.database.read { try $0.first("SELECT count(*) FROM budget_links")?.int(0) } == 0)
        await again.database.close()
    }

    @Test("[DLG-15] each period counts what was spent in it, whatever was folded; also with the clock set back")
    func periods() async throws {
        let bank = try Bank()
        let links = [try bank.link(0, 1, budget: 100, period: 172_800)]
        bank.clock.advance(172_800 - 1_800_000_000 % 172_800)
        let first = try await bank.spend(1, links, amount: 60, call: 1)
        _ = try await bank.office.settle(debit: first.id, charged: 60)
        bank.clock.advance(86_401)
        #expect(try await bank.office.maintain() == 1)
        #expect(try await bank.spent(links[0]) == 60)
        #expect(try await bank.office.audit() == [])
        #expect(await bank.code { try await bank.spend(1, links, amount: 41, call: 2) } == "budget-exceeded")
        bank.clock.advance(86_400)
        let second = try await bank.spend(1, links, amount: 70, call: 3)
        #expect(try await bank.spent(links[0]) == 70)
        #expect(try await bank.office.audit() == [])
        // Set back into the period before: it counts in the one that runs, and comes back to that one.
        bank.clock.advance(-86_400)
        let third = try await bank.spend(1, links, amount: 30, call: 4)
        #expect(try await bank.office.audit() == [])
        #expect(await bank.code { try await bank.spend(1, links, amount: 1, call: 5) } == "budget-exceeded")
        _ = try await bank.office.settle(debit: third.id, charged: 0)
        _ = try await bank.office.settle(debit: second.id, charged: 70)
        bank.clock.advance(86_400)
        #expect(try await bank.spent(links[0]) == 70)
        #expect(try await bank.office.audit() == [])
    }

    @Test("[DLG-15] over the most that is kept, what is settled goes sooner; then only new calls are refused")
    func full() async throws {
        var limits = BudgetLimits()
        limits.maximumDebits = 10
        limits.batch = 3
        let bank = try Bank(limits: limits)
        let links = [try bank.link(0, 1, budget: 1000)]
        var ids: [String] = []
        for call: UInt64 in 0..<10 { ids.append(try await bank.spend(1, links, amount: 10, call: call).id) }
        #expect(await bank.code { try await bank.spend(1, links, amount: 10, call: 99) } == "overloaded")
        #expect(try await bank.spend(1, links, amount: 10, call: 3).id == ids[3])
        #expect(try await bank.spent(links[0]) == 100)
        _ = try await bank.office.maintain()
        #expect(await bank.code { try await bank.spend(1, links, amount: 10, call: 99) } == "overloaded")
        for id in ids { _ = try await bank.office.settle(debit: id, charged: 7) }
        // Not before every invocation of theirs has ended.
        #expect(try await bank.office.maintain() == 0)
        #expect(await bank.code { try await bank.spend(1, links, amount: 10, call: 0) } == "debit-settled")
        bank.clock.advance(901)
        #expect(try await bank.office.maintain() > 0)
        try await bank.spend(1, links, amount: 10, call: 99)
        #expect(try await bank.spent(links[0]) == 80)
        #expect(try await bank.office.audit() == [])
    }

    @Test("[DLG-15] over the most that is kept, an open debit is taken to be charged after a day, not before")
    func fullOfOpen() async throws {
        var limits = BudgetLimits()
        limits.maximumDebits = 10
        let bank = try Bank(limits: limits)
        let links = [try bank.link(0, 1, budget: 1000)]
        for call: UInt64 in 0..<10 { try await bank.spend(1, links, amount: 10, call: call) }
        bank.clock.advance(86_399)
        #expect(try await bank.office.maintain() == 0)
        #expect(await bank.code { try await bank.spend(1, links, amount: 10, call: 99) } == "overloaded")
        bank.clock.advance(1)
        #expect(try await bank.office.maintain() == 1)
        try await bank.spend(1, links, amount: 10, call: 99)
        #expect(try await bank.spent(links[0]) == 110)
        #expect(try await bank.office.audit() == [])
    }

    @Test("[DLG-7] [DLG-15] debited, settled, folded and restarted in any order, each account is exact")
    func anyOrder() async throws {
        for seed: UInt64 in 0..<6 {
            var random = SeededRandom(seed: seed)
            let folder = try TemporaryFolder()
            let clock = TestClock()
            var limits = BudgetLimits()
            limits.batch = 2
            var bank = try Bank(folder: folder, clock: clock, limits: limits)
            let links = [try bank.link(0, 1, budget: 400), try bank.link(1, 2, budget: 300)]
            var open: [(id: String, amount: UInt64)] = []
            var expected: UInt64 = 0
            for step in 0..<120 {
                switch Int.random(in: 0..<10, using: &random) {
                case 0..<5:
                    let amount = UInt64.random(in: 1...20, using: &random)
                    let code = await bank.code {
                        let ticket = try await bank.spend(2, links, amount: amount, call: UInt64(step))
                        open.append((ticket.id, amount))
                        return ticket
                    }
                    #expect((code == nil) == (expected + amount <= 300), "\(seed) \(step) \(code ?? "")")
                    if code == nil { expected += amount }
                case 5..<7 where !open.isEmpty:
                    let debit = open.remove(at: Int.random(in: open.indices, using: &random))
                    let charged = UInt64.random(in: 0...debit.amount, using: &random)
                    #expect(try await bank.office.settle(debit: debit.id, charged: charged) == charged)
                    #expect(try await bank.office.settle(debit: debit.id, charged: 0) == charged)
                    expected -= debit.amount - charged
                case 7: clock.advance(Int64.random(in: 1...20_000, using: &random))
                case 8: _ = try await bank.office.maintain()
                default:
                    await bank.database.close()
                    bank = try Bank(folder: folder, clock: clock, limits: limits)
                }
                #expect(try await bank.spent(links[0]) == expected)
                #expect(try await bank.spent(links[1]) == expected)
            }
            #expect(try await bank.office.audit() == [])
            await bank.database.close()
        }
    }

    @Test("[DLG-15] of delegations that were only seen the oldest go, and what is held here stays")
    func seen() async throws {
        var limits = BudgetLimits()
        limits.maximumSeen = 10
        let bank = try Bank(limits: limits)
        let held = [try bank.link(0, 1, budget: 100)]
        try await bank.office.keep(DelegationChain(held), as: .issued)
        let shown = try (0..<25).map { [held[0], try bank.link(1, 2 + $0 % 5)] }
        for links in shown { await bank.office.note(DelegationChain(links)) }
        let kept = try await bank.office.delegations()
        #expect(kept.filter { $0.origin == .issued }.map(\.delegation) == held)
        let seen = kept.filter { $0.origin == .seen }.map(\.delegation)
        #expect((8...10).contains(seen.count))
        #expect(seen == shown.suffix(seen.count).map { $0[1] })
    }
}
