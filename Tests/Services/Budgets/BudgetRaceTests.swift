import Budgets
import Delegation
import Encodings
import Foundation
import Storage
import Synchronization
import TestSupport
import Testing

/// A tree of three levels whose fifty leaves spend one budget at once; `SOAK=1` makes a minute of it.
@Suite("Budgets in a race")
struct BudgetRaceTests {
    private struct Tree: Sendable {
        var bank: Bank
        var root: Delegation
        var chains: [(actor: Int, links: [Delegation])]
    }

    private final class Tally: Sendable {
        let taken = Mutex<UInt64>(0)
        let refused = Mutex(0)
        let isDone = Mutex(false)
    }

    private func tree(budget: UInt64) throws -> Tree {
        let bank = try Bank(keys: 60)
        let root = try bank.link(0, 1, budget: budget)
        // Five branches of ten leaves.
        let branches = try (2...6).map { try bank.link(1, $0, budget: budget) }
        let chains = try (0..<50).map { leaf in
            let branch = leaf % 5
            return (actor: 7 + leaf, links: [root, branches[branch], try bank.link(2 + branch, 7 + leaf)])
        }
        return Tree(bank: bank, root: root, chains: chains)
    }

    @Test("[DLG-7] fifty leaves spend 1,000 sat at once, and never one more")
    func fiftyLeaves() async throws {
        let isSoak = ProcessInfo.processInfo.environment["SOAK"] == "1"
        let end = ContinuousClock.now + .seconds(isSoak ? 60 : 0)
        repeat { try await race() } while ContinuousClock.now < end
    }

    private func race() async throws {
        let tree = try tree(budget: 1000)
        let tally = Tally()
        await withTaskGroup(of: Void.self) { group in
            for (index, chain) in tree.chains.enumerated() {
                group.addTask {
                    for round in 0..<10 {
                        let amount = UInt64(1 + (index + round) % 7)
                        let code = await tree.bank.code {
                            try await tree.bank.spend(
                                chain.actor,
                                chain.links,
                                amount: amount,
                                call: UInt64(index * 100 + round)
                            )
                        }
                        switch code {
                        case nil: tally.taken.withLock { $0 += amount }
                        case "budget-exceeded": tally.refused.withLock { $0 += 1 }
                        default: Issue.record("refused as \(code ?? "")")
                        }
                    }
                }
            }
        }
        let sum = tally.taken.withLock { $0 }
        #expect(sum <= 1000)
        // A sat could still be asked for until nothing was left.
        #expect(sum > 993)
        #expect(tally.refused.withLock { $0 } > 0)
        #expect(try await tree.bank.spent(tree.root) == sum)
        #expect(try await tree.bank.office.audit() == [])
    }

    @Test("[DLG-7] one call asked for twenty times at once is one debit")
    func sameCall() async throws {
        let tree = try tree(budget: 100)
        let chain = tree.chains[0]
        let ids = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<20 {
                group.addTask { try await tree.bank.spend(chain.actor, chain.links, amount: 60, call: 1).id }
            }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(ids.count == 1)
        #expect(try await tree.bank.spent(tree.root) == 60)
    }

    @Test("[DLG-7] whenever the machine dies, the accounts are the sum of their debits")
    func killPoints() async throws {
        let tree = try tree(budget: 100_000)
        let path = tree.bank.folder.path + "/node.sqlite"
        let images = try TemporaryFolder()
        let tally = Tally()
        try await withThrowingTaskGroup(of: Int.self) { group in
            group.addTask {
                for index in 0..<300 {
                    let chain = tree.chains[index % 50]
                    try await tree.bank.spend(chain.actor, chain.links, amount: 3, call: UInt64(index))
                }
                tally.isDone.withLock { $0 = true }
                return 0
            }
            group.addTask {
                // What a disk holds at some moment: the file, and as much of the log as was written.
                var count = 0
                while !tally.isDone.withLock({ $0 }), count < 40 {
                    let copy = images.path + "/\(count).sqlite"
                    try FileManager.default.copyItem(atPath: path, toPath: copy)
                    try FileManager.default.copyItem(atPath: path + "-wal", toPath: copy + "-wal")
                    count += 1
                    try await Task.sleep(for: .milliseconds(5))
                }
                return count
            }
            for try await count in group where count > 0 {
                var seen: Set<UInt64> = []
                for index in 0..<count {
                    let image = try Bank.open(images.path + "/\(index).sqlite")
                    let (spent, debits) = try await image.read { connection in
                        let spent = try connection.rows("SELECT spent FROM budget_links").map { try $0.uint64(0) }
                        let debits = try connection.first("SELECT coalesce(sum(amount), 0) FROM budget_debits")?.uint64(
                            0
                        )
                        return (spent, debits ?? 0)
                    }
                    #expect(spent.isEmpty ? debits == 0 : spent.max() == debits)
                    // Each of the three levels holds all of it.
                    #expect(spent.reduce(0, +) == 3 * debits)
                    seen.insert(debits)
                    await image.close()
                }
                #expect(seen.count > 1)
            }
        }
    }
}
