import CanonicalJSON
import Encodings
import Libp2p
import P2PTransport
import Records
import SignedDocuments
import Synchronization
import TestSupport
import Testing

@testable import Gossip

@Suite("Repair with those that lie", .timeLimit(.minutes(3)))
struct RepairAttackTests {
    /// A peer that answers each message as the test says; nil breaks off.
    private static func liar(_ answer: @escaping @Sendable (RepairFrame) -> RepairFrame?) -> P2PProtocol {
        P2PProtocol(RepairService.protocolName) { stream in
            var channel = RepairChannel(stream, budget: 1 << 30)
            while let frame = try await channel.next() {
                guard let next = answer(frame) else { return }
                try await channel.send(next)
            }
        }
    }

    /// A negentropy message that tells of these ids, and no others.
    private static func list(_ ids: [RecordID]) -> RepairFrame {
        var count: [UInt8] = []
        var rest = ids.count
        repeat {
            count.insert(UInt8(rest & 0x7F) | (count.isEmpty ? 0 : 0x80), at: 0)
            rest >>= 7
        } while rest > 0
        return .reconcile([0x61, 0, 0, 2] + count + ids.flatMap(\.bytes))
    }

    private static func repair(
        _ node: TestNode,
        _ hosts: Hosts,
        with liar: P2PProtocol
    ) async throws -> (code: Libp2pError.Code?, connection: P2PConnection) {
        let connection = try await RepairTests.pair(hosts, serving: [liar])
        return (await RepairTests.code { try await node.repair.repair(with: connection) }, connection)
    }

    @Test(
        "[RPR-5] a forged record ends the session: what came before stays, the peer is told of and left alone for ten minutes"
    )
    func forged() async throws {
        try await Hosts.with { hosts in
            let reality = Reality()
            let node = try TestNode(reality: reality)
            let good = try Sample.record()
            var document = good.document
            document["name"] = "b"
            let forged = try Record(document: document)
            let envelopes = [
                RecordEnvelope(record: good, passport: try Sample.passport()), RecordEnvelope(record: forged),
            ].map(\.bytes)
            let liar = Self.liar { frame in
                switch frame {
                case .reconcile: Self.list([good.id, forged.id])
                case .want(let ids): .records(handled: ids.count, envelopes)
                default: nil
                }
            }
            let (code, connection) = try await Self.repair(node, hosts, with: liar)
            #expect(code == .protocolViolation && node.faultCodes == [.badSignature])
            #expect(try await node.ids() == [good.id])
            #expect(await RepairTests.code { try await node.repair.repair(with: connection) } == .protocolViolation)
            #expect(node.faultCodes.count == 1 && node.repair.counts.failed == 1)
            reality.pass(seconds: 600)
            // Then it is asked again, and it is forged still.
            _ = await RepairTests.code { try await node.repair.repair(with: connection) }
            #expect(node.faultCodes.count <= 2)
            await node.store.close()
        }
    }

    @Test("[RPR-5] records that were not asked for are refused, and who sends them is answerable")
    func notAsked() async throws {
        try await Hosts.with { hosts in
            let node = try TestNode()
            let (asked, other) = (try Sample.record(), try Sample.record(name: "b"))
            let passport = try Sample.passport()
            let liar = Self.liar { frame in
                switch frame {
                case .reconcile: Self.list([asked.id])
                case .want: .records(handled: 1, [RecordEnvelope(record: other, passport: passport).bytes])
                default: nil
                }
            }
            #expect(try await Self.repair(node, hosts, with: liar).code == .protocolViolation)
            #expect(node.faultCodes == [.notAsked])
            #expect(try await node.ids() == [])
            await node.store.close()
        }
    }

    @Test("Records of revoked authors, expired and from the future, are refused without blame, and not asked for again")
    func refused() async throws {
        try await Hosts.with { hosts in
            let reality = Reality()
            reality.revoke(Sample.author())
            let node = try TestNode(reality: reality)
            let records = [
                try Sample.record(),
                try Sample.record(created: Sample.now.adding(seconds: -90_000), by: Sample.author(2)),
                try Sample.record(created: Sample.now.adding(seconds: 3_600), by: Sample.author(3)),
                try Sample.record(kind: Sample.kind("unheard"), by: Sample.author(4)),
            ]
            let envelopes = try records.enumerated().map { index, record in
                RecordEnvelope(record: record, passport: try Sample.passport(of: Sample.author(UInt8(index + 1)))).bytes
            }
            let asked = Mutex<[Int]>([])
            let liar = Self.liar { frame in
                switch frame {
                case .reconcile: return Self.list(records.map(\.id))
                case .want(let ids):
                    asked.withLock { $0.append(ids.count) }
                    let places = ids.compactMap { id in records.firstIndex { $0.id == id } }
                    return .records(handled: ids.count, places.map { envelopes[$0] })
                default: return nil
                }
            }
            let connection = try await RepairTests.pair(hosts, serving: [liar])
            for _ in 0..<2 {
                let outcome = try await node.repair.repair(with: connection)
                #expect(outcome.taken == 0)
            }
            #expect(asked.withLock { $0 } == [4] && node.faultCodes == [])
            #expect(node.intake.counts.refused == ["revoked": 1, "expired": 1, "from-future": 1, "unknown-kind": 1])
            await node.store.close()
        }
    }

    @Test("A peer that claims a hundred thousand records it does not have is soon asked no more")
    func emptyPromises() async throws {
        try await Hosts.with { hosts in
            let node = try TestNode()
            let random = Mutex(SeededRandom(seed: 3))
            let wants = Mutex(0)
            let liar = Self.liar { frame in
                switch frame {
                case .reconcile(let message):
                    // A list that fits, and after it a fingerprint, again and again.
                    let ids = random.withLock { random in
                        (0..<1_000).compactMap { _ in RecordID(bytes: random.bytes(32)) }
                    }
                    guard message.count > 1, case .reconcile(let list) = Self.list(ids) else { return nil }
                    return .reconcile(list)
                case .want(let ids):
                    wants.withLock { $0 += 1 }
                    return .records(handled: ids.count, [])
                default: return nil
                }
            }
            // 1,000 ids are two batches: not enough to tell.
            #expect(try await Self.repair(node, hosts, with: liar).code == nil)
            #expect(wants.withLock { $0 } == 2)
            await node.store.close()
        }
        try await Hosts.with { hosts in
            let node = try TestNode()
            let ids = (0..<100).compactMap { RecordID(bytes: [UInt8](repeating: UInt8($0), count: 32)) }
            let liar = Self.liar { frame in
                switch frame {
                case .reconcile: Self.list(ids)
                case .want: .records(handled: 1, [])
                default: nil
                }
            }
            #expect(try await Self.repair(node, hosts, with: liar).code == .protocolViolation)
            await node.store.close()
        }
    }

    @Test(
        "Lying fingerprints: a peer that never comes to an end is left after the rounds that there may be; what is here is not harmed"
    )
    func endless() async throws {
        try await Hosts.with { hosts in
            var limits = RepairService.Limits()
            limits.reconciliation.rounds = 20
            let node = try TestNode(limits: limits)
            try await RepairTests.fill(node, try RepairTests.records(0..<200))
            let random = Mutex(SeededRandom(seed: 4))
            let liar = Self.liar { frame in
                guard case .reconcile = frame else { return nil }
                return .reconcile([0x61, 0, 0, 1] + random.withLock { $0.bytes(16) })
            }
            let connection = try await RepairTests.pair(hosts, serving: [liar])
            let outcome = try await node.repair.repair(with: connection)
            #expect(!outcome.isComplete && outcome.rounds == 20 && outcome.sent == 0)
            #expect(try await node.ids().count == 200)
            await node.store.close()
        }
    }

    @Test(
        "Answers that are none end the session",
        arguments: [
            RepairFrame.taken, .offer([]), .want([]), .records(handled: 0, []), .reconcile([0x61, 0xFF]),
            .reconcile([0x51]),
        ]
    )
    func wrongAnswers(answer: RepairFrame) async throws {
        try await Hosts.with { hosts in
            let node = try TestNode()
            #expect(try await Self.repair(node, hosts, with: Self.liar { _ in answer }).code == .protocolViolation)
            await node.store.close()
        }
    }

    @Test("[RPR-2] malformed and oversized messages cost whoever sends them the stream, and the node goes on")
    func malformed() async throws {
        try await Hosts.with { hosts in
            let node = try TestNode()
            let record = try Sample.record()
            await node.take([record], passport: try Sample.passport())
            let connection = try await RepairTests.pair(hosts, serving: [node.repair.servedProtocol])
            for bytes: [UInt8] in [
                [0], [1, 9], [1, 1], [2, 5, 0], [2, 2, 7], [0xFF, 0xFF, 0xFF, 0x7F], [3, 3, 2, 9], [1, 5],
                [2, 1, 0x70],
                [0xA1, 0x80, 0x01] + [UInt8](repeating: 2, count: 16_417),
            ] {
                let code = await RepairTests.code {
                    try await connection.withStream([RepairService.protocolName]) { stream in
                        try await stream.write(bytes)
                        return try await stream.read()
                    }
                }
                #expect(code == .reset, "\(bytes.prefix(8))")
            }
            // It still answers who asks as it should; and no bytes at all are a session that wants nothing.
            let other = try TestNode()
            #expect(try await other.repair.repair(with: connection).taken == 1)
            await node.store.close()
            await other.store.close()
        }
    }

    @Test("[RPR-7] sessions of one peer are bounded, at once and in a minute: what is over it is turned away")
    func bounded() async throws {
        try await Hosts.with { hosts in
            let reality = Reality()
            var limits = RepairService.Limits()
            limits.sessionsPerPeer = 2
            limits.sessionsPerMinute = 6
            let node = try TestNode(reality: reality, limits: limits)
            let connection = try await RepairTests.pair(hosts, serving: [node.repair.servedProtocol])
            @Sendable func first(_ stream: P2PStream) async throws -> RepairFrame? {
                var channel = RepairChannel(stream, budget: 1 << 20)
                try await channel.send(.want([]))
                return try await channel.next()
            }
            let names = [RepairService.protocolName]
            try await connection.withStream(names) { one in
                #expect(try await first(one) == .records(handled: 0, []))
                try await connection.withStream(names) { two in
                    #expect(try await first(two) == .records(handled: 0, []))
                    try await connection.withStream(names) { three in
                        let answer = try await first(three)
                        #expect(answer == .busy)
                    }
                }
            }
            let other = try TestNode()
            try await hosts.until { node.repair.counts.served == 2 }
            for _ in 0..<4 { _ = try await other.repair.repair(with: connection) }
            #expect(await RepairTests.code { try await other.repair.repair(with: connection) } == .limitExceeded)
            #expect(node.repair.counts.turnedAway == 2)
            reality.pass(seconds: 60)
            #expect(await RepairTests.code { try await other.repair.repair(with: connection) } == nil)
            await node.store.close()
            await other.store.close()
        }
    }

    @Test("A peer that offers what it does not send, or sends it twice, or more than was wanted, gains nothing")
    func offers() async throws {
        try await Hosts.with { hosts in
            let node = try TestNode()
            let connection = try await RepairTests.pair(hosts, serving: [node.repair.servedProtocol])
            let (one, two) = (try Sample.record(), try Sample.record(name: "b"))
            let passport = try Sample.passport()
            let code = await RepairTests.code {
                try await connection.withStream([RepairService.protocolName]) { stream in
                    var channel = RepairChannel(stream, budget: 1 << 20)
                    try await channel.send(.offer([one.id]))
                    #expect(try await channel.next() == .want([one.id]))
                    let bytes = RecordEnvelope(record: one, passport: passport).bytes
                    for _ in 0..<2 {
                        try await channel.send(.records(handled: 1, [bytes]))
                        #expect(try await channel.next() == .taken)
                    }
                    try await channel.send(.records(handled: 1, [RecordEnvelope(record: two).bytes]))
                    return try await channel.next()
                }
            }
            #expect(code == .reset && node.faultCodes == [.notAsked])
            #expect(try await node.ids() == [one.id])
            await node.store.close()
        }
    }
}
