import Encodings
import Foundation
import Libp2p
import P2PTransport
import Passports
import Records
import SignedDocuments
import Synchronization
import Testing

@testable import Gossip

@Suite("Repair", .timeLimit(.minutes(5)))
struct RepairTests {
    static func records(
        _ range: Range<Int>,
        by number: UInt8 = 1,
        text: String = String(repeating: "x", count: 60)
    ) throws -> [Record] {
        let signer = Sample.author(number)
        return try range.map {
            try Sample.record(
                text,
                name: "n\($0)",
                created: Sample.now.adding(milliseconds: Int64($0 * 100) - 3_600_000),
                by: signer
            )
        }
    }

    static func fill(_ node: TestNode, _ records: [Record]) async throws {
        for start in stride(from: 0, to: records.count, by: 500) {
            let share = Array(records[start..<min(start + 500, records.count)])
            let signer = try #require(share.first?.author)
            let passport = try Sample.passport(
                of: try #require((UInt8(1)...9).map(Sample.author).first { $0.did == signer })
            )
            let codes = await node.take([share[0]], passport: passport) + node.take(Array(share.dropFirst()))
            #expect(codes.allSatisfy { $0 == nil })
        }
    }

    /// Two hosts that are connected: the first serves what is given, the second dialed.
    static func pair(
        _ hosts: Hosts,
        serving protocols: [P2PProtocol],
        dialerServes: [P2PProtocol] = []
    ) async throws -> P2PConnection {
        let (_, address) = try await hosts.start(11, protocols)
        let (dialer, _) = try await hosts.start(12, dialerServes)
        return try await dialer.dial(address)
    }

    @Test(
        "[RPR-1] [RPR-3] [RPR-4] a node that was away is whole after one session, tombstones and stamps too, for little more than what it missed"
    )
    func away() async throws {
        try await Hosts.with { hosts in
            let (here, away) = (try TestNode(), try TestNode())
            let old = try Self.records(0..<1_500)
            try await Self.fill(here, old)
            try await Self.fill(away, old)
            let missed = try Self.records(1_500..<1_700) + Self.records(0..<50, by: 2)
            try await Self.fill(here, Array(missed.prefix(200)))
            try await Self.fill(here, Array(missed.suffix(50)))
            let stamped = try Sample.record(by: Sample.author(3))
            let stamp = try Stamp.sign(stamped, amount: 1, unit: "sat", created: Sample.now, by: Sample.entry)
            #expect(await here.take([stamped], stamp: stamp) == [nil])
            #expect(await here.take([try Sample.tombstone(name: "n7")]) == [nil])

            let connection = try await Self.pair(hosts, serving: [here.repair.servedProtocol])
            let outcome = try await away.repair.repair(with: connection)
            // What it offers is the one record that was deleted meanwhile; nobody wants it back.
            #expect(outcome.taken == 252 && outcome.sent == 1 && outcome.refused == 0 && outcome.isComplete)
            #expect(try await away.ids() == here.ids())
            #expect(
                try await away.store.record(RecordKey(author: Sample.author().did, kind: "note", name: "n7")) == nil
            )
            let bytes = missed.reduce(0) { $0 + $1.bytes.count }
            #expect(outcome.bytesRead + outcome.bytesWritten <= bytes * 2 + 50_000)
            // Once more there is nothing to do.
            let again = try await away.repair.repair(with: connection)
            #expect(again.taken == 0 && again.rounds == 1 && again.bytesRead < 1_000)
            await here.store.close()
            await away.store.close()
        }
    }

    @Test("[RPR-3] after a partition both sides have everything, in one session")
    func partition() async throws {
        // 10,000 on each side under SOAK=1.
        let count = ProcessInfo.processInfo.environment["SOAK"] == "1" ? 10_000 : 1_200
        try await Hosts.with { hosts in
            let (left, right) = (try TestNode(), try TestNode())
            let both = try Self.records(0..<500)
            try await Self.fill(left, both + Self.records(500..<(500 + count)))
            try await Self.fill(right, both)
            try await Self.fill(right, try Self.records(0..<count, by: 2))
            let connection = try await Self.pair(hosts, serving: [right.repair.servedProtocol])
            let start = ContinuousClock.now
            let outcome = try await left.repair.repair(with: connection)
            print("repair: \(count) new records on each side, \(ContinuousClock.now - start), \(outcome)")
            #expect(outcome.taken == count && outcome.sent == count)
            #expect(try await left.ids() == right.ids())
            #expect(try await left.ids().count == 500 + 2 * count)
            await left.store.close()
            await right.store.close()
        }
    }

    @Test("[RPR-6] three nodes in a line become whole by themselves, at connect and with random peers")
    func line() async throws {
        try await Hosts.with { hosts in
            var limits = RepairService.Limits()
            limits.intervalSeconds = 1
            let nodes = try (0..<3).map { _ in try TestNode(limits: limits) }
            for (index, node) in nodes.enumerated() {
                try await Self.fill(node, try Self.records(0..<40, by: UInt8(index + 1)))
            }
            let tasks = Mutex<[Task<Void, Never>]>([])
            var before: Multiaddr?
            for (index, node) in nodes.enumerated() {
                let (host, address) = try await hosts.start(UInt8(20 + index), [node.repair.servedProtocol]) { event in
                    if case .identified(let connection, _) = event { node.repair.connected(connection) }
                }
                let task = Task { await node.repair.run(on: host) }
                tasks.withLock { $0.append(task) }
                if let before { _ = try await host.dial(before) }
                before = address
            }
            for node in nodes { try await hosts.until { try await node.ids().count == 120 } }
            for task in tasks.withLock({ $0 }) {
                task.cancel()
                await task.value
            }
            for node in nodes { await node.store.close() }
        }
    }

    @Test("[RPR-6] what is published just after the two connected comes without waiting for the next round")
    func justAfter() async throws {
        try await Hosts.with { hosts in
            var limits = RepairService.Limits()
            limits.intervalSeconds = 86_400
            let (here, away) = (try TestNode(limits: limits), try TestNode(limits: limits))
            let (_, address) = try await hosts.start(31, [here.repair.servedProtocol])
            let (dialer, _) = try await hosts.start(32) { event in
                if case .connected(let connection) = event { away.repair.connected(connection) }
            }
            let task = Task { await away.repair.run(on: dialer) }
            _ = try await dialer.dial(address)
            try await hosts.until { away.repair.counts.completed == 1 }
            try await Self.fill(here, try Self.records(0..<3))
            try await hosts.until { try await away.ids().count == 3 }
            task.cancel()
            await task.value
            for node in [here, away] { await node.store.close() }
        }
    }

    @Test("[RPR-6] a session that breaks off loses nothing of what came, and the next one goes on")
    func breaks() async throws {
        try await Hosts.with { hosts in
            var limits = RepairService.Limits()
            // Enough for some of it.
            limits.bytesPerSession = 400_000
            let (here, away) = (try TestNode(), try TestNode(limits: limits))
            try await Self.fill(here, try Self.records(0..<1_500, text: String(repeating: "y", count: 400)))
            let connection = try await Self.pair(hosts, serving: [here.repair.servedProtocol])
            var counts: [Int] = []
            for _ in 0..<20 where counts.last != 1_500 {
                let code = await Self.code { try await away.repair.repair(with: connection) }
                counts.append(try await away.ids().count)
                #expect(code == (counts.last == 1_500 ? nil : .limitExceeded))
            }
            #expect(counts.count > 2 && counts == counts.sorted() && counts.last == 1_500)
            #expect(away.repair.counts.failed == counts.count - 1)
            await here.store.close()
            await away.store.close()
        }
    }

    static func code(_ work: () async throws -> some Any) async -> Libp2pError.Code? {
        do {
            _ = try await work()
            return nil
        } catch {
            return (error as? Libp2pError)?.code ?? Libp2pError.Code(rawValue: "\(error)")
        }
    }
}
