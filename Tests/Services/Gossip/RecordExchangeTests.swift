import CanonicalJSON
import Encodings
import Libp2p
import P2PTransport
import Passports
import Records
import SignedDocuments
import Testing

@testable import Gossip

@Suite("Records over gossip", .timeLimit(.minutes(3)))
struct RecordExchangeTests {
    /// Nodes in a line, each of which knows only its neighbours.
    private static func line(
        _ nodes: [TestNode],
        _ hosts: Hosts
    ) async throws -> [(host: P2PHost, exchange: RecordExchange)] {
        var line: [(P2PHost, RecordExchange)] = []
        var before: Multiaddr?
        for (index, node) in nodes.enumerated() {
            let (host, address) = try await hosts.start(UInt8(index + 1), gossip: Hosts.quick)
            let exchange = RecordExchange(intake: node.intake, host: host)
            try await exchange.start()
            if let before { _ = try await host.dial(before) }
            before = address
            line.append((host, exchange))
        }
        for (index, entry) in line.enumerated() {
            let neighbours = index == 0 || index == line.count - 1 ? 1 : 2
            try await hosts.until { try await entry.0.meshPeers(of: Sample.kind().topic).count == neighbours }
        }
        return line
    }

    @Test(
        "[REC-17] a record goes from node to node, each of which looks at it, keeps it and tells of it; so does its end"
    )
    func travels() async throws {
        try await Hosts.with { hosts in
            let nodes = try (0..<3).map { _ in try TestNode() }
            let line = try await Self.line(nodes, hosts)
            let news = nodes[2].intake.stream()
            let record = try Sample.record()
            let key = record.key
            #expect(try await line[0].exchange.publish(record, passport: try Sample.passport()) == 1)
            for await record in news {
                #expect(record.key == key)
                break
            }
            for node in nodes { try await hosts.until { try await node.store.record(key) == record } }
            #expect(try await line[0].exchange.nextSequence(key) == UInt64(Sample.now.millisecondsSince1970))
            // Its end; the passport is known by now.
            try await line[0].exchange.publish(try Sample.tombstone())
            for node in nodes { try await hosts.until { try await node.store.record(key) == nil } }
            // A node's own word, refused here, is told to nobody.
            await #expect(throws: RecordRefusal.self) { try await line[0].exchange.publish(record) }
            for node in nodes { await node.store.close() }
        }
    }

    @Test("What a revoked author says is passed on by nobody, and who brings it is not blamed; who forges an author is")
    func attacks() async throws {
        try await Hosts.with { hosts in
            let reality = Reality()
            let nodes = try (0..<3).map { _ in try TestNode(reality: reality) }
            let line = try await Self.line(nodes, hosts)
            let topic = Sample.kind().topic
            let attacker = line[0].host
            reality.revoke(Sample.author())
            let revoked = RecordEnvelope(record: try Sample.record(), passport: try Sample.passport())
            try await attacker.publish(revoked.bytes, on: topic)
            try await hosts.until { nodes[1].intake.counts.refused["revoked"] == 1 }
            #expect(try await line[1].host.score(of: attacker.peerID) >= 0)
            // Replayed over and over, also as duplicates of what is known: ignored.
            let good = try Sample.record(by: Sample.author(2))
            try await line[0].exchange.publish(good, passport: try Sample.passport(of: Sample.author(2)))
            try await hosts.until { try await nodes[2].store.record(good.key) != nil }
            try await attacker.publish(RecordEnvelope(record: good).bytes, on: topic)
            try await hosts.until { nodes[1].intake.counts.refused["duplicate"] == 1 }
            #expect(try await line[1].host.score(of: attacker.peerID) >= 0)
            var document = good.document
            document["sequence"] = 2
            try await attacker.publish(RecordEnvelope(record: try Record(document: document)).bytes, on: topic)
            try await hosts.until { try await line[1].host.score(of: attacker.peerID) < 0 }
            #expect(nodes[1].intake.counts.refused["bad-signature"] == 1)
            #expect(nodes[2].intake.counts.refused == [:])
            for node in nodes { await node.store.close() }
        }
    }

    @Test(
        "A flood of what is signed as gossip wants it, and is no record or a forged one, cuts its sender off",
        arguments: [false, true]
    )
    func flood(isForged: Bool) async throws {
        try await Hosts.with { hosts in
            let nodes = try (0..<3).map { _ in try TestNode() }
            let line = try await Self.line(nodes, hosts)
            let victim = line[1].host
            let address = try #require(try await victim.listenAddresses().first).naming(victim.peerID)
            let topic = Sample.kind().topic
            let key = PeerKey(Sample.key(9))
            let frames = try (0..<40).map { frame in
                var rpc = GossipRPC()
                rpc.messages = try (0..<50).map { index in
                    let number = UInt64(frame * 50 + index)
                    var data: [UInt8] = [0x7B]
                    if isForged {
                        var document = try Sample.record(sequence: number + 1).document
                        document["name"] = "b"
                        data = RecordEnvelope(record: try Record(document: document)).bytes
                    }
                    return try GossipMessage(signing: data, topic: topic, sequence: number, key: key).protobuf[...]
                }
                return rpc.delimited
            }
            let (attacker, _) = try await hosts.start(9, gossip: Hosts.quick)
            try await attacker.subscribe(topic) { _, _ in .ignore }
            let connection = try await attacker.dial(address)
            try await hosts.until { try await victim.meshPeers(of: topic).contains(attacker.peerID) }
            async let publishing: Void = {
                for name in ["one", "two", "three"] {
                    let record = try Sample.record(name: name, by: Sample.author(2))
                    try await line[0].exchange.publish(record, passport: try Sample.passport(of: Sample.author(2)))
                }
            }()
            let code = await RepairTests.code {
                try await connection.withStream(GossipSub.protocolNames) { stream in
                    for frame in frames { try await stream.write(frame) }
                    while try await stream.read() != nil {}
                    throw Libp2pError(.failed, "all of it was taken")
                }
            }
            #expect(code == .closed)
            try await publishing
            try await hosts.until { try await nodes[2].store.snapshot().items.count == 3 }
            #expect(try await victim.score(of: attacker.peerID) < -2_500)
            #expect(nodes[2].intake.counts.refused == [:])
            for node in nodes { await node.store.close() }
        }
    }

    @Test("[REC-10] what each message is worth: accept, reject where the sender is answerable, else ignore")
    func verdicts() async throws {
        try await Hosts.with { hosts in
            let (host, _) = try await hosts.start(1, gossip: Hosts.quick)
            let node = try TestNode(kinds: [Sample.kind(), Sample.kind("notice")])
            let exchange = RecordExchange(intake: node.intake, host: host)
            let envelope = RecordEnvelope(record: try Sample.record(), passport: try Sample.passport())
            #expect(await exchange.verdict(RecordEnvelope(record: try Sample.record()).bytes, kind: "note") == .ignore)
            #expect(await exchange.verdict(envelope.bytes, kind: "notice") == .reject)
            #expect(await exchange.verdict(envelope.bytes, kind: "note") == .accept)
            #expect(await exchange.verdict(envelope.bytes, kind: "note") == .ignore)
            #expect(await exchange.verdict([0x7B], kind: "note") == .reject)
            await node.store.close()
        }
    }

    @Test(
        "[REC-17] an author who publishes without end is passed on at a rate; an issuer that is trusted is not held back"
    )
    func rate() async throws {
        try await Hosts.with { hosts in
            let reality = Reality()
            let (host, _) = try await hosts.start(1, gossip: Hosts.quick)
            let node = try TestNode(reality: reality)
            let exchange = RecordExchange(intake: node.intake, host: host)
            let passport = try Sample.passport()
            func send(_ number: UInt64, by signer: DocumentSigner = Sample.author()) async throws -> GossipSub.Verdict {
                let record = try Sample.record(sequence: number, by: signer)
                return await exchange.verdict(RecordEnvelope(record: record, passport: passport).bytes, kind: "note")
            }
            for number in UInt64(1)...64 { #expect(try await send(number) == .accept) }
            #expect(try await send(65) == .ignore)
            #expect(try await send(66) == .ignore)
            reality.pass(seconds: 1)
            // What was too fast is not forgotten: it may come again, as by repair.
            #expect(try await send(65) == .accept)
            #expect(try await send(66) == .accept)
            #expect(try await send(67) == .ignore)
            for number in UInt64(1)...70 { #expect(try await send(number, by: Sample.issuer) == .accept) }
            await node.store.close()
        }
    }
}
